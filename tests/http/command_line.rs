//! The subcommands, as a person at a terminal runs them.

mod exports;
mod hosts;
mod imports;
mod jobs;
mod manual;
mod outcomes;
mod reservations;
mod tool;
mod upkeep;

use std::process::Output;

use code_service_tests::Host;

use crate::client::{Api, keys, prepared};

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
    failed_with(1, output)
}

/// The same for another exit code.
#[track_caller]
fn failed_with(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let said = stderr(output);
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    assert!(said.starts_with("code-service-host: "), "{said}");
    said
}

/// Standard output of a command that must end in this way, whatever it says.
#[track_caller]
fn ended_with(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    stdout(output)
}

/// The number in the line that begins with this word.
#[track_caller]
fn number(table: &str, word: &str) -> u64 {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(word));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in {table}"))
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
async fn bad_arguments_are_told_by_their_names() {
    let test = prepared().await;
    let uri = [("TITAN_MONGO__URI", test.uri.as_str())];
    let told = |args: &[&str], words: &[&str]| {
        let output = Host::run(args, &uri);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        for word in words {
            assert!(stderr(&output).contains(word), "no {word}: {output:?}");
        }
    };
    told(&["count", "--campaign", "", "--type", "tm"], &["--campaign", "campaignId"]);
    told(&["count", "--campaign", "tour", "--type", "vip"], &["invalidType", "tm", "external"]);
    told(&["count", "--campaign", "tour", "--type", "tm", "--status", "free"], &["--status", "available"]);
    told(
        &["export", "--campaign", "tour", "--saved-since", "today"],
        &["--saved-since", "2026-11-22T10:00:00Z"],
    );
    told(&["reserve", "--campaign", "tour", "--type", "tm", "--count", "0"], &["--count", "1..=100000"]);
}

#[test]
fn a_database_that_is_away_is_named() {
    let uri =
        [("TITAN_MONGO__URI", "mongodb://127.0.0.1:9/test?replicaSet=rs0&serverSelectionTimeoutMS=500")];
    for args in [&["create-indexes"][..], &["count", "--campaign", "tour", "--type", "tm"]] {
        let said = failed_with(6, &Host::run(args, &uri));
        assert!(said.contains("127.0.0.1:9"), "{said}");
    }
}
