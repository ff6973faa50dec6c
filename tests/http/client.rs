//! The host as its callers see it: requests with a good token, and replies to look at.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use code_service::{CodeService, Options};
use code_service_tests::host::Builder;
use code_service_tests::{Database, Host, Keys, database};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, Uuid, doc};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::sync::OnceCell;

pub(crate) const LOCAL_PATH: &str = "TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH";
pub(crate) const CORRELATION: &str = "x-titan-correlation-id";

/// A host, its database, and a campaign that no other test has.
pub(crate) struct Api {
    pub(crate) host: Arc<Host>,
    pub(crate) db: mongodb::Database,
    pub(crate) campaign: String,
    pub(crate) http: reqwest::Client,
    token: String,
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A host that lives as long as the test process.
struct Shared {
    host: Arc<Host>,
    uri: String,
    name: String,
}

/// The key pair of all hosts and tokens here.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

/// The folder in the bucket's place. Each test has the folder of its campaign in it.
pub(crate) fn bucket() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("http-bucket")
}

/// A fresh database with its indexes.
pub(crate) async fn prepared() -> Database {
    let test = database().await;
    create_indexes(&test.uri).await;
    test
}

pub(crate) async fn create_indexes(uri: &str) {
    let service = CodeService::connect(Options::new(uri)).await.expect("the test's own server");
    service.ensure_indexes().await.expect("a database without codes");
}

/// A host that is complete: database, keys, bucket.
pub(crate) fn builder(uri: &str) -> Builder {
    Host::builder()
        .env("TITAN_MONGO__URI", uri)
        .env("TITAN_JWT__PUBLIC_KEY", &keys().public)
        .env("TITAN_JWT__PRIVATE_KEY", &keys().private)
        .env(LOCAL_PATH, bucket())
}

/// Asks `done` again and again until it says yes.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_secs(30), "waited 30 s in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let reply = request.send().await.expect("the host answers");
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Answer { status, headers, body: reply.text().await.expect("the reply arrives whole") }
}

impl Api {
    /// The host that most tests share.
    pub(crate) async fn shared() -> Api {
        static SHARED: OnceCell<Shared> = OnceCell::const_new();
        let shared = SHARED.get_or_init(async || Shared::start(|host| host).await).await;
        shared.api().await
    }

    /// A host with small limits, shared by tests whose requests are all refused: its database holds
    /// [`Api::seed`] and nobody may change it.
    pub(crate) async fn quiet() -> Api {
        static QUIET: OnceCell<Shared> = OnceCell::const_new();
        let shared = QUIET.get_or_init(async || {
            let limits = ["TITAN_SERVICE__BODY_LIMIT", "TITAN_SERVICE__UPLOAD_LIMIT"];
            let shared = Shared::start(|host| host.env(limits[0], "2000").env(limits[1], "2000")).await;
            shared.api().await.seed().await;
            shared
        });
        let mut api = shared.await.api().await;
        api.campaign = "seeded".to_owned();
        api
    }

    /// A host of the test's own, on a database of its own.
    pub(crate) async fn start(change: impl FnOnce(Builder) -> Builder) -> Api {
        let test = prepared().await;
        Api::of(change(builder(&test.uri)).start(), test.db)
    }

    pub(crate) fn of(host: Host, db: mongodb::Database) -> Api {
        Api::of_shared(Arc::new(host), db)
    }

    /// A host that the test uses elsewhere, too.
    pub(crate) fn of_shared(host: Arc<Host>, db: mongodb::Database) -> Api {
        let campaign = format!("campaign-{}", Uuid::new());
        Api { host, db, campaign, http: reqwest::Client::new(), token: keys().supreme() }
    }

    /// The same with another token.
    pub(crate) fn with_token(mut self, token: impl Into<String>) -> Api {
        self.token = token.into();
        self
    }

    /// `:campaign` in the path stands for the test's own campaign.
    pub(crate) fn url(&self, path: &str) -> String {
        self.host.url(&path.replace(":campaign", &self.campaign))
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Uploads text as CSV.
    pub(crate) async fn upload(&self, code_type: &str, csv: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::PUT, &format!("/:campaign/codes?type={code_type}"));
        send(request.header("content-type", "text/csv").body(csv)).await
    }

    /// Saves `tm` codes, each of which must be new.
    pub(crate) async fn save(&self, codes: &[&str]) {
        let saved = self.upload("tm", codes.join("\n")).await.data();
        assert_eq!(saved["count"]["inserted"], codes.len());
    }

    /// Puts a file into the bucket and returns its key.
    pub(crate) fn put_in_bucket(&self, code_type: &str, content: impl AsRef<[u8]>) -> String {
        let key = format!("codes/{}/{code_type}/file.csv", self.campaign);
        let file = bucket().join(&key);
        std::fs::create_dir_all(file.parent().expect("in a folder")).expect("the target folder is writable");
        std::fs::write(file, content).expect("the target folder is writable");
        key
    }

    pub(crate) async fn reserve(&self, count: u32) -> Vec<String> {
        let data = self.get(&format!("/:campaign/reserve?count={count}&type=tm")).await.data();
        texts(&data["codes"])
    }

    /// The codes A1 to A9: A1-A3 available, A4-A6 reserved under `held`, A7-A9 assigned, in `seeded`.
    async fn seed(&mut self) {
        self.campaign = "seeded".to_owned();
        self.save(&["A4", "A5", "A6"]).await;
        let held = self.put("/:campaign/reservations/held", serde_json::json!({"type": "tm", "count": 3}));
        assert_eq!(held.await.status, 201);
        self.save(&["A1", "A2", "A3", "A7", "A8", "A9"]).await;
        let assigned = self.post("/:campaign/assign", serde_json::json!({"codes": ["A7", "A8", "A9"]}));
        assert_eq!(assigned.await.data()["count"]["updated"], 3);
    }

    /// Sends a request that must be refused and must change nothing in the database; returns the error.
    pub(crate) async fn refused(&self, request: RequestBuilder, status: u16, payload: &str) -> Value {
        let before = self.everything().await;
        let error = send(request).await.error(status, payload);
        assert_eq!(self.everything().await, before, "the refused request changed the database");
        error
    }

    pub(crate) async fn recover(&self, id: &str) -> Answer {
        send(self.request(Method::POST, &format!("/:campaign/reservations/{id}/recover"))).await
    }

    /// Every document of the database.
    pub(crate) async fn everything(&self) -> Vec<Document> {
        let mut all = Vec::new();
        for name in ["codes", "codes.reservations", "codes.jobs"] {
            let collection = self.db.collection::<Document>(name);
            let found = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("find");
            all.extend(found.try_collect::<Vec<_>>().await.expect("find"));
        }
        all
    }

    /// The stored codes of the campaign, in order.
    pub(crate) async fn stored(&self) -> Vec<Document> {
        let codes = self.db.collection::<Document>("codes");
        let found = codes.find(doc! { "_id.campaign_id": &self.campaign }).sort(doc! { "_id": 1 });
        found.await.expect("find").try_collect().await.expect("find")
    }
}

/// Parts of tokens, of keys, also of those that tests sign calls of S3 with, and of what S3 says when it refuses.
const SECRETS: [&str; 6] = ["eyJ", " KEY-----", "AKIA", "ASIA", "SECRETTEST", "S3ERRORBODY"];

/// Whether a line of a log holds a secret, or a code of [`csv`].
fn is_told_a_secret(line: &str) -> bool {
    let code = |at: usize| line[at + 1..].bytes().take_while(u8::is_ascii_digit).count() >= 5;
    SECRETS.iter().any(|secret| line.contains(secret)) || line.match_indices('C').any(|(at, _)| code(at))
}

impl Drop for Api {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Whatever a test is about, its host has kept what it knows.
            let told =
                self.host.lines().into_iter().chain(self.host.stderr()).find(|line| is_told_a_secret(line));
            assert_eq!(told, None, "a secret is in the log");
        }
        // Only tests of uploads have put something there.
        let _ = std::fs::remove_dir_all(bucket().join("codes").join(&self.campaign));
    }
}

impl Shared {
    async fn start(change: impl FnOnce(Builder) -> Builder) -> Shared {
        let Database { uri, name, db: _ } = prepared().await;
        Shared { host: Arc::new(change(builder(&uri)).start()), uri, name }
    }

    async fn api(&self) -> Api {
        // A client belongs to the runtime of the test that made it.
        let client = mongodb::Client::with_uri_str(&self.uri).await.expect("our own connection string");
        Api::of_shared(Arc::clone(&self.host), client.database(&self.name))
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The data of a 200.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].take()
    }

    /// The error of a refusal.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, payload: &str) -> Value {
        let mut json = self.json();
        assert_eq!((self.status, &json["error"]["payload"]), (status, &payload.into()), "{}", self.body);
        json["error"].take()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().expect("ASCII")
    }
}

/// A list of texts in a reply.
#[track_caller]
pub(crate) fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|text| text.as_str().expect("a list of texts").to_owned()).collect()
}

/// `C00000`, `C00001` and so on, one per line.
pub(crate) fn csv(count: usize) -> String {
    (0..count).map(|number| format!("C{number:05}\n")).collect()
}

/// A body that comes in pieces of this size, its length not told.
pub(crate) fn in_pieces(bytes: impl AsRef<[u8]>, size: usize) -> reqwest::Body {
    let pieces: Vec<Vec<u8>> = bytes.as_ref().chunks(size).map(<[u8]>::to_vec).collect();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

/// The type of a stored code.
#[track_caller]
pub(crate) fn type_of(stored: &Document) -> &str {
    stored.get_str("type").expect("every code has a type")
}

/// The code of a stored code.
#[track_caller]
pub(crate) fn code_of(stored: &Document) -> &str {
    stored.get_document("_id").expect("a document").get_str("code").expect("a text")
}
