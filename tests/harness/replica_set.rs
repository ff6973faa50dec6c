//! Elections, dead and paused members: the set goes on, and comes back whole.

use std::time::Duration;

use code_service_tests::supervised::{is_running, wait_until};
use code_service_tests::{ReplicaSet, fresh_database};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::WriteConcern;
use mongodb::{Client, Collection};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::PATIENCE;

/// How soon another primary is elected.
const ELECTION: Duration = Duration::from_secs(15);

/// The one set of these tests, for one test at a time; whole, whatever the test before it has done.
pub(crate) async fn shared() -> (MutexGuard<'static, ReplicaSet>, usize) {
    static SET: OnceCell<Mutex<ReplicaSet>> = OnceCell::const_new();
    let start = || async {
        let set = tokio::task::spawn_blocking(ReplicaSet::start).await;
        Mutex::new(set.expect("three members start"))
    };
    let mut set = SET.get_or_init(start).await.lock().await;
    let primary = tokio::task::block_in_place(|| set.mend());
    (set, primary)
}

async fn codes(set: &ReplicaSet) -> Collection<Document> {
    let client = Client::with_uri_str(set.uri_for("test")).await.expect("our own");
    client.database(&fresh_database()).collection("codes")
}

async fn write(codes: &Collection<Document>, id: i32) {
    let write = codes.insert_one(doc! { "_id": id }).write_concern(WriteConcern::majority());
    write.await.expect("a majority confirms it");
}

fn follows(set: &ReplicaSet, member: usize, primary: usize) -> bool {
    let hello = set.hello(member).unwrap_or_default();
    let name = format!("127.0.0.1:{}", set.proxies()[primary].port());
    hello.get_bool("secondary").unwrap_or(false) && hello.get_str("primary").is_ok_and(|their| their == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_death_of_the_primary_another_one_takes_writes_and_keeps_what_was_confirmed() {
    let (mut set, first) = shared().await;
    let codes = codes(&set).await;
    write(&codes, 1).await;

    set.kill(first);
    assert!(!set.is_running(first));
    let second = set.wait_for_primary(ELECTION);
    assert_ne!(second, first);
    write(&codes, 2).await;

    set.start_again(first);
    wait_until("the first follows the second", PATIENCE, || follows(&set, first, second));
    assert_eq!(codes.count_documents(doc! {}).await.expect("counts"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_primary_is_replaced_and_follows_when_it_goes_on() {
    let (mut set, first) = shared().await;
    let codes = codes(&set).await;

    set.pause(first);
    assert!(!set.is_running(first));
    let second = set.wait_for_primary(ELECTION);
    assert_ne!(second, first);
    write(&codes, 1).await;

    set.resume(first);
    assert!(set.is_running(first));
    wait_until("the first follows the second", PATIENCE, || follows(&set, first, second));
    assert_eq!(set.primary(), Some(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_is_replaced_by_another() {
    let (set, first) = shared().await;
    set.step_down(10);
    let second = set.wait_for_primary(ELECTION);
    assert_ne!(second, first);
    write(&codes(&set).await, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_steps_up_is_the_primary() {
    let (set, first) = shared().await;
    let other = (first + 1) % 3;
    set.step_up(other);
    assert_eq!(set.primary(), Some(other));
    write(&codes(&set).await, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_there_is_no_primary() {
    let (mut set, primary) = shared().await;
    for member in (0..3).filter(|member| *member != primary) {
        set.kill(member);
    }
    wait_until("it sees that it is alone", PATIENCE, || set.primary().is_none());
    assert!(set.is_running(primary));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_point_breaks_commands_of_one_member() {
    let (set, primary) = shared().await;
    let ping =
        async |member: usize| set.direct(member).database("admin").run_command(doc! { "ping": 1 }).await;
    set.fail_point(primary, doc! { "times": 1 }, doc! { "failCommands": ["ping"], "errorCode": 11600 });
    ping((primary + 1) % 3).await.expect("another member is not meant");
    ping(primary).await.expect_err("it is meant");
    ping(primary).await.expect("it was meant once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_is_killed_with_their_cursors() {
    let (set, primary) = shared().await;
    let codes = codes(&set).await;
    codes.insert_many([doc! {}, doc! {}, doc! {}]).await.expect("inserts");
    let cursor = codes.find(doc! {}).batch_size(1).await.expect("finds");
    set.kill_sessions(primary);
    cursor.try_collect::<Vec<_>>().await.expect_err("its cursor is gone");
    let cursor = codes.find(doc! {}).batch_size(1).await.expect("finds");
    assert_eq!(cursor.try_collect::<Vec<_>>().await.expect("another one is not").len(), 3);
}

#[test]
fn a_dropped_set_leaves_no_process_and_no_folder() {
    let mut set = ReplicaSet::start();
    let pids = [0, 1, 2].map(|member| set.pid(member));
    let folders = [0, 1, 2].map(|member| set.folder(member).to_path_buf());
    assert!(pids.into_iter().all(is_running) && folders.iter().all(|folder| folder.is_dir()));
    set.pause(0);
    set.kill(1);
    drop(set);
    assert!(!pids.into_iter().any(is_running));
    assert!(!folders.iter().any(|folder| folder.exists()));
}
