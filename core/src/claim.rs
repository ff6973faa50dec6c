//! The claim: taking available codes out of a pool so that nobody else can have them.
//!
//! A pool is the codes of one campaign and type. All callers of a process that want codes of one pool are
//! served together by one [worker](worker), which
//! 1. keeps a [window] of candidate `_id`s, fetched ahead, from a place of the pool where other processes
//!    are not;
//! 2. takes what is waiting into a [batch]: one command that reserves candidates for many callers, each
//!    guarded by "still available", so that the database decides who wins each code; several batches fly at
//!    once, and none waits for more callers to come;
//! 3. counts as won what the command's total confirms, or, when it is short, what a read-back finds;
//! 4. tries again for those who lost, until each has what it asked for or the pool was seen empty after it
//!    asked.
//!
//! A candidate that is lost was somebody else's success, so claimers cannot hold each other up.

mod batch;
mod window;
mod worker;

use std::collections::HashMap;
use std::sync::Mutex;

use mongodb::bson::{DateTime, doc};
use tokio::sync::{mpsc, oneshot};

use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::store::{Store, database_error};
use worker::{Demand, Worker};

/// Where a claim takes codes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pool {
    pub(crate) campaign: CampaignId,
    pub(crate) code_type: CodeType,
}

/// In whose name codes are claimed.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) id: ReserveId,
    /// The date that the ledger gave this attempt; None: the server's time of the update.
    pub(crate) date: Option<DateTime>,
}

/// What a claim got: at most what was asked, fewer only if the pool was seen empty.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) codes: Vec<Code>,
    /// A moment of the server's clock before the first of the codes was reserved; None if there are none.
    pub(crate) since: Option<DateTime>,
}

/// The workers of a process: one for each pool that somebody wants codes of.
#[derive(Debug)]
pub(crate) struct Claims {
    store: Store,
    workers: Mutex<Workers>,
}

/// The way to each worker. A worker that has had nothing to do for a while takes itself out.
type Workers = HashMap<Pool, mpsc::UnboundedSender<Demand>>;

impl Claims {
    pub(crate) fn new(store: Store) -> Self {
        Claims { store, workers: Mutex::default() }
    }

    /// Claims `want` codes, or all there are if those are fewer.
    ///
    /// On an error nothing is given back here: codes may be held under the holder's id if it is
    /// `outcome_unknown`, and are not if it is another.
    pub(crate) async fn claim(&self, pool: &Pool, holder: &Holder, want: usize) -> Result<Claim> {
        let (reply, receive) = oneshot::channel();
        self.send(pool, Demand { holder: holder.clone(), want, reply });
        // A worker ends only when nothing is open; that its runtime was shut down is all that can happen.
        receive
            .await
            .unwrap_or_else(|_| Err(Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: None }))
    }

    fn send(&self, pool: &Pool, demand: Demand) {
        let mut workers = self.workers.lock().expect("nothing panics while it holds this lock");
        workers.retain(|_, worker| !worker.is_closed());
        let unsent = match workers.get(pool) {
            Some(worker) => worker.send(demand).err().map(|refused| refused.0),
            None => Some(demand),
        };
        if let Some(demand) = unsent {
            let (send, receive) = mpsc::unbounded_channel();
            let _ = send.send(demand);
            tokio::spawn(Worker::new(self.store.clone(), pool.clone(), receive).run());
            workers.insert(pool.clone(), send);
        }
    }
}

/// Whether at least `count` free codes are there, by their places in the index alone.
pub(crate) async fn has_free(store: &Store, pool: &Pool, count: u32) -> Result<bool> {
    window::free(store, pool)
        .skip(u64::from(count) - 1)
        .limit(1)
        .await
        .map_err(window::failed)?
        .advance()
        .await
        .map_err(window::failed)
}

/// Gives back every code that the holder still holds.
pub(crate) async fn give_back(store: &Store, holder: &Holder) -> Result<()> {
    let mut filter = document::held(doc! {}, &holder.id);
    if let Some(date) = holder.date {
        filter.insert("date.reserved", date);
    }
    store
        .codes
        .update_many(filter, document::released())
        .await
        .map_err(|e| database_error("giving codes back", e))?;
    Ok(())
}
