//! Small commands of many callers, joined into large ones.
//!
//! A command costs the database a hundred times what a document in it costs. Whoever comes while others are
//! on their way leaves with the next command; a lone caller never waits for company.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use mongodb::error::Error as DriverError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{Instrument, Span};

use crate::error::Result;
use crate::store::database_error;

/// How many commands fly at once.
const FLYING: usize = 2;
/// The most callers that one command serves.
const MOST: usize = 500;

/// What a command did for each of its callers, in their order.
type Outcomes<O> = std::result::Result<Vec<O>, DriverError>;
type Work<I, O> = Arc<dyn Fn(Vec<I>) -> Pin<Box<dyn Future<Output = Outcomes<O>> + Send>> + Send + Sync>;

struct Call<I, O> {
    input: I,
    /// What the caller does; a command belongs to that of its first.
    span: Span,
    reply: oneshot::Sender<std::result::Result<O, DriverError>>,
}

/// Calls that are carried out together.
pub(crate) struct Joined<I, O> {
    /// For errors: "granting".
    doing: &'static str,
    work: Work<I, O>,
    calls: Mutex<Option<mpsc::UnboundedSender<Call<I, O>>>>,
}

impl<I: Send + 'static, O: Send + 'static> Joined<I, O> {
    /// `work` does for many callers what each of them asked for.
    pub(crate) fn new<F>(doing: &'static str, work: impl Fn(Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcomes<O>> + Send + 'static,
    {
        Joined { doing, work: Arc::new(move |inputs| Box::pin(work(inputs))), calls: Mutex::default() }
    }

    /// Has one call carried out, together with those of others.
    pub(crate) async fn call(&self, input: I) -> Result<O> {
        let (reply, receive) = oneshot::channel();
        self.send(Call { input, span: Span::current(), reply });
        let lost = || Err(DriverError::custom("the command was stopped"));
        receive.await.unwrap_or_else(|_| lost()).map_err(|e| database_error(self.doing, e))
    }

    fn send(&self, call: Call<I, O>) {
        let mut calls = self.calls.lock().expect("nothing panics while it holds this lock");
        let unsent = match &*calls {
            Some(open) => open.send(call).err().map(|refused| refused.0),
            None => Some(call),
        };
        if let Some(call) = unsent {
            // The first call, or its runtime has ended since.
            let (send, receive) = mpsc::unbounded_channel();
            let _ = send.send(call);
            tokio::spawn(run(Arc::clone(&self.work), receive));
            *calls = Some(send);
        }
    }
}

impl<I, O> fmt::Debug for Joined<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("doing", &self.doing).finish_non_exhaustive()
    }
}

/// Ends when whoever could call is gone.
async fn run<I: Send + 'static, O: Send + 'static>(
    work: Work<I, O>,
    mut calls: mpsc::UnboundedReceiver<Call<I, O>>,
) {
    let free = Arc::new(Semaphore::new(FLYING));
    while let Some(first) = calls.recv().await {
        let permit = Arc::clone(&free).acquire_owned().await.expect("never closed");
        // Whoever was woken by the same event is company, and no waiting.
        tokio::task::yield_now().await;
        let mut together = vec![first];
        while together.len() < MOST
            && let Ok(call) = calls.try_recv()
        {
            together.push(call);
        }
        let span = together[0].span.clone();
        let (inputs, replies): (Vec<I>, Vec<_>) =
            together.into_iter().map(|call| (call.input, call.reply)).unzip();
        let outcomes = work(inputs);
        let answer = async move {
            match outcomes.await {
                Ok(outcomes) => {
                    for (reply, outcome) in replies.into_iter().zip(outcomes) {
                        let _ = reply.send(Ok(outcome));
                    }
                }
                Err(error) => {
                    for reply in replies {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
            drop(permit);
        };
        tokio::spawn(answer.instrument(span));
    }
}
