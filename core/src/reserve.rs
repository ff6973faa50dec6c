//! Reserve: `count` codes of a pool under one id, or none.

use std::time::{Duration, Instant, SystemTime};

use mongodb::bson::DateTime;
use rand::RngExt;

use crate::attempt::{self, Means};
use crate::claim::{self, Claim, Claims, Holder, Pool};
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::ledger::Wish;
use crate::mutant::{Mutant, is};
use crate::store::Store;

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
    /// The codes, in no order. Fewer than asked only if the reserve allowed it, or the first one under its id, or if
    /// some of an earlier reservation were released since.
    pub codes: Vec<Code>,
    /// When they were reserved, by the database server's clock: a moment before, rather than after. Servers of
    /// one replica set whose clocks differ can make it wrong by that difference.
    pub reserved: SystemTime,
    /// Until when they are held: `reserved` and the reservation ttl.
    pub expires: SystemTime,
    /// Whether an earlier call under the same id reserved them.
    pub replayed: bool,
}

pub(crate) async fn reserve(means: Means<'_>, wish: Reserve) -> Result<Reservation> {
    if wish.count == 0 || wish.count > MAX_RESERVE {
        return Err(Error::invalid("count", format!("must be a whole number from 1 to {MAX_RESERVE}")));
    }
    let pool = Pool { campaign: wish.campaign, code_type: wish.code_type };
    if let Some(id) = wish.reserve_id.as_ref().filter(|_| !is(Mutant::NoLedger)) {
        let under_id = Wish { id, pool: &pool, count: wish.count };
        // Boxed: whoever has no id should not carry that future's kilobytes.
        return Box::pin(attempt::reserve(means, under_id, wish.partial)).await;
    }
    let Means { store, claims, .. } = means;
    let mut holder = Holder::new();
    if let Some(id) = wish.reserve_id {
        holder.id = id;
    }
    let claim = claim_all(store, claims, &pool, &holder, wish.count, wish.partial).await?;
    let since = match claim.since {
        Some(since) => since,
        None => {
            let (tasks, store) = (&store.tasks, store.clone());
            tasks.to_the_end(async move { store.server_time().await }).await?
        }
    };
    Ok(reservation(store, &pool, holder.id, claim.keep(), since, false))
}

/// Claims the codes; gives back what it got when that is too little.
///
/// It may be dropped at any point: what talks to the database runs to its end elsewhere.
pub(crate) async fn claim_all(
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
        let mut claim = claims.claim(pool, holder, count as usize).await?;
        let error = claim.take_error();
        if error.is_none() && (claim.codes.len() == count as usize || partial) {
            return Ok(claim);
        }
        if claim.codes.is_empty() {
            return Err(Error::NotEnoughCodes { wanted: count.into(), available: 0 });
        }
        let tasks = &store.tasks;
        let (store, pool, holder) = (store.clone(), pool.clone(), holder.clone());
        let give_back = async move {
            let unanswered = claim::give_back(&store, &holder, store.patience).await;
            // From here on the caller is told what may be held, and nobody else gives it back.
            claim.keep();
            let unanswered = unanswered.map_err(|e| unknown(&holder, e))?;
            if let Some(error) = error {
                return Err(error);
            }
            if !unanswered.is_none() {
                // The network may still hold one that would take what is claimed now under the same name.
                return Err(Error::unavailable("the database did not answer: nothing is held, try again"));
            }
            // Two callers that each got a part of the last codes both end here, though one could have them all.
            enough(&store, &pool, count).await
        };
        tasks.to_the_end(give_back).await?;
    }
    Err(Error::unavailable("other callers keep taking the last codes: try again"))
}

/// Looks whether there are enough codes before any is touched: taking the last ones only to give them back
/// would leave others short, and whoever still holds an expired one without it.
async fn must_be_enough(store: &Store, claims: &Claims, pool: &Pool, count: u32) -> Result<()> {
    if claims.ahead(pool) >= count as usize {
        return Ok(());
    }
    let (tasks, store, pool) = (&store.tasks, store.clone(), pool.clone());
    tasks.to_the_end(async move { enough(&store, &pool, count).await }).await
}

async fn enough(store: &Store, pool: &Pool, count: u32) -> Result<()> {
    let asked = Instant::now();
    let available = claim::available(store, pool, count).await?;
    if available < count {
        store.must_be_news(asked).await?;
        return Err(Error::NotEnoughCodes { wanted: count.into(), available: available.into() });
    }
    Ok(())
}

pub(crate) fn reservation(
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

/// Codes may be held under the id, and an error leaves it unknown whether they are.
pub(crate) fn unknown(holder: &Holder, error: Error) -> Error {
    Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: Some(Box::new(error)) }
}
