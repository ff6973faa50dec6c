//! `POST /:campaignId/find`

use mongodb::bson::{DateTime, doc};
use reqwest::Method;
use serde_json::json;

use crate::client::Api;

#[tokio::test]
async fn a_code_is_found_with_all_that_is_known_of_it() {
    let api = Api::shared().await;
    let at = |second: i64| DateTime::from_millis(1_750_000_000_000 + 1000 * second);
    let all = doc! {
        "_id": { "campaign_id": &api.campaign, "code": "A1" }, "type": "tm",
        "date": { "saved": at(0), "reserved": at(1), "assigned": at(2) }, "reserveId": "mine",
    };
    api.db.collection("codes").insert_one(all).await.expect("insert");
    let found = api.post("/:campaign/find", json!({ "code": "A1" })).await.data();
    assert_eq!(
        found,
        json!({
            "code": "A1", "type": "tm", "status": "assigned", "reserveId": "mine",
            "saved": "2025-06-15T15:06:40.000Z", "reserved": "2025-06-15T15:06:41.000Z",
            "assigned": "2025-06-15T15:06:42.000Z",
        })
    );
}

#[tokio::test]
async fn what_does_not_apply_to_a_code_is_missing() {
    let api = Api::shared().await;
    // The deployed service leaves an id behind on what it releases.
    let released = doc! {
        "_id": { "campaign_id": &api.campaign, "code": "A1" }, "type": "tm", "date": {}, "reserveId": "old",
    };
    api.db.collection("codes").insert_one(released).await.expect("insert");
    let found = api.post("/v1/:campaign/find", json!({ "code": "A1" })).await.data();
    assert_eq!(found, json!({ "code": "A1", "type": "tm", "status": "available" }));
}

#[tokio::test]
async fn a_code_that_the_campaign_has_not_is_404_and_is_not_repeated() {
    let api = Api::shared().await;
    let answer = api.post("/:campaign/find", json!({ "code": "SECRET-9" })).await;
    assert!(!answer.body.contains("SECRET"), "{}", answer.body);
    answer.error(404, "not_found");
}

#[tokio::test]
async fn what_is_no_code_is_400() {
    let api = Api::quiet().await;
    for wrong in [json!({}), json!({ "code": 7 }), json!({ "code": "" }), json!({ "code": "a\nb" })] {
        let request = api.request(Method::POST, "/:campaign/find").json(&wrong);
        assert_eq!(api.refused(request, 400, "invalid_argument").await["field"], "code", "{wrong}");
    }
    let request = api.request(Method::POST, "/:campaign/find").json(&json!({ "code": "A1", "type": "tm" }));
    api.refused(request, 400, "invalidBody").await;
}

#[tokio::test]
async fn who_is_not_supreme_finds_nothing() {
    let api = Api::quiet().await;
    let request = api.anonymous(Method::POST, "/:campaign/find").json(&json!({ "code": "A1" }));
    api.refused(request, 403, "supremeUserRequired").await;
}
