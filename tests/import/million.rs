//! A million rows through the host: flat memory, a report that adds up, and nothing lost by a second import.

use code_service_tests::{Database, Host, Keys, database, sample};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::{get, post};

const ROWS: usize = 1_000_000;
/// The most memory that the host may have resident at any time.
const MEMORY_KIB: u64 = 150 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_import_in_flat_memory_and_a_second_time_change_no_reservation() {
    let database = database().await;
    let keys = Keys::generate();
    let bucket = Bucket::new(&database.name);
    let codes = sample::codes(ROWS);
    sample::write_csv(&bucket.0.join("codes/big/tm/codes.csv"), &codes).expect("a writable folder");
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &database.uri)]);
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &database.uri)
        .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", &bucket.0)
        .start();
    let token = keys.supreme();

    let first = import(&host, &token).await;
    assert_eq!(first, json!({ "in": ROWS, "inserted": ROWS, "updated": 0 }));

    let reserved = get(&host, &token, "/big/reserve?type=tm&count=1000").await;
    let reserved = reserved["codes"].as_array().expect("codes").clone();
    assert_eq!(reserved.len(), 1000);
    let assigned = post(&host, &token, "/big/assign", json!({ "codes": reserved[..400] })).await;
    assert_eq!(assigned["count"]["updated"], 400);
    let before = held(&database).await;
    assert_eq!(before.len(), 1000);

    let second = import(&host, &token).await;
    assert_eq!(second, json!({ "in": ROWS, "inserted": 0, "updated": ROWS }));
    assert_eq!(held(&database).await, before, "no reserved or assigned date has changed");
    let count = get(&host, &token, "/big/codes/count?type=tm").await;
    assert_eq!(count, json!({ "available": ROWS - 1000, "reserved": 600, "assigned": 400 }));

    let peak = host.peak_rss_kib();
    println!("peak resident memory of the host: {peak} KiB");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

/// A folder that is removed at the end.
struct Bucket(std::path::PathBuf);

impl Bucket {
    fn new(name: &str) -> Self {
        Bucket(std::env::temp_dir().join(name))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn import(host: &Host, token: &str) -> Value {
    post(host, token, "/big/codes", json!({ "fileKey": "codes/big/tm/codes.csv" })).await["count"].clone()
}

/// What is reserved or assigned, with its dates; not when it was saved.
async fn held(database: &Database) -> Vec<Document> {
    use futures_util::TryStreamExt;
    let pipeline = [
        doc! { "$match": { "reserveId": { "$gt": "" } } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$project": { "reserveId": 1, "date.reserved": 1, "date.assigned": 1 } },
    ];
    let codes = database.db.collection::<Document>("codes");
    codes.aggregate(pipeline).await.expect("a cursor").try_collect().await.expect("documents")
}
