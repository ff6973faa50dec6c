//! One mongod process: it listens, and is what others make of it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};

use crate::proc::is_stopped;
use crate::supervised::{Supervised, wait_until};
use crate::{binary, mongod, wire};

/// For everything that takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// For an answer that comes at once, if at all.
const QUICK: Duration = Duration::from_secs(2);

/// How often somebody else may take the free port before mongod listens on it.
const PORT_ATTEMPTS: usize = 5;

/// A mongod that may become a member of the replica set `rs0`. Dropping it kills it and removes its data.
pub(crate) struct Server {
    process: Supervised,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server with a cache of so many GB, or the one it takes by itself, and returns once it answers.
    ///
    /// # Panics
    /// When no mongod can be found, or it does not answer; the message ends with its log. So do all others.
    pub(crate) fn start(cache: Option<f32>) -> Server {
        Server::start_in(&std::env::temp_dir(), cache)
    }

    /// The same with its folder in another one.
    pub(crate) fn start_in(parent: &Path, cache: Option<f32>) -> Server {
        for _ in 0..PORT_ATTEMPTS {
            let mut server = Server::prepare(free_port(), cache, parent);
            if server.launch() {
                return server;
            }
        }
        panic!("{PORT_ATTEMPTS} free ports in a row were taken before mongod listened on them");
    }

    /// Starts a killed server with the same port and data, and returns once it answers.
    pub(crate) fn start_again(&mut self) {
        // An outgoing connection of any program may hold the port for a moment.
        let started = (0..PORT_ATTEMPTS).any(|_| self.launch());
        assert!(started, "port {} was taken while the server was stopped", self.port);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills the server and keeps its data.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the process where it stands; its connections stay open.
    pub(crate) fn pause(&mut self) {
        let pid = self.pid();
        self.process.signal("STOP");
        wait_until("the server stands still", PATIENCE, || is_stopped(pid));
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&mut self) {
        let pid = self.pid();
        self.process.signal("CONT");
        wait_until("the server goes on", PATIENCE, || !is_stopped(pid));
    }

    /// Lets the server run, whatever was done to it.
    pub(crate) fn mend(&mut self) {
        if self.process.ended() {
            self.start_again();
        } else {
            self.resume();
        }
    }

    /// Neither killed nor paused.
    pub(crate) fn is_running(&self) -> bool {
        !self.process.ended() && !is_stopped(self.pid())
    }

    /// Runs a command on the database `admin`.
    pub(crate) fn ask(&self, command: &Document) -> io::Result<Document> {
        wire::ask(self.port, command, PATIENCE)
    }

    /// What the server says of itself, if anything: it may be dead, paused, or not ours.
    pub(crate) fn hello(&self) -> io::Result<Document> {
        wire::ask(self.port, &doc! { "hello": 1 }, QUICK)
    }

    /// Waits for a fact about the server. An error is an answer that may get better.
    pub(crate) fn wait_until(&self, what: &str, fact: impl FnMut() -> io::Result<bool>) {
        self.poll(fact).unwrap_or_else(|last_word| self.fail(what, &last_word));
    }

    fn prepare(port: u16, cache: Option<f32>, parent: &Path) -> Server {
        let program = binary::mongod().unwrap_or_else(|reason| panic!("{reason}"));
        let folder = parent.join(format!("code-service-{}", mongod::unique_name()));
        let mut command = Command::new(program);
        command.args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket"]);
        command.args(["--setParameter", "enableTestCommands=1"]);
        // A member that reads from one that stands still looks for another soon, or no majority confirms a write.
        command.args(["--setParameter", "oplogNetworkTimeoutBufferSeconds=1"]);
        command.args(["--setParameter", "oplogFetcherSteadyStateMaxFetcherRestarts=0"]);
        if let Some(cache) = cache {
            // What was taken out of a pool stays in the index for so long, and is passed over: by itself five minutes,
            // in which a test takes the same codes thousands of times.
            command.args(["--setParameter", "minSnapshotHistoryWindowInSeconds=10"]);
            command.arg("--wiredTigerCacheSizeGB").arg(cache.to_string());
            // What a member that was killed has to do again before it answers: of this many seconds.
            command.args(["--syncdelay", "10"]);
        }
        command.arg("--port").arg(port.to_string());
        command.arg("--dbpath").arg(&folder).arg("--logpath").arg(folder.join("mongod.log"));
        Server { process: Supervised::new(&command, Some(&folder)), folder, port }
    }

    /// Runs the server until it answers. Says `false` if it ended because its port was taken.
    fn launch(&mut self) -> bool {
        self.process.start();
        let Err(last_word) = self.poll(|| self.is_ours()) else { return true };
        let port_was_taken = self.process.ended() && self.log().contains("Address already in use");
        self.process.kill();
        if port_was_taken { false } else { self.fail("it answers", &last_word) }
    }

    /// Somebody else's mongod may have taken the port first: never wait for a stranger, or initiate it.
    fn is_ours(&self) -> io::Result<bool> {
        let status = doc! { "serverStatus": 1, "metrics": 0, "wiredTiger": 0 };
        let status = wire::ask(self.port, &status, QUICK)?;
        let pid = status.get_i64("pid").map_err(io::Error::other)?;
        Ok(pid == i64::from(self.pid()))
    }

    fn poll(&self, mut fact: impl FnMut() -> io::Result<bool>) -> Result<(), String> {
        let start = Instant::now();
        while !self.process.ended() {
            let last_word = match fact() {
                Ok(true) => return Ok(()),
                Ok(false) => "not yet".to_owned(),
                Err(error) => error.to_string(),
            };
            if start.elapsed() > PATIENCE {
                return Err(last_word);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("it has ended".into())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("mongod.log")).unwrap_or_default()
    }

    fn fail(&self, what: &str, last_word: &str) -> ! {
        let log = self.log();
        let lines = log.lines().collect::<Vec<_>>();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        let said = [self.process.stdout(), self.process.stderr()].concat().join("\n");
        panic!("waited in vain for mongod on port {} until {what}: {last_word}\n{said}\n{tail}", self.port);
    }
}

/// A port of this machine that nobody listens on now.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: Option<f32> = Some(0.25);

    #[test]
    fn a_port_that_somebody_listens_on_is_reported_as_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        assert!(!Server::prepare(port, CACHE, &std::env::temp_dir()).launch());
    }

    #[test]
    fn the_server_of_somebody_else_is_not_taken_for_ours() {
        let other = Server::start(CACHE);
        assert!(!Server::prepare(other.port(), CACHE, &std::env::temp_dir()).launch());
    }
}
