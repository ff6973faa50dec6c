//! Connecting, and what happens when the database is away.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use code_service::{CodeService, ErrorKind, Options, Result, Rows};
use code_service_tests::supervised::{Supervised, wait_until};
use code_service_tests::{Mongod, binary, fresh_database};
use mongodb::bson::doc;

use crate::support::*;

/// The time that is given to the selection of a server, and the most that a loaded machine may add.
const PATIENCE: Duration = Duration::from_millis(500);
const MARGIN: Duration = Duration::from_secs(15);

fn impatient(uri: impl Into<String>) -> Options {
    let mut options = Options::new(uri);
    options.server_selection_timeout = Some(PATIENCE);
    options
}

/// A port that nobody listens on. It was free a moment ago, which is all that a system can say.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_unavailable_within_the_time_limit() {
    let port = free_port();
    let start = Instant::now();
    let uri = format!("mongodb://me:hunter2@127.0.0.1:{port}/db?replicaSet=rs0");
    let error = CodeService::connect(impatient(uri)).await.expect_err("nobody listens");
    assert!(start.elapsed() < PATIENCE + MARGIN, "{:?}", start.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn the_time_limit_can_stand_in_the_connection_string() {
    let start = Instant::now();
    let uri = format!("mongodb://127.0.0.1:{}/db?serverSelectionTimeoutMS=200", free_port());
    CodeService::connect(Options::new(uri)).await.expect_err("nobody listens");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_replica_set_of_another_name_is_unavailable() {
    let test = code_service_tests::database().await;
    let uri = test.uri.replace("replicaSet=rs0", "replicaSet=other");
    let error = CodeService::connect(impatient(uri)).await.expect_err("it is not that set");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_write_concern_of_one_server_is_refused() {
    let test = code_service_tests::database().await;
    for option in ["w=1", "w=0", "journal=false"] {
        let error = CodeService::connect(Options::new(format!("{}&{option}", test.uri))).await;
        let error = error.expect_err("a failover could undo such a write");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{option}");
        assert!(error.to_string().starts_with("uri: "), "{error}");
    }
    CodeService::connect(Options::new(format!("{}&w=majority", test.uri))).await.expect("connects");
}

#[tokio::test]
async fn the_read_preference_of_the_deployments_is_accepted_and_decides_nothing() {
    let ground = Ground::new(50).await;
    let uri = format!("{}&readPreference=nearest", ground.test.uri);
    let service = CodeService::connect(Options::new(uri)).await.expect("connects");
    let first = service.reserve(wish_under("mine", 5)).await.expect("available");
    let again = service.reserve(wish_under("mine", 5)).await.expect("a replay");
    assert_eq!(distinct(&first.codes), distinct(&again.codes));
    assert_eq!(service.count(&campaign(), &tm()).await.expect("counts"), counts(45, 5, 0));
}

#[tokio::test]
async fn a_standalone_server_is_refused_with_its_address() {
    let program = binary::mongod().unwrap_or_else(|reason| panic!("{reason}"));
    let folder = std::env::temp_dir().join(format!("code-service-{}", fresh_database()));
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]);
    command.arg("--port").arg(port.to_string()).arg("--dbpath").arg(&folder);
    let mut standalone = Supervised::new(&command, Some(&folder));
    standalone.start();
    wait_until("the standalone server listens", Duration::from_secs(60), || {
        assert!(!standalone.ended(), "{}", standalone.stdout().join("\n"));
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });

    let uri = format!("mongodb://127.0.0.1:{port}/db");
    let error = CodeService::connect(Options::new(uri)).await.expect_err("it is no replica set");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let said = error.to_string();
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("standalone"), "{said}");
    assert!(said.contains("--replSet rs0") && said.contains("rs.initiate()"), "{said}");
}

#[tokio::test]
async fn a_replica_set_that_confirms_what_is_in_no_journal_is_refused() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let client = mongodb::Client::with_uri_str(server.uri()).await.expect("our own");
    let admin = client.database("admin");
    let reply = admin.run_command(doc! { "replSetGetConfig": 1 }).await.expect("our own");
    let mut config = reply.get_document("config").expect("it has one").clone();
    config.insert("writeConcernMajorityJournalDefault", false);
    config.insert("version", config.get_i32("version").expect("a number") + 1);
    admin.run_command(doc! { "replSetReconfig": config }).await.expect("a good configuration");
    let error = CodeService::connect(Options::new(server.uri_for("db")))
        .await
        .expect_err("it could forget a code's holder");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("rs.reconfig(conf)"), "{error}");
}

#[tokio::test]
async fn a_refused_password_is_an_invalid_argument_and_not_repeated() {
    let test = code_service_tests::database().await;
    let uri = test.uri.replace("mongodb://", "mongodb://me:hunter2@");
    let error = CodeService::connect(impatient(uri)).await.expect_err("there is no such user");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_unavailable_until_it_is_back() {
    let mut server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let service = CodeService::connect(impatient(server.uri_for("test"))).await.expect("connects");
    service.ensure_indexes().await.expect("creates");
    let (campaign, tm) = (campaign(), tm());
    service.save(&campaign, &tm, Rows::codes(names(10))).await.expect("saves");
    service.reserve(wish_under("mine", 2)).await.expect("available");

    server.stop();
    let (gone, ours) = (code("CODE000000"), reserve_id("mine"));
    let outcomes = tokio::join!(
        async { service.reserve(wish(1)).await.map(drop) },
        async { service.reserve(wish_under("other", 1)).await.map(drop) },
        async { service.count(&campaign, &tm).await.map(drop) },
        async { service.find(&campaign, &gone).await.map(drop) },
        async { service.assign(&campaign, vec![gone.clone()], None).await.map(drop) },
        async { service.release(&campaign, vec![gone.clone()], None).await.map(drop) },
        async { service.save(&campaign, &tm, Rows::codes(["NEW"])).await.map(drop) },
        async { service.reservation(&ours).await.map(drop) },
        async { service.verify_indexes().await.map(drop) },
    );
    let outcomes: [Result<()>; 9] = outcomes.into();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.expect_err("the server is away");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "call {number}: {error:?}");
    }

    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let _server = server.await.expect("starts again");
    // The same handle works again. The driver may need a moment to see that the server is back.
    let start = Instant::now();
    let counted = loop {
        match service.count(&campaign, &tm).await {
            Ok(counted) => break counted,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error:?}"),
        }
    };
    assert_eq!(counted, counts(8, 2, 0), "what was acknowledged is there");
    let again = service.reserve(wish_under("mine", 2)).await.expect("a replay");
    assert!(again.replayed && again.codes.len() == 2);
    service.reserve(wish(8)).await.expect("the rest is available");
}

#[tokio::test]
async fn a_closed_service_says_so() {
    let ground = Ground::new(1).await;
    ground.service.close().await;
    ground.service.close().await;
    let answers = [
        ground.reserve(1).await.map(drop),
        ground.service.reserve(wish_under("mine", 1)).await.map(drop),
        ground.service.recover(&reserve_id("mine")).await.map(drop),
        ground.service.assign(&campaign(), codes(["A"]), None).await.map(drop),
        ground.service.count(&campaign(), &tm()).await.map(drop),
        ground.service.find(&campaign(), &code("A")).await.map(drop),
        ground.service.save(&campaign(), &tm(), Rows::codes(["A"])).await.map(drop),
    ];
    for answer in answers {
        let error = answer.expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    }
}
