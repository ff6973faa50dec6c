//! The host beside the core, and what it takes to stand there.

use std::time::{Duration, Instant};

use code_service_tests::caller::{Caller, get};
use code_service_tests::load::load;
use code_service_tests::{Host, Keys};
use serde_json::json;

use super::{Bench, PLENTY, Row, rates, timed_for};
use crate::ground::Ground;
use crate::worker::{CAMPAIGN, TYPE};

const PAIRS: usize = 6;
const LONG_ENOUGH: f64 = 4.0;
/// Starts that are timed.
const STARTS: usize = 7;

/// A host as it is deployed: its lines go to a file.
struct Deployed {
    host: Host,
    log: std::path::PathBuf,
    keys: Keys,
}

impl Deployed {
    fn start(uri: &str) -> Deployed {
        let keys = Keys::generate();
        let log = std::env::temp_dir().join(format!("code-service-bench-{}.log", std::process::id()));
        let host = Host::builder()
            .env("TITAN_MONGO__URI", uri)
            .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
            .env("TITAN_LOG__FILE", &log)
            .silent()
            .start();
        Deployed { host, log, keys }
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.log);
    }
}

impl Bench {
    pub(super) async fn http(&mut self) -> Vec<Row> {
        let (mut ours, mut core) = (Vec::new(), Vec::new());
        for round in 0..PAIRS {
            for of_core in [round % 2 == 0, round % 2 != 0] {
                let ground = Ground::full(&self.mongod, PLENTY).await;
                if of_core {
                    core.extend(ground.ours(1, &timed_for(256, 1, LONG_ENOUGH)).await);
                } else {
                    ours.push(self.reserved_over_http(&ground).await);
                }
                ground.clear().await;
            }
        }
        let row = Row::codes("http", "host, 256 callers x 1 code", &ours);
        let mut rows = vec![row.beside("the core", &rates(&core)).at_least(0.6)];
        let ground = Ground::full(&self.mongod, 1_000).await;
        let (mut starts, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let begun = Instant::now();
            let deployed = Deployed::start(&ground.uri);
            let mut caller = Caller::connect(deployed.host.port()).await.expect("the host listens");
            let asked = caller.call("GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert_eq!(asked.ok(), Some(200));
            starts.push(begun.elapsed().as_secs_f64() * 1000.0);
            memory.push(deployed.host.memory_kib() as f64 / 1024.0);
        }
        ground.clear().await;
        rows.push(
            Row::of("http", "host, exec to first 200", "ms", &starts).beside("300 ms", &[300.0]).at_most(1.0),
        );
        rows.push(
            Row::of("http", "host, idle memory", "MiB", &memory).beside("40 MiB", &[40.0]).at_most(1.0),
        );
        rows
    }

    /// Codes per second.
    async fn reserved_over_http(&self, ground: &Ground) -> f64 {
        let deployed = Deployed::start(&ground.uri);
        let token = deployed.keys.sign(&json!({
            "iss": "titan-lib",
            "isSupreme": true,
            "exp": code_service_tests::keys::now() + 3600,
        }));
        let request = get(&format!("/{CAMPAIGN}/reserve?count=1&type={TYPE}"), &token);
        ground.settle().await;
        let outcome = load(&deployed.host, &request, 256, Duration::from_secs_f64(LONG_ENOUGH)).await;
        assert_eq!((outcome.shed, outcome.other), (0, 0), "all are answered");
        outcome.rate
    }
}
