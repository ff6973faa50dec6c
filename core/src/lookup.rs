//! Looking: counts, one code, one reservation.

use std::time::SystemTime;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind, Result as DriverResult};
use mongodb::options::ReadConcern;

use crate::attempt::{LOOK, give_back_past};
use crate::claim::Pool;
use crate::error::Result;
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::ledger::{self, Entry, Ledger, State};
use crate::status::{Status, StoredCode};
use crate::store::{Moment, Store, database_error};
use crate::task::{LONG, MEDIUM, SHORT, Within};
use crate::{document, indexes};

/// How many codes of one campaign and type have each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Free to be reserved.
    pub available: u64,
    /// Held by reservations that have not expired.
    pub reserved: u64,
    /// Given out for good.
    pub assigned: u64,
}

impl Counts {
    /// The count of one status.
    pub fn of(&self, status: Status) -> u64 {
        match status {
            Status::Available => self.available,
            Status::Reserved => self.reserved,
            Status::Assigned => self.assigned,
        }
    }
}

/// Counts where the connection string's read preference says, at one moment of the collection: a code that is
/// reserved during a scan moves in the index, and would be met twice or never.
///
/// Only what scans of index keys can tell, which is not that a field is null: there the database reads every
/// document. So all codes are counted, those whose reservation has not expired, and what is assigned of either.
pub(crate) async fn count(store: &Store, pool: &Pool) -> Result<Counts> {
    let counted = match count_at(store, pool, &store.readable_moment().await?).await {
        // The server forgets moments some minutes, or as little as it is set to, before its last write. A write after a
        // long silence makes it forget the one that it had just told.
        Err(error) if is_too_old(&error) => count_at(store, pool, &store.readable_moment().await?).await,
        counted => counted,
    };
    counted.map_err(|e| database_error(COUNTING, e))
}

/// For errors.
const COUNTING: &str = "counting codes";

fn is_too_old(error: &DriverError) -> bool {
    /// `SnapshotTooOld`
    const TOO_OLD: i32 = 239;
    matches!(error.kind.as_ref(), DriverErrorKind::Command(command) if command.code == TOO_OLD)
}

async fn count_at(store: &Store, pool: &Pool, moment: &Moment) -> DriverResult<Counts> {
    let of = |status: Document| {
        let mut codes = pool.filter();
        codes.extend(status);
        count_some(store, codes, moment)
    };
    let valid = doc! { "date.reserved": document::not_expired_at(moment.time, store.ttl) };
    let mut valid_assigned = valid.clone();
    valid_assigned.insert("date.assigned", doc! { "$ne": Bson::Null });
    let assigned = doc! { "date.assigned": { "$ne": Bson::Null } };
    // Each to its end, also when another fails; and no more than two, so that they do not hold up the longest.
    let (all, rest) =
        tokio::join!(of(doc! {}), async { (of(valid).await, of(valid_assigned).await, of(assigned).await) });
    let (all, valid, valid_assigned, assigned) = (all?, rest.0?, rest.1?, rest.2?);
    let reserved = valid.saturating_sub(valid_assigned);
    Ok(Counts { available: all.saturating_sub(assigned + reserved), reserved, assigned })
}

async fn count_some(store: &Store, codes: Document, moment: &Moment) -> DriverResult<u64> {
    let command = doc! {
        "aggregate": store.codes.name(),
        "pipeline": [{ "$match": codes }, { "$count": "n" }],
        "hint": indexes::by_status(),
        "cursor": {},
        "readConcern": { "level": "snapshot", "atClusterTime": moment.cluster_time },
    };
    let criteria = store.codes_to_read.selection_criteria().cloned();
    let reply = store.read_command(command, criteria, LONG).await?;
    let rows = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let row = rows.ok().and_then(|rows| rows.first()).and_then(Bson::as_document);
    let n = row.and_then(|row| row.get("n")).map_or(Some(0), |n| n.as_i64().or(n.as_i32().map(i64::from)));
    n.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| DriverError::custom("a count without a number"))
}

/// One code with its status.
pub(crate) async fn find(store: &Store, campaign: &CampaignId, code: &Code) -> Result<Option<StoredCode>> {
    let failed = |e| database_error("looking a code up", e);
    let mut cursor = store
        .codes_to_read
        .aggregate([
            doc! { "$match": { "_id": document::id(campaign, code) } },
            doc! { "$set": { "now": "$$NOW" } },
        ])
        .with_type::<RawDocumentBuf>()
        .within(SHORT)
        .await
        .map_err(failed)?;
    match cursor.try_next().within(SHORT).await.map_err(failed)? {
        Some(found) => document::Reader::of(&found, store.ttl)?.read(&found).map(Some),
        None => Ok(None),
    }
}

/// What became of a reservation.
#[derive(Debug, Clone)]
pub struct ReservationState {
    /// Its id.
    pub reserve_id: ReserveId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The type of its codes.
    pub code_type: CodeType,
    /// Its codes, each with its status now; without those that were released, or expired and taken by others.
    pub codes: Vec<StoredCode>,
    /// When it was made, by the database server's clock.
    pub reserved: SystemTime,
    /// Until when its codes are held.
    pub expires: SystemTime,
}

/// The codes of a reservation, read on the primary.
pub(crate) async fn reservation(store: &Store, id: &ReserveId) -> Result<Option<ReservationState>> {
    loop {
        let entry = ledger::find(store, id, ReadConcern::majority()).await?;
        if let Some(known) = known(store, id, entry.as_ref(), ReadConcern::majority()).await? {
            return Ok(known);
        }
    }
}

/// What an id holds. With an entry that is granted only what its attempt has: codes of another date are of one
/// that died. None if the entry is no longer the one that was read.
async fn known(
    store: &Store,
    id: &ReserveId,
    entry: Option<&Entry>,
    concern: ReadConcern,
) -> Result<Option<Option<ReservationState>>> {
    match entry {
        Some(entry) if matches!(entry.state, State::Granted | State::Expired) => {
            held(store, id, entry.reserved.into(), concern).await.map(Some)
        }
        Some(entry) => beside(store, id, Some(entry.reserved), &entry.past, concern).await,
        None => beside(store, id, None, &[], concern).await,
    }
}

/// What an id holds that no attempt of its entry has claimed: codes of those are nobody's yet. None if another
/// attempt has begun meanwhile, which may have claimed what was seen.
async fn beside(
    store: &Store,
    id: &ReserveId,
    reserved: Option<DateTime>,
    past: &[DateTime],
    concern: ReadConcern,
) -> Result<Option<Option<ReservationState>>> {
    let claimed: Vec<DateTime> = past.iter().copied().chain(reserved).collect();
    let others = doc! { "$ne": Bson::Null, "$nin": claimed };
    let held = held(store, id, others.into(), concern).await?;
    let is_known = match &held {
        None => true,
        Some(_) => {
            let entry = ledger::find(store, id, ReadConcern::linearizable()).await?;
            entry.map(|entry| entry.reserved) == reserved
        }
    };
    Ok(is_known.then_some(held))
}

/// The codes under an id whose reservation has such a date.
async fn held(
    store: &Store,
    id: &ReserveId,
    date: Bson,
    concern: ReadConcern,
) -> Result<Option<ReservationState>> {
    let failed = |e| database_error("looking a reservation up", e);
    let cursor = store
        .codes
        .aggregate([
            doc! { "$match": { "reserveId": id.as_str(), "date.reserved": date } },
            doc! { "$set": { "now": "$$NOW" } },
        ])
        .with_type::<RawDocumentBuf>()
        .read_concern(concern)
        .max_time(SHORT)
        .within(SHORT)
        .await
        .map_err(failed)?;
    let documents: Vec<RawDocumentBuf> = cursor.try_collect().within(MEDIUM).await.map_err(failed)?;
    let Some(first) = documents.first() else { return Ok(None) };
    let mut reader = document::Reader::of(first, store.ttl)?;
    let codes: Vec<StoredCode> = documents.iter().map(|d| reader.read(d)).collect::<Result<_>>()?;
    // One id holds codes of one campaign; should another service have mixed them, the first one counts.
    let campaign = document::campaign(first)?;
    let code_type = codes[0].code_type.clone();
    let reserved = codes.iter().filter_map(|code| code.reserved).min().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Some(ReservationState {
        reserve_id: id.clone(),
        campaign,
        code_type,
        codes,
        reserved,
        expires: reserved + store.ttl,
    }))
}

/// What became of a reserve whose outcome was unknown, once and for all: what it left is either held, or
/// given back, and nothing of it can happen any more.
pub(crate) async fn recover(
    store: &Store,
    ledger: &Ledger,
    id: &ReserveId,
) -> Result<Option<ReservationState>> {
    loop {
        match ledger.find_newest(id).await? {
            Some(entry) if entry.state == State::Claiming => tokio::time::sleep(LOOK).await,
            Some(entry) if entry.state == State::Abandoned => {
                // So that an owner who is only slow cannot grant what is taken away here.
                let token = ReserveId::random();
                if let Some(owned) = ledger.take_over(&entry, &token).await? {
                    give_back_past(store, id, &owned.past).await?;
                    // What the network may still deliver is swept; until then the next caller can go on.
                    if ledger.end(id, &token).await?
                        && let Some(known) =
                            beside(store, id, Some(owned.reserved), &owned.past, ReadConcern::linearizable())
                                .await?
                    {
                        return Ok(known);
                    }
                }
            }
            entry => {
                if let Some(known) = known(store, id, entry.as_ref(), ReadConcern::linearizable()).await? {
                    return Ok(known);
                }
            }
        }
    }
}
