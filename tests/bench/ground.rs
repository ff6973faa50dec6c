//! A fresh database, and the ways to put codes in and take them out that are held against each other.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use code_service::{CampaignId, CodeService, CodeType, Options, Reserve, ReserveId, Rows};
use code_service_tests::{Mongod, OldService, fresh_database, sample};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Collection, Database};

const CAMPAIGN: &str = "bench";
const TYPE: &str = "tm";

/// A database of its own with the indexes, and the codes that are in it or may come.
pub(crate) struct Ground {
    uri: String,
    service: CodeService,
    database: Database,
    codes: Arc<Vec<String>>,
}

impl Ground {
    /// With codes that are not in the database yet.
    pub(crate) async fn empty(mongod: &Mongod, size: usize) -> Ground {
        let uri = mongod.uri_for(&fresh_database());
        let service = CodeService::connect(Options::new(&uri)).await.expect("a server");
        service.ensure_indexes().await.expect("indexes");
        let client = mongodb::Client::with_uri_str(&uri).await.expect("a server");
        let database = client.default_database().expect("in the path");
        Ground { uri, service, database, codes: Arc::new(sample::codes(size)) }
    }

    /// With codes that are all free.
    pub(crate) async fn full(mongod: &Mongod, size: usize) -> Ground {
        let ground = Ground::empty(mongod, size).await;
        ground.import().await;
        ground
    }

    /// Our save; rows per second.
    pub(crate) async fn import(&self) -> f64 {
        let rows = Rows::codes(self.codes.to_vec());
        let start = Instant::now();
        let report = self.service.save(&campaign(), &code_type(), rows).await.expect("saved");
        assert_eq!(report.inserted, self.codes.len() as u64);
        report.rows as f64 / start.elapsed().as_secs_f64()
    }

    /// The deployed service's upsert, on the official Node.js driver; rows per second.
    pub(crate) async fn old_import(&self) -> f64 {
        let file = std::env::temp_dir().join(format!("{}.txt", self.database.name()));
        std::fs::write(&file, self.codes.join("\n")).expect("a writable temporary folder");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/old/import.js");
        let output = Command::new("node").arg(script).arg(&self.uri).arg(&file).output();
        std::fs::remove_file(&file).expect("written above");
        let output = output.expect("node is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("rows per second")
    }

    /// Our reserve, all or nothing; codes per second. No call may fail or come back short.
    pub(crate) async fn reserve(&self, callers: usize, count: u32, total: usize) -> f64 {
        let (service, wish) = (self.service.clone(), Reserve::new(campaign(), code_type(), count));
        let per_second = measure(callers, total / count as usize, move |_| {
            let (service, wish) = (service.clone(), wish.clone());
            async move { service.reserve(wish).await.expect("enough are free").codes.len() }
        });
        per_second.await
    }

    /// The deployed service's reserve of one code; codes per second, short answers and all.
    pub(crate) async fn old_reserve(&self, callers: usize, total: usize) -> f64 {
        let old = Arc::new(OldService::new(&self.database));
        measure(callers, total, move |_| {
            let old = old.clone();
            async move { old.reserve(CAMPAIGN, TYPE, 1).await.expect("a server").0.len() }
        })
        .await
    }

    /// A caller that reserves one known code after the other; codes per second.
    pub(crate) async fn find_one_and_update(&self, total: usize) -> f64 {
        let (codes, known) = (self.collection(), self.codes.clone());
        measure(1, total, move |call| {
            let (codes, id) = (codes.clone(), id(&known[call]));
            async move {
                let found = codes.find_one_and_update(guarded(id), reserved()).await.expect("a server");
                usize::from(found.is_some())
            }
        })
        .await
    }

    /// Guarded `updateMany` on known codes, so many at once of so many codes; codes per second.
    pub(crate) async fn update_many(&self, in_flight: usize, size: usize, total: usize) -> f64 {
        let (codes, known) = (self.collection(), self.codes.clone());
        measure(in_flight, total / size, move |call| {
            let ids: Vec<Bson> = known[call * size..][..size].iter().map(|code| id(code)).collect();
            let codes = codes.clone();
            async move {
                let filter = guarded(doc! { "$in": ids }.into());
                let done = codes.update_many(filter, reserved()).await.expect("a server");
                usize::try_from(done.modified_count).expect("at most the size")
            }
        })
        .await
    }

    /// Removes the database, so that it costs the next one nothing.
    pub(crate) async fn clear(self) {
        self.database.drop().await.expect("a server");
    }

    fn collection(&self) -> Collection<Document> {
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let options = mongodb::options::CollectionOptions::builder().write_concern(concern).build();
        self.database.collection_with_options("codes", options)
    }
}

fn campaign() -> CampaignId {
    CampaignId::parse(CAMPAIGN).expect("valid")
}

fn code_type() -> CodeType {
    CodeType::parse(TYPE).expect("valid")
}

fn id(code: &str) -> Bson {
    doc! { "campaign_id": CAMPAIGN, "code": code }.into()
}

fn guarded(id: Bson) -> Document {
    doc! { "_id": id, "date.reserved": Bson::Null, "date.assigned": Bson::Null }
}

fn reserved() -> Document {
    let id = ReserveId::random();
    doc! { "$set": { "reserveId": id.as_str() }, "$currentDate": { "date.reserved": true } }
}

/// Makes `calls` numbered calls, `callers` at a time; returns the codes that they got per second.
async fn measure<F>(
    callers: usize,
    calls: usize,
    call: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> f64
where
    F: Future<Output = usize> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (next, call) = (next.clone(), call.clone());
            tokio::spawn(async move {
                let mut got = 0;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return got;
                    }
                    got += call(number).await;
                }
            })
        })
        .collect();
    let mut got = 0;
    for task in tasks {
        got += task.await.expect("no panic");
    }
    got as f64 / start.elapsed().as_secs_f64()
}
