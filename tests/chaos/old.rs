//! A client process of the deployed service's algorithm, beside ours on the same codes.

use std::time::Duration;

use code_service_tests::OldService;
use mongodb::bson::doc;
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, Database};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::history::{Call, Outcome};
use crate::plan::{MIXED, Orders};
use crate::record::Recorder;

/// Long after the run, by any clock.
const NEVER: i64 = 4_000_000_000_000;

/// What `chaos client ORDERS` does for the deployed service.
pub(crate) async fn run(orders: Orders, ports: &[u16], database: &str) {
    let recorder = Recorder::create(&orders.history(), orders.number, true);
    let mut rng = StdRng::seed_from_u64(orders.seed ^ (u64::from(orders.number) << 32));
    let end = Orders::end_of(&orders.folder);
    let pool = &orders.pools[MIXED];
    let mut held: Vec<(String, Vec<String>)> = Vec::new();
    let mut primary = None;
    while !end.exists() {
        let Some(service) = &primary else {
            primary = find_primary(ports, database).await.map(|database| OldService::new(&database));
            continue;
        };
        if held.len() < 4 {
            let count = rng.random_range(1..=5);
            let what = Call::Reserve { pool: MIXED, count, partial: true, id: None };
            let answer = async {
                match service.reserve(&pool.campaign, &pool.code_type, count as usize).await {
                    Ok((codes, id)) => {
                        Outcome::Got { id, codes, reserved_ms: 0, expires_ms: NEVER, replayed: false }
                    }
                    Err(_) => Outcome::Failed,
                }
            };
            match recorder.call(what, answer).await {
                Outcome::Got { id, codes, .. } if !codes.is_empty() => held.push((id, codes)),
                Outcome::Got { .. } => {}
                _ => primary = None,
            }
            continue;
        }
        let (_, codes) = held.swap_remove(rng.random_range(0..held.len()));
        let (assign, named) = (rng.random_bool(0.1), codes.clone());
        let answer = async {
            let done = if assign {
                service.assign(&pool.campaign, &named).await
            } else {
                service.release(&pool.campaign, &named).await
            };
            done.map_or(Outcome::Unavailable, |updated| Outcome::Settled { updated, lost: Vec::new() })
        };
        let what = if assign {
            Call::Assign { pool: MIXED, id: None, codes }
        } else {
            Call::Release { pool: MIXED, id: None, codes }
        };
        if recorder.call(what, answer).await == Outcome::Unavailable {
            primary = None;
        }
    }
}

/// The member that says it is primary.
async fn find_primary(ports: &[u16], database: &str) -> Option<Database> {
    for port in ports {
        let options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host: "127.0.0.1".into(), port: Some(*port) }])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_millis(500))
            .build();
        let database = Client::with_options(options).expect("plain options").database(database);
        let hello = tokio::time::timeout(Duration::from_secs(1), database.run_command(doc! { "hello": 1 }));
        if let Ok(Ok(hello)) = hello.await
            && hello.get_bool("isWritablePrimary").unwrap_or(false)
        {
            return Some(database);
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    None
}
