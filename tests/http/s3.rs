//! Files from a real S3 server: what is asked of it, and what happens when it is slow, silent, broken or away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use code_service_tests::host::Builder;
use code_service_tests::s3::{self, ACCESS_KEY, Asked, Fault, S3, S3Proxy, with_keys};
use mongodb::bson::Uuid;
use serde_json::{Value, json};

use crate::client::{Answer, Api, builder, csv, prepared, until};
use crate::imports::{counts, gzip, queued};

/// The most memory that the host may have resident at any time.
const MEMORY_KIB: u64 = 200 * 1024;
/// As large as several batches of an import.
const ROWS: usize = 20_000;
/// Within the file of so many rows, behind its first batch.
const BEHIND_A_BATCH: usize = 50_000;

/// A bucket of the test's own, behind a proxy of its own.
pub(crate) struct Bucket {
    pub(crate) proxy: S3Proxy,
    name: String,
}

impl Bucket {
    pub(crate) async fn new() -> Bucket {
        let server = tokio::task::spawn_blocking(S3::shared).await.expect("the server starts");
        // As the deployed service's are named.
        let name = format!("prd2011.{}.us-east-1.vf-scoring.tmaws", &Uuid::new().to_string()[..8]);
        server.make(&name).await;
        Bucket { proxy: S3Proxy::start(server.port()), name }
    }

    /// A host of this bucket that has no credentials yet.
    pub(crate) fn of(&self, host: Builder) -> Builder {
        s3::reads(host, &self.name, &self.proxy.url())
    }

    /// A host of this bucket that has credentials.
    pub(crate) fn with_keys(&self, host: Builder) -> Builder {
        with_keys(self.of(host))
    }

    /// The object of this key, if there is one.
    pub(crate) async fn object(&self, key: &str) -> Option<String> {
        S3::shared().get(&self.name, key).await
    }

    /// How many objects are half written.
    pub(crate) async fn uploads(&self) -> usize {
        S3::shared().uploads(&self.name).await
    }

    /// Starts one.
    async fn host(&self, change: impl FnOnce(Builder) -> Builder) -> Api {
        Api::start(|host| change(self.with_keys(host))).await
    }

    /// Puts a file of this name into the bucket; returns its key.
    pub(crate) async fn put(&self, api: &Api, name: &str, content: impl Into<Vec<u8>>) -> String {
        self.put_as(api, name, content, false).await
    }

    async fn put_as(&self, api: &Api, name: &str, content: impl Into<Vec<u8>>, gzip: bool) -> String {
        let key = format!("codes/{}/tm/{name}", api.campaign);
        S3::shared().put(&self.name, &key, content, gzip).await;
        key
    }

    /// How it was asked, once it was so often.
    async fn asked(&self, times: usize) -> Vec<Asked> {
        until("the bucket is asked", async || self.proxy.asked().len() >= times).await;
        self.proxy.asked()
    }
}

impl Api {
    pub(crate) async fn save_from(&self, key: &str) -> Answer {
        self.post("/:campaign/codes", json!({ "fileKey": key })).await
    }

    async fn all_saved_from(&self, key: &str) {
        let count = self.save_from(key).await.data()["count"].take();
        assert_eq!(count, json!({ "in": ROWS, "inserted": ROWS, "updated": 0 }));
    }

    /// Runs an import until it stands so.
    async fn import_until(&self, key: &str, state: &str) -> Value {
        let id = queued(&self.queue(key).await);
        self.until_import(&id, state).await
    }

    async fn until_a_batch_is_saved(&self, id: &str) {
        until("a batch is saved", async || self.import(id).await["in"].as_u64() > Some(0)).await;
    }
}

/// What S3 answers when it refuses.
pub(crate) fn refusal(status: u16) -> Fault {
    Fault::Answer(status, "<Error><Message>S3ERRORBODY</Message></Error>".to_owned())
}

/// All that was asked is one file: from its beginning, and then of the same content behind these places.
#[track_caller]
fn assert_goes_on(asked: &[Asked], places: &[usize]) {
    let etag = asked[0].answer.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an ETag");
    let goes_on = |(asked, place): (&Asked, &usize)| {
        asked.header("range") == format!("bytes={place}-") && asked.header("if-match") == etag
    };
    assert_eq!((asked[0].header("range"), asked.len()), ("", places.len() + 1), "{asked:?}");
    assert!(asked[1..].iter().zip(places).all(goes_on), "{asked:?}");
}

#[tokio::test]
async fn a_file_is_read_by_a_path_that_holds_the_bucket_whatever_is_in_its_name() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "été 1+1.csv", csv(10)).await;
    let saved = api.save_from(&key).await.data();
    assert_eq!(saved["count"], json!({ "in": 10, "inserted": 10, "updated": 0 }));
    let done = api.import_until(&key, "completed").await;
    assert_eq!((counts(&done), &done["bytes"]), (json!([10, 0, 10, 0]), &done["size"]));
    let asked = bucket.proxy.asked();
    let path = format!("/{}/codes/{}/tm/%C3%A9t%C3%A9%201%2B1.csv", bucket.name, api.campaign);
    assert_eq!(asked.len(), 3, "saved, queued, imported");
    for asked in asked {
        assert_eq!((asked.path(), asked.access_key()), (&*path, ACCESS_KEY));
        assert!(asked.header("host").starts_with("127.0.0.1:"), "{asked:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_stored_as_gzip_is_unpacked_whatever_its_name_is() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put_as(&api, "packed.csv", gzip(&csv(10)), true).await;
    assert_eq!(api.save_from(&key).await.data()["count"]["inserted"], 10);
    assert_eq!(counts(&api.import_until(&key, "completed").await), json!([10, 0, 10, 0]));
}

#[tokio::test]
async fn a_slow_bucket_is_read_to_the_end_in_little_memory() {
    let bucket = Bucket::new().await;
    // It is slow for longer than it may be silent.
    let api = bucket.host(|host| host.env("TITAN_IMPORTS__SILENCE", "2s")).await;
    let key = bucket.put(&api, "slow.csv", csv(ROWS)).await;
    bucket.proxy.faults([], Fault::Slow(40_000));
    let start = Instant::now();
    let done = api.import_until(&key, "completed").await;
    assert!(start.elapsed() > Duration::from_secs(3), "it was slow");
    assert_eq!(counts(&done), json!([ROWS, ROWS, 0, 0]));
    assert_eq!(bucket.proxy.asked().len(), 2, "queued, and read at once");
    let peak = api.host.peak_rss_kib();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

#[tokio::test]
async fn a_bucket_that_falls_silent_is_asked_again_for_what_is_missing() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host.env("TITAN_IMPORTS__SILENCE", "3s")).await;
    let key = bucket.put(&api, "silent.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::None, Fault::Silent(30_000), Fault::Silent(20_000)], Fault::None);
    let done = api.import_until(&key, "completed").await;
    assert_eq!((counts(&done), &done["bytes"]), (json!([ROWS, ROWS, 0, 0]), &done["size"]));
    assert_goes_on(&bucket.proxy.asked()[1..], &[30_000, 50_000]);
}

#[tokio::test]
async fn an_import_that_is_cut_goes_on_behind_what_has_come() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "cut.csv", csv(ROWS)).await;
    let cuts = [Fault::None, Fault::Cut(30_000), Fault::Cut(0), Fault::Cut(1), Fault::Cut(29_999)];
    bucket.proxy.faults(cuts, Fault::None);
    let done = api.import_until(&key, "completed").await;
    assert_eq!((counts(&done), &done["bytes"]), (json!([ROWS, ROWS, 0, 0]), &done["size"]));
    assert_goes_on(&bucket.proxy.asked()[1..], &[30_000, 30_000, 30_001, 60_000]);
}

#[tokio::test]
async fn a_compressed_import_that_is_cut_goes_on_behind_what_has_come() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "cut.csv.gz", gzip(&csv(ROWS))).await;
    bucket.proxy.faults([Fault::None, Fault::Cut(1_000), Fault::Cut(9_000)], Fault::None);
    let done = api.import_until(&key, "completed").await;
    assert_eq!((counts(&done), &done["bytes"]), (json!([ROWS, ROWS, 0, 0]), &done["size"]));
    assert_goes_on(&bucket.proxy.asked()[1..], &[1_000, 10_000]);
}

#[tokio::test]
async fn an_upload_that_is_cut_goes_on_behind_what_has_come() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "cut.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::Cut(30_000), refusal(500), Fault::Cut(20_000)], Fault::None);
    api.all_saved_from(&key).await;
    assert_goes_on(&bucket.proxy.asked(), &[30_000, 30_000, 50_000]);
}

#[tokio::test]
async fn a_file_that_is_not_there_or_may_not_be_read_is_404() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let missing = format!("codes/{}/tm/none.csv", api.campaign);
    let known = bucket.put(&api, "a.csv", csv(1)).await;
    for (key, fault) in [(&missing, Fault::None), (&known, refusal(403))] {
        bucket.proxy.faults([], fault);
        let answers = [api.save_from(key).await, api.queue(key).await];
        for answer in answers {
            assert!(!answer.body.contains("S3ERRORBODY"), "{}", answer.body);
            answer.error(404, "fileNotFound");
        }
    }
    assert_eq!(api.get("/:campaign/imports").await.data(), json!({ "imports": [] }));
}

#[tokio::test]
async fn a_file_that_is_gone_when_its_import_runs_fails_it_with_the_reason() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "gone.csv", csv(10)).await;
    for (status, reason) in [
        (404, "the bucket has no file of this key"),
        (403, "the bucket has no file of this key, or does not let the service read it"),
    ] {
        bucket.proxy.faults([Fault::None, refusal(status)], Fault::None);
        let failed = api.import_until(&key, "failed").await;
        assert_eq!((&failed["error"], counts(&failed)), (&json!(reason), json!([0, 0, 0, 0])));
    }
}

#[tokio::test]
async fn a_bucket_that_is_broken_for_a_while_is_asked_again() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "a.csv", csv(ROWS)).await;
    bucket.proxy.faults([refusal(503), refusal(500), refusal(503)], Fault::None);
    api.all_saved_from(&key).await;
    bucket.proxy.faults([Fault::None, refusal(503), refusal(500), refusal(503)], Fault::None);
    assert_eq!(counts(&api.import_until(&key, "completed").await), json!([ROWS, 0, ROWS, 0]));
    assert_eq!(bucket.proxy.asked().len(), 4 + 5);
}

#[tokio::test]
async fn a_caller_is_told_long_before_the_balancer_is_impatient_that_the_bucket_is_away() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "a.csv", csv(10)).await;
    for fault in [refusal(500), Fault::Silent(0)] {
        bucket.proxy.faults([], fault);
        let start = Instant::now();
        let answer = api.save_from(&key).await;
        assert!(!answer.body.contains("S3ERRORBODY"), "{}", answer.body);
        assert_eq!(answer.error(503, "unavailable")["message"], "the bucket cannot be read now");
        let took = start.elapsed();
        assert!(took > Duration::from_secs(10) && took < Duration::from_secs(40), "{took:?}");
    }
}

#[tokio::test]
async fn an_import_fails_in_the_end_if_the_bucket_stays_away() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host.env("TITAN_IMPORTS__PATIENCE", "500ms")).await;
    let key = bucket.put(&api, "a.csv", csv(10)).await;
    bucket.proxy.faults([Fault::None], refusal(500));
    let start = Instant::now();
    let failed = api.import_until(&key, "failed").await;
    assert_eq!(failed["error"], "the bucket cannot be read now");
    assert!(start.elapsed() > Duration::from_secs(20), "it was given time");
}

#[tokio::test]
async fn an_import_goes_on_when_the_bucket_was_away_for_longer_than_one_opening_waits() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host.env("TITAN_IMPORTS__PATIENCE", "300ms")).await;
    let key = bucket.put(&api, "a.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::None, Fault::Cut(BEHIND_A_BATCH)], refusal(503));
    let id = queued(&api.queue(&key).await);
    // Several openings, each of at most three tries.
    bucket.asked(12).await;
    bucket.proxy.faults([], Fault::None);
    assert_eq!(counts(&api.until_import(&id, "completed").await), json!([ROWS, ROWS, 0, 0]));
}

#[tokio::test]
async fn a_file_that_changes_while_an_upload_reads_it_is_never_mixed_with_the_old_one() {
    let bucket = Bucket::new().await;
    let api = Arc::new(bucket.host(|host| host).await);
    let key = bucket.put(&api, "changes.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::Cut(BEHIND_A_BATCH)], refusal(503));
    let (caller, of) = (Arc::clone(&api), key.clone());
    let call = tokio::spawn(async move { caller.save_from(&of).await });
    bucket.asked(2).await;
    bucket.put(&api, "changes.csv", "NEW\n".repeat(ROWS * 2)).await;
    bucket.proxy.faults([], Fault::None);
    let error = call.await.expect("it ends").error(409, "fileChanged");
    let message =
        "the file changed while it was read, and some of its codes may be saved: send the request again";
    assert_eq!(error["message"], message);
    let new = api.stored().await.iter().any(|code| crate::client::code_of(code) == "NEW");
    assert!(!new, "nothing of the new file");
}

#[tokio::test]
async fn a_file_that_changes_under_an_import_fails_it() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host).await;
    let key = bucket.put(&api, "changes.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::None, Fault::Cut(BEHIND_A_BATCH)], refusal(503));
    let id = queued(&api.queue(&key).await);
    bucket.asked(3).await;
    bucket.put(&api, "changes.csv", "NEW\n".repeat(ROWS * 2)).await;
    bucket.proxy.faults([], Fault::None);
    let failed = api.until_import(&id, "failed").await;
    assert_eq!(failed["error"], "the file has changed since the import began");
    let saved = failed["in"].as_u64().expect("a number");
    assert!(saved < ROWS as u64, "{failed}");
    assert_eq!(failed["inserted"], saved, "what is counted is of the old file");
    assert_eq!(api.stored().await.len() as u64, saved);
}

#[tokio::test]
async fn a_file_that_changes_between_two_hosts_of_an_import_fails_it() {
    let bucket = Bucket::new().await;
    let test = prepared().await;
    let host = || with_keys(bucket.of(builder(&test.uri))).env("TITAN_IMPORTS__SILENCE", "60s").start();
    let mut first = Api::of(host(), test.db.clone());
    let key = bucket.put(&first, "changes.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::None, Fault::Silent(BEHIND_A_BATCH)], Fault::None);
    let id = queued(&first.queue(&key).await);
    first.until_a_batch_is_saved(&id).await;
    assert_eq!(Arc::get_mut(&mut first.host).expect("nobody else has it").stop(), 0);

    bucket.put(&first, "changes.csv", "NEW\n".repeat(ROWS * 2)).await;
    let mut second = Api::of(host(), test.db.clone());
    second.campaign.clone_from(&first.campaign);
    let failed = second.until_import(&id, "failed").await;
    assert_eq!(failed["error"], "the file has changed since the import began");
    assert_eq!(second.stored().await.len() as u64, failed["inserted"].as_u64().expect("a number"));
}

#[tokio::test]
async fn what_another_has_left_is_taken_over_beside_an_import_that_is_held_up() {
    let bucket = Bucket::new().await;
    let test = prepared().await;
    let host = || with_keys(bucket.of(builder(&test.uri))).env("TITAN_IMPORTS__SILENCE", "90s").start();
    let mut first = Api::of(host(), test.db.clone());
    let key = bucket.put(&first, "a.csv", csv(ROWS)).await;
    let silent = Fault::Silent(BEHIND_A_BATCH);
    bucket.proxy.faults([Fault::None, silent.clone(), Fault::None, silent], Fault::None);
    let left = queued(&first.queue(&key).await);
    first.until_a_batch_is_saved(&left).await;
    let mut second = Api::of(host(), test.db.clone());
    second.campaign.clone_from(&first.campaign);
    let held_up = queued(&second.queue(&key).await);
    second.until_a_batch_is_saved(&held_up).await;

    assert_eq!(Arc::get_mut(&mut first.host).expect("nobody else has it").stop(), 0);
    assert_eq!(counts(&second.until_import(&left, "completed").await), json!([ROWS, ROWS, 0, 0]));
    assert_eq!(second.import(&held_up).await["state"], "running");
}

#[tokio::test]
async fn an_import_is_cancelled_also_while_the_bucket_is_silent() {
    let bucket = Bucket::new().await;
    let api = bucket.host(|host| host.env("TITAN_IMPORTS__SILENCE", "90s")).await;
    let key = bucket.put(&api, "silent.csv", csv(ROWS)).await;
    bucket.proxy.faults([Fault::None, Fault::Silent(BEHIND_A_BATCH)], Fault::None);
    let id = queued(&api.queue(&key).await);
    api.until_a_batch_is_saved(&id).await;
    let start = Instant::now();
    api.cancel(&id).await.data();
    let cancelled = api.until_import(&id, "cancelled").await;
    assert!(start.elapsed() < Duration::from_secs(30), "long before it is silent for too long");
    assert_eq!(api.stored().await.len() as u64, cancelled["inserted"].as_u64().expect("a number"));
}
