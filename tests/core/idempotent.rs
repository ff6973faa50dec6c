//! Reserve under the caller's own id: the same id gives the same codes.

use std::time::Duration;

use code_service::{CampaignId, Error, ErrorKind, Rows};
use mongodb::bson::{DateTime, doc};

use crate::support::*;

#[tokio::test]
async fn the_same_id_gives_the_same_codes() {
    let ground = Ground::new(10).await;
    let first = ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    let again = ground.service.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&first.codes), distinct(&again.codes));
    assert_eq!((first.reserved, first.expires), (again.reserved, again.expires));
    assert_eq!(first.reserve_id, reserve_id("mine"));
    assert_eq!(ground.reserved_documents().await, 3);
}

#[tokio::test]
async fn only_a_repeat_says_that_it_is_one() {
    let ground = Ground::new(10).await;
    assert!(!ground.service.reserve(wish_under("mine", 3)).await.expect("available").replayed);
    assert!(ground.service.reserve(wish_under("mine", 3)).await.expect("a replay").replayed);
    assert!(!ground.reserve(3).await.expect("available").replayed);
}

#[tokio::test]
async fn another_process_gets_the_same_codes_under_the_same_id() {
    let ground = Ground::new(10).await;
    let other = ground.another_service().await;
    let first = ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    let again = other.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&first.codes), distinct(&again.codes));
}

#[tokio::test]
async fn two_ids_share_no_code() {
    let ground = Ground::new(6).await;
    let mut codes = ground.service.reserve(wish_under("mine", 3)).await.expect("six are available").codes;
    codes.extend(ground.service.reserve(wish_under("yours", 3)).await.expect("three are available").codes);
    assert_eq!(distinct(&codes), set(names(6)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_calls_at_once_from_two_processes_get_one_set() {
    let ground = Ground::new(2_000).await;
    let services = [ground.service.clone(), ground.another_service().await];
    for round in 0..20 {
        let id = format!("order-{round}");
        let calls: Vec<_> = (0..16)
            .map(|number| {
                let service = services[number % 2].clone();
                let wish = wish_under(&id, 10);
                tokio::spawn(async move { service.reserve(wish).await })
            })
            .collect();
        let mut sets = Vec::new();
        for call in calls {
            let reservation = call.await.expect("no panic").expect("enough are available");
            sets.push(distinct(&reservation.codes));
        }
        assert!(sets.iter().all(|set| *set == sets[0]), "round {round}");
        assert_eq!(ground.held_under(&reserve_id(&id)).await, sets[0], "round {round}");
        assert_eq!(ground.reserved_documents().await, 10 * (round + 1), "round {round}");
    }
}

#[tokio::test]
async fn the_same_id_with_another_campaign_type_or_count_is_a_mismatch() {
    let ground = Ground::new(10).await;
    ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    let mut campaign = wish_under("mine", 3);
    campaign.campaign = CampaignId::parse("winter").expect("valid");
    let mut code_type = wish_under("mine", 3);
    code_type.code_type = external();
    let count = wish_under("mine", 4);
    for (wish, name) in [(campaign, "campaignId"), (code_type, "type"), (count, "count")] {
        let error = ground.service.reserve(wish).await.expect_err("not what was reserved");
        assert!(matches!(error, Error::ReservationMismatch { field } if field == name), "{error:?}");
    }
    assert_eq!(ground.reserved_documents().await, 3, "nothing more is reserved");
}

#[tokio::test]
async fn an_expired_reservation_is_not_made_again_under_its_id() {
    let ground = Ground::new(10).await;
    ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    ground.age_reservations(TTL + 1).await;
    let error = ground.service.reserve(wish_under("mine", 3)).await.expect_err("it has expired");
    assert_eq!(error.kind(), ErrorKind::ReservationExpired);
    assert_eq!(ground.count().await, counts(10, 0, 0));
}

#[tokio::test]
async fn a_reservation_that_was_released_whole_has_expired() {
    let ground = Ground::new(10).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    ground.service.release(&campaign(), reservation.codes, None).await.expect("releases");
    let error = ground.service.reserve(wish_under("mine", 3)).await.expect_err("it was released");
    assert_eq!(error.kind(), ErrorKind::ReservationExpired);
}

#[tokio::test]
async fn a_reservation_that_was_released_in_part_gives_the_rest() {
    let ground = Ground::new(10).await;
    let mut codes = ground.service.reserve(wish_under("mine", 3)).await.expect("available").codes;
    let released = codes.split_off(2);
    ground.service.release(&campaign(), released, None).await.expect("releases");
    let again = ground.service.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&again.codes), distinct(&codes));
}

#[tokio::test]
async fn assigned_codes_are_given_again_under_their_id() {
    let ground = Ground::new(10).await;
    let first = ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    let id = reserve_id("mine");
    ground.service.assign(&campaign(), first.codes.clone(), Some(&id)).await.expect("assigns");
    let again = ground.service.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&first.codes), distinct(&again.codes));
}

#[tokio::test]
async fn an_id_whose_reserve_got_too_little_can_be_used_again() {
    let ground = Ground::new(2).await;
    let error = ground.service.reserve(wish_under("mine", 3)).await.expect_err("two are available");
    assert!(matches!(error, Error::NotEnoughCodes { wanted: 3, available: 2 }), "{error:?}");
    assert_eq!(ground.reserved_documents().await, 0);

    ground.service.save(&campaign(), &tm(), Rows::codes(["MORE"])).await.expect("saves");
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("three are available");
    assert_eq!(reservation.codes.len(), 3);
    assert!(!reservation.replayed);
}

#[tokio::test]
async fn under_an_id_a_partial_reserve_of_nothing_has_not_enough_codes_and_can_be_tried_again() {
    let ground = Ground::new(0).await;
    let mut wish = wish_under("mine", 3);
    wish.partial = true;
    let error = ground.service.reserve(wish.clone()).await.expect_err("there is none");
    assert!(matches!(error, Error::NotEnoughCodes { wanted: 3, available: 0 }), "{error:?}");
    ground.save(names(1)).await;
    assert_eq!(ground.service.reserve(wish).await.expect("one will do").codes.len(), 1);
}

#[tokio::test]
async fn a_partial_reservation_is_given_again_as_it_was() {
    let ground = Ground::new(2).await;
    let mut wish = wish_under("mine", 3);
    wish.partial = true;
    let first = ground.service.reserve(wish.clone()).await.expect("two will do");
    ground.save(names(5)).await;
    let again = ground.service.reserve(wish).await.expect("a replay");
    assert_eq!(distinct(&again.codes), distinct(&first.codes));
}

/// An attempt that died `lease` milliseconds after its lease ended, with two codes claimed and a third that
/// it was about to claim. Returns the date that marks its codes.
async fn dead_attempt(ground: &Ground, id: &str, lease: i64) -> DateTime {
    let reserved = ground.ago(lease + 10_000).await;
    let purge = ground.ago(-8 * TTL).await;
    let entry = doc! {
        "_id": id, "campaign_id": "summer", "type": "tm", "count": 3_i64, "state": "claiming",
        "owner": "dead", "lease": ground.ago(lease).await, "reserved": reserved, "purge": purge,
    };
    ground.ledger.insert_one(entry).await.expect("insert");
    for name in names(2) {
        ground.set(&name, doc! { "date.reserved": reserved, "reserveId": id }).await;
    }
    reserved
}

#[tokio::test]
async fn an_abandoned_attempt_is_taken_over_and_its_codes_go_back() {
    let ground = Ground::new(10).await;
    let dead = dead_attempt(&ground, "mine", 1).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("ten for the taking");
    assert_eq!(distinct(&reservation.codes).len(), 3);
    assert_eq!(ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    assert_eq!(ground.count().await, counts(7, 3, 0));
    assert!(reservation.reserved > dead.to_system_time(), "the date of the dead attempt marks no code");
}

#[tokio::test]
async fn an_abandoned_attempt_may_have_held_the_last_codes() {
    let ground = Ground::new(3).await;
    dead_attempt(&ground, "mine", 1).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("its own come back");
    assert_eq!(distinct(&reservation.codes), set(names(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_abandoned_attempt_is_taken_over_by_one_of_many() {
    let ground = Ground::new(10).await;
    let other = ground.another_service().await;
    dead_attempt(&ground, "mine", 1).await;
    let calls: Vec<_> = (0..16)
        .map(|number| if number % 2 == 0 { &ground.service } else { &other }.clone())
        .map(|service| tokio::spawn(async move { service.reserve(wish_under("mine", 3)).await }))
        .collect();
    for call in calls {
        let reservation = call.await.expect("no panic").expect("ten for the taking");
        assert_eq!(distinct(&reservation.codes), ground.held_under(&reserve_id("mine")).await);
    }
    assert_eq!(ground.count().await, counts(7, 3, 0));
}

#[tokio::test]
async fn a_call_waits_for_an_attempt_whose_lease_runs() {
    let ground = Ground::new(10).await;
    dead_attempt(&ground, "mine", -10 * MINUTE).await;
    let waiting = ground.service.reserve(wish_under("mine", 3));
    // Not a wait for luck: however long this is, the call must not have answered.
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
    assert_eq!(ground.held_under(&reserve_id("mine")).await, set(names(2)), "what it holds is its own");
}

#[tokio::test]
async fn a_reservation_that_is_still_being_made_cannot_be_seen() {
    let ground = Ground::new(10).await;
    dead_attempt(&ground, "running", -10 * MINUTE).await;
    assert!(ground.service.reservation(&reserve_id("running")).await.expect("looks up").is_none());
}

#[tokio::test]
async fn a_reservation_that_was_abandoned_while_being_made_cannot_be_seen() {
    let ground = Ground::new(10).await;
    dead_attempt(&ground, "dead", 1).await;
    assert!(ground.service.reservation(&reserve_id("dead")).await.expect("looks up").is_none());
}

#[tokio::test]
async fn codes_of_a_dead_attempt_are_not_part_of_the_reservation() {
    let ground = Ground::new(10).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("ten are available");
    // A write of an attempt that died before, which arrives only now.
    let ours = distinct(&reservation.codes);
    let stray = names(10).into_iter().find(|name| !ours.contains(name)).expect("seven are left");
    ground.set(&stray, doc! { "date.reserved": ground.ago(MINUTE).await, "reserveId": "mine" }).await;

    let again = ground.service.reserve(wish_under("mine", 3)).await.expect("a replay");
    assert_eq!(distinct(&again.codes), ours);
    let seen = ground.service.reservation(&reserve_id("mine")).await.expect("looks up").expect("it is there");
    assert_eq!(set(seen.codes.into_iter().map(|stored| stored.code.into_string())), ours);
}

#[tokio::test]
async fn an_id_that_the_service_made_cannot_be_used_for_a_second_set() {
    let ground = Ground::new(10).await;
    let made = ground.reserve(3).await.expect("ten are available");
    let error = ground.service.reserve(wish_under(made.reserve_id.as_str(), 3)).await.expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::ReservationMismatch);
    assert_eq!(ground.held_under(&made.reserve_id).await, distinct(&made.codes));
    assert_eq!(ground.ledger.count_documents(doc! {}).await.expect("counts"), 0);
}
