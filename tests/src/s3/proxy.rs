//! The proxy: it writes down what it is asked, and breaks the answers.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// How often a slow answer goes on.
const TICK: Duration = Duration::from_millis(50);
/// What is kept of an answer for who wants to see it.
const KEPT: usize = 4 << 10;

/// What becomes of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing bad.
    None,
    /// The server is not asked: the proxy answers this status and body.
    Answer(u16, String),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// Nothing more comes after so many bytes of the body, and the connection stays.
    Silent(usize),
    /// So many bytes of the body come in a second.
    Slow(usize),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its first line.
    pub line: String,
    headers: Vec<(String, String)>,
    /// What it was answered, or the beginning of that: head and body.
    pub answer: String,
}

impl Asked {
    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The path with its query, as it was sent.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// With which access key it is signed; empty if it is not signed.
    pub fn access_key(&self) -> &str {
        let signed = self.header("authorization").split_once("Credential=");
        signed.and_then(|(_, scope)| scope.split('/').next()).unwrap_or_default()
    }
}

/// A running proxy on 127.0.0.1. Each connection is for one request. Dropping it closes all of them.
pub struct S3Proxy {
    port: u16,
    shared: Arc<Shared>,
    // An option only because a runtime has to be taken out to be shut down inside of another one.
    runtime: Option<Runtime>,
}

struct Shared {
    server: u16,
    /// A line for the heads of requests.
    line: String,
    state: Mutex<State>,
    cut: Notify,
}

struct State {
    next: VecDeque<Fault>,
    then: Fault,
    asked: Vec<Asked>,
}

impl S3Proxy {
    /// A proxy in front of the server that listens on this port.
    ///
    /// # Panics
    /// When the system has no port or thread for it.
    pub fn start(server: u16) -> S3Proxy {
        S3Proxy::start_with(server, "")
    }

    /// The same, which puts a line into the head of every request.
    ///
    /// # Panics
    /// As [`S3Proxy::start`].
    pub fn start_with(server: u16, line: &str) -> S3Proxy {
        let state = State { next: VecDeque::new(), then: Fault::None, asked: Vec::new() };
        let shared =
            Arc::new(Shared { server, line: line.to_owned(), state: state.into(), cut: Notify::new() });
        // Its own, so that it outlives the runtime of the test that starts it.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        listener.set_nonblocking(true).expect("a socket can be made so");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        S3Proxy { port, shared, runtime: Some(runtime) }
    }

    /// The address of what is behind it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What becomes of the next answers, one after another, and then of all others.
    pub fn faults(&self, next: impl IntoIterator<Item = Fault>, then: Fault) {
        let mut state = self.shared.state();
        state.next = next.into_iter().collect();
        state.then = then;
    }

    /// Closes all connections where they are.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// What was asked so far, in its order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }
}

impl Drop for S3Proxy {
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
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                _ = serve(client, Arc::clone(&shared)) => {}
                () = shared.cut.notified() => {}
            }
        });
    }
}

/// An error is the end of one side, and dropping the connections tells the other one.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (head, mut content) = head(&mut client).await?;
    let asked = parse(&head);
    let length: usize = asked.header("content-length").parse().unwrap_or(0);
    let left = length.saturating_sub(content.len()) as u64;
    (&mut client).take(left).read_to_end(&mut content).await?;
    let (number, fault) = {
        let mut state = shared.state();
        state.asked.push(asked);
        let fault = state.next.pop_front().unwrap_or_else(|| state.then.clone());
        (state.asked.len() - 1, fault)
    };
    if let Fault::Answer(status, body) = &fault {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} .\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        shared.state().asked[number].answer.clone_from(&answer);
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.server)).await?;
    let (first, rest) = head.split_once("\r\n").expect("a head ends with an empty line");
    server.write_all(format!("{first}\r\n{}{rest}", shared.line).as_bytes()).await?;
    server.write_all(&content).await?;
    // It closes the connection behind its answer, and says so.
    let (answer, begun) = self::head(&mut server).await?;
    shared.state().asked[number].answer.clone_from(&answer);
    client.write_all(answer.as_bytes()).await?;
    let mut body = Body { client, left: limit(&fault), fault, number, shared };
    if body.forward(&begun).await? {
        return Ok(());
    }
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = server.read(&mut piece).await?;
        if read == 0 || body.forward(&piece[..read]).await? {
            return Ok(());
        }
    }
}

/// How many bytes of a body pass.
fn limit(fault: &Fault) -> usize {
    match fault {
        Fault::Cut(limit) | Fault::Silent(limit) => *limit,
        Fault::None | Fault::Answer(..) | Fault::Slow(_) => usize::MAX,
    }
}

/// The body of an answer on its way to the client.
struct Body {
    client: TcpStream,
    fault: Fault,
    left: usize,
    number: usize,
    shared: Arc<Shared>,
}

impl Body {
    /// Passes a piece on; whether that was the last.
    async fn forward(&mut self, piece: &[u8]) -> io::Result<bool> {
        {
            let answer = &mut self.shared.state().asked[self.number].answer;
            let room = KEPT.saturating_sub(answer.len()).min(piece.len());
            answer.push_str(&String::from_utf8_lossy(&piece[..room]));
        }
        let passes = piece.len().min(self.left);
        self.left -= passes;
        if let Fault::Slow(rate) = self.fault {
            for bit in piece.chunks((rate / 20).max(1)) {
                self.client.write_all(bit).await?;
                tokio::time::sleep(TICK).await;
            }
        } else {
            self.client.write_all(&piece[..passes]).await?;
        }
        if self.left > 0 {
            return Ok(false);
        }
        if let Fault::Silent(_) = self.fault {
            // Until the client has enough of it.
            while self.client.read(&mut [0; 64]).await? > 0 {}
        }
        Ok(true)
    }
}

/// The head of what comes, with the empty line behind it, and what has come of the body.
async fn head(from: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut come = Vec::new();
    loop {
        if let Some(end) = come.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = come.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&come).into_owned(), body));
        }
        if from.read_buf(&mut come).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn parse(head: &str) -> Asked {
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
    Asked { line, headers: lines.filter_map(header).collect(), answer: String::new() }
}
