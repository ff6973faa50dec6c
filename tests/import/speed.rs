//! Five million codes from S3 into the database and out again over HTTP, beside the database's own speed.

use std::time::Instant;

use code_service_tests::s3::{self, S3};
use code_service_tests::{Host, Keys, Mongod, fresh_database};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::Collection;
use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use mongodb::options::Hint;
use serde_json::{Value, json};

use crate::file::{self, File};
use crate::{data, get};

const BUCKET: &str = "speed";
const KEY: &str = "codes/big/tm/codes.csv";
const ROWS: usize = 5_000_000;
/// How often all codes are exported.
const ROUNDS: usize = 3;
const MEMORY_KIB: u64 = 150 * 1024;
/// Rows of one `insert_many`, and how many run at once: as in the benchmarks.
const ROWS_PER_INSERT: usize = 10_000;
const INSERTS: usize = 2;

/// `make millions`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour, and wants the machine for itself"]
async fn five_million_rows_come_in_and_go_out_about_as_fast_as_the_database() {
    let file = File::clean(ROWS);
    let mongod = tokio::task::spawn_blocking(Mongod::start_for_benchmarks).await.expect("the server starts");
    let server = tokio::task::spawn_blocking(S3::shared).await.expect("the server starts");
    server.make(BUCKET).await;
    server.put(BUCKET, KEY, file.text.clone(), false).await;

    // Once: that takes minutes. The benchmark of an import has the median of several, of a million rows.
    let plain = insert_many(&mongod, &file).await;
    let ground = Ground::new(&mongod, server).await;
    let import = ground.import().await;
    let counts = json!([import["in"], import["inserted"], import["updated"], import["rejected"]]);
    assert_eq!(counts, json!([ROWS, ROWS, 0, 0]));
    let rate = import["rate"].as_f64().expect("a number");
    let ratio = rate / plain;
    println!("import: {rate:.0} rows/s, {ratio:.2} of plain insert_many, memory {} KiB", ground.peak());
    assert!(ground.peak() < MEMORY_KIB);
    ground.exports(&file).await;
    assert!(ratio >= 0.8, "{rate} and {plain}");
}

/// A host and a database of its own.
struct Ground {
    host: Host,
    token: String,
    codes: Collection<Document>,
}

impl Ground {
    async fn new(mongod: &Mongod, server: &S3) -> Ground {
        let keys = Keys::generate();
        let (uri, codes) = collection(mongod).await;
        let url = format!("http://127.0.0.1:{}", server.port());
        let host = s3::reads(s3::with_keys(Host::builder()), BUCKET, &url)
            .env("TITAN_MONGO__URI", &uri)
            .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
            .start();
        Ground { host, token: keys.supreme(), codes }
    }

    fn peak(&self) -> u64 {
        self.host.peak_rss_kib()
    }

    async fn import(&self) -> Value {
        // It is large enough to be a job.
        let request = reqwest::Client::new().post(self.host.url("/big/codes")).bearer_auth(&self.token);
        let import = data(request.json(&json!({ "fileKey": KEY }))).await;
        let path = format!("/big/imports/{}", import["id"].as_str().expect("an id"));
        loop {
            let import = get(&self.host, &self.token, &path).await;
            if import["ended"].is_string() {
                assert_eq!(import["state"], "completed", "{import}");
                return import;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    async fn exports(&self, file: &File) {
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let raw = self.raw_cursor(file.codes).await;
            let start = Instant::now();
            let lines = self.export(|_| ()).await;
            assert_eq!(lines, file.codes);
            let rate = lines as f64 / start.elapsed().as_secs_f64();
            println!("export: {rate:.0} codes/s, the driver's cursor {raw:.0}, memory {} KiB", self.peak());
            ratios.push((rate / raw, rate));
        }
        let mut seen = vec![false; file.codes];
        let mut twice = 0;
        let reserving = async {
            loop {
                get(&self.host, &self.token, "/big/reserve?type=tm&count=10").await;
            }
        };
        let exact = self.export(|line| {
            let code = line.strip_prefix("{\"code\":\"").and_then(|rest| rest.split('"').next());
            let number = file::number(code.expect("a code")).expect("of the file");
            twice += usize::from(std::mem::replace(&mut seen[number], true));
        });
        tokio::select! {
            lines = exact => assert_eq!(lines, file.codes),
            () = reserving => unreachable!("it never ends"),
        }
        assert_eq!((twice, seen.iter().filter(|seen| !**seen).count()), (0, 0), "every code once");
        println!("export beside reserves: every code once, memory {} KiB", self.peak());
        assert!(self.peak() < MEMORY_KIB);
        let met = ratios.iter().filter(|(ratio, rate)| *ratio >= 0.8 || *rate >= 100_000.0).count();
        assert!(met > ROUNDS / 2, "{ratios:?}");
    }

    /// Exports all codes; how many lines came.
    async fn export(&self, mut each: impl FnMut(&str)) -> usize {
        let request = reqwest::Client::new().get(self.host.url("/big/codes")).bearer_auth(&self.token);
        let reply = request.send().await.expect("a reply");
        assert_eq!(reply.status(), 200);
        let (mut lines, mut rest) = (0, Vec::new());
        let mut pieces = reply.bytes_stream();
        while let Some(piece) = pieces.try_next().await.expect("it comes whole") {
            rest.extend_from_slice(&piece);
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole = std::str::from_utf8(&rest[..=end]).expect("text");
            whole.lines().for_each(|line| {
                each(line);
                lines += 1;
            });
            rest.drain(..=end);
        }
        assert!(rest.is_empty(), "the last line is whole");
        lines
    }

    /// A cursor over the codes in the order of an export, whose documents nobody looks at; codes per second.
    async fn raw_cursor(&self, codes: usize) -> f64 {
        let by_code = doc! { "_id.campaign_id": -1, "_id.code": 1 };
        let start = Instant::now();
        let collection = self.codes.clone_with_type::<RawDocumentBuf>();
        let find = collection.find(doc! { "_id.campaign_id": "big" }).hint(Hint::Keys(by_code));
        let mut cursor = find.await.expect("a cursor");
        let mut found = 0;
        while cursor.advance().await.expect("documents") {
            found += usize::from(!cursor.current().is_empty());
        }
        assert_eq!(found, codes);
        codes as f64 / start.elapsed().as_secs_f64()
    }
}

/// A fresh collection with its indexes, and the connection string of its database.
async fn collection(mongod: &Mongod) -> (String, Collection<Document>) {
    let uri = mongod.uri_for(&fresh_database());
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &uri)]);
    let client = mongodb::Client::with_uri_str(&uri).await.expect("our own connection string");
    (uri, client.default_database().expect("named in the path").collection("codes"))
}

/// Plain unordered `insert_many` of the file's codes; rows per second.
async fn insert_many(mongod: &Mongod, file: &File) -> f64 {
    let (_, codes) = collection(mongod).await;
    let start = Instant::now();
    let numbers: Vec<usize> = (0..file.codes).collect();
    let inserts = numbers.chunks(ROWS_PER_INSERT).map(|numbers| {
        let documents: Vec<Document> = numbers
            .iter()
            .map(|number| {
                let id = doc! { "campaign_id": "big", "code": file::code(*number) };
                doc! { "_id": id, "type": "tm", "date": { "saved": DateTime::now() } }
            })
            .collect();
        let codes = codes.clone();
        tokio::spawn(async move { codes.insert_many(documents).ordered(false).await })
    });
    let inserted = stream::iter(inserts).buffer_unordered(INSERTS);
    let done: Vec<_> = inserted.map(|ended| ended.expect("no panic")).try_collect().await.expect("inserted");
    assert_eq!(done.iter().map(|done| done.inserted_ids.len()).sum::<usize>(), file.codes);
    let rate = file.codes as f64 / start.elapsed().as_secs_f64();
    codes.drop().await.expect("a server");
    rate
}
