//! The claim: taking available codes out of a pool so that nobody else can have them.
//!
//! A pool is the codes of one campaign and type. All callers of a process that want codes of one pool are
//! served together by one [worker](worker), which
//! 1. keeps a [window] of [candidate](candidates) `_id`s, fetched ahead, from a place of the pool where
//!    other processes are not;
//! 2. takes what is waiting into a [batch]: one command that reserves candidates for many callers, each
//!    guarded by "still available", so that the database decides who wins each code; several batches fly at
//!    once, and none waits for more callers to come;
//! 3. counts as won what the command's total confirms, or, when it is short, what a read-back finds; a batch
//!    whose reply is lost is [looked for](resolve), so that its callers need not be told that nobody knows;
//! 4. tries again for those who lost, until each has what it asked for or the pool was seen empty after it
//!    asked.
//!
//! A candidate that is lost was somebody else's success, so claimers cannot hold each other up.

mod batch;
mod candidates;
mod resolve;
mod window;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReadConcern;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::document;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::store::{Store, database_error};
use crate::task::{SHORT, Within, patiently};
use worker::{Demand, Worker};

pub(crate) use candidates::available;

/// For how long a batch can take effect after it has left.
pub(crate) const LONGEST: Duration = batch::BEGINS.saturating_add(batch::RUNS);

/// Where a claim takes codes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pool {
    pub(crate) campaign: CampaignId,
    pub(crate) code_type: CodeType,
}

impl Pool {
    /// What all its codes have in common, in the order of the status index.
    pub(crate) fn filter(&self) -> Document {
        doc! { "_id.campaign_id": self.campaign.as_str(), "type": self.code_type.as_str() }
    }
}

/// In whose name codes are claimed.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) id: ReserveId,
    /// The date that the ledger gave this attempt; None: the server's time of the update.
    pub(crate) date: Option<DateTime>,
    /// Until when codes may be claimed for it.
    pub(crate) lease: Lease,
}

impl Holder {
    /// A new id that nobody else knows.
    pub(crate) fn new() -> Self {
        Holder { id: ReserveId::random(), date: None, lease: Lease::until(DateTime::MAX) }
    }
}

/// Until when an attempt may claim codes, by the server's clock. Whoever owns the attempt puts that off while
/// it works.
#[derive(Debug, Clone)]
pub(crate) struct Lease(Arc<AtomicI64>);

impl Lease {
    pub(crate) fn until(end: DateTime) -> Self {
        Lease(Arc::new(AtomicI64::new(end.timestamp_millis())))
    }

    pub(crate) fn put_off(&self, end: DateTime) {
        self.0.store(end.timestamp_millis(), Ordering::Relaxed);
    }

    fn end(&self) -> DateTime {
        DateTime::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn is_over(&self, now: DateTime) -> bool {
        self.end() <= now
    }
}

/// What a claim got: at most what was asked, fewer only if the pool was seen empty.
///
/// Dropped on its way to the caller, its codes go back into the pool, unless the holder's id is one that a
/// caller knows and will ask for again.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) codes: Vec<Code>,
    /// A moment of the server's clock before the first of the codes was reserved; None if there are none.
    pub(crate) since: Option<DateTime>,
    error: Option<Error>,
    giver: Option<(Store, Holder)>,
}

impl Claim {
    fn new(
        store: Store,
        holder: Holder,
        codes: Vec<Code>,
        since: Option<DateTime>,
        error: Option<Error>,
    ) -> Self {
        let unknown = error.as_ref().is_some_and(|error| error.kind() == ErrorKind::OutcomeUnknown);
        let holds = !codes.is_empty() || unknown;
        let giver = (holder.date.is_none() && holds).then_some((store, holder));
        Claim { codes, since, error, giver }
    }

    /// It has reached the caller, who can ask for what an unknown outcome may have left under the id.
    fn arrived(mut self) -> Result<Claim> {
        let unknown = |error: &mut Error| error.kind() == ErrorKind::OutcomeUnknown || self.codes.is_empty();
        match self.error.take_if(unknown) {
            None => Ok(self),
            Some(error) => {
                self.giver = None;
                Err(error)
            }
        }
    }

    /// Why the codes are fewer than they might be, and are to be given back.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// The codes have reached whoever is to have them.
    pub(crate) fn keep(mut self) -> Vec<Code> {
        self.giver = None;
        std::mem::take(&mut self.codes)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((store, holder)) = self.giver.take() {
            // What cannot be given back for so long is available again when it expires.
            let tasks = store.tasks.clone();
            tasks.in_the_background(async move { drop(give_back(&store, &holder, UNSEEN).await) });
        }
    }
}

/// The workers of a process: one for each pool that somebody wants codes of.
#[derive(Debug)]
pub(crate) struct Claims {
    store: Store,
    workers: Mutex<HashMap<Pool, Way>>,
}

/// The way to a worker. A worker that has had nothing to do for a while takes itself out.
#[derive(Debug)]
struct Way {
    demands: mpsc::UnboundedSender<Demand>,
    /// How many free candidates it has in its window.
    ahead: Arc<AtomicUsize>,
}

impl Claims {
    pub(crate) fn new(store: Store) -> Self {
        Claims { store, workers: Mutex::default() }
    }

    /// Claims `want` codes, or all there are if those are fewer; or some, with the error that came between.
    ///
    /// On an error codes may be held under the holder's id if it is `outcome_unknown`, and are not if it is another.
    pub(crate) async fn claim(&self, pool: &Pool, holder: &Holder, want: usize) -> Result<Claim> {
        let (reply, receive) = oneshot::channel();
        let busy = self.store.tasks.token();
        self.send(pool, Demand { holder: holder.clone(), want, reply, span: Span::current(), _busy: busy });
        match receive.await {
            Ok(claim) => claim.arrived(),
            // A worker ends only when nothing is open; that its runtime was shut down is all that can happen.
            Err(_) => Err(Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: None }),
        }
    }

    /// How many codes this process knows to have been free a moment ago, without asking the database.
    pub(crate) fn ahead(&self, pool: &Pool) -> usize {
        let workers = self.lock();
        let alive = workers.get(pool).filter(|way| !way.demands.is_closed());
        alive.map_or(0, |way| way.ahead.load(Ordering::Relaxed))
    }

    fn send(&self, pool: &Pool, demand: Demand) {
        let mut workers = self.lock();
        let unsent = match workers.get(pool) {
            Some(way) => way.demands.send(demand).err().map(|refused| refused.0),
            None => Some(demand),
        };
        if let Some(demand) = unsent {
            workers.retain(|_, way| !way.demands.is_closed());
            let (demands, receive) = mpsc::unbounded_channel();
            let _ = demands.send(demand);
            let ahead = Arc::default();
            let worker = Worker::new(self.store.clone(), pool.clone(), receive, Arc::clone(&ahead));
            tokio::spawn(worker.run());
            workers.insert(pool.clone(), Way { demands, ahead });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pool, Way>> {
        self.workers.lock().expect("nothing panics while it holds this lock")
    }
}

/// How long the server may take to give codes back: what it has not done by then is done by the next try.
const GIVES_BACK: Duration = Duration::from_secs(5);
/// For how long to try to give codes back when nobody waits for it.
const UNSEEN: Duration = Duration::from_secs(600);

/// How many give-backs were sent that nobody has answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered(usize);

impl Unanswered {
    /// Whether nothing of them can be under way any more.
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Gives back every code that the holder still holds, and tries again for so long. Nothing of its claims may
/// be on its way any more.
///
/// # Errors
/// After one, nothing of it can happen any more either.
pub(crate) async fn give_back(store: &Store, holder: &Holder, patience: Duration) -> Result<Unanswered> {
    let mut held = document::held(doc! {}, &holder.id);
    if let Some(date) = holder.date {
        held.insert("date.reserved", date);
    }
    let (held, unanswered) = (&held, &AtomicUsize::new(0));
    let done = patiently(patience, || async move {
        let deadline = document::later(store.server_time().await?, batch::BEGINS);
        let command = doc! {
            "update": store.codes.name(),
            "updates": [{
                "q": document::begun_before(held.clone(), deadline), "u": document::released(), "multi": true,
            }],
            "writeConcern": { "w": "majority", "j": true },
            "maxTimeMS": document::millis(GIVES_BACK),
        };
        unanswered.fetch_add(1, Ordering::Relaxed);
        let given_back = store.write("giving codes back", command, GIVES_BACK).await?;
        unanswered.fetch_sub(1, Ordering::Relaxed);
        // One that has begun too late says what one says that finds nothing.
        if given_back == 0 && is_any(store, held).await? {
            return Err(Error::unavailable("codes were given back too late"));
        }
        Ok(())
    })
    .await;
    if done.is_err() {
        tokio::time::sleep(batch::BEGINS + GIVES_BACK).await;
    }
    done.map(|()| Unanswered(unanswered.load(Ordering::Relaxed)))
}

/// Whether there are such codes, as the primary knows them that a majority takes for it.
async fn is_any(store: &Store, held: &Document) -> Result<bool> {
    let found = store
        .codes
        .find_one(held.clone())
        .projection(doc! { "_id": 1 })
        .read_concern(ReadConcern::linearizable())
        .max_time(SHORT)
        .within(SHORT)
        .await;
    found.map(|found| found.is_some()).map_err(|e| database_error("looking for codes to give back", e))
}
