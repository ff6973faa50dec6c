//! A replica set of three real members, whose elections, deaths and network a test controls.
//!
//! Each member has a [`Proxy`] in front of it, and the set's configuration names the proxies, so every client
//! goes through them. The members do as well, but the proxies leave them alone.
//!
//! All functions block, and may be called inside a tokio runtime.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ClientOptions, ServerAddress};

use crate::proxy::Proxy;
use crate::server::Server;

/// The storage engine's cache of each member, in GB.
const CACHE: f32 = 0.25;

/// What three members may come to write in a long run, in bytes.
const ROOM: u64 = 8 << 30;

/// For an election: it takes some 3 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three members, counted from 0. Dropping the set kills them and removes their data.
///
/// When the test process ends without dropping it, however it ends, members and data go too.
pub struct ReplicaSet {
    servers: Vec<Server>,
    proxies: Vec<Proxy>,
}

impl ReplicaSet {
    /// Starts a set and returns once one member is primary and the others follow.
    ///
    /// # Panics
    /// When no mongod can be found, or the set does not come up. All functions panic when they wait in vain.
    pub fn start() -> ReplicaSet {
        ReplicaSet::start_with(CACHE)
    }

    /// The same with a cache of so many GB for each member: a small one keeps few codes.
    ///
    /// # Panics
    /// As [`ReplicaSet::start`].
    pub fn start_with(cache: f32) -> ReplicaSet {
        let servers: Vec<Server> = std::thread::scope(|scope| {
            let starts = [(); 3].map(|()| scope.spawn(|| Server::start_in(&folder(), Some(cache))));
            starts.into_iter().map(|start| start.join().expect("a member starts")).collect()
        });
        let proxies = servers.iter().map(|server| Proxy::start(server.port())).collect();
        let set = ReplicaSet { servers, proxies };
        set.initiate();
        set.wait_until_whole();
        set
    }

    fn initiate(&self) {
        let member = |(id, proxy): (i32, &Proxy)| doc! { "_id": id, "host": host(proxy) };
        let config = doc! {
            "_id": "rs0",
            "members": (0..).zip(&self.proxies).map(member).collect::<Vec<_>>(),
            // A member that is elected would wait without end for what a paused one alone has.
            "settings": { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500, "catchUpTimeoutMillis": 5_000 },
        };
        let initiate = doc! { "replSetInitiate": config };
        self.servers[0].wait_until("it is a replica set", || self.servers[0].ask(&initiate).map(|_| true));
    }

    /// Waits until there is a primary and all other members follow. Returns the primary.
    fn wait_until_whole(&self) -> usize {
        for server in &self.servers {
            server.wait_until("it is a member", || takes_part(server));
        }
        self.wait_for_primary(PATIENCE)
    }

    /// Connection string of the set, through the proxies, with `database` as the default database.
    pub fn uri_for(&self, database: &str) -> String {
        let hosts = self.proxies.iter().map(host).collect::<Vec<_>>().join(",");
        format!("mongodb://{hosts}/{database}?replicaSet=rs0")
    }

    /// The proxies, in the order of the members.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// A client of one member alone, past its proxy. It belongs to the calling runtime.
    pub fn direct(&self, member: usize) -> Client {
        let port = Some(self.servers[member].port());
        let options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host: "127.0.0.1".into(), port }])
            .direct_connection(true)
            .build();
        Client::with_options(options).expect("the options are our own")
    }

    /// The port that a member itself listens on, behind its proxy.
    pub fn port(&self, member: usize) -> u16 {
        self.servers[member].port()
    }

    /// Process id of a member.
    ///
    /// # Panics
    /// When it is killed.
    pub fn pid(&self, member: usize) -> u32 {
        self.servers[member].pid()
    }

    /// The folder that holds a member's data and `mongod.log`.
    pub fn folder(&self, member: usize) -> &Path {
        self.servers[member].folder()
    }

    /// Whether a member is neither killed nor paused.
    pub fn is_running(&self, member: usize) -> bool {
        self.servers[member].is_running()
    }

    /// Kills a member as a power cut would, and keeps its data.
    pub fn kill(&mut self, member: usize) {
        self.servers[member].kill();
    }

    /// Starts a killed member again, and returns once it is secondary or primary.
    pub fn start_again(&mut self, member: usize) {
        let server = &mut self.servers[member];
        server.start_again();
        server.wait_until("it is a member", || takes_part(server));
    }

    /// Stops a member's process where it stands (SIGSTOP). Its connections stay open, and nobody is told.
    pub fn pause(&mut self, member: usize) {
        self.servers[member].pause();
    }

    /// Lets a paused member go on where it stood. It may take itself for the primary for a moment.
    pub fn resume(&mut self, member: usize) {
        self.servers[member].resume();
    }

    /// What a member says of itself, past its proxy; nothing if it does not answer at once.
    pub fn hello(&self, member: usize) -> Option<Document> {
        let server = &self.servers[member];
        server.is_running().then(|| server.hello().ok()).flatten()
    }

    /// The running member that takes itself for the primary; of two, the one that was elected later.
    pub fn primary(&self) -> Option<usize> {
        let elected = |member: usize| {
            let hello = self.hello(member)?;
            let is_primary = hello.get_bool("isWritablePrimary").unwrap_or(false);
            // It begins with the term of the election.
            is_primary.then(|| hello.get_object_id("electionId").ok()).flatten()
        };
        let primaries = (0..self.servers.len()).filter_map(|member| Some((elected(member)?, member)));
        primaries.max().map(|(_, member)| member)
    }

    /// Waits for a primary whose writes a majority confirms.
    ///
    /// # Panics
    /// When there is none after `limit`.
    pub fn wait_for_primary(&self, limit: Duration) -> usize {
        let start = Instant::now();
        loop {
            if let Some(member) = self.primary().filter(|member| self.is_confirmed(*member)) {
                return member;
            }
            assert!(start.elapsed() < limit, "there is no primary after {} s", limit.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_confirmed(&self, member: usize) -> bool {
        let write_concern = doc! { "w": "majority", "wtimeout": 1_000 };
        let note = doc! { "appendOplogNote": 1, "data": {}, "writeConcern": write_concern };
        self.servers[member].ask(&note).is_ok()
    }

    /// Lets the primary step down, once another member has all it wrote; it cannot be elected for some `seconds`.
    ///
    /// # Panics
    /// When there is no primary, or nobody can take its place.
    pub fn step_down(&self, seconds: u32) {
        let primary = self.wait_for_primary(PATIENCE);
        let step_down = doc! { "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": seconds };
        self.servers[primary].ask(&step_down).expect("another member has all it wrote");
    }

    /// Makes a member the primary, and returns once it is.
    pub fn step_up(&self, member: usize) {
        let server = &self.servers[member];
        server.wait_until("it is primary", || {
            let is_primary = self.primary() == Some(member) && self.is_confirmed(member);
            if !is_primary {
                // Refused while it has not all that the others have, or they elect somebody else.
                server.ask(&doc! { "replSetStepUp": 1 })?;
            }
            Ok(is_primary)
        });
    }

    /// Sets the fail point `failCommand` of a member.
    pub fn fail_point(&self, member: usize, mode: impl Into<Bson>, data: Document) {
        let command = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data };
        self.servers[member].ask(&command).expect("test commands are enabled");
    }

    /// Kills all that clients do on a member at that moment, cursors and transactions with it, as an operator can.
    pub fn kill_sessions(&self, member: usize) {
        self.servers[member].ask(&doc! { "killAllSessions": [] }).expect("a member that runs does it");
    }

    /// Ends all that tests have broken: members run, proxies and fail points do nothing. Returns the primary.
    pub fn mend(&mut self) -> usize {
        for server in &mut self.servers {
            server.mend();
        }
        for (member, proxy) in self.proxies.iter().enumerate() {
            proxy.mend();
            self.fail_point(member, "off", doc! {});
        }
        self.wait_until_whole()
    }
}

/// Where the members keep their data: in memory, if there is room. Members are killed here, and not the machine.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map(|found| found.f_bavail * found.f_frsize);
    if room.is_ok_and(|room| room > ROOM) { memory.to_owned() } else { std::env::temp_dir() }
}

/// The address that clients and members know a member by.
fn host(proxy: &Proxy) -> String {
    format!("127.0.0.1:{}", proxy.port())
}

fn takes_part(server: &Server) -> io::Result<bool> {
    let hello = server.hello()?;
    Ok(["isWritablePrimary", "secondary"].iter().any(|state| hello.get_bool(state).unwrap_or(false)))
}
