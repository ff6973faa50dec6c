//! What is around every reply: data or error, the time, and the correlation id.

use mongodb::bson::{DateTime, Uuid};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::client::{Answer, Api, CORRELATION, send};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Checks `meta` and returns its correlation id.
#[track_caller]
fn correlation(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(keys(&json["meta"]), ["timestamp", "correlationId"]);
    let id = json["meta"]["correlationId"].as_str().expect("a text");
    assert_eq!(answer.header(CORRELATION), id, "header and meta differ");
    id.to_owned()
}

#[track_caller]
fn is_uuid(text: &str) {
    let parsed = Uuid::parse_str(text).unwrap_or_else(|_| panic!("no UUID: {text}"));
    assert_eq!(parsed.to_string(), text);
    assert_eq!(text.as_bytes()[14], b'4', "a random one: {text}");
}

async fn with_id(value: impl AsRef<[u8]>) -> String {
    let api = Api::shared().await;
    let value = HeaderValue::from_bytes(value.as_ref()).expect("a legal header");
    let request = api.request(Method::GET, "/dev/auth").header(CORRELATION, value);
    correlation(&send(request).await)
}

/// One reply of every kind of refusal that does not come from a handler alone.
async fn refusals(api: &Api, id: Option<&str>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (status, request) in [
        (400, api.request(Method::POST, "/:campaign/assign").body("garbage")),
        (401, api.anonymous(Method::GET, "/dev/auth").bearer_auth("garbage")),
        (403, api.anonymous(Method::GET, "/dev/supremes")),
        (404, api.request(Method::GET, "/nowhere")),
        (405, api.request(Method::DELETE, "/:campaign/codes")),
        (413, api.request(Method::POST, "/:campaign/assign").body("x".repeat(2001))),
        (500, api.request(Method::GET, "/dev/internalServerError")),
    ] {
        let request = match id {
            Some(id) => request.header(CORRELATION, id),
            None => request,
        };
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_success_has_data_and_meta_and_nothing_else() {
    let api = Api::shared().await;
    let answer = api.get("/dev/supremes").await;
    assert_eq!(keys(&answer.json()), ["data", "meta"]);
    assert_eq!(answer.header(CONTENT_TYPE.as_str()), "application/json");
    correlation(&answer);
}

#[tokio::test]
async fn a_refusal_has_error_and_meta_and_nothing_else() {
    let api = Api::quiet().await;
    for answer in refusals(&api, None).await {
        let json = answer.json();
        assert_eq!(keys(&json), ["error", "meta"]);
        assert_eq!(keys(&json["error"]), ["status", "message", "payload"]);
        assert_eq!(json["error"]["status"], answer.status);
        for field in ["message", "payload"] {
            assert!(json["error"][field].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.body);
        }
        assert!(!json["error"]["payload"].as_str().expect("a text").contains(' '), "a short id");
        assert_eq!(answer.header(CONTENT_TYPE.as_str()), "application/json");
    }
}

#[tokio::test]
async fn a_reply_carries_the_time_in_utc_with_milliseconds() {
    let api = Api::shared().await;
    let before = DateTime::now();
    let mut answers = refusals(&Api::quiet().await, None).await;
    answers.push(api.get("/dev/supremes").await);
    let after = DateTime::now();
    for answer in answers {
        let text = answer.json()["meta"]["timestamp"].as_str().expect("a text").to_owned();
        assert_eq!(text.len(), "2024-01-31T23:59:59.123Z".len(), "{text}");
        assert!(text.ends_with('Z') && text.as_bytes()[19] == b'.' && text.as_bytes()[10] == b'T', "{text}");
        let time = DateTime::parse_rfc3339_str(&text).expect("RFC 3339");
        assert!(before <= time && time <= after, "{text}");
    }
}

#[tokio::test]
async fn a_given_correlation_id_comes_back() {
    assert_eq!(with_id("abc-1").await, "abc-1");
    assert_eq!(with_id("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").await, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");
}

#[tokio::test]
async fn a_correlation_id_of_128_characters_comes_back() {
    assert_eq!(with_id("x".repeat(128)).await, "x".repeat(128));
}

#[tokio::test]
async fn a_correlation_id_of_129_characters_is_replaced() {
    is_uuid(&with_id("x".repeat(129)).await);
}

#[tokio::test]
async fn a_correlation_id_with_spaces_or_tabs_is_replaced() {
    is_uuid(&with_id("a b").await);
    is_uuid(&with_id("a\tb").await);
}

#[tokio::test]
async fn a_correlation_id_that_is_empty_is_replaced() {
    is_uuid(&with_id("").await);
}

#[tokio::test]
async fn a_correlation_id_that_is_not_ascii_is_replaced() {
    is_uuid(&with_id("é").await);
    is_uuid(&with_id(b"a\xff").await);
}

#[tokio::test]
async fn without_a_correlation_id_each_reply_has_a_new_one() {
    let api = Api::shared().await;
    let (one, other) = (api.get("/dev/supremes").await, api.get("/dev/supremes").await);
    let (one, other) = (correlation(&one), correlation(&other));
    is_uuid(&one);
    is_uuid(&other);
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_refusal_carries_the_correlation_id_too() {
    let api = Api::quiet().await;
    for answer in refusals(&api, Some("given-1")).await {
        assert_eq!(correlation(&answer), "given-1", "{}", answer.status);
    }
    for answer in refusals(&api, None).await {
        is_uuid(&correlation(&answer));
    }
}

#[tokio::test]
async fn heartbeat_and_metrics_are_not_wrapped() {
    let api = Api::shared().await;
    for path in ["/heartbeat", "/metrics"] {
        let request = api.anonymous(Method::GET, path).header(CORRELATION, "given-1");
        let answer = send(request).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("\"meta\"") && !answer.body.contains("\"data\""), "{}", answer.body);
        assert_eq!(answer.header(CORRELATION), "given-1");
    }
    assert!(api.get("/metrics").await.header(CONTENT_TYPE.as_str()).starts_with("text/plain"));
}

#[tokio::test]
async fn reserve_can_be_made_to_answer_the_bare_list_of_codes() {
    let api = Api::start(|host| host.env("TITAN_REPLIES__RESERVE", "array")).await;
    api.save(&["A1"]).await;
    let answer = api.get("/:campaign/reserve?count=2&type=tm").await;
    assert_eq!(answer.data(), json!(["A1"]));
    assert_eq!(keys(&answer.json()), ["data", "meta"]);
    assert_eq!(api.get("/:campaign/reserve?count=2&type=tm").await.data(), json!([]));
}
