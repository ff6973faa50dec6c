//! How commands end that did not do all that they were asked for, also when nobody reads what they say.

use std::process::{Output, Stdio};

use mongodb::bson::{Document, doc};
use serde_json::json;

use super::tool::{Scratch, Tool, ground, objects, remote, tools};
use super::{ended_with, failed_with, stderr, succeeded};
use crate::client::{builder, prepared};

/// The same command, whose reader has gone.
fn unread(tool: &Tool, args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    drop(reader);
    tool.command(args).stdout(Stdio::from(writer)).output().expect("the built host can be run")
}

#[tokio::test]
async fn a_reader_that_has_gone_does_not_hide_what_is_wrong() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        failed_with(3, &unread(&tool, &["find", "A1", "nobody's"]));
        failed_with(3, &unread(&tool, &["find", "A1", "nobody's", "--json"]));
        failed_with(5, &unread(&tool, &["assign", "A1", "--reserve-id", "nobody's"]));
        assert_eq!(unread(&tool, &["count", "--type", "tm"]).status.code(), Some(0));
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_does_not_hide_what_a_check_finds() {
    let test = prepared().await;
    let tool = Tool::new("unread", &[("TITAN_MONGO__URI", &test.uri)]);
    tool.save(&["A1"]);
    let without_id = doc! { "$currentDate": { "date.reserved": true } };
    test.db.collection::<Document>("codes").update_one(doc! {}, without_id).await.expect("update");
    failed_with(8, &unread(&tool, &["check"]));
}

#[tokio::test]
async fn check_and_generate_warn_whoever_names_a_host() {
    let [tool, _] = tools().await;
    let tool = tool.with(&[("CODE_SERVICE_URL", "http://127.0.0.1:9")]);
    for args in [&["check"][..], &["generate", "????????", "--type", "tm", "--count", "1"]] {
        let output = tool.run(args);
        succeeded(&output);
        let said = stderr(&output);
        assert!(said.lines().next().is_some_and(|line| line.contains("CODE_SERVICE_URL")), "{said}");
    }
}

#[tokio::test]
async fn codes_that_have_not_changed_end_an_assign_or_a_release_with_9() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let output = tool.run(&["assign", "A1", "A1", "SECRET", "--json"]);
        let said = failed_with(9, &output);
        assert!(said.contains("1 of 2 codes have not changed") && !said.contains("SECRET"), "{said}");
        assert_eq!(objects(&output), [json!({"count": {"in": 3, "updated": 1}})]);
        failed_with(9, &tool.run(&["assign", "A1"]));
        failed_with(9, &tool.run(&["release", "A2"]));
        assert_eq!(tool.counts(), [1, 0, 1]);
    }
}

#[tokio::test]
async fn an_assign_under_an_id_can_be_repeated() {
    for tool in tools().await {
        tool.save(&["A1"]);
        let id = format!("order {}", tool.campaign);
        succeeded(&tool.run(&["reserve", "--type", "tm", "--count", "1", "--reserve-id", &id]));
        for updated in [1, 0] {
            let settled = tool.json(&["assign", "A1", "--reserve-id", &id]);
            assert_eq!(settled["count"]["updated"], updated);
        }
    }
}

#[tokio::test]
async fn codes_are_read_from_ndjson_by_its_name_alone() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let file = Scratch::new("codes.ndjson");
        succeeded(&tool.run(&["export", file.path()]));
        for input in [file.read(), String::from("A1\n{\"code\":\"A2\"}\n")] {
            let said = failed_with(2, &tool.feed(&["assign", "--codes-file", "-"], input));
            assert!(said.contains("JSON") && said.contains("--format csv") && !said.contains("A2"), "{said}");
        }
        assert_eq!(tool.counts(), [2, 0, 0]);
        succeeded(&tool.run(&["assign", "--codes-file", file.path()]));
        assert_eq!(tool.counts(), [0, 0, 2]);
    }
}

#[tokio::test]
async fn an_assign_that_breaks_off_says_what_was_done() {
    let host = builder(&ground().await.uri).env("TITAN_SERVICE__BODY_LIMIT", "200000").start();
    let tool = remote().await.with(&[("CODE_SERVICE_URL", &host.url(""))]);
    // A call takes 10,000 codes, and those of the second one are too long for this host.
    let short = (0..10_000).map(|number| format!("C{number}\n"));
    let long = (0..2_000).map(|number| format!("{number:0>200}\n"));
    let codes: String = short.chain(long).collect();
    let id = format!("order {}", tool.campaign);
    let args = ["assign", "--codes-file", "-", "--reserve-id", &id];
    let output = tool.feed(&[&args[..], &["--json"]].concat(), &codes);
    let said = failed_with(2, &output);
    assert!(said.contains("bodyTooLarge"), "{said}");
    assert!(said.contains("10000 of 12000 codes were done") && said.contains("repeating is safe"), "{said}");
    let sum = &objects(&output)[0];
    assert_eq!(sum["count"], json!({"in": 10_000, "updated": 0}));
    assert_eq!(sum["lost"].as_array().map(Vec::len), Some(10_000));
    let table = ended_with(2, &tool.feed(&args, &codes));
    assert_eq!(table.lines().filter(|line| line.starts_with("lost")).count(), 10_000);
}
