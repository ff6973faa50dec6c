//! Save: an upload of codes into a campaign, insert first, update only what existed.
//!
//! An insert of what exists costs the database and us an error for each code. So a file of which a batch was
//! mostly known is gone on with the other way round: update first, insert only what did not exist. Either way
//! a code that comes or is saved by another meanwhile ends up as if one had been before the other.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind as DriverErrorKind;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use crate::claim::Pool;
use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, InvalidText};
use crate::rows::Rows;
use crate::store::{Store, database_error, is_duplicate};
use crate::task::{LONG, Within};

/// The rows of one command, about: a piece of a file more.
const BATCH: usize = 5_000;
/// How many commands run at once.
const IN_FLIGHT: usize = 2;
/// The most rejected rows that a report lists; all are counted.
pub const MAX_REJECTIONS: usize = 1_000;

/// What a save did: `rows` = `inserted` + `updated` + `rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SaveReport {
    /// Rows read: `in` in the other faces of the service.
    pub rows: u64,
    /// Codes that were new.
    pub inserted: u64,
    /// Rows whose code was there already, from before or from an earlier row.
    pub updated: u64,
    /// Rows that hold no valid code.
    pub rejected: u64,
    /// The first [`MAX_REJECTIONS`] of them.
    pub rejections: Vec<Rejection>,
}

/// A row that a save did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// The row's number: its line in a file, its place in a list from 1.
    pub row: u64,
    /// Why.
    pub reason: InvalidText,
}

pub(crate) async fn save(
    store: &Store,
    campaign: &CampaignId,
    code_type: &CodeType,
    mut rows: Rows,
    mut progress: impl FnMut(&SaveReport),
) -> Result<SaveReport> {
    let mut report = SaveReport::default();
    let mut running = JoinSet::new();
    // What the last batch that ended has met; None before one has.
    let mut known = None;
    let read = async {
        loop {
            let batch = rows.next_batch(BATCH).await.map_err(|e| Error::Unavailable {
                reason: format!(
                    "reading the codes failed after row {}; what came before is saved",
                    report.rows
                ),
                source: Some(e.into()),
            })?;
            if batch.is_empty() {
                return Ok(());
            }
            report.rows += batch.len() as u64;
            let mut codes = Vec::with_capacity(batch.len());
            for row in batch {
                match row.code {
                    Ok(code) => codes.push(code),
                    Err(reason) => report.reject(Rejection { row: row.number, reason }),
                }
            }
            // The first one alone: it tells what the file is like.
            if running.len() == IN_FLIGHT || (known.is_none() && !running.is_empty()) {
                known = report.add(running.join_next().await)?;
                progress(&report);
            }
            let known = known.unwrap_or(false);
            let batch = save_batch(store.clone(), campaign.clone(), code_type.clone(), codes, known);
            running.spawn(batch.in_current_span());
        }
    };
    let mut outcome: Result<()> = read.await;
    // Also after an error: when this answers, nothing of it is still being written.
    while let Some(done) = running.join_next().await {
        // What a batch failed of matters more: then what came before is not saved.
        outcome = report.add(Some(done)).and(outcome);
    }
    outcome.map(|()| {
        progress(&report);
        report
    })
}

impl SaveReport {
    fn reject(&mut self, rejection: Rejection) {
        self.rejected += 1;
        if self.rejections.len() < MAX_REJECTIONS {
            self.rejections.push(rejection);
        }
    }

    /// Takes in what a batch did. Returns whether most of its codes were known, if it had any.
    fn add(
        &mut self,
        done: Option<std::result::Result<Result<(u64, u64)>, JoinError>>,
    ) -> Result<Option<bool>> {
        let Some(done) = done else { return Ok(None) };
        let (inserted, updated) = done.map_err(|e| Error::Internal {
            reason: "a batch panicked".to_owned(),
            source: Some(e.into()),
        })??;
        self.inserted += inserted;
        self.updated += updated;
        Ok((inserted + updated > 0).then_some(updated > inserted))
    }
}

/// Saves codes, returns how many were new and how many were not. `known`: most of them are likely to exist.
async fn save_batch(
    store: Store,
    campaign: CampaignId,
    code_type: CodeType,
    codes: Vec<Code>,
    known: bool,
) -> Result<(u64, u64)> {
    let place = Place { store, pool: Pool { campaign, code_type } };
    let given = codes.len() as u64;
    let mut inserted = 0;
    let mut new = if known { place.update_first(codes).await? } else { codes };
    while !new.is_empty() {
        let existing = place.insert(&new).await?;
        inserted += (new.len() - existing.len()) as u64;
        // Those that are gone meanwhile, as the import that had brought them was undone, are new again.
        new = place.update_first(existing).await?;
    }
    Ok((inserted, given - inserted))
}

/// Where the codes of a batch belong.
pub(crate) struct Place {
    pub(crate) store: Store,
    pub(crate) pool: Pool,
}

impl Place {
    /// Inserts the codes that are new and returns the others. One that comes twice is another the second time.
    async fn insert(&self, codes: &[Code]) -> Result<Vec<Code>> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        let saved = self.store.server_time().await?;
        let known = insert_new(&self.store, &self.pool, codes, saved).await?;
        Ok(known.into_iter().map(|place| codes[place].clone()).collect())
    }

    /// Updates the codes that exist, and returns how many those are.
    pub(crate) async fn update(&self, codes: &[Code]) -> Result<u64> {
        if codes.is_empty() {
            return Ok(0);
        }
        let update =
            doc! { "$set": { "type": self.pool.code_type.as_str() }, "$currentDate": { "date.saved": true } };
        let updated = self.store.codes.update_many(self.among(codes), update).within(LONG).await;
        Ok(updated.map_err(|e| database_error("saving codes again", e))?.matched_count)
    }

    /// Updates the codes that exist, and returns the others.
    async fn update_first(&self, mut codes: Vec<Code>) -> Result<Vec<Code>> {
        // Fewer may only mean that a code is among them twice.
        if self.update(&codes).await? == codes.len() as u64 {
            return Ok(Vec::new());
        }
        let failed = |e| database_error("looking which codes exist", e);
        let found =
            self.store.codes.find(self.among(&codes)).projection(doc! { "_id": 1 }).within(LONG).await;
        let found: Vec<Document> = found.map_err(failed)?.try_collect().within(LONG).await.map_err(failed)?;
        let found: HashSet<Code> = found.iter().map(document::code).collect::<Result<_>>()?;
        codes.retain(|code| !found.contains(code));
        Ok(codes)
    }

    fn among(&self, codes: &[Code]) -> Document {
        doc! { "_id": document::ids_in(&self.pool.campaign, codes) }
    }
}

/// Inserts the codes that are new, and returns the places of the others. None of those is touched.
pub(crate) async fn insert_new(
    store: &Store,
    pool: &Pool,
    codes: &[Code],
    saved: DateTime,
) -> Result<Vec<usize>> {
    let new = |code| document::new_code(&pool.campaign, code, &pool.code_type, saved);
    let collection = store.codes.clone_with_type::<RawDocumentBuf>();
    let inserted = collection.insert_many(codes.iter().map(new)).ordered(false).within(LONG).await;
    let Err(error) = inserted else { return Ok(Vec::new()) };
    if is_duplicate(&error)
        && let DriverErrorKind::InsertMany(failed) = error.kind.as_ref()
        && let Some(errors) = &failed.write_errors
    {
        return Ok(errors.iter().map(|e| e.index).collect());
    }
    Err(database_error("saving codes", error))
}
