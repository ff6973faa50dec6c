//! Assign and release: codes are given out for good, or go back into the pool.

use code_service::{CampaignId, ErrorKind, Rows, SettleReport, Status};
use mongodb::bson::doc;

use crate::support::*;

fn report(given: u64, updated: u64, lost: &[&str]) -> SettleReport {
    SettleReport { given, updated, lost: codes(lost) }
}

/// Reserves the codes with these names under this id, as the service would.
async fn hold(ground: &Ground, names: &[&str], id: &str) {
    let now = ground.now().await;
    for name in names {
        ground.set(name, doc! { "date.reserved": now, "reserveId": id }).await;
    }
}

impl Ground {
    async fn assign(&self, names: &[&str], id: Option<&str>) -> SettleReport {
        let id = id.map(reserve_id);
        self.service.assign(&campaign(), codes(names), id.as_ref()).await.expect("assigns")
    }

    async fn release(&self, names: &[&str], id: Option<&str>) -> SettleReport {
        let id = id.map(reserve_id);
        self.service.release(&campaign(), codes(names), id.as_ref()).await.expect("releases")
    }
}

const A: &str = "CODE000000";
const B: &str = "CODE000001";
const C: &str = "CODE000002";

#[tokio::test]
async fn reserved_codes_can_be_assigned() {
    let ground = Ground::new(3).await;
    hold(&ground, &[A, B], "mine").await;
    assert_eq!(ground.assign(&[A, B], None).await, report(2, 2, &[]));
    assert_eq!(ground.count().await, counts(1, 0, 2));
}

#[tokio::test]
async fn available_codes_can_be_assigned() {
    let ground = Ground::new(3).await;
    assert_eq!(ground.assign(&[A, B], None).await, report(2, 2, &[]));
    assert_eq!(ground.count().await, counts(1, 0, 2));
}

#[tokio::test]
async fn the_date_of_an_assignment_is_the_servers_time() {
    let ground = Ground::new(1).await;
    let before = ground.now().await;
    ground.assign(&[A], None).await;
    let assigned = date(&ground.document(A).await, "assigned").expect("assigned");
    assert!(before <= assigned && assigned <= ground.now().await);
}

#[tokio::test]
async fn a_second_assignment_counts_nothing_and_keeps_the_date() {
    let ground = Ground::new(1).await;
    ground.assign(&[A], None).await;
    ground.set(A, doc! { "date.assigned": ground.ago(MINUTE).await }).await;
    let before = ground.document(A).await;
    assert_eq!(ground.assign(&[A], None).await, report(1, 0, &[]));
    assert_eq!(ground.assign(&[A], Some("mine")).await, report(1, 0, &[A]));
    assert_eq!(ground.document(A).await, before);
}

#[tokio::test]
async fn unknown_codes_are_given_but_not_updated() {
    let ground = Ground::new(1).await;
    assert_eq!(ground.assign(&[A, "NOBODYS"], None).await, report(2, 1, &[]));
    assert_eq!(ground.release(&["NOBODYS"], None).await, report(1, 0, &[]));
    assert_eq!(ground.all_documents().await.len(), 1, "none is made");
}

#[tokio::test]
async fn repeats_in_the_list_are_given_and_updated_once() {
    let ground = Ground::new(2).await;
    hold(&ground, &[A, B], "mine").await;
    assert_eq!(ground.release(&[A, A, A], None).await, report(3, 1, &[]));
    assert_eq!(ground.assign(&[B, B], Some("mine")).await, report(2, 1, &[]));
    assert_eq!(ground.assign(&[A, B, A], Some("mine")).await, report(3, 0, &[A]));
}

#[tokio::test]
async fn codes_of_another_campaign_are_not_settled() {
    let ground = Ground::new(1).await;
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes([A, B])).await.expect("saves");
    ground.assign(&[A, B], None).await;
    assert_eq!(ground.service.count(&winter, &tm()).await.expect("counts"), counts(2, 0, 0));
}

#[tokio::test]
async fn an_empty_list_is_refused() {
    let ground = Ground::new(0).await;
    let assigned = ground.service.assign(&campaign(), Vec::new(), None).await;
    let released = ground.service.release(&campaign(), Vec::new(), None).await;
    for outcome in [assigned, released] {
        let error = outcome.expect_err("there is nothing to do");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidArgument, "codes: is empty".into()));
    }
}

#[tokio::test]
async fn under_an_id_only_codes_that_it_holds_are_assigned() {
    let ground = Ground::new(3).await;
    hold(&ground, &[A], "mine").await;
    hold(&ground, &[B], "yours").await;
    let (yours, free) = (ground.document(B).await, ground.document(C).await);
    assert_eq!(ground.assign(&[C, A, "NOBODYS", B], Some("mine")).await, report(4, 1, &[C, "NOBODYS", B]));
    assert_eq!(ground.count().await, counts(1, 1, 1));
    assert_eq!((ground.document(B).await, ground.document(C).await), (yours, free));
}

#[tokio::test]
async fn codes_assigned_under_the_same_id_are_not_lost() {
    let ground = Ground::new(3).await;
    hold(&ground, &[A, B], "mine").await;
    assert_eq!(ground.assign(&[A, B], Some("mine")).await, report(2, 2, &[]));
    assert_eq!(ground.assign(&[A, B], Some("mine")).await, report(2, 0, &[]));
    assert_eq!(ground.assign(&[A, B, C], Some("mine")).await, report(3, 0, &[C]));
}

#[tokio::test]
async fn a_code_that_expired_and_was_taken_by_another_is_lost_and_untouched() {
    let ground = Ground::new(1).await;
    let first = ground.reserve(1).await.expect("available");
    ground.age_reservations(TTL + 1).await;
    ground.reserve(1).await.expect("expired, so available");
    let before = ground.document(A).await;
    let id = first.reserve_id.as_str();
    assert_eq!(ground.assign(&[A], Some(id)).await, report(1, 0, &[A]));
    assert_eq!(ground.release(&[A], Some(id)).await, report(1, 0, &[A]));
    assert_eq!(ground.document(A).await, before);
}

#[tokio::test]
async fn a_code_that_expired_and_was_assigned_to_another_is_lost() {
    let ground = Ground::new(1).await;
    let first = ground.reserve(1).await.expect("available");
    ground.age_reservations(TTL + 1).await;
    let second = ground.reserve(1).await.expect("expired, so available");
    ground.assign(&[A], Some(second.reserve_id.as_str())).await;
    assert_eq!(ground.assign(&[A], Some(first.reserve_id.as_str())).await, report(1, 0, &[A]));
}

#[tokio::test]
async fn an_expired_code_that_nobody_took_can_still_be_assigned_under_its_id() {
    let ground = Ground::new(1).await;
    let reservation = ground.reserve(1).await.expect("available");
    ground.age_reservations(TTL + 1).await;
    assert_eq!(ground.assign(&[A], Some(reservation.reserve_id.as_str())).await, report(1, 1, &[]));
}

#[tokio::test]
async fn a_stale_id_without_a_date_holds_nothing() {
    let ground = Ground::new(1).await;
    ground.set(A, doc! { "reserveId": "stale" }).await;
    let before = ground.document(A).await;
    assert_eq!(ground.assign(&[A], Some("stale")).await, report(1, 0, &[A]));
    assert_eq!(ground.release(&[A], Some("stale")).await, report(1, 0, &[A]));
    assert_eq!(ground.document(A).await, before);
}

#[tokio::test]
async fn a_code_assigned_to_another_after_its_release_is_lost_although_the_stale_id_stayed() {
    let ground = Ground::new(1).await;
    // Released by the old service, then assigned straight from the pool.
    ground.set(A, doc! { "reserveId": "stale" }).await;
    ground.assign(&[A], None).await;
    assert_eq!(ground.assign(&[A], Some("stale")).await, report(1, 0, &[A]));
}

#[tokio::test]
async fn reserved_codes_can_be_released_and_reserved_again() {
    let ground = Ground::new(2).await;
    hold(&ground, &[A, B], "mine").await;
    assert_eq!(ground.release(&[A], None).await, report(1, 1, &[]));
    assert_eq!(ground.count().await, counts(1, 1, 0));
    assert_eq!(distinct(&ground.reserve(1).await.expect("available again").codes), set([A]));
}

#[tokio::test]
async fn a_second_release_changes_nothing() {
    let ground = Ground::new(2).await;
    hold(&ground, &[A, B], "mine").await;
    ground.release(&[A, B], None).await;
    let before = ground.all_documents().await;
    assert_eq!(ground.release(&[A, B], None).await, report(2, 0, &[]));
    assert_eq!(ground.release(&[A, B], Some("mine")).await, report(2, 0, &[A, B]));
    assert_eq!(ground.all_documents().await, before);
}

#[tokio::test]
async fn an_assigned_code_is_never_released() {
    let ground = Ground::new(2).await;
    hold(&ground, &[A], "mine").await;
    ground.assign(&[A, B], None).await;
    let before = ground.all_documents().await;
    assert_eq!(ground.release(&[A, B], None).await, report(2, 0, &[]));
    assert_eq!(ground.release(&[A, B], Some("mine")).await, report(2, 0, &[A, B]));
    assert_eq!(ground.all_documents().await, before);
}

#[tokio::test]
async fn under_an_id_only_codes_that_it_holds_are_released() {
    let ground = Ground::new(3).await;
    hold(&ground, &[A], "mine").await;
    hold(&ground, &[B], "yours").await;
    let (yours, free) = (ground.document(B).await, ground.document(C).await);
    assert_eq!(ground.release(&[C, A, B], Some("mine")).await, report(3, 1, &[C, B]));
    assert_eq!(ground.find(A).await.status, Status::Available);
    assert_eq!((ground.document(B).await, ground.document(C).await), (yours, free));
}

#[tokio::test]
async fn lists_of_any_length_are_settled_whole() {
    let ground = Ground::new(20_500).await;
    let reservation = ground.reserve(20_500).await.expect("available");
    let id = Some(&reservation.reserve_id);
    ground.set("CODE000007", doc! { "reserveId": "other" }).await;
    let mut all = codes(names(20_500));
    let mut last = all.split_off(20_400);
    last.push(code("NOBODYS"));

    let assigned = ground.service.assign(&campaign(), all, id).await.expect("assigns");
    assert_eq!(assigned, report(20_400, 20_399, &["CODE000007"]));
    let released = ground.service.release(&campaign(), last, id).await.expect("releases");
    assert_eq!(released, report(101, 100, &["NOBODYS"]));
    assert_eq!(ground.count().await, counts(100, 1, 20_399));
}
