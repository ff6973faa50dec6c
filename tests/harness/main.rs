//! Proves the ground itself: the servers start, keep their data, and leave nothing behind.

mod host;
mod old_service;
mod proxy;
mod replica_set;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use code_service_tests::supervised::{Supervised, is_running, wait_until};
use code_service_tests::{Mongod, database};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::WriteConcern;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_started_server_is_a_primary_and_accepts_majority_writes() {
    let test = database().await;
    let hello = test.db.run_command(doc! { "hello": 1 }).await.expect("hello");
    assert!(hello.get_bool("isWritablePrimary").expect("a boolean"));

    let codes = test.db.collection::<Document>("codes");
    let written = codes.insert_one(doc! { "_id": 1 }).write_concern(WriteConcern::majority()).await;
    written.expect("a majority of one node");
}

#[tokio::test]
async fn two_tests_do_not_see_each_other() {
    let (one, other) = (database().await, database().await);
    one.db.collection("codes").insert_one(doc! { "_id": 1 }).await.expect("insert");
    let seen = other.db.collection::<Document>("codes").count_documents(doc! {}).await;
    assert_eq!(seen.expect("count"), 0);
}

#[tokio::test]
async fn the_default_database_of_the_connection_string_is_the_fresh_one() {
    let test = database().await;
    let client = Client::with_uri_str(&test.uri).await.expect("a client");
    assert_eq!(client.default_database().expect("one is named").name(), test.name);
}

#[tokio::test]
async fn stop_and_start_again_keep_port_and_data() {
    let mut server = Mongod::start();
    let (port, first_pid) = (server.port(), server.pid());
    let client = Client::with_uri_str(server.uri()).await.expect("a client");
    let codes = client.database("test").collection::<Document>("codes");
    let written = codes.insert_one(doc! { "_id": 1 }).write_concern(WriteConcern::majority()).await;
    written.expect("insert");

    server.stop();
    assert!(!is_running(first_pid));
    server.start_again();

    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), first_pid);
    assert_eq!(codes.count_documents(doc! {}).await.expect("count"), 1);
}

#[tokio::test]
async fn two_servers_run_at_once() {
    let (one, other) = (Mongod::start(), Mongod::start());
    assert_ne!(one.port(), other.port());
    for server in [&one, &other] {
        let client = Client::with_uri_str(server.uri()).await.expect("a client");
        let insert = client.database("test").collection("codes").insert_one(doc! { "_id": 1 }).await;
        insert.expect("each has its own data");
    }
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_folder() {
    let server = Mongod::start();
    let (pid, folder) = (server.pid(), server.folder().to_path_buf());
    assert!(is_running(pid) && folder.is_dir());
    drop(server);
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[test]
fn a_stopped_server_leaves_no_folder_when_dropped() {
    let mut server = Mongod::start();
    let folder = server.folder().to_path_buf();
    server.stop();
    assert!(folder.is_dir());
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_killed_test_process_leaves_no_server_and_no_folder() {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut helper = Command::new(program);
    helper.args(["--exact", "helper_that_holds_a_server", "--ignored", "--nocapture"]);
    helper.env(HELPER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut helper = helper.spawn().expect("this program can run itself");
    let stdout = BufReader::new(helper.stdout.take().expect("it was asked for as a pipe"));
    let line = stdout.lines().map_while(Result::ok).find(|line| line.contains(HELD));
    let line = line.expect("the helper tells what it holds");
    let (_, held) = line.split_once(HELD).expect("it was found");
    let (pid, folder) = held.split_once(' ').expect("two words");
    let (pid, folder) = (pid.parse().expect("a process id"), PathBuf::from(folder));
    assert!(is_running(pid) && folder.is_dir());

    // On Unix this is SIGKILL: no destructor and no handler runs.
    helper.kill().expect("the helper is our child");
    helper.wait().expect("the helper is our child");

    wait_until("the server is gone", PATIENCE, || !is_running(pid));
    wait_until("its folder is gone", PATIENCE, || !folder.exists());
}

const HELPER: &str = "CODE_SERVICE_HARNESS_HELPER";
const HELD: &str = "holds: ";

#[test]
#[ignore = "started and killed by another test"]
fn helper_that_holds_a_server() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let server = Mongod::start();
    println!("\n{HELD}{} {}", server.pid(), server.folder().display());
    // Until the other test kills this process, or ends itself, which closes the pipe.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("the pipe can be read");
}

#[test]
fn a_program_that_ends_by_itself_leaves_its_status_and_all_its_words() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo \"$WORD\"; echo warning >&2; printf unfinished; exit 7"]).env("WORD", "a word");
    let mut program = Supervised::new(&command, None);
    program.start();
    assert_eq!(program.wait(PATIENCE), Some(7));
    let finished = program.finish();
    assert_eq!(finished.stdout, ["a word", "unfinished"]);
    assert_eq!(finished.stderr, ["warning"]);
    assert_eq!(finished.status, Some(7));
}

#[test]
fn a_signal_reaches_the_program_itself() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
    let mut program = Supervised::new(&command, None);
    program.start();
    wait_until("the trap is set", PATIENCE, || program.stdout().contains(&"ready".to_owned()));
    program.signal("TERM");
    assert_eq!(program.wait(PATIENCE), Some(3));
}
