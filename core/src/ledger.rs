//! The ledger: at most one set of codes for a reserveId that callers bring themselves.
//!
//! Two processes may be asked for the same id at once, and each may die at any moment. Before an attempt
//! claims codes it becomes the owner of the id's entry; it may return its codes only after it has marked the
//! entry `granted` while still its owner and within its lease. Every attempt under one id marks its codes
//! with a `date.reserved` of its own, which the entry names: codes under the id with another date belong to
//! an attempt that died, are never returned, and go back.
//!
//! ```text
//! { _id: reserveId, campaign_id, type, count, state: "claiming" | "granted",
//!   owner: String, lease: Date, reserved: Date, purge: Date }
//! ```

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ReturnDocument;

use crate::claim::Pool;
use crate::document::millis;
use crate::error::{Error, Result};
use crate::ids::ReserveId;
use crate::store::{Store, database_error};

/// How long an attempt may take before another may take over; a reservation shorter than that halves it.
const LEASE: Duration = Duration::from_secs(10);
/// How long an entry outlives its reservation, so that the id answers `reservation_expired`.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One attempt's entry in the ledger, as it stands.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) state: State,
    /// The date that marks the codes of the attempt that owns the entry.
    pub(crate) reserved: DateTime,
    owner: String,
}

/// What can be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// An attempt is claiming, and its lease runs.
    Claiming,
    /// The attempt that owned the entry did not end within its lease.
    Abandoned,
    /// Its codes are granted.
    Granted,
    /// Its codes were granted, and the reservation has expired since.
    Expired,
}

/// What `reserve` asks for under an id.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) id: &'a ReserveId,
    pub(crate) pool: &'a Pool,
    pub(crate) count: u32,
}

/// Finds the entry of the id, or makes one that `token` owns.
///
/// # Errors
/// `reservation_mismatch` if the entry is of another campaign, type or count.
pub(crate) async fn enter(store: &Store, wish: &Wish<'_>, token: &str) -> Result<Entry> {
    // `$literal`: a campaign that starts with `$` must not be read as the name of a field.
    let keep = |field: &str, new: Bson| doc! { "$ifNull": [format!("${field}"), new] };
    let literal = |value: Bson| Bson::Document(doc! { "$literal": value });
    loop {
        let entry = store
            .ledger
            .find_one_and_update(
                doc! { "_id": wish.id.as_str() },
                vec![doc! { "$set": {
                    "campaign_id": keep("campaign_id", literal(wish.pool.campaign.as_str().into())),
                    "type": keep("type", literal(wish.pool.code_type.as_str().into())),
                    "count": keep("count", i64::from(wish.count).into()),
                    "state": keep("state", "claiming".into()),
                    "owner": keep("owner", token.into()),
                    "reserved": keep("reserved", "$$NOW".into()),
                    "lease": keep("lease", lease_end(store)),
                    "purge": keep("purge", purge_after(store)),
                } }],
            )
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await
            .map_err(|e| database_error("entering the ledger", e))?
            .ok_or_else(|| corrupt("answer"))?;
        wish.must_match(&entry)?;
        if entry.get_str("owner").ok() == Some(token) {
            return Entry::parse(&entry, State::Claiming);
        }
        // The update cannot tell the time; and an attempt that failed removes its entry, also in between.
        if let Some(entry) = find(store, wish.id).await? {
            return Ok(entry);
        }
    }
}

/// The entry of the id as it stands on the primary.
pub(crate) async fn find(store: &Store, id: &ReserveId) -> Result<Option<Entry>> {
    let failed = |e| database_error("reading the ledger", e);
    let mut cursor = store
        .ledger
        .aggregate([doc! { "$match": { "_id": id.as_str() } }, doc! { "$set": { "now": "$$NOW" } }])
        .await
        .map_err(failed)?;
    let Some(entry) = cursor.try_next().await.map_err(failed)? else { return Ok(None) };
    let date = |field: &str| entry.get_datetime(field).copied().map_err(|_| corrupt(field));
    let (now, reserved) = (date("now")?, date("reserved")?);
    let expired = reserved.to_system_time() + store.ttl <= now.to_system_time();
    let state = match entry.get_str("state") {
        Ok("granted") if expired => State::Expired,
        Ok("granted") => State::Granted,
        Ok("claiming") if date("lease")? <= now => State::Abandoned,
        Ok("claiming") => State::Claiming,
        Ok(_) | Err(_) => return Err(corrupt("state")),
    };
    Entry::parse(&entry, state).map(Some)
}

/// Makes `token` the owner of an abandoned entry, under a date that no attempt before it had.
///
/// Nothing happens if somebody else was faster; `enter` again to see who owns it.
pub(crate) async fn take_over(store: &Store, id: &ReserveId, abandoned: &Entry, token: &str) -> Result<()> {
    let later = doc! { "$max": ["$$NOW", { "$add": ["$reserved", 1_i64] }] };
    store
        .ledger
        .update_one(
            doc! { "_id": id.as_str(), "state": "claiming", "owner": &abandoned.owner },
            vec![doc! { "$set": {
                "owner": token, "reserved": later, "lease": lease_end(store), "purge": purge_after(store),
            } }],
        )
        .await
        .map_err(|e| database_error("taking an entry of the ledger over", e))?;
    Ok(())
}

/// Marks the codes of `token`'s attempt as granted. False if it is not the owner any more, or too late.
pub(crate) async fn grant(store: &Store, id: &ReserveId, token: &str) -> mongodb::error::Result<bool> {
    let done = store
        .ledger
        .update_one(
            doc! { "_id": id.as_str(), "owner": token, "$expr": { "$gt": ["$lease", "$$NOW"] } },
            doc! { "$set": { "state": "granted" } },
        )
        .await?;
    Ok(done.matched_count == 1)
}

/// Removes the entry of `token`'s attempt, which keeps no code: the id is as new again.
pub(crate) async fn remove(store: &Store, id: &ReserveId, token: &str) -> Result<()> {
    store
        .ledger
        .delete_one(doc! { "_id": id.as_str(), "owner": token, "state": "claiming" })
        .await
        .map_err(|e| database_error("removing an entry of the ledger", e))?;
    Ok(())
}

/// Ends the lease of `token`'s attempt, which failed: the next caller need not wait for it.
pub(crate) async fn abandon(store: &Store, id: &ReserveId, token: &str) -> Result<()> {
    store
        .ledger
        .update_one(
            doc! { "_id": id.as_str(), "owner": token, "state": "claiming" },
            doc! { "$currentDate": { "lease": true } },
        )
        .await
        .map_err(|e| database_error("ending a lease in the ledger", e))?;
    Ok(())
}

fn lease_end(store: &Store) -> Bson {
    doc! { "$add": ["$$NOW", millis(LEASE.min(store.ttl / 2))] }.into()
}

fn purge_after(store: &Store) -> Bson {
    doc! { "$add": ["$$NOW", millis(store.ttl + KEEP)] }.into()
}

fn corrupt(field: &str) -> Error {
    Error::CorruptData { what: format!("an entry of the ledger has no usable {field}") }
}

impl Wish<'_> {
    fn must_match(&self, entry: &Document) -> Result<()> {
        let differs = if entry.get_str("campaign_id").ok() != Some(self.pool.campaign.as_str()) {
            Some("campaignId")
        } else if entry.get_str("type").ok() != Some(self.pool.code_type.as_str()) {
            Some("type")
        } else if entry.get_i64("count").ok() != Some(i64::from(self.count)) {
            Some("count")
        } else {
            None
        };
        differs.map_or(Ok(()), |field| Err(Error::ReservationMismatch { field }))
    }
}

impl Entry {
    fn parse(entry: &Document, state: State) -> Result<Self> {
        Ok(Entry {
            state,
            reserved: entry.get_datetime("reserved").copied().map_err(|_| corrupt("reserved"))?,
            owner: entry.get_str("owner").map(str::to_owned).map_err(|_| corrupt("owner"))?,
        })
    }

    /// Whether `token`'s attempt may claim codes now.
    pub(crate) fn owned_by(&self, token: &str) -> bool {
        self.state == State::Claiming && self.owner == token
    }
}
