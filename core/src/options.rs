//! How to reach the database, and how long a reservation lasts.

use std::fmt;
use std::time::Duration;

use mongodb::error::ErrorKind as DriverErrorKind;
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, ServerAddress, WriteConcern};

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::task::Within;

/// How long to look for a server, if nobody says.
const SELECTION: Duration = Duration::from_secs(5);

/// Options that the deployed Node.js service knew and the driver refuses.
const LEGACY: [&str; 8] = [
    "poolSize",
    "useNewUrlParser",
    "useUnifiedTopology",
    "socketTimeoutMS",
    "autoReconnect",
    "reconnectTries",
    "reconnectInterval",
    "timeoutMS",
];

/// How [`CodeService::connect`](crate::CodeService::connect) reaches the database and treats reservations.
///
/// ```
/// use std::time::Duration;
/// use code_service::Options;
///
/// let mut options = Options::new("mongodb://db.example.com/prod?replicaSet=rs0&authSource=admin");
/// options.reservation_ttl = Duration::from_secs(3600);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// MongoDB connection string of a replica set. What it says of write concern must be `majority` or
    /// nothing; reads that decide who gets a code ignore its read preference and go to the primary.
    pub uri: String,
    /// The database. None: the one in the path of `uri`.
    pub database: Option<String>,
    /// The collection of the codes, `codes` unless set. The ledger of reserveIds that callers bring
    /// themselves is kept beside it, in `{collection}.reservations`.
    pub collection: String,
    /// How long a reservation holds its codes: 24 hours unless set; 1 second to 10 years, in whole
    /// milliseconds.
    pub reservation_ttl: Duration,
    /// How long to look for a server before answering `unavailable`: 5 seconds unless set here or as
    /// `serverSelectionTimeoutMS` in `uri`.
    pub server_selection_timeout: Option<Duration>,
    /// How long a call waits for the database to come back once it has written something, each time that it has
    /// gone away: 20 seconds unless set; at least 5, so that it outlasts all that may still be under way. A replica
    /// set is without a primary for about 12 seconds in a failover.
    pub patience: Duration,
    /// How often at most to look for codes that dead attempts under callers' ids have left behind: 10 seconds
    /// unless set; at least 10 milliseconds.
    pub sweep_interval: Duration,
    /// Who is told what happens; nobody unless set.
    pub observer: Option<Observer>,
}

impl Options {
    /// Options with the defaults for everything but the connection string.
    pub fn new(uri: impl Into<String>) -> Self {
        Options {
            uri: uri.into(),
            database: None,
            collection: "codes".to_owned(),
            reservation_ttl: Duration::from_secs(24 * 60 * 60),
            server_selection_timeout: None,
            patience: Duration::from_secs(20),
            sweep_interval: Duration::from_secs(10),
            observer: None,
        }
    }

    /// Checks everything and returns the driver's options and the name of the database.
    pub(crate) async fn resolve(&self) -> Result<(ClientOptions, String)> {
        let ttl = self.reservation_ttl;
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(10 * 366 * 86_400) {
            return Err(Error::invalid("reservationTtl", "must lie between 1 second and 10 years"));
        }
        if self.patience < Duration::from_secs(5) {
            return Err(Error::invalid("patience", "must be at least 5 seconds"));
        }
        if self.sweep_interval < Duration::from_millis(10) {
            return Err(Error::invalid("sweepInterval", "must be at least 10 milliseconds"));
        }
        if self.collection.is_empty() || self.collection.contains(['$', '\0']) {
            return Err(Error::invalid("collection", "must be the name of a collection"));
        }
        if let Some(option) = legacy_option(&self.uri) {
            return Err(Error::invalid("uri", format!("remove the option {option}: it has no meaning here")));
        }
        let limit = self.server_selection_timeout.unwrap_or(SELECTION);
        let mut client =
            ClientOptions::parse(&self.uri).within(limit).await.map_err(|error| match *error.kind {
                // Only what mongodb+srv names is asked for here.
                DriverErrorKind::DnsResolve { .. } | DriverErrorKind::Io(_) => Error::unavailable(
                    "the host name in the mongodb+srv connection string does not resolve: is it right?",
                ),
                // The driver's message may quote the string, and with it the password: it is not kept.
                _ => Error::invalid(
                    "uri",
                    "is no MongoDB connection string (mongodb://host:port/database?replicaSet=name); \
                     user and password must be percent-encoded",
                ),
            })?;
        client.write_concern = Some(majority(client.write_concern.take())?);
        client.read_concern.get_or_insert_with(ReadConcern::local);
        client.server_selection_timeout =
            self.server_selection_timeout.or(client.server_selection_timeout).or(Some(SELECTION));
        // Ten connections, the driver's default, would make the callers of a burst queue for them.
        client.max_pool_size.get_or_insert(64);
        client.max_connecting.get_or_insert(8);
        // A server that is gone without a word is noticed after both of these together: soon enough that callers
        // who wait for it are served within five seconds.
        client.heartbeat_freq.get_or_insert(Duration::from_secs(1));
        client.connect_timeout.get_or_insert(Duration::from_secs(2));
        client.app_name.get_or_insert_with(|| "code-service".to_owned());
        if let Some(observer) = &self.observer {
            observer.watch(&mut client);
        }
        let database = self
            .database
            .clone()
            .or_else(|| client.default_database.clone())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Error::invalid("database", "is neither set nor in the path of the uri"))?;
        if database.len() > 63 || database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
            let reason = "must be the name of a database: at most 63 bytes, without / \\ . \" $ and spaces";
            return Err(Error::invalid("database", reason));
        }
        Ok((client, database))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("uri", &"(not shown: it may hold a password)")
            .field("database", &self.database)
            .field("collection", &self.collection)
            .field("reservation_ttl", &self.reservation_ttl)
            .field("server_selection_timeout", &self.server_selection_timeout)
            .field("patience", &self.patience)
            .field("sweep_interval", &self.sweep_interval)
            .field("observer", &self.observer)
            .finish()
    }
}

/// The first option of the deployed service's driver that the string carries.
fn legacy_option(uri: &str) -> Option<&'static str> {
    let (_, query) = uri.rsplit_once('?')?;
    let keys: Vec<&str> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    LEGACY.into_iter().find(|option| keys.iter().any(|key| key.eq_ignore_ascii_case(option)))
}

/// A write that a failover can undo may give the same code to two callers: only `majority` will do.
fn majority(asked: Option<WriteConcern>) -> Result<WriteConcern> {
    let mut concern = asked.unwrap_or_default();
    match &concern.w {
        None | Some(Acknowledgment::Majority) => {}
        Some(_) => {
            return Err(Error::invalid("uri", "its write concern w must be majority, or left out"));
        }
    }
    if concern.journal == Some(false) {
        return Err(Error::invalid("uri", "its option journal must be true, or left out"));
    }
    concern.w = Some(Acknowledgment::Majority);
    concern.journal = Some(true);
    Ok(concern)
}

/// The hosts of a client, for a message: `db1:27017, db2:27017`.
pub(crate) fn hosts(client: &ClientOptions) -> String {
    let hosts: Vec<String> = client.hosts.iter().map(ServerAddress::to_string).collect();
    hosts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn field_and_reason(uri: &str) -> String {
        Options::new(uri).resolve().await.expect_err("refused").to_string()
    }

    #[tokio::test]
    async fn a_write_concern_below_majority_is_refused() {
        for uri in
            ["mongodb://h/db?w=1", "mongodb://h/db?w=0", "mongodb://h/db?w=2", "mongodb://h/db?w=tagged"]
        {
            assert_eq!(field_and_reason(uri).await, "uri: its write concern w must be majority, or left out");
        }
        assert!(field_and_reason("mongodb://h/db?journal=false").await.contains("journal"));
        let (client, _) = Options::new("mongodb://h/db").resolve().await.expect("fine");
        let concern = client.write_concern.expect("always set");
        assert_eq!((concern.w, concern.journal), (Some(Acknowledgment::Majority), Some(true)));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_uri_is_said_without_its_password() {
        let error = field_and_reason("mongodb://me:hunter2@@h:x/db").await;
        assert!(error.starts_with("uri: ") && !error.contains("hunter2"), "{error}");
        assert!(field_and_reason("mongodb://h/db?useNewUrlParser=true").await.contains("useNewUrlParser"));
        for uri in ["mongodb://h", &format!("mongodb://h/{}", "x".repeat(64))] {
            assert!(field_and_reason(uri).await.starts_with("database: "), "{uri}");
        }
        assert!(!format!("{:?}", Options::new("mongodb://me:hunter2@h/db")).contains("hunter2"));
    }

    #[tokio::test]
    async fn a_reservation_lasts_a_second_to_ten_years() {
        let mut options = Options::new("mongodb://h/db");
        for bad in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
            options.reservation_ttl = bad;
            assert!(options.resolve().await.is_err());
        }
    }
}
