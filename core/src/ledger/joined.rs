//! What every reserve under a caller's id does with the ledger, for many callers at once.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::options::ReadConcern;

use super::{GRACE, KEEP, Owned, Wish, lease};
use crate::claim::Lease;
use crate::document::{self, later};
use crate::ids::ReserveId;
use crate::store::Store;
use crate::task::{SHORT, Within};

type Result<T> = std::result::Result<T, DriverError>;

/// An attempt that wants to own the entry of its id.
pub(super) struct Entering {
    id: ReserveId,
    token: ReserveId,
    parameters: Document,
}

impl Entering {
    pub(super) fn new(wish: &Wish<'_>, token: &ReserveId) -> Self {
        let parameters = doc! {
            "_id": wish.id.as_str(),
            "campaign_id": wish.pool.campaign.as_str(),
            "type": wish.pool.code_type.as_str(),
            "count": i64::from(wish.count),
            "state": "claiming",
            "owner": token.as_str(),
        };
        Entering { id: wish.id.clone(), token: token.clone(), parameters }
    }
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It owns the entry.
    Mine {
        owned: Owned,
        /// Codes may be in use under the id that no entry knew of: look again before claiming any.
        in_use: bool,
    },
    /// There is an entry already.
    Exists,
}

/// Makes the entries that are missing.
pub(super) async fn enter(store: Store, calls: Vec<Entering>) -> Result<Vec<Entered>> {
    let now = store.time().await?;
    let lease_end = later(now, lease(&store));
    let dates = doc! {
        "lease": lease_end,
        "reserved": now,
        "sweep": later(lease_end, GRACE),
        "purge": later(now, store.ttl + KEEP),
    };
    let entries = calls.iter().map(|call| {
        let mut entry = call.parameters.clone();
        entry.extend(dates.clone());
        entry
    });
    let known = known(store.ledger.insert_many(entries).ordered(false).within(SHORT).await)?;
    let made = calls.iter().enumerate().filter(|(place, _)| !known.contains(place));
    // Not before: who has confirmed the entries knows everything that a caller could know before it called.
    let in_use = in_use(&store, made.map(|(_, call)| call.id.as_str()).collect()).await?;
    let outcome = |(place, call): (usize, Entering)| {
        if known.contains(&place) {
            return Entered::Exists;
        }
        let in_use = in_use.contains(call.id.as_str());
        let Entering { id, token, .. } = call;
        let lease = Lease::until(lease_end);
        Entered::Mine { owned: Owned { id, token, reserved: now, lease, past: Vec::new() }, in_use }
    };
    Ok(calls.into_iter().enumerate().map(outcome).collect())
}

/// The places of those that were not inserted because there is an entry of that id.
fn known<T>(inserted: Result<T>) -> Result<HashSet<usize>> {
    let Err(error) = inserted else { return Ok(HashSet::new()) };
    if let DriverErrorKind::InsertMany(failed) = error.kind.as_ref()
        && failed.write_concern_error.is_none()
        && let Some(errors) = &failed.write_errors
        && errors.iter().all(|e| e.code == DUPLICATE)
    {
        return Ok(errors.iter().map(|e| e.index).collect());
    }
    Err(error)
}

/// What the server says when a key is there already.
const DUPLICATE: i32 = 11_000;

/// Those of the ids under which codes are reserved or assigned.
async fn in_use(store: &Store, ids: Vec<&str>) -> Result<HashSet<String>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let found = store
        .codes
        .find(doc! { "reserveId": { "$in": ids }, "date.reserved": { "$ne": Bson::Null } })
        .projection(doc! { "_id": 0, "reserveId": 1 })
        .read_concern(ReadConcern::local())
        .within(SHORT)
        .await?;
    let found: Vec<Document> = found.try_collect().within(SHORT).await?;
    Ok(found.iter().filter_map(|code| code.get_str("reserveId").ok().map(str::to_owned)).collect())
}

/// An attempt that has its codes.
pub(super) struct Granting {
    id: String,
    token: String,
    /// Whether others went before it, of which something may come yet.
    swept_later: bool,
}

impl Granting {
    pub(super) fn new(owned: &Owned) -> Self {
        Granting {
            id: owned.id.as_str().to_owned(),
            token: owned.token.as_str().to_owned(),
            swept_later: !owned.past.is_empty(),
        }
    }
}

/// Marks the entries that still belong to their attempts as granted. A token belongs to one id only, so the
/// two lists can stand side by side.
pub(super) async fn grant(store: Store, calls: Vec<Granting>) -> Result<Vec<bool>> {
    let mut granted = HashSet::new();
    for swept_later in [false, true] {
        let some: Vec<&Granting> = calls.iter().filter(|call| call.swept_later == swept_later).collect();
        if some.is_empty() {
            continue;
        }
        let ids: Vec<&str> = some.iter().map(|call| call.id.as_str()).collect();
        let tokens: Vec<&str> = some.iter().map(|call| call.token.as_str()).collect();
        let mut owned = doc! { "_id": { "$in": &ids }, "owner": { "$in": &tokens } };
        let mut change = doc! { "$set": { "state": "granted" } };
        if !swept_later {
            change.insert("$unset", doc! { "sweep": "" });
        }
        let mut in_time = owned.clone();
        in_time.insert("$expr", document::not_expired("$reserved", store.ttl));
        let done = store.ledger.update_many(in_time, change).within(SHORT).await?;
        if done.matched_count == some.len() as u64 {
            granted.extend(tokens);
            continue;
        }
        owned.insert("state", "granted");
        let found = store.ledger.find(owned).read_concern(ReadConcern::local()).within(SHORT).await?;
        let found: Vec<Document> = found.try_collect().within(SHORT).await?;
        let owners: HashSet<&str> = found.iter().filter_map(|entry| entry.get_str("owner").ok()).collect();
        granted.extend(tokens.into_iter().filter(|token| owners.contains(token)));
    }
    Ok(calls.iter().map(|call| granted.contains(call.token.as_str())).collect())
}
