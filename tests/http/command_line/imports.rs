//! `import`.

use std::io::Write as _;

use code_service_tests::Host;
use serde_json::json;

use super::tool::{Scratch, objects, remote, tools};
use super::{ended_with, failed, failed_with, number, stderr, succeeded};
use crate::client::csv;

/// Packed by gzip, in two pieces that were put together.
fn packed(name: &str, text: &str) -> Scratch {
    let (first, second) = text.split_at(text.len() / 2);
    let gzip = |text: &str| {
        let mut child = std::process::Command::new("gzip")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("gzip is there");
        let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
        let text = text.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().expect("our own child");
        writer.join().expect("it does not panic").expect("gzip reads");
        output.stdout
    };
    Scratch::with(name, [gzip(first), gzip(second)].concat())
}

#[tokio::test]
async fn import_saves_a_file_and_lists_its_bad_rows() {
    for tool in tools().await {
        let file = Scratch::with("codes.csv", "code\nA1\nA2\nA3\nB\u{0}AD\n");
        let output = tool.run(&["import", file.path(), "--type", "tm"]);
        let table = ended_with(9, &output);
        let numbers = ["in", "inserted", "updated", "rejected"].map(|word| number(&table, word));
        assert_eq!(numbers, [4, 3, 0, 1]);
        let said = stderr(&output);
        let lines: Vec<&str> = said.lines().collect();
        let sentence = "code-service-host: 1 of 4 rows were rejected";
        assert_eq!(lines, ["row 5: the code holds a control character", sentence]);
        assert_eq!(tool.counts(), [3, 0, 0]);
        let output = tool.run(&["import", file.path(), "--type", "tm", "--json"]);
        failed_with(9, &output);
        let saved = json!({
            "count": {"in": 4, "inserted": 0, "updated": 3, "rejected": 1},
            "rejected": [{"row": 5, "reason": "holds a control character"}],
        });
        assert_eq!(objects(&output), [saved]);
    }
}

#[tokio::test]
async fn rejected_rows_are_written_to_a_file_if_one_is_named() {
    for tool in tools().await {
        let rejected = Scratch::new("rejected.csv");
        let args = ["import", "-", "--type", "tm", "--rejected", rejected.path()];
        let output = tool.feed(&args, "A1\nB\u{0}AD\n");
        failed_with(9, &output);
        assert_eq!(rejected.read(), "row,reason\n2,holds a control character\n");
    }
}

#[tokio::test]
async fn import_reads_standard_input() {
    for tool in tools().await {
        let table = succeeded(&tool.feed(&["import", "-", "--type", "external"], "A1\nA2\n"));
        assert_eq!((number(&table, "in"), number(&table, "inserted")), (2, 2));
    }
}

#[tokio::test]
async fn import_unpacks_a_file_whose_name_ends_with_gz() {
    for tool in tools().await {
        let file = packed("codes.csv.gz", &csv(20_000));
        let table = succeeded(&tool.run(&["import", file.path(), "--type", "tm"]));
        assert_eq!((number(&table, "inserted"), number(&table, "rejected")), (20_000, 0));
    }
}

#[tokio::test]
async fn a_file_that_is_packed_only_by_its_name_is_refused() {
    for tool in tools().await {
        let file = Scratch::with("codes.csv.gz", "A1\n");
        let output = tool.run(&["import", file.path(), "--type", "tm"]);
        assert_ne!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(tool.counts(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn import_reads_ndjson_by_name_or_format() {
    for tool in tools().await {
        let lines = "\"A1\"\n{\"code\":\"A2\",\"type\":\"other\"}\n\nnonsense\n";
        let file = Scratch::with("codes.ndjson", lines);
        let output = tool.run(&["import", file.path(), "--type", "tm"]);
        let table = ended_with(9, &output);
        assert_eq!((number(&table, "inserted"), number(&table, "rejected")), (2, 1));
        assert!(stderr(&output).starts_with("row 4: "), "{output:?}");
        let again = tool.feed(&["import", "-", "--type", "tm", "--format", "ndjson"], lines);
        let table = ended_with(9, &again);
        assert_eq!((number(&table, "updated"), number(&table, "rejected")), (2, 1));
        assert_eq!(tool.counts(), [2, 0, 0]);
    }
}

#[tokio::test]
async fn what_was_exported_can_be_imported() {
    for tool in tools().await {
        tool.save(&["A1", "\"B,2\""]);
        for name in ["codes.csv", "codes.ndjson"] {
            let file = Scratch::new(name);
            succeeded(&tool.run(&["export", file.path()]));
            let codes = tool.json(&["import", file.path(), "--type", "tm"]);
            assert_eq!(codes["count"]["inserted"], 0, "{name} has other codes: {codes}");
        }
    }
}

#[tokio::test]
async fn import_of_a_file_that_is_not_there_names_it() {
    for tool in tools().await {
        let said = failed(&tool.run(&["import", "nowhere.csv", "--type", "tm"]));
        assert!(said.contains("nowhere.csv"), "{said}");
        let folder = std::env::temp_dir();
        let output = tool.run(&["import", folder.to_str().expect("plain"), "--type", "tm"]);
        assert!(failed(&output).contains("folder"));
    }
}

#[tokio::test]
async fn a_file_that_is_too_long_for_the_host_is_refused_by_it() {
    let tool = remote().await;
    let ground = super::tool::ground().await;
    let host = crate::client::builder(&ground.uri).env("TITAN_SERVICE__UPLOAD_LIMIT", "2000").start();
    let file = Scratch::with("codes.csv", csv(1_000));
    let tool = tool.with(&[("CODE_SERVICE_URL", &host.url(""))]);
    let said = failed_with(2, &tool.run(&["import", file.path(), "--type", "tm"]));
    assert!(said.contains("bodyTooLarge: ") && said.contains("2000"), "{said}");
    assert_eq!(tool.counts(), [0, 0, 0]);
}

#[tokio::test]
async fn a_file_is_neither_tried_nor_queued_but_only_one_of_the_bucket() {
    for tool in tools().await {
        let file = Scratch::with("codes.csv", "A1\n");
        for argument in ["--dry-run", "--no-wait"] {
            let said = failed_with(2, &tool.run(&["import", file.path(), "--type", "tm", argument]));
            assert!(said.contains("--bucket-key"), "{said}");
            assert_eq!(tool.counts(), [0, 0, 0]);
        }
    }
}

#[tokio::test]
async fn a_file_for_rejected_rows_is_made_before_anything_is_saved() {
    for tool in tools().await {
        let rejected = Scratch::new("folder").path().to_owned() + "/rejected.csv";
        let file = Scratch::with("codes.csv", "A1\n");
        let output = tool.run(&["import", file.path(), "--type", "tm", "--rejected", &rejected]);
        assert!(failed(&output).contains(&rejected), "{output:?}");
        assert_eq!(tool.counts(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn a_packed_file_that_was_cut_is_told_by_its_name() {
    for tool in tools().await {
        let file = packed("codes.csv.gz", &csv(20_000));
        let content = std::fs::read(file.path()).expect("the file is there");
        std::fs::write(file.path(), &content[..content.len() - 100]).expect("ours");
        let said = failed(&tool.run(&["import", file.path(), "--type", "tm"]));
        assert!(said.contains(file.path()) && said.contains("gzip"), "{said}");
    }
}

#[test]
fn a_file_needs_a_type() {
    let output = Host::run(&["import", "codes.csv", "--campaign", "tour"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("--type"), "{output:?}");
}
