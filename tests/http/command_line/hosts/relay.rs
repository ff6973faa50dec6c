//! Something between a caller and a host that breaks replies off.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A relay on 127.0.0.1, as long as the test process lives.
pub(in crate::command_line) struct Relay {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    /// Passes on everything, but of the replies on the first connections only so many bytes.
    pub(in crate::command_line) fn start(host: u16, cuts: &[usize]) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, cuts) = (Arc::clone(&connections), cuts.to_vec());
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let limit = cuts.get(number).copied().unwrap_or(usize::MAX);
                std::thread::spawn(move || relay(caller, host, limit));
            }
        });
        Relay { port, connections }
    }

    pub(in crate::command_line) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many there have been.
    pub(in crate::command_line) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An error is the end of one side, and closing the connections tells the other one.
fn relay(caller: TcpStream, host: u16, limit: usize) -> io::Result<()> {
    let host = TcpStream::connect((Ipv4Addr::LOCALHOST, host))?;
    let (mut request, mut to_host) = (caller.try_clone()?, host.try_clone()?);
    std::thread::spawn(move || io::copy(&mut request, &mut to_host));
    let (mut reply, mut to_caller) = (host, caller);
    let (mut left, mut buffer) = (limit, [0; 4096]);
    loop {
        let read = reply.read(&mut buffer)?;
        let passed = read.min(left);
        to_caller.write_all(&buffer[..passed])?;
        left -= passed;
        if read == 0 || left == 0 {
            reply.shutdown(Shutdown::Both)?;
            return to_caller.shutdown(Shutdown::Both);
        }
    }
}
