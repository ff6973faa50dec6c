//! An upgrade under load: three hosts behind a real balancer are replaced one by one, as the chart has Kubernetes do it.
//!
//! A new host that answers its readiness probe is added, then an old one is asked to end. It goes on until its stop delay
//! is over, and in that time the balancer must have learned of it. Times are a fifth of the chart's.

mod balancer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use code_service::{CampaignId, CodeService, CodeType, Options, Rows};
use code_service_tests::caller::{Caller, get};
use code_service_tests::{Database, Host, Keys, database};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use balancer::Balancer;

const HOSTS: usize = 3;
const CALLERS: usize = 16;
/// More than they can take in the time.
const CODES: usize = 100_000;
/// Between two calls of a caller, so that there is always somebody who uses a connection again.
const PAUSE: Duration = Duration::from_millis(5);
/// How much faster than the chart says.
const FASTER: u32 = 5;

/// How the balancer learns that a host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learns {
    /// Somebody who sees the pod end takes it out, after half of the stop delay. So it is with the chart.
    ByBeingTold,
    /// It asks `/ready`, and nobody tells it.
    ByAsking,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upgrade_under_load_loses_nothing_when_the_balancer_is_told() {
    upgrade(Learns::ByBeingTold).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upgrade_under_load_loses_nothing_when_the_balancer_asks_whether_a_host_is_ready() {
    upgrade(Learns::ByAsking).await;
}

/// The chart's times, shortened.
struct Times {
    delay: Duration,
    drain: Duration,
    idle: Duration,
    probe: String,
}

impl Times {
    fn of_chart() -> Times {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy/chart/values.yaml");
        let values = std::fs::read_to_string(file).expect("the chart has values");
        let values: Value = serde_saphyr::from_str(&values).expect("YAML");
        let seconds =
            |number: &Value| Duration::from_secs(number.as_u64().expect("so many seconds")) / FASTER;
        assert_eq!(values["rollout"]["maxUnavailable"], 0, "a new host comes before an old one goes");
        Times {
            delay: seconds(&values["stop"]["delaySeconds"]),
            drain: seconds(&values["stop"]["timeoutSeconds"]),
            idle: seconds(&values["ingress"]["idleTimeoutSeconds"]),
            probe: values["probes"]["readiness"]["path"].as_str().expect("a path").to_owned(),
        }
    }
}

async fn upgrade(learns: Learns) {
    let test = database().await;
    let keys = Keys::generate();
    fill(&test).await;
    let times = Times::of_chart();
    let check = match learns {
        Learns::ByBeingTold => times.probe.as_str(),
        Learns::ByAsking => "/ready",
    };
    // Three checks fit the delay, with as much to spare.
    let balancer = Balancer::start(2 * HOSTS, check, times.delay / 6, times.idle);
    let mut old: Vec<Host> = Vec::new();
    for place in 0..HOSTS {
        old.push(begin(&test, &keys, &times, &balancer, place).await);
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let request = get("/tour/reserve?count=1&type=tm", &keys.supreme());
        let (port, done) = (balancer.port(), Arc::clone(&done));
        callers.spawn(async move {
            let outcome = reserve(port, &request, &done).await;
            // All or nothing: after a failure nobody has to go on.
            done.store(true, Ordering::Relaxed);
            outcome
        });
    }

    let mut new = Vec::new();
    for (place, mut host) in old.into_iter().enumerate() {
        new.push(begin(&test, &keys, &times, &balancer, HOSTS + place).await);
        host.signal("TERM");
        if learns == Learns::ByBeingTold {
            sleep(times.delay / 2).await;
            balancer.set(place, "state drain");
        }
        assert_eq!(block_in_place(|| host.wait()), 0, "it has ended everything that it began");
        balancer.set(place, "state maint");
    }
    // Until the last one has had its share, or somebody has failed.
    while balancer.requests(2 * HOSTS - 1) == 0 && !done.load(Ordering::Relaxed) {
        sleep(PAUSE).await;
    }
    done.store(true, Ordering::Relaxed);

    let outcomes = callers.join_all().await;
    let mut acknowledged = Vec::new();
    for outcome in outcomes {
        acknowledged.extend(outcome.unwrap_or_else(|failure| panic!("a request has failed: {failure}")));
    }
    let distinct: HashSet<String> = acknowledged.iter().cloned().collect();
    assert_eq!(distinct.len(), acknowledged.len(), "a code was given to two");
    assert_eq!(distinct, reserved(&test).await, "what was acknowledged is reserved, and nothing else");
    for place in 0..2 * HOSTS {
        assert!(balancer.requests(place) > 0, "host {place} has answered nobody");
    }
}

/// A host that is ready, and that the balancer knows.
async fn begin(test: &Database, keys: &Keys, times: &Times, balancer: &Balancer, place: usize) -> Host {
    let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &test.uri)
        .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
        // Only what tells the port: a line per request would have to be read.
        .env("TITAN_LOG__LEVEL", "warn,code_service_host::serve=info")
        .env("TITAN_SERVICE__STOP_DELAY", milliseconds(times.delay))
        .env("TITAN_SERVICE__STOP_TIMEOUT", milliseconds(times.drain))
        // Longer than the balancer's, as the chart has it.
        .env("TITAN_SERVICE__IDLE_TIMEOUT", milliseconds(times.idle + times.idle / 4));
    let host = block_in_place(|| host.start());
    let mut probe = Caller::connect(host.port()).await.expect("it listens");
    while probe.call(&get(&times.probe, "")).await.expect("it answers") != 200 {
        sleep(Duration::from_millis(50)).await;
    }
    block_in_place(|| balancer.add(place, host.port()));
    host
}

async fn fill(test: &Database) {
    let service = CodeService::connect(Options::new(&test.uri)).await.expect("the test's own server");
    service.ensure_indexes().await.expect("a database without codes");
    let campaign = CampaignId::parse("tour").expect("valid");
    let code_type = CodeType::parse("tm").expect("valid");
    let rows = Rows::codes((0..CODES).map(|number| format!("C{number:06}")));
    service.save(&campaign, &code_type, rows).await.expect("saved");
}

/// Reserves one code after another on one connection; all that it got, or how a call has failed.
async fn reserve(port: u16, request: &str, done: &AtomicBool) -> Result<Vec<String>, String> {
    let mut caller = Caller::connect(port).await.map_err(|e| e.to_string())?;
    let mut codes = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let status = caller.call(request).await.map_err(|e| format!("after {} codes: {e}", codes.len()))?;
        let body = String::from_utf8_lossy(caller.body());
        if status != 200 {
            return Err(format!("after {} codes: {status} {body}", codes.len()));
        }
        let reply: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let code = reply["data"]["codes"][0].as_str().ok_or_else(|| format!("no code: {body}"))?;
        codes.push(code.to_owned());
        sleep(PAUSE).await;
    }
    Ok(codes)
}

async fn reserved(test: &Database) -> HashSet<String> {
    let codes = test.db.collection::<Document>("codes");
    let found = codes.find(doc! { "date.reserved": { "$type": "date" } }).await.expect("find");
    let found: Vec<Document> = found.try_collect().await.expect("read");
    let code = |document: &Document| document.get_document("_id")?.get_str("code").map(str::to_owned);
    found.iter().map(|document| code(document).expect("a code has an _id")).collect()
}
