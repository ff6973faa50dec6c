//! Queries for candidates: codes that look available, by the status index.

use futures_util::TryStreamExt;
use mongodb::action::Find;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::claim::Pool;
use crate::error::{Error, Result};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, SHORT, Within};
use crate::{document, indexes};

/// How many codes are available, counted up to `most`: the free ones by the index alone.
pub(crate) async fn available(store: &Store, pool: &Pool, most: u32) -> Result<u32> {
    let last = free(store, pool).skip(u64::from(most) - 1).limit(1);
    if last.within(MEDIUM).await.map_err(failed)?.advance().within(SHORT).await.map_err(failed)? {
        return Ok(most);
    }
    count(store, pool, most).await
}

/// The free codes, by their place in the index alone: what is skipped is not read.
pub(super) fn free<'a>(store: &'a Store, pool: &Pool) -> Find<'a, Document> {
    let first = document::free(pool.filter());
    let mut last = first.clone();
    last.insert("date.assigned", Bson::MinKey);
    candidates(store, doc! {}).min(first).max(last)
}

async fn count(store: &Store, pool: &Pool, most: u32) -> Result<u32> {
    let in_index = free(store, pool).projection(doc! { "_id": 0, "type": 1 }).limit(most.into());
    let mut answers = in_index.batch().within(MEDIUM).await.map_err(failed)?;
    let mut free = 0;
    while let Some(answer) = answers.try_next().within(MEDIUM).await.map_err(failed)? {
        free += answer.doc_slices().map_err(failed)?.into_iter().count();
    }
    let free = u32::try_from(free).unwrap_or(most).min(most);
    if free == most {
        return Ok(most);
    }
    let stages = [
        doc! { "$match": document::expired_at(pool.filter(), store.server_time().await?, store.ttl) },
        doc! { "$limit": i64::from(most - free) },
        doc! { "$count": "expired" },
    ];
    let found = store
        .codes
        .aggregate(stages)
        .hint(Hint::Keys(indexes::by_status()))
        .read_concern(ReadConcern::local())
        .within(MEDIUM)
        .await
        .map_err(failed)?
        .try_next()
        .within(SHORT)
        .await
        .map_err(failed)?;
    let expired = found.and_then(|row| row.get_i32("expired").ok()).and_then(|n| u32::try_from(n).ok());
    Ok(free + expired.unwrap_or(0))
}

/// The codes whose reservation had expired at that moment of the server's clock.
pub(super) fn expired<'a>(store: &'a Store, pool: &Pool, now: DateTime) -> Find<'a, Document> {
    candidates(store, document::expired_at(pool.filter(), now, store.ttl))
}

/// The date of the oldest reservation in the pool.
pub(super) async fn first_reserved(store: &Store, pool: &Pool) -> Result<Option<DateTime>> {
    let mut reserved = document::unassigned(pool.filter());
    reserved.insert("date.reserved", doc! { "$type": "date" });
    // The index has the newest first.
    let oldest_first = doc! { "_id.campaign_id": 1, "type": -1, "date.reserved": 1, "date.assigned": 1 };
    let found = candidates(store, reserved)
        .projection(doc! { "date.reserved": 1 })
        .sort(oldest_first)
        .limit(1)
        .within(MEDIUM)
        .await
        .map_err(failed)?
        .try_next()
        .within(SHORT)
        .await
        .map_err(failed)?;
    let date = found.as_ref().and_then(|code| code.get_document("date").ok()?.get_datetime("reserved").ok());
    Ok(date.copied())
}

/// Read concern `local`: the primary's newest state. An older one would show a released code as taken.
fn candidates(store: &Store, filter: Document) -> Find<'_, Document> {
    store
        .codes
        .find(filter)
        .projection(doc! { "_id": 1 })
        .hint(Hint::Keys(indexes::by_status()))
        .read_concern(ReadConcern::local())
}

pub(super) fn failed(error: mongodb::error::Error) -> Error {
    database_error("looking for available codes", error)
}
