//! Reserve: `count` codes of a pool under one id, or none.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use rand::RngExt;

use crate::claim::{self, Claim, Claims, Holder, Pool};
use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::ledger::{self, State, Wish};
use crate::store::{Store, cause, database_error};
use crate::task::to_the_end;

/// The most codes that one reserve can ask for.
pub const MAX_RESERVE: u32 = 100_000;
/// How often a reserve tries again when codes came back after it had found too few.
const TRIES: u32 = 8;

/// What to reserve.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reserve {
    /// The campaign that owns the codes.
    pub campaign: CampaignId,
    /// The type of code.
    pub code_type: CodeType,
    /// How many: 1 to [`MAX_RESERVE`].
    pub count: u32,
    /// The caller's own id, which makes the reserve idempotent. None: a new random one.
    pub reserve_id: Option<ReserveId>,
    /// Whether fewer codes will do when fewer exist. False: all or nothing. Under the caller's own id there
    /// must be at least one.
    pub partial: bool,
}

impl Reserve {
    /// A reserve of `count` codes, all or nothing, under a new random id.
    pub fn new(campaign: CampaignId, code_type: CodeType, count: u32) -> Self {
        Reserve { campaign, code_type, count, reserve_id: None, partial: false }
    }
}

/// Codes that are held under one id.
#[derive(Debug, Clone)]
pub struct Reservation {
    /// The id they are held under.
    pub reserve_id: ReserveId,
    /// Their campaign.
    pub campaign: CampaignId,
    /// Their type.
    pub code_type: CodeType,
    /// The codes, in no order. Fewer than asked only if the reserve allowed it, or if some of an earlier
    /// reservation were released since.
    pub codes: Vec<Code>,
    /// When they were reserved, by the database server's clock: a moment before, rather than after. Servers of
    /// one replica set whose clocks differ can make it wrong by that difference.
    pub reserved: SystemTime,
    /// Until when they are held: `reserved` and the reservation ttl.
    pub expires: SystemTime,
    /// Whether an earlier call under the same id reserved them.
    pub replayed: bool,
}

pub(crate) async fn reserve(store: &Store, claims: &Claims, wish: Reserve) -> Result<Reservation> {
    if wish.count == 0 || wish.count > MAX_RESERVE {
        return Err(Error::invalid("count", format!("must be a whole number from 1 to {MAX_RESERVE}")));
    }
    let pool = Pool { campaign: wish.campaign, code_type: wish.code_type };
    match wish.reserve_id {
        // Boxed: whoever has no id should not carry that future's kilobytes.
        Some(id) => Box::pin(under_callers_id(store, claims, &pool, &id, wish.count, wish.partial)).await,
        None => {
            let holder = Holder { id: ReserveId::random(), date: None };
            let claim = claim_all(store, claims, &pool, &holder, wish.count, wish.partial).await?;
            let since = match claim.since {
                Some(since) => since,
                None => {
                    let store = store.clone();
                    to_the_end(async move { store.server_time().await }).await?
                }
            };
            Ok(reservation(store, &pool, holder.id, claim.keep(), since, false))
        }
    }
}

/// Claims the codes; gives back what it got when that is too little.
///
/// It may be dropped at any point: what talks to the database runs to its end elsewhere.
async fn claim_all(
    store: &Store,
    claims: &Claims,
    pool: &Pool,
    holder: &Holder,
    count: u32,
    partial: bool,
) -> Result<Claim> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            let pause = rand::rng().random_range(0..=5 << attempt);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if !partial && count > 1 {
            must_be_enough(store, claims, pool, count).await?;
        }
        let claim = claims.claim(pool, holder, count as usize).await?;
        if claim.codes.len() == count as usize || partial {
            return Ok(claim);
        }
        if claim.codes.is_empty() {
            return Err(Error::NotEnoughCodes { wanted: count.into(), available: 0 });
        }
        let (store, pool, holder) = (store.clone(), pool.clone(), holder.clone());
        to_the_end(async move {
            claim::give_back(&store, &holder).await.map_err(|e| unknown(&holder, e))?;
            claim.keep();
            // Two callers that each got a part of the last codes both end here, though one could have them all.
            enough(&store, &pool, count).await
        })
        .await?;
    }
    Err(Error::Unavailable {
        reason: "other callers keep taking the last codes: try again".to_owned(),
        source: None,
    })
}

/// Looks whether there are enough codes before any is touched: taking the last ones only to give them back
/// would leave others short, and whoever still holds an expired one without it.
async fn must_be_enough(store: &Store, claims: &Claims, pool: &Pool, count: u32) -> Result<()> {
    if claims.ahead(pool) >= count as usize {
        return Ok(());
    }
    let (store, pool) = (store.clone(), pool.clone());
    to_the_end(async move { enough(&store, &pool, count).await }).await
}

async fn enough(store: &Store, pool: &Pool, count: u32) -> Result<()> {
    let available = claim::available(store, pool, count).await?;
    if available < count {
        return Err(Error::NotEnoughCodes { wanted: count.into(), available: available.into() });
    }
    Ok(())
}

/// The caller's own id: see [`crate::ledger`] for why this gives one set of codes.
async fn under_callers_id(
    store: &Store,
    claims: &Claims,
    pool: &Pool,
    id: &ReserveId,
    count: u32,
    partial: bool,
) -> Result<Reservation> {
    let wish = Wish { id, pool, count };
    let token = ReserveId::random();
    let token = token.as_str();
    let mut took_over = false;
    loop {
        let entry = ledger::enter(store, &wish, token).await?;
        let holder = Holder { id: id.clone(), date: Some(entry.reserved) };
        if entry.owned_by(token) {
            if took_over {
                give_back_dead_attempts(store, &holder, entry.reserved).await?;
            } else if in_use_without_entry(store, &holder).await? {
                ledger::remove(store, id, token).await?;
                return Err(Error::ReservationMismatch { field: "call" });
            }
            match attempt(store, claims, pool, &holder, token, count, partial).await {
                Ok(Some(codes)) => {
                    return Ok(reservation(store, pool, id.clone(), codes, entry.reserved, false));
                }
                Ok(None) => {
                    // Too late to grant: begin again under a later date, if nobody else has.
                    ledger::take_over(store, id, &entry, token).await?;
                    took_over = true;
                    continue;
                }
                Err(error) => {
                    // Without this the next caller waits for the lease; with it failing, too.
                    let _ = ledger::abandon(store, id, token).await;
                    return Err(error);
                }
            }
        }
        match entry.state {
            State::Granted => {
                let codes = granted(store, &holder).await?;
                if codes.is_empty() {
                    return Err(Error::ReservationExpired);
                }
                return Ok(reservation(store, pool, id.clone(), codes, entry.reserved, true));
            }
            State::Expired => return Err(Error::ReservationExpired),
            State::Claiming => tokio::time::sleep(Duration::from_millis(20)).await,
            State::Abandoned => {
                ledger::take_over(store, id, &entry, token).await?;
                took_over = true;
            }
        }
    }
}

/// Claims and grants as the owner of the entry; None if another took the entry over meanwhile.
async fn attempt(
    store: &Store,
    claims: &Claims,
    pool: &Pool,
    holder: &Holder,
    token: &str,
    count: u32,
    partial: bool,
) -> Result<Option<Vec<Code>>> {
    let claimed = match claim_all(store, claims, pool, holder, count, partial).await {
        // An id without codes would be a reservation of nothing: there is none to look up.
        Ok(claim) if claim.codes.is_empty() => {
            Err(Error::NotEnoughCodes { wanted: count.into(), available: 0 })
        }
        claimed => claimed,
    };
    if let Err(Error::NotEnoughCodes { .. }) = claimed {
        ledger::remove(store, &holder.id, token).await?;
    }
    let codes = claimed?.keep();
    let granted = ledger::grant(store, &holder.id, token)
        .await
        .map_err(|e| Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: cause(&e) })?;
    if granted {
        return Ok(Some(codes));
    }
    claim::give_back(store, holder).await.map_err(|e| unknown(holder, e))?;
    Ok(None)
}

/// Whether codes are reserved or assigned under an id that the ledger did not know: it was made by a reserve
/// without an id, here or by the deployed service, and is not the caller's to use again.
async fn in_use_without_entry(store: &Store, holder: &Holder) -> Result<bool> {
    let found = store.codes.find_one(document::in_use(&holder.id, store.ttl)).await;
    found.map(|found| found.is_some()).map_err(|e| database_error("looking a reserveId up", e))
}

/// Frees the codes under the id that carry the date of an attempt before this one.
async fn give_back_dead_attempts(store: &Store, holder: &Holder, mine: DateTime) -> Result<()> {
    let mut filter = document::held(doc! {}, &holder.id);
    filter.insert("date.reserved", doc! { "$nin": [mine, Bson::Null] });
    store
        .codes
        .update_many(filter, document::released())
        .await
        .map_err(|e| database_error("giving codes of a dead attempt back", e))?;
    Ok(())
}

/// The codes that were granted under the holder's id and date and have not been released since.
async fn granted(store: &Store, holder: &Holder) -> Result<Vec<Code>> {
    let failed = |e| database_error("reading a reservation", e);
    let filter = doc! { "reserveId": holder.id.as_str(), "date.reserved": holder.date };
    let cursor = store.codes.find(filter).projection(doc! { "_id": 1 }).await.map_err(failed)?;
    let documents: Vec<Document> = cursor.try_collect().await.map_err(failed)?;
    documents.iter().map(document::code).collect()
}

fn reservation(
    store: &Store,
    pool: &Pool,
    reserve_id: ReserveId,
    codes: Vec<Code>,
    since: DateTime,
    replayed: bool,
) -> Reservation {
    let reserved = since.to_system_time();
    Reservation {
        reserve_id,
        campaign: pool.campaign.clone(),
        code_type: pool.code_type.clone(),
        codes,
        reserved,
        expires: reserved + store.ttl,
        replayed,
    }
}

/// A failed give-back: codes may still be held under the id.
fn unknown(holder: &Holder, error: Error) -> Error {
    Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: Some(Box::new(error)) }
}
