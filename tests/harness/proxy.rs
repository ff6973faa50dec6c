//! Each fault of a proxy does to an update what it says, seen from the client and from the database.

use std::time::{Duration, Instant};

use code_service_tests::proxy::Commands;
use code_service_tests::supervised::wait_until;
use code_service_tests::{Proxy, ReplicaSet, fresh_database};
use mongodb::bson::{Document, doc};
use mongodb::options::WriteConcern;
use mongodb::{Client, Database};
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::replica_set::shared;

const UPDATES: Commands = Commands::named("update");

/// A client behind the proxy of the primary, and a look past it.
struct Ground {
    set: MutexGuard<'static, ReplicaSet>,
    primary: usize,
    client: Database,
    direct: Database,
}

impl Ground {
    /// With a connection that is in use already, as a service's is.
    async fn new() -> Ground {
        let (set, primary) = shared().await;
        let name = fresh_database();
        let client = Client::with_uri_str(set.uri_for(&name)).await.expect("our own").database(&name);
        client.run_command(doc! { "ping": 1 }).await.expect("nothing is broken yet");
        let direct = set.direct(primary).database(&name);
        Ground { set, primary, client, direct }
    }

    fn proxy(&self) -> &Proxy {
        &self.set.proxies()[self.primary]
    }

    /// How many updates the database has applied.
    async fn applied(&self) -> u64 {
        self.direct.collection::<Document>("codes").count_documents(doc! {}).await.expect("counts")
    }

    async fn another_client(&self) -> Database {
        let client = Client::with_uri_str(self.set.uri_for("test")).await.expect("our own");
        client.database(self.client.name())
    }
}

/// As the service does it: a raw command, which the driver never repeats.
async fn update(through: &Database, id: i32) -> mongodb::error::Result<Document> {
    let upsert = doc! { "q": { "_id": id }, "u": { "$set": { "is_written": true } }, "upsert": true };
    through.run_command(doc! { "update": "codes", "updates": [upsert] }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_request_is_not_applied_and_the_client_sees_an_error() {
    let ground = Ground::new().await;
    ground.proxy().cut_requests(1, UPDATES);
    update(&ground.client, 1).await.expect_err("cut");
    assert_eq!(ground.applied().await, 0);
    assert_eq!(ground.proxy().hits().cut_requests, 1);

    update(&ground.client, 1).await.expect("only one was to be cut");
    assert_eq!(ground.applied().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_reply_is_cut_is_applied_and_the_client_sees_an_error() {
    let ground = Ground::new().await;
    ground.proxy().cut_replies(1, UPDATES);
    update(&ground.client, 1).await.expect_err("cut");
    assert_eq!(ground.applied().await, 1);
    assert_eq!(ground.proxy().hits().cut_replies, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_update_is_applied_after_its_client_saw_an_error() {
    let ground = Ground::new().await;
    ground.proxy().late(1, Duration::from_secs(2), UPDATES);
    update(&ground.client, 1).await.expect_err("cut");
    assert_eq!(ground.applied().await, 0);
    assert_eq!((ground.proxy().hits().late, ground.proxy().hits().landed), (1, 0));

    wait_until("the update lands", PATIENCE, || ground.proxy().hits().landed == 1);
    assert_eq!(ground.applied().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_meets_the_commands_that_it_names_alone() {
    let ground = Ground::new().await;
    ground.proxy().cut_requests(1, UPDATES.on("others"));
    ground.proxy().cut_replies(1, Commands::named("insert"));
    update(&ground.client, 1).await.expect("another collection");
    ground.client.run_command(doc! { "ping": 1 }).await.expect("another command");
    assert_eq!(ground.proxy().hits(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_any_command_passes_over_the_watching_of_the_driver() {
    let ground = Ground::new().await;
    ground.proxy().cut_requests(1, Commands::ANY);
    // Begins with two `hello`: to watch, and to use.
    update(&ground.another_client().await, 1).await.expect_err("cut");
    assert_eq!(ground.proxy().hits().cut_requests, 1);
    assert_eq!(ground.applied().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_of_all_connections_ends_the_commands_under_way() {
    let ground = Ground::new().await;
    ground.proxy().delay(Duration::from_secs(600));
    let client = ground.client.clone();
    let update = tokio::spawn(async move { update(&client, 1).await });
    // A client that is cut off before it sends anything looks for a server, behind the delay, for as long as we wait.
    wait_until("the update is under way", PATIENCE, || ground.proxy().hits().delayed > 0);
    ground.proxy().cut_all();
    wait_until("the client is told", PATIENCE, || update.is_finished());
    update.await.expect("no panic").expect_err("cut");
    assert!(ground.proxy().hits().cut_connections > 0);
    assert_eq!(ground.applied().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_holds_up_every_message_until_it_is_zero() {
    const DELAY: Duration = Duration::from_millis(300);
    let ground = Ground::new().await;
    ground.proxy().delay(DELAY);
    let start = Instant::now();
    update(&ground.client, 1).await.expect("slow");
    assert!(start.elapsed() >= DELAY);

    ground.proxy().delay(Duration::ZERO);
    let delayed = ground.proxy().hits().delayed;
    assert!(delayed >= 1);
    update(&ground.client, 2).await.expect("as before");
    assert_eq!(ground.proxy().hits().delayed, delayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_black_hole_clients_hang_and_members_do_not_notice() {
    let ground = Ground::new().await;
    let (set, proxy) = (&ground.set, ground.proxy());
    let election = async || {
        let hello = ground.direct.run_command(doc! { "hello": 1 }).await.expect("past the proxy");
        hello.get_object_id("electionId").expect("it is primary")
    };
    let before = election().await;
    proxy.black_hole(true);
    let client = ground.client.clone();
    let old = tokio::spawn(async move { update(&client, 1).await });
    let fresh = ground.another_client().await;
    let new = tokio::spawn(async move { update(&fresh, 2).await });

    // The secondaries take what the primary writes through the same proxy.
    let codes = ground.direct.collection::<Document>("codes");
    let write = codes.insert_one(doc! { "_id": 3 }).write_concern(WriteConcern::majority());
    write.await.expect("a majority confirms it");
    // Longer than the members wait for each other before they elect another primary.
    let hanging = timeout(Duration::from_secs(4), async { tokio::join!(old, new) }).await;
    assert!(hanging.is_err(), "{hanging:?}");
    assert_eq!(election().await, before);
    assert_eq!(set.primary(), Some(ground.primary));
    assert!(proxy.hits().swallowed >= 2, "{:?}", proxy.hits());
    assert_eq!(ground.applied().await, 1, "the direct one");

    proxy.black_hole(false);
    update(&ground.another_client().await, 4).await.expect("new connections work");
    assert_eq!(ground.applied().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_in_a_black_hole_stays_dead_until_it_is_cut() {
    let ground = Ground::new().await;
    ground.proxy().black_hole(true);
    let client = ground.client.clone();
    let mut update = tokio::spawn(async move { update(&client, 1).await });
    // Those that watch the member, and the one that the update has.
    wait_until("the connections are swallowed", PATIENCE, || ground.proxy().hits().swallowed >= 3);
    ground.proxy().black_hole(false);
    timeout(Duration::from_secs(1), &mut update).await.expect_err("it hangs");
    ground.proxy().cut_all();
    timeout(PATIENCE, update).await.expect("it is told").expect("no panic").expect_err("cut");
    assert_eq!(ground.applied().await, 0);
}
