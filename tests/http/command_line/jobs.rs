//! `import --bucket-key` and `jobs`: imports that hosts run, and that others look after.

use std::io::{BufRead, BufReader};
use std::process::Output;
use std::sync::mpsc;
use std::time::Duration;

use code_service_tests::supervised::wait_until;
use serde_json::json;

use super::hosts::relay::Relay;
use super::tool::{Scratch, Tool, ground, objects, tools};
use super::{ended_with, failed, failed_with, stderr, stdout, succeeded};
use crate::client::{bucket, builder, csv, keys, prepared};

/// A file in the bucket that is gone when the test has ended.
struct InBucket {
    key: String,
}

impl InBucket {
    fn new(campaign: &str, content: impl AsRef<[u8]>) -> InBucket {
        let key = format!("codes/{campaign}/tm/file.csv");
        let file = bucket().join(&key);
        std::fs::create_dir_all(file.parent().expect("in a folder")).expect("the target folder is writable");
        std::fs::write(file, content).expect("the target folder is writable");
        InBucket { key }
    }
}

impl Drop for InBucket {
    fn drop(&mut self) {
        let folder = bucket().join(&self.key);
        let _ =
            std::fs::remove_dir_all(folder.parent().and_then(std::path::Path::parent).expect("in folders"));
    }
}

/// Tools whose campaign can be a folder.
async fn with_folders() -> [Tool; 2] {
    let mut tools = tools().await;
    for tool in &mut tools {
        tool.campaign = tool.campaign.replace(['/', ' '], "-");
    }
    tools
}

/// The id of an import that was begun and is not waited for.
fn begin(tool: &Tool, file: &InBucket) -> String {
    let id = succeeded(&tool.run(&["import", "--bucket-key", &file.key, "--no-wait"]));
    id.trim_end().to_owned()
}

/// The value in the line that begins with these words.
#[track_caller]
fn field<'a>(table: &'a str, name: &str) -> &'a str {
    let value = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {table}")).trim()
}

#[tokio::test]
async fn a_file_of_the_bucket_is_imported_by_a_host_and_followed() {
    for tool in with_folders().await {
        let file = InBucket::new(&tool.campaign, "A1\nA2\nB\u{0}AD\n");
        let output = tool.run(&["import", "--bucket-key", &file.key]);
        let table = ended_with(9, &output);
        let fields =
            ["state", "in", "inserted", "updated", "rejected", "dry run"].map(|name| field(&table, name));
        assert_eq!(fields, ["completed", "3", "2", "0", "1", "no"]);
        let said = stderr(&output);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], format!("import {}", field(&table, "id")));
        assert_eq!(lines[1], "row 3: the code holds a control character");
        assert_eq!(lines[2..], ["code-service-host: 1 of 3 rows were rejected"]);
        assert_eq!(tool.counts(), [2, 0, 0]);

        let rejected = Scratch::new("rejected.csv");
        let args = ["import", "--bucket-key", &file.key, "--rejected", rejected.path(), "--json"];
        let output = tool.run(&args);
        ended_with(9, &output);
        let again = &objects(&output)[0];
        assert_eq!((&again["state"], &again["updated"]), (&json!("completed"), &json!(2)));
        assert_eq!(rejected.read(), "row,reason\n3,holds a control character\n");
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_saved_and_saves_nothing() {
    for tool in with_folders().await {
        let file = InBucket::new(&tool.campaign, "A1\nA2\n");
        let job = tool.json(&["import", "--bucket-key", &file.key, "--dry-run"]);
        assert_eq!((&job["dryRun"], &job["inserted"]), (&json!(true), &json!(2)));
        assert_eq!(tool.counts(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn jobs_lists_shows_and_follows_imports_and_their_rejected_rows() {
    for tool in with_folders().await {
        let file = InBucket::new(&tool.campaign, "A1\nB\u{0}AD\n");
        let id = begin(&tool, &file);
        let output = tool.run(&["jobs", "follow", &id, "--json"]);
        ended_with(9, &output);
        let followed = objects(&output).remove(0);
        assert_eq!((&followed["id"], &followed["state"]), (&json!(id), &json!("completed")));
        assert_eq!(tool.json(&["jobs", "show", &id]), followed);
        assert_eq!(tool.json(&["jobs", "list"]), json!({ "jobs": [followed] }));
        let table = succeeded(&tool.run(&["jobs", "list"]));
        let row: Vec<&str> = table.lines().nth(1).expect("one import").split_whitespace().collect();
        assert_eq!(row[..9], [id.as_str(), "import", "completed", "tm", "2", "1", "0", "1", "no"]);
        let rows = succeeded(&tool.run(&["jobs", "rejected", &id]));
        assert_eq!(rows, "row,reason\n2,\"holds a control character\"\n");
        let rows = objects(&tool.run(&["jobs", "rejected", &id, "--json"]));
        assert_eq!(rows, [json!({"row": 2, "reason": "holds a control character"})]);
    }
}

#[tokio::test]
async fn an_import_can_be_undone_as_long_as_its_codes_are_free() {
    for tool in with_folders().await {
        let file = InBucket::new(&tool.campaign, "A1\nA2\n");
        let id = begin(&tool, &file);
        succeeded(&tool.run(&["jobs", "follow", &id]));
        let code = stdout(&tool.run(&["reserve", "--type", "tm", "--count", "1"]));
        let output = tool.run(&["jobs", "undo", &id]);
        failed(&output);
        assert_eq!(tool.counts(), [1, 1, 0]);
        succeeded(&tool.run(&["release", code.trim_end()]));
        let table = succeeded(&tool.run(&["jobs", "undo", &id]));
        assert_eq!(["state", "removed", "kept"].map(|name| field(&table, name)), ["undone", "2", "0"]);
        assert_eq!(tool.counts(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn an_import_that_is_not_there_ends_with_3() {
    for tool in with_folders().await {
        for command in ["show", "follow", "cancel", "undo", "rejected"] {
            let said = failed_with(3, &tool.run(&["jobs", command, "nobody's"]));
            assert!(said.contains("not_found: "), "{command}: {said}");
        }
        let said = failed_with(2, &tool.run(&["import", "--bucket-key", "codes/other/tm/file.csv"]));
        assert!(said.contains("invalidFileKey: "), "{said}");
    }
}

/// A database on which no host runs imports, and a host that leaves them to others.
async fn nobody_runs_imports() -> (Tool, code_service_tests::Host, String) {
    let test = prepared().await;
    let host = builder(&test.uri).env("TITAN_IMPORTS__RUN", "false").start();
    let mut tool = Tool::new(
        "lonely",
        &[("CODE_SERVICE_URL", &host.url("")), ("CODE_SERVICE_TOKEN", &keys().supreme())],
    );
    tool.campaign = tool.campaign.replace(['/', ' '], "-");
    (tool, host, test.uri)
}

#[tokio::test]
async fn an_import_can_be_cancelled_before_it_has_begun() {
    let (tool, _host, _) = nobody_runs_imports().await;
    let file = InBucket::new(&tool.campaign, csv(10));
    let id = begin(&tool, &file);
    let table = succeeded(&tool.run(&["jobs", "cancel", &id]));
    assert_eq!(field(&table, "state"), "cancelled");
    let said = failed(&tool.run(&["jobs", "follow", &id]));
    assert!(said.contains("cancelled"), "{said}");
}

#[tokio::test]
async fn ctrl_c_ends_only_the_following() {
    let (tool, _host, uri) = nobody_runs_imports().await;
    let file = InBucket::new(&tool.campaign, csv(10));
    let id = begin(&tool, &file);
    let follow = tool.command(&["jobs", "follow", &id]).spawn().expect("the built host can be run");
    wait_until("it listens for Ctrl-C", Duration::from_secs(30), || catches_interrupts(follow.id()));
    interrupt(follow.id());
    let output: Output = follow.wait_with_output().expect("our own child");
    let said = failed_with(130, &output);
    assert!(said.contains(&format!("jobs follow {id} --campaign {}`", tool.campaign)), "{said}");
    assert_eq!(tool.json(&["jobs", "show", &id])["state"], "queued");
    // Somebody else runs it.
    let _other = builder(&uri).start();
    assert_eq!(tool.json(&["jobs", "follow", &id])["state"], "completed");
}

fn interrupt(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status();
    assert!(killed.expect("kill is there").success());
}

/// Whether a process does not simply end at Ctrl-C, by the mask of the signals that it catches.
fn catches_interrupts(pid: u32) -> bool {
    const SIGINT: u64 = 2;
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (SIGINT - 1)) != 0
}

#[tokio::test]
async fn a_job_that_nobody_begins_is_told_of_and_can_be_followed_later() {
    let (tool, _host, _) = nobody_runs_imports().await;
    let file = InBucket::new(&tool.campaign, csv(10));
    let args = ["import", "--bucket-key", &file.key];
    let mut import = tool.command(&args).spawn().expect("the built host can be run");
    let lines = BufReader::new(import.stderr.take().expect("it was asked for as a pipe")).lines();
    let (sender, told) = mpsc::channel();
    // To its end, which comes with that of the command.
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let said: Vec<String> = (0..2).filter_map(|_| told.recv_timeout(Duration::from_secs(60)).ok()).collect();
    interrupt(import.id());
    assert_eq!(import.wait().expect("our own child").code(), Some(130));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("still queued"), "{said:?}");
    let id = said[0].strip_prefix("import ").expect("the id");
    assert_eq!(tool.json(&["jobs", "show", id])["state"], "queued");
}

#[tokio::test]
async fn a_file_that_the_bucket_lacks_ends_an_import_with_3() {
    for tool in with_folders().await {
        let key = format!("codes/{}/tm/nowhere.csv", tool.campaign);
        let output = tool.run(&["import", "--bucket-key", &key]);
        ended_with(3, &output);
        assert!(stderr(&output).contains("the bucket has no file of this key"), "{output:?}");
    }
}

#[tokio::test]
async fn dry_runs_are_marked_in_the_list() {
    let [tool, _] = with_folders().await;
    let file = InBucket::new(&tool.campaign, "A1\n");
    succeeded(&tool.run(&["import", "--bucket-key", &file.key, "--dry-run"]));
    let table = succeeded(&tool.run(&["jobs", "list"]));
    assert!(table.lines().next().expect("a header").contains(" dry run "), "{table}");
    assert_eq!(table.lines().nth(1).expect("one import").split_whitespace().nth(8), Some("yes"), "{table}");
}

#[tokio::test]
async fn codes_are_exported_into_the_bucket_by_a_host_and_followed() {
    for tool in with_folders().await {
        tool.save(&["A1", "B2"]);
        succeeded(&tool.run(&["assign", "B2"]));
        let output =
            tool.run(&["export", "--to-bucket", "--status", "available", "--format", "csv", "--json"]);
        succeeded(&output);
        let job = &objects(&output)[0];
        assert_eq!(
            ["kind", "state", "out"].map(|name| &job[name]),
            [&json!("export"), &json!("completed"), &json!(1)]
        );
        let id = job["id"].as_str().expect("a text");
        assert_eq!(stderr(&output), format!("export {id}\n"));
        let file = bucket().join(job["file"].as_str().expect("a text"));
        let text = std::fs::read_to_string(&file).expect("it is in the bucket");
        assert!(
            text.starts_with("code,type,") && text.contains("\nA1,tm,") && !text.contains("B2"),
            "{text}"
        );
        std::fs::remove_dir_all(file.parent().expect("in a folder")).expect("ours");

        assert_eq!(&tool.json(&["jobs", "show", id]), job);
        assert_eq!(&tool.json(&["jobs", "follow", id]), job);
        assert_eq!(&tool.json(&["jobs", "cancel", id]), job);
        let table = succeeded(&tool.run(&["jobs", "list"]));
        let row: Vec<&str> = table.lines().nth(1).expect("one export").split_whitespace().collect();
        assert_eq!(row[..4], [id, "export", "completed", "1"]);
    }
}

#[tokio::test]
async fn an_export_into_the_bucket_can_be_cancelled_before_it_has_begun() {
    let (tool, _host, _) = nobody_runs_imports().await;
    let id = succeeded(&tool.run(&["export", "--to-bucket", "--no-wait"]));
    let table = succeeded(&tool.run(&["jobs", "cancel", id.trim_end()]));
    assert_eq!(["kind", "state"].map(|name| field(&table, name)), ["export", "cancelled"]);
    let said = failed(&tool.run(&["jobs", "follow", id.trim_end()]));
    assert!(said.contains("the export was cancelled"), "{said}");
}

#[tokio::test]
async fn the_newest_job_is_listed_first_of_whatever_kind() {
    let (tool, _host, _) = nobody_runs_imports().await;
    let file = InBucket::new(&tool.campaign, csv(10));
    begin(&tool, &file);
    succeeded(&tool.run(&["export", "--to-bucket", "--no-wait"]));
    begin(&tool, &file);
    let list = tool.json(&["jobs", "list"]);
    let kinds = list["jobs"].as_array().expect("a list").iter().map(|job| job["kind"].as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["import", "export", "import"].map(Some));
}

#[tokio::test]
async fn a_host_that_comes_back_is_followed_on() {
    let relay = Relay::start(ground().await.host.port(), &[0, 0]);
    let [_, mut tool] = with_folders().await;
    let file = InBucket::new(&tool.campaign, csv(10));
    let id = begin(&tool, &file);
    tool = tool.with(&[("CODE_SERVICE_URL", &relay.url())]);
    assert_eq!(tool.json(&["jobs", "follow", &id])["state"], "completed");
    assert!(relay.connections() > 2, "the first two broke off");
}
