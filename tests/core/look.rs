//! Looking: counts, one code, one reservation, all codes of a campaign.

use code_service::{CampaignId, ErrorKind, Export, Rows, Status, StoredCode};
use futures_util::TryStreamExt;
use mongodb::bson::doc;

use crate::support::*;

fn export(code_type: Option<&str>, status: Option<Status>, after: Option<&str>) -> Export {
    let mut export = Export::default();
    export.code_type = code_type.map(|text| code_service::CodeType::parse(text).expect("valid"));
    export.status = status;
    export.after = after.map(code);
    export
}

fn texts(stored: &[StoredCode]) -> Vec<&str> {
    stored.iter().map(|stored| stored.code.as_str()).collect()
}

#[tokio::test]
async fn a_count_is_of_one_campaign_and_one_type() {
    let ground = Ground::new(3).await;
    ground.service.save(&campaign(), &external(), Rows::codes(["X1"])).await.expect("saves");
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes(["W1", "W2"])).await.expect("saves");
    assert_eq!(ground.count().await, counts(3, 0, 0));
    assert_eq!(ground.service.count(&campaign(), &external()).await.expect("counts"), counts(1, 0, 0));
    assert_eq!(ground.service.count(&winter, &external()).await.expect("counts"), counts(0, 0, 0));
}

#[tokio::test]
async fn a_count_tells_the_three_statuses_apart() {
    let ground = Ground::new(10).await;
    let reservation = ground.reserve(5).await.expect("available");
    ground.service.assign(&campaign(), reservation.codes[..2].to_vec(), None).await.expect("assigns");
    assert_eq!(ground.count().await, counts(5, 3, 2));
}

#[tokio::test]
async fn a_count_before_anything_was_ever_saved_is_zero() {
    let test = code_service_tests::database().await;
    let service = code_service::CodeService::connect(code_service::Options::new(&test.uri)).await;
    let counted = service.expect("connects").count(&campaign(), &tm()).await;
    assert_eq!(counted.expect("counts"), counts(0, 0, 0));
}

#[tokio::test]
async fn a_look_up_shows_all_that_is_known_of_a_code() {
    let ground = Ground::new(1).await;
    let reservation = ground.reserve(1).await.expect("available");
    ground.service.assign(&campaign(), reservation.codes.clone(), None).await.expect("assigns");
    let document = ground.document("CODE000000").await;
    let time = |name| Some(date(&document, name).expect("it is set").to_system_time());
    let expected = StoredCode {
        code: code("CODE000000"),
        code_type: tm(),
        status: Status::Assigned,
        saved: time("saved"),
        reserved: time("reserved"),
        assigned: time("assigned"),
        reserve_id: Some(reservation.reserve_id),
    };
    assert_eq!(ground.find("CODE000000").await, expected);
}

#[tokio::test]
async fn a_look_up_of_a_code_of_another_campaign_finds_nothing() {
    let ground = Ground::new(1).await;
    let winter = CampaignId::parse("winter").expect("valid");
    let found = ground.service.find(&winter, &code("CODE000000")).await.expect("looks up");
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_look_up_of_something_that_is_no_code_is_corrupt_data() {
    let ground = Ground::new(0).await;
    ground.insert("NO-TYPE", doc! { "date": {} }).await;
    ground.insert("NO-DATE", doc! { "type": "tm", "date": { "reserved": "yesterday" } }).await;
    for text in ["NO-TYPE", "NO-DATE"] {
        let error = ground.service.find(&campaign(), &code(text)).await.expect_err("it is no code");
        assert_eq!(error.kind(), ErrorKind::CorruptData);
    }
}

#[tokio::test]
async fn a_reservation_shows_its_codes_with_their_status() {
    let ground = Ground::new(5).await;
    let made = ground.reserve(3).await.expect("available");
    let first = made.codes[0].clone();
    ground.service.assign(&campaign(), vec![first.clone()], None).await.expect("assigns");
    let seen = ground.service.reservation(&made.reserve_id).await.expect("looks up").expect("it is there");
    assert_eq!((&seen.reserve_id, seen.campaign, seen.code_type), (&made.reserve_id, campaign(), tm()));
    assert_eq!(seen.codes.len(), 3);
    for stored in seen.codes {
        let expected = if stored.code == first { Status::Assigned } else { Status::Reserved };
        assert_eq!(stored.status, expected);
        assert!(made.codes.contains(&stored.code));
    }
}

#[tokio::test]
async fn a_reservation_shows_when_it_was_made_and_expires() {
    let ground = Ground::new(5).await;
    let made = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    let seen = ground.service.reservation(&made.reserve_id).await.expect("looks up").expect("it is there");
    assert_eq!((seen.reserved, seen.expires), (made.reserved, made.expires));
}

#[tokio::test]
async fn a_reservation_that_nobody_made_is_not_there() {
    let ground = Ground::new(5).await;
    assert!(ground.service.reservation(&reserve_id("nobodys")).await.expect("looks up").is_none());
}

#[tokio::test]
async fn a_reservation_shows_no_code_that_was_released_or_taken_by_another() {
    let ground = Ground::new(2).await;
    let made = ground.reserve(2).await.expect("available");
    ground.service.release(&campaign(), codes(["CODE000000"]), None).await.expect("releases");
    ground.set("CODE000001", doc! { "reserveId": "another" }).await;
    assert!(ground.service.reservation(&made.reserve_id).await.expect("looks up").is_none());
}

#[tokio::test]
async fn an_expired_reservation_shows_its_codes_as_available() {
    let ground = Ground::new(2).await;
    let made = ground.service.reserve(wish_under("mine", 2)).await.expect("available");
    ground.age_reservations(TTL + 1).await;
    let seen = ground.service.reservation(&made.reserve_id).await.expect("looks up").expect("it is there");
    assert_eq!(seen.codes.len(), 2);
    assert!(seen.codes.iter().all(|stored| stored.status == Status::Available));
}

#[tokio::test]
async fn an_export_shows_all_codes_of_a_campaign_in_the_order_of_their_bytes() {
    let ground = Ground::new(0).await;
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes(["A"])).await.expect("saves");
    ground
        .service
        .save(&campaign(), &tm(), Rows::codes(["b", "a", "ä", "B", "10", "9"]))
        .await
        .expect("saves");
    ground.service.save(&campaign(), &external(), Rows::codes(["_", "$"])).await.expect("saves");
    let all = ground.export(Export::default()).await;
    assert_eq!(texts(&all), ["$", "10", "9", "B", "_", "a", "b", "ä"]);
}

#[tokio::test]
async fn an_export_can_be_of_one_type() {
    let ground = Ground::new(2).await;
    ground.service.save(&campaign(), &external(), Rows::codes(["X1"])).await.expect("saves");
    assert_eq!(texts(&ground.export(export(Some("external"), None, None)).await), ["X1"]);
    assert_eq!(ground.export(export(Some("unknown"), None, None)).await, []);
}

#[tokio::test]
async fn an_export_goes_on_behind_a_code() {
    let ground = Ground::new(5).await;
    let rest = ground.export(export(None, None, Some("CODE000002"))).await;
    assert_eq!(texts(&rest), ["CODE000003", "CODE000004"]);
    assert_eq!(texts(&ground.export(export(None, None, Some("CODE0000029"))).await), texts(&rest));
    assert_eq!(ground.export(export(None, None, Some("D"))).await, []);
}

#[tokio::test]
async fn an_export_by_type_status_and_place_obeys_all_three() {
    let ground = Ground::new(6).await;
    ground.service.save(&campaign(), &external(), Rows::codes(["CODE000003"])).await.expect("saves");
    let assigned = codes(["CODE000001", "CODE000003", "CODE000005"]);
    ground.service.assign(&campaign(), assigned, None).await.expect("assigns");
    let wanted = export(Some("tm"), Some(Status::Assigned), Some("CODE000001"));
    assert_eq!(texts(&ground.export(wanted).await), ["CODE000005"]);
}

#[tokio::test]
async fn a_long_export_misses_no_code_and_repeats_none() {
    let ground = Ground::new(12_345).await;
    let all = ground.export(Export::default()).await;
    assert_eq!(texts(&all), names(12_345));
}

#[tokio::test]
async fn an_export_ends_with_corrupt_data_at_something_that_is_no_code() {
    let ground = Ground::new(2).await;
    ground.insert("CODE000000-", doc! { "date": {} }).await;
    let mut stream = std::pin::pin!(ground.service.export(&campaign(), Export::default()));
    assert_eq!(stream.try_next().await.expect("a code").expect("the first").code, code("CODE000000"));
    assert_eq!(stream.try_next().await.expect_err("no code").kind(), ErrorKind::CorruptData);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_code_is_in_every_count_while_others_reserve_and_release() {
    let ground = Ground::new(5_000).await;
    let service = ground.service.clone();
    let busy = tokio::spawn(async move {
        for _ in 0..40 {
            let reservation = service.reserve(wish(200)).await.expect("available");
            let id = Some(&reservation.reserve_id);
            service.release(&campaign(), reservation.codes, id).await.expect("releases");
        }
    });
    while !busy.is_finished() {
        let counted = ground.count().await;
        assert_eq!(counted.available + counted.reserved + counted.assigned, 5_000, "{counted:?}");
    }
    busy.await.expect("no panic");
}
