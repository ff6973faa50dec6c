//! A check of many documents, and beside callers and others who change what it has found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use code_service::{Check, CheckReport, CodeService, Error, FindingKind, Import, JobState, Rows, SourceFile};
use code_service_tests::Mongod;
use mongodb::bson::doc;

use crate::check::{found, shown};
use crate::support::*;

#[tokio::test]
async fn a_repair_of_many_codes_counts_each_once() {
    let ground = Ground::new(12_345).await;
    ground.codes.update_many(doc! {}, doc! { "$set": { "reserveId": "old" } }).await.expect("update");
    assert_eq!(found(&ground.check_and_repair().await), [("stale_id", 12_345, 12_345)]);
    assert_eq!(found(&ground.check().await), []);
}

#[tokio::test]
async fn a_check_holds_no_more_than_a_few_thousand_documents_at_once() {
    let ground = Ground::new(23_456).await;
    let seen = Arc::new(Mutex::new(vec![0]));
    let progress = Arc::clone(&seen);
    let tell = move |report: &CheckReport| progress.lock().expect("no panic").push(report.documents);
    let report = ground.service.check_with_progress(Check::default(), tell).await.expect("checks");
    assert_eq!((report.documents, found(&report)), (23_456, vec![]));
    let seen = seen.lock().expect("no panic");
    assert!(seen.windows(2).all(|two| two[1] - two[0] <= 5_000), "{seen:?}");
    assert_eq!(seen.last(), Some(&23_456));
}

#[tokio::test]
async fn a_document_with_a_monstrous_id_is_shown_by_its_beginning() {
    let ground = Ground::new(0).await;
    ground.insert_named("X".repeat(100_000)).await;
    let report = ground.check().await;
    assert_eq!(shown(&report.findings[0].examples), [format!("_id \"{}…", "X".repeat(199))]);
}

/// Runs a repair, and `meanwhile` while its first command of this name is held up.
async fn repair_held_up(ground: &Ground, command: &str, meanwhile: impl AsyncFnOnce()) -> CheckReport {
    let admin = ground.test.db.client().database("admin");
    let data = doc! {
        "failCommands": [command], "appName": "code-service", "blockConnection": true, "blockTimeMS": 3_000,
    };
    let before = fail_point(&admin, doc! { "times": 1 }.into(), data).await;
    let service = ground.service.clone();
    let repair = tokio::spawn(async move {
        let mut check = Check::default();
        check.repair = true;
        service.check(check).await.expect("checks")
    });
    let met = doc! { "waitForFailPoint": "failCommand", "timesEntered": before + 1, "maxTimeMS": 20_000 };
    admin.run_command(met).await.expect("the command comes");
    assert!(!repair.is_finished());
    meanwhile().await;
    repair.await.expect("no panic")
}

#[tokio::test]
async fn what_others_change_before_its_repair_stays_as_they_left_it() {
    let server = Mongod::start();
    let ground = Ground::on(&server, 2).await;
    ground.set("CODE000000", doc! { "date.reserved": ground.ago(5).await }).await;
    ground.set("CODE000001", doc! { "reserveId": "old" }).await;
    let reserved = doc! { "date.reserved": ground.now().await, "reserveId": "somebody" };
    let report = repair_held_up(&ground, "update", async || {
        for name in names(2) {
            ground.set(&name, reserved.clone()).await;
        }
    })
    .await;
    assert_eq!(found(&report), [("reserved_without_id", 1, 0), ("stale_id", 1, 0)]);
    assert_eq!(ground.held_under(&reserve_id("somebody")).await, set(names(2)));
}

#[tokio::test]
async fn a_document_that_others_change_while_its_id_is_put_in_order_stays_theirs() {
    let server = Mongod::start();
    let ground = Ground::on(&server, 0).await;
    let wrong = doc! { "code": "X", "campaign_id": "summer" };
    ground.insert_named(wrong.clone()).await;
    let report = repair_held_up(&ground, "delete", async || {
        let reserved = doc! { "$set": { "date.reserved": ground.now().await, "reserveId": "somebody" } };
        ground.codes.update_one(doc! { "_id": wrong }, reserved).await.expect("update");
    })
    .await;
    assert_eq!(found(&report), [("id_order", 1, 0)]);
    let all = ground.all_documents().await;
    assert_eq!(all.len(), 1, "it is there once: {all:?}");
    assert_eq!(all[0].get_str("reserveId").expect("a text"), "somebody");
}

/// How many calls are made beside checks.
const CALLS: u64 = 3_000;

/// Reserves under ids of both kinds, assigns, releases with and without an id, until all have made enough calls.
async fn keep_busy(service: CodeService, number: usize, all: Arc<AtomicU64>) {
    for calls in 0.. {
        if all.fetch_add(1, Ordering::Relaxed) >= CALLS {
            return;
        }
        let own = reserve_id(&format!("busy-{number}-{calls}"));
        let mut wish = partial(7);
        wish.reserve_id = (calls % 2 == 0).then_some(own);
        match service.reserve(wish).await {
            Ok(got) => {
                let id = Some(&got.reserve_id);
                if calls % 8 == 0 {
                    service.assign(&campaign(), got.codes, id).await.expect("assigns");
                } else if calls % 2 == 1 {
                    service
                        .release(&campaign(), got.codes, id.filter(|_| calls % 4 == 1))
                        .await
                        .expect("releases");
                } else {
                    // Some of the caller's own ids too, whole: there is nothing of them to be short of.
                    service.release(&campaign(), got.codes, None).await.expect("releases");
                }
            }
            Err(Error::NotEnoughCodes { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Imports some codes again, and each time some new ones, for as long as others make calls.
async fn keep_importing(service: CodeService, all: Arc<AtomicU64>) {
    for round in 1.. {
        if all.load(Ordering::Relaxed) >= CALLS {
            return;
        }
        service.begin_import(Import::new(campaign(), tm(), "a.csv")).await.expect("queues");
        let import = service.next_import().await.expect("asks").expect("there is one");
        let rows = || Rows::codes(names(CODES + round * 100).split_off(CODES - 2_000));
        let file = || SourceFile { version: None, size: None, rows: rows(), read: Arc::default() };
        let ended = import.run(async |_| Ok(file()), std::future::pending()).await;
        let ended = ended.expect("the database answers").expect("the job is there");
        assert_eq!((ended.state, ended.inserted), (JobState::Completed, 100));
    }
}

/// How many codes there are before callers come, and how many of them are held by reservations that have expired.
const CODES: usize = 8_000;
const EXPIRED: usize = 7_000;

impl Ground {
    /// Lets reservations of both kinds expire: of callers' ids, and of the core's own.
    async fn with_expired(self) -> Ground {
        let reserve = |n: usize| {
            let wish = if n.is_multiple_of(2) { wish_under(&format!("old-{n}"), 20) } else { wish(20) };
            let service = self.service.clone();
            tokio::spawn(async move { service.reserve(wish).await.expect("available") })
        };
        gather((0..EXPIRED / 20).map(reserve).collect()).await;
        self.age_reservations(TTL + MINUTE).await;
        assert_eq!(self.reserved_documents().await, EXPIRED as u64);
        assert_eq!(self.count().await, counts(CODES as u64, 0, 0));
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_callers_and_imports_are_doing_is_found() {
    let ground = Ground::new(CODES).await.with_expired().await;
    let expired = ground.now().await;
    let services = [ground.service.clone(), ground.another_service().await];
    let all = Arc::new(AtomicU64::new(0));
    let busy = (0..16).map(|n| tokio::spawn(keep_busy(services[n % 2].clone(), n, all.clone())));
    let mut busy: Vec<_> = busy.collect();
    busy.push(tokio::spawn(keep_importing(services[1].clone(), all.clone())));
    let mut check = Check::default();
    // A repair must find nothing to do, either.
    check.repair = true;
    let mut checks = 0;
    while busy.iter().any(|caller| !caller.is_finished()) {
        let before = ground.codes.count_documents(doc! {}).await.expect("counts");
        let report = ground.service.check(check.clone()).await.expect("checks");
        let after = ground.codes.count_documents(doc! {}).await.expect("counts");
        let wrong: Vec<_> = report.findings.iter().filter(|found| found.kind != FindingKind::Fewer).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!((before..=after).contains(&report.documents), "every document is seen once: {report:?}");
        checks += 1;
    }
    gather(busy).await;
    assert!(checks > 3, "{checks} checks have seen callers at work");
    let still = doc! { "date.reserved": { "$lt": expired }, "date.assigned": null };
    let still = ground.codes.count_documents(still).await.expect("counts");
    assert!(still < EXPIRED as u64, "callers were given what had expired");
    let imported = ground.codes.count_documents(doc! {}).await.expect("counts");
    assert!(imported > CODES as u64, "codes have come");
}
