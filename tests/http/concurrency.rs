//! Two hosts on one database, many callers: each code goes to one of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use code_service_tests::Host;
use serde_json::json;

use crate::client::{Api, builder, csv, prepared, texts};

const CODES: usize = 20_000;
const CALLERS: usize = 32;

/// What one caller was given.
struct Given {
    codes: Vec<String>,
    /// How many codes had been handed out for sure when a short answer was asked for, and how many were missing.
    short: Option<(usize, usize)>,
}

/// Reserves until an answer is short: mostly one code, each fourth time ten.
async fn call(
    host: Arc<Host>,
    db: mongodb::Database,
    campaign: String,
    handed_out: Arc<AtomicUsize>,
) -> Given {
    let mut api = Api::of_shared(host, db);
    api.campaign = campaign;
    let mut codes = Vec::new();
    for number in 0.. {
        let count = if number % 4 == 3 { 10 } else { 1 };
        let data = api.get(&format!("/:campaign/reserve?count={count}&type=tm")).await.data();
        let given = texts(&data["codes"]);
        let missing = count - given.len();
        handed_out.fetch_add(given.len(), Ordering::SeqCst);
        codes.extend(given);
        if missing > 0 {
            return Given { codes, short: Some((handed_out.load(Ordering::SeqCst), missing)) };
        }
    }
    Given { codes, short: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_with_32_callers_each_hand_out_every_code_once() {
    let test = prepared().await;
    let hosts = [Arc::new(builder(&test.uri).start()), Arc::new(builder(&test.uri).start())];
    let api = Api::of_shared(Arc::clone(&hosts[0]), test.db.clone());
    assert_eq!(api.upload("tm", csv(CODES)).await.data()["count"]["inserted"], CODES);

    let handed_out = Arc::new(AtomicUsize::new(0));
    let callers = (0..2 * CALLERS).map(|number| {
        let host = Arc::clone(&hosts[number % 2]);
        tokio::spawn(call(host, test.db.clone(), api.campaign.clone(), Arc::clone(&handed_out)))
    });
    let mut all = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        let given = caller.await.expect("a caller only reserves");
        let (handed_out, missing) = given.short.expect("the pool ends");
        // Others may hold codes whose replies are still on their way: at most ten each.
        let on_their_way = 10 * (2 * CALLERS - 1);
        assert!(
            handed_out + on_their_way >= CODES,
            "{missing} codes missing in an answer when only {handed_out} of {CODES} were handed out"
        );
        all.extend(given.codes);
    }

    assert_eq!(all.len(), CODES, "handed out");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), CODES, "handed out once");
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 0, "reserved": CODES, "assigned": 0 }));
}

#[tokio::test]
async fn all_or_nothing_reserves_at_two_hosts_share_a_pool_without_a_rest() {
    let test = prepared().await;
    let hosts = [Arc::new(builder(&test.uri).start()), Arc::new(builder(&test.uri).start())];
    let apis = hosts.map(|host| {
        let mut api = Api::of_shared(host, test.db.clone());
        api.campaign = "shared".to_owned();
        api
    });
    apis[0].upload("tm", csv(100)).await.data();
    // 20 callers want 10 each, 10 of them can have them.
    let wish = json!({ "type": "tm", "count": 10 });
    let puts = (0..20).map(|number| {
        let (api, wish) = (&apis[number % 2], wish.clone());
        async move { api.put(&format!("/:campaign/reservations/caller-{number}"), wish).await }
    });
    let answers = futures_util::future::join_all(puts).await;
    let (mut codes, mut refused) = (Vec::new(), 0);
    for answer in answers {
        match answer.status {
            201 => codes.extend(texts(&answer.json()["data"]["codes"])),
            409 => refused += 1,
            _ => panic!("{}", answer.body),
        }
    }
    assert_eq!((codes.len(), refused), (100, 10));
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 100);
}

#[tokio::test]
async fn one_id_at_two_hosts_at_once_gives_one_set_of_codes() {
    let test = prepared().await;
    let hosts = [Arc::new(builder(&test.uri).start()), Arc::new(builder(&test.uri).start())];
    let apis = hosts.map(|host| {
        let mut api = Api::of_shared(host, test.db.clone());
        api.campaign = "shared".to_owned();
        api
    });
    apis[0].upload("tm", csv(1000)).await.data();
    let wish = json!({ "type": "tm", "count": 5 });
    for round in 0..10 {
        let puts = (0..8).map(|number| {
            let (api, wish) = (&apis[number % 2], wish.clone());
            async move { api.put(&format!("/:campaign/reservations/round-{round}"), wish).await }
        });
        let answers = futures_util::future::join_all(puts).await;
        let sets: HashSet<Vec<String>> = answers
            .iter()
            .map(|answer| {
                let mut codes = texts(&answer.json()["data"]["codes"]);
                codes.sort();
                codes
            })
            .collect();
        assert_eq!(sets.len(), 1, "one set of codes");
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    }
    let counts = apis[0].get("/:campaign/codes/count?type=tm&status=reserved").await.data();
    assert_eq!(counts["reserved"], 50);
}
