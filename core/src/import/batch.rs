//! One batch of an import: its codes and its record, both or neither.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use tokio::sync::{RwLock, watch};

use super::records::{self, IN_FLIGHT};
use crate::claim::Pool;
use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType};
use crate::observer::Event;
use crate::queue;
use crate::rows::Row;
use crate::save::Place;
use crate::store::{Store, database_error, is_duplicate, passing};
use crate::task::{LONG, SHORT, Within};

/// How long to wait before a batch is tried again that the database could not do.
const PAUSE: Duration = Duration::from_millis(100);

/// What all batches of a job know.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) store: Store,
    pub(super) id: String,
    pub(super) campaign: CampaignId,
    pub(super) code_type: CodeType,
    pub(super) dry_run: bool,
    /// Whether codes of the last batch were there already: then the next is looked up before it is inserted, as
    /// an insert that fails costs more.
    pub(super) known: AtomicBool,
    /// The dates, in milliseconds, that mark the codes which this import has inserted.
    pub(super) marks: Mutex<HashSet<i64>>,
    /// Whether the job is still this process's.
    pub(super) lost: watch::Receiver<bool>,
    /// Batches share it, unless one has failed, and is tried again alone.
    pub(super) crowd: RwLock<()>,
    /// For transactions: few, so that whoever comes after this process can end them.
    pub(super) sessions: Mutex<Vec<ClientSession>>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, by this call.
    Done,
    /// It had been done before, so others may be at work on the job.
    DoneBefore,
    /// The job is another's now.
    Lost,
}

/// Why a transaction did not come about.
enum Trouble {
    /// A code is there already.
    Known,
    /// The record is there already.
    DoneBefore,
    /// The next try can succeed.
    Passing,
    Final(Error),
}

impl Work {
    fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> Place {
        let pool = Pool { campaign: self.campaign.clone(), code_type: self.code_type.clone() };
        Place { store: self.store.clone(), pool }
    }

    /// Tries until it is known what became of it.
    async fn patiently<F>(&self, mut attempt: impl FnMut() -> F) -> Result<Outcome>
    where
        F: Future<Output = std::result::Result<(), Trouble>>,
    {
        let mut alone = false;
        loop {
            // Two large transactions can stand in each other's way for ever in a server that has little memory.
            let tried = if alone {
                let _alone = self.crowd.write().await;
                attempt().await
            } else {
                let _one_of_some = self.crowd.read().await;
                attempt().await
            };
            match tried {
                Ok(()) => return Ok(Outcome::Done),
                Err(Trouble::DoneBefore) => return Ok(Outcome::DoneBefore),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Known) => {}
                Err(Trouble::Passing) if self.is_lost() => return Ok(Outcome::Lost),
                Err(Trouble::Passing) => {
                    alone = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Saves the codes of a batch.
    pub(super) async fn save(&self, n: i64, rows: Vec<Row>) -> Result<Outcome> {
        let rows_in = rows.len();
        let (codes, rejections) = sorted_out(rows);
        let given = codes.len();
        let codes: Vec<Code> = distinct(codes);
        let look = AtomicBool::new(self.dry_run || self.known.load(Ordering::Relaxed));
        self.patiently(async || {
            let now = self.store.server_time().await.map_err(refused)?;
            // Earlier than any update that follows, so that no updated code carries the date.
            let mark = DateTime::from_millis(now.timestamp_millis() - 1);
            let (new, existing) = if look.load(Ordering::Relaxed) {
                self.new_and_existing(&codes).await?
            } else {
                (codes.clone(), Vec::new())
            };
            if !self.dry_run {
                // It may be done twice.
                let updated = self.place().update(&existing).await.map_err(refused)?;
                if updated < existing.len() as u64 {
                    // The import that had brought them is being undone: they are new again.
                    return Err(Trouble::Passing);
                }
            }
            let record = doc! {
                "_id": records::id(&self.id, n),
                "rows": rows_in as i64,
                "inserted": new.len() as i64,
                "updated": (given - new.len()) as i64,
                "rejected": rejections.len() as i64,
                "rejections": &rejections,
                "saved": mark,
                "purge": queue::purge(now),
            };
            if self.dry_run || new.is_empty() {
                self.record(&record).await?;
            } else {
                // Before others can see the codes.
                self.marks().insert(mark.timestamp_millis());
                self.insert(&record, &new, mark, &look).await?;
            }
            self.known.store(new.len() < codes.len(), Ordering::Relaxed);
            if !self.dry_run {
                let (inserted, updated) = (new.len() as u64, (given - new.len()) as u64);
                self.store.saw(Event::Saved { inserted, updated });
            }
            Ok(())
        })
        .await
    }

    /// The codes that are new; and those to be updated, which are those that are there, unless from an earlier row.
    async fn new_and_existing(&self, codes: &[Code]) -> std::result::Result<(Vec<Code>, Vec<Code>), Trouble> {
        let found = async {
            let filter = doc! { "_id": document::ids_in(&self.campaign, codes) };
            let fields = doc! { "_id": 1, "type": 1, "date.saved": 1 };
            let found = self.store.codes.find(filter).projection(fields).await?;
            found.try_collect::<Vec<Document>>().await
        };
        let found = found.within(LONG).await.map_err(|e| trouble("looking which codes exist", e))?;
        let (mut there, mut to_update) = (HashSet::new(), Vec::new());
        let marks = self.marks().clone();
        for stored in &found {
            let code = document::code(stored).map_err(Trouble::Final)?;
            let saved = stored.get_document("date").and_then(|date| date.get_datetime("saved"));
            let ours = saved.is_ok_and(|saved| marks.contains(&saved.timestamp_millis()));
            // Its date is the mark by which an undoing knows it.
            if !ours || stored.get_str("type").ok() != Some(self.code_type.as_str()) {
                to_update.push(code.clone());
            }
            there.insert(code);
        }
        Ok((codes.iter().filter(|code| !there.contains(*code)).cloned().collect(), to_update))
    }

    async fn record(&self, record: &Document) -> std::result::Result<(), Trouble> {
        let recorded = self.store.batches.insert_one(record).within(LONG).await;
        recorded.map(|_| ()).map_err(of_the_record)
    }

    async fn insert(
        &self,
        record: &Document,
        new: &[Code],
        mark: DateTime,
        look: &AtomicBool,
    ) -> std::result::Result<(), Trouble> {
        let codes = self.store.codes.clone_with_type::<RawDocumentBuf>();
        let documents =
            new.iter().map(|code| document::new_code(&self.campaign, code, &self.code_type, mark));
        let mut session = self.begin().await?;
        let written = async {
            // First, so that of two processes one waits for the other here.
            self.store
                .batches
                .insert_one(record)
                .session(&mut session)
                .within(LONG)
                .await
                .map_err(of_the_record)?;
            let inserted = codes.insert_many(documents).session(&mut session).within(LONG).await;
            inserted.map(|_| ()).map_err(|error| {
                if is_duplicate(&error) {
                    look.store(true, Ordering::Relaxed);
                    return Trouble::Known;
                }
                trouble("saving codes", error)
            })
        };
        let written = written.await;
        self.end(session, written).await
    }

    /// How many of the codes that a batch has inserted are, or were, reserved or assigned.
    pub(super) async fn used(&self, mark: DateTime, rows: Vec<Row>) -> Result<u64> {
        let mut used = self.inserted(mark, &distinct(sorted_out(rows).0));
        used.insert("$or", USED.map(|field| doc! { field: { "$ne": Bson::Null } }).to_vec());
        let counted = self.store.codes.count_documents(used).within(LONG).await;
        counted.map_err(|e| database_error("looking which codes are used", e))
    }

    /// Removes the codes that a batch has inserted and nobody has reserved.
    pub(super) async fn remove(&self, n: i64, mark: DateTime, rows: Vec<Row>) -> Result<Outcome> {
        let inserted = self.inserted(mark, &distinct(sorted_out(rows).0));
        let mut unused = inserted.clone();
        unused.extend(USED.map(|field| (field.to_owned(), Bson::Null)));
        let doing = "removing codes";
        self.patiently(async || {
            let now = self.store.server_time().await.map_err(refused)?;
            let mut session = self.begin().await?;
            let removed = async {
                let all = self
                    .store
                    .codes
                    .count_documents(inserted.clone())
                    .session(&mut session)
                    .within(LONG)
                    .await;
                let all = all.map_err(|e| trouble(doing, e))?;
                let removed =
                    self.store.codes.delete_many(unused.clone()).session(&mut session).within(LONG).await;
                let removed = removed.map_err(|e| trouble(doing, e))?.deleted_count;
                let record = doc! {
                    "_id": records::id(&records::undo_of(&self.id), n),
                    "removed": removed as i64,
                    "kept": all.saturating_sub(removed) as i64,
                    "purge": queue::purge(now),
                };
                let recorded = self.store.batches.insert_one(record).session(&mut session).within(LONG).await;
                recorded.map(|_| ()).map_err(of_the_record)
            };
            let removed = removed.await;
            self.end(session, removed).await
        })
        .await
    }

    /// Opens the sessions for transactions, and returns their ids.
    pub(super) async fn open_sessions(&self) -> Result<Vec<Bson>> {
        let mut ids = Vec::new();
        for _ in 0..IN_FLIGHT {
            let session = self.store.database.client().start_session().within(SHORT).await;
            let session = session.map_err(|e| database_error("opening a session", e))?;
            ids.push(session.id().clone().into());
            self.sessions().push(session);
        }
        Ok(ids)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<ClientSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self) -> std::result::Result<ClientSession, Trouble> {
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let open = self.sessions().pop();
        let begun = async {
            let mut session = match open {
                Some(session) => session,
                None => self.store.database.client().start_session().await?,
            };
            session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(concern).await?;
            Ok(session)
        };
        begun.within(LONG).await.map_err(|e| trouble("beginning a transaction", e))
    }

    /// Commits, or aborts what has gone wrong. If nobody knows whether it was committed, the record tells the next try.
    async fn end(
        &self,
        mut session: ClientSession,
        written: std::result::Result<(), Trouble>,
    ) -> std::result::Result<(), Trouble> {
        let ended = if written.is_ok() {
            session.commit_transaction().within(LONG).await
        } else {
            session.abort_transaction().within(LONG).await
        };
        let outcome = match (&ended, written) {
            // A transaction that cannot be aborted ends by itself within a minute.
            (_, Err(trouble)) => Err(trouble),
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), Ok(())) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                Err(Trouble::Passing)
            }
            (Err(error), Ok(())) => Err(trouble("committing a batch", error.clone())),
        };
        if ended.is_ok() {
            self.sessions().push(session);
        }
        outcome
    }

    /// Those of the codes that were inserted with a date.
    fn inserted(&self, mark: DateTime, codes: &[Code]) -> Document {
        doc! { "_id": document::ids_in(&self.campaign, codes), "date.saved": mark }
    }
}

/// What a code has that was reserved or assigned.
const USED: [&str; 2] = ["date.reserved", "date.assigned"];

/// The good codes, and the rows that hold none as records list them.
fn sorted_out(rows: Vec<Row>) -> (Vec<Code>, Vec<Document>) {
    let (mut codes, mut rejections) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row.code {
            Ok(code) => codes.push(code),
            Err(reason) => {
                rejections.push(doc! { "row": row.number as i64, "reason": records::word(reason) })
            }
        }
    }
    (codes, rejections)
}

fn distinct(mut codes: Vec<Code>) -> Vec<Code> {
    let mut seen = HashSet::with_capacity(codes.len());
    codes.retain(|code| seen.insert(code.clone()));
    codes
}

fn of_the_record(error: DriverError) -> Trouble {
    if is_duplicate(&error) { Trouble::DoneBefore } else { trouble("recording a batch", error) }
}

fn trouble(doing: &str, error: DriverError) -> Trouble {
    // What a transaction is answered that the server has ended.
    const NO_SUCH_TRANSACTION: i32 = 251;
    let gone = matches!(error.kind.as_ref(), DriverErrorKind::Command(c) if c.code == NO_SUCH_TRANSACTION);
    if gone || passing(&error) { Trouble::Passing } else { Trouble::Final(database_error(doing, error)) }
}

fn refused(error: Error) -> Trouble {
    match error {
        Error::Unavailable { .. } => Trouble::Passing,
        error => Trouble::Final(error),
    }
}
