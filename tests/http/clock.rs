//! A host whose clock is a day ahead beside one whose clock is right.

use std::collections::HashSet;
use std::sync::Arc;

use code_service_tests::{clock, keys};
use mongodb::bson::DateTime;
use serde_json::{Value, json};

use crate::client::{Api, builder, csv, keys as our_keys, prepared, texts};

const CODES: usize = 400;

/// The normal host and the fast one on one database, each with a token that both clocks take.
async fn both() -> [Api; 2] {
    let test = prepared().await;
    let normal = builder(&test.uri).start();
    let fast = builder(&test.uri).prefix(clock::ahead()).start();
    // It will be killed. Who has the memory in use keeps it.
    clock::tidy(fast.pid());
    let mut claims = keys::claims();
    claims["exp"] = json!(keys::now() + 7 * 24 * 3600);
    let token = our_keys().sign(&claims);
    let apis = [normal, fast].map(|host| {
        let mut api = Api::of_shared(Arc::new(host), test.db.clone()).with_token(token.clone());
        api.campaign = "shared".to_owned();
        api
    });
    let timestamp = apis[1].get("/dev/auth").await.json()["meta"]["timestamp"].take();
    let fast_now = DateTime::parse_rfc3339_str(timestamp.as_str().expect("a text")).expect("RFC 3339");
    let hours = (fast_now.timestamp_millis() - DateTime::now().timestamp_millis()) / 3_600_000;
    assert!((24..=25).contains(&hours), "the fast clock is {hours} h ahead");
    apis
}

async fn counts(api: &Api) -> Value {
    api.get("/:campaign/codes/count?type=tm").await.data()
}

#[tokio::test]
async fn no_code_is_handed_out_twice() {
    let [normal, fast] = both().await;
    normal.upload("tm", csv(CODES)).await.data();
    let callers = (0..8).map(|number| {
        let api = if number % 2 == 0 { &normal } else { &fast };
        async move {
            let mut mine = Vec::new();
            loop {
                let codes = api.reserve(5).await;
                if codes.is_empty() {
                    return mine;
                }
                mine.extend(codes);
            }
        }
    });
    let given: Vec<String> = futures_util::future::join_all(callers).await.concat();
    assert_eq!(given.len(), CODES);
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), CODES);
}

#[tokio::test]
async fn what_is_reserved_is_reserved_by_both_clocks() {
    let [normal, fast] = both().await;
    normal.upload("tm", csv(10)).await.data();
    assert_eq!(normal.reserve(3).await.len(), 3);
    assert_eq!(fast.reserve(3).await.len(), 3);
    let expected = json!({ "available": 4, "reserved": 6, "assigned": 0 });
    assert_eq!(counts(&normal).await, expected);
    assert_eq!(counts(&fast).await, expected);
    assert_eq!(fast.reserve(10).await.len(), 4);
    assert_eq!(normal.reserve(10).await.len(), 0);
}

#[tokio::test]
async fn an_id_gives_the_same_codes_at_both() {
    let [normal, fast] = both().await;
    normal.upload("tm", csv(10)).await.data();
    let wish = json!({ "type": "tm", "count": 3 });
    for (first, second, id) in [(&normal, &fast, "one"), (&fast, &normal, "two")] {
        let path = format!("/:campaign/reservations/{id}");
        let made = first.put(&path, wish.clone()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let repeated = second.put(&path, wish.clone()).await.data();
        let sorted = |codes: &Value| {
            let mut codes = texts(codes);
            codes.sort();
            codes
        };
        assert_eq!(sorted(&made.json()["data"]["codes"]), sorted(&repeated["codes"]));
        let found = second.get(&path).await.data();
        let codes = found["codes"].as_array().expect("a list");
        assert!(codes.iter().all(|code| code["status"] == "reserved"), "{found}");
    }
}

#[tokio::test]
async fn all_dates_in_the_database_are_the_servers() {
    let [_, fast] = both().await;
    let before = DateTime::now();
    fast.upload("tm", csv(10)).await.data();
    fast.upload("tm", csv(3)).await.data();
    fast.reserve(3).await;
    let wish = json!({ "type": "tm", "count": 2 });
    fast.put("/:campaign/reservations/mine", wish).await;
    fast.post("/:campaign/assign", json!({ "codes": ["C00007", "C00008", "C00009"] })).await.data();
    let after = DateTime::now();
    for code in fast.stored().await {
        let dates = code.get_document("date").expect("dates");
        for (name, _) in dates {
            let date = dates.get_datetime(name).expect("a date");
            assert!(before <= *date && *date <= after, "{name} is {date}");
        }
    }
}
