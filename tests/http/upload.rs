//! Uploads: from the bucket and in the request's own body.

use reqwest::Method;
use serde_json::json;

use crate::client::{Api, csv, in_pieces, send, type_of};

#[tokio::test]
async fn codes_can_be_put_as_csv() {
    let api = Api::shared().await;
    let reply = api.upload("external", "code\nA1\nA2\n").await;
    assert_eq!(reply.data(), json!({ "count": { "in": 2, "inserted": 2, "updated": 0 } }));
    assert_eq!(type_of(&api.stored().await[0]), "external");
}

#[tokio::test]
async fn codes_can_be_put_without_telling_the_length() {
    let api = Api::shared().await;
    let data = api.upload("tm", in_pieces(csv(5000), 777)).await.data();
    assert_eq!(data["count"], json!({ "in": 5000, "inserted": 5000, "updated": 0 }));
}

#[tokio::test]
async fn codes_can_be_put_without_a_content_type() {
    let api = Api::shared().await;
    let request = api.request(Method::PUT, "/:campaign/codes?type=tm").body("A1\n");
    assert_eq!(send(request).await.data()["count"]["inserted"], 1);
}

#[tokio::test]
async fn a_content_type_may_name_a_character_set() {
    let api = Api::shared().await;
    let request = api.request(Method::PUT, "/:campaign/codes?type=tm");
    let request = request.header("content-type", "Text/CSV; charset=utf-8").body("A1\n");
    assert_eq!(send(request).await.data()["count"]["inserted"], 1);
}

#[tokio::test]
async fn a_body_that_says_it_is_json_is_not_taken_for_csv() {
    let api = Api::quiet().await;
    let request = api.request(Method::PUT, "/:campaign/codes?type=tm");
    let request = request.header("content-type", "application/json").body("{\"codes\":[\"B1\"]}");
    api.refused(request, 400, "invalidBody").await;
}

#[tokio::test]
async fn an_empty_upload_saves_nothing() {
    let api = Api::shared().await;
    let nothing = json!({ "count": { "in": 0, "inserted": 0, "updated": 0 } });
    assert_eq!(api.upload("tm", "").await.data(), nothing);
    assert_eq!(api.upload("tm", "code\r\n").await.data(), nothing);
}

#[tokio::test]
async fn a_repeated_upload_keeps_reservations_and_assignments() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    let held = api.reserve(2).await;
    api.post("/:campaign/assign", json!({ "codes": held[..1] })).await.data();
    let before = api.stored().await;
    api.upload("tm", "A1\nA2\nA3\n").await.data();
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 1, "reserved": 1, "assigned": 1 }));
    for (before, after) in before.iter().zip(&api.stored().await) {
        assert_eq!(before.get("reserveId"), after.get("reserveId"));
        let dates = |code: &mongodb::bson::Document| code.get_document("date").expect("dates").clone();
        assert_eq!(dates(before).get("reserved"), dates(after).get("reserved"));
        assert_eq!(dates(before).get("assigned"), dates(after).get("assigned"));
        let saved = |code| dates(code).get_datetime("saved").expect("a date").timestamp_millis();
        assert!(saved(before) <= saved(after));
    }
}

#[tokio::test]
async fn an_upload_of_another_type_gives_the_codes_that_type() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    api.upload("external", "A1\n").await.data();
    assert_eq!(type_of(&api.stored().await[0]), "external");
}

#[tokio::test]
async fn the_same_code_may_be_in_two_campaigns() {
    let (one, other) = (Api::shared().await, Api::shared().await);
    one.save(&["A1"]).await;
    other.save(&["A1"]).await;
    assert_eq!(one.reserve(1).await, ["A1"]);
    assert_eq!(other.reserve(1).await, ["A1"]);
}

#[tokio::test]
async fn a_key_with_letters_of_all_alphabets_is_found_in_the_bucket() {
    let mut api = Api::shared().await;
    let plain = std::mem::take(&mut api.campaign);
    api.campaign = format!("{plain} é");
    let key = api.put_in_bucket("tm", "A1\n");
    let path = format!("/{plain}%20%C3%A9/codes");
    assert_eq!(api.post(&path, json!({ "fileKey": key })).await.data()["count"]["inserted"], 1);
}

#[tokio::test]
async fn a_folder_of_the_bucket_is_no_file() {
    let api = Api::shared().await;
    let key = api.put_in_bucket("tm", "A1\n");
    let folder = crate::client::bucket().join(&key).with_file_name("folder");
    std::fs::create_dir(folder).expect("the target folder is writable");
    let key = format!("codes/{}/tm/folder", api.campaign);
    api.post("/:campaign/codes", json!({ "fileKey": key })).await.error(404, "fileNotFound");
}

#[tokio::test]
async fn a_host_without_a_bucket_says_so_and_takes_uploads_by_put() {
    let api = Api::start(|host| host.env(crate::client::LOCAL_PATH, "")).await;
    let key = format!("codes/{}/tm/a.csv", api.campaign);
    api.post("/:campaign/codes", json!({ "fileKey": key })).await.error(503, "unavailable");
    assert_eq!(api.upload("tm", "A1\n").await.data()["count"]["inserted"], 1);
}
