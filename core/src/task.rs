//! Work that runs to its end, whatever becomes of the caller; and commands that do not wait for ever.

use std::future::{Future, IntoFuture};
use std::io;
use std::time::{Duration, Instant};

use mongodb::error::Error as DriverError;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::error::{Error, ErrorKind, Result as Outcome};

/// The work of a service that is under way, whether or not somebody waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks(TaskTracker);

impl Tasks {
    /// Runs `work` in a task of its own: a caller that goes away must not stop a command half way, which the
    /// driver does not bear. It begins at once, so that a caller's future need not hold it.
    pub(crate) fn to_the_end<T, W>(&self, work: W) -> impl Future<Output = Outcome<T>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Outcome<T>> + Send + 'static,
    {
        let panicked = || Error::Internal { reason: "the operation panicked".to_owned(), source: None };
        let task = self.0.spawn(work.in_current_span());
        async move { task.await.unwrap_or_else(|_| Err(panicked())) }
    }

    /// The same for work whose outcome nobody waits for. Does nothing when the runtime is gone.
    pub(crate) fn in_the_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.0.spawn_on(work.in_current_span(), &runtime);
        }
    }

    /// Something that counts as work while it is held.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Waits until all of it has ended.
    pub(crate) async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// How long to wait for the answer of a command that takes milliseconds: as long as a batch can be under way.
pub(crate) const SHORT: Duration = Duration::from_secs(3);
/// How long to wait for one that reads or changes up to 100,000 codes.
pub(crate) const MEDIUM: Duration = Duration::from_secs(15);
/// How long to wait for one that may have to look at millions of codes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A command to the database, or a part of its answer.
///
/// The driver waits for ever on a connection whose other end is gone without a word. One that is given up in
/// the middle of a command is closed by the driver, not used again.
pub(crate) trait Within<T>: IntoFuture<Output = Result<T, DriverError>> + Sized {
    /// Gives up waiting after `limit`. Whether the command is carried out is not known then.
    async fn within(self, limit: Duration) -> Result<T, DriverError> {
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
        tokio::time::timeout(limit, self).await.unwrap_or_else(|_| Err(silent().into()))
    }
}

impl<T, F: IntoFuture<Output = Result<T, DriverError>>> Within<T> for F {}

/// Does what may be done twice until the database answers, for so long.
pub(crate) async fn patiently<T, F: Future<Output = Outcome<T>>>(
    patience: Duration,
    mut work: impl FnMut() -> F,
) -> Outcome<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        match work().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && start.elapsed() < patience => {}
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}
