//! What is left of attempts that died: asked for, or coming back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use code_service::{CodeService, ErrorKind, Event, Observer, ReservationState};
use code_service_tests::Mongod;
use mongodb::bson::{DateTime, Document, doc};

use crate::support::*;

/// An attempt under `id` that has died: an entry, and codes that carry its date.
struct DeadAttempt {
    reserved: DateTime,
    entry: Document,
}

impl DeadAttempt {
    async fn new(ground: &Ground, id: &str, count: u32) -> DeadAttempt {
        let (reserved, past) = (ground.ago(MINUTE).await, ground.ago(1).await);
        let entry = doc! {
            "_id": id, "campaign_id": "summer", "type": "tm", "count": i64::from(count), "state": "claiming",
            "owner": "a process that is no more", "reserved": reserved, "lease": past, "sweep": past,
            "purge": DateTime::MAX,
        };
        DeadAttempt { reserved, entry }
    }

    async fn lay_out(self, ground: &Ground, codes: &[&str]) {
        let id = self.entry.get_str("_id").expect("a text").to_owned();
        ground.ledger.insert_one(self.entry).await.expect("inserts");
        for code in codes {
            ground.set(code, doc! { "date.reserved": self.reserved, "reserveId": &id }).await;
        }
    }
}

fn texts(state: &ReservationState) -> Vec<String> {
    let mut texts: Vec<String> = state.codes.iter().map(|code| code.code.as_str().to_owned()).collect();
    texts.sort();
    texts
}

/// A service that sweeps often.
async fn sweeper(ground: &Ground) -> CodeService {
    let mut options = ground.options();
    options.sweep_interval = Duration::from_millis(50);
    CodeService::connect(options).await.expect("the server runs")
}

async fn wait_until_swept(ground: &Ground) {
    let start = Instant::now();
    while ground.ledger.count_documents(doc! { "sweep": { "$exists": true } }).await.expect("counts") > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody sweeps");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_held_is_recovered() {
    let ground = Ground::new(10).await;
    let own = ground.reserve(2).await.expect("available");
    let callers = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    for reservation in [own, callers] {
        let held = ground.another_service().await.recover(&reservation.reserve_id).await.expect("answers");
        let held = held.expect("it is held");
        assert_eq!(set(texts(&held)), distinct(&reservation.codes));
        assert_eq!(held.reserve_id, reservation.reserve_id);
    }
}

#[tokio::test]
async fn of_an_id_that_was_never_used_nothing_is_recovered() {
    let ground = Ground::new(1).await;
    assert!(ground.service.recover(&reserve_id("never")).await.expect("answers").is_none());
}

#[tokio::test]
async fn an_attempt_that_died_half_way_is_ended_by_asking_about_it() {
    let ground = Ground::new(10).await;
    DeadAttempt::new(&ground, "mine", 3).await.lay_out(&ground, &["CODE000000", "CODE000001"]).await;
    assert!(ground.service.recover(&reserve_id("mine")).await.expect("answers").is_none());
    assert_eq!(ground.count().await, counts(10, 0, 0), "what it took is back");
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("as if it had never been");
    assert_eq!(ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    assert_eq!(reservation.codes.len(), 3);
}

#[tokio::test]
async fn an_attempt_that_died_half_way_is_followed_by_one_that_gives_one_set() {
    let ground = Ground::new(10).await;
    DeadAttempt::new(&ground, "mine", 3).await.lay_out(&ground, &["CODE000000", "CODE000001"]).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("enough are there");
    assert_eq!(reservation.codes.len(), 3);
    assert_eq!(ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    assert_eq!(ground.count().await, counts(7, 3, 0));
}

#[tokio::test]
async fn codes_of_an_attempt_that_died_come_back_by_themselves() {
    let ground = Ground::new(10).await;
    DeadAttempt::new(&ground, "mine", 3).await.lay_out(&ground, &["CODE000000", "CODE000001"]).await;
    let _sweeper = sweeper(&ground).await;
    wait_until_swept(&ground).await;
    assert_eq!(ground.count().await, counts(10, 0, 0));
    assert_eq!(ground.ledger.count_documents(doc! {}).await.expect("counts"), 0, "the id is as new");
}

#[tokio::test]
async fn an_attempt_that_may_still_do_something_is_not_swept() {
    let ground = Ground::new(10).await;
    let mut attempt = DeadAttempt::new(&ground, "mine", 3).await;
    attempt.entry.insert("sweep", DateTime::from_millis(ground.now().await.timestamp_millis() + MINUTE));
    attempt.lay_out(&ground, &["CODE000000"]).await;
    DeadAttempt::new(&ground, "yours", 3).await.lay_out(&ground, &["CODE000001"]).await;
    let _sweeper = sweeper(&ground).await;
    let start = Instant::now();
    while !ground.held_under(&reserve_id("yours")).await.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody sweeps");
    }
    assert_eq!(ground.held_under(&reserve_id("mine")).await, set(["CODE000000"]));
}

#[tokio::test]
async fn what_lands_late_of_an_attempt_that_was_followed_by_another_comes_back_by_itself() {
    let ground = Ground::new(10).await;
    let mut attempt = DeadAttempt::new(&ground, "mine", 2).await;
    let late = attempt.reserved;
    attempt.reserved = ground.now().await;
    attempt.entry.insert("state", "granted");
    attempt.entry.insert("past", vec![late]);
    attempt.entry.insert("reserved", attempt.reserved);
    attempt.lay_out(&ground, &["CODE000000", "CODE000001"]).await;
    ground.set("CODE000002", doc! { "date.reserved": late, "reserveId": "mine" }).await;
    let _sweeper = sweeper(&ground).await;
    wait_until_swept(&ground).await;
    assert_eq!(ground.held_under(&reserve_id("mine")).await, set(["CODE000000", "CODE000001"]));
    assert_eq!(ground.count().await, counts(8, 2, 0));
    let again = ground.service.reserve(wish_under("mine", 2)).await.expect("a replay");
    assert_eq!(distinct(&again.codes), set(["CODE000000", "CODE000001"]));
}

#[tokio::test]
async fn neither_asking_nor_sweeping_takes_codes_of_another_service_that_has_the_same_id() {
    let ground = Ground::new(10).await;
    DeadAttempt::new(&ground, "mine", 3).await.lay_out(&ground, &["CODE000000"]).await;
    DeadAttempt::new(&ground, "yours", 3).await.lay_out(&ground, &["CODE000001"]).await;
    for (code, id) in [("CODE000002", "mine"), ("CODE000003", "yours")] {
        ground.set(code, doc! { "date.reserved": ground.now().await, "reserveId": id }).await;
    }
    ground.service.recover(&reserve_id("mine")).await.expect("answers");
    assert_eq!(ground.held_under(&reserve_id("mine")).await, set(["CODE000002"]));
    let _sweeper = sweeper(&ground).await;
    let start = Instant::now();
    while ground.held_under(&reserve_id("yours")).await.len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody sweeps");
    }
    assert_eq!(ground.held_under(&reserve_id("yours")).await, set(["CODE000003"]));
}

#[tokio::test]
async fn what_somebody_assigned_while_a_dead_attempt_had_it_is_not_of_its_id() {
    for swept in [false, true] {
        let ground = Ground::new(10).await;
        DeadAttempt::new(&ground, "mine", 3).await.lay_out(&ground, &["CODE000000", "CODE000001"]).await;
        let (theirs, id) = (codes(["CODE000000"]), reserve_id("mine"));
        let report = ground.service.assign(&campaign(), theirs.clone(), None).await.expect("assigns");
        assert_eq!(report.updated, 1);
        if swept {
            let _sweeper = sweeper(&ground).await;
            wait_until_swept(&ground).await;
        }
        assert!(ground.service.recover(&id).await.expect("answers").is_none());
        let report = ground.service.assign(&campaign(), theirs.clone(), Some(&id)).await.expect("answers");
        assert_eq!((report.updated, report.lost), (0, theirs));
        assert_eq!(ground.service.reserve(wish_under("mine", 3)).await.expect("a new one").codes.len(), 3);
        assert_eq!(ground.count().await, counts(6, 3, 1));
    }
}

/// An attempt that died before it had looked whether the id is in use already leaves that look to whoever comes.
#[tokio::test]
async fn an_id_in_use_elsewhere_stays_so_after_an_attempt_under_it_has_died() {
    let ground = Ground::new(10).await;
    let made = ground.reserve(3).await.expect("ten are available");
    let id = made.reserve_id.as_str();
    let ours = distinct(&made.codes);
    DeadAttempt::new(&ground, id, 3).await.lay_out(&ground, &[]).await;

    let seen = ground.service.reservation(&made.reserve_id).await.expect("looks up").expect("it is held");
    assert_eq!(set(texts(&seen)), ours);
    for _ in 0..2 {
        let error = ground.service.reserve(wish_under(id, 3)).await.expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::ReservationMismatch);
        let recovered = ground.service.recover(&made.reserve_id).await.expect("answers");
        assert_eq!(set(texts(&recovered.expect("it is held"))), ours);
    }
    assert_eq!(ground.count().await, counts(7, 3, 0));
}

/// Another process, and how often it has looked into the ledger.
async fn looking(ground: &Ground) -> (CodeService, Arc<AtomicUsize>) {
    let looks = Arc::<AtomicUsize>::default();
    let looked = Arc::clone(&looks);
    let mut options = ground.options();
    options.observer = Some(Observer::new(move |event| {
        if matches!(event, Event::Command { name: "aggregate", succeeded: true, .. }) {
            looked.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let service = CodeService::connect(options).await.expect("the server runs");
    looks.store(0, Ordering::Relaxed);
    (service, looks)
}

#[tokio::test]
async fn who_is_told_that_nothing_is_held_is_told_the_truth_about_calls_that_wait() {
    let ground = Ground::new(100).await;
    for round in 0..10 {
        let id = format!("mine-{round}");
        let mut attempt = DeadAttempt::new(&ground, &id, 3).await;
        attempt.entry.insert("lease", ground.ago(-MINUTE).await);
        attempt.entry.insert("sweep", ground.ago(-MINUTE).await);
        attempt.lay_out(&ground, &[]).await;
        let ((asking, asked), (calling, called)) = (looking(&ground).await, looking(&ground).await);
        let held_id = reserve_id(&id);
        let end = async {
            // Both wait for it.
            let start = Instant::now();
            while asked.load(Ordering::Relaxed) == 0 || called.load(Ordering::Relaxed) == 0 {
                assert!(start.elapsed() < Duration::from_secs(20), "one of them does not look");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let over = doc! { "$set": { "lease": ground.ago(1).await } };
            ground.ledger.update_one(doc! { "_id": &id }, over).await.expect("updates");
        };

        let (recovered, reserved, ()) =
            tokio::join!(asking.recover(&held_id), calling.reserve(wish_under(&id, 3)), end);

        let recovered = recovered.expect("answers");
        assert_eq!(recovered.is_some(), reserved.is_ok(), "{recovered:?}, {reserved:?}");
        let codes = reserved.map(|reservation| distinct(&reservation.codes)).unwrap_or_default();
        assert_eq!(ground.held_under(&held_id).await, codes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_taken_for_dead_holds_nothing_after_all() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let ground = Ground::on(&server, 10).await;
    let admin = ground.test.db.client().database("admin");
    let codes = format!("{}.codes", ground.test.db.name());
    let slow = doc! {
        "failCommands": ["update"], "namespace": codes, "appName": "code-service",
        "blockConnection": true, "blockTimeMS": 2_000,
    };
    fail_point(&admin, doc! { "times": 1 }.into(), slow).await;
    let (service, another) = (ground.service.clone(), ground.another_service().await);
    let slow = tokio::spawn(async move { service.reserve(wish_under("mine", 3)).await });
    // From here on it has the entry, and its claim is under way.
    let past = ground.ago(1).await;
    let start = Instant::now();
    let over = doc! { "$set": { "lease": past } };
    while ground.ledger.update_one(doc! {}, over.clone()).await.expect("updates").matched_count == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "it never begins");
    }

    assert!(another.recover(&reserve_id("mine")).await.expect("answers").is_none());

    let error = slow.await.expect("no panic").expect_err("somebody was told that nothing is held");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(ground.count().await, counts(10, 0, 0));
    assert_eq!(ground.service.reserve(wish_under("mine", 3)).await.expect("another try").codes.len(), 3);
}
