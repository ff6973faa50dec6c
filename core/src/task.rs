//! Work that runs to its end, whatever becomes of the caller.

use std::future::Future;

use tracing::Instrument;

use crate::error::{Error, Result};

/// Runs `work` in a task of its own: a caller that goes away must not stop a command half way, which the
/// driver does not bear. It begins at once, so that a caller's future need not hold it.
pub(crate) fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let panicked = || Error::Internal { reason: "the operation panicked".to_owned(), source: None };
    let task = tokio::spawn(work.in_current_span());
    async move { task.await.unwrap_or_else(|_| Err(panicked())) }
}

/// The same for work whose outcome nobody waits for. Does nothing when the runtime is gone.
pub(crate) fn in_the_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work.in_current_span());
    }
}
