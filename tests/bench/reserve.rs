//! Reserving: ours, the floor that the database sets, and what is replaced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use code_service::{CampaignId, CodeService, CodeType, Options, Reserve, Rows};
use code_service_tests::{Mongod, OldService, fresh_database, sample};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use tokio::sync::Mutex;

/// One measurement of callers that reserve.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) codes_per_second: f64,
    /// Answers with fewer codes than asked.
    pub(crate) short: usize,
    pub(crate) calls: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// A database with a pool of codes and nothing else.
pub(crate) struct Ground {
    pub(crate) uri: String,
    pub(crate) codes: Vec<String>,
    pub(crate) campaign: CampaignId,
    pub(crate) tm: CodeType,
}

impl Ground {
    pub(crate) async fn new(mongod: &Mongod, size: usize) -> Ground {
        let ground = Ground {
            uri: mongod.uri_for(&fresh_database()),
            codes: sample::codes(size),
            campaign: CampaignId::parse("bench").expect("valid"),
            tm: CodeType::parse("tm").expect("valid"),
        };
        let service = ground.service().await;
        service.ensure_indexes().await.expect("indexes");
        let rows = Rows::codes(ground.codes.clone());
        service.save(&ground.campaign, &ground.tm, rows).await.expect("saved");
        ground
    }

    pub(crate) async fn service(&self) -> CodeService {
        CodeService::connect(Options::new(&self.uri)).await.expect("a server")
    }

    async fn database(&self) -> mongodb::Database {
        let client = mongodb::Client::with_uri_str(&self.uri).await.expect("a server");
        client.default_database().expect("in the path")
    }
}

/// Callers that each reserve `count` codes again and again, for a while or until `total` codes are taken.
pub(crate) async fn ours(ground: &Ground, callers: usize, count: u32, total: usize) -> Measured {
    let service = ground.service().await;
    let wish = Reserve::new(ground.campaign.clone(), ground.tm.clone(), count);
    measure(callers, count as usize, total, move || {
        let (service, wish) = (service.clone(), wish.clone());
        async move { service.reserve(wish).await.map_or(0, |reservation| reservation.codes.len()) }
    })
    .await
}

pub(crate) async fn old(ground: &Ground, callers: usize, count: usize, total: usize) -> Measured {
    let old = Arc::new(OldService::new(&ground.database().await));
    measure(callers, count, total, move || {
        let old = old.clone();
        async move { old.reserve("bench", "tm", count).await.expect("a server").0.len() }
    })
    .await
}

/// `findOneAndUpdate` on ids that are known, one code per call.
pub(crate) async fn lone_known(ground: &Ground, total: usize) -> Measured {
    let codes = ground.database().await.collection::<Document>("codes");
    let known = Arc::new(Mutex::new(ground.codes.iter().cloned().collect::<VecDeque<_>>()));
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    measure(1, 1, total, move || {
        let (codes, known, majority) = (codes.clone(), known.clone(), majority.clone());
        async move {
            let code = known.lock().await.pop_front().expect("enough codes");
            let filter = doc! {
                "_id": { "campaign_id": "bench", "code": code },
                "date.reserved": Bson::Null, "date.assigned": Bson::Null,
            };
            let update = doc! { "$set": { "reserveId": "x" }, "$currentDate": { "date.reserved": true } };
            let found = codes.find_one_and_update(filter, update).write_concern(majority).await;
            usize::from(found.expect("a server").is_some())
        }
    })
    .await
}

/// The floor: guarded `updateMany` on ids that are known, so many in flight of so many codes.
pub(crate) async fn floor(ground: &Ground, in_flight: usize, size: usize, total: usize) -> Measured {
    let codes = ground.database().await.collection::<Document>("codes");
    let known = Arc::new(Mutex::new(ground.codes.iter().cloned().collect::<VecDeque<_>>()));
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    measure(in_flight, size, total, move || {
        let (codes, known, majority) = (codes.clone(), known.clone(), majority.clone());
        async move {
            let ids: Vec<Bson> = known
                .lock()
                .await
                .drain(..size)
                .map(|code| doc! { "campaign_id": "bench", "code": code }.into())
                .collect();
            let filter =
                doc! { "_id": { "$in": ids }, "date.reserved": Bson::Null, "date.assigned": Bson::Null };
            let update = doc! { "$set": { "reserveId": uuid() }, "$currentDate": { "date.reserved": true } };
            let done = codes.update_many(filter, update).write_concern(majority).await.expect("a server");
            usize::try_from(done.modified_count).expect("fits")
        }
    })
    .await
}

fn uuid() -> String {
    code_service::ReserveId::random().as_str().to_owned()
}

async fn measure<F>(
    callers: usize,
    count: usize,
    total: usize,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Measured
where
    F: Future<Output = usize> + Send,
{
    let left = Arc::new(AtomicUsize::new(total / count));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (left, call) = (left.clone(), call.clone());
            tokio::spawn(async move {
                let mut calls = Vec::new();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let began = Instant::now();
                    let got = call().await;
                    calls.push((began.elapsed(), got));
                }
                calls
            })
        })
        .collect();
    let mut calls = Vec::new();
    for task in tasks {
        calls.extend(task.await.expect("no panic"));
    }
    let took = start.elapsed();
    let codes: usize = calls.iter().map(|(_, got)| got).sum();
    let short = calls.iter().filter(|(_, got)| *got < count).count();
    let mut times: Vec<Duration> = calls.iter().map(|(time, _)| *time).collect();
    times.sort();
    Measured {
        codes_per_second: codes as f64 / took.as_secs_f64(),
        short,
        calls: calls.len(),
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
    }
}
