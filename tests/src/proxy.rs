//! A proxy in front of one member of a replica set, which breaks what clients send and get, message by message.
//!
//! The members reach each other by the names in the set's configuration as clients do, so their connections come
//! through the proxy, too. It knows them by their first message and never touches them: a fault is one between
//! the clients and the member, and the set does not notice.

mod connection;
mod faults;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::supervised::wait_until;
use faults::Fault;
pub use faults::{Commands, Hits};

/// How long a connection may take to close: only the machine's load can make it slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running proxy on 127.0.0.1. Dropping it closes all its connections.
///
/// Faults are set at any time, from any thread, and a fault that waits for commands meets those of all clients.
/// What really happened is in [`Proxy::hits`]: a fault that hit nothing proves nothing.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    // An option only because a runtime has to be taken out to be shut down inside of another one.
    runtime: Option<Runtime>,
}

/// What the connections see of the proxy.
struct Shared {
    member: u16,
    state: Mutex<State>,
}

struct State {
    faults: faults::Faults,
    /// The fate of the connections that are made now, and those of former ones.
    generations: Vec<watch::Sender<Fate>>,
}

/// What shall become of the client connections of one generation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// Nothing moves, and nobody is told.
    Dead,
    Cut,
}

impl Proxy {
    /// Starts a proxy on a free port in front of the server that listens on `member`, at 127.0.0.1.
    ///
    /// # Panics
    /// When the system has no port or thread for it.
    pub fn start(member: u16) -> Proxy {
        let generations = vec![watch::Sender::new(Fate::Open)];
        let state = Mutex::new(State { faults: faults::Faults::default(), generations });
        let shared = Arc::new(Shared { member, state });

        // Its own, so that it outlives the runtime of the test that starts it.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        listener.set_nonblocking(true).expect("a socket can be made so");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Proxy { port, shared, runtime: Some(runtime) }
    }

    /// The port that the proxy listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every client connection, dead ones too, and returns once they are closed.
    pub fn cut_all(&self) {
        let generations = {
            let mut state = self.shared.state();
            let fate = state.fate();
            std::mem::replace(&mut state.generations, vec![watch::Sender::new(fate)])
        };
        for generation in &generations {
            generation.send_replace(Fate::Cut);
        }
        let are_closed = || generations.iter().all(|generation| generation.receiver_count() == 0);
        wait_until("the client connections are closed", PATIENCE, are_closed);
    }

    /// Closes the connection instead of forwarding the request, for the next `times` such commands.
    pub fn cut_requests(&self, times: usize, which: Commands) {
        self.shared.state().faults.add(times, which, Fault::CutRequest);
    }

    /// Forwards the request and waits for the reply, but closes the connection instead of forwarding that, for the
    /// next `times` such commands.
    pub fn cut_replies(&self, times: usize, which: Commands) {
        self.shared.state().faults.add(times, which, Fault::CutReply);
    }

    /// Closes the connection at once, but forwards the request after `delay`, for the next `times` such commands:
    /// a write that comes when its client has long turned to something else.
    pub fn late(&self, times: usize, delay: Duration, which: Commands) {
        self.shared.state().faults.add(times, which, Fault::Late(delay));
    }

    /// Lets every message of a client wait so long before it is forwarded, until this is set to zero.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().faults.set_delay(delay);
    }

    /// While on, nothing moves on client connections, old and new ones, and nobody is told. They stay dead when it
    /// is turned off, and open until [`Proxy::cut_all`]; connections made after that work.
    pub fn black_hole(&self, on: bool) {
        let mut state = self.shared.state();
        let is_on = state.fate() == Fate::Dead;
        if on && !is_on {
            state.current().send_replace(Fate::Dead);
        } else if is_on && !on {
            state.generations.push(watch::Sender::new(Fate::Open));
        }
    }

    /// Ends all faults, closes every client connection, and counts anew. A late request that was taken still
    /// comes.
    pub fn mend(&self) {
        self.black_hole(false);
        self.shared.state().faults.end();
        self.cut_all();
        self.shared.state().faults.hits = Hits::default();
    }

    /// How often each fault has hit since the start or [`Proxy::mend`].
    pub fn hits(&self) -> Hits {
        self.shared.state().faults.hits
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    fn hit(&self, count: impl FnOnce(&mut Hits)) {
        count(&mut self.state().faults.hits);
    }
}

impl State {
    fn current(&self) -> &watch::Sender<Fate> {
        self.generations.last().expect("there is always a generation")
    }

    fn fate(&self) -> Fate {
        *self.current().borrow()
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(connect(client, Arc::clone(&shared)));
    }
}

/// An error is the end of one side, and dropping the connections tells the other one.
async fn connect(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.member)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    connection::serve(client, server, &shared).await
}
