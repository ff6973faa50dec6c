//! Names and queries that nobody should send: refused with the field's name, and nothing changed.

use reqwest::Method;
use serde_json::json;

use crate::client::{Api, send};

/// One request per path that takes a campaign.
fn everywhere(api: &Api, campaign: &str) -> Vec<reqwest::RequestBuilder> {
    let codes = json!({ "codes": ["A1"] });
    let wish = json!({ "type": "tm", "count": 1 });
    let get = |path: &str| api.request(Method::GET, &format!("/{campaign}/{path}"));
    let put = |path: &str| api.request(Method::PUT, &format!("/{campaign}/{path}"));
    let post = |path: &str| api.request(Method::POST, &format!("/{campaign}/{path}"));
    vec![
        post("codes").json(&json!({ "fileKey": "codes/seeded/tm/a.csv" })),
        put("codes?type=tm").body("B1\n"),
        get("reserve?count=1&type=tm"),
        post("assign").json(&codes),
        post("release").json(&codes),
        get("codes/count?type=tm"),
        put("reservations/new").json(&wish),
        get("reservations/new"),
        post("reservations/new/recover"),
    ]
}

async fn refused_everywhere(campaign: &str) {
    let api = Api::quiet().await;
    for request in everywhere(&api, campaign) {
        let error = api.refused(request, 400, "invalid_argument").await;
        let message = error["message"].as_str().expect("a text");
        assert!(message.starts_with("campaignId: "), "{message}");
    }
}

#[tokio::test]
async fn a_campaign_of_257_bytes_is_refused() {
    refused_everywhere(&"x".repeat(257)).await;
}

#[tokio::test]
async fn a_campaign_of_256_bytes_is_taken() {
    let mut api = Api::shared().await;
    api.campaign = "y".repeat(256);
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200);
}

#[tokio::test]
async fn a_campaign_with_a_nul_is_refused() {
    refused_everywhere("see%00ded").await;
}

#[tokio::test]
async fn a_campaign_with_a_line_break_is_refused() {
    refused_everywhere("see%0aded").await;
}

#[tokio::test]
async fn a_campaign_that_is_not_utf_8_is_refused() {
    refused_everywhere("see%ffded").await;
}

#[tokio::test]
async fn a_bad_argument_is_named_in_the_field_of_the_error() {
    let api = Api::quiet().await;
    for campaign in ["see%00ded", "see%ffded"] {
        let error = send(api.request(Method::GET, &format!("/{campaign}/codes/count?type=tm"))).await;
        assert_eq!(error.error(400, "invalid_argument")["field"], "campaignId", "{campaign}");
    }
}

#[tokio::test]
async fn a_reserve_id_that_is_too_long_or_holds_control_characters_is_refused_by_its_name() {
    let api = Api::quiet().await;
    for id in ["x".repeat(257), "a%00".to_owned(), "a%0a".to_owned()] {
        let path = format!("/:campaign/reservations/{id}");
        let wish = json!({ "type": "tm", "count": 1 });
        for request in [
            api.request(Method::GET, &path),
            api.request(Method::PUT, &path).json(&wish),
            api.request(Method::POST, &format!("{path}/recover")),
        ] {
            let error = api.refused(request, 400, "invalid_argument").await;
            assert_eq!(error["field"], "reserveId");
        }
    }
}

#[tokio::test]
async fn a_reserve_id_in_the_path_that_is_not_utf_8_is_refused_by_its_name() {
    let api = Api::quiet().await;
    let request = api.request(Method::GET, "/:campaign/reservations/a%ff");
    let error = api.refused(request, 400, "invalid_argument").await;
    let message = error["message"].as_str().expect("a text");
    assert!(message.starts_with("reserveId: "), "{message}");
}

#[tokio::test]
async fn a_code_that_is_empty_too_long_or_holds_a_nul_is_refused_by_its_place() {
    let api = Api::quiet().await;
    for bad in [String::new(), "x".repeat(257), "A\u{0}1".to_owned(), "A\n1".to_owned()] {
        for path in ["/:campaign/assign", "/:campaign/release"] {
            let request = api.request(Method::POST, path).json(&json!({ "codes": ["A1", bad] }));
            let error = api.refused(request, 400, "invalid_argument").await;
            assert_eq!(error["field"], "codes[1]");
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_given_twice_is_refused_by_its_name() {
    let api = Api::quiet().await;
    for (query, name) in [
        ("reserve?count=1&type=tm&type=external", "type"),
        ("reserve?count=1&count=2&type=tm", "count"),
        ("reserve?count=1&count=1&type=tm", "count"),
        ("codes/count?type=tm&type=tm", "type"),
        ("codes/count?type=tm&status=available&status=reserved", "status"),
    ] {
        let request = api.request(Method::GET, &format!("/:campaign/{query}"));
        let error = api.refused(request, 400, "invalid_argument").await;
        let message = error["message"].as_str().expect("a text");
        assert!(message.starts_with(&format!("{name}: ")), "{query}: {message}");
    }
    let upload = api.request(Method::PUT, "/:campaign/codes?type=tm&type=external").body("B1\n");
    api.refused(upload, 400, "invalid_argument").await;
}

#[tokio::test]
async fn brackets_in_a_query_do_not_become_an_operator() {
    let api = Api::quiet().await;
    let request = api.request(Method::GET, "/:campaign/codes/count?type[$gt]=");
    api.refused(request, 400, "missingType").await;
    let request = api.request(Method::GET, "/:campaign/reserve?count=1&type[$ne]=x");
    api.refused(request, 400, "missingCodeReserveParams").await;
}

#[tokio::test]
async fn a_campaign_that_looks_like_an_operator_is_only_a_name() {
    let mut api = Api::quiet().await;
    for name in ["$gt", "$ne", "%7B%22$gt%22%3A%22%22%7D"] {
        api.campaign = name.to_owned();
        let counts = api.get("/:campaign/codes/count?type=tm").await.data();
        assert_eq!(counts, json!({ "available": 0, "reserved": 0, "assigned": 0 }));
        assert_eq!(api.reserve(1).await.len(), 0);
    }
}
