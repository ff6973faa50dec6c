//! Connections: how many, how long they may take, and their end.
//!
//! `axum::serve` has no limits and drains for ever, so the connections are accepted here, and hyper speaks HTTP/1.1 on
//! them, as the balancer does.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many there may be; more are closed at once.
    pub(crate) connections: usize,
    /// From the end of a reply to the end of the next request's head. Longer than the balancer's, which would
    /// otherwise send a request to a connection that is being closed.
    pub(crate) idle: Duration,
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// How long a caller may read nothing of its reply.
    pub(crate) unread: Duration,
    /// How long what was begun may go on when the host is to stop.
    pub(crate) drain: Duration,
}

/// The longest head, and what a connection keeps of a body: many connections must fit into memory.
const BUFFER: usize = 64 << 10;
/// Waits this long when the process cannot have another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers connections until it is to stop, then lets them end. Whether all of them did in time.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> bool {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    // hyper's timer begins when it waits for a head: it is the limit of an idle connection, too.
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(BUFFER);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(target: "code_service_host::server", "no connection can be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics::counter!(crate::metrics::REFUSED).increment(1);
            continue;
        };
        // A reply is written at once, whatever its size.
        let _ = stream.set_nodelay(true);
        let waits = Waits::for_a_head();
        let io = TokioIo::new(Timed::new(stream, waits.clone(), limits));
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), waits.clone(), request));
        let connection = connections.watch(http.serve_connection(io, service));
        tokio::spawn(async move {
            // What went wrong with a connection is known to its other end.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => true,
        () = sleep(limits.drain) => false,
    }
}

fn answer(
    router: Router,
    waits: Waits,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> {
    // Now, and not when it is polled: hyper reads on before that.
    waits.next();
    let mut over = Over(waits);
    async move {
        let response = router.oneshot(request.map(Body::new)).await?;
        Ok(response.map(|body| {
            // Goes when the body does.
            Body::new(body.map_frame(move |frame| {
                over.keep();
                frame
            }))
        }))
    }
}

/// Whose turn it is on a connection. It waits for the head of a request at the first turn, and at every other after it;
/// at those between it answers one, which may take no time.
#[derive(Debug, Clone)]
struct Waits(Arc<AtomicUsize>);

impl Waits {
    fn for_a_head() -> Self {
        Waits(Arc::new(AtomicUsize::new(0)))
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the turn, if the connection waits.
    fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|turn| turn.is_multiple_of(2))
    }
}

/// A request that is being answered: the connection waits for the next one when this is gone.
struct Over(Waits);

impl Over {
    fn keep(&mut self) {}
}

impl Drop for Over {
    fn drop(&mut self) {
        self.0.next();
    }
}

/// A stream that fails when the head of a request takes too long from its first byte on, or nobody reads the reply.
struct Timed<S> {
    stream: S,
    waits: Waits,
    limits: Limits,
    /// The head that has begun.
    head: Option<Head>,
    /// When something must have been read of what waits to be.
    read_until: Option<Pin<Box<Sleep>>>,
}

/// A head of which something has come.
struct Head {
    turn: usize,
    begun: Instant,
    /// Only of one that did not come at once, as most do.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    fn new(stream: S, waits: Waits, limits: Limits) -> Self {
        Timed { stream, waits, limits, head: None, read_until: None }
    }

    /// What became of writing; fails if nothing has moved for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.read_until = None;
            return written;
        }
        let until = self.read_until.get_or_insert_with(|| Box::pin(sleep(self.limits.unread)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let turn = this.waits.get();
        this.head.take_if(|head| turn != Some(head.turn));
        if let Some(head) = &mut this.head {
            let left = this.limits.head.saturating_sub(head.begun.elapsed());
            let until = head.until.get_or_insert_with(|| Box::pin(sleep(left)));
            if until.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if let Some(turn) = turn
            && this.head.is_none()
            && buffer.filled().len() > before
        {
            this.head = Some(Head { turn, begun: Instant::now(), until: None });
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const LONGER: Duration = Duration::from_millis(200);

    /// The far end of a stream that holds 64 bytes.
    fn timed() -> (tokio::io::DuplexStream, Timed<tokio::io::DuplexStream>, Waits) {
        let (far, near) = tokio::io::duplex(64);
        let waits = Waits::for_a_head();
        let limits = Limits { connections: 1, idle: LONGER, head: LIMIT, unread: LIMIT, drain: LIMIT };
        let timed = Timed::new(near, waits.clone(), limits);
        (far, timed, waits)
    }

    /// Reads a byte that comes later than a head may.
    async fn comes_late(far: &mut tokio::io::DuplexStream, timed: &mut Timed<tokio::io::DuplexStream>) {
        let later = async {
            sleep(LONGER).await;
            far.write_all(b"G").await
        };
        let (read, written) = tokio::join!(timed.read_u8(), later);
        read.expect("it is there");
        written.expect("somebody reads");
    }

    #[tokio::test]
    async fn a_head_has_its_time_from_its_first_byte_on() {
        let (mut far, mut timed, waits) = timed();
        // However long it is silent before.
        comes_late(&mut far, &mut timed).await;
        let error = timed.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A body may take longer.
        waits.next();
        comes_late(&mut far, &mut timed).await;
    }

    #[tokio::test]
    async fn the_time_of_a_head_is_not_that_of_the_next() {
        let (mut far, mut timed, waits) = timed();
        far.write_all(b"G").await.expect("there is room");
        timed.read_u8().await.expect("it is there");
        // Answered before anything was read again.
        waits.next();
        waits.next();
        comes_late(&mut far, &mut timed).await;
    }

    #[tokio::test]
    async fn whoever_reads_nothing_of_the_reply_is_not_waited_for() {
        let (mut far, mut timed, _) = timed();
        timed.write_all(&[0; 64]).await.expect("there is room");
        let more = async { timed.write_all(&[0; 64]).await };
        let slowly = async {
            for _ in 0..8 {
                sleep(LIMIT / 2).await;
                far.read_exact(&mut [0; 8]).await.expect("it is there");
            }
        };
        tokio::join!(more, slowly).0.expect("it is read, if slowly");
        let error = timed.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
