//! Who is let in: tokens good and bad, and callers without one.

use std::time::Duration;

use code_service_tests::{Keys, keys};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::client::{Api, keys as our_keys, send};

/// `{"alg":"none","typ":"JWT"}` in base64url.
const ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// The claims of a good token with some of them changed; null takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = keys::claims();
    for (name, value) in changes.as_object().expect("an object").clone() {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(&name);
        } else {
            claims[name] = value;
        }
    }
    claims
}

fn signed(changes: Value) -> String {
    our_keys().sign(&claims(changes))
}

/// Asks with this token, on a path that reads and on ones that write; nothing must change.
async fn refused(token: &str, status: u16, payload: &str) {
    let api = Api::quiet().await.with_token(token);
    let count = api.request(Method::GET, "/:campaign/codes/count?type=tm");
    api.refused(count, status, payload).await;
    let assign = api.request(Method::POST, "/:campaign/assign").json(&json!({ "codes": ["A1"] }));
    api.refused(assign, status, payload).await;
    let recover = api.request(Method::POST, "/:campaign/reservations/held/recover");
    api.refused(recover, status, payload).await;
}

async fn unauthorized(token: &str) {
    refused(token, 401, "unauthorized").await;
}

async fn forbidden(token: &str) {
    refused(token, 403, "supremeUserRequired").await;
}

/// Every path that only a supreme user may call, with a request that is otherwise fine.
fn supreme_paths(api: &Api) -> Vec<reqwest::RequestBuilder> {
    let codes = json!({ "codes": ["A1"] });
    let wish = json!({ "type": "tm", "count": 1 });
    vec![
        api.anonymous(Method::POST, "/:campaign/codes").json(&json!({ "fileKey": "codes/seeded/tm/a.csv" })),
        api.anonymous(Method::PUT, "/:campaign/codes?type=tm").body("B1\n"),
        api.anonymous(Method::GET, "/:campaign/reserve?count=1&type=tm"),
        api.anonymous(Method::POST, "/:campaign/assign").json(&codes),
        api.anonymous(Method::POST, "/:campaign/release").json(&codes),
        api.anonymous(Method::GET, "/:campaign/codes/count?type=tm"),
        api.anonymous(Method::PUT, "/:campaign/reservations/new").json(&wish),
        api.anonymous(Method::GET, "/:campaign/reservations/held"),
        api.anonymous(Method::POST, "/:campaign/reservations/held/recover"),
        api.anonymous(Method::GET, "/dev/supremes"),
    ]
}

#[tokio::test]
async fn without_a_token_every_supreme_path_is_403_where_anonymous_is_allowed() {
    let api = Api::quiet().await;
    for request in supreme_paths(&api) {
        api.refused(request, 403, "supremeUserRequired").await;
    }
}

#[tokio::test]
async fn without_a_token_every_supreme_path_is_401_where_anonymous_is_not_allowed() {
    let api = Api::start(|host| host.env("TITAN_JWT__ALLOW_ANON", "false")).await;
    for request in supreme_paths(&api) {
        api.refused(request, 401, "unauthorized").await;
    }
    send(api.anonymous(Method::GET, "/dev/auth")).await.error(401, "unauthorized");
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200, "a good token is let in");
    assert_eq!(send(api.anonymous(Method::GET, "/heartbeat")).await.status, 200);
    assert_eq!(send(api.anonymous(Method::GET, "/metrics")).await.status, 200);
}

#[tokio::test]
async fn an_anonymous_caller_is_told_that_it_is_one() {
    let api = Api::quiet().await;
    let claims = send(api.anonymous(Method::GET, "/dev/auth")).await.data();
    assert_eq!(claims["isSupreme"], false);
}

#[tokio::test]
async fn a_401_says_which_scheme_is_wanted() {
    let api = Api::quiet().await.with_token("garbage");
    let answer = api.get("/:campaign/codes/count?type=tm").await;
    assert_eq!(answer.header(WWW_AUTHENTICATE.as_str()), "Bearer");
}

#[tokio::test]
async fn who_may_not_call_is_told_so_before_the_request_is_looked_at() {
    let api = Api::quiet().await;
    let bad_body = api.anonymous(Method::POST, "/:campaign/assign").body("garbage");
    api.refused(bad_body, 403, "supremeUserRequired").await;
    let bad_count = api.anonymous(Method::GET, "/:campaign/reserve?count=0");
    api.refused(bad_count, 403, "supremeUserRequired").await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_401() {
    let good = signed(json!({}));
    let mut parts = good.split('.');
    let (header, payload) = (parts.next().expect("a header"), parts.next().expect("a payload"));
    unauthorized(&format!("{ALG_NONE}.{payload}.")).await;
    unauthorized(&format!("{ALG_NONE}.{payload}")).await;
    unauthorized(&format!("{header}.{payload}.")).await;
}

#[tokio::test]
async fn a_token_with_a_signature_under_alg_none_is_401() {
    let good = signed(json!({}));
    let (_, rest) = good.split_once('.').expect("three parts");
    unauthorized(&format!("{ALG_NONE}.{rest}")).await;
}

#[tokio::test]
async fn a_token_signed_with_the_public_key_as_a_shared_secret_is_401() {
    for algorithm in [Algorithm::HS256, Algorithm::HS512] {
        let secret = EncodingKey::from_secret(our_keys().public.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(algorithm), &keys::claims(), &secret);
        unauthorized(&token.expect("claims are plain data")).await;
    }
}

#[tokio::test]
async fn a_token_of_another_rsa_algorithm_is_401() {
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let key = EncodingKey::from_rsa_pem(our_keys().private.as_bytes()).expect("our own key");
        let token = jsonwebtoken::encode(&Header::new(algorithm), &keys::claims(), &key);
        unauthorized(&token.expect("claims are plain data")).await;
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_or_none_is_401() {
    unauthorized(&signed(json!({ "iss": "somebody" }))).await;
    unauthorized(&signed(json!({ "iss": null }))).await;
    unauthorized(&signed(json!({ "iss": "" }))).await;
}

#[tokio::test]
async fn a_token_without_an_end_is_401() {
    unauthorized(&signed(json!({ "exp": null }))).await;
    unauthorized(&signed(json!({ "exp": "9999999999" }))).await;
}

#[tokio::test]
async fn a_token_that_expired_a_second_ago_is_401() {
    unauthorized(&signed(json!({ "exp": keys::now() - 1 }))).await;
}

#[tokio::test]
async fn a_token_that_was_let_in_is_401_from_its_end_on() {
    let api = Api::quiet().await;
    let end = keys::now() + 3;
    let api = api.with_token(signed(json!({ "exp": end })));
    let mut let_in = 0;
    loop {
        let before = keys::now();
        let status = api.get("/dev/supremes").await.status;
        let after = keys::now();
        match status {
            200 => assert!(before < end, "let in after its end"),
            401 => break assert!(after >= end && let_in > 1, "{let_in} were let in"),
            other => panic!("{other}"),
        }
        let_in += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_token_that_resembles_one_that_was_let_in_is_401() {
    let token = signed(json!({}));
    let api = Api::quiet().await.with_token(&token);
    assert_eq!(api.get("/dev/supremes").await.status, 200);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let turned: String = signature.chars().rev().collect();
    for other in [signed.to_owned(), format!("{signed}."), format!("{signed}.{turned}"), format!("{token}A")]
    {
        unauthorized(&other).await;
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_yet_is_401() {
    unauthorized(&signed(json!({ "nbf": keys::now() + 60 }))).await;
}

#[tokio::test]
async fn a_token_that_has_become_good_is_let_in() {
    let api = Api::quiet().await.with_token(signed(json!({ "nbf": keys::now() - 1 })));
    assert_eq!(api.get("/dev/supremes").await.status, 200);
}

#[tokio::test]
async fn a_token_signed_by_another_key_is_401() {
    unauthorized(&Keys::generate().supreme()).await;
}

#[tokio::test]
async fn a_token_whose_claims_were_changed_after_signing_is_401() {
    let (plain, supreme) = (signed(json!({ "isSupreme": false })), signed(json!({})));
    let payload = supreme.split('.').nth(1).expect("a payload");
    let parts: Vec<&str> = plain.split('.').collect();
    unauthorized(&format!("{}.{payload}.{}", parts[0], parts[2])).await;
}

#[tokio::test]
async fn garbage_is_401() {
    for token in ["garbage", "a.b.c", "..", "null", "undefined", &"x".repeat(5000)] {
        unauthorized(token).await;
    }
}

#[tokio::test]
async fn another_scheme_than_bearer_is_401() {
    let api = Api::quiet().await;
    let token = our_keys().supreme();
    for value in
        ["Basic dXNlcjpwYXNz".to_owned(), format!("Basic {token}"), token.clone(), "Bearer".into(), "".into()]
    {
        let request = api.anonymous(Method::GET, "/:campaign/codes/count?type=tm");
        api.refused(request.header(AUTHORIZATION, value), 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let api = Api::quiet().await;
    let request = api.anonymous(Method::GET, "/dev/supremes");
    let value = format!("bearer {}", our_keys().supreme());
    assert_eq!(send(request.header(AUTHORIZATION, value)).await.status, 200);
}

#[tokio::test]
async fn a_user_who_is_not_supreme_is_403() {
    forbidden(&signed(json!({ "isSupreme": false }))).await;
}

#[tokio::test]
async fn a_claim_is_supreme_that_looks_true_is_403() {
    for value in [json!("true"), json!(1), json!([true]), json!({ "$ne": false })] {
        forbidden(&signed(json!({ "isSupreme": value }))).await;
    }
}

#[tokio::test]
async fn a_token_without_the_claim_is_supreme_is_403() {
    forbidden(&signed(json!({ "isSupreme": null }))).await;
}

#[tokio::test]
async fn the_audience_of_a_token_does_not_matter_unless_one_is_configured() {
    let api = Api::quiet().await.with_token(signed(json!({ "aud": "somebody-else" })));
    assert_eq!(api.get("/dev/supremes").await.status, 200);
}

#[tokio::test]
async fn the_audience_of_a_token_must_be_the_configured_one() {
    let mut api = Api::start(|host| host.env("TITAN_JWT__AUDIENCE", "codes")).await;
    for (audience, status) in
        [(json!("codes"), 200), (json!(["x", "codes"]), 200), (json!("other"), 401), (Value::Null, 401)]
    {
        api = api.with_token(signed(json!({ "aud": audience })));
        assert_eq!(api.get("/dev/supremes").await.status, status, "{audience}");
    }
}

#[tokio::test]
async fn the_issuer_can_be_configured() {
    let api = Api::start(|host| host.env("TITAN_JWT__ISSUER", "us")).await;
    assert_eq!(api.get("/dev/supremes").await.status, 401);
    let api = api.with_token(signed(json!({ "iss": "us" })));
    assert_eq!(api.get("/dev/supremes").await.status, 200);
}
