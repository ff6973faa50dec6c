//! Imports that outlive their requests: queued, run by whatever host is there, looked up, cancelled, undone.

use std::io::Write;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Api, bucket, builder, csv, prepared, send};

impl Api {
    /// Puts a file of another name into the bucket.
    fn put_file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let key = self.put_in_bucket("tm", "");
        let file = bucket().join(&key).with_file_name(name);
        std::fs::write(file, content).expect("the target folder is writable");
        key.replace("file.csv", name)
    }

    pub(crate) async fn queue(&self, key: &str) -> Answer {
        let request = self.request(Method::POST, "/:campaign/codes").json(&json!({ "fileKey": key }));
        send(request.header("prefer", "wait=5, Respond-Async")).await
    }

    pub(crate) async fn import(&self, id: &str) -> Value {
        self.get(&format!("/:campaign/imports/{id}")).await.data()
    }

    /// Waits until an import stands so.
    pub(crate) async fn until_import(&self, id: &str, state: &str) -> Value {
        let start = std::time::Instant::now();
        loop {
            let import = self.import(id).await;
            if import["state"] == state {
                return import;
            }
            assert!(start.elapsed() < Duration::from_secs(90), "in vain until it is {state}: {import}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn completed(&self, key: &str) -> Value {
        let id = queued(&self.queue(key).await);
        self.until_import(&id, "completed").await
    }

    async fn undo(&self, id: &str) -> Answer {
        send(self.request(Method::POST, &format!("/:campaign/imports/{id}/undo"))).await
    }

    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        send(self.request(Method::DELETE, &format!("/:campaign/imports/{id}"))).await
    }
}

/// The id of an import that was just queued.
#[track_caller]
pub(crate) fn queued(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.json()["data"]["id"].as_str().expect("an id").to_owned()
}

pub(crate) fn counts(import: &Value) -> Value {
    json!([import["in"], import["inserted"], import["updated"], import["rejected"]])
}

pub(crate) fn gzip(content: &str) -> Vec<u8> {
    let mut program = std::process::Command::new("gzip");
    let mut gzip = program
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip");
    gzip.stdin.take().expect("piped").write_all(content.as_bytes()).expect("it reads");
    gzip.wait_with_output().expect("it ends").stdout
}

#[tokio::test]
async fn who_prefers_not_to_wait_is_told_where_to_look() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("tm", csv(12_000));
    let answer = api.queue(&key).await;
    let id = queued(&answer);
    assert_eq!(answer.header("location"), format!("/{}/imports/{id}", api.campaign));
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let data = &answer.json()["data"];
    assert_eq!((&data["state"], counts(data)), (&json!("queued"), json!([0, 0, 0, 0])));
    assert_eq!(
        (&data["campaignId"], &data["type"], &data["file"]),
        (&json!(api.campaign), &json!("tm"), &json!(key))
    );

    let done = api.get(answer.header("location")).await.data();
    assert_eq!(done["id"], id.as_str(), "the place can be asked");
    let done = api.until_import(&id, "completed").await;
    assert_eq!(counts(&done), json!([12_000, 12_000, 0, 0]));
    assert_eq!(done["bytes"], done["size"]);
    assert_eq!(done["size"], csv(12_000).len());
    assert!(done["rate"].as_u64() > Some(0) && done["ended"].is_string(), "{done}");
    let count = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(count["available"], 12_000);
    let list = api.get("/:campaign/imports").await.data();
    assert_eq!(list, json!({ "imports": [done] }));
}

#[tokio::test]
async fn without_that_preference_the_reply_has_the_counts_as_ever() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("tm", csv(10));
    let request = api.request(Method::POST, "/:campaign/codes").json(&json!({ "fileKey": key }));
    let answer = send(request.header("prefer", "return=minimal")).await;
    assert_eq!(answer.data(), json!({ "count": { "in": 10, "inserted": 10, "updated": 0 } }));
}

#[tokio::test]
async fn a_large_file_is_imported_after_the_reply() {
    let api = Api::start(|host| host.env("TITAN_IMPORTS__ASYNC_BYTES", "69")).await;
    let small = api.put_file("small.csv", csv(9));
    assert_eq!(
        api.post("/:campaign/codes", json!({ "fileKey": small })).await.data()["count"]["inserted"],
        9
    );
    let large = api.put_file("large.csv", csv(10));
    let id = queued(&api.post("/:campaign/codes", json!({ "fileKey": large })).await);
    assert_eq!(counts(&api.until_import(&id, "completed").await), json!([10, 1, 9, 0]));
}

#[tokio::test]
async fn a_file_may_be_ndjson_and_compressed() {
    let api = Api::shared().await;
    let lines = "\"A1\"\n{\"code\":\"A2\",\"type\":\"x\"}\n";
    for (name, content, inserted) in [
        ("a.ndjson", lines.as_bytes().to_vec(), 2),
        ("b.csv.gz", gzip("code\nB1\nB2\nB3\n"), 3),
        // Whatever is said of it.
        ("d.csv", gzip("code\nD1\nD2\n"), 2),
        // Files behind each other are one.
        ("c.jsonl.gz", [gzip("\"C1\"\n"), gzip("\"C2\"\n")].concat(), 2),
    ] {
        let key = api.put_file(name, &content);
        let saved = api.post("/:campaign/codes", json!({ "fileKey": key })).await.data();
        assert_eq!(saved["count"], json!({ "in": inserted, "inserted": inserted, "updated": 0 }), "{name}");
        assert_eq!(counts(&api.completed(&key).await), json!([inserted, 0, inserted, 0]), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_fails_an_import() {
    let api = Api::shared().await;
    let whole = gzip(&csv(1_000));
    for (name, content) in
        [("no.csv.gz", b"A1\nA2\n".to_vec()), ("half.csv.gz", whole[..whole.len() / 2].to_vec())]
    {
        let key = api.put_file(name, content);
        let error = api.post("/:campaign/codes", json!({ "fileKey": key })).await.error(400, "invalidFile");
        let message = "the file is no gzip, or not all of one; rows before that may be saved";
        assert_eq!(error["message"], message);
        let id = queued(&api.queue(&key).await);
        let failed = api.until_import(&id, "failed").await;
        assert_eq!(failed["error"], "the file is no gzip, or not all of one", "{name}");
    }
}

#[tokio::test]
async fn a_file_must_be_there_when_its_import_is_queued() {
    let api = Api::shared().await;
    let key = format!("codes/{}/tm/none.csv", api.campaign);
    api.queue(&key).await.error(404, "fileNotFound");
    api.queue("codes/other/tm/a.csv").await.error(404, "invalidFileKey");
    assert_eq!(api.get("/:campaign/imports").await.data(), json!({ "imports": [] }));
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let api = Api::shared().await;
    api.save(&["C00001"]).await;
    let key = api.put_in_bucket("tm", csv(3) + "a\u{7f}\n");
    let id = queued(&api.post("/:campaign/codes", json!({ "fileKey": key, "dryRun": true })).await);
    let done = api.until_import(&id, "completed").await;
    assert_eq!((&done["dryRun"], counts(&done)), (&json!(true), json!([4, 2, 1, 1])));
    assert_eq!(api.stored().await.len(), 1);
    let refused = api.post("/:campaign/codes", json!({ "fileKey": key, "dryRun": "yes" })).await;
    assert_eq!(refused.error(400, "invalid_argument")["field"], "dryRun");
    assert_eq!(api.undo(&id).await.error(400, "invalid_argument")["field"], "state");
}

#[tokio::test]
async fn every_rejected_row_can_be_fetched() {
    let api = Api::shared().await;
    let bad: String = (0..2_500).map(|_| "a\u{7f}\n").collect();
    let key = api.put_in_bucket("tm", format!("code\nA1\n{bad}{}\n", "x".repeat(300)));
    let done = api.completed(&key).await;
    assert_eq!(counts(&done), json!([2_502, 1, 0, 2_501]));
    let report =
        api.get(&format!("/:campaign/imports/{}/rejected", done["id"].as_str().expect("an id"))).await;
    assert_eq!((report.status, report.header("content-type")), (200, "text/csv; charset=utf-8"));
    let lines: Vec<&str> = report.body.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[1]), (2_502, "row,reason", "3,\"holds a control character\""));
    assert_eq!(lines[2_501], "2503,\"is too long: at most 256 bytes (a type: 64)\"");
}

#[tokio::test]
async fn an_import_is_undone_unless_a_code_is_held() {
    let api = Api::shared().await;
    api.save(&["OLD"]).await;
    let key = api.put_in_bucket("tm", csv(6_000) + "OLD\n");
    let done = api.completed(&key).await;
    let id = done["id"].as_str().expect("an id");
    let held = api.reserve(1).await;
    let answer = api.undo(id).await;
    assert_eq!((answer.status, answer.json()["data"]["state"].as_str()), (202, Some("undoing")));
    let as_before = api.until_import(id, "completed").await;
    let why = as_before["error"].as_str().expect("a reason");
    // The old code may be the one that is held.
    if held != ["OLD"] {
        assert!(why.starts_with("nothing was removed: at least 1 of its codes are reserved"), "{why}");
        api.post("/:campaign/release", json!({ "codes": held })).await.data();
        api.undo(id).await;
    }
    let undone = api.until_import(id, "undone").await;
    assert_eq!(undone["undo"], json!({ "removed": 6_000, "kept": 0, "savedAgain": 0 }));
    assert_eq!(api.stored().await.len(), 1);
}

#[tokio::test]
async fn an_import_that_runs_can_be_cancelled() {
    let api = Api::start(|host| host).await;
    let rows: String = (0..400_000).map(|number| format!("D{number}X\n")).collect();
    let key = api.put_in_bucket("tm", rows);
    let id = queued(&api.queue(&key).await);
    api.undo(&id).await.error(400, "invalid_argument");
    api.until_import(&id, "running").await;
    assert_eq!(api.cancel(&id).await.data()["id"], id.as_str());
    let cancelled = api.until_import(&id, "cancelled").await;
    assert!(cancelled["in"].as_u64() < Some(400_000), "{cancelled}");
    assert_eq!(api.stored().await.len() as u64, cancelled["inserted"].as_u64().expect("a number"));
}

#[tokio::test]
async fn what_is_no_import_of_the_campaign_is_404() {
    let api = Api::shared().await;
    let other = Api::shared().await;
    let key = other.put_in_bucket("tm", "A1\n");
    let id = other.completed(&key).await["id"].as_str().expect("an id").to_owned();
    for id in ["none", &id] {
        api.get(&format!("/:campaign/imports/{id}")).await.error(404, "not_found");
        api.get(&format!("/:campaign/imports/{id}/rejected")).await.error(404, "not_found");
        api.undo(id).await.error(404, "not_found");
        api.cancel(id).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn jobs_are_for_supreme_users_only() {
    let api = Api::quiet().await;
    for (method, path) in [
        (Method::POST, "/:campaign/exports"),
        (Method::GET, "/:campaign/exports"),
        (Method::GET, "/:campaign/exports/some"),
        (Method::DELETE, "/:campaign/exports/some"),
        (Method::GET, "/:campaign/imports"),
        (Method::GET, "/:campaign/imports/some"),
        (Method::DELETE, "/:campaign/imports/some"),
        (Method::POST, "/:campaign/imports/some/undo"),
        (Method::GET, "/:campaign/imports/some/rejected"),
    ] {
        api.refused(api.anonymous(method, path), 403, "supremeUserRequired").await;
    }
}

/// A second host on the database of the first.
pub(crate) async fn another(uri: &str) -> Api {
    let client = mongodb::Client::with_uri_str(uri).await.expect("our own connection string");
    let db = client.default_database().expect("named in the path");
    Api::of(builder(uri).start(), db)
}

const MANY: usize = 300_000;

fn many() -> String {
    (0..MANY).map(|number| format!("D{number}X\n")).collect()
}

#[tokio::test]
async fn an_import_whose_host_is_killed_is_gone_on_with_by_another_within_a_minute() {
    let test = prepared().await;
    let mut first = another(&test.uri).await;
    let id = queued(&first.queue(&first.put_in_bucket("tm", many())).await);
    let mut second = another(&test.uri).await;
    second.campaign.clone_from(&first.campaign);
    let runs = async |api: &Api| api.import(&id).await["in"].as_u64() > Some(0);
    crate::client::until("it has saved some", async || runs(&first).await).await;
    // Whoever of the two runs it.
    let ran = |api: &Api| api.host.lines().iter().any(|line| line.contains("an import begins"));
    let dead = if ran(&first) { &mut first } else { &mut second };
    let host = std::sync::Arc::get_mut(&mut dead.host).expect("nobody else has it");
    host.signal("KILL");
    host.wait();
    let alive = if first.http.get(first.url("/heartbeat")).send().await.is_ok() { &first } else { &second };
    let killed = std::time::Instant::now();
    let before = alive.import(&id).await["in"].as_u64().expect("a number");
    crate::client::until("another goes on", async || ran(alive)).await;
    assert!(killed.elapsed() < Duration::from_secs(60));
    let done = alive.until_import(&id, "completed").await;
    assert!(before < MANY as u64, "it was not done yet");
    assert_eq!(counts(&done), json!([MANY, MANY, 0, 0]));
    assert_eq!(alive.stored().await.len(), MANY);
}

#[tokio::test]
async fn an_import_whose_host_is_stopped_is_gone_on_with_at_once() {
    let test = prepared().await;
    let mut first = another(&test.uri).await;
    let id = queued(&first.queue(&first.put_in_bucket("tm", many())).await);
    crate::client::until("it has saved some", async || first.import(&id).await["in"].as_u64() > Some(0))
        .await;
    let mut second = another(&test.uri).await;
    second.campaign.clone_from(&first.campaign);
    let host = std::sync::Arc::get_mut(&mut first.host).expect("nobody else has it");
    assert_eq!(host.stop(), 0);
    // Far less than a lease.
    second.host.wait_for_line("another goes on", |line| line["message"] == "an import begins, or goes on");
    let done = second.until_import(&id, "completed").await;
    assert_eq!(counts(&done), json!([MANY, MANY, 0, 0]));
}

#[tokio::test]
async fn a_host_that_shall_not_run_imports_queues_them_for_others() {
    let test = prepared().await;
    let front = Api::of(builder(&test.uri).env("TITAN_IMPORTS__RUN", "false").start(), test.db.clone());
    let id = queued(&front.queue(&front.put_in_bucket("tm", csv(10))).await);
    let mut other = another(&test.uri).await;
    other.campaign.clone_from(&front.campaign);
    assert_eq!(counts(&front.until_import(&id, "completed").await), json!([10, 10, 0, 0]));
    assert!(other.host.lines().iter().any(|line| line.contains(&id)), "the other has run it");
    assert!(!front.host.lines().iter().any(|line| line.contains(&id)), "and not this one");
}
