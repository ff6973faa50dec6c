//! Settling: codes are assigned for good, or released into the pool again.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, ReserveId};
use crate::store::{Store, database_error};

/// The most codes that one command names.
const BATCH: usize = 10_000;

/// What an assign or a release did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettleReport {
    /// How many codes were given, repeats included: `in` in the other faces of the service.
    pub given: u64,
    /// How many of them changed.
    pub updated: u64,
    /// With a reserveId: the codes that are not held under it, in the order given. Without one: empty.
    pub lost: Vec<Code>,
}

pub(crate) async fn assign(
    store: &Store,
    campaign: &CampaignId,
    codes: Vec<Code>,
    reserve_id: Option<&ReserveId>,
) -> Result<SettleReport> {
    let mut report = start(&codes)?;
    let update = doc! { "$currentDate": { "date.assigned": true } };
    for batch in distinct(codes).chunks(BATCH) {
        let among = doc! { "_id": document::ids_in(campaign, batch) };
        let filter = match reserve_id {
            Some(id) => document::held(among.clone(), id),
            None => document::unassigned(among.clone()),
        };
        let updated = update_many(store, filter, &update, "assigning codes").await?;
        report.updated += updated;
        if let Some(id) = reserve_id
            && updated < batch.len() as u64
        {
            // Assigned is final, so a look afterwards tells what belongs to the id, also when this call repeats one.
            let ours = find(store, document::assigned_under(among, id)).await?;
            report.lost.extend(without(batch, &ours));
        }
    }
    Ok(report)
}

pub(crate) async fn release(
    store: &Store,
    campaign: &CampaignId,
    codes: Vec<Code>,
    reserve_id: Option<&ReserveId>,
) -> Result<SettleReport> {
    let mut report = start(&codes)?;
    let update = document::released();
    for batch in distinct(codes).chunks(BATCH) {
        let among = doc! { "_id": document::ids_in(campaign, batch) };
        let Some(id) = reserve_id else {
            report.updated +=
                update_many(store, document::reserved(among), &update, "releasing codes").await?;
            continue;
        };
        // A released code does not tell whose it was: what the id holds must be seen before.
        let held = find(store, document::held(among, id)).await?;
        let lost = without(batch, &held);
        let held: Vec<Code> = held.into_iter().collect();
        let of_id = document::held(doc! { "_id": document::ids_in(campaign, &held) }, id);
        report.updated += update_many(store, of_id, &update, "releasing codes").await?;
        report.lost.extend(lost);
    }
    Ok(report)
}

fn start(codes: &[Code]) -> Result<SettleReport> {
    if codes.is_empty() {
        return Err(Error::invalid("codes", "is empty"));
    }
    Ok(SettleReport { given: codes.len() as u64, ..SettleReport::default() })
}

/// Repeating either update changes nothing, so a lost reply needs no other answer than "try again".
async fn update_many(store: &Store, filter: Document, update: &Document, doing: &str) -> Result<u64> {
    let done = store.codes.update_many(filter, update.clone()).await.map_err(|e| database_error(doing, e))?;
    Ok(done.modified_count)
}

async fn find(store: &Store, filter: Document) -> Result<HashSet<Code>> {
    let failed = |e| database_error("looking codes up", e);
    let cursor = store.codes.find(filter).projection(doc! { "_id": 1 }).await.map_err(failed)?;
    let documents: Vec<Document> = cursor.try_collect().await.map_err(failed)?;
    documents.iter().map(document::code).collect()
}

/// The codes without repeats, in their order.
fn distinct(codes: Vec<Code>) -> Vec<Code> {
    let mut seen = HashSet::with_capacity(codes.len());
    codes.into_iter().filter(|code| seen.insert(code.clone())).collect()
}

fn without(asked: &[Code], found: &HashSet<Code>) -> Vec<Code> {
    asked.iter().filter(|code| !found.contains(code)).cloned().collect()
}
