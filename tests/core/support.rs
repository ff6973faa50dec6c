//! What the tests of the core share: a fresh database with the service on it, and a look past the service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use code_service::{
    CampaignId, Code, CodeService, CodeType, Counts, Export, Options, Reserve, ReserveId, Result, Rows,
    StoredCode,
};
use code_service_tests::{Database, Mongod, ReplicaSet, fresh_database};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Client, Collection};
use tokio::task::JoinHandle;

/// The reservation ttl that is not set: 24 hours, in milliseconds.
pub(crate) const TTL: i64 = 24 * 60 * 60 * 1000;

pub(crate) const MINUTE: i64 = 60 * 1000;

/// A fresh database with the service on it. All codes are of the campaign `summer` and the type `tm`
/// unless a test says otherwise.
pub(crate) struct Ground {
    pub(crate) service: CodeService,
    pub(crate) codes: Collection<Document>,
    pub(crate) ledger: Collection<Document>,
    pub(crate) test: Database,
}

impl Ground {
    /// With indexes and `count` available codes: `CODE000000` and so on.
    pub(crate) async fn new(count: usize) -> Ground {
        Ground::in_database(code_service_tests::database().await, count).await
    }

    /// The same on a server of one's own, which may be broken.
    pub(crate) async fn on(server: &Mongod, count: usize) -> Ground {
        let name = fresh_database();
        Ground::at(server.uri_for(&name), name, count).await
    }

    /// The same on a replica set of one's own.
    pub(crate) async fn on_set(set: &ReplicaSet, count: usize) -> Ground {
        let name = fresh_database();
        Ground::at(set.uri_for(&name), name, count).await
    }

    async fn at(uri: String, name: String, count: usize) -> Ground {
        let client = Client::with_uri_str(&uri).await.expect("our own");
        let db = client.database(&name);
        Ground::in_database(Database { uri, name, db }, count).await
    }

    async fn in_database(test: Database, count: usize) -> Ground {
        let service = CodeService::connect(Options::new(&test.uri)).await.expect("the server runs");
        service.ensure_indexes().await.expect("a fresh database takes indexes");
        let ground = Ground {
            service,
            codes: test.db.collection("codes"),
            ledger: test.db.collection("codes.reservations"),
            test,
        };
        if count > 0 {
            ground.save(names(count)).await;
        }
        ground
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(&self.test.uri)
    }

    /// Another process, as far as the database can tell.
    pub(crate) async fn another_service(&self) -> CodeService {
        CodeService::connect(self.options()).await.expect("the server runs")
    }

    pub(crate) async fn save(&self, codes: Vec<String>) {
        self.service.save(&campaign(), &tm(), Rows::codes(codes)).await.expect("saves");
    }

    pub(crate) async fn reserve(&self, count: u32) -> Result<code_service::Reservation> {
        self.service.reserve(wish(count)).await
    }

    pub(crate) async fn count(&self) -> Counts {
        self.service.count(&campaign(), &tm()).await.expect("counts")
    }

    /// A code as the service sees it.
    pub(crate) async fn find(&self, text: &str) -> StoredCode {
        let found = self.service.find(&campaign(), &code(text)).await;
        found.expect("looks up").expect("the code is there")
    }

    pub(crate) async fn export(&self, export: Export) -> Vec<StoredCode> {
        self.service.export(&campaign(), export).try_collect().await.expect("exports")
    }

    /// A code as the database holds it.
    pub(crate) async fn document(&self, text: &str) -> Document {
        self.codes.find_one(id_of(text)).await.expect("find").expect("the code is there")
    }

    pub(crate) async fn all_documents(&self) -> Vec<Document> {
        let found = self.codes.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("find");
        found.try_collect().await.expect("find")
    }

    /// Writes a document as another service might have: `rest` is everything but the `_id`.
    pub(crate) async fn insert(&self, text: &str, rest: Document) {
        let mut document = id_of(text);
        document.extend(rest);
        self.codes.insert_one(document).await.expect("insert");
    }

    pub(crate) async fn set(&self, text: &str, fields: Document) {
        let done = self.codes.update_one(id_of(text), doc! { "$set": fields }).await.expect("update");
        assert_eq!(done.matched_count, 1, "the code is there");
    }

    /// Lets all that was reserved so far be reserved `milliseconds` earlier, in codes and ledger alike.
    pub(crate) async fn age_reservations(&self, milliseconds: i64) {
        let earlier = |field: &str| doc! { "$subtract": [field, milliseconds] };
        let reserved = doc! { "date.reserved": { "$type": "date" } };
        let change = vec![doc! { "$set": { "date.reserved": earlier("$date.reserved") } }];
        self.codes.update_many(reserved, change).await.expect("update");
        let change = vec![doc! { "$set": { "reserved": earlier("$reserved"), "lease": earlier("$lease") } }];
        self.ledger.update_many(doc! {}, change).await.expect("update");
    }

    /// The server's clock.
    pub(crate) async fn now(&self) -> DateTime {
        let hello = self.test.db.run_command(doc! { "hello": 1 }).await.expect("hello");
        *hello.get_datetime("localTime").expect("hello has a time")
    }

    /// The server's clock, so many milliseconds ago.
    pub(crate) async fn ago(&self, milliseconds: i64) -> DateTime {
        DateTime::from_millis(self.now().await.timestamp_millis() - milliseconds)
    }

    /// The codes that the database shows as held under an id, whatever their date.
    pub(crate) async fn held_under(&self, id: &ReserveId) -> BTreeSet<String> {
        let filter = doc! {
            "reserveId": id.as_str(), "date.reserved": { "$ne": null }, "date.assigned": null,
        };
        let found = self.codes.find(filter).await.expect("find");
        let found: Vec<Document> = found.try_collect().await.expect("find");
        found.iter().map(text_of).collect()
    }

    /// How many codes the database shows as reserved, under whatever id.
    pub(crate) async fn reserved_documents(&self) -> u64 {
        let filter = doc! { "date.reserved": { "$ne": null }, "date.assigned": null };
        self.codes.count_documents(filter).await.expect("count")
    }
}

pub(crate) fn campaign() -> CampaignId {
    CampaignId::parse("summer").expect("valid")
}

pub(crate) fn tm() -> CodeType {
    CodeType::parse("tm").expect("valid")
}

pub(crate) fn external() -> CodeType {
    CodeType::parse("external").expect("valid")
}

pub(crate) fn code(text: &str) -> Code {
    Code::parse(text).expect("valid")
}

pub(crate) fn codes<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Vec<Code> {
    texts.into_iter().map(|text| code(text.as_ref())).collect()
}

pub(crate) fn reserve_id(text: &str) -> ReserveId {
    ReserveId::parse(text).expect("valid")
}

/// `CODE000000` and so on.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("CODE{number:06}")).collect()
}

/// All-or-nothing, under a new random id.
pub(crate) fn wish(count: u32) -> Reserve {
    Reserve::new(campaign(), tm(), count)
}

/// As many as there are, under a new random id.
pub(crate) fn partial(count: u32) -> Reserve {
    let mut wish = wish(count);
    wish.partial = true;
    wish
}

/// All-or-nothing, under the caller's own id.
pub(crate) fn wish_under(id: &str, count: u32) -> Reserve {
    let mut wish = wish(count);
    wish.reserve_id = Some(reserve_id(id));
    wish
}

/// The texts of codes; fails if one is there twice.
pub(crate) fn distinct(codes: &[Code]) -> BTreeSet<String> {
    let set: BTreeSet<String> = codes.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(set.len(), codes.len(), "a code is there twice");
    set
}

pub(crate) fn set<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    texts.into_iter().map(Into::into).collect()
}

pub(crate) fn counts(available: u64, reserved: u64, assigned: u64) -> Counts {
    Counts { available, reserved, assigned }
}

/// The filter for a code, and the beginning of its document.
pub(crate) fn id_of(text: &str) -> Document {
    doc! { "_id": { "campaign_id": "summer", "code": text } }
}

/// The code of a document.
pub(crate) fn text_of(document: &Document) -> String {
    let id = document.get_document("_id").expect("an embedded document");
    id.get_str("code").expect("a text").to_owned()
}

/// One of the dates of a document; none if it is missing.
pub(crate) fn date(document: &Document, name: &str) -> Option<DateTime> {
    document.get_document("date").expect("every code has dates").get_datetime(name).ok().copied()
}

/// What all of these tasks return.
pub(crate) async fn gather<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}

/// Waits until all codes are available or held under an id that somebody knows.
pub(crate) async fn assert_nothing_is_lost(ground: &Ground, known: &[ReserveId], all: usize) {
    let start = Instant::now();
    loop {
        let mut held = 0;
        for id in known {
            held += ground.held_under(id).await.len();
        }
        let counted = ground.count().await;
        let available = usize::try_from(counted.available).expect("few");
        if available + held == all && ground.reserved_documents().await == held as u64 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{counted:?}, of which {held} are known");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets commands of a server fail as `data` says, or with the mode `off` no longer. Returns how many have failed
/// before.
pub(crate) async fn fail_point(admin: &mongodb::Database, mode: Bson, data: Document) -> i64 {
    let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
    let set = admin.run_command(command).await.expect("test commands are enabled");
    let count = set.get_i64("count").or(set.get_i32("count").map(i64::from));
    count.expect("the server counts them")
}
