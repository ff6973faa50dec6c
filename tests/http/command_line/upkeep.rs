//! `check` and `generate`, which work on the database itself.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use code_service_tests::{Database, Host, Mongod, clock};
use mongodb::Client;
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
    let objects = objects(&output);
    assert_eq!(objects.iter().filter(|object| object["code"].is_string()).count(), 3);
    let last = objects.last().expect("there are some");
    assert_eq!((&last["codes"], &last["space"]), (&json!(3), &json!(25_600_000_000.0)));
    assert!(last["bits"].is_f64() && last["guess"].is_f64(), "{last}");
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
    // By a clock of its own the export would begin a day later.
    let ahead = clock::ahead();
    let ahead: Vec<(&str, &str)> = ahead.iter().filter_map(|word| word.split_once('=')).collect();
    let output = tool.with(&ahead).command(&args).stdout(full).output().expect("the built host can be run");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(tool.counts(), [10, 0, 0]);
    // What it says there works as it stands.
    let said = stderr(&output);
    let export = said.split('`').nth(1).unwrap_or_else(|| panic!("no command in {said}"));
    let program = tool.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("\"$0\" {export}")]).arg(program.get_program());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let exported = objects(&shell.output().expect("sh is there"));
    assert_eq!(exported.len(), 10);
    assert!(exported.iter().all(|object| object["type"] == "tm"), "{exported:?}");
}

#[tokio::test]
async fn a_list_that_is_there_is_never_overwritten() {
    let [tool, _] = tools().await;
    let file = Scratch::new("new.csv");
    let args = ["generate", "????????", "--type", "tm", "--count", "10", "--output", file.path()];
    succeeded(&tool.run(&args));
    let list = file.read();
    let said = failed_with(2, &tool.run(&args));
    assert!(said.contains(file.path()) && said.contains("not overwritten"), "{said}");
    let part = file.part();
    assert_eq!((file.read(), part.is_there()), (list, false));

    // As a run that was cut off leaves it.
    std::fs::rename(file.path(), part.path()).expect("ours");
    let list = part.read();
    let said = failed_with(2, &tool.run(&args));
    assert!(said.contains(&format!("{}: is there already", part.path())), "{said}");
    assert_eq!((part.read(), file.is_there()), (list, false));
    assert_eq!(tool.counts(), [10, 0, 0], "nothing was generated for nothing");
}

#[tokio::test]
async fn what_others_save_meanwhile_is_counted_at_the_end() {
    let [tool, _] = tools().await;
    // More than a pipe takes, so it waits for its reader.
    let args = ["generate", "A-????????", "--type", "tm", "--count", "20000", "--json"];
    let mut child = tool.command(&args).spawn().expect("the built host can be run");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut printed = String::new();
    reader.read_line(&mut printed).expect("a line");
    tool.save(&["A-33333333", "A-44444444", "B-33333333"]);
    reader.read_to_string(&mut printed).expect("UTF-8");
    let output = child.wait_with_output().expect("our own child");
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("with 20000 of them"), "{output:?}");
    assert!(said.contains("the campaign has changed meanwhile: with 20002 of them"), "{said}");
    let last = printed.lines().last().expect("there are many");
    let last: Value = serde_json::from_str(last).expect("an object a line");
    assert_eq!((&last["codes"], &last["guess"]), (&json!(20_000), &json!(20_002.0 / 20_f64.powi(8))));
}

/// Else the driver does it while its threads end, and now and then panics.
#[tokio::test]
async fn a_command_takes_leave_of_the_database_before_it_ends() {
    let server = Mongod::start();
    let uri = server.uri_for("alone");
    let admin = Client::with_uri_str(&uri).await.expect("our own").database("admin");
    let leaves = async || {
        let status = admin.run_command(doc! { "serverStatus": 1 }).await.expect("a status");
        let commands = status.get_document("metrics").and_then(|all| all.get_document("commands"));
        let leaves =
            commands.and_then(|all| all.get_document("endSessions")).expect("the server counts them");
        leaves.get_i64("total").expect("a number")
    };
    let tool = Tool::new("alone", &[("TITAN_MONGO__URI", &uri)]);
    for run in 1..=5 {
        failed_with(2, &tool.run(&["generate", "TM-####", "--type", "tm", "--count", "100"]));
        assert_eq!(leaves().await, run);
    }
}
