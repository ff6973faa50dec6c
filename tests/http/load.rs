//! A host with more to do than it can, and with callers who hold on to what they have.
//!
//! The short tests say what must be so on any machine. The long ones, which `make load` runs, have times in them.

use std::time::{Duration, Instant};

use code_service_tests::caller::get;
use code_service_tests::host::Builder;
use code_service_tests::load::{Idlers, as_many_files_as_allowed, heartbeats, load};

use crate::client::{Api, csv, keys, until};

async fn with_codes(change: &[(&str, &str)], codes: usize) -> Api {
    let set = |host: Builder| change.iter().fold(host, |host, (name, value)| host.env(name, value));
    let api = Api::start(|host| set(host.silent())).await;
    api.upload("tm", csv(codes)).await.data();
    api
}

fn reserve(api: &Api) -> String {
    get(&format!("/{}/reserve?count=1&type=tm", api.campaign), &keys().supreme())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_callers_are_told_to_come_again_and_no_code_goes_to_two() {
    let api = with_codes(&[("TITAN_SERVICE__MAX_REQUESTS", "8")], 20_000).await;
    let time = Duration::from_secs(3);
    let outcome = load(&api.host, &reserve(&api), 80, time).await;
    assert!(outcome.shed > 0 && outcome.other == 0, "{outcome:?}");
    // Each that was answered has one, and nobody else.
    let answered = (outcome.rate * time.as_secs_f64()).round() as u64;
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts["reserved"].as_u64(), Some(answered.min(20_000)), "{counts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hold_connections_do_not_keep_others_out() {
    let api = Api::start(|host| host.env("TITAN_SERVICE__HEAD_TIMEOUT", "2s")).await;
    let idlers = Idlers::open(api.host.port(), 200, 50).await;
    assert_eq!(api.get("/heartbeat").await.status, 200);
    until("the slow ones were sent away", async || idlers.sent_away() >= 50).await;
    assert_eq!((idlers.silent(), api.get("/heartbeat").await.status), (200, 200));
}

/// `make load`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a machine that does nothing else"]
async fn ten_times_what_it_can() {
    as_many_files_as_allowed();
    let file = std::env::temp_dir().join(format!("code-service-load-{}.log", std::process::id()));
    let log = file.to_str().expect("UTF-8");
    let api = with_codes(&[("TITAN_LOG__FILE", log)], 2_000_000).await;
    let request = reserve(&api);
    let (few, many) = (256, 10 * 512);
    load(&api.host, &request, few, Duration::from_secs(3)).await;
    let before = load(&api.host, &request, few, Duration::from_secs(10)).await;
    let during = load(&api.host, &request, many, Duration::from_secs(60)).await;
    let mut after = Vec::new();
    for _ in 0..10 {
        after.push(load(&api.host, &request, few, Duration::from_secs(1)).await.rate);
    }
    let _ = std::fs::remove_file(&file);
    println!("before {before:?}\nduring {during:?}\nafter {after:.0?}");
    assert_eq!((before.shed, during.other), (0, 0), "everybody is answered");
    assert!(during.shed > 0);
    assert!(during.heartbeat_p99 < Duration::from_millis(100), "heartbeats: {:?}", during.heartbeat_p99);
    assert!(during.p99 < Duration::from_secs(2), "those that were accepted: {:?}", during.p99);
    let (early, late) = during.memory;
    assert!(late < early * 1.1 + 8.0, "memory grows: {early:.0} to {late:.0} MiB");
    let recovered = after[..5].iter().any(|rate| *rate > 0.8 * before.rate);
    assert!(recovered, "{:.0} codes/s before, and second by second after it {after:.0?}", before.rate);
}

/// `make load`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute, and a machine that does nothing else"]
async fn ten_thousand_idle_and_a_thousand_slow_connections() {
    as_many_files_as_allowed();
    let api = Api::start(Builder::silent).await;
    let port = api.host.port();
    let alone = heartbeats(port, Instant::now() + Duration::from_secs(5)).await;
    let idlers = Idlers::open(port, 10_000, 1_000).await;
    let beside = heartbeats(port, Instant::now() + Duration::from_secs(20)).await;
    println!("heartbeats alone {alone:?}, beside {} silent connections {beside:?}", idlers.silent());
    println!("{:.0} MiB", api.host.memory_kib() as f64 / 1024.0);
    assert!(beside < Duration::from_millis(50), "{beside:?}");
    until("the slow ones were sent away", async || idlers.sent_away() >= 1_000).await;
}
