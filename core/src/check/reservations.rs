//! What is wrong with reservations: the codes under one reserveId, and the entry of the ledger that they belong to.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::check::again::SecondLook;
use crate::check::{Example, FindingKind, Report};
use crate::document::later;
use crate::error::Result;
use crate::ids::{Code, MAX_ID_BYTES, check};
use crate::ledger::{Entry, Ledger};
use crate::store::{Store, database_error};
use crate::sweep::sweep_one;
use crate::task::{LONG, MEDIUM, Within};

/// How many reservations are looked at together.
pub(super) const TOGETHER: usize = 500;
/// How long what is to be swept may stay: every process of the service sweeps six times as often.
const UNSWEPT: Duration = Duration::from_secs(60);

/// Looks at the codes of every reserveId, and at every entry of the ledger.
pub(super) async fn reservations(store: &Store, ledger: &Ledger, report: &mut Report<'_>) -> Result<()> {
    let mut again = SecondLook::at(store, ledger, is_of_many_pools);
    in_many_pools(store, report, &mut again).await?;
    again.end(report).await?;
    let mut again = SecondLook::at(store, ledger, is_of_entry);
    entries(store, report, &mut again).await?;
    again.end(report).await
}

fn is_of_many_pools(kind: FindingKind) -> bool {
    matches!(kind, FindingKind::ManyCampaigns | FindingKind::ManyTypes)
}

/// What is looked at twice of an entry.
fn is_of_entry(kind: FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::OtherCampaign
            | FindingKind::BadEntry
            | FindingKind::NotSwept
            | FindingKind::LeftBehind
            | FindingKind::Surplus
    )
}

/// What is not: nothing that goes on can look like it.
fn is_sure(kind: FindingKind) -> bool {
    matches!(kind, FindingKind::OtherType | FindingKind::Fewer)
}

/// Finds the ids that hold codes of several campaigns or types. The codes come in the order of their ids.
async fn in_many_pools(store: &Store, report: &mut Report<'_>, again: &mut SecondLook<'_>) -> Result<()> {
    let failed = |e| database_error("checking the reservations", e);
    let mut filter = doc! { "reserveId": { "$type": "string" } };
    if let Some(campaign) = &report.check.campaign {
        filter.insert("_id.campaign_id", campaign.as_str());
    }
    let now = store.server_time().await?;
    let mut codes = store
        .codes
        .find(filter)
        .projection(doc! { "type": 1, "date": 1, "reserveId": 1 })
        .sort(doc! { "reserveId": -1 })
        // Only where the index is missing.
        .allow_disk_use(true)
        .within(LONG)
        .await
        .map_err(failed)?;
    let mut last = Seen::default();
    while let Some(code) = codes.try_next().within(LONG).await.map_err(failed)? {
        // What is no reserveId has been found where it stands.
        let Some(id) = code.get_str("reserveId").ok().filter(|id| check(id, MAX_ID_BYTES).is_ok()) else {
            continue;
        };
        if last.id != id {
            last = Seen { id: id.to_owned(), ..Seen::default() };
        }
        let was_one = last.is_of_one_pool();
        last.count(&code, now, store.ttl);
        if was_one && !last.is_of_one_pool() {
            again.add(last.id.clone(), report).await?;
        }
    }
    Ok(())
}

/// Looks at every entry with its codes.
async fn entries(store: &Store, report: &mut Report<'_>, again: &mut SecondLook<'_>) -> Result<()> {
    let failed = |e| database_error("checking the ledger", e);
    let filter = report.check.campaign.as_ref().map(|campaign| doc! { "campaign_id": campaign.as_str() });
    let entries = store.ledger.find(filter.unwrap_or_default()).projection(doc! { "_id": 1 });
    let mut entries = entries.within(LONG).await.map_err(failed)?;
    let mut ids = Vec::new();
    loop {
        let entry = entries.try_next().within(LONG).await.map_err(failed)?;
        let ended = entry.is_none();
        match entry.map(|entry| entry.get("_id").cloned().unwrap_or(Bson::Null)) {
            Some(Bson::String(id)) if check(&id, MAX_ID_BYTES).is_ok() => ids.push(id),
            Some(id) => {
                report.seen.entries += 1;
                report.add(FindingKind::BadEntry, 1, [Example::document(&id)]);
            }
            None => {}
        }
        if ids.len() == TOGETHER || (ended && !ids.is_empty()) {
            report.seen.entries += ids.len() as u64;
            for seen in look(store, &std::mem::take(&mut ids), report.check.examples).await? {
                let wrong = seen.wrong();
                if wrong.iter().any(|(kind, _)| is_of_entry(*kind)) {
                    again.add(seen.id.clone(), report).await?;
                }
                for (kind, count) in wrong.into_iter().filter(|(kind, _)| is_sure(*kind)) {
                    report.add(kind, count, seen.examples(kind));
                }
            }
            report.tell();
        }
        if ended {
            return Ok(());
        }
    }
}

/// The codes under one id, and the entry that they belong to.
#[derive(Default)]
pub(super) struct Seen {
    id: String,
    entry: Found,
    /// Whether the entry was the same before and after its codes were read.
    steady: bool,
    /// Campaign and type of the first code in use under the id, and what others have.
    first: Option<(String, String)>,
    many_campaigns: bool,
    many_types: bool,
    /// Codes of the attempt that owns the entry, given out or not.
    own: u64,
    /// Whether any that it has given out is of another campaign or type than the entry.
    other_campaign: bool,
    other_type: bool,
    /// Codes that dead attempts have left, the first ones by name.
    left: u64,
    left_examples: Vec<Example>,
    most_examples: usize,
    /// Codes that are held under the id by no attempt that the entry knows.
    others: u64,
}

/// An entry of the ledger, as far as it can be read.
#[derive(Default)]
enum Found {
    #[default]
    None,
    Bad,
    Good(Box<Good>),
}

struct Good {
    entry: Entry,
    campaign: String,
    code_type: String,
    count: u64,
    granted: bool,
    expired: bool,
    /// Whether it should have been swept long ago.
    overdue: bool,
}

/// Looks at some ids, in their order.
pub(super) async fn look(store: &Store, ids: &[String], examples: usize) -> Result<Vec<Seen>> {
    let failed = |e| database_error("checking the reservations", e);
    let now = store.server_time().await?;
    let before = entries_of(store, ids).await?;
    let mut all: HashMap<&str, Seen> = HashMap::new();
    for id in ids {
        let entry = before.get(id).map_or(Found::None, |entry| read(entry, now, store.ttl));
        let seen = Seen { id: id.clone(), entry, most_examples: examples, ..Seen::default() };
        all.insert(id.as_str(), seen);
    }
    let under = doc! { "reserveId": { "$in": ids }, "date.reserved": { "$ne": Bson::Null } };
    let codes = store.codes.find(under).projection(doc! { "type": 1, "date": 1, "reserveId": 1 });
    let mut codes = codes.within(LONG).await.map_err(failed)?;
    while let Some(code) = codes.try_next().within(LONG).await.map_err(failed)? {
        if let Some(seen) = code.get_str("reserveId").ok().and_then(|id| all.get_mut(id)) {
            seen.count(&code, now, store.ttl);
        }
    }
    let after = entries_of(store, ids).await?;
    let steady = |mut seen: Seen| {
        seen.steady = before.get(&seen.id) == after.get(&seen.id);
        seen
    };
    Ok(ids.iter().filter_map(|id| all.remove(id.as_str())).map(steady).collect())
}

async fn entries_of(store: &Store, ids: &[String]) -> Result<HashMap<String, Document>> {
    let failed = |e| database_error("checking the ledger", e);
    let found = store.ledger.find(doc! { "_id": { "$in": ids } }).within(MEDIUM).await.map_err(failed)?;
    let found: Vec<Document> = found.try_collect().within(MEDIUM).await.map_err(failed)?;
    let id = |entry: &Document| entry.get_str("_id").ok().map(str::to_owned);
    Ok(found.into_iter().filter_map(|entry| Some((id(&entry)?, entry))).collect())
}

fn read(entry: &Document, now: DateTime, ttl: Duration) -> Found {
    let good = || {
        let granted = match entry.get_str("state").ok()? {
            "granted" => true,
            "claiming" => false,
            _ => return None,
        };
        let campaign = entry.get_str("campaign_id").ok()?.to_owned();
        let code_type = entry.get_str("type").ok()?.to_owned();
        let count = entry.get_i64("count").ok().and_then(|count| u64::try_from(count).ok())?;
        entry.get_datetime("lease").ok()?;
        entry.get_datetime("purge").ok()?;
        let sweep = entry.get_datetime("sweep").ok().copied();
        let entry = Entry::due(entry.clone()).ok()?;
        if sweep.is_none() && (!granted || !entry.past.is_empty()) {
            return None;
        }
        let expired = later(entry.reserved, ttl) <= now;
        let overdue = sweep.is_some_and(|sweep| later(sweep, UNSWEPT) <= now);
        Some(Box::new(Good { entry, campaign, code_type, count, granted, expired, overdue }))
    };
    good().map_or(Found::Bad, Found::Good)
}

impl Seen {
    fn is_of_one_pool(&self) -> bool {
        !self.many_campaigns && !self.many_types
    }

    /// Takes one of its codes in.
    fn count(&mut self, code: &Document, now: DateTime, ttl: Duration) {
        let date = |name: &str| code.get_document("date").ok()?.get_datetime(name).ok().copied();
        let Some(reserved) = date("reserved") else { return };
        let assigned = date("assigned");
        let expires = later(reserved, ttl);
        let id = code.get_document("_id").ok();
        let text = |name: &str| id.and_then(|id| id.get_str(name).ok()).unwrap_or_default().to_owned();
        // Others may have had the id before; what they let expire keeps it until it is reserved again.
        if assigned.unwrap_or(now) < expires {
            let pool = (text("campaign_id"), code.get_str("type").unwrap_or_default().to_owned());
            let first = self.first.get_or_insert_with(|| pool.clone());
            self.many_campaigns |= first.0 != pool.0;
            self.many_types |= first.1 != pool.1;
        }
        let Found::Good(good) = &self.entry else { return };
        let is_own = reserved == good.entry.reserved;
        if good.entry.past.contains(&reserved) || (is_own && !good.granted) {
            self.left += 1;
            if self.left_examples.len() < self.most_examples {
                let code = Code::from_stored(&text("code"));
                self.left_examples.push(Example::Code { campaign: text("campaign_id"), code });
            }
        } else if is_own {
            self.own += 1;
            let stored = id.and_then(|id| id.get_str("campaign_id").ok());
            self.other_campaign |= stored.is_some_and(|campaign| campaign != good.campaign);
            self.other_type |= code.get_str("type").is_ok_and(|code_type| code_type != good.code_type);
        } else if assigned.is_none() && now < expires {
            self.others += 1;
        }
    }

    /// What is wrong, and how often.
    pub(super) fn wrong(&self) -> Vec<(FindingKind, u64)> {
        if !self.steady {
            // Somebody is at work under it.
            return Vec::new();
        }
        let mut wrong = Vec::new();
        if self.many_campaigns {
            wrong.push((FindingKind::ManyCampaigns, 1));
        } else if self.many_types {
            wrong.push((FindingKind::ManyTypes, 1));
        }
        match &self.entry {
            Found::None => {}
            Found::Bad => wrong.push((FindingKind::BadEntry, 1)),
            Found::Good(good) => {
                if self.other_campaign {
                    wrong.push((FindingKind::OtherCampaign, 1));
                } else if self.other_type && !self.many_types && !good.expired {
                    wrong.push((FindingKind::OtherType, 1));
                }
                if good.overdue {
                    wrong.push((FindingKind::NotSwept, 1));
                    wrong.push((FindingKind::LeftBehind, self.left));
                }
                if good.granted {
                    wrong.push((FindingKind::Surplus, self.own.saturating_sub(good.count) + self.others));
                    let fewer = !good.expired && self.own < good.count;
                    wrong.push((FindingKind::Fewer, fewer.into()));
                }
            }
        }
        wrong.retain(|(_, count)| *count > 0);
        wrong
    }

    pub(super) fn examples(&self, kind: FindingKind) -> Vec<Example> {
        if kind == FindingKind::LeftBehind {
            return self.left_examples.clone();
        }
        let campaign = match &self.entry {
            Found::Good(good) => Some(good.campaign.clone()),
            Found::None | Found::Bad => None,
        };
        vec![Example::Reservation { campaign, reserve_id: self.id.clone() }]
    }
}

/// Does what the sweep should have done.
pub(super) async fn sweep(
    store: &Store,
    ledger: &Ledger,
    report: &mut Report<'_>,
    seen: &Seen,
) -> Result<()> {
    let Found::Good(good) = &seen.entry else { return Ok(()) };
    if !(seen.steady && good.overdue) {
        return Ok(());
    }
    if let Some(codes) = sweep_one(store, ledger, &good.entry).await? {
        report.repaired(FindingKind::NotSwept, 1);
        if seen.left > 0 {
            report.repaired(FindingKind::LeftBehind, codes.min(seen.left));
        }
    }
    Ok(())
}
