//! A real MongoDB for tests: a replica set of one node on a free port, thrown away at the end.
//!
//! Most tests want [`database`]: a fresh database on the one server that the test process shares.
//! A test that stops or breaks its server starts its own with [`Mongod::start`].
//!
//! Test commands are enabled, so `configureFailPoint` can make single commands fail.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use mongodb::Client;
use mongodb::bson::{Uuid, doc};

use crate::server::Server;

/// The storage engine's cache for a test's server, in GB.
const SMALL_CACHE: Option<f32> = Some(0.5);

/// A running server. Dropping it stops the process and removes its data.
///
/// When the test process ends without dropping it, however it ends, server and data go too.
pub struct Mongod {
    server: Server,
}

impl Mongod {
    /// Starts a server and returns once it is primary. Blocks, and may be called inside a tokio runtime.
    ///
    /// # Panics
    /// When no mongod can be found, or it does not become primary; the message ends with its log.
    pub fn start() -> Mongod {
        Mongod::start_with(SMALL_CACHE)
    }

    /// The same with the cache that the server takes by itself, half of the machine's memory: a small one would
    /// measure the disk.
    ///
    /// # Panics
    /// As [`Mongod::start`].
    pub fn start_for_benchmarks() -> Mongod {
        Mongod::start_with(None)
    }

    fn start_with(cache: Option<f32>) -> Mongod {
        let mongod = Mongod { server: Server::start(cache) };
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", mongod.port()) };
        let initiate = doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } };
        mongod.server.wait_until("it is a replica set", || mongod.server.ask(&initiate).map(|_| true));
        mongod.become_primary();
        mongod
    }

    /// The server that all tests of this process share, started at first use. It stops with the process.
    pub fn shared() -> &'static Mongod {
        static SHARED: OnceLock<Mongod> = OnceLock::new();
        SHARED.get_or_init(Mongod::start)
    }

    /// Connection string of the replica set.
    pub fn uri(&self) -> String {
        self.uri_for("")
    }

    /// Connection string of the replica set with `database` as the default database.
    pub fn uri_for(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}?replicaSet=rs0", self.port())
    }

    /// The port that the server listens on, at 127.0.0.1. It stays the same over [`Mongod::start_again`].
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Process id of the running server.
    ///
    /// # Panics
    /// When the server is stopped.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The folder that holds the data and `mongod.log`.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Kills the server as a power cut would, and keeps its data.
    pub fn stop(&mut self) {
        self.server.kill();
    }

    /// Starts a stopped server again, with the same port and data, and returns once it is primary.
    ///
    /// # Panics
    /// When it does not become primary; the message ends with its log.
    pub fn start_again(&mut self) {
        self.server.start_again();
        self.become_primary();
    }

    fn become_primary(&self) {
        let is_primary = || Ok(self.server.hello()?.get_bool("isWritablePrimary").unwrap_or(false));
        self.server.wait_until("it is primary", is_primary);
    }
}

/// A database of its own for one test, on the shared server.
pub struct Database {
    /// Connection string with this database as the default one.
    pub uri: String,
    /// The database's name.
    pub name: String,
    /// A direct look into it, past the code under test.
    pub db: mongodb::Database,
}

/// Makes a [`Database`] on the shared server. Its client belongs to the calling test's runtime.
///
/// # Panics
/// When the server cannot be started.
pub async fn database() -> Database {
    let shared = tokio::task::spawn_blocking(Mongod::shared).await.expect("the shared server starts");
    let name = fresh_database();
    let uri = shared.uri_for(&name);
    let client = Client::with_uri_str(&uri).await.expect("the connection string is our own");
    Database { db: client.database(&name), uri, name }
}

/// A database name that no other test has, in this process or another.
pub fn fresh_database() -> String {
    format!("test-{}", unique_name())
}

/// Process and number tell a reader whose it is; the random part keeps runs apart when ids come again.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = Uuid::new().to_string();
    format!("{}-{number}-{}", std::process::id(), &random[..8])
}
