//! What the service is doing, for whoever wants to measure it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;

/// Something that has happened. None of it names a code or a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A reserve has ended with codes. A replay is none: its codes were reserved before.
    Reserved {
        /// How many codes were asked for.
        asked: u64,
        /// How many it got. Fewer are a short answer: the pool was seen empty.
        got: u64,
    },
    /// Codes were assigned.
    Assigned(u64),
    /// Codes were released.
    Released(u64),
    /// Codes were saved.
    Saved {
        /// New ones.
        inserted: u64,
        /// Those that were there.
        updated: u64,
    },
    /// A pool was looked through for candidates, as far as its window needs them.
    Fetched {
        /// How many came into the window. 0: there are no more than those that are being claimed.
        candidates: usize,
        /// How many the window holds now.
        window: usize,
    },
    /// A batch of claims was answered. What it did not win is a conflict: another process had those codes first.
    Batch {
        /// How many callers it was for.
        callers: usize,
        /// How many candidates it tried to reserve.
        codes: usize,
        /// How many of them it won.
        won: usize,
    },
    /// What a batch has won had to be looked up: it won a part of its codes, or its reply was lost.
    ReadBack,
    /// The database has answered a command, or failed to. It is told in the task that has sent it, inside the span of
    /// the call that it serves; a batch serves many calls, and is told inside that of its first.
    Command {
        /// The command: `update`, `find`.
        name: &'a str,
        /// From sending to the answer.
        duration: Duration,
        /// Whether the server took it. Errors of single writes count as taken.
        succeeded: bool,
    },
    /// A connection to a server was opened.
    ConnectionOpened,
    /// A connection was closed.
    ConnectionClosed,
    /// A connection was taken out of the pool for a command, after so long a wait.
    ConnectionTaken(Duration),
    /// A connection is back in the pool.
    ConnectionReturned,
    /// No connection could be had.
    ConnectionRefused,
}

/// Is told what happens; [`Options::observer`](crate::Options::observer) takes one.
///
/// It is called where the work is done, so it must be quick: count, and return. To be told of
/// commands costs the driver a copy of each.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use code_service::{Event, Observer};
///
/// let reserved = Arc::new(AtomicU64::new(0));
/// let count = Arc::clone(&reserved);
/// let observer = Observer::new(move |event| {
///     if let Event::Reserved { got, .. } = event {
///         count.fetch_add(*got, Ordering::Relaxed);
///     }
/// });
/// ```
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl Observer {
    /// An observer that hands everything to `saw`.
    pub fn new(saw: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(saw))
    }

    pub(crate) fn saw(&self, event: &Event<'_>) {
        (self.0)(event);
    }

    /// Has the driver tell it of commands and connections.
    pub(crate) fn watch(&self, client: &mut ClientOptions) {
        let commands = self.clone();
        client.command_event_handler = Some(EventHandler::callback(move |event| match event {
            CommandEvent::Succeeded(done) => commands.saw(&Event::Command {
                name: &done.command_name,
                duration: done.duration,
                succeeded: true,
            }),
            CommandEvent::Failed(done) => commands.saw(&Event::Command {
                name: &done.command_name,
                duration: done.duration,
                succeeded: false,
            }),
            _ => {}
        }));
        let connections = self.clone();
        client.cmap_event_handler = Some(EventHandler::callback(move |event| {
            connections.saw(&match event {
                CmapEvent::ConnectionCreated(_) => Event::ConnectionOpened,
                CmapEvent::ConnectionClosed(_) => Event::ConnectionClosed,
                CmapEvent::ConnectionCheckedOut(taken) => Event::ConnectionTaken(taken.duration),
                CmapEvent::ConnectionCheckedIn(_) => Event::ConnectionReturned,
                CmapEvent::ConnectionCheckoutFailed(_) => Event::ConnectionRefused,
                _ => return,
            });
        }));
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer(…)")
    }
}
