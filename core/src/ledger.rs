//! The ledger: at most one set of codes for a reserveId that callers bring themselves.
//!
//! Two processes may be asked for the same id at once, and each may die at any moment. Before an attempt
//! claims codes it becomes the owner of the id's entry; it may return its codes only after it has marked the
//! entry `granted` while still its owner. Every attempt under one id marks its codes with a `date.reserved`
//! of its own, which the entry names: codes under the id with the date of an earlier attempt belong to one
//! that died, are never returned, and go back.
//!
//! ```text
//! { _id: reserveId, campaign_id, type, count, state: "claiming" | "granted",
//!   owner: String, lease: Date, reserved: Date, past: [Date]?, sweep: Date?, purge: Date }
//! ```
//! `past` are the dates of earlier attempts, and `sweep` is when nothing of theirs, or of this one if its
//! lease has ended, can happen any more: whatever they hold then is [swept](crate::sweep).

mod joined;

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{Hint, ReadConcern, ReturnDocument};

use crate::claim::{self, Lease, Pool};
use crate::document::millis;
use crate::error::{Error, Result};
use crate::ids::ReserveId;
use crate::indexes;
use crate::joined::Joined;
use crate::store::{Store, database_error};
use crate::task::{SHORT, Within};
use joined::{Entering, Granting};

pub(crate) use joined::Entered;

/// How long an attempt may be silent before another may take over; a reservation shorter than that halves it.
const LEASE: Duration = Duration::from_secs(5);
/// How long after its lease nothing of an attempt can happen any more: clocks of servers may differ a little.
const GRACE: Duration = claim::LONGEST.saturating_add(Duration::from_secs(1));
/// How long an entry outlives its reservation, so that the id answers `reservation_expired`.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many entries a sweep looks at at once.
pub(crate) const SWEEP: usize = 1_000;

/// The ledger of one process.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Store,
    enter: Joined<Entering, Entered>,
    grant: Joined<Granting, bool>,
}

/// What `reserve` asks for under an id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) id: &'a ReserveId,
    pub(crate) pool: &'a Pool,
    pub(crate) count: u32,
}

/// An attempt that owns the entry of its id.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) id: ReserveId,
    pub(crate) token: ReserveId,
    /// The date that marks its codes.
    pub(crate) reserved: DateTime,
    pub(crate) lease: Lease,
    /// The dates of the attempts before it.
    pub(crate) past: Vec<DateTime>,
}

/// The entry of an id, as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: ReserveId,
    pub(crate) state: State,
    /// The date that marks the codes of the attempt that owns the entry.
    pub(crate) reserved: DateTime,
    /// The dates of the attempts before it.
    pub(crate) past: Vec<DateTime>,
    owner: String,
    parameters: Document,
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

impl Ledger {
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn new(store: Store) -> Self {
        let (entering, granting) = (store.clone(), store.clone());
        Ledger {
            store,
            enter: Joined::new("entering the ledger", move |calls| joined::enter(entering.clone(), calls)),
            grant: Joined::new("granting a reservation", move |calls| joined::grant(granting.clone(), calls)),
        }
    }

    /// Makes an entry of the id that `token` owns, unless there is one.
    pub(crate) async fn enter(&self, wish: &Wish<'_>, token: &ReserveId) -> Result<Entered> {
        self.enter.call(Entering::new(wish, token)).await
    }

    /// The entry of the id. None only if there is none: one that no majority has confirmed yet is waited for.
    pub(crate) async fn find_newest(&self, id: &ReserveId) -> Result<Option<Entry>> {
        match find(&self.store, id, ReadConcern::majority()).await? {
            None => find(&self.store, id, ReadConcern::linearizable()).await,
            found => Ok(found),
        }
    }

    /// Makes `token` the owner of an entry whose lease has ended, under a date that no attempt before it had.
    /// None if somebody else was faster, or its owner has put the end off.
    pub(crate) async fn take_over(&self, entry: &Entry, token: &ReserveId) -> Result<Option<Owned>> {
        self.take_if_past("$lease", entry, token).await
    }

    /// The same for an entry whose attempts can do nothing more.
    pub(crate) async fn take_to_sweep(&self, entry: &Entry, token: &ReserveId) -> Result<Option<Owned>> {
        self.take_if_past("$sweep", entry, token).await
    }

    async fn take_if_past(&self, moment: &str, entry: &Entry, token: &ReserveId) -> Result<Option<Owned>> {
        let failed = |e| database_error("taking an entry of the ledger over", e);
        let taken = self
            .store
            .ledger
            .find_one_and_update(
                doc! {
                    "_id": entry.id.as_str(), "state": "claiming", "owner": &entry.owner,
                    // Not as it was when it was read: the owner may have put it off since.
                    "$expr": { "$lte": [moment, "$$NOW"] },
                },
                vec![doc! { "$set": {
                    "owner": token.as_str(),
                    "past": { "$concatArrays": [{ "$ifNull": ["$past", []] }, ["$reserved"]] },
                    "reserved": { "$max": ["$$NOW", { "$add": ["$reserved", 1_i64] }] },
                    "lease": { "$add": ["$$NOW", millis(self.lease())] },
                    "sweep": { "$add": ["$$NOW", self.sweep()] },
                    "purge": { "$add": ["$$NOW", self.purge()] },
                } }],
            )
            .return_document(ReturnDocument::After)
            .within(SHORT)
            .await
            .map_err(failed)?;
        let Some(taken) = taken else { return Ok(None) };
        let lease = Lease::until(date(&taken, "lease")?);
        let Entry { id, reserved, past, .. } = Entry::parse(taken, State::Claiming)?;
        Ok(Some(Owned { id, token: token.clone(), reserved, lease, past }))
    }

    /// Puts the end of the lease off. Whoever has lost the entry finds out when it wants to grant.
    pub(crate) async fn renew(&self, owned: &Owned) -> Result<()> {
        let renewed = self
            .store
            .ledger
            .find_one_and_update(
                owned.filter(),
                vec![doc! { "$set": {
                    "lease": { "$add": ["$$NOW", millis(self.lease())] },
                    "sweep": { "$add": ["$$NOW", self.sweep()] },
                } }],
            )
            .return_document(ReturnDocument::After)
            .within(SHORT)
            .await
            .map_err(|e| database_error("renewing a lease in the ledger", e))?;
        if let Some(entry) = renewed {
            owned.lease.put_off(date(&entry, "lease")?);
        }
        Ok(())
    }

    /// Marks the codes of an attempt as granted. False if it does not own the entry any more, or they have expired
    /// meanwhile. May be repeated.
    pub(crate) async fn grant(&self, owned: &Owned) -> Result<bool> {
        self.grant.call(Granting::new(owned)).await
    }

    /// Removes the entry of an attempt that keeps no code: the id is as new again. False if the attempt does not
    /// own it any more.
    pub(crate) async fn remove(&self, owned: &Owned) -> Result<bool> {
        let removed = self.store.ledger.delete_one(owned.filter()).within(SHORT).await;
        let removed = removed.map_err(|e| database_error("removing an entry of the ledger", e))?;
        Ok(removed.deleted_count == 1)
    }

    /// Ends the lease of an attempt that failed: the next caller need not wait for it. False if the attempt does
    /// not own the entry any more.
    pub(crate) async fn abandon(&self, id: &ReserveId, token: &ReserveId) -> Result<bool> {
        self.end_lease(id, token, token).await
    }

    /// The same so that whoever has waited for the attempt sees that it was ended, and does not take it over.
    pub(crate) async fn end(&self, id: &ReserveId, token: &ReserveId) -> Result<bool> {
        self.end_lease(id, token, &ReserveId::random()).await
    }

    async fn end_lease(&self, id: &ReserveId, token: &ReserveId, owner: &ReserveId) -> Result<bool> {
        let owned = doc! { "_id": id.as_str(), "owner": token.as_str(), "state": "claiming" };
        let ended = doc! { "$currentDate": { "lease": true }, "$set": { "owner": owner.as_str() } };
        let ended = self.store.ledger.update_one(owned, ended).within(SHORT).await;
        let ended = ended.map_err(|e| database_error("ending a lease in the ledger", e))?;
        Ok(ended.matched_count == 1)
    }

    /// Entries whose attempts, but for a granted one, can do nothing more.
    pub(crate) async fn due(&self) -> Result<Vec<Entry>> {
        let failed = |e| database_error("looking for dead attempts in the ledger", e);
        let now = self.store.server_time().await?;
        let due = self
            .store
            .ledger
            .find(doc! { "sweep": { "$lte": now } })
            .hint(Hint::Keys(indexes::by_sweep()))
            .limit(SWEEP as i64)
            .within(SHORT)
            .await
            .map_err(failed)?;
        let due: Vec<Document> = due.try_collect().within(SHORT).await.map_err(failed)?;
        // One that nobody can read must not keep the others from being swept.
        Ok(due.into_iter().filter_map(|entry| Entry::due(entry).ok()).collect())
    }

    /// Nothing is left of the attempts before the granted one.
    pub(crate) async fn swept(&self, entry: &Entry) -> Result<()> {
        let granted = doc! { "_id": entry.id.as_str(), "state": "granted", "reserved": entry.reserved };
        let swept = doc! { "$unset": { "sweep": "", "past": "" } };
        let swept = self.store.ledger.update_one(granted, swept).within(SHORT).await;
        swept.map(|_| ()).map_err(|e| database_error("ending a sweep of the ledger", e))
    }

    /// How long an attempt may be silent.
    pub(crate) fn lease(&self) -> Duration {
        lease(&self.store)
    }

    fn sweep(&self) -> i64 {
        millis(lease(&self.store) + GRACE)
    }

    fn purge(&self) -> i64 {
        millis(self.store.ttl + KEEP)
    }
}

/// How long an attempt may be silent.
fn lease(store: &Store) -> Duration {
    LEASE.min(store.ttl / 2)
}

/// The entry of the id as it stands on the primary.
pub(crate) async fn find(store: &Store, id: &ReserveId, concern: ReadConcern) -> Result<Option<Entry>> {
    let failed = |e| database_error("reading the ledger", e);
    let mut cursor = store
        .ledger
        .aggregate([doc! { "$match": { "_id": id.as_str() } }, doc! { "$set": { "now": "$$NOW" } }])
        .read_concern(concern)
        .max_time(SHORT)
        .within(SHORT)
        .await
        .map_err(failed)?;
    let Some(entry) = cursor.try_next().within(SHORT).await.map_err(failed)? else { return Ok(None) };
    let (now, reserved) = (date(&entry, "now")?, date(&entry, "reserved")?);
    let expired = reserved.to_system_time() + store.ttl <= now.to_system_time();
    let state = match entry.get_str("state") {
        Ok("granted") if expired => State::Expired,
        Ok("granted") => State::Granted,
        Ok("claiming") if date(&entry, "lease")? <= now => State::Abandoned,
        Ok("claiming") => State::Claiming,
        Ok(_) | Err(_) => return Err(corrupt("state")),
    };
    Entry::parse(entry, state).map(Some)
}

fn date(entry: &Document, field: &str) -> Result<DateTime> {
    entry.get_datetime(field).copied().map_err(|_| corrupt(field))
}

fn corrupt(field: &str) -> Error {
    Error::CorruptData { what: format!("an entry of the ledger has no usable {field}") }
}

impl Owned {
    fn filter(&self) -> Document {
        doc! { "_id": self.id.as_str(), "owner": self.token.as_str(), "state": "claiming" }
    }
}

impl Entry {
    fn parse(entry: Document, state: State) -> Result<Self> {
        let text = |field: &str| entry.get_str(field).map_err(|_| corrupt(field));
        let past = entry.get_array("past").map(Vec::as_slice).unwrap_or_default();
        Ok(Entry {
            id: ReserveId::parse(text("_id")?).map_err(|_| corrupt("_id"))?,
            state,
            reserved: date(&entry, "reserved")?,
            past: past.iter().filter_map(Bson::as_datetime).copied().collect(),
            owner: text("owner")?.to_owned(),
            parameters: entry,
        })
    }

    /// Reads an entry whose attempts, but for a granted one, can do nothing more.
    pub(crate) fn due(entry: Document) -> Result<Self> {
        let granted = entry.get_str("state").ok() == Some("granted");
        Entry::parse(entry, if granted { State::Granted } else { State::Abandoned })
    }

    pub(crate) fn is_owned_by(&self, token: &ReserveId) -> bool {
        self.owner == token.as_str()
    }

    /// Whether nobody has taken the entry over since it was the other.
    pub(crate) fn is_of_the_attempt_of(&self, other: &Entry) -> bool {
        self.owner == other.owner
    }

    /// # Errors
    /// `reservation_mismatch` if the entry is of another campaign, type or count.
    pub(crate) fn must_match(&self, wish: &Wish<'_>) -> Result<()> {
        let text = |field: &str| self.parameters.get_str(field).ok();
        let differs = if text("campaign_id") != Some(wish.pool.campaign.as_str()) {
            Some("campaignId")
        } else if text("type") != Some(wish.pool.code_type.as_str()) {
            Some("type")
        } else if self.parameters.get_i64("count").ok() != Some(i64::from(wish.count)) {
            Some("count")
        } else {
            None
        };
        differs.map_or(Ok(()), |field| Err(Error::ReservationMismatch { field }))
    }
}
