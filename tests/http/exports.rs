//! Exports into the bucket: queued, run by whatever host is there, looked up, cancelled.

use std::sync::Arc;
use std::time::Duration;

use code_service_tests::s3::Fault;
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Api, bucket, builder, csv, prepared, send, until};
use crate::export::{on_a_server, on_a_server_with};
use crate::s3::Bucket;

/// So many that a file of them is more than one part of S3, which has five megabytes.
const SEVERAL_PARTS: usize = 100_000;

impl Api {
    async fn begin_export(&self, query: &str) -> Answer {
        send(self.request(Method::POST, &format!("/:campaign/exports{query}"))).await
    }

    async fn export(&self, id: &str) -> Value {
        self.get(&format!("/:campaign/exports/{id}")).await.data()
    }

    async fn until_export(&self, id: &str, state: &str) -> Value {
        let start = std::time::Instant::now();
        loop {
            let export = self.export(id).await;
            if export["state"] == state {
                return export;
            }
            assert!(start.elapsed() < Duration::from_secs(90), "in vain until it is {state}: {export}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What an export writes into the bucket.
    async fn exported(&self, query: &str) -> String {
        let id = queued(&self.begin_export(query).await);
        let done = self.until_export(&id, "completed").await;
        let text = written(&done);
        assert_eq!(done["bytes"], text.len());
        text
    }
}

#[track_caller]
fn queued(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.json()["data"]["id"].as_str().expect("an id").to_owned()
}

fn written(export: &Value) -> String {
    let file = bucket().join(export["file"].as_str().expect("a key"));
    let text = std::fs::read_to_string(&file).expect("the file is there");
    std::fs::remove_file(file).expect("it is ours");
    text
}

#[tokio::test]
async fn all_codes_are_written_into_the_bucket_as_they_are_exported() {
    let api = Api::shared().await;
    api.upload("tm", csv(12_000)).await.data();
    api.reserve(3).await;
    let answer = api.begin_export("").await;
    let id = queued(&answer);
    assert_eq!(answer.header("location"), format!("/{}/exports/{id}", api.campaign));
    let done = api.until_export(&id, "completed").await;
    assert_eq!((&done["out"], done["ended"].is_string()), (&json!(12_000), true));
    assert_eq!(api.get(answer.header("location")).await.data(), done);
    assert_eq!(api.get("/:campaign/exports").await.data(), json!({ "exports": [done] }));
    let streamed = api.get("/:campaign/codes").await.body;
    assert_eq!(written(&done), streamed, "the same as in a reply");
}

#[tokio::test]
async fn an_export_has_the_filters_and_forms_of_a_reply() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    api.upload("external", "B1\nB2\n").await.data();
    api.post("/:campaign/assign", json!({ "codes": ["A2"] })).await.data();
    let ndjson = api.exported("?type=tm&status=assigned").await;
    assert_eq!(ndjson, api.get("/:campaign/codes?type=tm&status=assigned").await.body);
    assert_eq!(ndjson.lines().count(), 1);
    let columns = api.exported("?format=csv&type=external&after=B1&savedSince=2026-01-01T00:00:00Z").await;
    let lines: Vec<&str> = columns.lines().collect();
    assert_eq!(lines[0], "code,type,status,saved,reserved,assigned,reserveId");
    assert!(lines.len() == 2 && lines[1].starts_with("B2,external,available,"), "{columns}");
    let nothing = api.exported("?reserveId=none&savedBefore=2026-01-01T00:00:00Z").await;
    assert_eq!(nothing, "");
}

#[tokio::test]
async fn a_bad_argument_of_an_export_is_named() {
    let api = Api::quiet().await;
    for (query, field) in
        [("?format=xml", "format"), ("?assignedSince=yesterday", "assignedSince"), ("?colour=red", "colour")]
    {
        let answer = api.begin_export(query).await;
        assert_eq!(answer.error(400, "invalid_argument")["field"], field);
    }
    assert_eq!(api.get("/:campaign/exports").await.data(), json!({ "exports": [] }));
}

#[tokio::test]
async fn an_export_needs_a_bucket() {
    let api = Api::start(|host| host.env(crate::client::LOCAL_PATH, "")).await;
    api.begin_export("").await.error(503, "unavailable");
}

#[tokio::test]
async fn what_is_no_export_of_the_campaign_is_404() {
    let (api, other) = (Api::shared().await, Api::shared().await);
    let id = queued(&other.begin_export("").await);
    written(&other.until_export(&id, "completed").await);
    for id in ["none", &id] {
        api.get(&format!("/:campaign/exports/{id}")).await.error(404, "not_found");
        send(api.request(Method::DELETE, &format!("/:campaign/exports/{id}"))).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn an_export_that_waits_is_cancelled_and_writes_nothing() {
    let api = Api::start(|host| host.env("TITAN_IMPORTS__RUN", "false")).await;
    api.save(&["A1"]).await;
    let id = queued(&api.begin_export("").await);
    let cancelled = send(api.request(Method::DELETE, &format!("/:campaign/exports/{id}"))).await.data();
    assert_eq!(cancelled["state"], "cancelled");
    let file = bucket().join(cancelled["file"].as_str().expect("a key"));
    let other = Api::of(builder(&uri(&api)).start(), api.db.clone());
    // It would be run by now.
    let next = queued(&send(other.request(Method::POST, "/:campaign/exports")).await);
    written(&other.until_export(&next, "completed").await);
    assert!(!file.exists());
}

fn uri(api: &Api) -> String {
    let host = &code_service_tests::Mongod::shared();
    host.uri_for(api.db.name())
}

#[tokio::test]
async fn an_export_that_cannot_be_written_fails_and_says_why() {
    let test = prepared().await;
    // A file stands where the folder of all exports would be.
    let folder = bucket().join(format!("read-only-{}", test.name));
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join("exports"), "").expect("writable");
    let host = builder(&test.uri).env(crate::client::LOCAL_PATH, &folder).start();
    let api = Api::of(host, test.db);
    let id = queued(&api.begin_export("").await);
    let failed = api.until_export(&id, "failed").await;
    let why = failed["error"].as_str().expect("a reason");
    assert!(why.starts_with("the bucket cannot be written to"), "{why}");
    std::fs::remove_dir_all(folder).expect("ours");
}

#[tokio::test]
async fn an_export_that_meets_what_is_no_code_fails_and_others_go_on() {
    let api = Api::start(|host| host).await;
    let bad = doc! { "_id": { "campaign_id": &api.campaign, "code": "B" }, "type": 7, "date": {} };
    api.db.collection("codes").insert_one(bad).await.expect("insert");
    api.save(&["A", "C"]).await;
    let id = queued(&api.begin_export("").await);
    let other = queued(&api.begin_export("?after=B").await);
    let failed = api.until_export(&id, "failed").await;
    assert_eq!((&failed["out"], &failed["bytes"]), (&json!(0), &json!(0)));
    let why = failed["error"].as_str().expect("a reason");
    assert!(why.contains("type"), "{why}");
    assert!(!bucket().join(failed["file"].as_str().expect("a key")).exists());
    assert_eq!(written(&api.until_export(&other, "completed").await).lines().count(), 1);
}

/// Each batch of a cursor takes a second.
async fn slow_batches(api: &Api) {
    let slow = doc! { "failCommands": ["getMore"], "blockConnection": true, "blockTimeMS": 1_000 };
    let point = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": slow };
    api.db.client().database("admin").run_command(point).await.expect("test commands are enabled");
}

#[tokio::test]
async fn an_export_that_runs_is_cancelled_and_leaves_nothing() {
    let (api, _server) = on_a_server().await;
    api.upload("tm", csv(100_000)).await.data();
    slow_batches(&api).await;
    let id = queued(&api.begin_export("").await);
    api.until_export(&id, "running").await;
    let path = format!("/:campaign/exports/{id}");
    assert_eq!(send(api.request(Method::DELETE, &path)).await.data()["state"], "running");
    let cancelled = api.until_export(&id, "cancelled").await;
    assert_eq!((&cancelled["out"], &cancelled["bytes"]), (&json!(0), &json!(0)));
    let file = bucket().join(cancelled["file"].as_str().expect("a key"));
    assert!(
        std::fs::read_dir(file.parent().expect("a folder")).is_ok_and(|mut files| files.next().is_none())
    );
}

#[tokio::test]
async fn an_export_whose_host_is_killed_is_written_whole_by_another() {
    let test = prepared().await;
    let first = Api::of(builder(&test.uri).start(), test.db.clone());
    first.upload("tm", (0..200_000).map(|number| format!("D{number}X\n")).collect::<String>()).await.data();
    let id = queued(&first.begin_export("").await);
    let running = first.until_export(&id, "running").await;
    let campaign = first.campaign.clone();
    drop(first);
    let file = bucket().join(running["file"].as_str().expect("a key"));
    assert!(!file.exists(), "a part of it is nothing that anybody sees");
    let mut second = Api::of(builder(&test.uri).start(), test.db);
    second.campaign = campaign;
    let done = second.until_export(&id, "completed").await;
    assert_eq!(done["out"], 200_000);
    assert_eq!(written(&done).lines().count(), 200_000);
}

#[tokio::test]
async fn an_export_is_written_into_s3_in_parts() {
    let bucket = Bucket::new().await;
    let api = Api::start(|host| bucket.with_keys(host)).await;
    api.upload("tm", csv(SEVERAL_PARTS)).await.data();
    // To its beginning it says yes, and not at once to two parts of it.
    let busy = |status| Fault::Answer(status, String::new());
    bucket.proxy.faults([Fault::None, busy(503), busy(500)], Fault::None);
    let id = queued(&api.begin_export("").await);
    let done = api.until_export(&id, "completed").await;
    assert_eq!(done["out"], SEVERAL_PARTS);
    let written = bucket.object(done["file"].as_str().expect("a key")).await.expect("it is there");
    assert_eq!(done["bytes"], written.len());
    assert!(written.len() > 5 << 20, "one part only: {} bytes", written.len());
    assert!(written == api.get("/:campaign/codes").await.body, "not the same as in a reply");
    assert_eq!(bucket.uploads().await, 0);
    let parts = bucket.proxy.asked().iter().filter(|asked| asked.line.contains("partNumber=")).count();
    assert!(parts >= 4, "two of them twice: {parts}");
}

#[tokio::test]
async fn an_export_into_s3_that_is_cancelled_leaves_neither_a_file_nor_parts_of_one() {
    let bucket = Bucket::new().await;
    let (api, _server) = on_a_server_with(|host| bucket.with_keys(host)).await;
    api.upload("tm", csv(SEVERAL_PARTS)).await.data();
    slow_batches(&api).await;
    let id = queued(&api.begin_export("").await);
    until("it is being written", async || bucket.uploads().await == 1).await;
    send(api.request(Method::DELETE, &format!("/:campaign/exports/{id}"))).await.data();
    let cancelled = api.until_export(&id, "cancelled").await;
    assert_eq!(bucket.object(cancelled["file"].as_str().expect("a key")).await, None);
    until("its parts are thrown away", async || bucket.uploads().await == 0).await;
}

#[tokio::test]
async fn an_export_into_s3_whose_host_stops_leaves_no_parts() {
    let bucket = Bucket::new().await;
    let (mut api, _server) = on_a_server_with(|host| bucket.with_keys(host)).await;
    api.upload("tm", csv(SEVERAL_PARTS)).await.data();
    slow_batches(&api).await;
    queued(&api.begin_export("").await);
    until("it is being written", async || bucket.uploads().await == 1).await;
    assert_eq!(Arc::get_mut(&mut api.host).expect("nobody else has it").stop(), 0);
    assert_eq!(bucket.uploads().await, 0);
}

#[tokio::test]
async fn an_export_that_s3_does_not_take_fails_and_says_why() {
    let bucket = Bucket::new().await;
    let api = Api::start(|host| bucket.with_keys(host)).await;
    api.save(&["A"]).await;
    let refusals = [
        (403, "the service may not do that there"),
        (404, "the bucket, or the file that was begun, is not there"),
    ];
    for (status, why) in refusals {
        bucket.proxy.faults([], Fault::Answer(status, String::new()));
        let id = queued(&api.begin_export("").await);
        let failed = api.until_export(&id, "failed").await;
        assert_eq!(failed["error"], format!("the bucket cannot be written to: {why}"));
    }
}
