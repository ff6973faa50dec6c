//! A run: clients at work, one fault after another, and what is left at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use code_service::{CampaignId, CodeService, CodeType, Options, Rows};
use code_service_tests::{ReplicaSet, fresh_database};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{self, doc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::client::{Caller, services};
use crate::clients::Clients;
use crate::faults::Fault;
use crate::history::{Document, Entry, Header, Snapshot};
use crate::plan::{Kind, Orders, PLENTY, UNTIL_QUIET, Wish, pools};
use crate::record::{Recorder, now};

/// How far a time of the server may be from ours: it is the same machine.
const CLOCK_ERROR_MS: u64 = 500;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    pub(crate) faults: Vec<Fault>,
    /// Processes of ours.
    pub(crate) clients: usize,
    /// Callers of each.
    pub(crate) callers: u32,
    /// Codes of the largest pool.
    pub(crate) codes: u32,
    pub(crate) folder: PathBuf,
    /// How long after there is a primary again the service may take to answer normally.
    pub(crate) normal: Duration,
    /// How long no new fault begins after that, so that more is called between two.
    pub(crate) calm: Duration,
    /// So many calls and faults there must be.
    pub(crate) at_least: (usize, usize),
}

/// What happened, beside the histories.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// Of each kind: how often, how many commands or processes it met, and the longest time until the service
    /// answered normally after there was a primary.
    faults: BTreeMap<Fault, (usize, u64, Duration)>,
    /// Clients that failed, answers that came too late.
    pub(crate) complaints: Vec<String>,
}

pub(crate) async fn run(plan: &Plan) -> Ran {
    std::fs::create_dir_all(&plan.folder).expect("a folder for the histories");
    let mut set = ReplicaSet::start();
    let database = fresh_database();
    let pools = pools(plan.codes);
    let model = Orders {
        number: 0,
        seed: plan.seed,
        callers: plan.callers,
        folder: plan.folder.clone(),
        pools,
        what: Kind::Ours { uri: set.uri_for(&database) },
    };
    write(plan, "header.json", &header(plan, &model));
    save_codes(&set.uri_for(&database), &model).await;

    let recorder = Arc::new(Recorder::create(&model.history(), 0, false));
    let services = services(&model, &set.uri_for(&database)).await;
    let orders = Arc::new(model.clone());
    let mut watchers = [0, 1].map(|number| Caller::new(&orders, &recorder, services.clone(), number));
    let ports = (0..3).map(|member| set.port(member)).collect();
    let old = Kind::Old { ports, database: database.clone() };
    let mut clients = Clients::start(plan.clients, &model, old);

    let mut ran = Ran::default();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let end = Instant::now() + Duration::from_secs_f64(plan.minutes * 60.0);
    while Instant::now() < end && clients.failed().is_none() {
        let Some(&fault) = plan.faults.choose(&mut rng) else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let met = fault.strike(&mut set, &mut clients, &mut rng);
        set.wait_for_primary(Duration::from_secs(60));
        let normal = until_normal(&mut watchers).await;
        ran.count(fault, met, normal, plan.normal);
        tokio::time::sleep(plan.calm).await;
    }
    ran.complaints.extend(clients.failed());
    std::fs::write(Orders::end_of(&plan.folder), "").expect("a file in the run's folder");
    let primary = set.mend();
    ran.complaints.extend(clients.wait(UNTIL_QUIET));
    let direct = set.direct(primary).database(&database);
    wait_until_swept(&direct).await;
    for pool in 0..model.pools.len() {
        watchers[0].count_pool(pool, true).await;
    }
    write(plan, "snapshot.json", &snapshot(&direct, &model).await);
    ran
}

fn write(plan: &Plan, name: &str, value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).expect("plain data");
    std::fs::write(plan.folder.join(name), text).expect("a file in the run's folder");
}

fn header(plan: &Plan, model: &Orders) -> Header {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let wall = i64::try_from(wall.as_millis()).expect("before the year 292,000,000");
    let zero_ms = wall - i64::try_from(now() / 1_000).expect("the machine has not run for so long");
    Header { seed: plan.seed, zero_ms, clock_error_ms: CLOCK_ERROR_MS, pools: model.pools.clone() }
}

async fn save_codes(uri: &str, model: &Orders) {
    let service = CodeService::connect(Options::new(uri)).await.expect("the set runs");
    service.ensure_indexes().await.expect("a fresh database");
    for pool in &model.pools {
        let campaign = CampaignId::parse(&*pool.campaign).expect("valid");
        let code_type = CodeType::parse(&*pool.code_type).expect("valid");
        let codes: Vec<String> = (0..pool.size).map(|number| pool.code(number)).collect();
        service.save(&campaign, &code_type, Rows::codes(codes)).await.expect("the set runs");
    }
}

/// How long it takes until a reserve, with an id of the caller's and without, and a release are answered as ever.
async fn until_normal([without, with]: &mut [Caller; 2]) -> Duration {
    let start = Instant::now();
    let until_answered = async |watcher: &mut Caller, id: Option<String>| {
        let wish = Wish { pool: PLENTY, count: 1, partial: false, id, shared: false };
        loop {
            if let Some(held) = watcher.reserve(&wish).await {
                watcher.end(held.pool, Some(held.id), held.codes, false).await;
                break;
            }
        }
    };
    let id = format!("watcher-{}", now());
    let both = async { tokio::join!(until_answered(without, None), until_answered(with, Some(id))) };
    // Whoever waits longer waits for what does not come.
    let _ = tokio::time::timeout(UNTIL_QUIET, both).await;
    start.elapsed()
}

/// What dead attempts left comes back by itself: somebody who is there is all that it takes.
async fn wait_until_swept(database: &Database) {
    let ledger = database.collection::<bson::Document>("codes.reservations");
    let start = Instant::now();
    while ledger.count_documents(doc! { "sweep": { "$exists": true } }).await.expect("all is calm") > 0 {
        if start.elapsed() > UNTIL_QUIET {
            // The checker finds what was not swept.
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn snapshot(database: &Database, model: &Orders) -> Snapshot {
    let codes = database.collection::<bson::Document>("codes").find(doc! {}).await.expect("all is calm");
    let codes: Vec<bson::Document> = codes.try_collect().await.expect("all is calm");
    let ledger = database.collection::<bson::Document>("codes.reservations");
    let entries = ledger.find(doc! {}).await.expect("all is calm");
    let entries: Vec<bson::Document> = entries.try_collect().await.expect("all is calm");
    let document = |stored: &bson::Document| {
        let id = stored.get_document("_id").expect("an embedded document");
        let campaign = id.get_str("campaign_id").expect("a text");
        let pool = model.pools.iter().position(|pool| pool.campaign == campaign).expect("one of the run's");
        let date = |name: &str| {
            let date = stored.get_document("date").ok()?.get_datetime(name).ok()?;
            Some(date.timestamp_millis())
        };
        Document {
            pool,
            code: id.get_str("code").expect("a text").to_owned(),
            type_ok: stored.get_str("type").ok() == Some(&model.pools[pool].code_type),
            reserved_ms: date("reserved"),
            assigned_ms: date("assigned"),
            reserve_id: stored.get_str("reserveId").ok().map(str::to_owned),
        }
    };
    let entry = |stored: &bson::Document| Entry {
        id: stored.get_str("_id").expect("a text").to_owned(),
        granted: stored.get_str("state").ok() == Some("granted"),
        reserved_ms: stored.get_datetime("reserved").expect("a date").timestamp_millis(),
    };
    Snapshot {
        at: now(),
        documents: codes.iter().map(document).collect(),
        ledger: entries.iter().map(entry).collect(),
    }
}

impl Ran {
    fn count(&mut self, fault: Fault, met: u64, normal: Duration, limit: Duration) {
        let (times, hits, longest) = self.faults.entry(fault).or_default();
        // One that met nobody is none.
        *times += usize::from(met > 0);
        *hits += met;
        *longest = normal.max(*longest);
        if normal > limit {
            self.complaints.push(format!(
                "after {}, the service answered normally only {:.1} s after there was a primary",
                fault.words().0,
                normal.as_secs_f64()
            ));
        }
    }

    pub(crate) fn faults(&self) -> usize {
        self.faults.values().map(|(times, ..)| times).sum()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>5} {:>8} {:>8}  fault", "times", "met", "normal")?;
        for (fault, (times, met, longest)) in &self.faults {
            let (longest, (name, what)) = (longest.as_secs_f64(), fault.words());
            writeln!(f, "{times:>5} {met:>8} {longest:>6.1} s  {name}: {what}")?;
        }
        Ok(())
    }
}
