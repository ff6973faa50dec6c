//! Files of many codes through the host: flat memory, totals that add up, and what may break on the way.

mod file;
mod million;
mod mishaps;
mod speed;

use code_service_tests::Host;
use serde_json::Value;

pub(crate) async fn post(host: &Host, token: &str, path: &str, body: Value) -> Value {
    data(reqwest::Client::new().post(host.url(path)).bearer_auth(token).json(&body)).await
}

pub(crate) async fn get(host: &Host, token: &str, path: &str) -> Value {
    data(reqwest::Client::new().get(host.url(path)).bearer_auth(token)).await
}

async fn data(request: reqwest::RequestBuilder) -> Value {
    let reply: Value = request.send().await.expect("a reply").json().await.expect("JSON");
    assert!(reply["data"].is_object(), "{reply}");
    reply["data"].clone()
}
