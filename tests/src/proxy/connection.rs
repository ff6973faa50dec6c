//! One connection through the proxy, from its first message to its end.

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::faults::Fault;
use super::{Fate, Shared};
use crate::wire::Message;

/// The request whose reply is not forwarded.
type Doomed = Mutex<Option<i32>>;

fn lock(doomed: &Doomed) -> MutexGuard<'_, Option<i32>> {
    doomed.lock().expect("nobody panics while holding a number")
}

/// How a client's connection ends, unless one side closes it.
enum End {
    Cut,
    Swallowed,
    Late(Message, Duration),
}

/// Serves a connection until one side closes it or a fault does.
pub(super) async fn serve(mut client: TcpStream, mut server: TcpStream, shared: &Shared) -> io::Result<()> {
    let first = Message::read(&mut client).await?;
    if first.is_hello_of_member() {
        server.write_all(first.bytes()).await?;
        return copy_bidirectional(&mut client, &mut server).await.map(|_| ());
    }
    let mut fate = shared.state().current().subscribe();
    let mut end = pass(first, &mut client, &mut server, &mut fate, shared).await;
    if let Ok(End::Swallowed) = end {
        shared.hit(|hits| hits.swallowed += 1);
        until(&mut fate, Fate::Cut).await;
        end = Ok(End::Cut);
    }
    if *fate.borrow() == Fate::Cut {
        shared.hit(|hits| hits.cut_connections += 1);
    }
    // In this order: who cuts waits until nobody listens to the fate, and then the connection is closed.
    drop(client);
    drop(fate);
    match end? {
        End::Late(request, delay) => land(request, delay, server, shared).await,
        End::Cut | End::Swallowed => Ok(()),
    }
}

/// Moves messages both ways until something ends it.
async fn pass(
    first: Message,
    client: &mut TcpStream,
    server: &mut TcpStream,
    fate: &mut watch::Receiver<Fate>,
    shared: &Shared,
) -> io::Result<End> {
    let doomed = Doomed::default();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut is_dead = fate.clone();
    // The connection's fate is looked at first, so that nothing that was sent after its turn gets through.
    tokio::select! {
        biased;
        () = until(fate, Fate::Cut) => Ok(End::Cut),
        () = until(&mut is_dead, Fate::Dead) => Ok(End::Swallowed),
        end = requests(first, from_client, to_server, &doomed, shared) => end,
        end = replies(from_server, to_client, &doomed, shared) => end,
    }
}

/// Waits until a connection has this fate.
async fn until(fate: &mut watch::Receiver<Fate>, wanted: Fate) {
    // The proxy is gone: its runtime ends this task, too.
    if fate.wait_for(|fate| *fate == wanted).await.is_err() {
        std::future::pending().await
    }
}

/// Brings the server a request that its client has given up. The connection is at rest until then: a client
/// sends nothing while it waits for a reply.
async fn land(request: Message, delay: Duration, mut server: TcpStream, shared: &Shared) -> io::Result<()> {
    tokio::time::sleep(delay).await;
    server.write_all(request.bytes()).await?;
    while Message::read(&mut server).await?.response_to() != request.request_id() {}
    shared.hit(|hits| hits.landed += 1);
    Ok(())
}

async fn requests(
    first: Message,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    doomed: &Doomed,
    shared: &Shared,
) -> io::Result<End> {
    let mut request = first;
    loop {
        let delay = shared.state().faults.delay(&request);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let fault = shared.state().faults.take(&request);
        match fault {
            None => (),
            Some(Fault::CutRequest) => return Ok(End::Cut),
            Some(Fault::CutReply) => *lock(doomed) = Some(request.request_id()),
            Some(Fault::Late(delay)) => return Ok(End::Late(request, delay)),
        }
        to.write_all(request.bytes()).await?;
        request = Message::read(&mut from).await?;
    }
}

async fn replies(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    doomed: &Doomed,
    shared: &Shared,
) -> io::Result<End> {
    loop {
        let reply = Message::read(&mut from).await?;
        if *lock(doomed) == Some(reply.response_to()) {
            shared.hit(|hits| hits.cut_replies += 1);
            return Ok(End::Cut);
        }
        to.write_all(reply.bytes()).await?;
    }
}
