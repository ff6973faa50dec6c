//! A batch: one command that reserves candidates for many callers.
//!
//! Callers with few codes share one statement, a pipeline that gives each code the reserveId of the caller
//! it was meant for, found by the code's place in a list. That costs the database half of what a statement
//! for each caller does. A caller with many codes has a statement of its own, which needs no search.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
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
    let reply = store.database.run_command(command(store, pool, shares, all_free)).await?;
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

fn command(store: &Store, pool: &Pool, shares: &[Share], all_free: bool) -> Document {
    let (own, joined): (Vec<&Share>, Vec<&Share>) =
        shares.iter().partition(|share| share.codes.len() >= OWN_STATEMENT);
    let guarded = |codes: &mut dyn Iterator<Item = &Code>| {
        let ids: Vec<Bson> = codes.map(|code| document::id(&pool.campaign, code).into()).collect();
        let among = doc! { "_id": { "$in": ids }, "type": pool.code_type.as_str() };
        if all_free { document::free(among) } else { document::available(among, store.ttl) }
    };
    let mut statements: Vec<Bson> = own
        .iter()
        .map(|share| {
            let query = guarded(&mut share.codes.iter());
            doc! { "q": query, "u": for_one(&share.holder), "multi": true }.into()
        })
        .collect();
    if !joined.is_empty() {
        let query = guarded(&mut joined.iter().flat_map(|share| &share.codes));
        statements.push(doc! { "q": query, "u": [for_many(&joined)], "multi": true }.into());
    }
    doc! {
        "update": store.codes.name(),
        "updates": statements,
        "ordered": false,
        // A raw command takes nothing from the client's settings.
        "writeConcern": { "w": "majority", "j": true },
    }
}

/// The update for codes of one holder.
fn for_one(holder: &Holder) -> Document {
    match holder.date {
        Some(date) => doc! { "$set": { "reserveId": holder.id.as_str(), "date.reserved": date } },
        None => doc! {
            "$set": { "reserveId": holder.id.as_str() },
            "$currentDate": { "date.reserved": true },
        },
    }
}

/// The stage for codes of several holders: each finds its own by its place in the list.
fn for_many(shares: &[&Share]) -> Document {
    let each = || shares.iter().flat_map(|share| share.codes.iter().map(|code| (code, &share.holder)));
    let list = |values: Vec<Bson>| doc! { "$literal": values };
    let codes = list(each().map(|(code, _)| code.as_str().into()).collect());
    let place = doc! { "$indexOfArray": [codes, "$_id.code"] };
    let ids = list(each().map(|(_, holder)| holder.id.as_str().into()).collect());
    let mut set = doc! {};
    if each().any(|(_, holder)| holder.date.is_some()) {
        let dates = list(each().map(|(_, holder)| holder.date.map_or(Bson::Null, Bson::from)).collect());
        set.insert("date.reserved", doc! { "$ifNull": [{ "$arrayElemAt": [dates, &place] }, "$$NOW"] });
    } else {
        set.insert("date.reserved", "$$NOW");
    }
    set.insert("reserveId", doc! { "$arrayElemAt": [ids, place] });
    doc! { "$set": set }
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
