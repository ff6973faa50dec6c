//! A batch: one command that reserves candidates for many callers.
//!
//! Callers with few codes share one statement, a pipeline that gives each code the reserveId of the caller
//! it was meant for, found by the code's place in a list. That costs the database half of what a statement
//! for each caller does. A caller with many codes has a statement of its own, which needs no search.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, RawArrayBuf, RawBson, RawDocumentBuf, cstr, doc, rawdoc};
use mongodb::error::Error as DriverError;

use crate::claim::{Holder, Pool};
use crate::document;
use crate::ids::Code;
use crate::store::Store;

/// From how many codes on a caller has a statement of its own.
const OWN_STATEMENT: usize = 32;

/// What one caller is to get out of a batch.
pub(super) struct Share {
    /// The caller's number with the worker.
    pub(super) demand: u64,
    pub(super) holder: Holder,
    /// How many candidates it has.
    pub(super) asked: usize,
    /// Candidates before the command; afterwards the codes that were won.
    pub(super) codes: Vec<Code>,
}

/// Reserves the candidates of every share and leaves in each what it has won.
///
/// # Errors
/// Any means that it is unknown what was won, unless the command was never sent.
pub(super) async fn take(
    store: &Store,
    pool: &Pool,
    shares: &mut [Share],
    all_free: bool,
) -> Result<(), DriverError> {
    let sent: usize = shares.iter().map(|share| share.codes.len()).sum();
    let reply = store.database.run_raw_command(command(store, pool, shares, all_free)).await?;
    let whole = !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError");
    let modified = reply.get_i32("nModified").ok().and_then(|n| usize::try_from(n).ok());
    match modified {
        Some(modified) if whole && modified == sent => Ok(()),
        Some(0) if whole => {
            shares.iter_mut().for_each(|share| share.codes.clear());
            Ok(())
        }
        // Also when this is not sent, the batch was.
        Some(_) if whole => read_back(store, pool, shares)
            .await
            .map_err(|_| DriverError::custom("what a batch has won could not be read")),
        _ => Err(DriverError::custom("a batch of claims failed in part")),
    }
}

fn command(store: &Store, pool: &Pool, shares: &[Share], all_free: bool) -> RawDocumentBuf {
    let (own, joined): (Vec<&Share>, Vec<&Share>) =
        shares.iter().partition(|share| share.codes.len() >= OWN_STATEMENT);
    let guard = doc! { "type": pool.code_type.as_str() };
    let guard = if all_free { document::free(guard) } else { document::available(guard, store.ttl) };
    let guard = RawDocumentBuf::try_from(&guard).expect("names without a zero byte");
    let guarded = |codes: &mut dyn Iterator<Item = &Code>| {
        let mut ids = RawArrayBuf::new();
        for code in codes {
            ids.push(document::raw_id(&pool.campaign, code));
        }
        let mut query = rawdoc! { "_id": { "$in": ids } };
        for field in guard.iter_elements().flatten() {
            query.append(field.key(), field.value().expect("written above"));
        }
        query
    };
    let mut statements = RawArrayBuf::new();
    for share in &own {
        let query = guarded(&mut share.codes.iter());
        statements.push(rawdoc! { "q": query, "u": for_one(&share.holder), "multi": true });
    }
    if !joined.is_empty() {
        let query = guarded(&mut joined.iter().flat_map(|share| &share.codes));
        statements.push(rawdoc! { "q": query, "u": [for_many(&joined)], "multi": true });
    }
    rawdoc! {
        "update": store.codes.name(),
        "updates": statements,
        "ordered": false,
        // A raw command takes nothing from the client's settings.
        "writeConcern": { "w": "majority", "j": true },
    }
}

/// The update for codes of one holder.
fn for_one(holder: &Holder) -> RawDocumentBuf {
    match holder.date {
        Some(date) => rawdoc! { "$set": { "reserveId": holder.id.as_str(), "date.reserved": date } },
        None => rawdoc! {
            "$set": { "reserveId": holder.id.as_str() },
            "$currentDate": { "date.reserved": true },
        },
    }
}

/// The stage for codes of several holders: each finds its own by its place in the list.
fn for_many(shares: &[&Share]) -> RawDocumentBuf {
    let each = || shares.iter().flat_map(|share| share.codes.iter().map(|code| (code, &share.holder)));
    let (mut codes, mut ids) = (RawArrayBuf::new(), RawArrayBuf::new());
    for (code, holder) in each() {
        codes.push(code.as_str());
        ids.push(holder.id.as_str());
    }
    let place = rawdoc! { "$indexOfArray": [{ "$literal": codes }, "$_id.code"] };
    let mut set = rawdoc! { "reserveId": { "$arrayElemAt": [{ "$literal": ids }, place.clone()] } };
    if each().any(|(_, holder)| holder.date.is_some()) {
        let mut dates = RawArrayBuf::new();
        for (_, holder) in each() {
            dates.push(holder.date.map_or(RawBson::Null, RawBson::DateTime));
        }
        let own = rawdoc! { "$arrayElemAt": [{ "$literal": dates }, place] };
        set.append(cstr!("date.reserved"), rawdoc! { "$ifNull": [own, "$$NOW"] });
    } else {
        set.append(cstr!("date.reserved"), "$$NOW");
    }
    rawdoc! { "$set": set }
}

/// Finds out who won what, on the primary, by the reserveIds in the codes.
async fn read_back(store: &Store, pool: &Pool, shares: &mut [Share]) -> Result<(), DriverError> {
    let all: Vec<Code> = shares.iter().flat_map(|share| share.codes.iter().cloned()).collect();
    let filter = document::reserved(doc! { "_id": document::ids_in(&pool.campaign, &all) });
    let cursor =
        store.codes.find(filter).projection(doc! { "_id": 1, "reserveId": 1, "date.reserved": 1 }).await?;
    let found: Vec<Document> = cursor.try_collect().await?;
    let holders: HashMap<&str, &Document> = found
        .iter()
        .filter_map(|document| Some((document.get_document("_id").ok()?.get_str("code").ok()?, document)))
        .collect();
    for share in shares {
        let holder = &share.holder;
        share.codes.retain(|code| holders.get(code.as_str()).is_some_and(|document| won(document, holder)));
    }
    Ok(())
}

fn won(document: &Document, holder: &Holder) -> bool {
    let date = document.get_document("date").ok().and_then(|dates| dates.get_datetime("reserved").ok());
    document.get_str("reserveId").ok() == Some(holder.id.as_str())
        && date.is_some_and(|date| holder.date.is_none_or(|own| own == *date))
}
