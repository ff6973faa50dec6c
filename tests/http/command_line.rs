//! The subcommands, as a person at a terminal runs them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use code_service_tests::Host;

use crate::client::{Api, bucket, keys, prepared};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    stdout(output)
}

/// The one sentence on standard error of a command that must fail.
#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(output);
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    assert!(said.starts_with("code-service-host: "), "{said}");
    said
}

/// The number in the line that begins with this word.
#[track_caller]
fn number(table: &str, word: &str) -> u64 {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(word));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in {table}"))
}

#[test]
fn help_names_every_subcommand() {
    let help = succeeded(&Host::run(&["--help"], &[]));
    for word in [
        "serve",
        "create-indexes",
        "token",
        "import",
        "count",
        "--config-dir",
        "NODE_ENV",
        "TITAN_MONGO__URI",
    ] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
}

#[test]
fn every_subcommand_explains_itself_and_its_arguments() {
    for (command, arguments) in [
        ("serve", &["--config-dir"][..]),
        ("create-indexes", &["--config-dir"]),
        ("token", &["--user-id", "--not-supreme", "--expires-in"]),
        ("import", &["<FILE>", "--campaign", "--type"]),
        ("count", &["--campaign", "--type", "--status"]),
        ("config", &["--config-dir"]),
    ] {
        let help = succeeded(&Host::run(&[command, "--help"], &[]));
        for argument in arguments {
            assert!(help.contains(argument), "{argument} is not in the help of {command}: {help}");
        }
    }
}

#[test]
fn config_prints_what_is_in_effect_and_no_secret() {
    let secrets = [
        ("TITAN_MONGO__URI", "mongodb://me:hunter2@db/test"),
        ("TITAN_JWT__PUBLIC_KEY", keys().public.as_str()),
        ("TITAN_TRACING__ACCESS_TOKEN", "hunter2"),
        ("TITAN_SERVICE__PORT", "8099"),
        ("TITAN_SERVICE__IDLE_TIMEOUT", "90s"),
    ];
    let printed = succeeded(&Host::run(&["config"], &secrets));
    let config: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(config["titan"]["service"]["port"], 8099);
    assert_eq!(config["titan"]["service"]["idleTimeout"], "90s");
    assert_eq!(config["titan"]["mongo"]["uri"], "(secret)");
    assert!(!printed.contains("hunter2") && !printed.contains("KEY-----"), "{printed}");
}

#[test]
fn an_unknown_subcommand_or_argument_is_told() {
    for args in [&["sreve"][..], &["count", "--campagin", "x"], &[]] {
        let output = Host::run(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains("Usage"), "{output:?}");
    }
}

#[tokio::test]
async fn token_prints_a_token_that_a_host_lets_in() {
    let api = Api::shared().await;
    let key = [("TITAN_JWT__PRIVATE_KEY", keys().private.as_str())];
    let token = succeeded(&Host::run(&["token", "--user-id", "me"], &key));
    let api = api.with_token(token.trim_end());
    assert_eq!(api.get("/dev/supremes").await.status, 200);
    assert_eq!(api.get("/dev/auth").await.data()["user"]["id"], "me");
}

#[tokio::test]
async fn token_can_be_plain_and_short_lived() {
    let api = Api::shared().await;
    let key = [("TITAN_JWT__PRIVATE_KEY", keys().private.as_str())];
    let token = succeeded(&Host::run(&["token", "--not-supreme", "--expires-in", "77"], &key));
    let api = api.with_token(token.trim_end());
    assert_eq!(api.get("/dev/supremes").await.status, 403);
    let claims = api.get("/dev/auth").await.data();
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|issued| issued + 77));
}

#[test]
fn token_without_a_private_key_says_what_to_set() {
    let said = failed(&Host::run(&["token"], &[]));
    assert!(said.contains("TITAN_JWT__PRIVATE_KEY"), "{said}");
}

#[tokio::test]
async fn create_indexes_can_be_run_again() {
    let test = code_service_tests::database().await;
    let uri = [("TITAN_MONGO__URI", test.uri.as_str())];
    let first = succeeded(&Host::run(&["create-indexes"], &uri));
    assert_eq!(succeeded(&Host::run(&["create-indexes"], &uri)), first);
    let names = test.db.collection::<mongodb::bson::Document>("codes").list_index_names().await;
    let mut names = names.expect("the collection exists");
    names.sort();
    assert_eq!(
        names,
        [
            "_id.campaign_id_-1__id.code_1",
            "_id.campaign_id_-1_type_1_date.reserved_-1_date.assigned_-1",
            "_id_",
            "reserveId_-1"
        ]
    );
}

#[tokio::test]
async fn import_saves_a_file_and_count_counts_it() {
    let test = prepared().await;
    let uri = [("TITAN_MONGO__URI", test.uri.as_str())];
    std::fs::create_dir_all(bucket()).expect("the target folder is writable");
    let file = bucket().join(format!("{}.csv", test.name));
    std::fs::write(&file, "code\nA1\nA2\nA3\nB\u{0}AD\n").expect("the target folder is writable");
    let path = file.to_str().expect("a plain path");
    let output = Host::run(&["import", path, "--campaign", "tour", "--type", "tm"], &uri);
    std::fs::remove_file(&file).expect("ours");
    let table = succeeded(&output);
    let numbers = ["in", "inserted", "updated", "rejected"].map(|word| number(&table, word));
    assert_eq!(numbers, [4, 3, 0, 1]);
    assert!(stderr(&output).contains("row 5") && !stderr(&output).contains("AD"), "{output:?}");

    let count = ["count", "--campaign", "tour", "--type", "tm"];
    let table = succeeded(&Host::run(&count, &uri));
    assert_eq!(["available", "reserved", "assigned"].map(|word| number(&table, word)), [3, 0, 0]);
    let one = succeeded(&Host::run(&[&count[..], &["--status", "available"]].concat(), &uri));
    assert_eq!(one, "3\n");
}

#[tokio::test]
async fn import_reads_standard_input() {
    let test = prepared().await;
    // The running host tells where its program lies.
    let program = format!("/proc/{}/exe", Api::shared().await.host.pid());
    let mut import = Command::new(std::fs::read_link(program).expect("the host runs"));
    import.args(["import", "-", "--campaign", "tour", "--type", "external"]);
    import.env("NODE_ENV", "local-dev").env("TITAN_MONGO__URI", &test.uri);
    import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut import = import.spawn().expect("the built host can be run");
    let mut input = import.stdin.take().expect("it was asked for as a pipe");
    input.write_all(b"A1\nA2\n").expect("import reads");
    drop(input);
    let table = succeeded(&import.wait_with_output().expect("our own child"));
    assert_eq!((number(&table, "in"), number(&table, "inserted")), (2, 2));
}

#[tokio::test]
async fn import_of_a_file_that_is_not_there_names_it() {
    let test = prepared().await;
    let uri = [("TITAN_MONGO__URI", test.uri.as_str())];
    let args = ["import", "nowhere.csv", "--campaign", "tour", "--type", "tm"];
    let said = failed(&Host::run(&args, &uri));
    assert!(said.contains("nowhere.csv"), "{said}");
    let folder = std::env::temp_dir();
    let args = ["import", folder.to_str().expect("plain"), "--campaign", "tour", "--type", "tm"];
    assert!(failed(&Host::run(&args, &uri)).contains("folder"));
}

#[tokio::test]
async fn bad_arguments_are_told_by_their_names() {
    let test = prepared().await;
    let uri = [("TITAN_MONGO__URI", test.uri.as_str())];
    let said = failed(&Host::run(&["count", "--campaign", "", "--type", "tm"], &uri));
    assert!(said.contains("campaignId"), "{said}");
    let said = failed(&Host::run(&["count", "--campaign", "tour", "--type", "vip"], &uri));
    assert!(said.contains("vip") && said.contains("tm") && said.contains("external"), "{said}");
    let said = failed(&Host::run(&["count", "--campaign", "tour", "--type", "tm", "--status", "free"], &uri));
    assert!(said.contains("status") && said.contains("available"), "{said}");
}

#[test]
fn a_database_that_is_away_is_named() {
    let uri =
        [("TITAN_MONGO__URI", "mongodb://127.0.0.1:9/test?replicaSet=rs0&serverSelectionTimeoutMS=500")];
    for args in [&["create-indexes"][..], &["count", "--campaign", "tour", "--type", "tm"]] {
        let said = failed(&Host::run(args, &uri));
        assert!(said.contains("127.0.0.1:9"), "{said}");
    }
}
