//! Side by side with the old service on one collection, as during a migration.

use std::collections::BTreeSet;

use code_service::{CodeService, Rows, Status};
use code_service_tests::OldService;
use code_service_tests::old_service::Counts;
use mongodb::bson::{Bson, doc};

use crate::support::*;

impl Ground {
    fn old(&self) -> OldService {
        OldService::new(&self.test.db)
    }
}

/// A ground whose codes the old service has saved.
async fn saved_by_the_old_service(count: usize) -> (Ground, OldService) {
    let ground = Ground::new(0).await;
    let old = ground.old();
    old.save("summer", "tm", &names(count)).await.expect("saves");
    (ground, old)
}

#[tokio::test]
async fn codes_that_the_old_service_saved_can_be_reserved_assigned_and_released() {
    let (ground, _) = saved_by_the_old_service(5).await;
    let reservation = ground.reserve(4).await.expect("five are available");
    let id = Some(&reservation.reserve_id);
    let released = reservation.codes[..1].to_vec();
    assert_eq!(ground.service.release(&campaign(), released, id).await.expect("releases").updated, 1);
    let assigned = reservation.codes[1..3].to_vec();
    assert_eq!(ground.service.assign(&campaign(), assigned, id).await.expect("assigns").updated, 2);
    assert_eq!(ground.count().await, counts(2, 1, 2));
}

#[tokio::test]
async fn the_two_services_count_alike() {
    let (ground, old) = saved_by_the_old_service(9).await;
    let (reserved, _) = old.reserve("summer", "tm", 4).await.expect("reserves");
    old.assign("summer", &reserved[..1]).await.expect("assigns");
    old.release("summer", &reserved[1..2]).await.expect("releases");
    let ours = ground.reserve(2).await.expect("six are available");
    ground.service.assign(&campaign(), ours.codes[..1].to_vec(), None).await.expect("assigns");
    assert_eq!(ground.count().await, counts(4, 3, 2));
    let theirs = old.count("summer", "tm").await.expect("counts");
    assert_eq!(theirs, Counts { available: 4, reserved: 3, assigned: 2 });
}

#[tokio::test]
async fn what_the_old_service_holds_is_not_given_out() {
    let (ground, old) = saved_by_the_old_service(5).await;
    let (theirs, _) = old.reserve("summer", "tm", 3).await.expect("reserves");
    let ours = ground.service.reserve(partial(5)).await.expect("two are available");
    assert_eq!(ours.codes.len(), 2);
    assert!(distinct(&ours.codes).is_disjoint(&set(theirs)));
}

#[tokio::test]
async fn what_we_hold_the_old_service_does_not_give_out() {
    let (ground, old) = saved_by_the_old_service(5).await;
    let ours = ground.reserve(3).await.expect("five are available");
    let (theirs, _) = old.reserve("summer", "tm", 5).await.expect("reserves");
    assert_eq!(theirs.len(), 2);
    assert!(distinct(&ours.codes).is_disjoint(&set(theirs)));
}

#[tokio::test]
async fn a_reservation_of_the_old_service_can_be_looked_up_and_assigned_under_its_id() {
    let (ground, old) = saved_by_the_old_service(5).await;
    let (theirs, id) = old.reserve("summer", "tm", 3).await.expect("reserves");
    let id = reserve_id(&id);
    let seen = ground.service.reservation(&id).await.expect("looks up").expect("it is there");
    assert_eq!(seen.codes.len(), 3);
    let report = ground.service.assign(&campaign(), codes(&theirs), Some(&id)).await.expect("assigns");
    assert_eq!((report.updated, report.lost.len()), (3, 0));
}

#[tokio::test]
async fn the_stale_id_on_a_code_that_the_old_service_released_means_nothing() {
    let (ground, old) = saved_by_the_old_service(2).await;
    let (theirs, id) = old.reserve("summer", "tm", 2).await.expect("reserves");
    old.release("summer", &theirs).await.expect("releases");
    let id = reserve_id(&id);
    assert_eq!(ground.find(&theirs[0]).await.reserve_id, Some(id.clone()), "it left its id behind");

    assert_eq!(ground.count().await, counts(2, 0, 0));
    assert!(ground.service.reservation(&id).await.expect("looks up").is_none());
    let report = ground.service.assign(&campaign(), codes(&theirs), Some(&id)).await.expect("answers");
    assert_eq!((report.updated, report.lost), (0, codes(&theirs)));
    let report = ground.service.release(&campaign(), codes(&theirs), Some(&id)).await.expect("answers");
    assert_eq!((report.updated, report.lost), (0, codes(&theirs)));
    let again = ground.reserve(2).await.expect("both are available");
    assert_eq!(ground.held_under(&again.reserve_id).await, set(theirs));
}

#[tokio::test]
async fn what_we_release_the_old_service_can_reserve() {
    let (ground, old) = saved_by_the_old_service(3).await;
    let ours = ground.reserve(3).await.expect("available");
    ground.service.release(&campaign(), ours.codes, Some(&ours.reserve_id)).await.expect("releases");
    assert_eq!(old.reserve("summer", "tm", 3).await.expect("reserves").0.len(), 3);
}

#[tokio::test]
async fn the_old_service_can_release_what_we_hold() {
    let (ground, old) = saved_by_the_old_service(3).await;
    let ours = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    let released: Vec<String> = names(1);
    assert_eq!(old.release("summer", &released).await.expect("releases"), 1);
    let again = ground.service.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&again.codes), set(names(3).split_off(1)));
    let report = ground.service.assign(&campaign(), ours.codes, Some(&ours.reserve_id)).await;
    let report = report.expect("assigns");
    assert_eq!((report.updated, report.lost), (2, codes(released)));
}

#[tokio::test]
async fn the_old_service_can_save_again_what_we_hold() {
    let (ground, old) = saved_by_the_old_service(3).await;
    let ours = ground.reserve(3).await.expect("available");
    let saved = old.save("summer", "tm", &names(4)).await.expect("saves");
    assert_eq!((saved.inserted, saved.updated), (1, 3));
    assert_eq!(ground.held_under(&ours.reserve_id).await, set(names(3)));
    let saved = ground.service.save(&campaign(), &tm(), Rows::codes(names(5))).await.expect("saves");
    assert_eq!((saved.inserted, saved.updated), (1, 4));
}

#[tokio::test]
async fn null_means_the_same_as_missing() {
    let ground = Ground::new(0).await;
    let null = Bson::Null;
    let now = ground.now().await;
    let dates = doc! { "saved": now, "reserved": &null, "assigned": &null };
    ground.insert("FREE", doc! { "type": "tm", "date": dates, "reserveId": &null }).await;
    let dates = doc! { "saved": now, "reserved": now, "assigned": &null };
    ground.insert("HELD", doc! { "type": "tm", "date": dates, "reserveId": "theirs" }).await;

    assert_eq!(ground.count().await, counts(1, 1, 0));
    let ours = ground.service.reserve(partial(2)).await.expect("one is available");
    assert_eq!(distinct(&ours.codes), set(["FREE"]));
    let id = Some(&ours.reserve_id);
    assert_eq!(ground.service.assign(&campaign(), codes(["FREE"]), id).await.expect("assigns").updated, 1);
    let theirs = reserve_id("theirs");
    let report = ground.service.release(&campaign(), codes(["HELD"]), Some(&theirs)).await;
    assert_eq!(report.expect("releases").updated, 1);
    assert_eq!(ground.find("HELD").await.status, Status::Available);
    assert_eq!(ground.count().await, counts(1, 0, 1));
}

/// Reserves until the pool is empty, sometimes a single code, sometimes ten.
async fn take_all(service: CodeService) -> Vec<String> {
    let mut taken = Vec::new();
    for number in 0_usize.. {
        let codes = service.reserve(partial(if number.is_multiple_of(2) { 1 } else { 10 })).await;
        let codes = codes.expect("reserves").codes;
        if codes.is_empty() {
            break;
        }
        taken.extend(codes.into_iter().map(|code| code.into_string()));
    }
    taken
}

/// The same with the old service, which may get nothing although there is something.
async fn take_all_the_old_way(old: OldService) -> Vec<String> {
    let mut taken = Vec::new();
    for number in 0_usize.. {
        let count = if number.is_multiple_of(2) { 1 } else { 10 };
        taken.extend(old.reserve("summer", "tm", count).await.expect("reserves").0);
        if old.count("summer", "tm").await.expect("counts").available == 0 {
            break;
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_services_on_one_pool_at_once_give_no_code_twice() {
    let (ground, old) = saved_by_the_old_service(2_000).await;
    let ours: Vec<_> = (0..4).map(|_| tokio::spawn(take_all(ground.service.clone()))).collect();
    let theirs: Vec<_> = (0..4).map(|_| tokio::spawn(take_all_the_old_way(old.clone()))).collect();
    let mut taken = Vec::new();
    let mut by_the_old = 0;
    for task in ours {
        taken.extend(task.await.expect("no panic"));
    }
    for task in theirs {
        let codes = task.await.expect("no panic");
        by_the_old += codes.len();
        taken.extend(codes);
    }
    let distinct: BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (2_000, 2_000));
    assert!(by_the_old > 0 && by_the_old < 2_000, "both took part: {by_the_old}");
}
