//! More than a host can do, and how it bears that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Host;
use crate::caller::{Caller, get};

/// What came of a load.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// Requests a second that were answered 200.
    pub rate: f64,
    /// Those that were told to come again: 503.
    pub shed: u64,
    /// Answers that are neither, and connections that broke.
    pub other: u64,
    /// The longest time of 99 of 100 that were answered 200.
    pub p99: Duration,
    /// The same of heartbeats, which were asked for meanwhile.
    pub heartbeat_p99: Duration,
    /// The host's resident memory in MiB after a third of the time, and at its end.
    pub memory: (f64, f64),
}

/// Lets this process have as many connections as the system allows it.
pub fn as_many_files_as_allowed() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// So many callers who send `request` again as soon as they are answered, for so long.
///
/// # Panics
/// When a 503 does not say when to come again.
pub async fn load(host: &Host, request: &str, callers: usize, time: Duration) -> Outcome {
    let (shed, other) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (shed, other) = (Arc::clone(&shed), Arc::clone(&other));
        let (request, port) = (request.to_owned(), host.port());
        tasks.spawn(async move {
            let mut times = Vec::new();
            let mut caller = None;
            while Instant::now() < end {
                let connected = match caller.take() {
                    Some(connected) => Ok(connected),
                    None => Caller::connect(port).await,
                };
                let Ok(mut connected) = connected else {
                    other.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let begun = Instant::now();
                match connected.call(&request).await {
                    Ok(200) => times.push(begun.elapsed()),
                    Ok(503) => {
                        shed.fetch_add(1, Ordering::Relaxed);
                        sleep(connected.retry_after().expect("a Retry-After")).await;
                    }
                    _ => {
                        other.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                }
                caller = Some(connected);
            }
            times
        });
    }
    let heartbeats = heartbeats(host.port(), end);
    let memory = async {
        sleep(time / 3).await;
        let early = host.memory_kib();
        sleep(end.saturating_duration_since(Instant::now())).await;
        (mebibytes(early), mebibytes(host.memory_kib()))
    };
    let (heartbeat, memory) = tokio::join!(heartbeats, memory);
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let rate = times.len() as f64 / time.as_secs_f64();
    Outcome {
        rate,
        shed: shed.load(Ordering::Relaxed),
        other: other.load(Ordering::Relaxed),
        p99: p99(&mut times),
        heartbeat_p99: heartbeat,
        memory,
    }
}

/// Asks for heartbeats, fifty a second, until then; their p99. A platform's probe is a process of its own, which does
/// not wait for its turn among the callers: this is a thread.
///
/// # Panics
/// When there can be no thread.
pub async fn heartbeats(port: u16, end: Instant) -> Duration {
    let probe = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(probe(port, end))
    };
    tokio::task::spawn_blocking(probe).await.expect("no panic")
}

async fn probe(port: u16, end: Instant) -> Duration {
    let mut times = Vec::new();
    let request = "GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut caller = None;
    while Instant::now() < end {
        let begun = Instant::now();
        let answered = match caller.take() {
            Some(connected) => Ok(connected),
            None => Caller::connect(port).await,
        };
        if let Ok(mut connected) = answered
            && connected.call(request).await.ok() == Some(200)
        {
            caller = Some(connected);
            times.push(begun.elapsed());
        } else {
            // Not answered is slower than any.
            times.push(Duration::MAX);
        }
        sleep(Duration::from_millis(20)).await;
    }
    p99(&mut times)
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// Connections that say nothing, and such as send the head of a request a byte at a time, again and again.
pub struct Idlers {
    silent: Vec<TcpStream>,
    /// They end with it.
    slow: JoinSet<()>,
    sent_away: Arc<AtomicU64>,
}

impl Idlers {
    /// Opens so many of each.
    ///
    /// # Panics
    /// When the host does not take them.
    pub async fn open(port: u16, silent: usize, slow: usize) -> Idlers {
        let connect =
            move || async move { TcpStream::connect(("127.0.0.1", port)).await.expect("the host takes it") };
        let mut idlers = Idlers { silent: Vec::new(), slow: JoinSet::new(), sent_away: Arc::default() };
        for _ in 0..silent {
            idlers.silent.push(connect().await);
        }
        for _ in 0..slow {
            let mut stream = connect().await;
            let sent_away = Arc::clone(&idlers.sent_away);
            idlers.slow.spawn(async move {
                let head = get("/heartbeat", "x");
                for byte in head.bytes().cycle() {
                    if stream.writable().await.is_err() || stream.try_write(&[byte]).is_err() {
                        sent_away.fetch_add(1, Ordering::Relaxed);
                        stream = connect().await;
                    }
                    sleep(Duration::from_millis(500)).await;
                }
            });
        }
        idlers
    }

    /// How often the host has closed a connection to a slow one. They come back at once.
    pub fn sent_away(&self) -> u64 {
        self.sent_away.load(Ordering::Relaxed)
    }

    /// How many say nothing.
    pub fn silent(&self) -> usize {
        self.silent.len()
    }
}
