//! The copy of the old service does what the deployed one is known to do, weaknesses included.

use std::collections::HashSet;
use std::time::Duration;

use code_service_tests::old_service::{Counts, Saved};
use code_service_tests::{OldService, database};
use mongodb::bson::{Bson, DateTime, Document, doc};

fn codes(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("CODE{number:06}")).collect()
}

/// A service over a fresh database with `count` available codes of the campaign `c` and type `tm`.
async fn service_with(count: usize) -> OldService {
    let service = OldService::new(&database().await.db);
    service.create_indexes().await.expect("indexes");
    service.save("c", "tm", &codes(count)).await.expect("save");
    service
}

async fn document(service: &OldService, code: &str) -> Document {
    let found = service.codes.find_one(doc! { "_id": { "campaign_id": "c", "code": code } }).await;
    found.expect("find").expect("the code is there")
}

fn date<'a>(document: &'a Document, name: &str) -> Option<&'a Bson> {
    document.get_document("date").expect("every code has dates").get(name)
}

#[tokio::test]
async fn the_indexes_have_the_names_of_the_deployed_ones() {
    let names = service_with(0).await.codes.list_index_names().await.expect("names");
    let expected = [
        "_id_",
        "_id.campaign_id_-1__id.code_1",
        "_id.campaign_id_-1_type_1_date.reserved_-1_date.assigned_-1",
        "reserveId_-1",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_saved_code_is_the_document_of_the_contract() {
    let service = service_with(1).await;
    let saved = document(&service, "CODE000000").await;
    let id = saved.get_document("_id").expect("an embedded document");
    assert_eq!(id.keys().collect::<Vec<_>>(), ["campaign_id", "code"]);
    assert_eq!(saved.get_str("type").expect("a type"), "tm");
    assert!(matches!(date(&saved, "saved"), Some(Bson::DateTime(_))));
    assert_eq!(date(&saved, "reserved"), None);
    assert_eq!(saved.get("reserveId"), None);
}

#[tokio::test]
async fn a_save_counts_repeats_as_updated() {
    let service = service_with(2).await;
    let mut rows = codes(4);
    rows.push("CODE000003".into());
    let saved = service.save("c", "tm", &rows).await.expect("save");
    assert_eq!(saved, Saved { rows: 5, inserted: 2, updated: 3 });
}

#[tokio::test]
async fn a_save_of_more_rows_than_a_bulk_holds_saves_them_all() {
    let service = service_with(0).await;
    let saved = service.save("c", "tm", &codes(50_001)).await.expect("save");
    assert_eq!(saved, Saved { rows: 50_001, inserted: 50_001, updated: 0 });
}

#[tokio::test]
async fn a_second_save_keeps_reservation_and_assignment() {
    let service = service_with(2).await;
    let (reserved, id) = service.reserve("c", "tm", 2).await.expect("reserve");
    service.assign("c", &reserved[..1]).await.expect("assign");

    service.save("c", "external", &reserved).await.expect("save");

    let assigned = document(&service, &reserved[0]).await;
    assert!(date(&assigned, "assigned").is_some());
    let held = document(&service, &reserved[1]).await;
    assert!(date(&held, "reserved").is_some());
    assert_eq!(held.get_str("reserveId").expect("an id"), id);
    assert_eq!(held.get_str("type").expect("a type"), "external");
}

#[tokio::test]
async fn a_reservation_sets_date_and_id_on_the_codes_it_returns() {
    let service = service_with(20).await;
    let (reserved, id) = service.reserve("c", "tm", 5).await.expect("reserve");
    assert_eq!(reserved.iter().collect::<HashSet<_>>().len(), 5);
    for code in &reserved {
        let held = document(&service, code).await;
        assert!(matches!(date(&held, "reserved"), Some(Bson::DateTime(_))));
        assert_eq!(held.get_str("reserveId").expect("an id"), id);
    }
    let counts = service.count("c", "tm").await.expect("count");
    assert_eq!(counts, Counts { available: 15, reserved: 5, assigned: 0 });
}

#[tokio::test]
async fn a_reservation_takes_what_there_is() {
    let service = service_with(3).await;
    let (reserved, _) = service.reserve("c", "tm", 5).await.expect("reserve");
    assert_eq!(reserved.len(), 3);
    let (reserved, _) = service.reserve("c", "tm", 1).await.expect("reserve");
    assert!(reserved.is_empty());
}

#[tokio::test]
async fn a_reservation_stays_in_its_campaign_and_type() {
    let service = service_with(3).await;
    let (other_type, _) = service.reserve("c", "external", 1).await.expect("reserve");
    let (other_campaign, _) = service.reserve("d", "tm", 1).await.expect("reserve");
    assert!(other_type.is_empty() && other_campaign.is_empty());
}

#[tokio::test]
async fn an_expired_reservation_is_available_again() {
    let service = service_with(1).await;
    let (first, first_id) = service.reserve("c", "tm", 1).await.expect("reserve");
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 25 * 3_600_000);
    let aged = service.codes.update_many(doc! {}, doc! { "$set": { "date.reserved": long_ago } }).await;
    aged.expect("update");

    assert_eq!(service.count("c", "tm").await.expect("count").available, 1);
    let (second, second_id) = service.reserve("c", "tm", 1).await.expect("reserve");
    assert_eq!(second, first);
    assert_ne!(second_id, first_id);
}

#[tokio::test]
async fn a_release_frees_the_code_and_leaves_a_stale_id() {
    let service = service_with(1).await;
    let (reserved, id) = service.reserve("c", "tm", 1).await.expect("reserve");

    assert_eq!(service.release("c", &reserved).await.expect("release"), 1);
    assert_eq!(service.release("c", &reserved).await.expect("release"), 0);

    let released = document(&service, &reserved[0]).await;
    assert_eq!(date(&released, "reserved"), None);
    assert_eq!(released.get_str("reserveId").expect("it is still there"), id);
    assert_eq!(service.count("c", "tm").await.expect("count").available, 1);
}

#[tokio::test]
async fn an_assigned_code_keeps_its_date_and_cannot_be_released() {
    let service = service_with(2).await;
    let all = codes(2);
    assert_eq!(service.assign("c", &all[..1]).await.expect("assign"), 1);
    let first = document(&service, &all[0]).await;

    assert_eq!(service.assign("c", &all).await.expect("assign"), 1);
    assert_eq!(service.release("c", &all).await.expect("release"), 0);

    assert_eq!(document(&service, &all[0]).await, first);
    assert_eq!(service.count("c", "tm").await.expect("count").assigned, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_meet_never_get_the_same_code() {
    let service = service_with(400).await;
    let callers = (0..16).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { service.reserve("c", "tm", 5).await.expect("reserve").0 })
    });
    let mut seen = HashSet::new();
    for caller in callers.collect::<Vec<_>>() {
        for code in caller.await.expect("no caller panics") {
            assert!(seen.insert(code), "a code was handed out twice");
        }
    }
}

#[tokio::test]
async fn a_reservation_lasts_as_long_as_the_service_is_told() {
    let mut service = service_with(1).await;
    service.reserve("c", "tm", 1).await.expect("reserve");
    service.ttl = Duration::ZERO;
    assert_eq!(service.count("c", "tm").await.expect("count").available, 1);
}
