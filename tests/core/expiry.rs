//! Expiry: a reservation ends by the server's clock, and everything agrees on when.

use std::time::Duration;

use code_service::{CodeService, CodeType, Error, Export, Reserve, Rows, Status};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::support::*;

#[tokio::test]
async fn a_code_reserved_longer_ago_than_the_ttl_is_available() {
    let ground = Ground::new(1).await;
    let date = ground.ago(TTL + 1).await;
    ground.set("CODE000000", doc! { "date.reserved": date, "reserveId": "old" }).await;
    assert_eq!(ground.count().await, counts(1, 0, 0));
    assert_eq!(ground.find("CODE000000").await.status, Status::Available);
    ground.reserve(1).await.expect("it is available");
}

#[tokio::test]
async fn a_code_reserved_less_than_the_ttl_ago_is_not_available() {
    let ground = Ground::new(1).await;
    let date = ground.ago(TTL - MINUTE).await;
    ground.set("CODE000000", doc! { "date.reserved": date, "reserveId": "old" }).await;
    assert_eq!(ground.count().await, counts(0, 1, 0));
    assert_eq!(ground.find("CODE000000").await.status, Status::Reserved);
    ground.reserve(1).await.expect_err("it is held");
}

#[tokio::test]
async fn a_new_reservation_of_an_expired_code_replaces_date_and_id() {
    let ground = Ground::new(1).await;
    let first = ground.reserve(1).await.expect("available");
    ground.age_reservations(TTL + 1).await;
    let expired = date(&ground.document("CODE000000").await, "reserved");
    let second = ground.reserve(1).await.expect("expired, so available");
    let document = ground.document("CODE000000").await;
    assert_eq!(document.get_str("reserveId").expect("reserved"), second.reserve_id.as_str());
    assert_ne!(first.reserve_id, second.reserve_id);
    assert!(date(&document, "reserved") > expired);
}

#[tokio::test]
async fn the_ttl_is_a_setting() {
    let ground = Ground::new(1).await;
    let mut options = ground.options();
    options.reservation_ttl = Duration::from_secs(3600);
    let hourly = CodeService::connect(options).await.expect("connects");
    let date = ground.ago(3600 * 1000 + 1).await;
    ground.set("CODE000000", doc! { "date.reserved": date, "reserveId": "old" }).await;

    assert_eq!(ground.count().await, counts(0, 1, 0), "a day has not passed");
    assert_eq!(hourly.count(&campaign(), &tm()).await.expect("counts"), counts(1, 0, 0));
    let reservation = hourly.reserve(wish(1)).await.expect("an hour has passed");
    assert_eq!(reservation.expires, reservation.reserved + Duration::from_secs(3600));
}

/// Everything that a code document may hold beside its `_id` and type, and the status that it means.
async fn documents(ground: &Ground) -> Vec<(&'static str, Document, Status)> {
    let now = ground.now().await;
    let ago = |ms: i64| DateTime::from_millis(now.timestamp_millis() - ms);
    let (fresh, expired, saved) = (ago(MINUTE), ago(TTL + 1), ago(2 * TTL));
    let null = Bson::Null;
    use Status::{Assigned, Available, Reserved};
    vec![
        ("only saved", doc! { "date": { "saved": saved } }, Available),
        ("no dates at all", doc! {}, Available),
        ("empty dates", doc! { "date": {} }, Available),
        (
            "null instead of every date and id",
            doc! { "date": { "saved": &null, "reserved": &null, "assigned": &null }, "reserveId": &null },
            Available,
        ),
        ("a stale id", doc! { "date": { "saved": saved }, "reserveId": "stale" }, Available),
        ("a stale id, null date", doc! { "date": { "reserved": &null }, "reserveId": "stale" }, Available),
        ("reserved", doc! { "date": { "saved": saved, "reserved": fresh }, "reserveId": "r" }, Reserved),
        ("reserved, no id", doc! { "date": { "reserved": fresh } }, Reserved),
        ("reserved, null id", doc! { "date": { "reserved": fresh }, "reserveId": &null }, Reserved),
        ("reserved, never assigned", doc! { "date": { "reserved": fresh, "assigned": &null } }, Reserved),
        ("reserved a minute short of the ttl", doc! { "date": { "reserved": ago(TTL - MINUTE) } }, Reserved),
        ("reserved by a clock ahead", doc! { "date": { "reserved": ago(-TTL) } }, Reserved),
        ("expired", doc! { "date": { "saved": saved, "reserved": expired }, "reserveId": "r" }, Available),
        ("expired just now", doc! { "date": { "reserved": ago(TTL) } }, Available),
        ("expired, null assigned", doc! { "date": { "reserved": expired, "assigned": &null } }, Available),
        ("reserved before 1970", doc! { "date": { "reserved": DateTime::from_millis(-1) } }, Available),
        ("reserved at the epoch", doc! { "date": { "reserved": DateTime::from_millis(0) } }, Available),
        ("assigned", doc! { "date": { "saved": saved, "assigned": fresh } }, Assigned),
        ("assigned, null reserved", doc! { "date": { "reserved": &null, "assigned": fresh } }, Assigned),
        ("assigned while reserved", doc! { "date": { "reserved": fresh, "assigned": fresh } }, Assigned),
        ("assigned, then expired", doc! { "date": { "reserved": expired, "assigned": expired } }, Assigned),
        ("assigned, stale id", doc! { "date": { "assigned": fresh }, "reserveId": "stale" }, Assigned),
        ("assigned at the epoch", doc! { "date": { "assigned": DateTime::from_millis(0) } }, Assigned),
        ("assigned before 1970", doc! { "date": { "assigned": DateTime::from_millis(-1) } }, Assigned),
    ]
}

/// The documents on the ground, each with a type of its own, so that counts and reserves see it alone.
async fn ground_with_documents() -> (Ground, Vec<(&'static str, CodeType, Status)>) {
    let ground = Ground::new(0).await;
    let mut cases = Vec::new();
    for (number, (name, rest, status)) in documents(&ground).await.into_iter().enumerate() {
        let code_type = format!("type{number}");
        let mut document = doc! { "type": &code_type };
        document.extend(rest);
        ground.insert(name, document).await;
        cases.push((name, CodeType::parse(code_type).expect("valid"), status));
    }
    (ground, cases)
}

#[tokio::test]
async fn a_look_up_shows_the_status_that_the_dates_mean() {
    let (ground, cases) = ground_with_documents().await;
    for (name, _, status) in cases {
        assert_eq!(ground.find(name).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_count_shows_the_status_that_the_dates_mean() {
    let (ground, cases) = ground_with_documents().await;
    for (name, code_type, status) in cases {
        let counted = ground.service.count(&campaign(), &code_type).await.expect("counts");
        for other in Status::ALL {
            assert_eq!(counted.of(other), u64::from(other == status), "{name}: {other:?}");
        }
    }
}

#[tokio::test]
async fn an_export_by_status_shows_the_codes_whose_dates_mean_it() {
    let (ground, cases) = ground_with_documents().await;
    for status in Status::ALL {
        let mut export = Export::default();
        export.status = Some(status);
        let exported = ground.export(export).await;
        assert!(exported.iter().all(|stored| stored.status == status));
        let exported = set(exported.into_iter().map(|stored| stored.code.into_string()));
        assert_eq!(exported, set(cases.iter().filter(|case| case.2 == status).map(|case| case.0)));
    }
}

#[tokio::test]
async fn a_reserve_takes_the_codes_whose_dates_mean_available_and_no_other() {
    let (ground, cases) = ground_with_documents().await;
    for (name, code_type, status) in cases {
        let before = ground.document(name).await;
        let reserved = ground.service.reserve(Reserve::new(campaign(), code_type, 1)).await;
        match status {
            Status::Available => assert_eq!(distinct(&reserved.expect(name).codes), set([name])),
            Status::Reserved | Status::Assigned => {
                let error = reserved.expect_err(name);
                assert!(matches!(error, Error::NotEnoughCodes { available: 0, .. }), "{name}: {error:?}");
                assert_eq!(ground.document(name).await, before, "{name}");
            }
        }
    }
}

/// Which status each face shows. A partial reserve from a second pool shows whether it was available.
async fn statuses(ground: &Ground, in_second_pool: usize) -> Vec<(Status, &'static str)> {
    let counted = ground.count().await;
    let of_count = Status::ALL.into_iter().find(|status| counted.of(*status) == 1).expect("one code");
    let found = ground.find("CODE000000").await.status;
    let mut listed = Vec::new();
    for status in [Status::Available, Status::Reserved] {
        let mut export = Export::default();
        export.code_type = Some(tm());
        export.status = Some(status);
        if !ground.export(export).await.is_empty() {
            listed.push((status, "export"));
        }
    }
    let mut wish = Reserve::new(campaign(), external(), u32::try_from(in_second_pool).expect("few"));
    wish.partial = true;
    let taken = ground.service.reserve(wish).await.expect("a partial reserve");
    let reserved = if taken.codes.is_empty() { Status::Reserved } else { Status::Available };
    listed.extend([(of_count, "count"), (found, "find"), (reserved, "reserve")]);
    listed
}

#[tokio::test]
async fn count_find_export_and_reserve_agree_on_the_moment_of_expiry() {
    let second_pool = ["X1", "X2", "X3"];
    let ground = Ground::new(1).await;
    ground.service.save(&campaign(), &external(), Rows::codes(second_pool)).await.expect("saves");
    // Half a second is enough to see both sides, and what is asserted holds on any machine.
    let date = ground.ago(TTL - 500).await;
    for name in second_pool.iter().chain(&["CODE000000"]) {
        ground.set(name, doc! { "date.reserved": date, "reserveId": "old" }).await;
    }
    let expiry = date.timestamp_millis() + TTL;
    loop {
        let before = ground.now().await.timestamp_millis();
        let seen = statuses(&ground, second_pool.len()).await;
        let after = ground.now().await.timestamp_millis();
        for (status, by) in &seen {
            assert!(after >= expiry || *status == Status::Reserved, "{by} is early");
            assert!(before < expiry || *status == Status::Available, "{by} is late");
        }
        if after >= expiry {
            break;
        }
    }
    let mut export = Export::default();
    export.status = Some(Status::Available);
    let left: Vec<_> = ground.service.export(&campaign(), export).try_collect().await.expect("exports");
    assert!(left.iter().any(|stored| stored.code.as_str() == "CODE000000"));
}
