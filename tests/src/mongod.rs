//! A real MongoDB for tests: a replica set of one node on a free port, thrown away at the end.
//!
//! Most tests want [`database`]: a fresh database on the one server that the test process shares.
//! A test that stops or breaks its server starts its own with [`Mongod::start`].
//!
//! Test commands are enabled, so `configureFailPoint` can make single commands fail.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Document, Uuid, doc};
use mongodb::options::{ClientOptions, ServerAddress};

use crate::binary;
use crate::supervised::Supervised;

/// From the start of the process to a primary that accepts writes; it takes 1-3 s on an idle machine.
const UNTIL_PRIMARY: Duration = Duration::from_secs(60);

/// How often somebody else may take the free port before mongod listens on it.
const PORT_ATTEMPTS: usize = 5;

/// The storage engine's cache for a test's server, in GB.
const SMALL_CACHE: Option<f32> = Some(0.5);

/// A running server. Dropping it stops the process and removes its data.
///
/// When the test process ends without dropping it, however it ends, server and data go too.
pub struct Mongod {
    process: Supervised,
    folder: PathBuf,
    port: u16,
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
        for _ in 0..PORT_ATTEMPTS {
            let mut mongod = Mongod::prepare(free_port(), cache);
            if mongod.launch(true) {
                return mongod;
            }
        }
        panic!("{PORT_ATTEMPTS} free ports in a row were taken before mongod listened on them");
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
        format!("mongodb://127.0.0.1:{}/{database}?replicaSet=rs0", self.port)
    }

    /// The port that the server listens on, at 127.0.0.1. It stays the same over [`Mongod::start_again`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the running server.
    ///
    /// # Panics
    /// When the server is stopped.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder that holds the data and `mongod.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills the server as a power cut would, and keeps its data.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts a stopped server again, with the same port and data, and returns once it is primary.
    ///
    /// # Panics
    /// When it does not become primary; the message ends with its log.
    pub fn start_again(&mut self) {
        // An outgoing connection of any program may hold the port for a moment.
        let started = (0..PORT_ATTEMPTS).any(|_| self.launch(false));
        assert!(started, "port {} was taken while the server was stopped", self.port);
    }

    fn prepare(port: u16, cache: Option<f32>) -> Mongod {
        let program = binary::mongod().unwrap_or_else(|reason| panic!("{reason}"));
        let folder = std::env::temp_dir().join(format!("code-service-{}", unique_name()));
        let mut command = Command::new(program);
        command.args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket"]);
        command.args(["--setParameter", "enableTestCommands=1"]);
        if let Some(cache) = cache {
            command.arg("--wiredTigerCacheSizeGB").arg(cache.to_string());
        }
        command.arg("--port").arg(port.to_string());
        command.arg("--dbpath").arg(&folder).arg("--logpath").arg(folder.join("mongod.log"));
        Mongod { process: Supervised::new(&command, Some(&folder)), folder, port }
    }

    /// Runs the server until it is primary. Says `false` if it ended because its port was taken.
    fn launch(&mut self, is_new: bool) -> bool {
        self.process.start();
        match on_own_thread(become_primary(&self.process, self.port, is_new)) {
            Ok(()) => true,
            Err(reason) => {
                self.process.kill();
                let log = std::fs::read_to_string(self.folder.join("mongod.log")).unwrap_or_default();
                if log.contains("Address already in use") {
                    return false;
                }
                let tail = log.lines().rev().take(20).collect::<Vec<_>>();
                let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
                let said = [self.process.stdout(), self.process.stderr()].concat().join("\n");
                panic!("mongod on port {} {reason}\n{said}\n{tail}", self.port);
            }
        }
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
fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = Uuid::new().to_string();
    format!("{}-{number}-{}", std::process::id(), &random[..8])
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Runs `future` where no runtime of the caller is in the way: blocking inside a runtime panics.
fn on_own_thread<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime can be made").block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until the server listens, makes it a replica set if it is new, and waits until it is primary.
async fn become_primary(process: &Supervised, port: u16, is_new: bool) -> Result<(), String> {
    let start = Instant::now();
    let mut last_word = String::from("it does not listen");
    let mut server = None;
    while start.elapsed() < UNTIL_PRIMARY {
        if process.ended() {
            return Err("ended before it was primary".into());
        }
        // A plain connection first: the driver takes much longer to see that a server has come up.
        if server.is_none() && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            server = Some(Joining { client: connect(port)?, is_ours: false, initiated: !is_new });
        }
        if let Some(server) = &mut server {
            match server.step(process.pid(), port).await {
                Ok(true) => return Ok(()),
                Ok(false) => last_word = "it is not primary".into(),
                Err(error) => last_word = error,
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("was not primary after {} s: {last_word}", UNTIL_PRIMARY.as_secs()))
}

/// A server on its way to primary.
struct Joining {
    client: Client,
    is_ours: bool,
    initiated: bool,
}

impl Joining {
    /// Does what is missing, and says whether the server is primary.
    async fn step(&mut self, pid: u32, port: u16) -> Result<bool, String> {
        if !self.is_ours {
            // Somebody else's mongod may have taken the port first: never wait for a stranger, or initiate it.
            let status = self.run(doc! { "serverStatus": 1, "metrics": 0, "wiredTiger": 0 }).await?;
            self.is_ours = status.get_i64("pid").is_ok_and(|theirs| theirs == i64::from(pid));
            if !self.is_ours {
                return Err("another server listens on the port".into());
            }
        }
        if !self.initiated {
            let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
            self.run(doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } }).await?;
            self.initiated = true;
        }
        let hello = self.run(doc! { "hello": 1 }).await?;
        Ok(hello.get_bool("isWritablePrimary").unwrap_or(false))
    }

    async fn run(&self, command: Document) -> Result<Document, String> {
        let reply = self.client.database("admin").run_command(command).await;
        reply.map_err(|error| error.to_string())
    }
}

fn connect(port: u16) -> Result<Client, String> {
    let options = ClientOptions::builder()
        .hosts(vec![ServerAddress::Tcp { host: "127.0.0.1".into(), port: Some(port) }])
        .direct_connection(true)
        .server_selection_timeout(Duration::from_secs(2))
        .build();
    Client::with_options(options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_reported_as_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        assert!(!Mongod::prepare(port, SMALL_CACHE).launch(true));
    }

    #[test]
    fn the_server_of_somebody_else_is_not_taken_for_ours() {
        let other = Mongod::start();
        assert!(!Mongod::prepare(other.port(), SMALL_CACHE).launch(true));
        assert!(!Mongod::prepare(other.port(), SMALL_CACHE).launch(false));
    }
}
