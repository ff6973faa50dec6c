//! What batches have done: a record for each, and their sums.

use std::collections::HashMap;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::ImportUndo;
use crate::error::{Error, Result};
use crate::ids::InvalidText;
use crate::queue::{self, number};
use crate::save::Rejection;
use crate::store::{Store, database_error, is_duplicate};
use crate::task::{LONG, MEDIUM, Within};

/// How many batches of one process run at once.
pub(super) const IN_FLIGHT: usize = 2;

/// The sum of what batches have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) rejected: u64,
}

impl Totals {
    pub(super) fn parse(document: &Document) -> Self {
        let of = |field| number(document, field);
        Totals {
            rows: of("rows"),
            inserted: of("inserted"),
            updated: of("updated"),
            rejected: of("rejected"),
        }
    }

    pub(super) fn document(self) -> Document {
        let of = |value| i64::try_from(value).unwrap_or(i64::MAX);
        doc! {
            "rows": of(self.rows), "inserted": of(self.inserted), "updated": of(self.updated),
            "rejected": of(self.rejected),
        }
    }
}

/// The `_id` of a record.
pub(super) fn id(job: &str, n: i64) -> Document {
    doc! { "job": job, "n": n }
}

/// The name under which the records of an undoing stand.
pub(super) fn undo_of(job: &str) -> String {
    format!("{job}/undo")
}

/// The records of a job.
fn of(job: &str) -> Document {
    doc! { "_id": { "$gte": { "job": job, "n": Bson::MinKey }, "$lte": { "job": job, "n": Bson::MaxKey } } }
}

async fn sums(store: &Store, job: &str, fields: &[&str]) -> Result<Document> {
    let mut group = doc! { "_id": Bson::Null };
    for field in fields {
        group.insert(*field, doc! { "$sum": format!("${field}") });
    }
    let summed = async {
        store
            .batches
            .aggregate([doc! { "$match": of(job) }, doc! { "$group": group }])
            .await?
            .try_next()
            .await
    };
    let summed = summed.within(LONG).await.map_err(|e| database_error("adding an import up", e))?;
    Ok(summed.unwrap_or_default())
}

pub(super) async fn totals(store: &Store, job: &str) -> Result<Totals> {
    let summed = sums(store, job, &["rows", "inserted", "updated", "rejected"]).await?;
    Ok(Totals::parse(&summed))
}

pub(super) async fn undone(store: &Store, job: &str) -> Result<ImportUndo> {
    let summed = sums(store, &undo_of(job), &["removed", "kept"]).await?;
    Ok(ImportUndo { removed: number(&summed, "removed"), kept: number(&summed, "kept"), saved_again: 0 })
}

/// The batches that have records, each with the date of the codes that it has inserted.
pub(super) async fn numbers(store: &Store, job: &str) -> Result<HashMap<i64, Option<DateTime>>> {
    let found = async {
        let records = store.batches.find(of(job)).projection(doc! { "_id": 1, "saved": 1 }).await?;
        records.try_collect::<Vec<Document>>().await
    };
    let found =
        found.within(LONG).await.map_err(|e| database_error("looking what of an import is done", e))?;
    let one = |record: Document| {
        let n = record.get_document("_id").and_then(|id| id.get_i64("n")).ok()?;
        Some((n, record.get_datetime("saved").ok().copied()))
    };
    Ok(found.into_iter().filter_map(one).collect())
}

/// The reason of a rejection as records hold it.
pub(super) fn word(reason: InvalidText) -> &'static str {
    match reason {
        InvalidText::Empty => "empty",
        InvalidText::TooLong => "too_long",
        InvalidText::Control => "control",
        InvalidText::NotUtf8 => "not_utf8",
        InvalidText::NotJson => "not_json",
        InvalidText::OpenQuote => "open_quote",
    }
}

pub(super) fn rejected(store: Store, job: String) -> impl Stream<Item = Result<Rejection>> + Send + 'static {
    let failed = |e| database_error("looking for rejected rows", e);
    let records = async move {
        let mut filter = of(&job);
        filter.insert("rejected", doc! { "$gt": 0 });
        let records = store.batches.find(filter).sort(doc! { "_id": 1 }).projection(doc! { "rejections": 1 });
        records.within(MEDIUM).await.map_err(failed)
    };
    let rows = move |record: std::result::Result<Document, mongodb::error::Error>| {
        stream::iter(match record {
            Ok(record) => {
                let rows = record.get_array("rejections").map(Vec::as_slice).unwrap_or_default();
                rows.iter().map(rejection).collect()
            }
            Err(error) => vec![Err(failed(error))],
        })
    };
    stream::once(records).map_ok(move |records| records.map(rows).flatten()).try_flatten()
}

fn rejection(row: &Bson) -> Result<Rejection> {
    let known = [
        InvalidText::Empty,
        InvalidText::TooLong,
        InvalidText::Control,
        InvalidText::NotUtf8,
        InvalidText::NotJson,
        InvalidText::OpenQuote,
    ];
    let read = || {
        let row = row.as_document()?;
        let stored = row.get_str("reason").ok()?;
        let reason = known.into_iter().find(|reason| word(*reason) == stored)?;
        Some(Rejection { row: number(row, "row"), reason })
    };
    read().ok_or_else(|| Error::CorruptData { what: "a stored rejection cannot be read".to_owned() })
}

/// Makes sure that nothing is added to what the records say: takes every place that a process can still fill which has
/// lost the job without knowing.
///
/// Such a process sends a batch only when at least one of the two before it is done, and asks whose the job is when it
/// meets a record that is not its own. So behind two places in a row that are taken here it sends nothing.
pub(super) async fn close(store: &Store, job: &str) -> Result<()> {
    let now = store.server_time().await?;
    let (mut n, mut taken) = (0, 0);
    let known = numbers(store, job).await?;
    while taken < IN_FLIGHT {
        let is_ours = !known.contains_key(&n) && take(store, job, n, now).await?;
        taken = if is_ours { taken + 1 } else { 0 };
        n += 1;
    }
    Ok(())
}

/// Takes a place; false if there is the record of a batch. It may be repeated.
async fn take(store: &Store, job: &str, n: i64, now: DateTime) -> Result<bool> {
    let nothing = doc! { "_id": id(job, n), "rows": 0_i64, "closed": true, "purge": queue::purge(now) };
    // It waits for the transaction of such a batch.
    match store.batches.insert_one(nothing).within(LONG).await {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => {
            let closed =
                store.batches.find_one(doc! { "_id": id(job, n), "closed": true }).within(LONG).await;
            Ok(closed.map_err(|e| database_error("closing an import", e))?.is_some())
        }
        Err(error) => Err(database_error("closing an import", error)),
    }
}
