//! Callers of the host who cost little: a connection that is kept, a request that is ready, a look at the status.
//!
//! A client library would take more of the two processors than the host does.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A caller with a connection of its own.
#[derive(Debug)]
pub struct Caller {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
    retry_after: Option<Duration>,
}

impl Caller {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// When nobody listens, or does not take the connection.
    pub async fn connect(port: u16) -> io::Result<Caller> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Caller {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
            retry_after: None,
        })
    }

    /// Sends a whole request and reads the whole reply; its status.
    ///
    /// # Errors
    /// When the connection ends before, or what comes is no HTTP/1.1 with a length.
    pub async fn call(&mut self, request: &str) -> io::Result<u16> {
        let wrong = || io::Error::other("no reply of HTTP/1.1 with a length");
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        self.next_line().await?;
        let status = self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let mut length = None;
        self.retry_after = None;
        loop {
            self.next_line().await?;
            match self.line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse().map_err(|_| wrong())?);
                }
                Some((name, value)) if name.eq_ignore_ascii_case("retry-after") => {
                    let seconds = value.trim().parse().map_err(|_| wrong())?;
                    self.retry_after = Some(Duration::from_secs(seconds));
                }
                Some(_) => {}
                None => break,
            }
        }
        self.body.resize(length.ok_or_else(wrong)?, 0);
        self.stream.read_exact(&mut self.body).await?;
        Ok(status)
    }

    /// The body of the last reply.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How long the last reply asks to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    async fn next_line(&mut self) -> io::Result<()> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.line.truncate(self.line.trim_end().len());
        Ok(())
    }
}

/// A request without a body.
pub fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
}
