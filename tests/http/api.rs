//! What each path does when all is well.

use mongodb::bson::Bson;
use serde_json::json;

use crate::client::{Api, code_of, send, texts, type_of};

#[tokio::test]
async fn an_upload_from_the_bucket_counts_rows_and_new_codes() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("tm", "A1\nA2\nA3\n");
    let reply = api.post("/:campaign/codes", json!({ "fileKey": key })).await;
    assert_eq!(reply.data(), json!({ "count": { "in": 3, "inserted": 3, "updated": 0 } }));
}

#[tokio::test]
async fn an_upload_from_the_bucket_has_the_type_of_its_key() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("external", "A1\n");
    api.post("/:campaign/codes", json!({ "fileKey": key })).await.data();
    assert_eq!(type_of(&api.stored().await[0]), "external");
}

#[tokio::test]
async fn a_repeated_upload_counts_as_updated() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    let reply = api.upload("tm", "A1\nA2\nA3\nA3\n").await;
    assert_eq!(reply.data(), json!({ "count": { "in": 4, "inserted": 1, "updated": 3 } }));
}

#[tokio::test]
async fn reserve_gives_the_codes_and_the_id_they_are_held_under() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    let data = api.get("/:campaign/reserve?count=2&type=tm").await.data();

    let keys: Vec<&String> = data.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["codes", "reserveId"]);
    let held = api.stored().await.into_iter().filter(|code| code.contains_key("reserveId"));
    let held: Vec<String> = held
        .map(|code| {
            assert_eq!(Some(code.get_str("reserveId").expect("a text")), data["reserveId"].as_str());
            code_of(&code).to_owned()
        })
        .collect();
    let mut given = texts(&data["codes"]);
    given.sort();
    assert_eq!(given, held);
    assert_eq!(given.len(), 2);
}

#[tokio::test]
async fn reserve_gives_fewer_codes_when_fewer_exist() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    assert_eq!(api.reserve(5).await.len(), 2);
    assert_eq!(api.reserve(5).await.len(), 0);
}

#[tokio::test]
async fn reserve_gives_codes_of_the_asked_type_only() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    api.upload("external", "B1\n").await.data();
    let data = api.get("/:campaign/reserve?count=9&type=external").await.data();
    assert_eq!(data["codes"], json!(["B1"]));
}

#[tokio::test]
async fn assign_counts_what_it_was_given_and_what_it_changed() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    let codes = json!({ "codes": ["A1", "A2", "nowhere"] });
    let first = api.post("/:campaign/assign", codes.clone()).await.data();
    assert_eq!(first, json!({ "count": { "in": 3, "updated": 2 } }));
    let again = api.post("/:campaign/assign", codes).await.data();
    assert_eq!(again, json!({ "count": { "in": 3, "updated": 0 } }));
}

#[tokio::test]
async fn release_makes_reserved_codes_available_again() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    api.reserve(2).await;
    let codes = json!({ "codes": ["A1", "A2"] });
    let first = api.post("/:campaign/release", codes.clone()).await.data();
    assert_eq!(first, json!({ "count": { "in": 2, "updated": 2 } }));
    let again = api.post("/:campaign/release", codes).await.data();
    assert_eq!(again, json!({ "count": { "in": 2, "updated": 0 } }));
    assert_eq!(api.reserve(2).await.len(), 2);
}

#[tokio::test]
async fn release_leaves_assigned_codes_alone() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    let codes = json!({ "codes": ["A1"] });
    api.post("/:campaign/assign", codes.clone()).await.data();
    let released = api.post("/:campaign/release", codes).await.data();
    assert_eq!(released["count"]["updated"], 0);
    assert_eq!(api.reserve(1).await.len(), 0);
}

#[tokio::test]
async fn count_tells_all_three_statuses() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3", "A4", "A5", "A6"]).await;
    let held = api.reserve(3).await;
    api.post("/:campaign/assign", json!({ "codes": held[..1] })).await.data();
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 3, "reserved": 2, "assigned": 1 }));
}

#[tokio::test]
async fn count_tells_only_the_status_that_is_asked_for() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    for (status, count) in [("available", 2), ("reserved", 0), ("assigned", 0)] {
        let counts = api.get(&format!("/:campaign/codes/count?type=tm&status={status}")).await.data();
        assert_eq!(counts, json!({ status: count }));
    }
}

#[tokio::test]
async fn the_development_paths_answer() {
    let api = Api::shared().await;
    let claims = api.get("/dev/auth").await.data();
    assert_eq!((&claims["user"]["id"], &claims["isSupreme"]), (&json!("tester"), &json!(true)));
    assert_eq!(api.get("/dev/supremes").await.data(), json!({ "isSupreme": true }));
    api.get("/dev/internalServerError").await.error(500, "internalServerError");
}

#[tokio::test]
async fn every_path_is_also_served_under_v1() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("tm", "A1\nA2\nA3\n");
    let saved = api.post("/v1/:campaign/codes", json!({ "fileKey": key })).await.data();
    assert_eq!(saved["count"]["inserted"], 3);
    let put = api.request(reqwest::Method::PUT, "/v1/:campaign/codes?type=tm").body("A4\nA5\n");
    assert_eq!(send(put).await.data()["count"]["inserted"], 2);
    let reserved = api.get("/v1/:campaign/reserve?count=2&type=tm").await.data();
    let codes = json!({ "codes": reserved["codes"] });
    assert_eq!(api.post("/v1/:campaign/release", codes.clone()).await.data()["count"]["updated"], 2);
    assert_eq!(api.post("/v1/:campaign/assign", codes).await.data()["count"]["updated"], 2);
    let wish = json!({ "type": "tm", "count": 1 });
    let id = &api.campaign;
    assert_eq!(api.put(&format!("/v1/:campaign/reservations/{id}"), wish).await.status, 201);
    assert_eq!(api.get(&format!("/v1/:campaign/reservations/{id}")).await.data()["count"], 1);
    let recover = format!("/v1/:campaign/reservations/{id}/recover");
    assert_eq!(send(api.request(reqwest::Method::POST, &recover)).await.data()["count"], 1);
    let counts = api.get("/v1/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 2, "reserved": 1, "assigned": 2 }));
    for path in ["/v1/heartbeat", "/v1/metrics", "/v1/dev/auth", "/v1/dev/supremes"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    assert_eq!(api.get("/v1/dev/internalServerError").await.status, 500);
    let wanted = json!({ "userId": "me", "isSupreme": true });
    assert_eq!(api.post("/v1/dev/token", wanted).await.status, 200);
}

#[tokio::test]
async fn a_campaign_may_be_called_like_a_part_of_a_path() {
    for name in ["v1", "dev", "heartbeat", "metrics", "codes", "reserve"] {
        let mut api = Api::shared().await;
        api.campaign = name.to_owned();
        api.upload("tm", "A1\n").await.data();
        assert_eq!(api.get("/:campaign/codes/count?type=tm&status=available").await.status, 200, "{name}");
        assert_eq!(api.get("/v1/:campaign/codes/count?type=tm").await.status, 200, "{name} under v1");
    }
}

#[tokio::test]
async fn a_campaign_may_have_spaces_slashes_quotes_and_letters_of_all_alphabets() {
    let mut api = Api::shared().await;
    let plain = std::mem::take(&mut api.campaign);
    api.campaign = format!("{plain}%20%2F%22%24%C3%A9%E6%9D%B1");
    api.save(&["A1"]).await;
    assert_eq!(api.reserve(1).await, ["A1"]);
    api.campaign = format!("{plain} /\"$é東");
    assert_eq!(api.stored().await.len(), 1);
}

#[tokio::test]
async fn a_saved_code_is_stored_as_the_deployed_service_stores_it() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    let stored = api.stored().await.remove(0);
    let keys = |document: &mongodb::bson::Document| document.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&stored), ["_id", "type", "date"]);
    assert_eq!(keys(stored.get_document("_id").expect("a document")), ["campaign_id", "code"]);
    let date = stored.get_document("date").expect("a document");
    assert_eq!(keys(date), ["saved"]);
    assert!(matches!(date.get("saved"), Some(Bson::DateTime(_))));
}
