//! Fresh databases with codes, and what the driver alone does on them: the floors.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use code_service::{CampaignId, CodeService, CodeType, Options, ReserveId, Rows};
use code_service_tests::{Mongod, OldService, fresh_database, sample};
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, Hint, WriteConcern};
use mongodb::{Collection, Database};

use crate::worker::{CAMPAIGN, Face, Report, TYPE, Until, Work, Worker, repeat};

/// Rows of one `insert_many`, and how many run at once.
const ROWS_PER_INSERT: usize = 10_000;
const INSERTS: usize = 2;

/// The ways of the floor: so many `updateMany` at once, of so many codes each.
pub(crate) const FLOORS: [(usize, usize); 6] =
    [(1, 100), (1, 1_000), (2, 100), (2, 1_000), (4, 100), (4, 1_000)];

/// A database of its own with the indexes, and the codes that are in it or may come.
pub(crate) struct Ground {
    pub(crate) uri: String,
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
        Ground { uri, database, codes: Arc::new(sample::codes(size)) }
    }

    /// With codes that are all free.
    pub(crate) async fn full(mongod: &Mongod, size: usize) -> Ground {
        let ground = Ground::empty(mongod, size).await;
        let service = CodeService::connect(Options::new(&ground.uri)).await.expect("a server");
        let campaign = CampaignId::parse(CAMPAIGN).expect("valid");
        let code_type = CodeType::parse(TYPE).expect("valid");
        let rows = Rows::codes(ground.codes.to_vec());
        service.save(&campaign, &code_type, rows).await.expect("saved");
        ground
    }

    /// Reserves all codes but the last so many two days ago, a thousand in each millisecond, and frees those.
    pub(crate) async fn expire(&self, free: usize) {
        let then = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
        let then = DateTime::from_system_time(then).timestamp_millis();
        let (expired, free) = self.codes.split_at(self.codes.len() - free);
        let codes = self.collection();
        for (ids, millis) in expired.chunks(1_000).zip(0..) {
            let taken = reserved_at(DateTime::from_millis(then + millis));
            codes.update_many(doc! { "_id": among(ids) }, taken).await.expect("a server");
        }
        for ids in free.chunks(1_000) {
            let freed = doc! { "$unset": { "reserveId": "", "date.reserved": "" } };
            codes.update_many(doc! { "_id": among(ids) }, freed).await.expect("a server");
        }
    }

    /// Removes the database, so that it costs the next one nothing.
    pub(crate) async fn clear(self) {
        self.database.drop().await.expect("a server");
    }

    /// Lets the server write out what was done before, so that it does not do so while something is measured.
    pub(crate) async fn settle(&self) {
        let admin = self.database.client().database("admin");
        admin.run_command(doc! { "fsync": 1 }).await.expect("a server");
    }

    /// So many processes of ours that do the same work at the same time.
    ///
    /// # Panics
    /// If the database does not hold as many codes more as they say that they got.
    pub(crate) async fn ours(&self, processes: usize, work: &Work) -> Vec<Report> {
        self.through(Face::Core, processes, work).await
    }

    /// The same through any face.
    pub(crate) async fn through(&self, face: Face, processes: usize, work: &Work) -> Vec<Report> {
        self.at_once(face, &vec![work.clone(); processes]).await
    }

    /// Processes that do different work at the same time.
    pub(crate) async fn at_once(&self, face: Face, works: &[Work]) -> Vec<Report> {
        let workers = works.iter().map(|work| Worker::prepare(face, &self.uri, work)).collect();
        let before = self.held().await;
        self.settle().await;
        let reports = tokio::task::block_in_place(|| Worker::run(workers));
        let reserves = |work: &Work| matches!(work, Work::Reserve { .. } | Work::ReserveUnderIds { .. });
        let got =
            works.iter().zip(&reports).filter(|(work, _)| reserves(work)).map(|(_, report)| report.done);
        if works.iter().any(reserves) {
            assert_eq!(self.held().await - before, got.sum::<u64>(), "codes were given twice, or lost");
        }
        reports
    }

    /// How many codes were reserved within the last hour.
    async fn held(&self) -> u64 {
        let since = DateTime::from_system_time(SystemTime::now() - Duration::from_secs(60 * 60));
        let held = doc! { "_id.campaign_id": CAMPAIGN, "type": TYPE, "date.reserved": { "$gt": since } };
        self.collection().count_documents(held).await.expect("a server")
    }

    /// The codes in a file, a code per line, until it is dropped.
    pub(crate) fn file(&self) -> CodesFile {
        let path = std::env::temp_dir().join(format!("{}.txt", self.database.name()));
        std::fs::write(&path, self.codes.join("\n")).expect("a writable temporary folder");
        CodesFile(path)
    }

    /// A caller that reserves one known code after the other, from the `from`th on; codes per second.
    pub(crate) async fn known_codes(&self, from: usize, total: usize) -> f64 {
        let start = Instant::now();
        for code in &self.codes[from..][..total] {
            let now = doc! { "$currentDate": { "date.reserved": true }, "$set": new_id() };
            let found = self.collection().find_one_and_update(guarded(id(code)), now).await;
            assert!(found.expect("a server").is_some(), "nobody else is there");
        }
        total as f64 / start.elapsed().as_secs_f64()
    }

    /// `findOneAndUpdate` of any free code, as a service without candidates would do it.
    pub(crate) async fn any_codes(&self, callers: usize, seconds: f64) -> Report {
        let codes = self.collection();
        repeat(callers, Until::Seconds(seconds), move |_| {
            let codes = codes.clone();
            async move {
                let mut filter = free();
                filter.extend(doc! { "_id.campaign_id": CAMPAIGN, "type": TYPE });
                let now = doc! { "$currentDate": { "date.reserved": true }, "$set": new_id() };
                let found = codes.find_one_and_update(filter, now).await.expect("a server");
                u64::from(found.is_some())
            }
        })
        .await
    }

    /// The floor: so many codes in each of its ways, from the `from`th on; codes per second.
    pub(crate) async fn floor_behind(&self, from: usize, total: usize) -> [f64; FLOORS.len()] {
        let mut rates = [0.0; FLOORS.len()];
        for (place, way) in FLOORS.into_iter().enumerate() {
            self.settle().await;
            rates[place] = self.update_many(way, from + place * total, total).await;
        }
        rates
    }

    /// Guarded `updateMany` on known codes from the `from`th on, so many at once of so many codes; codes per
    /// second.
    pub(crate) async fn update_many(
        &self,
        (in_flight, size): (usize, usize),
        from: usize,
        total: usize,
    ) -> f64 {
        let (codes, known) = (self.collection(), self.codes.clone());
        let calls = total / size;
        let report = repeat(in_flight, Until::Calls(calls), move |call| {
            let ids = among(&known[from + call * size..][..size]);
            let codes = codes.clone();
            async move {
                let now = doc! { "$currentDate": { "date.reserved": true }, "$set": new_id() };
                codes.update_many(guarded(ids), now).await.expect("a server").modified_count
            }
        });
        let report = report.await;
        assert_eq!(report.done, (calls * size) as u64, "nobody else is there");
        report.rate()
    }

    /// Plain unordered `insert_many` of all codes, all free; rows per second.
    pub(crate) async fn insert_many(&self) -> f64 {
        self.insert_each(|_| doc! { "date": { "saved": DateTime::now() } }).await
    }

    /// Inserts all codes: a third free, a third reserved, a third expired, a thousand in each millisecond.
    pub(crate) async fn insert_mixed(&self) {
        self.insert_each(|place| {
            let ago = Duration::from_millis(place as u64 / 1_000);
            let expired = ago + Duration::from_secs(2 * 24 * 60 * 60);
            let Some(ago) = [None, Some(ago), Some(expired)][place % 3] else {
                return doc! { "date": { "saved": DateTime::now() } };
            };
            let reserved = DateTime::from_system_time(SystemTime::now() - ago);
            let mut rest = new_id();
            rest.insert("date", doc! { "saved": DateTime::now(), "reserved": reserved });
            rest
        })
        .await;
    }

    async fn insert_each(&self, rest: fn(usize) -> Document) -> f64 {
        let (codes, rows) = (self.collection(), self.codes.clone());
        let calls = rows.len() / ROWS_PER_INSERT;
        let report = repeat(INSERTS, Until::Calls(calls), move |call| {
            let (codes, rows) = (codes.clone(), rows.clone());
            async move {
                let places = call * ROWS_PER_INSERT..(call + 1) * ROWS_PER_INSERT;
                let documents = places.map(|place| {
                    let mut document = doc! { "_id": id(&rows[place]), "type": TYPE };
                    document.extend(rest(place));
                    document
                });
                let inserted = codes.insert_many(documents).ordered(false).await.expect("a server");
                inserted.inserted_ids.len() as u64
            }
        });
        report.await.rate()
    }

    /// A cursor over all codes in the order of an export, whose documents nobody looks at; codes per second.
    pub(crate) async fn raw_cursor(&self) -> f64 {
        let by_code = doc! { "_id.campaign_id": -1, "_id.code": 1 };
        let codes = self.collection().clone_with_type::<RawDocumentBuf>();
        let start = Instant::now();
        let find = codes.find(doc! { "_id.campaign_id": CAMPAIGN }).hint(Hint::Keys(by_code));
        let mut cursor = find.await.expect("a server");
        let mut found = 0;
        while cursor.advance().await.expect("a server") {
            found += usize::from(!cursor.current().is_empty());
        }
        assert_eq!(found, self.codes.len());
        found as f64 / start.elapsed().as_secs_f64()
    }

    /// The deployed service's three `countDocuments` in parallel; counts per second.
    pub(crate) async fn three_counts(&self) -> f64 {
        let old = OldService::new(&self.database);
        let start = Instant::now();
        old.count(CAMPAIGN, TYPE).await.expect("a server");
        1.0 / start.elapsed().as_secs_f64()
    }

    /// Median of a server's answer to a ping, in microseconds.
    pub(crate) async fn ping(&self, times: usize) -> f64 {
        let database = self.database.clone();
        let report = repeat(1, Until::Calls(times), move |_| {
            let database = database.clone();
            async move {
                database.run_command(doc! { "ping": 1 }).await.expect("a server");
                1
            }
        });
        f64::from(report.await.p50)
    }

    fn collection(&self) -> Collection<Document> {
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let options = CollectionOptions::builder().write_concern(concern).build();
        self.database.collection_with_options("codes", options)
    }
}

/// A file of codes. It is removed when this is dropped.
pub(crate) struct CodesFile(PathBuf);

impl CodesFile {
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a name of ours in the temporary folder")
    }
}

impl Drop for CodesFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn id(code: &str) -> Bson {
    doc! { "campaign_id": CAMPAIGN, "code": code }.into()
}

fn among(codes: &[String]) -> Bson {
    let ids: Vec<Bson> = codes.iter().map(|code| id(code)).collect();
    doc! { "$in": ids }.into()
}

fn guarded(id: Bson) -> Document {
    let mut filter = free();
    filter.insert("_id", id);
    filter
}

fn free() -> Document {
    doc! { "date.reserved": Bson::Null, "date.assigned": Bson::Null }
}

fn new_id() -> Document {
    doc! { "reserveId": ReserveId::random().as_str() }
}

fn reserved_at(date: DateTime) -> Document {
    let mut set = new_id();
    set.insert("date.reserved", date);
    doc! { "$set": set }
}
