//! The paths under `/dev`, and the private key that they need.

use code_service_tests::Host;
use reqwest::Method;
use serde_json::json;

use crate::client::{Api, LOCAL_PATH, bucket, builder, keys, prepared, send};

#[tokio::test]
async fn dev_paths_are_404_where_they_are_disabled() {
    let api = Api::start(|host| host.env("TITAN_DEV_ENDPOINTS__ENABLED", "false")).await;
    for path in ["/dev/auth", "/dev/supremes", "/dev/internalServerError", "/v1/dev/auth"] {
        api.get(path).await.error(404, "notFound");
    }
    let wanted = json!({ "userId": "me", "isSupreme": true });
    api.post("/dev/token", wanted).await.error(404, "notFound");
}

#[tokio::test]
async fn dev_token_gives_a_token_that_is_let_in() {
    let api = Api::quiet().await;
    let wanted = json!({ "userId": "me", "isSupreme": true });
    let token = send(api.anonymous(Method::POST, "/dev/token").json(&wanted)).await.data()["token"].take();
    let api = api.with_token(token.as_str().expect("a text"));
    assert_eq!(api.get("/dev/supremes").await.data(), json!({ "isSupreme": true }));
    assert_eq!(api.get("/dev/auth").await.data()["user"], json!({ "id": "me" }));
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200);
}

#[tokio::test]
async fn dev_token_gives_a_plain_token_too() {
    let api = Api::quiet().await;
    let wanted = json!({ "userId": "me", "isSupreme": false });
    let token = api.post("/dev/token", wanted).await.data()["token"].take();
    let api = api.with_token(token.as_str().expect("a text"));
    api.get("/dev/supremes").await.error(403, "supremeUserRequired");
}

#[tokio::test]
async fn dev_token_refuses_anything_but_a_user_and_a_truth_value() {
    let api = Api::quiet().await;
    for wanted in [json!({}), json!({ "userId": "me" }), json!({ "userId": 1, "isSupreme": true })] {
        api.post("/dev/token", wanted).await.error(400, "invalid_argument");
    }
    let wanted = json!({ "userId": "me", "isSupreme": "true" });
    api.post("/dev/token", wanted).await.error(400, "invalid_argument");
}

#[tokio::test]
async fn dev_token_is_404_without_a_private_key() {
    let test = prepared().await;
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &test.uri)
        .env("TITAN_JWT__PUBLIC_KEY", &keys().public)
        .env(LOCAL_PATH, bucket());
    let api = Api::of(host.start(), test.db);
    api.post("/dev/token", json!({ "userId": "me", "isSupreme": true })).await.error(404, "notFound");
}

#[tokio::test]
async fn a_private_key_in_prod_is_refused_at_start() {
    let test = prepared().await;
    let Err(refused) = builder(&test.uri).env("NODE_ENV", "prod").env("TITAN_LOG__FILE", "").try_start()
    else {
        panic!("it started");
    };
    assert_eq!(refused.said.status, Some(1));
    assert!(refused.said.stderr.join("\n").contains("titan.jwt.privateKey"), "{refused}");
}

#[tokio::test]
async fn prod_starts_with_the_public_key_alone_and_has_no_dev_paths() {
    let test = prepared().await;
    let host = builder(&test.uri)
        .env("NODE_ENV", "prod")
        .env("TITAN_JWT__PRIVATE_KEY", "")
        .env("TITAN_LOG__FILE", "")
        // The deployment's database name would win over the one of the connection string.
        .env("TITAN_MONGO__OPTIONS__DB_NAME", &test.name);
    let api = Api::of(host.start(), test.db);
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200);
    assert_eq!(api.get("/dev/auth").await.status, 404);
}
