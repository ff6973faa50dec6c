//! Bodies that are no good JSON, or say more or less than asked.

use reqwest::Method;
use serde_json::json;

use crate::client::Api;

const PATHS: [&str; 3] = ["/:campaign/assign", "/:campaign/release", "/:campaign/codes"];

async fn refused(body: impl Into<Vec<u8>>) {
    let (api, body) = (Api::quiet().await, body.into());
    for path in PATHS {
        let request = api.request(Method::POST, path).body(body.clone());
        api.refused(request, 400, "invalidBody").await;
    }
    let request = api.request(Method::PUT, "/:campaign/reservations/new").body(body.clone());
    api.refused(request, 400, "invalidBody").await;
}

#[tokio::test]
async fn a_body_that_is_missing_is_refused() {
    refused("").await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_refused() {
    refused("{\"codes\":[\"A1\"").await;
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused() {
    refused(
        "{\"codes\":[\"A1\"],\"codes\":[\"A2\"],\"fileKey\":\"a\",\"fileKey\":\"b\",\"count\":1,\"count\":2}",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    refused("{\"codes\":[\"A1\"],\"force\":true}").await;
}

#[tokio::test]
async fn garbage_behind_the_body_is_refused() {
    refused("{} {}").await;
    refused("{}garbage").await;
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_refused() {
    refused(b"{\"codes\":[\"A\xff\"]}").await;
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused() {
    refused("[".repeat(1900)).await;
    refused(format!("{{\"codes\":{}", "[".repeat(1900))).await;
    refused(format!("{{\"codes\":{}{}}}", "[".repeat(900), "]".repeat(900))).await;
}

#[tokio::test]
async fn a_body_that_is_a_text_a_number_or_null_is_refused() {
    for body in ["\"A1\"", "1", "null", "true"] {
        refused(body).await;
    }
}

#[tokio::test]
async fn a_body_that_is_a_list_is_refused() {
    // A host of its own: taking such a body would change what the others compare.
    let api = Api::start(|host| host).await;
    api.save(&["A1", "A2"]).await;
    api.post("/:campaign/assign", json!({ "codes": ["A2"] })).await.data();
    for (method, path, body) in [
        (Method::POST, "/:campaign/assign", json!([["A1"], null])),
        (Method::POST, "/:campaign/release", json!([["A1"], null])),
        (Method::PUT, "/:campaign/reservations/new", json!(["tm", 1, null])),
        (Method::POST, "/:campaign/codes", json!(["codes/seeded/tm/nowhere.csv"])),
        (Method::POST, "/:campaign/assign", json!([])),
    ] {
        api.refused(api.request(method, path).json(&body), 400, "invalidBody").await;
    }
}

#[tokio::test]
async fn a_reserve_id_that_is_an_object_is_refused() {
    let api = Api::quiet().await;
    for id in [json!({ "$gt": "" }), json!({ "$ne": null }), json!(["held"]), json!(1), json!(true)] {
        for path in ["/:campaign/assign", "/:campaign/release"] {
            let body = json!({ "codes": ["A4"], "reserveId": id });
            let request = api.request(Method::POST, path).json(&body);
            let error = api.refused(request, 400, "invalid_argument").await;
            assert!(error["message"].as_str().expect("a text").starts_with("reserveId: "), "{error}");
        }
    }
}

#[tokio::test]
async fn partial_must_be_true_or_false() {
    let api = Api::quiet().await;
    let wish = json!({ "type": "tm", "count": 1, "partial": "yes" });
    let request = api.request(Method::PUT, "/:campaign/reservations/new").json(&wish);
    let error = api.refused(request, 400, "invalid_argument").await;
    assert!(error["message"].as_str().expect("a text").starts_with("partial: "), "{error}");
}
