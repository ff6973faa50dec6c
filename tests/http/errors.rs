//! Every row of the table of refusals: status and payload right, and nothing changed.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::client::{Api, csv, in_pieces, send};

fn get(api: &Api, path: &str) -> RequestBuilder {
    api.request(Method::GET, path)
}

fn post(api: &Api, path: &str, body: Value) -> RequestBuilder {
    api.request(Method::POST, path).json(&body)
}

#[tokio::test]
async fn a_file_key_of_another_form_is_404() {
    let api = Api::quiet().await;
    for key in [
        json!(""),
        json!("codes"),
        json!("codes/seeded/tm"),
        json!("codes/seeded/tm/"),
        json!("codes/seeded/tm/a/b.csv"),
        json!("files/seeded/tm/a.csv"),
        json!("/codes/seeded/tm/a.csv"),
        json!("codes/seeded/tm/.."),
        json!("codes/seeded/../a.csv"),
        json!("codes/seeded/tm/a\u{0}.csv"),
        json!(7),
        json!(null),
        json!({ "$gt": "" }),
    ] {
        let request = post(&api, "/:campaign/codes", json!({ "fileKey": key }));
        api.refused(request, 404, "invalidFileKey").await;
    }
    api.refused(post(&api, "/:campaign/codes", json!({})), 404, "invalidFileKey").await;
}

#[tokio::test]
async fn a_file_key_of_another_campaign_is_404() {
    let api = Api::quiet().await;
    let request = post(&api, "/:campaign/codes", json!({ "fileKey": "codes/other/tm/a.csv" }));
    api.refused(request, 404, "invalidFileKey").await;
}

#[tokio::test]
async fn a_file_that_is_not_in_the_bucket_is_404() {
    let api = Api::quiet().await;
    let request = post(&api, "/:campaign/codes", json!({ "fileKey": "codes/seeded/tm/nowhere.csv" }));
    api.refused(request, 404, "fileNotFound").await;
}

#[tokio::test]
async fn a_type_that_is_not_allowed_is_400_wherever_it_stands() {
    let api = Api::quiet().await;
    for request in [
        post(&api, "/:campaign/codes", json!({ "fileKey": "codes/seeded/vip/a.csv" })),
        api.request(Method::PUT, "/:campaign/codes?type=vip").body("B1\n"),
        get(&api, "/:campaign/reserve?count=1&type=vip"),
        get(&api, "/:campaign/reserve?count=1&type=TM"),
        get(&api, "/:campaign/codes/count?type=vip"),
        api.request(Method::PUT, "/:campaign/reservations/new").json(&json!({ "type": "vip", "count": 1 })),
        api.request(Method::PUT, "/:campaign/reservations/new").json(&json!({ "type": ["tm"], "count": 1 })),
    ] {
        api.refused(request, 400, "invalidType").await;
    }
}

#[tokio::test]
async fn an_unknown_status_is_400() {
    let api = Api::quiet().await;
    for status in ["free", "Available", "available%20"] {
        let path = format!("/:campaign/codes/count?type=tm&status={status}");
        api.refused(get(&api, &path), 400, "invalidStatus").await;
    }
}

#[tokio::test]
async fn a_count_without_a_type_is_400() {
    let api = Api::quiet().await;
    for path in ["/:campaign/codes/count", "/:campaign/codes/count?type=", "/:campaign/codes/count?status=x"]
    {
        api.refused(get(&api, path), 400, "missingType").await;
    }
}

#[tokio::test]
async fn an_upload_without_a_type_is_400() {
    let api = Api::quiet().await;
    let request = api.request(Method::PUT, "/:campaign/codes").body("B1\n");
    api.refused(request, 400, "missingType").await;
}

#[tokio::test]
async fn a_reserve_without_count_or_type_is_400() {
    let api = Api::quiet().await;
    for query in ["", "?count=1", "?type=tm", "?count=&type=tm", "?count=1&type="] {
        let request = get(&api, &format!("/:campaign/reserve{query}"));
        api.refused(request, 400, "missingCodeReserveParams").await;
    }
    for wish in [json!({}), json!({ "type": "tm" }), json!({ "count": 1 })] {
        let request = api.request(Method::PUT, "/:campaign/reservations/new").json(&wish);
        api.refused(request, 400, "missingCodeReserveParams").await;
    }
}

#[tokio::test]
async fn a_count_below_one_or_no_whole_number_is_400() {
    let api = Api::quiet().await;
    for count in ["0", "-1", "1.5", "1.0", "1e3", "1000000000000", "99999999999999999999999", "abc", "%2B1"] {
        let request = get(&api, &format!("/:campaign/reserve?count={count}&type=tm"));
        api.refused(request, 400, "invalidCount").await;
    }
}

#[tokio::test]
async fn a_count_in_a_body_must_be_a_whole_number_too() {
    let api = Api::quiet().await;
    for count in [json!(0), json!(-1), json!(1.5), json!(1_000_000_000_000_u64), json!("1"), json!([1])] {
        let wish = json!({ "type": "tm", "count": count });
        let request = api.request(Method::PUT, "/:campaign/reservations/new").json(&wish);
        api.refused(request, 400, "invalidCount").await;
    }
}

#[tokio::test]
async fn codes_that_are_missing_no_list_or_empty_are_400_each_with_its_word() {
    let api = Api::quiet().await;
    for (body, payload) in [
        (json!({}), "missingCodes"),
        (json!({ "codes": null }), "missingCodes"),
        (json!({ "codes": "A1" }), "invalidCodesProp"),
        (json!({ "codes": 1 }), "invalidCodesProp"),
        (json!({ "codes": { "$gt": "" } }), "invalidCodesProp"),
        (json!({ "codes": [] }), "emptyCodes"),
        (json!({ "codes": ["A1", 1] }), "invalidCodesProp"),
        (json!({ "codes": ["A1", null] }), "invalidCodesProp"),
        (json!({ "codes": [{ "$gt": "" }] }), "invalidCodesProp"),
        (json!({ "codes": [["A1"]] }), "invalidCodesProp"),
    ] {
        for path in ["/:campaign/assign", "/:campaign/release"] {
            api.refused(post(&api, path, body.clone()), 400, payload).await;
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let api = Api::quiet().await;
    for path in [
        "/",
        "/nowhere",
        "/:campaign",
        "/:campaign/codes/",
        "/:campaign/codes/count/x",
        "/v1",
        "/v2/a/codes/count",
    ] {
        api.refused(get(&api, path), 404, "notFound").await;
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_the_right_ones_are_named() {
    let api = Api::quiet().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/:campaign/assign", "POST"),
        (Method::POST, "/:campaign/reserve?count=1&type=tm", "GET,HEAD"),
        (Method::GET, "/:campaign/assign", "POST"),
        (Method::PUT, "/:campaign/release", "POST"),
        (Method::POST, "/:campaign/codes/count?type=tm", "GET,HEAD"),
        (Method::POST, "/:campaign/reservations/held", "PUT,GET,HEAD"),
        (Method::GET, "/:campaign/reservations/held/recover", "POST"),
        (Method::POST, "/heartbeat", "GET,HEAD"),
        (Method::PATCH, "/v1/:campaign/assign", "POST"),
    ] {
        let before = api.everything().await;
        let answer = send(api.request(method, path)).await;
        answer.error(405, "methodNotAllowed");
        let sorted = |list: &str| {
            let mut words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(answer.header("allow")), sorted(allowed), "{path}");
        assert_eq!(api.everything().await, before);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let api = Api::quiet().await;
    let codes = json!({ "codes": ["A1", "x".repeat(2000)] });
    for path in ["/:campaign/assign", "/:campaign/release"] {
        api.refused(post(&api, path, codes.clone()), 413, "bodyTooLarge").await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_also_when_its_length_is_not_told() {
    let api = Api::quiet().await;
    let text = json!({ "codes": ["A1", "x".repeat(2000)] }).to_string();
    let request = api.request(Method::POST, "/:campaign/assign").body(in_pieces(text, 500));
    api.refused(request, 413, "bodyTooLarge").await;
}

#[tokio::test]
async fn an_upload_over_the_limit_is_413() {
    let api = Api::quiet().await;
    let csv = "LONG-1234567\n".repeat(200);
    let request = api.request(Method::PUT, "/:campaign/codes?type=tm").body(csv);
    api.refused(request, 413, "bodyTooLarge").await;
}

#[tokio::test]
async fn an_upload_over_the_limit_whose_length_is_not_told_is_413_and_changes_nothing() {
    let api = Api::start(|host| host.env("TITAN_SERVICE__UPLOAD_LIMIT", "2000")).await;
    api.upload("tm", in_pieces(csv(500), 501)).await.error(413, "bodyTooLarge");
    assert!(api.stored().await.is_empty());
}

#[tokio::test]
async fn a_caller_who_sends_all_of_a_body_far_over_the_limit_still_gets_the_413() {
    // More than the sockets hold: a host that hangs up at once breaks the pipe that the caller still writes to.
    let api = Api::quiet().await;
    let body = "LONG-1234567\n".repeat(1 << 20);
    for _ in 0..5 {
        for (method, path) in [(Method::PUT, "/:campaign/codes?type=tm"), (Method::POST, "/:campaign/assign")]
        {
            let told = api.request(method.clone(), path).body(body.clone());
            api.refused(told, 413, "bodyTooLarge").await;
            let untold = api.request(method, path).body(in_pieces(&body, 64 << 10));
            api.refused(untold, 413, "bodyTooLarge").await;
        }
    }
}

#[tokio::test]
async fn a_refusal_does_not_repeat_what_was_sent() {
    let api = Api::quiet().await;
    for body in
        ["{\"codes\":[\"SECRET-1\"", "{\"SECRET-1\":1}", "\"SECRET-1\"", "{\"codes\":[\"SECRET-1\\u0000\"]}"]
    {
        let request = api.request(Method::POST, "/:campaign/assign").body(body);
        let answer = send(request).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(!answer.body.contains("SECRET"), "{}", answer.body);
    }
}
