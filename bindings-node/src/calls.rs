//! Calls that are under way, and the way back of their answers.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use code_service::CodeService;
use futures_util::FutureExt;
use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use serde::Serialize;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::answers::Answer;
use crate::error::Failure;
use crate::methods::Pages;
use crate::runtime;
use crate::uploads::Uploads;

/// What all calls of a service share.
pub(crate) struct Calls {
    pub(crate) service: OnceLock<CodeService>,
    pub(crate) uploads: Uploads,
    pub(crate) exports: Exports,
    pub(crate) stacks: Stacks,
    answers: Answers,
    /// With those that are announced and have not begun.
    running: Mutex<HashMap<u32, Option<AbortHandle>>>,
    /// The tasks of calls, also of aborted ones, and what those leave to do.
    tasks: TaskTracker,
}

impl Calls {
    pub(crate) fn new(answers: Answers) -> Self {
        Calls {
            service: OnceLock::new(),
            uploads: Uploads::default(),
            exports: Exports::default(),
            stacks: Stacks::default(),
            answers,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs a call to its answer. A panic is an answer, too.
    pub(crate) fn run<T: Answer>(
        self: &Arc<Self>,
        call: u32,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) {
        self.run_or(call, work, |_| {});
    }

    /// The same, with something to do about an answer that came just when the call was aborted.
    pub(crate) fn run_or<T: Answer>(
        self: &Arc<Self>,
        call: u32,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        orphaned: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) {
        let calls = self.clone();
        self.start(
            call,
            self.tasks.track_future(async move {
                let outcome =
                    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Failure::panic()));
                calls.end(call, outcome, orphaned);
            }),
        );
    }

    fn start(&self, call: u32, task: impl Future<Output = ()> + Send + 'static) {
        let runtime = runtime::get();
        let mut running = self.running();
        // Or it was aborted before it began.
        if let Some(handle) = running.get_mut(&call) {
            *handle = Some(runtime.spawn(task).abort_handle());
        }
    }

    /// Goes on with what an aborted call has left to do.
    pub(crate) fn afterwards(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(work, runtime::get().handle());
    }

    /// Closes the service, as the last call.
    pub(crate) fn close(self: &Arc<Self>, call: u32) {
        let calls = self.clone();
        self.start(call, async move {
            let closed = AssertUnwindSafe(calls.close_service()).catch_unwind().await;
            calls.end(call, closed.map_err(|_| Failure::panic()), |_| {});
        });
    }

    /// Lets tasks end: what aborted calls give back would come too late afterwards.
    async fn close_service(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(service) = self.service.get() {
            service.close().await;
        }
    }

    /// Answers a call, unless it was aborted.
    pub(crate) fn end<T: Answer>(
        &self,
        call: u32,
        outcome: Result<T, Failure>,
        orphaned: impl FnOnce(Result<T, Failure>),
    ) {
        if self.forget(call).is_some() {
            self.answer(call, outcome);
        } else {
            orphaned(outcome);
        }
    }

    /// Calls that will begin: from here on they can be aborted.
    pub(crate) fn announce(&self, numbers: impl Iterator<Item = u32>) {
        self.running().extend(numbers.map(|number| (number, None)));
    }

    /// Answers a call. A long list goes ahead in pieces, each of which the event loop can bear.
    fn answer<T: Answer>(&self, call: u32, mut outcome: Result<T, Failure>) {
        if let Some(list) = outcome.as_mut().ok().and_then(T::list) {
            while list.len() > PIECE {
                let part: Vec<_> = list.drain(list.len() - PIECE..).collect();
                self.answers.give(&Message { part: Some(&part), ..Message::<(), _>::of(call) });
            }
        }
        self.answers.give(&match &outcome {
            Ok(ok) => Message { ok: Some(ok), ..Message::<_, ()>::of(call) },
            Err(error) => Message { error: Some(error), ..Message::of(call) },
        });
    }

    /// Answers that wait because there were too many for one turn of the event loop.
    pub(crate) fn more(&self) -> String {
        self.answers.more()
    }

    /// Says something about a call that goes on.
    pub(crate) fn tell<T: Serialize>(&self, call: u32, progress: &T) {
        self.answers.give(&Message { progress: Some(progress), ..Message::<_, ()>::of(call) });
    }

    /// Ends a call without an answer. False if it does not run: then its answer is on its way.
    pub(crate) fn abort(&self, call: u32) -> bool {
        self.exports.close(call);
        self.stacks.take(call);
        // First: what the end of its rows makes of a save is no answer any more.
        let task = self.running().remove(&call);
        // What was cut off is no row.
        self.uploads.end(call, true);
        if let Some(Some(task)) = &task {
            task.abort();
        }
        task.is_some()
    }

    pub(crate) fn abort_all(&self) {
        let running: Vec<u32> = self.running().keys().copied().collect();
        for call in running {
            self.abort(call);
        }
    }

    fn forget(&self, call: u32) -> Option<Option<AbortHandle>> {
        self.uploads.forget(call);
        self.stacks.take(call);
        self.running().remove(&call)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u32, Option<AbortHandle>>> {
        self.running.lock().expect("nothing panics while it holds this lock")
    }
}

/// Ends all calls when it is dropped, with the environment that they are of: a worker thread may end at any moment.
#[derive(Default)]
pub(crate) struct End(Arc<OnceLock<Weak<Calls>>>);

impl End {
    pub(crate) fn new() -> (End, impl FnOnce(&Arc<Calls>)) {
        let end = End::default();
        let of = end.0.clone();
        (end, move |calls: &Arc<Calls>| {
            let _ = of.set(Arc::downgrade(calls));
        })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(calls) = self.0.get().and_then(Weak::upgrade) {
            calls.abort_all();
            // Nobody else can, any more.
            runtime::get().spawn(async move { calls.close_service().await });
        }
    }
}

/// Exports whose codes are asked for page by page.
#[derive(Default)]
pub(crate) struct Exports(Mutex<HashMap<u32, Arc<Pages>>>);

impl Exports {
    pub(crate) fn open(&self, export: u32, pages: Arc<Pages>) {
        self.all().insert(export, pages);
    }

    pub(crate) fn get(&self, export: u32) -> Option<Arc<Pages>> {
        self.all().get(&export).cloned()
    }

    pub(crate) fn close(&self, export: u32) {
        self.all().remove(&export);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u32, Arc<Pages>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// Codes of a call that has not begun, because they are too many for one turn of the event loop.
#[derive(Default)]
pub(crate) struct Stacks(Mutex<HashMap<u32, Vec<String>>>);

impl Stacks {
    pub(crate) fn push(&self, call: u32, codes: Vec<String>) {
        self.all().entry(call).or_default().extend(codes);
    }

    pub(crate) fn take(&self, call: u32) -> Option<Vec<String>> {
        self.all().remove(&call)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u32, Vec<String>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// How many items of a list cross at once.
const PIECE: usize = 500;
/// How many bytes of answers, about.
const TURN: usize = 64 * 1024;

/// What JavaScript is told of a call.
#[derive(Serialize)]
struct Message<'a, T, I> {
    call: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a T>,
    /// Of the list of its answer, which follows: these come behind those.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Vec<I>>,
}

impl<T, I> Message<'_, T, I> {
    fn of(call: u32) -> Self {
        Message { call, ok: None, error: None, progress: None, part: None }
    }
}

type Wake = ThreadsafeFunction<(), (), String, Status, false, true>;

/// Answers on their way to JavaScript.
pub(crate) struct Answers {
    waiting: Arc<Mutex<VecDeque<String>>>,
    wake: Wake,
}

impl Answers {
    /// Answers to this function. It does not keep the process alive: JavaScript knows what it waits for. `ended` is
    /// dropped when JavaScript ends.
    pub(crate) fn to(
        settle: &Function<'_, String, ()>,
        ended: impl Send + Sync + 'static,
    ) -> napi::Result<Self> {
        let waiting = Arc::<Mutex<VecDeque<String>>>::default();
        let taken = waiting.clone();
        let wake = settle.build_threadsafe_function::<()>().weak::<true>().build_callback(move |_| {
            let _until_here = &ended;
            Ok(take(&taken))
        })?;
        Ok(Answers { waiting, wake })
    }

    fn give(&self, message: &impl Serialize) {
        let message = serde_json::to_string(message).expect("plain data");
        let first = {
            let mut waiting = lock(&self.waiting);
            waiting.push_back(message);
            waiting.len() == 1
        };
        if first {
            // One who is gone needs no answer.
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    fn more(&self) -> String {
        take(&self.waiting)
    }
}

/// Answers for one turn of the event loop, as a JSON array. Behind them `true`, if more wait: then JavaScript asks for
/// those in its next turn, and until none wait nobody wakes it.
fn take(waiting: &Mutex<VecDeque<String>>) -> String {
    let mut waiting = lock(waiting);
    let mut taken =
        String::with_capacity(waiting.iter().map(|message| message.len() + 1).sum::<usize>().min(2 * TURN));
    taken.push('[');
    while let Some(message) = waiting.pop_front() {
        if taken.len() > 1 {
            taken.push(',');
        }
        taken.push_str(&message);
        if taken.len() > TURN && !waiting.is_empty() {
            taken.push_str(",true");
            break;
        }
    }
    taken.push(']');
    taken
}

fn lock(waiting: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    waiting.lock().expect("nothing panics while it holds this lock")
}
