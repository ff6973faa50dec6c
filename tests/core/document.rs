//! The document of a code, byte for byte, after each operation.

use mongodb::Collection;
use mongodb::bson::{RawDocumentBuf, rawdoc};

use crate::support::*;

/// The document as the bytes that the database holds.
async fn bytes(ground: &Ground, text: &str) -> RawDocumentBuf {
    let codes: Collection<RawDocumentBuf> = ground.test.db.collection("codes");
    codes.find_one(id_of(text)).await.expect("find").expect("the code is there")
}

#[tokio::test]
async fn a_saved_code_is_its_id_its_type_and_the_date_of_saving() {
    let ground = Ground::new(1).await;
    let saved = date(&ground.document("CODE000000").await, "saved").expect("saved");
    let expected = rawdoc! {
        "_id": { "campaign_id": "summer", "code": "CODE000000" },
        "type": "tm",
        "date": { "saved": saved },
    };
    assert_eq!(bytes(&ground, "CODE000000").await, expected);
}

#[tokio::test]
async fn a_reserved_code_gains_a_date_and_the_id_of_its_reservation() {
    let ground = Ground::new(1).await;
    let reservation = ground.reserve(1).await.expect("one is available");
    let document = ground.document("CODE000000").await;
    let expected = rawdoc! {
        "_id": { "campaign_id": "summer", "code": "CODE000000" },
        "type": "tm",
        "date": {
            "saved": date(&document, "saved").expect("saved"),
            "reserved": date(&document, "reserved").expect("reserved"),
        },
        "reserveId": reservation.reserve_id.as_str(),
    };
    assert_eq!(bytes(&ground, "CODE000000").await, expected);
}

#[tokio::test]
async fn a_code_reserved_under_the_callers_id_looks_like_any_other() {
    let ground = Ground::new(1).await;
    ground.service.reserve(wish_under("mine", 1)).await.expect("one is available");
    let document = ground.document("CODE000000").await;
    let expected = rawdoc! {
        "_id": { "campaign_id": "summer", "code": "CODE000000" },
        "type": "tm",
        "date": {
            "saved": date(&document, "saved").expect("saved"),
            "reserved": date(&document, "reserved").expect("reserved"),
        },
        "reserveId": "mine",
    };
    assert_eq!(bytes(&ground, "CODE000000").await, expected);
}

#[tokio::test]
async fn an_assigned_code_gains_a_date_and_keeps_everything() {
    let ground = Ground::new(1).await;
    let reservation = ground.reserve(1).await.expect("one is available");
    let id = reservation.reserve_id;
    ground.service.assign(&campaign(), reservation.codes, Some(&id)).await.expect("assigns");
    let document = ground.document("CODE000000").await;
    let expected = rawdoc! {
        "_id": { "campaign_id": "summer", "code": "CODE000000" },
        "type": "tm",
        "date": {
            "saved": date(&document, "saved").expect("saved"),
            "reserved": date(&document, "reserved").expect("reserved"),
            "assigned": date(&document, "assigned").expect("assigned"),
        },
        "reserveId": id.as_str(),
    };
    assert_eq!(bytes(&ground, "CODE000000").await, expected);
}

#[tokio::test]
async fn a_code_assigned_while_available_gains_only_that_date() {
    let ground = Ground::new(1).await;
    ground.service.assign(&campaign(), codes(["CODE000000"]), None).await.expect("assigns");
    let document = ground.document("CODE000000").await;
    let expected = rawdoc! {
        "_id": { "campaign_id": "summer", "code": "CODE000000" },
        "type": "tm",
        "date": {
            "saved": date(&document, "saved").expect("saved"),
            "assigned": date(&document, "assigned").expect("assigned"),
        },
    };
    assert_eq!(bytes(&ground, "CODE000000").await, expected);
}

#[tokio::test]
async fn a_released_code_is_as_it_was_before_the_reserve() {
    let ground = Ground::new(1).await;
    let before = bytes(&ground, "CODE000000").await;
    let reservation = ground.reserve(1).await.expect("one is available");
    let id = reservation.reserve_id;
    ground.service.release(&campaign(), reservation.codes, Some(&id)).await.expect("releases");
    assert_eq!(bytes(&ground, "CODE000000").await, before);

    let reservation = ground.reserve(1).await.expect("one is available");
    ground.service.release(&campaign(), reservation.codes, None).await.expect("releases");
    assert_eq!(bytes(&ground, "CODE000000").await, before, "also without the id");
}
