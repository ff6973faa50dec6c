//! Reserve without an id of the caller's own.

use std::time::Duration;

use code_service::{CampaignId, Error, ErrorKind, MAX_RESERVE, Reserve, Rows};
use mongodb::bson::doc;

use crate::support::*;

#[tokio::test]
async fn a_reserve_gives_exactly_as_many_codes_as_it_asks_for() {
    let ground = Ground::new(10).await;
    let reservation = ground.reserve(4).await.expect("ten are available");
    let given = distinct(&reservation.codes);
    assert_eq!(given.len(), 4);
    assert!(given.is_subset(&set(names(10))));
    assert_eq!(ground.count().await, counts(6, 4, 0));
}

#[tokio::test]
async fn all_codes_of_a_reservation_carry_its_id() {
    let ground = Ground::new(10).await;
    let reservation = ground.reserve(4).await.expect("ten are available");
    assert_eq!(ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
    assert_eq!(ground.reserved_documents().await, 4, "and no other code is reserved");
}

#[tokio::test]
async fn the_date_of_a_reservation_is_the_servers_time() {
    let ground = Ground::new(3).await;
    let before = ground.now().await;
    let reservation = ground.reserve(3).await.expect("three are available");
    let after = ground.now().await;
    for code in &reservation.codes {
        let reserved = date(&ground.document(code.as_str()).await, "reserved").expect("reserved");
        assert!(before <= reserved && reserved <= after, "{before} {reserved} {after}");
        assert!(reservation.reserved <= reserved.to_system_time(), "never promised for longer");
    }
    assert!(before.to_system_time() <= reservation.reserved);
}

#[tokio::test]
async fn a_reservation_expires_a_ttl_after_its_date() {
    let ground = Ground::new(1).await;
    let reservation = ground.reserve(1).await.expect("one is available");
    assert_eq!(reservation.expires, reservation.reserved + Duration::from_secs(24 * 60 * 60));
}

#[tokio::test]
async fn an_id_that_nobody_chose_is_a_new_uuid_of_version_4() {
    let ground = Ground::new(2).await;
    let one = ground.reserve(1).await.expect("two are available").reserve_id;
    let other = ground.reserve(1).await.expect("one is available").reserve_id;
    assert_ne!(one, other);
    let parts: Vec<&str> = one.as_str().split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{}", one.as_str());
}

#[tokio::test]
async fn two_reservations_share_no_code() {
    let ground = Ground::new(10).await;
    let mut codes = ground.reserve(5).await.expect("ten are available").codes;
    codes.extend(ground.reserve(5).await.expect("five are available").codes);
    assert_eq!(distinct(&codes), set(names(10)));
}

#[tokio::test]
async fn codes_of_another_campaign_are_never_given() {
    let ground = Ground::new(3).await;
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes(names(5))).await.expect("saves");
    let error = ground.reserve(4).await.expect_err("the campaign has three");
    assert!(matches!(error, Error::NotEnoughCodes { wanted: 4, available: 3 }), "{error:?}");
    ground.reserve(3).await.expect("the campaign has three");
    let left = ground.service.count(&winter, &tm()).await.expect("counts");
    assert_eq!(left, counts(5, 0, 0), "the same texts in the other campaign are untouched");
}

#[tokio::test]
async fn codes_of_another_type_are_never_given() {
    let ground = Ground::new(3).await;
    ground.service.save(&campaign(), &external(), Rows::codes(["X1", "X2"])).await.expect("saves");
    let mut wish = partial(5);
    wish.code_type = external();
    let reservation = ground.service.reserve(wish).await.expect("two are available");
    assert_eq!(distinct(&reservation.codes), set(["X1", "X2"]));
}

#[tokio::test]
async fn assigned_codes_are_never_given() {
    let ground = Ground::new(3).await;
    ground.service.assign(&campaign(), codes(["CODE000001"]), None).await.expect("assigns");
    let reservation = ground.service.reserve(partial(3)).await.expect("two are available");
    assert_eq!(distinct(&reservation.codes), set(["CODE000000", "CODE000002"]));
}

#[tokio::test]
async fn free_codes_are_given_before_expired_ones() {
    let ground = Ground::new(6).await;
    let long_ago = ground.ago(TTL + 1).await;
    for name in &names(3) {
        ground.set(name, doc! { "date.reserved": long_ago, "reserveId": "old" }).await;
    }
    let reservation = ground.reserve(3).await.expect("three are free, three expired");
    assert_eq!(distinct(&reservation.codes), set(names(6).split_off(3)));
    assert_eq!(ground.reserve(3).await.expect("three have expired").codes.len(), 3);
}

#[tokio::test]
async fn a_reserve_of_more_than_there_is_says_wanted_and_available() {
    let ground = Ground::new(3).await;
    let error = ground.reserve(5).await.expect_err("three are available");
    assert!(matches!(error, Error::NotEnoughCodes { wanted: 5, available: 3 }), "{error:?}");
}

#[tokio::test]
async fn a_reserve_that_gets_too_little_keeps_nothing() {
    let ground = Ground::new(3).await;
    let before = ground.all_documents().await;
    ground.reserve(5).await.expect_err("three are available");
    assert_eq!(ground.all_documents().await, before);
}

#[tokio::test]
async fn a_reserve_that_gets_too_little_leaves_expired_codes_to_those_who_held_them() {
    let ground = Ground::new(3).await;
    let reservation = ground.reserve(2).await.expect("three are available");
    ground.age_reservations(TTL + 1).await;
    let before = ground.all_documents().await;
    ground.reserve(5).await.expect_err("three are available");
    assert_eq!(ground.all_documents().await, before);
    let report = ground.service.assign(&campaign(), reservation.codes, Some(&reservation.reserve_id)).await;
    assert_eq!(report.expect("assigns").lost, []);
}

#[tokio::test]
async fn what_was_free_when_the_service_looked_last_long_ago_is_not_counted_on() {
    const LONGER_THAN_A_WINDOW_LIVES: Duration = Duration::from_secs(6);
    let ground = Ground::new(5).await;
    ground.reserve(1).await.expect("five are available");
    let other = ground.another_service().await;
    let mut others = other.reserve(wish(4)).await.expect("four are available").codes;
    others.pop();
    other.assign(&campaign(), others, None).await.expect("assigns");
    ground.age_reservations(TTL + 1).await;
    let before = ground.all_documents().await;
    tokio::time::sleep(LONGER_THAN_A_WINDOW_LIVES).await;
    ground.reserve(3).await.expect_err("two are available");
    assert_eq!(ground.all_documents().await, before);
}

#[tokio::test]
async fn a_partial_reserve_gives_what_there_is() {
    let ground = Ground::new(3).await;
    let reservation = ground.service.reserve(partial(5)).await.expect("three will do");
    assert_eq!(distinct(&reservation.codes), set(names(3)));
    assert_eq!(ground.held_under(&reservation.reserve_id).await, set(names(3)));
}

#[tokio::test]
async fn a_partial_reserve_gives_no_more_than_it_asks_for() {
    let ground = Ground::new(3).await;
    assert_eq!(ground.service.reserve(partial(2)).await.expect("three are available").codes.len(), 2);
}

#[tokio::test]
async fn a_partial_reserve_from_an_empty_pool_gives_no_code() {
    let ground = Ground::new(0).await;
    assert_eq!(ground.service.reserve(partial(2)).await.expect("none will do").codes, []);
}

#[tokio::test]
async fn an_empty_pool_has_not_enough_codes() {
    let ground = Ground::new(0).await;
    let error = ground.reserve(1).await.expect_err("there is none");
    assert!(matches!(error, Error::NotEnoughCodes { wanted: 1, available: 0 }), "{error:?}");
}

#[tokio::test]
async fn a_count_of_none_or_over_100_000_is_refused() {
    assert_eq!(MAX_RESERVE, 100_000);
    let ground = Ground::new(1).await;
    for count in [0, MAX_RESERVE + 1, u32::MAX] {
        for wish in [wish(count), partial(count), wish_under("mine", count)] {
            let error = ground.service.reserve(wish).await.expect_err("no such count");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().starts_with("count: "), "{error}");
        }
    }
}

#[tokio::test]
async fn a_campaign_type_or_code_may_look_like_an_operator_or_a_path() {
    let ground = Ground::new(0).await;
    for strange in ["$foo", "$$NOW", "a.b", "$set", "été-夏-🎫", " ", "{\"$ne\":1}", "null"] {
        let campaign = CampaignId::parse(strange).expect("valid");
        let code_type = code_service::CodeType::parse(strange).expect("valid");
        let rows = Rows::codes([strange.to_owned(), format!("{strange}2"), format!("{strange}3")]);
        ground.service.save(&campaign, &code_type, rows).await.expect("saves");
        let wish = Reserve::new(campaign.clone(), code_type.clone(), 1);
        assert_eq!(ground.service.reserve(wish.clone()).await.expect("reserves").codes.len(), 1);

        let mut own = wish;
        own.reserve_id = Some(reserve_id(strange));
        let first = ground.service.reserve(own.clone()).await.expect("reserves");
        let again = ground.service.reserve(own).await.expect("replays");
        assert_eq!(first.codes, again.codes, "{strange}");
        let report = ground.service.assign(&campaign, first.codes, Some(&reserve_id(strange))).await;
        assert_eq!(report.expect("assigns").updated, 1, "{strange}");
        let counted = ground.service.count(&campaign, &code_type).await.expect("counts");
        assert_eq!(counted, counts(1, 1, 1), "{strange}");
    }
}

#[tokio::test]
async fn a_reserve_of_25_000_codes_gives_them_under_one_id() {
    let ground = Ground::new(25_003).await;
    let reservation = ground.reserve(25_000).await.expect("they are available");
    assert_eq!(distinct(&reservation.codes).len(), 25_000);
    assert_eq!(ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
    assert_eq!(ground.count().await, counts(3, 25_000, 0));
}
