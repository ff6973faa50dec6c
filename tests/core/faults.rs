//! A server that breaks in the middle of an operation: nothing is given twice, nothing is kept unsaid.

use std::time::{Duration, Instant};

use code_service::{CodeService, Error, ErrorKind, Options, Rows};
use code_service_tests::Mongod;
use mongodb::bson::{Document, doc};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::*;

/// A ground on the one server of this file; its fail point is for one test at a time.
struct Breakable {
    ground: Ground,
    admin: mongodb::Database,
    _alone: MutexGuard<'static, ()>,
}

impl Breakable {
    async fn new(count: usize) -> Breakable {
        static SERVER: OnceCell<Mongod> = OnceCell::const_new();
        static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
        let start = || async { tokio::task::spawn_blocking(Mongod::start).await.expect("starts") };
        let server = SERVER.get_or_init(start).await;
        let alone = ONE_AT_A_TIME.lock().await;

        let client = mongodb::Client::with_uri_str(server.uri()).await.expect("our own");
        let admin = client.database("admin");
        // A test before this one may have failed and left its fault behind.
        fail_point(&admin, "off".into(), doc! {}).await;
        let ground = Ground::on(server, count).await;
        Breakable { ground, admin, _alone: alone }
    }

    /// Lets the service's commands of this name fail, after the first `skip` ones or for some `times`.
    async fn fail(&self, command: &str, mode: Document, mut how: Document) {
        how.insert("failCommands", vec![command]);
        how.insert("appName", "code-service");
        fail_point(&self.admin, mode.into(), how).await;
    }

    async fn mend(&self) {
        fail_point(&self.admin, "off".into(), doc! {}).await;
    }

    /// The codes that nobody can know of are none: everything reserved is held under one of these ids.
    async fn assert_nothing_lost(&self, known: &[&str]) {
        let mut held = 0;
        for id in known {
            held += self.ground.held_under(&reserve_id(id)).await.len() as u64;
        }
        assert_eq!(self.ground.reserved_documents().await, held);
    }
}

fn cut() -> Document {
    doc! { "closeConnection": true }
}

fn once() -> Document {
    doc! { "times": 1 }
}

#[tokio::test]
async fn a_reserve_whose_answer_is_lost_has_an_unknown_outcome_and_names_its_id() {
    let server = Breakable::new(10).await;
    server.fail("update", once(), cut()).await;
    let error = server.ground.reserve(4).await.expect_err("the connection is cut");
    let Error::OutcomeUnknown { reserve_id, .. } = error else { panic!("{error:?}") };
    server.assert_nothing_lost(&[reserve_id.as_str()]).await;
}

#[tokio::test]
async fn after_an_unknown_outcome_no_code_is_given_twice() {
    let server = Breakable::new(10).await;
    server.fail("update", once(), cut()).await;
    let error = server.ground.reserve(4).await.expect_err("the connection is cut");
    let Error::OutcomeUnknown { reserve_id, .. } = error else { panic!("{error:?}") };
    let held = server.ground.held_under(&reserve_id).await;
    let rest = server.ground.service.reserve(partial(10)).await.expect("mended");
    assert!(distinct(&rest.codes).is_disjoint(&held));
    assert_eq!(rest.codes.len() + held.len(), 10);
}

#[tokio::test]
async fn an_unknown_outcome_under_the_callers_id_is_cleared_by_repeating_the_call() {
    let server = Breakable::new(10).await;
    server.fail("update", once(), cut()).await;
    let error = server.ground.service.reserve(wish_under("mine", 4)).await.expect_err("cut");
    assert!(matches!(&error, Error::OutcomeUnknown { reserve_id, .. } if reserve_id.as_str() == "mine"));
    let start = Instant::now();
    let reservation = server.ground.service.reserve(wish_under("mine", 4)).await.expect("mended");
    assert!(start.elapsed() < Duration::from_secs(8), "it did not wait for the lease to end");
    assert_eq!(reservation.codes.len(), 4);
    assert_eq!(server.ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    server.assert_nothing_lost(&["mine"]).await;
}

#[tokio::test]
async fn a_reserve_that_the_server_refuses_to_confirm_has_an_unknown_outcome_and_names_the_holder() {
    let server = Breakable::new(10).await;
    // The write is done, but not known to be safe.
    let unsafe_write = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication" } };
    server.fail("update", once(), unsafe_write).await;
    let error = server.ground.reserve(4).await.expect_err("not confirmed");
    let Error::OutcomeUnknown { reserve_id, .. } = error else { panic!("{error:?}") };
    assert_eq!(server.ground.held_under(&reserve_id).await.len(), 4);
    server.assert_nothing_lost(&[reserve_id.as_str()]).await;
    // A look-up shows what a majority has, so it may take a moment to show what was not confirmed.
    let start = Instant::now();
    let seen = loop {
        let seen = server.ground.service.reservation(&reserve_id).await.expect("looks up");
        if let Some(seen) = seen {
            break seen;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the id never leads to the codes");
    };
    assert_eq!(seen.codes.len(), 4);
}

#[tokio::test]
async fn a_reserve_that_fails_before_it_wrote_is_unavailable_and_holds_nothing() {
    let server = Breakable::new(10).await;
    server.fail("find", doc! { "times": 2 }, cut()).await;
    let error = server.ground.reserve(4).await.expect_err("the connection is cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.ground.count().await, counts(10, 0, 0));
}

#[tokio::test]
async fn a_read_that_fails_once_is_repeated_unseen() {
    let server = Breakable::new(10).await;
    server.fail("find", once(), cut()).await;
    assert_eq!(server.ground.reserve(4).await.expect("the second look succeeds").codes.len(), 4);
}

#[tokio::test]
async fn what_a_caller_who_has_left_may_have_got_by_a_command_that_failed_goes_back() {
    let server = Breakable::new(10).await;
    let status = || async {
        let status = server.admin.run_command(doc! { "serverStatus": 1 }).await.expect("a server");
        let documents = status.get_document("metrics").and_then(|metrics| metrics.get_document("document"));
        documents.and_then(|documents| documents.get_i64("updated")).expect("counted")
    };
    let before = status().await;
    let unsafe_write = doc! {
        "writeConcernError": { "code": 64, "errmsg": "waiting for replication" },
        "blockConnection": true,
        "blockTimeMS": 400,
    };
    // The block and the error count one each.
    server.fail("update", doc! { "times": 2 }, unsafe_write).await;
    let left = tokio::time::timeout(Duration::from_millis(200), server.ground.reserve(4)).await;
    left.expect_err("the command is held up for longer");
    // Four are taken, and four go back.
    let patience = Instant::now() + Duration::from_secs(20);
    while status().await < before + 8 {
        assert!(Instant::now() < patience, "nothing goes back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.assert_nothing_lost(&[]).await;
}

#[tokio::test]
async fn a_sold_out_pool_that_could_not_be_searched_gives_what_had_come_back_before() {
    let server = Breakable::new(1).await;
    let sold = server.ground.reserve(1).await.expect("one is available");
    // More than once, so that the service knows that nothing was written since.
    for _ in 0..3 {
        let error = server.ground.reserve(1).await.expect_err("none is available");
        assert_eq!(error.kind(), ErrorKind::NotEnoughCodes);
    }
    let other = server.ground.another_service().await;
    other.release(&campaign(), sold.codes, None).await.expect("releases");
    // The look and its repeat by the driver.
    server.fail("find", doc! { "times": 2 }, cut()).await;
    let error = server.ground.reserve(1).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.ground.reserve(1).await.expect("it came back").codes.len(), 1);
}

#[tokio::test]
async fn a_grant_whose_answer_is_lost_gives_the_same_codes_when_repeated() {
    let server = Breakable::new(10).await;
    // Cut on the ledger alone: the second update and its repeat by the driver.
    let mut how = cut();
    how.insert("namespace", format!("{}.codes.reservations", server.ground.test.name));
    server.fail("update", doc! { "times": 2 }, how).await;
    let error = server.ground.service.reserve(wish_under("mine", 4)).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let reservation = server.ground.service.reserve(wish_under("mine", 4)).await.expect("mended");
    assert_eq!(server.ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    assert_eq!(server.ground.count().await, counts(6, 4, 0));
}

#[tokio::test]
async fn a_failed_assign_is_unavailable_and_can_be_repeated() {
    let server = Breakable::new(10).await;
    let reservation = server.ground.reserve(4).await.expect("available");
    server.fail("update", once(), cut()).await;
    let id = Some(&reservation.reserve_id);
    let codes = || reservation.codes.clone();
    let error = server.ground.service.assign(&campaign(), codes(), id).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let report = server.ground.service.assign(&campaign(), codes(), id).await.expect("mended");
    assert_eq!(report.lost, []);
    assert_eq!(server.ground.count().await, counts(6, 0, 4));
}

#[tokio::test]
async fn a_failed_save_is_unavailable_and_can_be_repeated() {
    let server = Breakable::new(0).await;
    server.fail("insert", doc! { "times": 2 }, cut()).await;
    let rows = || Rows::codes(names(100));
    let error = server.ground.service.save(&campaign(), &tm(), rows()).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let report = server.ground.service.save(&campaign(), &tm(), rows()).await.expect("mended");
    assert_eq!((report.rows, report.inserted + report.updated), (100, 100));
    assert_eq!(server.ground.count().await, counts(100, 0, 0));
}

#[tokio::test]
async fn an_attempt_that_is_too_late_to_be_granted_begins_again_and_gives_one_set() {
    let breakable = Breakable::new(10).await;
    let mut options = Options::new(&breakable.ground.test.uri);
    // The lease of an attempt is half of it.
    options.reservation_ttl = Duration::from_secs(4);
    let service = CodeService::connect(options).await.expect("connects");
    let slow = doc! { "blockConnection": true, "blockTimeMS": 2_500 };
    breakable.fail("update", doc! { "times": 1 }, slow).await;

    let reservation = service.reserve(wish_under("mine", 3)).await.expect("granted at the second try");

    breakable.mend().await;
    assert_eq!(reservation.codes.len(), 3);
    assert_eq!(breakable.ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
}
