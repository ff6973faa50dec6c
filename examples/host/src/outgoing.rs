//! HTTP clients to other services, with one cache of the names that they look up.
//!
//! The deployed service kept names for `titan.service.dnsCacheTTL`. The driver of MongoDB looks its own up.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Mutex as AsyncMutex;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a name server may take. Less than a connection may, so that an old answer comes in time.
const LOOKUP: Duration = Duration::from_secs(2);
/// How long an answer may take to whoever waits for it on a thread.
const SILENCE: Duration = Duration::from_secs(30);

/// How all outgoing HTTP clients are made.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    names: Names,
}

impl Outgoing {
    /// Names are kept for so long.
    pub(crate) fn new(dns_cache_ttl: Duration) -> Self {
        Outgoing { names: Names::new(dns_cache_ttl, |name| Box::pin(resolved(name))) }
    }

    /// A client for tasks. An answer, and each piece of one, may take as long as `silence`; a whole file as long as it
    /// does.
    pub(crate) fn client(&self, silence: Duration) -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder()
            .dns_resolver(Arc::new(self.names.clone()))
            .connect_timeout(CONNECT)
            .read_timeout(silence)
            .build()
    }

    /// A client for threads that may wait; made on such a thread.
    pub(crate) fn blocking_client(&self) -> reqwest::Result<reqwest::blocking::Client> {
        reqwest::blocking::Client::builder()
            .dns_resolver(Arc::new(self.names.clone()))
            .connect_timeout(CONNECT)
            .timeout(SILENCE)
            .build()
    }
}

async fn resolved(name: String) -> io::Result<Vec<SocketAddr>> {
    // Any port: the client puts in its own.
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

type Lookup = fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// What is known of a name. Whoever looks it up holds the lock, so that nobody else does.
type Known = Arc<AsyncMutex<Option<(Instant, Vec<SocketAddr>)>>>;

/// Names that were looked up.
#[derive(Debug, Clone)]
struct Names {
    ttl: Duration,
    lookup: Lookup,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

impl Names {
    fn new(ttl: Duration, lookup: Lookup) -> Self {
        Names { ttl, lookup, known: Arc::default() }
    }

    /// The addresses of a name. One that cannot be looked up again keeps those that it had.
    async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let known = {
            let mut names = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(names.entry(name.to_owned()).or_default())
        };
        let mut known = known.lock().await;
        if let Some((when, addresses)) = &*known
            && when.elapsed() < self.ttl
        {
            return Ok(addresses.clone());
        }
        let found = tokio::time::timeout(LOOKUP, (self.lookup)(name.to_owned())).await;
        match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(addresses) => {
                *known = Some((Instant::now(), addresses.clone()));
                Ok(addresses)
            }
            Err(error) => known.as_ref().map(|(_, addresses)| addresses.clone()).ok_or(error),
        }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;

    fn port(addresses: io::Result<Vec<SocketAddr>>) -> Option<u16> {
        addresses.ok()?.first().map(SocketAddr::port)
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_for_all_who_ask_and_again_after_its_time() {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let lookup: Lookup = |_| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], ASKED.fetch_add(1, Ordering::Relaxed) + 1))])
            })
        };
        let names = Names::new(Duration::from_millis(300), lookup);
        let all = futures_util::future::join_all((0..20).map(|_| names.addresses("a"))).await;
        assert!(all.into_iter().all(|found| port(found) == Some(1)), "one look for all of them");
        assert_eq!(port(names.addresses("a").await), Some(1), "kept");
        assert_eq!(port(names.addresses("b").await), Some(2), "another name");
        tokio::time::sleep(Duration::from_millis(310)).await;
        assert_eq!(port(names.addresses("a").await), Some(3), "looked up again");
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_looked_up_any_more_keeps_its_addresses() {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let lookup: Lookup = |name| {
            let first = ASKED.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if first && name == "a" {
                    return Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))]);
                }
                Err(io::ErrorKind::TimedOut.into())
            })
        };
        let names = Names::new(Duration::ZERO, lookup);
        assert_eq!(port(names.addresses("a").await), Some(1));
        assert_eq!(port(names.addresses("a").await), Some(1), "the old one");
        assert_eq!(ASKED.load(Ordering::Relaxed), 2, "it was asked again");
        assert!(names.addresses("b").await.is_err(), "never known");
    }

    #[tokio::test]
    async fn a_name_server_that_says_nothing_does_not_keep_old_addresses_back() {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let lookup: Lookup = |_| {
            let first = ASKED.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if !first {
                    std::future::pending::<()>().await;
                }
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))])
            })
        };
        let names = Names::new(Duration::ZERO, lookup);
        assert_eq!(port(names.addresses("a").await), Some(1));
        let again = tokio::time::timeout(CONNECT, names.addresses("a"));
        assert_eq!(port(again.await.expect("in time")), Some(1), "the old one");
    }
}
