//! Reservations under the caller's own id, and settling with it.

use code_service_tests::keys;
use mongodb::bson::{DateTime, Document, doc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Api, send, texts};

const DAY: u64 = 24 * 60 * 60;

/// Ids are the same for all campaigns, so a test takes its campaign's name for one.
fn path(api: &Api) -> String {
    format!("/:campaign/reservations/{}", api.campaign)
}

async fn put(api: &Api, count: u32) -> Answer {
    api.put(&path(api), json!({ "type": "tm", "count": count })).await
}

/// Puts 201 and returns the codes in order.
async fn held(api: &Api, count: u32) -> Vec<String> {
    let answer = put(api, count).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    sorted(&answer.json()["data"]["codes"])
}

fn sorted(codes: &Value) -> Vec<String> {
    let mut codes = texts(codes);
    codes.sort();
    codes
}

/// Lets all reservations of the test expire, by the dates in the database.
async fn expire(api: &Api) {
    let past = DateTime::from_millis(DateTime::now().timestamp_millis() - 25 * 3_600_000);
    let codes = api.db.collection::<Document>("codes");
    let of_test = doc! { "_id.campaign_id": &api.campaign, "date.reserved": { "$ne": null } };
    codes.update_many(of_test, doc! { "$set": { "date.reserved": past } }).await.expect("update");
    let ledger = api.db.collection::<Document>("codes.reservations");
    let entry = doc! { "_id": &api.campaign };
    ledger.update_many(entry, doc! { "$set": { "reserved": past } }).await.expect("update");
}

#[tokio::test]
async fn the_first_put_is_201_with_all_there_is_to_know() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    let before = keys::now();
    let answer = put(&api, 2).await;
    assert_eq!(answer.status, 201);
    let data = answer.json()["data"].take();
    let fields: Vec<&String> = data.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["reserveId", "type", "count", "codes", "reserved", "expires"]);
    assert_eq!(
        (&data["reserveId"], &data["type"], &data["count"]),
        (&json!(api.campaign), &json!("tm"), &json!(2))
    );
    assert_eq!(texts(&data["codes"]).len(), 2);
    let seconds = |field: &str| {
        let text = data[field].as_str().expect("a text");
        let date = DateTime::parse_rfc3339_str(text).expect("RFC 3339");
        u64::try_from(date.timestamp_millis() / 1000).expect("after 1970")
    };
    assert!((before..=keys::now()).contains(&seconds("reserved")));
    assert_eq!(seconds("expires") - seconds("reserved"), DAY);
}

#[tokio::test]
async fn a_repeated_put_is_200_with_the_same_codes() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3", "A4"]).await;
    let first = put(&api, 2).await;
    let again = put(&api, 2).await;
    assert_eq!((first.status, again.status), (201, 200));
    let (first, again) = (first.json()["data"].take(), again.json()["data"].take());
    assert_eq!(sorted(&first["codes"]), sorted(&again["codes"]));
    assert_eq!((&first["reserved"], &first["expires"]), (&again["reserved"], &again["expires"]));
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 2, "reserved": 2, "assigned": 0 }));
}

#[tokio::test]
async fn puts_of_one_id_at_the_same_time_give_one_set_of_codes() {
    let api = Api::shared().await;
    api.upload("tm", crate::client::csv(100)).await.data();
    let answers = futures_util::future::join_all((0..20).map(|_| put(&api, 3))).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)));
    let codes = sorted(&answers[0].json()["data"]["codes"]);
    assert!(answers.iter().all(|answer| sorted(&answer.json()["data"]["codes"]) == codes));
    let counts = api.get("/:campaign/codes/count?type=tm&status=reserved").await.data();
    assert_eq!(counts["reserved"], 3);
}

#[tokio::test]
async fn get_tells_the_status_of_each_code() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    let first = put(&api, 2).await.json()["data"].take();
    api.post("/:campaign/assign", json!({ "codes": ["A1"] })).await.data();
    let data = api.get(&path(&api)).await.data();
    let fields: Vec<&String> = data.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["reserveId", "type", "count", "codes", "reserved", "expires"]);
    let mut codes = data["codes"].as_array().expect("a list").clone();
    codes.sort_by_key(|code| code["code"].to_string());
    assert_eq!(
        codes,
        [json!({ "code": "A1", "status": "assigned" }), json!({ "code": "A2", "status": "reserved" })]
    );
    for field in ["reserveId", "type", "count", "reserved", "expires"] {
        assert_eq!(data[field], first[field], "{field}");
    }
}

#[tokio::test]
async fn get_finds_a_reservation_whose_id_the_service_made() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    let data = api.get("/:campaign/reserve?count=1&type=tm").await.data();
    let id = data["reserveId"].as_str().expect("a text");
    let found = api.get(&format!("/:campaign/reservations/{id}")).await.data();
    assert_eq!(found["codes"], json!([{ "code": "A1", "status": "reserved" }]));
}

#[tokio::test]
async fn get_of_an_unknown_id_is_404() {
    let api = Api::quiet().await;
    let request = api.request(Method::GET, "/:campaign/reservations/nowhere");
    api.refused(request, 404, "not_found").await;
}

#[tokio::test]
async fn get_of_an_id_of_another_campaign_is_404() {
    let api = Api::quiet().await;
    assert_eq!(api.get("/seeded/reservations/held").await.status, 200);
    let request = api.request(Method::GET, "/other/reservations/held");
    api.refused(request, 404, "not_found").await;
}

#[tokio::test]
async fn recovering_what_is_held_answers_as_get_does() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    held(&api, 2).await;
    api.post("/:campaign/assign", json!({ "codes": ["A1"] })).await.data();
    assert_eq!(api.recover(&api.campaign).await.data(), api.get(&path(&api)).await.data());
}

#[tokio::test]
async fn a_reservation_whose_id_the_service_made_is_recovered_too() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    let data = api.get("/:campaign/reserve?count=1&type=tm").await.data();
    let found = api.recover(data["reserveId"].as_str().expect("a text")).await.data();
    assert_eq!(found["codes"], json!([{ "code": "A1", "status": "reserved" }]));
}

#[tokio::test]
async fn recovering_an_unknown_id_is_404() {
    let api = Api::quiet().await;
    let request = api.request(Method::POST, "/:campaign/reservations/nowhere/recover");
    api.refused(request, 404, "not_found").await;
}

#[tokio::test]
async fn recovering_an_id_of_another_campaign_is_404() {
    let api = Api::quiet().await;
    assert_eq!(api.recover("held").await.status, 200);
    let request = api.request(Method::POST, "/other/reservations/held/recover");
    api.refused(request, 404, "not_found").await;
}

#[tokio::test]
async fn recovering_asks_for_no_body_and_reads_none() {
    let api = Api::quiet().await;
    let plain = api.recover("held").await.data();
    for body in ["", "{}", "garbage", "{\"codes\":[\"A1\"]}"] {
        let request = api.request(Method::POST, "/:campaign/reservations/held/recover").body(body);
        assert_eq!(send(request).await.data(), plain, "{body}");
    }
}

#[tokio::test]
async fn recovering_an_attempt_that_died_half_way_is_404_and_gives_its_codes_back() {
    let api = Api::shared().await;
    api.save(&["A1", "A2", "A3"]).await;
    let ago = |minutes: i64| DateTime::from_millis(DateTime::now().timestamp_millis() - minutes * 60_000);
    let (reserved, over) = (ago(2), ago(1));
    let entry = doc! {
        "_id": &api.campaign, "campaign_id": &api.campaign, "type": "tm", "count": 3_i64, "state": "claiming",
        "owner": "a process that is no more", "reserved": reserved, "lease": over, "sweep": over,
        "purge": DateTime::MAX,
    };
    // The codes first: whoever sweeps meanwhile must not find the entry without them.
    let codes = api.db.collection::<Document>("codes");
    let two = doc! { "_id.campaign_id": &api.campaign, "_id.code": { "$in": ["A1", "A2"] } };
    let taken = doc! { "$set": { "date.reserved": reserved, "reserveId": &api.campaign } };
    assert_eq!(codes.update_many(two, taken).await.expect("update").modified_count, 2);
    api.db.collection::<Document>("codes.reservations").insert_one(entry).await.expect("insert");

    api.recover(&api.campaign).await.error(404, "not_found");
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 3, "reserved": 0, "assigned": 0 }));
    assert_eq!(held(&api, 3).await, ["A1", "A2", "A3"], "the id is as new");
}

#[tokio::test]
async fn too_few_codes_are_409_with_the_numbers_and_nothing_is_kept() {
    // A host of its own: until it is refused, such a request may hold codes that other tests look at.
    let api = Api::start(|host| host).await;
    api.save(&["A1", "A2", "A3"]).await;
    let wish = json!({ "type": "tm", "count": 4 });
    let request = api.request(Method::PUT, "/:campaign/reservations/new").json(&wish);
    let error = api.refused(request, 409, "not_enough_codes").await;
    assert_eq!((&error["wanted"], &error["available"]), (&json!(4), &json!(3)));
}

#[tokio::test]
async fn an_id_that_failed_can_be_used_for_another_wish() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    put(&api, 3).await.error(409, "not_enough_codes");
    assert_eq!(held(&api, 2).await, ["A1", "A2"]);
}

#[tokio::test]
async fn a_partial_put_gives_what_there_is() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    let wish = json!({ "type": "tm", "count": 5, "partial": true });
    let first = api.put(&path(&api), wish.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.json()["data"]["count"], 2);
    assert_eq!(sorted(&first.json()["data"]["codes"]), ["A1", "A2"]);
    let again = api.put(&path(&api), wish).await;
    assert_eq!(sorted(&again.data()["codes"]), ["A1", "A2"]);
}

#[tokio::test]
async fn the_same_id_with_another_campaign_type_or_count_is_422() {
    let api = Api::quiet().await;
    for (campaign, code_type, count) in [("other", "tm", 3), ("seeded", "external", 3), ("seeded", "tm", 2)] {
        let wish = json!({ "type": code_type, "count": count });
        let request = api.request(Method::PUT, &format!("/{campaign}/reservations/held")).json(&wish);
        api.refused(request, 422, "reservation_mismatch").await;
    }
}

#[tokio::test]
async fn an_expired_reservation_is_410() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    held(&api, 1).await;
    expire(&api).await;
    put(&api, 1).await.error(410, "reservation_expired");
    put(&api, 1).await.error(410, "reservation_expired");
}

#[tokio::test]
async fn codes_of_an_expired_reservation_are_handed_out_again() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    held(&api, 2).await;
    expire(&api).await;
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 2, "reserved": 0, "assigned": 0 }));
    assert_eq!(api.reserve(2).await.len(), 2);
}

#[tokio::test]
async fn assigning_with_the_id_changes_only_what_is_held_under_it() {
    let api = Api::shared().await;
    api.save(&["A1", "A2"]).await;
    held(&api, 2).await;
    api.upload("tm", "B1\nB2\n").await.data();
    let others = api.reserve(1).await;
    let body = json!({ "codes": ["A1", "A2", "B1", "B2", "nowhere"], "reserveId": api.campaign });
    let data = api.post("/:campaign/assign", body).await.data();
    assert_eq!(data, json!({ "count": { "in": 5, "updated": 2 }, "lost": ["B1", "B2", "nowhere"] }));
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 1, "reserved": others.len(), "assigned": 2 }));
}

#[tokio::test]
async fn repeating_an_assign_with_the_id_loses_nothing() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    held(&api, 1).await;
    let body = json!({ "codes": ["A1"], "reserveId": api.campaign });
    api.post("/:campaign/assign", body.clone()).await.data();
    let again = api.post("/:campaign/assign", body).await.data();
    assert_eq!(again, json!({ "count": { "in": 1, "updated": 0 }, "lost": [] }));
}

#[tokio::test]
async fn assigning_with_an_id_that_lost_its_codes_to_another_changes_nothing() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    held(&api, 1).await;
    expire(&api).await;
    assert_eq!(api.reserve(1).await, ["A1"]);
    let before = api.stored().await;
    let body = json!({ "codes": ["A1"], "reserveId": api.campaign });
    let data = api.post("/:campaign/assign", body).await.data();
    assert_eq!(data, json!({ "count": { "in": 1, "updated": 0 }, "lost": ["A1"] }));
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn releasing_with_the_id_changes_only_what_is_held_under_it() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    held(&api, 1).await;
    api.upload("tm", "B1\n").await.data();
    assert_eq!(api.reserve(1).await, ["B1"]);
    let body = json!({ "codes": ["A1", "B1"], "reserveId": api.campaign });
    let data = api.post("/:campaign/release", body).await.data();
    assert_eq!(data, json!({ "count": { "in": 2, "updated": 1 }, "lost": ["B1"] }));
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 1, "reserved": 1, "assigned": 0 }));
}

#[tokio::test]
async fn a_reservation_that_was_released_whole_is_gone() {
    let api = Api::shared().await;
    api.save(&["A1"]).await;
    let codes = held(&api, 1).await;
    api.post("/:campaign/release", json!({ "codes": codes, "reserveId": api.campaign })).await.data();
    assert_eq!(api.get(&path(&api)).await.status, 404);
    put(&api, 1).await.error(410, "reservation_expired");
}
