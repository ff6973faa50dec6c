//! `make bench`: how fast the service is beside what it replaces, as ratios from one run.
//!
//! Every line runs both sides in turn, several rounds, each round on a fresh database of one server; the
//! figure is the median. A line that does not reach what it must makes the run fail.

mod reserve;

use std::time::{Duration, Instant};

use code_service::{CampaignId, CodeService, CodeType, Options, Rows};
use code_service_tests::{Mongod, OldService, fresh_database, sample};

const ROUNDS: usize = 3;
const ROWS: usize = 1_000_000;
/// The old way needs minutes for a million rows: a part of them tells its speed, and a smaller collection
/// favours it.
const OLD_ROWS: usize = 200_000;
/// Our rows per second at least this many times the old upsert's.
const MUST_REACH: f64 = 4.0;

#[tokio::main]
async fn main() {
    let mongod = Mongod::shared();
    if std::env::args().nth(1).as_deref() == Some("reserve") {
        for round in 0..2 {
            for (f, s) in [(1, 1000), (2, 1000), (4, 1000), (2, 100), (4, 100), (4, 64), (2, 128)] {
                let g = reserve::Ground::new(mongod, 60_000).await;
                println!("{round} floor {f}x{s}: {:?}", reserve::floor(&g, f, s, 50_000).await);
            }
            for (c, n, t) in [
                (256, 1, 50_000),
                (64, 1, 30_000),
                (32, 1, 20_000),
                (1, 1, 500),
                (8, 100, 60_000),
                (1, 50_000, 50_000),
            ] {
                let g = reserve::Ground::new(mongod, 80_000).await;
                println!("{round} ours {c}x{n}: {:?}", reserve::ours(&g, c, n, t).await);
            }
            let g = reserve::Ground::new(mongod, 60_000).await;
            println!("{round} lone known: {:?}", reserve::lone_known(&g, 500).await);
        }
        return;
    }
    let codes = sample::codes(ROWS);
    let (mut ours, mut old) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let took = old_upsert(mongod, &codes[..OLD_ROWS]).await;
        old.push(OLD_ROWS as f64 / took.as_secs_f64());
        let took = import(mongod, &codes).await;
        ours.push(ROWS as f64 / took.as_secs_f64());
        eprintln!("round {round}: old {:.0} rows/s, ours {:.0} rows/s", old[round - 1], ours[round - 1]);
    }
    let (ours, old) = (median(ours), median(old));
    let ratio = ours / old;
    println!(
        "import of new rows | old upsert {old:.0}/s | ours {ours:.0}/s | ratio {ratio:.1} | must reach {MUST_REACH}"
    );
    assert!(ratio >= MUST_REACH, "the import is only {ratio:.1} times the old upsert");
}

async fn import(mongod: &Mongod, codes: &[String]) -> Duration {
    let service =
        CodeService::connect(Options::new(mongod.uri_for(&fresh_database()))).await.expect("a server");
    service.ensure_indexes().await.expect("indexes");
    let (campaign, tm) = (CampaignId::parse("bench").expect("valid"), CodeType::parse("tm").expect("valid"));
    let rows = Rows::codes(codes.to_vec());
    let start = Instant::now();
    let report = service.save(&campaign, &tm, rows).await.expect("saved");
    assert_eq!(report.inserted, codes.len() as u64);
    start.elapsed()
}

async fn old_upsert(mongod: &Mongod, codes: &[String]) -> Duration {
    let client = mongodb::Client::with_uri_str(mongod.uri()).await.expect("a server");
    let old = OldService::new(&client.database(&fresh_database()));
    old.create_indexes().await.expect("indexes");
    let start = Instant::now();
    let saved = old.save("bench", "tm", codes).await.expect("saved");
    assert_eq!(saved.inserted, codes.len() as u64);
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
