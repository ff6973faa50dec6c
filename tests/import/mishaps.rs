//! An import while hosts are killed, the database loses its primary, and connections to S3 are cut.

use std::fmt;
use std::time::{Duration, Instant};

use code_service_tests::s3::{self, S3, S3Proxy};
use code_service_tests::{Host, Keys, ReplicaSet, fresh_database};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::file::{self, File};
use crate::{data, get};

const BUCKET: &str = "mishaps";
const KEY: &str = "codes/big/tm/codes.csv";
const MEMORY_KIB: u64 = 150 * 1024;
/// So much of a file must be left behind every mishap, in bytes: what is on its way already comes all the same when its
/// connection is cut. The system keeps up to 32 MiB for a reader who is busy, and the host has some batches.
const UNDER_WAY: usize = 64 << 20;
/// In which another host takes an import over.
const TAKEOVER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    HostKilled,
    PrimaryKilled,
    BucketCut,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_survives_the_death_of_its_host_of_the_primary_and_of_its_connection() {
    let file = File::with_columns(100_000, &"x".repeat(1_000));
    import_through(file, &[Mishap::HostKilled, Mishap::PrimaryKilled, Mishap::BucketCut]).await;
}

/// `make millions`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour on two cores"]
async fn five_million_rows_survive_ten_mishaps() {
    use Mishap::{BucketCut, HostKilled, PrimaryKilled};
    let thrice = [HostKilled, PrimaryKilled, BucketCut].repeat(3);
    import_through(File::with_columns(5_000_000, &"x".repeat(60)), &[thrice, vec![HostKilled]].concat())
        .await;
}

async fn import_through(file: File, mishaps: &[Mishap]) {
    let rows = file.rows;
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("SEED={seed} repeats these moments");
    let mut random = StdRng::seed_from_u64(seed);
    let mut mishaps = mishaps.to_vec();
    mishaps.shuffle(&mut random);
    let last = (rows - rows / 3).min(rows - rows * UNDER_WAY / file.text.len());
    let mut moments: Vec<usize> = mishaps.iter().map(|_| random.random_range(1..last)).collect();
    moments.sort_unstable();

    let mut ground = Ground::new(&file).await;
    let id = ground.queue().await;
    for (mishap, moment) in mishaps.into_iter().zip(moments) {
        let reached = ground.until(&id, Duration::from_secs(600), |rows| rows >= moment as u64).await;
        let since = Instant::now();
        ground.let_happen(mishap);
        let then = ground.import(&id).await;
        assert_eq!(then["ended"], Value::Null, "{mishap} came too late: {then}");
        match mishap {
            Mishap::HostKilled => ground.until_taken_over().await,
            Mishap::PrimaryKilled => {}
            Mishap::BucketCut => ground.until_asked_for_the_rest().await,
        }
        let before = ground.import(&id).await["in"].as_u64().expect("a number");
        ground.until(&id, TAKEOVER, |rows| rows > before).await;
        println!(
            "{mishap} at {reached} of {rows} rows: goes on after {:.1} s",
            since.elapsed().as_secs_f64()
        );
    }
    let start = Instant::now();
    let done = loop {
        let import = ground.import(&id).await;
        if import["ended"].is_string() {
            break import;
        }
        assert!(start.elapsed() < Duration::from_secs(900), "in vain until it ends: {import}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&done["state"], &done["bytes"]), (&json!("completed"), &done["size"]), "{done}");
    let counts = json!([done["in"], done["inserted"], done["updated"], done["rejected"]]);
    assert_eq!(counts, json!([rows, file.codes, file.repeated, file.bad.len()]));
    assert_eq!(ground.rejected(&id).await, file.bad);
    assert!(ground.codes().await.into_iter().eq(0..file.codes), "other codes are stored than the file holds");
    for host in &ground.hosts {
        ground.peak = ground.peak.max(host.peak_rss_kib());
    }
    println!(
        "{rows} rows, {} rows/s with all of that; hosts' memory at most {} KiB",
        done["rate"], ground.peak
    );
    assert!(ground.peak < MEMORY_KIB, "{} KiB", ground.peak);
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mishap::HostKilled => "the host killed",
            Mishap::PrimaryKilled => "the primary killed",
            Mishap::BucketCut => "the connection to S3 cut",
        })
    }
}

/// Two hosts, a replica set, and a file in S3.
struct Ground {
    set: ReplicaSet,
    proxy: S3Proxy,
    uri: String,
    keys: Keys,
    hosts: Vec<Host>,
    /// The most memory of a host that is gone.
    peak: u64,
    /// When the one that was killed last had begun.
    left: String,
    /// How often the bucket was asked before its connections were cut.
    asked: usize,
}

impl Ground {
    async fn new(file: &File) -> Ground {
        // All five million codes with their indexes: from the disk, rows would come at a tenth of the speed.
        let set = ReplicaSet::start_with(3.0);
        let uri = set.uri_for(&fresh_database());
        Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &uri)]);
        let server = tokio::task::spawn_blocking(S3::shared).await.expect("the server starts");
        server.make(BUCKET).await;
        server.put(BUCKET, KEY, file.text.clone(), false).await;
        let proxy = S3Proxy::start(server.port());
        let mut ground = Ground {
            set,
            proxy,
            uri,
            keys: Keys::generate(),
            hosts: Vec::new(),
            peak: 0,
            left: String::new(),
            asked: 0,
        };
        ground.hosts.extend([ground.host(), ground.host()]);
        ground
    }

    fn host(&self) -> Host {
        let host = s3::reads(s3::with_keys(Host::builder()), BUCKET, &self.proxy.url());
        let host = host.env("TITAN_MONGO__URI", &self.uri);
        host.env("TITAN_JWT__PUBLIC_KEY", &self.keys.public).start()
    }

    async fn queue(&self) -> String {
        let request = reqwest::Client::new().post(self.hosts[0].url("/big/codes"));
        let request = request.header("prefer", "respond-async").bearer_auth(self.keys.supreme());
        let import = data(request.json(&json!({ "fileKey": KEY }))).await;
        import["id"].as_str().expect("an id").to_owned()
    }

    /// The import as one of the hosts tells, whose reply waits for a primary.
    async fn import(&self, id: &str) -> Value {
        let host = self.hosts.last().expect("there are two");
        let import = get(host, &self.keys.supreme(), &format!("/big/imports/{id}")).await;
        let [rows, inserted, updated, rejected] =
            ["in", "inserted", "updated", "rejected"].map(|field| import[field].as_u64().expect("a number"));
        assert_eq!(rows, inserted + updated + rejected, "{import}");
        import
    }

    /// How many rows are done when that is enough.
    async fn until(&self, id: &str, limit: Duration, enough: impl Fn(u64) -> bool) -> u64 {
        let start = Instant::now();
        loop {
            let import = self.import(id).await;
            let rows = import["in"].as_u64().expect("a number");
            if enough(rows) {
                return rows;
            }
            assert!(start.elapsed() < limit && import["ended"].is_null(), "it does not go on: {import}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a host goes on with what a dead one has left.
    async fn until_taken_over(&self) {
        let start = Instant::now();
        while self.hosts.iter().all(|host| began(host) <= self.left) {
            assert!(start.elapsed() < TAKEOVER, "nobody takes the import over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a host asks for what it has missed of the file.
    async fn until_asked_for_the_rest(&self) {
        let start = Instant::now();
        while self.proxy.asked()[self.asked..].iter().all(|asked| asked.header("range").is_empty()) {
            assert!(start.elapsed() < TAKEOVER, "nobody asks for the rest of the file");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn let_happen(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::HostKilled => {
                let at_work = (0..self.hosts.len()).max_by_key(|&host| began(&self.hosts[host]));
                let mut host = self.hosts.remove(at_work.expect("there are two"));
                self.left = began(&host);
                self.peak = self.peak.max(host.peak_rss_kib());
                host.signal("KILL");
                host.wait();
                self.hosts.push(self.host());
            }
            Mishap::PrimaryKilled => {
                let primary = self.set.wait_for_primary(TAKEOVER);
                self.set.kill(primary);
                self.set.wait_for_primary(TAKEOVER);
                self.set.start_again(primary);
            }
            Mishap::BucketCut => {
                self.asked = self.proxy.asked().len();
                self.proxy.cut();
            }
        }
    }

    /// The numbers of the rejected rows.
    async fn rejected(&self, id: &str) -> Vec<usize> {
        let url = self.hosts[0].url(&format!("/big/imports/{id}/rejected"));
        let request = reqwest::Client::new().get(url).bearer_auth(self.keys.supreme());
        let report = request.send().await.expect("a reply").text().await.expect("it comes whole");
        let row = |line: &str| line.split(',').next()?.parse().ok();
        report.lines().skip(1).map(|line| row(line).expect("a number of a row")).collect()
    }

    /// The numbers of the codes that are stored, in their order.
    async fn codes(&self) -> Vec<usize> {
        let client = mongodb::Client::with_uri_str(&self.uri).await.expect("our own connection string");
        let codes = client.default_database().expect("named in the path").collection::<Document>("codes");
        let cursor = codes.find(doc! { "_id.campaign_id": "big" }).projection(doc! { "_id.code": 1 });
        let number = |document: Document| {
            let id = document.get_document("_id").expect("of every code");
            file::number(id.get_str("code").expect("of every code")).expect("of the file")
        };
        let mut found: Vec<usize> =
            cursor.await.expect("a cursor").map_ok(number).try_collect().await.expect("documents");
        found.sort_unstable();
        found
    }
}

/// When a host last began to work at an import; empty if it never did.
fn began(host: &Host) -> String {
    let lines = host.lines();
    let line = lines.iter().rfind(|line| line.contains("an import begins, or goes on"));
    let time = line
        .and_then(|line| serde_json::from_str::<Value>(line).ok()?["@timestamp"].as_str().map(str::to_owned));
    time.unwrap_or_default()
}
