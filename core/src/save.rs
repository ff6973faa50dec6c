//! Save: an upload of codes into a campaign, insert first, update only what existed.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc};
use mongodb::error::ErrorKind as DriverErrorKind;
use tokio::task::{JoinError, JoinSet};

use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, InvalidText};
use crate::rows::Rows;
use crate::store::{Store, database_error};

/// The rows of one command.
const BATCH: usize = 10_000;
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
) -> Result<SaveReport> {
    let mut report = SaveReport::default();
    let mut running = JoinSet::new();
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
            if running.len() == IN_FLIGHT {
                report.add(running.join_next().await)?;
            }
            running.spawn(save_batch(store.clone(), campaign.clone(), code_type.clone(), codes));
        }
    };
    let mut outcome: Result<()> = read.await;
    // Also after an error: when this answers, nothing of it is still being written.
    while let Some(done) = running.join_next().await {
        outcome = outcome.and(report.add(Some(done)));
    }
    outcome.map(|()| report)
}

impl SaveReport {
    fn reject(&mut self, rejection: Rejection) {
        self.rejected += 1;
        if self.rejections.len() < MAX_REJECTIONS {
            self.rejections.push(rejection);
        }
    }

    fn add(&mut self, done: Option<std::result::Result<Result<(u64, u64)>, JoinError>>) -> Result<()> {
        let Some(done) = done else { return Ok(()) };
        let (inserted, updated) = done.map_err(|e| Error::Internal {
            reason: "a batch panicked".to_owned(),
            source: Some(e.into()),
        })??;
        self.inserted += inserted;
        self.updated += updated;
        Ok(())
    }
}

/// Saves codes, returns how many were new and how many were not.
async fn save_batch(
    store: Store,
    campaign: CampaignId,
    code_type: CodeType,
    codes: Vec<Code>,
) -> Result<(u64, u64)> {
    let given = codes.len();
    let mut seen = HashSet::with_capacity(given);
    let codes: Vec<Code> = codes.into_iter().filter(|code| seen.insert(code.clone())).collect();
    drop(seen);
    if codes.is_empty() {
        return Ok((0, given as u64));
    }
    let saved = store.server_time().await?;
    let existing = insert(&store, &campaign, &code_type, &codes, saved).await?;
    if !existing.is_empty() {
        let update = doc! { "$set": { "type": code_type.as_str() }, "$currentDate": { "date.saved": true } };
        store
            .codes
            .update_many(doc! { "_id": document::ids_in(&campaign, &existing) }, update)
            .await
            .map_err(|e| database_error("saving codes again", e))?;
    }
    let inserted = codes.len() - existing.len();
    Ok((inserted as u64, (given - inserted) as u64))
}

/// Inserts the codes that are new and returns the others.
async fn insert(
    store: &Store,
    campaign: &CampaignId,
    code_type: &CodeType,
    codes: &[Code],
    saved: DateTime,
) -> Result<Vec<Code>> {
    let documents: Vec<Document> =
        codes.iter().map(|code| document::new_code(campaign, code, code_type, saved)).collect();
    let Err(error) = store.codes.insert_many(documents).ordered(false).await else { return Ok(Vec::new()) };
    if let DriverErrorKind::InsertMany(failed) = error.kind.as_ref()
        && failed.write_concern_error.is_none()
        && let Some(errors) = &failed.write_errors
        // 11000: the key is there already.
        && errors.iter().all(|e| e.code == 11_000)
    {
        return Ok(errors.iter().map(|e| codes[e.index].clone()).collect());
    }
    Err(database_error("saving codes", error))
}
