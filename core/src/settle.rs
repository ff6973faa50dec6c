//! Settling: codes are assigned for good, or released into the pool again.
//!
//! Either is sent again until the database answers, so neither may do harm when the network delivers it late.
//! An assign is final. A release names the reservations that it ends, by id and date, also when the caller
//! names none: whoever gets the code next keeps it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ReadConcern;

use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, ReserveId};
use crate::mutant::{Mutant, is};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, SHORT, Within, patiently};

/// The most codes that one command names.
const BATCH: usize = 2_000;
/// How far the clocks of two servers may differ.
const MARGIN: Duration = Duration::from_secs(1);

/// What an assign or a release did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettleReport {
    /// How many codes were given, repeats included: `in` in the other faces of the service.
    pub given: u64,
    /// How many of them changed.
    pub updated: u64,
    /// With a reserveId: the codes that are not held under it, in the order given. Without one: empty.
    ///
    /// A code that is assigned counts as the id's if it was held under it when that happened. So that this is proof
    /// of whose it is, everybody who assigns has to name a reserveId.
    pub lost: Vec<Code>,
}

pub(crate) async fn assign(
    store: &Store,
    campaign: &CampaignId,
    codes: Vec<Code>,
    reserve_id: Option<&ReserveId>,
) -> Result<SettleReport> {
    let mut report = start(&codes)?;
    for batch in distinct(codes).chunks(BATCH) {
        let mut rest = Rest::of(batch);
        while let Some(left) = rest.left_to_settle()? {
            let among = doc! { "_id": document::ids_in(campaign, left) };
            let updated = assign_among(store, &among, reserve_id).await?;
            report.updated += updated;
            let Some(id) = reserve_id.filter(|_| updated < left.len() as u64) else { break };
            // Assigned is final, so a look afterwards tells what belongs to the id, also when this call repeats one.
            let under = patiently(store.patience, || under(store, &among, id)).await?;
            rest.retain(&under, |code| !under.assigned.contains(code));
        }
        report.lost.extend(rest.lost(batch));
    }
    Ok(report)
}

/// Assigns what the filter names and nobody has assigned, or what the id holds of it. Returns how many.
async fn assign_among(store: &Store, among: &Document, reserve_id: Option<&ReserveId>) -> Result<u64> {
    let filter = match reserve_id {
        Some(id) if !is(Mutant::NoFence) => document::held(among.clone(), id),
        Some(_) => document::reserved(among.clone()),
        None => document::unassigned(among.clone()),
    };
    let (begun, mut sent) = (Instant::now(), 0);
    let modified = patiently(store.patience, || {
        sent += 1;
        let update = doc! { "$currentDate": { "date.assigned": true } };
        let done = store.codes.update_many(filter.clone(), update).within(SHORT);
        async { Ok(done.await.map_err(|e| database_error("assigning codes", e))?.modified_count) }
    })
    .await?;
    if sent == 1 {
        return Ok(modified);
    }
    // The first one may have assigned them, and its reply is lost: what was assigned since then is of this call.
    let now = patiently(store.patience, || store.server_time()).await?;
    let since = DateTime::from_millis(now.timestamp_millis() - document::millis(begun.elapsed() + MARGIN));
    let mut ours = match reserve_id {
        Some(id) => document::assigned_under(among.clone(), id),
        None => among.clone(),
    };
    ours.insert("date.assigned", doc! { "$gte": since });
    Ok(patiently(store.patience, || find(store, &ours)).await?.len() as u64)
}

pub(crate) async fn release(
    store: &Store,
    campaign: &CampaignId,
    codes: Vec<Code>,
    reserve_id: Option<&ReserveId>,
) -> Result<SettleReport> {
    let mut report = start(&codes)?;
    for batch in distinct(codes).chunks(BATCH) {
        let mut rest = Rest::of(batch);
        while let Some(left) = rest.left_to_settle()? {
            let among = doc! { "_id": document::ids_in(campaign, left) };
            let held = match reserve_id {
                Some(id) if !is(Mutant::NoFence) => document::held(among.clone(), id),
                Some(_) | None => document::reserved(among.clone()),
            };
            // Who has to repeat the call would be told of codes as lost that this one has released.
            let patience = if report.updated > 0 { store.patience } else { Duration::ZERO };
            let held = patiently(patience, || find(store, &held)).await?;
            let ended = end_reservations(store, campaign, &held).await?;
            report.updated += ended;
            let Some(id) = reserve_id.filter(|_| ended < left.len() as u64) else { break };
            let held: HashSet<Code> = held.iter().map(document::code).collect::<Result<_>>()?;
            let under = patiently(store.patience, || under(store, &among, id)).await?;
            // Those that were held and do not carry the id any more were released, by this call or beside it.
            rest.retain(&under, |code| under.assigned.contains(code) || !held.contains(code));
        }
        report.lost.extend(rest.lost(batch));
    }
    Ok(report)
}

/// Codes that are settled under an id until nothing is left of them that it holds.
///
/// A server that was primary, and does not know that it is no more, finds less than there is. What is held in truth is
/// settled again: the driver knows the new one by then.
struct Rest {
    left: Vec<Code>,
    lost: HashSet<Code>,
    rounds: usize,
}

impl Rest {
    /// More than elections follow one another.
    const ROUNDS: usize = 8;

    fn of(batch: &[Code]) -> Self {
        Rest { left: batch.to_vec(), lost: HashSet::new(), rounds: 0 }
    }

    /// What is to be settled now; None if nothing is left.
    fn left_to_settle(&mut self) -> Result<Option<&[Code]>> {
        self.rounds += 1;
        if self.left.is_empty() {
            return Ok(None);
        }
        if self.rounds > Self::ROUNDS {
            return Err(Error::unavailable("the database gives two answers: call again"));
        }
        Ok(Some(&self.left))
    }

    /// Goes on with what the id still holds. Of the others those are lost of which `is_lost` says so.
    fn retain(&mut self, under: &Under, is_lost: impl Fn(&Code) -> bool) {
        let (held, others) = self.left.drain(..).partition(|code| under.held.contains(code));
        self.left = held;
        self.lost.extend(others.into_iter().filter(is_lost));
    }

    /// In the order of the batch.
    fn lost(&self, batch: &[Code]) -> Vec<Code> {
        batch.iter().filter(|code| self.lost.contains(*code)).cloned().collect()
    }
}

/// Codes that carry an id.
struct Under {
    /// Held under it.
    held: HashSet<Code>,
    /// Assigned while they were.
    assigned: HashSet<Code>,
}

/// Those of the codes that carry the id, as the primary knows them that a majority takes for it.
async fn under(store: &Store, among: &Document, id: &ReserveId) -> Result<Under> {
    let failed = |e| database_error("looking codes up", e);
    let cursor = store
        .codes
        .find(document::carrying(among.clone(), id))
        .projection(doc! { "_id": 1, "date.assigned": 1 })
        .read_concern(ReadConcern::linearizable())
        .max_time(SHORT)
        .within(SHORT)
        .await
        .map_err(failed)?;
    let found: Vec<Document> = cursor.try_collect().within(MEDIUM).await.map_err(failed)?;
    let is_assigned = |code: &&Document| {
        code.get_document("date").is_ok_and(|dates| dates.get_datetime("assigned").is_ok())
    };
    let (assigned, held): (Vec<&Document>, Vec<&Document>) = found.iter().partition(is_assigned);
    let codes = |documents: Vec<&Document>| documents.into_iter().map(document::code).collect::<Result<_>>();
    Ok(Under { held: codes(held)?, assigned: codes(assigned)? })
}

/// Ends the reservations that were seen on these codes, and no other that has come since. Returns how many.
async fn end_reservations(store: &Store, campaign: &CampaignId, held: &[Document]) -> Result<u64> {
    if held.is_empty() {
        return Ok(0);
    }
    let mut reservations: HashMap<String, (Document, Vec<Code>)> = HashMap::new();
    for document in held {
        let reserved = document.get_document("date").ok().and_then(|dates| dates.get("reserved"));
        let seen = doc! { "reserveId": document.get("reserveId"), "date.reserved": reserved };
        let reservation = reservations.entry(seen.to_string()).or_insert_with(|| (seen, Vec::new()));
        reservation.1.push(document::code(document)?);
    }
    let among = |codes: &[Code]| doc! { "_id": document::ids_in(campaign, codes) };
    let statements = reservations.values().map(|(seen, codes)| {
        let mut filter = document::unassigned(among(codes));
        filter.extend(seen.clone());
        doc! { "q": filter, "u": document::released(), "multi": true }
    });
    let command = doc! {
        "update": store.codes.name(),
        "updates": Bson::Array(statements.map(Bson::Document).collect()),
        "ordered": false,
        "writeConcern": { "w": "majority", "j": true },
    };
    let mut sent = 0;
    let modified = patiently(store.patience, || {
        sent += 1;
        store.write("releasing codes", command.clone(), SHORT)
    })
    .await?;
    if sent == 1 {
        return Ok(modified);
    }
    // The first one may have ended them, and its reply is lost: whatever was not assigned before is released.
    let mut assigned = 0;
    for (seen, codes) in reservations.values() {
        let mut filter = among(codes);
        filter.extend(seen.clone());
        filter.insert("date.assigned", doc! { "$ne": Bson::Null });
        assigned += patiently(store.patience, || find(store, &filter)).await?.len();
    }
    Ok((held.len() - assigned) as u64)
}

fn start(codes: &[Code]) -> Result<SettleReport> {
    if codes.is_empty() {
        return Err(Error::invalid("codes", "is empty"));
    }
    Ok(SettleReport { given: codes.len() as u64, ..SettleReport::default() })
}

/// Codes with their holders, as they are now.
async fn find(store: &Store, filter: &Document) -> Result<Vec<Document>> {
    let failed = |e| database_error("looking codes up", e);
    let cursor = store
        .codes
        .find(filter.clone())
        .projection(doc! { "_id": 1, "reserveId": 1, "date.reserved": 1 })
        .read_concern(ReadConcern::local())
        .within(SHORT)
        .await
        .map_err(failed)?;
    cursor.try_collect().within(MEDIUM).await.map_err(failed)
}

/// The codes without repeats, in their order.
fn distinct(codes: Vec<Code>) -> Vec<Code> {
    let mut seen = HashSet::with_capacity(codes.len());
    codes.into_iter().filter(|code| seen.insert(code.clone())).collect()
}
