//! The claim: taking available codes out of a pool so that nobody else can have them.
//!
//! A pool is the codes of one campaign and type. One round of a claim
//! 1. looks up candidate `_id`s, free ones first, then expired ones;
//! 2. picks as many as are missing, at random, because every other claimer looks at the same ones;
//! 3. updates those, guarded by "still available": the database decides who wins each code;
//! 4. counts as won what the update's total confirms, or, when it is short, what a read-back finds.
//!
//! Rounds go on until the claim is full or no candidate is left. A round that wins nothing lost every code
//! to somebody else's success, so claimers cannot hold each other up.

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use rand::seq::IndexedRandom;

use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::store::{Store, cause, database_error, never_sent};

/// The most codes that one round updates.
const ROUND: usize = 10_000;
/// How many candidates a round looks at beyond those it needs, so that claimers spread.
const SPREAD: usize = 256;

/// Where a claim takes codes from.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) campaign: CampaignId,
    pub(crate) code_type: CodeType,
}

/// In whose name codes are claimed.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) id: ReserveId,
    /// The date that the ledger gave this attempt; None: the server's time of the update.
    pub(crate) date: Option<DateTime>,
}

/// What a claim got: at most what was asked, fewer only if the pool was seen empty.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) codes: Vec<Code>,
    /// A moment of the server's clock before the first of the codes was reserved; None if there are none.
    pub(crate) since: Option<DateTime>,
}

/// Claims `want` codes, or all there are if those are fewer.
///
/// On an error nothing is given back here: codes may be held under the holder's id.
pub(crate) async fn claim(store: &Store, pool: &Pool, holder: &Holder, want: usize) -> Result<Claim> {
    let mut claim = Claim { codes: Vec::new(), since: holder.date };
    while claim.codes.len() < want {
        let missing = (want - claim.codes.len()).min(ROUND);
        let (candidates, now) = candidates(store, pool, missing + SPREAD).await?;
        if candidates.is_empty() {
            break;
        }
        claim.since = claim.since.or(now);
        let picked: Vec<Code> = candidates.sample(&mut rand::rng(), missing).cloned().collect();
        claim.codes.extend(take(store, pool, holder, picked).await?);
    }
    Ok(claim)
}

/// Up to `limit` codes that look available, free ones before expired ones, and the server's time.
async fn candidates(store: &Store, pool: &Pool, limit: usize) -> Result<(Vec<Code>, Option<DateTime>)> {
    let in_pool = doc! { "_id.campaign_id": pool.campaign.as_str(), "type": pool.code_type.as_str() };
    let mut found = Vec::new();
    let mut now = None;
    for filter in [document::free(in_pool.clone()), document::expired(in_pool, store.ttl)] {
        let left = limit - found.len();
        if left == 0 {
            break;
        }
        // Read concern `local`: the primary's newest state. An older one would show a released code as taken.
        let mut cursor = store
            .codes
            .find(filter)
            .projection(doc! { "_id": 1, "now": "$$NOW" })
            .hint(mongodb::options::Hint::Keys(crate::indexes::by_status()))
            .read_concern(mongodb::options::ReadConcern::local())
            .limit(i64::try_from(left).unwrap_or(i64::MAX))
            .await
            .map_err(|e| database_error("looking for available codes", e))?;
        while let Some(document) =
            cursor.try_next().await.map_err(|e| database_error("looking for available codes", e))?
        {
            now = now.or(document.get_datetime("now").ok().copied());
            found.push(document::code(&document)?);
        }
    }
    Ok((found, now))
}

/// Reserves those of `picked` that are still available and returns them.
async fn take(store: &Store, pool: &Pool, holder: &Holder, picked: Vec<Code>) -> Result<Vec<Code>> {
    let among = doc! { "_id": document::ids_in(&pool.campaign, &picked) };
    let update = match holder.date {
        Some(date) => doc! { "$set": { "reserveId": holder.id.as_str(), "date.reserved": date } },
        None => doc! {
            "$set": { "reserveId": holder.id.as_str() },
            "$currentDate": { "date.reserved": true },
        },
    };
    // The driver does not retry this: a second run could not tell its codes from the first one's.
    let done = store.codes.update_many(document::available(among.clone(), store.ttl), update).await.map_err(
        |e| {
            if never_sent(&e) {
                database_error("reserving codes", e)
            } else {
                Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: cause(&e) }
            }
        },
    )?;
    if done.modified_count == picked.len() as u64 {
        return Ok(picked);
    }
    if done.modified_count == 0 {
        return Ok(Vec::new());
    }
    held_among(store, holder, among).await
}

/// Those of the codes in `filter` that the holder's claims have won.
async fn held_among(store: &Store, holder: &Holder, filter: Document) -> Result<Vec<Code>> {
    let mut filter = document::held(filter, &holder.id);
    if let Some(date) = holder.date {
        filter.insert("date.reserved", date);
    }
    let unknown =
        |e: mongodb::error::Error| Error::OutcomeUnknown { reserve_id: holder.id.clone(), source: cause(&e) };
    let cursor = store.codes.find(filter).projection(doc! { "_id": 1 }).await.map_err(unknown)?;
    let documents: Vec<Document> = cursor.try_collect().await.map_err(unknown)?;
    documents.iter().map(document::code).collect()
}

/// Gives back every code that the holder still holds.
pub(crate) async fn give_back(store: &Store, holder: &Holder) -> Result<()> {
    let mut filter = document::held(doc! {}, &holder.id);
    if let Some(date) = holder.date {
        filter.insert("date.reserved", date);
    }
    store
        .codes
        .update_many(filter, document::released())
        .await
        .map_err(|e| database_error("giving codes back", e))?;
    Ok(())
}
