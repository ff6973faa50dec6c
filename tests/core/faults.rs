//! A server that breaks in the middle of an operation: nothing is given twice, nothing is kept unsaid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use code_service::{CodeService, Error, ErrorKind, Event, Observer, Options, Reserve, ReserveId, Rows};
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

    /// Lets the service's commands of this name fail, after the first `skip` ones or for some `times`. Returns how
    /// many have failed before.
    async fn fail(&self, command: &str, mode: Document, mut how: Document) -> i64 {
        how.insert("failCommands", vec![command]);
        how.insert("appName", "code-service");
        fail_point(&self.admin, mode.into(), how).await
    }

    /// Waits until one command more has been met than `before`.
    async fn wait_until_met(&self, before: i64) {
        let met = doc! { "waitForFailPoint": "failCommand", "timesEntered": before + 1, "maxTimeMS": 20_000 };
        self.admin.run_command(met).await.expect("a command comes");
    }

    async fn mend(&self) {
        fail_point(&self.admin, "off".into(), doc! {}).await;
    }

    /// The collection of the codes.
    fn codes(&self) -> String {
        format!("{}.codes", self.ground.test.name)
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

/// What a command ends with that somebody kills.
const INTERRUPTED: i32 = 11_601;

fn once() -> Document {
    doc! { "times": 1 }
}

/// What to do to a command so that it is done, but not known to be safe.
fn unsafe_write() -> Document {
    doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication" } }
}

#[tokio::test]
async fn a_reserve_whose_command_never_arrived_succeeds_all_the_same() {
    let server = Breakable::new(10).await;
    server.fail("update", once(), cut()).await;
    let reservation = server.ground.reserve(4).await.expect("the core looked for it, and tried again");
    assert_eq!(server.ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
    server.assert_nothing_lost(&[reservation.reserve_id.as_str()]).await;
    assert_eq!(server.ground.count().await, counts(6, 4, 0));
}

#[tokio::test]
async fn a_reserve_that_the_server_did_not_confirm_at_first_gives_what_it_wrote() {
    /// Whoever waits for a command that may still arrive waits for three seconds, each time.
    const AT_ONCE: Duration = Duration::from_secs(2);
    let server = Breakable::new(20).await;
    let mut quickest = Duration::MAX;
    for n in 1..=4 {
        server.fail("update", once(), unsafe_write()).await;
        let start = Instant::now();
        let reservation = server.ground.reserve(4).await.expect("confirmed by the look");
        quickest = quickest.min(start.elapsed());
        assert_eq!(server.ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
        assert_eq!(server.ground.count().await, counts(20 - 4 * n, 4 * n, 0));
    }
    assert!(quickest < AT_ONCE, "an answered command is not waited for: {quickest:?}");
}

#[tokio::test]
async fn a_reserve_under_the_callers_id_whose_command_never_arrived_succeeds_all_the_same() {
    let server = Breakable::new(10).await;
    server.fail("update", once(), cut()).await;
    let reservation = server.ground.service.reserve(wish_under("mine", 4)).await.expect("tried again");
    assert_eq!(server.ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    server.assert_nothing_lost(&["mine"]).await;
}

/// A reserve whose command is cut off, after which nobody can say for five seconds what became of it.
async fn out_of_sight(server: &Breakable, wish: Reserve) -> ReserveId {
    let mut options = server.ground.options();
    options.patience = Duration::from_secs(5);
    let service = CodeService::connect(options).await.expect("connects");
    // The one look for candidates succeeds.
    let mut how = cut();
    how.insert("failCommands", vec!["find", "update"]);
    how.insert("appName", "code-service");
    fail_point(&server.admin, doc! { "skip": 1 }.into(), how).await;
    let error = service.reserve(wish).await.expect_err("cut off");
    server.mend().await;
    match error {
        Error::OutcomeUnknown { reserve_id, .. } => reserve_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_outcome_that_nobody_can_find_out_is_said_to_be_unknown_and_recovered_later() {
    let server = Breakable::new(10).await;
    let id = out_of_sight(&server, wish(1)).await;
    assert!(server.ground.service.recover(&id).await.expect("mended").is_none(), "it never arrived");
    assert_eq!(server.ground.count().await, counts(10, 0, 0));
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
    let updated = || async {
        let status = server.admin.run_command(doc! { "serverStatus": 1 }).await.expect("a server");
        let documents = status.get_document("metrics").and_then(|metrics| metrics.get_document("document"));
        documents.and_then(|documents| documents.get_i64("updated")).expect("counted")
    };
    let before = updated().await;
    let mut late_and_unsafe = unsafe_write();
    late_and_unsafe.extend(doc! { "blockConnection": true, "blockTimeMS": 500 });
    // The block and the error count one each.
    let met = server.fail("update", doc! { "times": 2 }, late_and_unsafe).await;
    let service = server.ground.service.clone();
    let call = tokio::spawn(async move { service.reserve(wish(4)).await });
    server.wait_until_met(met).await;
    call.abort();
    call.await.expect_err("the command is held up for longer");
    // Four are taken, and four go back.
    let start = Instant::now();
    while updated().await < before + 8 {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing goes back");
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
async fn a_grant_whose_answer_is_lost_is_granted_all_the_same() {
    let server = Breakable::new(10).await;
    let mut how = cut();
    how.insert("namespace", format!("{}.codes.reservations", server.ground.test.name));
    server.fail("update", doc! { "times": 2 }, how).await;
    let reservation = server.ground.service.reserve(wish_under("mine", 4)).await.expect("tried again");
    assert_eq!(server.ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    let again = server.ground.service.reserve(wish_under("mine", 4)).await.expect("a replay");
    assert_eq!(distinct(&again.codes), distinct(&reservation.codes));
    assert_eq!(server.ground.count().await, counts(6, 4, 0));
}

fn slow(milliseconds: i32) -> Document {
    doc! { "blockConnection": true, "blockTimeMS": milliseconds }
}

/// What a server did not know that was cut off from the others can be there when its successor takes the entry.
#[tokio::test]
async fn codes_that_appear_under_an_id_while_its_entry_is_on_its_way_are_seen() {
    let server = Breakable::new(3).await;
    let now = server.ground.now().await;
    let before = server.fail("insert", once(), slow(1_500)).await;
    let service = server.ground.service.clone();
    let call = tokio::spawn(async move { service.reserve(wish_under("mine", 2)).await });
    server.wait_until_met(before).await;
    server.ground.set("CODE000000", doc! { "reserveId": "mine", "date.reserved": now }).await;
    let error = call.await.expect("no panic").expect_err("the id is somebody's");
    assert_eq!(error.kind(), ErrorKind::ReservationMismatch, "{error}");
    assert_eq!(server.ground.held_under(&reserve_id("mine")).await, set(["CODE000000"]));
}

/// The same for what is settled: it is held, and a server did not know.
#[tokio::test]
async fn codes_that_are_held_after_all_are_settled_and_not_lost() {
    let (first, other) = ("CODE000000", "CODE000001");
    for assign in [true, false] {
        let server = Breakable::new(2).await;
        // An assign looks once, a release looks for what it may end before.
        let looks = if assign {
            doc! { "times": 1 }
        } else {
            doc! { "skip": 1 }
        };
        let now = server.ground.now().await;
        let before = server.fail("find", looks, slow(1_500)).await;
        let service = server.ground.service.clone();
        let call = tokio::spawn(async move {
            let (codes, id) = (codes([first, other]), reserve_id("mine"));
            match assign {
                true => service.assign(&campaign(), codes, Some(&id)).await,
                false => service.release(&campaign(), codes, Some(&id)).await,
            }
        });
        server.wait_until_met(before).await;
        server.ground.set(first, doc! { "reserveId": "mine", "date.reserved": now }).await;
        let report = call.await.expect("no panic").expect("answers");
        assert_eq!((report.updated, report.lost), (1, codes([other])), "assign: {assign}");
        let expected = if assign { counts(1, 0, 1) } else { counts(2, 0, 0) };
        server.mend().await;
        assert_eq!(server.ground.count().await, expected, "assign: {assign}");
    }
}

#[tokio::test]
async fn an_error_that_does_not_pass_is_told_at_once_and_keeps_nothing() {
    /// `TypeMismatch`: no server goes on after it.
    const FOR_GOOD: i32 = 14;
    for wish in [wish(2), wish_under("mine", 2)] {
        let server = Breakable::new(3).await;
        let fault = doc! { "errorCode": FOR_GOOD, "namespace": server.codes() };
        server.fail("update", doc! { "skip": 0 }, fault).await;
        let start = Instant::now();
        let error = server.ground.service.reserve(wish.clone()).await.expect_err("it cannot be done");
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "nobody waits for what does not pass");
        server.mend().await;
        assert_eq!(server.ground.count().await, counts(3, 0, 0));
        assert_eq!(server.ground.service.reserve(wish).await.expect("mended").codes.len(), 2);
    }
}

#[tokio::test]
async fn an_assign_or_release_whose_answer_is_lost_is_sent_again_and_says_what_both_did() {
    for fault in [cut(), unsafe_write()] {
        let server = Breakable::new(10).await;
        let reservation = server.ground.reserve(4).await.expect("available");
        let id = Some(&reservation.reserve_id);
        let (some, rest) = reservation.codes.split_at(2);
        server.fail("update", once(), fault.clone()).await;
        let report = server.ground.service.assign(&campaign(), some.to_vec(), id).await.expect("sent again");
        assert_eq!((report.updated, report.lost), (2, vec![]), "{fault}");
        server.fail("update", once(), fault.clone()).await;
        let report = server.ground.service.release(&campaign(), rest.to_vec(), id).await.expect("sent again");
        assert_eq!((report.updated, report.lost), (2, vec![]), "{fault}");
        assert_eq!(server.ground.count().await, counts(8, 0, 2), "{fault}");
    }
}

/// As an operator does, and whoever takes an import over from a process that lives all the same. What has written
/// something is done again, and what has not may be unavailable.
#[tokio::test]
async fn what_somebody_kills_is_done_again() {
    /// Again and again, until nothing is in the way.
    async fn again<T>(call: impl AsyncFn() -> code_service::Result<T>) -> T {
        let start = Instant::now();
        loop {
            match call().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    assert!(start.elapsed() < Duration::from_secs(60), "it stays away: {error:?}");
                }
                outcome => return outcome.expect("nothing else goes wrong"),
            }
        }
    }
    let server = Breakable::new(2_000).await;
    let failed = Arc::<AtomicU64>::default();
    let (sees, mut options) = (Arc::clone(&failed), server.ground.options());
    options.observer = Some(Observer::new(move |event| {
        if matches!(event, Event::Command { succeeded: false, .. }) {
            sees.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let service = &CodeService::connect(options).await.expect("connects");
    let killed = AtomicBool::new(false);
    let call = async |n: usize| {
        let (mut held, mut turns) = (Vec::new(), 0);
        while !killed.load(Ordering::Relaxed) {
            turns += 1;
            let id = format!("{n}-{turns}");
            let reservation = again(|| service.reserve(wish_under(&id, 40))).await;
            let id = Some(&reservation.reserve_id);
            let (some, rest) = reservation.codes.split_at(1);
            let assigned = service.assign(&campaign(), some.to_vec(), id).await.expect("done again");
            let released = again(async || service.release(&campaign(), rest.to_vec(), id).await).await;
            assert_eq!((assigned.updated, assigned.lost, released.lost), (1, vec![], vec![]));
            held.extend_from_slice(some);
        }
        held
    };
    let kill = async {
        let mut kills = 0;
        // Some are met.
        while kills < 40 || failed.load(Ordering::Relaxed) < 10 {
            assert!(kills < 4_000, "nothing is killed");
            kills += 1;
            server
                .admin
                .run_command(doc! { "killAllSessions": Vec::<Document>::new() })
                .await
                .expect("kills");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        killed.store(true, Ordering::Relaxed);
    };
    let (given, ()) = tokio::join!(futures_util::future::join_all((0..8).map(call)), kill);
    let given = given.concat();
    assert_eq!(distinct(&given).len(), given.len(), "no code twice");
    let given = given.len() as u64;
    assert_eq!(server.ground.count().await, counts(2_000 - given, 0, given));
}

/// Who had to repeat it would be told that what it has released is lost.
#[tokio::test]
async fn a_release_that_has_released_some_waits_for_the_rest() {
    /// More than are released at once.
    const MANY: usize = 3_000;
    let server = Breakable::new(MANY).await;
    // Not by the service, which would go on looking for others to reserve.
    let held = doc! { "reserveId": "mine", "date.reserved": server.ground.now().await };
    server.ground.codes.update_many(doc! {}, doc! { "$set": held }).await.expect("updates");
    let all = codes(names(MANY));
    // From the second look on, which is for the second part.
    let fault = doc! { "errorCode": INTERRUPTED, "namespace": server.codes() };
    let met = server.fail("find", doc! { "skip": 1 }, fault).await;
    let service = server.ground.service.clone();
    let call =
        tokio::spawn(async move { service.release(&campaign(), all, Some(&reserve_id("mine"))).await });
    server.wait_until_met(met).await;
    server.mend().await;
    let report = call.await.expect("no panic").expect("looks again");
    assert_eq!((report.updated, report.lost), (MANY as u64, vec![]));
    assert_eq!(server.ground.count().await, counts(MANY as u64, 0, 0));
}

/// It does nothing then, and says what one says that finds nothing.
#[tokio::test]
async fn codes_that_go_back_too_late_go_back_by_another_command() {
    let server = Breakable::new(3).await;
    // All but the claim, for longer than it may take until the server begins with one.
    let mut fault = slow(1_500);
    fault.insert("namespace", server.codes());
    let met = server.fail("update", doc! { "skip": 1 }, fault).await;
    let mut call = Box::pin(server.ground.reserve(1));
    assert!(futures_util::poll!(&mut call).is_pending());
    while server.ground.reserved_documents().await < 1 {}
    drop(call);
    server.wait_until_met(met).await;
    server.mend().await;
    assert_nothing_is_lost(&server.ground, &[], 3).await;
}

#[tokio::test]
async fn an_assign_that_finds_no_primary_is_unavailable_and_can_be_repeated() {
    let server = Breakable::new(10).await;
    let mut options = server.ground.options();
    options.patience = Duration::from_secs(5);
    let service = CodeService::connect(options).await.expect("connects");
    let reservation = service.reserve(wish(4)).await.expect("available");
    let id = Some(&reservation.reserve_id);
    server.fail("update", doc! { "skip": 0 }, cut()).await;
    let error = service.assign(&campaign(), reservation.codes.clone(), id).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    server.mend().await;
    let report = service.assign(&campaign(), reservation.codes, id).await.expect("mended");
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

/// What the server remembers of the past ends so long before its last write, and that can be the first one after a
/// long silence.
#[tokio::test]
async fn a_count_whose_moment_the_server_has_just_forgotten_counts_at_another() {
    let server = Breakable::new(10).await;
    let remember = |seconds: i32| {
        server.admin.run_command(doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": seconds })
    };
    let before = remember(1).await.expect("a server parameter");
    let silent_for = || async {
        let hello = server.admin.run_command(doc! { "hello": 1 }).await.expect("answers");
        let last = hello.get_document("lastWrite").and_then(|last| last.get_datetime("lastWriteDate"));
        let now = hello.get_datetime("localTime").expect("says");
        now.timestamp_millis() - last.expect("says").timestamp_millis()
    };
    // The server itself writes something every ten seconds.
    while !(2_500..5_000).contains(&silent_for().await) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let late = doc! { "blockConnection": true, "blockTimeMS": 1_000 };
    let entered = server.fail("aggregate", once(), late).await;
    let service = server.ground.service.clone();
    let count = tokio::spawn(async move { service.count(&campaign(), &tm()).await });
    let met = doc! { "waitForFailPoint": "failCommand", "timesEntered": entered + 1, "maxTimeMS": 30_000 };
    server.admin.run_command(met).await.expect("it is under way");
    server.ground.save(vec!["LATER".to_owned()]).await;
    let counted = count.await.expect("does not panic");
    remember(before.get_i32("was").expect("it says what it was")).await.expect("a server parameter");
    assert_eq!(counted.expect("counted"), counts(11, 0, 0));
}
