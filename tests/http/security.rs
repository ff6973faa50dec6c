//! Keys that change, and what replies tell browsers: the host's own, beyond what the deployed service had.

use code_service_tests::{Keys, keys};
use mongodb::bson::DateTime;
use reqwest::Method;
use serde_json::json;

use crate::client::{Api, builder, keys as our_keys, prepared, send, until};

/// A host with a key, and one before it that is good until then.
async fn with_two_keys(previous: &Keys, until: Option<&str>) -> Api {
    Api::start(|host| {
        let host = host
            .env("TITAN_JWT__KEY_ID", "new")
            .env("TITAN_JWT__PREVIOUS_PUBLIC_KEY", &previous.public)
            .env("TITAN_JWT__PREVIOUS_KEY_ID", "old");
        until.into_iter().fold(host, |host, until| host.env("TITAN_JWT__PREVIOUS_UNTIL", until))
    })
    .await
}

async fn status_with(api: &Api, token: String) -> u16 {
    let request = api.anonymous(Method::GET, "/:campaign/codes/count?type=tm").bearer_auth(token);
    send(request).await.status
}

#[tokio::test]
async fn tokens_of_the_key_before_are_let_in_while_it_is_good() {
    let old = Keys::generate();
    let api = with_two_keys(&old, Some("2999-01-01T00:00:00Z")).await;
    let (claims, new) = (keys::claims(), our_keys());
    for (token, status) in [
        (new.sign_as("new", &claims), 200),
        (old.sign_as("old", &claims), 200),
        // Who names no key may have either.
        (new.sign(&claims), 200),
        (old.sign(&claims), 200),
        // A key that nobody knows, and a name that is another key's.
        (new.sign_as("third", &claims), 401),
        (old.sign_as("new", &claims), 401),
        (Keys::generate().sign_as("old", &claims), 401),
    ] {
        assert_eq!(status_with(&api, token).await, status);
    }
    let token = api.post("/dev/token", json!({ "userId": "me", "isSupreme": true })).await.data();
    let token = token["token"].as_str().expect("a token");
    let header = jsonwebtoken::decode_header(token).expect("a token");
    assert_eq!(header.kid.as_deref(), Some("new"));
}

#[tokio::test]
async fn tokens_of_a_key_whose_time_is_over_are_401() {
    let old = Keys::generate();
    let api = with_two_keys(&old, Some("2020-01-01T00:00:00Z")).await;
    assert_eq!(status_with(&api, old.sign_as("old", &keys::claims())).await, 401);
    assert_eq!(status_with(&api, old.sign(&keys::claims())).await, 401);
    assert_eq!(status_with(&api, our_keys().sign_as("new", &keys::claims())).await, 200);
}

#[tokio::test]
async fn a_token_that_was_let_in_is_401_when_the_time_of_its_key_is_over() {
    let old = Keys::generate();
    let end = keys::now() + 10;
    let ends = DateTime::from_millis(1_000 * i64::try_from(end).expect("small")).try_to_rfc3339_string();
    let api = with_two_keys(&old, Some(&ends.expect("a date"))).await;
    let token = old.sign_as("old", &keys::claims());
    assert_eq!(status_with(&api, token.clone()).await, 200, "or the host took 10 s to start");
    until("the key is over", async || status_with(&api, token.clone()).await == 401).await;
    assert!(keys::now() >= end, "too early");
}

#[tokio::test]
async fn a_time_that_is_none_stops_the_start_with_the_name_of_its_key() {
    let test = prepared().await;
    let host = builder(&test.uri)
        .env("TITAN_JWT__PREVIOUS_PUBLIC_KEY", &our_keys().public)
        .env("TITAN_JWT__PREVIOUS_UNTIL", "tomorrow");
    let Err(refused) = host.try_start() else { panic!("it started") };
    assert!(refused.said.stderr.join("").contains("titan.jwt.previousUntil"), "{refused}");
}

#[tokio::test]
async fn replies_are_for_nobody_else() {
    let api = Api::quiet().await;
    let paths =
        ["/:campaign/codes/count?type=tm", "/:campaign/reserve?count=0&type=tm", "/nowhere", "/heartbeat"];
    for path in paths {
        let answer = api.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
}
