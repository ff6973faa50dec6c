//! `check` and `generate`, which work on the database itself.

use code_service_tests::{Database, Host};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::tool::{Scratch, Tool, objects, tools};
use super::{failed, failed_with, stderr, stdout, succeeded};
use crate::client::prepared;

/// A tool on a database that nobody else has.
async fn alone() -> (Tool, Database) {
    let test = prepared().await;
    (Tool::new("alone", &[("TITAN_MONGO__URI", &test.uri)]), test)
}

/// Writes a code that carries a reserveId without a date, as the deployed service leaves it, and one that is reserved
/// under no id.
async fn break_two(tool: &Tool, test: &Database) {
    tool.save(&["A1", "A2", "A3"]);
    let codes = test.db.collection::<Document>("codes");
    for (code, update) in [
        ("A1", doc! { "$set": { "reserveId": "left behind" } }),
        ("A2", doc! { "$currentDate": { "date.reserved": true } }),
    ] {
        let filter = doc! { "_id": { "campaign_id": &tool.campaign, "code": code } };
        let updated = codes.update_one(filter, update).await.expect("update");
        assert_eq!(updated.modified_count, 1);
    }
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().map(|found| found["kind"].as_str().expect("a word")).collect()
}

#[tokio::test]
async fn check_finds_nothing_wrong_in_what_the_tool_has_done() {
    let (tool, test) = alone().await;
    tool.save(&["A1", "A2", "A3"]);
    let code = stdout(&tool.run(&["reserve", "--type", "tm", "--count", "1", "--reserve-id", "order"]));
    succeeded(&tool.run(&["assign", "--reserve-id", "order", code.trim_end()]));
    let report = tool.json(&["check"]);
    assert_eq!((&report["clean"], &report["documents"]), (&json!(true), &json!(3)));
    assert_eq!(kinds(&report), Vec::<&str>::new());
    // Of all campaigns.
    let all = succeeded(&Host::run(&["check"], &[("TITAN_MONGO__URI", &test.uri)]));
    assert!(all.contains("nothing is wrong"), "{all}");
}

#[tokio::test]
async fn check_shows_what_it_finds_and_ends_with_8_until_that_is_repaired() {
    let (tool, test) = alone().await;
    break_two(&tool, &test).await;
    let output = tool.run(&["check"]);
    failed_with(8, &output);
    let table = stdout(&output);
    assert!(table.contains("stale_id") && table.contains("reserved_without_id"), "{table}");
    assert!(table.contains(&format!("  {} A2\n", tool.campaign)), "an example: {table}");
    assert!(table.contains("--repair: "), "{table}");

    let output = tool.run(&["check", "--json"]);
    failed_with(8, &output);
    let report = &objects(&output)[0];
    assert_eq!(kinds(report), ["reserved_without_id", "stale_id"]);
    assert_eq!(report["clean"], false);
    assert_eq!(report["findings"][0]["examples"], json!([format!("{} A2", tool.campaign)]));

    let repaired = tool.json(&["check", "--repair"]);
    assert_eq!((&repaired["clean"], &repaired["findings"][0]["repaired"]), (&json!(true), &json!(1)));
    assert_eq!(kinds(&tool.json(&["check"])), Vec::<&str>::new());
}

#[tokio::test]
async fn check_shows_as_many_examples_as_are_asked_for() {
    let (tool, test) = alone().await;
    break_two(&tool, &test).await;
    let report = tool.run(&["check", "--examples", "0", "--json"]);
    assert_eq!(objects(&report)[0]["findings"][0]["examples"], json!([]));
}

#[tokio::test]
async fn generate_prints_codes_that_are_in_the_campaign() {
    let [tool, _] = tools().await;
    let output = tool.run(&["generate", "TM-????-????", "--type", "tm", "--count", "100"]);
    let mut codes: Vec<String> = succeeded(&output).lines().map(str::to_owned).collect();
    codes.sort_unstable();
    let exported = objects(&tool.run(&["export"]));
    let exported: Vec<&str> = exported.iter().filter_map(|object| object["code"].as_str()).collect();
    assert_eq!(codes, exported);
    assert_eq!(codes.len(), 100);
    assert!(codes.iter().all(|code| code.starts_with("TM-") && code.len() == 12), "{codes:?}");
    let said = stderr(&output);
    assert!(said.contains("34.6 bits") && said.contains("one guess in 256000000 hits"), "{said}");
}

#[tokio::test]
async fn generate_writes_a_file_and_says_how_strong_the_codes_are() {
    let [tool, _] = tools().await;
    let file = Scratch::new("new.csv");
    let args = ["generate", "A,????????", "--type", "tm", "--count", "20", "--output", file.path()];
    let answer = tool.json(&[&args[..], &["--check-character"]].concat());
    assert_eq!(answer["codes"], 20);
    assert!(answer["bits"].as_f64() > Some(30.0) && answer["guess"].as_f64() < Some(1e-6), "{answer}");
    assert!(!file.part().is_there());
    let codes = file.read();
    assert!(codes.lines().all(|line| line.starts_with("\"A,") && line.len() == 13), "{codes}");
    assert_eq!(tool.json(&["import", file.path(), "--type", "tm"])["count"]["updated"], 20);
}

#[tokio::test]
async fn generate_prints_objects_for_programs() {
    let [tool, _] = tools().await;
    let output = tool.run(&["generate", "????????", "--type", "tm", "--count", "3", "--json"]);
    assert_eq!(objects(&output).iter().filter(|object| object["code"].is_string()).count(), 3);
}

#[tokio::test]
async fn a_weak_pattern_is_refused_before_anything_is_written() {
    let [tool, _] = tools().await;
    let file = Scratch::new("new.csv");
    let weak = ["generate", "TM-####", "--type", "tm", "--count", "100", "--output", file.path()];
    let said = failed_with(2, &tool.run(&weak));
    assert!(said.contains("pattern"), "{said}");
    assert_eq!(tool.counts(), [0, 0, 0]);
    assert!(!file.is_there() && !file.part().is_there(), "nothing is left");
    succeeded(&tool.run(&[&weak[..], &["--one-in", "100"]].concat()));
    assert_eq!(tool.counts(), [100, 0, 0]);
}

#[tokio::test]
async fn codes_that_cannot_be_written_are_told_to_be_in_the_campaign() {
    let [tool, _] = tools().await;
    let args = ["generate", "????????", "--type", "tm", "--count", "10"];
    let missing = Scratch::new("folder").path().to_owned() + "/new.csv";
    failed(&tool.run(&[&args[..], &["--output", &missing]].concat()));
    assert_eq!(tool.counts(), [0, 0, 0], "it looks before it generates");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = tool.command(&args).stdout(full).output().expect("the built host can be run");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("export --saved-since"), "{output:?}");
    assert_eq!(tool.counts(), [10, 0, 0]);
}
