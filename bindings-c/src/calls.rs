//! A service with the threads that it works on, and calls on it: waited for, or answered later.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boundary;
use crate::error::Failure;

/// A service that is connected. Any number of threads may use it at once. Free it with `code_service_free`.
pub struct CodeService {
    pub(crate) core: code_service_core::CodeService,
    pub(crate) threads: Arc<Threads>,
}

/// What ends calls that nobody wants any more. One may be given to any number of calls. Free it with
/// `code_service_cancel_free`, also while calls use it.
pub struct CodeServiceCancel {
    token: CancellationToken,
}

/// The threads of a service: some that carry calls out, and one that callbacks run on.
pub(crate) struct Threads {
    runtime: Runtime,
    callbacks: Callbacks,
    /// Calls that will be answered by a callback.
    calls: TaskTracker,
    /// Exports are not to wait any longer for what runs on the thread of the callbacks.
    leaving: CancellationToken,
}

impl Threads {
    pub(crate) fn start(workers: usize) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("code-service")
            .enable_all()
            .build()
            .map_err(|_| Failure::internal("the process cannot start threads"))?;
        let callbacks = Callbacks::start()?;
        Ok(Threads { runtime, callbacks, calls: TaskTracker::new(), leaving: CancellationToken::new() })
    }

    /// Waits for work, on the thread of the caller.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        // Lighter than the runtime's own way to wait, which counts where hundreds of threads do.
        let _inside = self.runtime.enter();
        futures_executor::block_on(work)
    }

    /// What starts calls. Its holder keeps nothing else: by the time that a call has begun its callback may have freed
    /// the service.
    pub(crate) fn starter(&self) -> Starter {
        Starter {
            runtime: self.runtime.handle().clone(),
            callbacks: self.callbacks.sender(),
            calls: self.calls.clone(),
        }
    }

    pub(crate) fn callbacks(&self) -> Sender {
        self.callbacks.sender()
    }

    pub(crate) fn leaving(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Waits until every call has been handed to its callback, and unless this is one of them, until they have run.
    fn ended(&self, close: impl Future<Output = ()>) {
        self.calls.close();
        let is_callback = self.callbacks.is_here();
        if is_callback {
            // Nothing else can run on this thread meanwhile.
            self.leaving.cancel();
        }
        self.runtime.block_on(async {
            self.calls.wait().await;
            close.await;
        });
        if is_callback {
            return;
        }
        self.callbacks.wait();
        while !self.calls.is_empty() {
            // A callback has called once more.
            self.runtime.block_on(self.calls.wait());
            self.callbacks.wait();
        }
    }

    /// Lets the callbacks that wait run, and ends.
    fn end(self) {
        let Threads { runtime, callbacks, .. } = self;
        callbacks.end();
        // Waits for a caller's function that still reads a file.
        drop(runtime);
    }

    /// Ends without waiting for anything: no call was made.
    pub(crate) fn abandon(self) {
        let Threads { runtime, callbacks, .. } = self;
        callbacks.end();
        // Not for a name server that is silent either.
        runtime.shutdown_background();
    }
}

/// Starts calls that callbacks answer.
pub(crate) struct Starter {
    runtime: Handle,
    callbacks: Sender,
    calls: TaskTracker,
}

impl Starter {
    /// Carries work out, and calls `done` with its outcome, once, on the thread of the callbacks.
    pub(crate) fn start<T: Send + 'static>(
        self,
        cancel: Option<&CodeServiceCancel>,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        done: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) {
        let Starter { runtime, callbacks, calls } = self;
        let token = token(cancel);
        let call = async move {
            let cancellable = async {
                if token.is_cancelled() {
                    return Err(Failure::cancelled());
                }
                tokio::select! {
                    biased;
                    outcome = work => outcome,
                    () = token.cancelled() => Err(Failure::cancelled()),
                }
            };
            let outcome = AssertUnwindSafe(cancellable).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Err(Failure::panic()));
            callbacks.send(Box::new(move || done(outcome)));
        };
        calls.spawn_on(call, &runtime);
    }
}

/// What cancels a call; nothing does if there is nothing to cancel it with.
pub(crate) fn token(cancel: Option<&CodeServiceCancel>) -> CancellationToken {
    cancel.map(|cancel| cancel.token.clone()).unwrap_or_default()
}

impl CodeService {
    pub(crate) fn new(core: code_service_core::CodeService, threads: Threads) -> Self {
        CodeService { core, threads: Arc::new(threads) }
    }

    /// A future of the core's answer, with a handle of its own on the service.
    pub(crate) fn call<T, W>(&self, work: impl FnOnce(code_service_core::CodeService) -> W) -> Call<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        Call { threads: Arc::clone(&self.threads), work: Box::pin(work(self.core.clone())) }
    }

    /// Lets calls and their callbacks end, and closes. Callbacks may use the service until then.
    fn end(&self) {
        self.threads.ended(self.core.close());
    }

    /// Ends the threads.
    fn leave(self) {
        // Cursors of exports keep them as long as they live.
        if let Some(threads) = Arc::into_inner(self.threads) {
            threads.end();
        }
    }
}

/// A call that has not begun.
pub(crate) struct Call<T> {
    threads: Arc<Threads>,
    work: Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>,
}

impl<T: Send + 'static> Call<T> {
    pub(crate) fn wait(self) -> Result<T, Failure> {
        self.threads.wait(self.work)
    }

    pub(crate) fn start(
        self,
        cancel: Option<&CodeServiceCancel>,
        done: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) {
        let Call { threads, work } = self;
        let starter = threads.starter();
        drop(threads);
        starter.start(cancel, work, done);
    }
}

type Callback = Box<dyn FnOnce() + Send>;

/// The thread that callbacks run on, one after another.
struct Callbacks {
    sender: Sender,
    thread: JoinHandle<()>,
}

/// Runs something on it.
#[derive(Clone)]
pub(crate) struct Sender(mpsc::Sender<Callback>);

impl Sender {
    pub(crate) fn send(&self, callback: Callback) {
        // It takes whatever comes while anybody can send.
        let _ = self.0.send(callback);
    }
}

impl Callbacks {
    fn start() -> Result<Self, Failure> {
        let (send, receive) = mpsc::channel::<Callback>();
        let run = move || {
            for callback in receive {
                // The callback itself is C, and does not panic; what is made for it may.
                boundary::plain((), callback);
            }
        };
        let thread = thread::Builder::new().name("code-service-cb".to_owned()).spawn(run);
        let thread = thread.map_err(|_| Failure::internal("the process cannot start threads"))?;
        Ok(Callbacks { sender: Sender(send), thread })
    }

    fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Whether the caller is a callback.
    fn is_here(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    /// Waits until those that were sent before have run. Not to be called on their thread.
    fn wait(&self) {
        let (run, ran) = mpsc::channel();
        self.sender.send(Box::new(move || {
            let _ = run.send(());
        }));
        let _ = ran.recv();
    }

    /// Lets the callbacks that wait run. On its own thread, they run when this callback is over.
    fn end(self) {
        let is_here = self.is_here();
        let Callbacks { sender, thread } = self;
        drop(sender);
        if !is_here {
            let _ = thread.join();
        }
    }
}

/// Lets calls that are under way end (those of other threads that wait for their answer, too), and closes the
/// connections. Exports end with `CODE_SERVICE_STATUS_CLOSED`, and so does what begins later. Closing twice is fine.
///
/// Waits for as long as the database takes to answer what is under way: at the most about `patience_ms`. Not to be
/// called from a function that reads a file, for which it would wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_close(
    service: *const CodeService,
    error: *mut *mut crate::error::CodeServiceError,
) -> crate::error::CodeServiceStatus {
    boundary::call(error, || {
        let service = boundary::get("service", service)?;
        service.threads.wait(async {
            service.core.close().await;
            Ok(())
        })
    })
}

/// Closes a service if that was not done, lets its callbacks run, ends its threads, and frees it. NULL is fine.
///
/// No other thread may use the service from here on but that of its callbacks: calls of theirs are answered
/// `CODE_SERVICE_STATUS_CLOSED`, and are waited for, too. From a callback it returns before the other callbacks of the
/// service have run: they run after this one, must not use the service, and exports end with
/// `CODE_SERVICE_STATUS_CLOSED`. Not to be called from a function that reads a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_free(service: *mut CodeService) {
    if let Some(alive) = boundary::get_optional(service) {
        boundary::plain((), || alive.end());
    }
    if let Some(service) = boundary::take(service) {
        boundary::plain((), || service.leave());
    }
}

/// Makes something to cancel calls with, which the caller frees with `code_service_cancel_free`.
#[unsafe(no_mangle)]
pub extern "C" fn code_service_cancel_new() -> *mut CodeServiceCancel {
    boundary::give(CodeServiceCancel { token: CancellationToken::new() })
}

/// Cancels the calls that it was given to, and those that it will be given to. A call that has not been answered is
/// answered `CODE_SERVICE_STATUS_CANCELLED`, soon; the save of a file when its `read` returns, which is not called any
/// more. A reserve without a reserve id gives back what it has claimed; any other call that has reached the database may
/// be carried out all the same. An export may hand over some codes more. NULL is fine, and so is twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_cancel(cancel: *const CodeServiceCancel) {
    if let Some(cancel) = boundary::get_optional(cancel) {
        boundary::plain((), || cancel.token.cancel());
    }
}

/// Frees it, and cancels nothing. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_cancel_free(cancel: *mut CodeServiceCancel) {
    drop(boundary::take(cancel));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CodeServiceStatus;

    #[test]
    fn a_panic_of_a_call_or_of_a_callback_is_an_error_and_ends_nothing() {
        let threads = Threads::start(1).expect("there are threads");
        let (said, heard) = mpsc::channel();
        threads.starter().start::<()>(None, async { panic!("of a test") }, move |outcome| {
            let _ = said.send(outcome.expect_err("it panics").status());
            panic!("of a test");
        });
        assert_eq!(heard.recv(), Ok(CodeServiceStatus::Internal));
        let (said, heard) = mpsc::channel();
        threads.starter().start(None, async { Ok(7) }, move |outcome| {
            let _ = said.send(outcome.ok());
        });
        assert_eq!(heard.recv(), Ok(Some(7)));
        threads.ended(async {});
        threads.end();
    }
}
