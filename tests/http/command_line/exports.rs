//! `export` and `find`.

use std::process::Command;

use serde_json::{Value, json};

use super::tool::{Scratch, Tool, objects, tools};
use super::{failed, failed_with, stderr, stdout, succeeded};
use crate::client::csv;

/// The codes in NDJSON.
fn codes(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["code"].as_str().expect("a text")).collect()
}

/// Reserves under an id of the campaign's own.
fn reserve(tool: &Tool, count: &str) -> (String, Vec<String>) {
    let id = format!("order {}", tool.campaign);
    let reserved = succeeded(&tool.run(&["reserve", "--type", "tm", "--count", count, "--reserve-id", &id]));
    let mut codes: Vec<String> = reserved.lines().map(str::to_owned).collect();
    codes.sort_unstable();
    (id, codes)
}

#[tokio::test]
async fn export_writes_every_code_in_order_with_all_that_is_known_of_it() {
    for tool in tools().await {
        tool.save(&["B2", "A1", "C3"]);
        let (id, reserved) = reserve(&tool, "1");
        let all = objects(&tool.run(&["export"]));
        assert_eq!(codes(&all), ["A1", "B2", "C3"]);
        for object in &all {
            assert!(object["saved"].as_str().expect("a date").ends_with('Z'), "{object}");
            let is_reserved = reserved[0] == object["code"];
            let status = if is_reserved { "reserved" } else { "available" };
            assert_eq!((&object["type"], &object["status"]), (&json!("tm"), &json!(status)));
            assert_eq!(object.get("reserveId"), is_reserved.then(|| json!(id)).as_ref());
            assert_eq!(object.get("reserved").is_some(), is_reserved);
            assert_eq!(object.get("assigned"), None);
        }
    }
}

#[tokio::test]
async fn export_writes_csv_with_a_header_and_quotes() {
    for tool in tools().await {
        tool.save(&["A1", "\"B,2\""]);
        for args in [&["export", "--format", "csv"][..], &["export", "-", "--format", "csv"]] {
            let text = succeeded(&tool.run(args));
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "code,type,status,saved,reserved,assigned,reserveId");
            assert!(lines[1].starts_with("A1,tm,available,2") && lines[1].ends_with("Z,,,"), "{text}");
            assert!(lines[2].starts_with("\"B,2\",tm,available,"), "{text}");
        }
        let empty = succeeded(&tool.run(&["export", "--format", "csv", "--status", "assigned"]));
        assert_eq!(empty, "code,type,status,saved,reserved,assigned,reserveId\n");
    }
}

#[tokio::test]
async fn export_keeps_to_its_filters() {
    for tool in tools().await {
        tool.save(&["A1", "A2", "A3", "A4"]);
        succeeded(&tool.feed(&["import", "-", "--type", "external"], "X1"));
        succeeded(&tool.run(&["assign", "A4"]));
        let (id, reserved) = reserve(&tool, "2");
        let export = |args: &[&str]| {
            let found = objects(&tool.run(&[&["export"], args].concat()));
            codes(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(export(&["--type", "external"]), ["X1"]);
        assert_eq!(export(&["--status", "assigned"]), ["A4"]);
        assert_eq!(export(&["--reserve-id", &id]), reserved);
        assert_eq!(export(&["--after", "A4"]), ["X1"]);
        let (past, future) = ("2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z");
        assert_eq!(export(&["--saved-since", past]).len(), 5);
        assert!(export(&["--saved-before", past]).is_empty());
        assert_eq!(export(&["--reserved-since", past, "--reserved-before", future]), reserved);
        assert!(export(&["--reserved-since", future]).is_empty());
        assert_eq!(export(&["--assigned-before", future]), ["A4"]);
        assert!(export(&["--assigned-since", future]).is_empty());
    }
}

#[tokio::test]
async fn a_file_is_written_beside_its_name_and_renamed_when_it_is_whole() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let file = Scratch::new("codes.csv");
        let output = tool.run(&["export", file.path(), "--json"]);
        assert_eq!(objects(&output), [json!({"codes": 2})]);
        assert!(file.read().starts_with("code,type,"), "its name says CSV");
        assert!(!file.part().is_there());
        let missing = Scratch::new("folder").path().to_owned() + "/codes.csv";
        let said = failed_with(1, &tool.run(&["export", &missing]));
        assert!(said.contains(&missing), "{said}");
    }
}

#[tokio::test]
async fn an_export_that_was_cut_off_goes_on_behind_its_last_whole_line() {
    for tool in tools().await {
        succeeded(&tool.feed(&["import", "-", "--type", "tm"], csv(1_000)));
        for name in ["codes.csv", "codes.ndjson"] {
            let (whole, file) = (Scratch::new(name), Scratch::new(name));
            succeeded(&tool.run(&["export", whole.path()]));
            let whole = whole.read();
            let _part = file.part();
            std::fs::write(file.part().path(), &whole[..whole.len() / 2]).expect("the folder is writable");
            succeeded(&tool.run(&["export", file.path(), "--continue"]));
            assert_eq!(file.read(), whole);
        }
    }
}

#[tokio::test]
async fn an_export_from_the_beginning_does_not_mind_what_another_has_left() {
    for tool in tools().await {
        tool.save(&["A1"]);
        for args in [&[][..], &["--continue"]] {
            let file = Scratch::new("codes.csv");
            if args.is_empty() {
                std::fs::write(file.part().path(), "Z9,".repeat(1_000)).expect("the folder is writable");
            }
            succeeded(&tool.run(&[&["export", file.path()], args].concat()));
            assert_eq!(file.read().lines().count(), 2, "a header and one code");
        }
    }
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_an_export_quietly() {
    for tool in tools().await {
        succeeded(&tool.feed(&["import", "-", "--type", "tm"], csv(20_000)));
        for (format, start) in [("ndjson", "{\"code\":\"C00000\","), ("csv", "code,type,")] {
            let export = tool.command(&["export", "--format", format]);
            let mut shell = Command::new("bash");
            shell.args(["-o", "pipefail", "-c", "\"$0\" \"$@\" | head -1"]).arg(export.get_program());
            shell.args(export.get_args());
            shell.envs(export.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let output = shell.output().expect("bash and head are there");
            assert!(output.status.success(), "{output:?}");
            assert!(stdout(&output).starts_with(start), "{output:?}");
            assert_eq!(stderr(&output), "");
        }
    }
}

#[tokio::test]
async fn a_file_whose_name_ends_with_gz_is_packed() {
    for tool in tools().await {
        succeeded(&tool.feed(&["import", "-", "--type", "tm"], csv(1_000)));
        for (name, lines) in [("codes.csv.gz", 1_001), ("codes.ndjson.gz", 1_000)] {
            let file = Scratch::new(name);
            succeeded(&tool.run(&["export", file.path()]));
            let unpacked = Command::new("gzip").args(["-dc", file.path()]).output().expect("gzip is there");
            assert_eq!(succeeded(&unpacked).lines().count(), lines, "{name}");
            assert_eq!(tool.json(&["import", file.path(), "--type", "tm"])["count"]["updated"], 1_000);
        }
    }
}

#[tokio::test]
async fn only_a_file_that_is_not_packed_can_be_gone_on_with() {
    let [tool, _] = tools().await;
    for file in ["-", "codes.csv.gz"] {
        let said = failed_with(2, &tool.run(&["export", file, "--continue"]));
        assert!(said.contains("--continue"), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_export_is_not_written_on() {
    let [tool, _] = tools().await;
    tool.save(&["A1"]);
    for (name, content) in [("codes.csv", "id,name\n1,me\n2,you\n"), ("codes.ndjson", "my notes")] {
        let file = Scratch::new(name);
        let part = file.part();
        std::fs::write(part.path(), content).expect("the folder is writable");
        let said = failed(&tool.run(&["export", file.path(), "--continue"]));
        assert!(said.contains(part.path()), "{said}");
        assert_eq!(part.read(), content);
    }
}

#[tokio::test]
async fn two_exports_do_not_write_one_file_at_once() {
    let [tool, _] = tools().await;
    tool.save(&["A1"]);
    let file = Scratch::with("codes.csv", "whole");
    let part = file.part();
    let other = std::fs::File::create(part.path()).expect("the folder is writable");
    other.lock().expect("nobody else has it");
    let said = failed(&tool.run(&["export", file.path()]));
    assert!(said.contains(part.path()) && said.contains("another export"), "{said}");
    assert_eq!(file.read(), "whole");
    drop(other);
    succeeded(&tool.run(&["export", file.path()]));
}

#[tokio::test]
async fn find_shows_codes_and_ends_with_3_if_one_is_missing() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        succeeded(&tool.run(&["assign", "A2"]));
        let table = succeeded(&tool.run(&["find", "A1", "A2"]));
        let lines: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        assert_eq!(lines, [["code", "type", "status"], ["A1", "tm", "available"], ["A2", "tm", "assigned"]]);
        let found = tool.json(&["find", "A2"]);
        assert_eq!((&found["code"], &found["status"]), (&json!("A2"), &json!("assigned")));
        assert!(found["assigned"].is_string(), "{found}");

        let output = tool.feed(&["find", "--codes-file", "-", "--json"], "A1\nSECRET\n");
        let said = failed_with(3, &output);
        assert!(said.contains("not_found: ") && said.contains("1 of 2"), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
        assert_eq!(objects(&output)[1], json!({"code": "SECRET", "status": "not_found"}));
    }
}

#[tokio::test]
async fn a_campaign_without_codes_is_exported_as_nothing() {
    for tool in tools().await {
        assert_eq!(stdout(&tool.run(&["export"])), "");
    }
}
