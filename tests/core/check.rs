//! Check: each kind of harm is found once and named, and what is safe is mended.

use std::time::Duration;

use code_service::{
    CampaignId, Check, CheckReport, Code, CodeService, Example, FindingKind, Options, Reserve, Rows,
};
use code_service_tests::OldService;
use mongodb::bson::{Bson, Document, doc};

use crate::support::*;

/// The name of an example, and what it shows to the people who mend it.
pub(crate) fn shown(examples: &[Example]) -> Vec<String> {
    examples.iter().map(Example::to_string).collect()
}

/// What was found: kinds, how many, how many of them mended.
pub(crate) fn found(report: &CheckReport) -> Vec<(&'static str, u64, u64)> {
    report.findings.iter().map(|found| (found.kind.as_str(), found.count, found.repaired)).collect()
}

impl Ground {
    /// With a service that does not sweep while a test runs.
    async fn unswept(count: usize) -> Ground {
        let mut ground = Ground::new(count).await;
        let mut options = Options::new(&ground.test.uri);
        options.sweep_interval = Duration::from_secs(3600);
        // Whose sweep comes first after five seconds.
        let sweeping =
            std::mem::replace(&mut ground.service, CodeService::connect(options).await.expect("connects"));
        sweeping.close().await;
        ground
    }

    pub(crate) async fn check(&self) -> CheckReport {
        self.service.check(Check::default()).await.expect("checks")
    }

    pub(crate) async fn check_and_repair(&self) -> CheckReport {
        let mut check = Check::default();
        check.repair = true;
        self.service.check(check).await.expect("checks")
    }

    /// That the check finds this kind alone, and says so of these; and that a repair does not touch anything.
    async fn assert_found_and_left_alone(&self, kind: FindingKind, examples: &[&str]) {
        let count = examples.len() as u64;
        let before = self.everything().await;
        for report in [self.check().await, self.check_and_repair().await] {
            assert_eq!(found(&report), [(kind.as_str(), count, 0)]);
            assert_eq!(shown(&report.findings[0].examples), examples);
            assert_eq!(report.is_clean(), kind.is_information());
        }
        assert_eq!(kind.repair(), None);
        assert_eq!(self.everything().await, before);
    }

    /// That the check finds this kind alone, that a repair mends it, and that nothing is found of it then.
    async fn assert_found_and_mended(&self, kind: FindingKind, examples: &[&str]) {
        let count = examples.len() as u64;
        let before = self.everything().await;
        let report = self.check().await;
        assert_eq!(found(&report), [(kind.as_str(), count, 0)]);
        assert_eq!(shown(&report.findings[0].examples), examples);
        assert_eq!(self.everything().await, before, "a check changes nothing");
        let mended = self.check_and_repair().await;
        assert_eq!(found(&mended), [(kind.as_str(), count, count)]);
        assert!(mended.is_clean() && kind.repair().is_some());
        assert_eq!(found(&self.check().await), []);
    }

    async fn everything(&self) -> Vec<Document> {
        let mut all = self.all_documents().await;
        let entries = self.ledger.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("find");
        all.extend(futures_util::TryStreamExt::try_collect::<Vec<_>>(entries).await.expect("find"));
        all
    }

    /// A document whose `_id` is this one.
    pub(crate) async fn insert_named(&self, id: impl Into<Bson>) {
        let saved = self.now().await;
        let document = doc! { "_id": id.into(), "type": "tm", "date": { "saved": saved } };
        self.codes.insert_one(document).await.expect("insert");
    }

    /// An entry of an attempt that died with two of three codes claimed, and is to be swept since some milliseconds.
    async fn dead_attempt(&self, id: &str, since: i64) {
        let reserved = self.ago(since + 10_000).await;
        let entry = doc! {
            "_id": id, "campaign_id": "summer", "type": "tm", "count": 3_i64, "state": "claiming", "owner": "dead",
            "lease": self.ago(since + 4_000).await, "reserved": reserved, "sweep": self.ago(since).await,
            "purge": self.ago(-8 * TTL).await,
        };
        self.ledger.insert_one(entry).await.expect("insert");
        for name in names(2) {
            self.set(&name, doc! { "date.reserved": reserved, "reserveId": id }).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let ground = Ground::new(10).await;
    ground.reserve(2).await.expect("available");
    ground.service.reserve(wish_under("mine", 2)).await.expect("available");
    let mine = ground.service.reserve(wish_under("yours", 2)).await.expect("available");
    ground.service.assign(&campaign(), mine.codes, Some(&mine.reserve_id)).await.expect("assigns");
    ground.service.assign(&campaign(), codes(["CODE000009"]), None).await.expect("assigns");
    let report = ground.check().await;
    assert_eq!(found(&report), []);
    assert_eq!((report.documents, report.entries), (10, 2));
    assert!(report.is_clean());
}

#[tokio::test]
async fn a_code_that_is_there_twice_is_found_and_left_to_people() {
    let ground = Ground::new(3).await;
    ground.insert_named(doc! { "code": "CODE000001", "campaign_id": "summer" }).await;
    ground.assert_found_and_left_alone(FindingKind::IdTwice, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn a_code_whose_second_document_has_more_in_its_id_is_there_twice_too() {
    let ground = Ground::new(3).await;
    ground.insert_named(doc! { "campaign_id": "summer", "code": "CODE000001", "more": 1 }).await;
    let report = ground.check().await;
    assert_eq!(found(&report), [("id_twice", 1, 0)]);
}

#[tokio::test]
async fn an_id_in_the_wrong_order_is_put_in_order_with_all_that_the_document_has() {
    let ground = Ground::new(3).await;
    let (saved, reserved) = (ground.ago(9).await, ground.ago(5).await);
    let rest = doc! { "type": "tm", "date": { "saved": saved, "reserved": reserved }, "reserveId": "mine" };
    let mut wrong = doc! { "_id": { "code": "X", "campaign_id": "summer" } };
    wrong.extend(rest.clone());
    ground.codes.insert_one(wrong).await.expect("insert");
    ground.assert_found_and_mended(FindingKind::IdOrder, &["summer X"]).await;
    let mut right = id_of("X");
    right.extend(rest);
    assert_eq!(ground.document("X").await, right);
    assert_eq!(ground.codes.count_documents(doc! {}).await.expect("counts"), 4);
}

#[tokio::test]
async fn one_repair_mends_an_id_in_the_wrong_order_and_what_else_is_wrong_with_it() {
    let ground = Ground::new(0).await;
    let wrong = doc! {
        "_id": { "code": "X", "campaign_id": "summer" }, "type": "tm",
        "date": { "saved": ground.now().await }, "reserveId": "old",
    };
    ground.codes.insert_one(wrong).await.expect("insert");
    let report = ground.check_and_repair().await;
    assert_eq!(found(&report), [("id_order", 1, 1), ("stale_id", 1, 1)]);
    assert_eq!(found(&ground.check().await), []);
}

#[tokio::test]
async fn documents_that_are_no_codes_are_found() {
    let ground = Ground::new(3).await;
    ground.insert_named("X").await;
    ground.insert_named(doc! { "campaign_id": "summer" }).await;
    ground.insert_named(doc! { "campaign_id": "summer", "code": 7 }).await;
    ground.insert_named(doc! { "campaign_id": "summer", "code": "A\n" }).await;
    ground.insert_named(doc! { "campaign_id": "summer", "code": "A", "more": 1 }).await;
    let examples = [
        "_id \"X\"",
        "_id { \"campaign_id\": \"summer\" }",
        "_id { \"campaign_id\": \"summer\", \"code\": 7 }",
        "_id { \"campaign_id\": \"summer\", \"code\": \"A\" }",
        "_id { \"campaign_id\": \"summer\", \"code\": \"A\", \"more\": 1 }",
    ];
    ground.assert_found_and_left_alone(FindingKind::NoCode, &examples).await;
}

#[tokio::test]
async fn codes_without_a_usable_type_are_found() {
    let ground = Ground::new(3).await;
    ground.set("CODE000001", doc! { "type": 7 }).await;
    ground.assert_found_and_left_alone(FindingKind::BadType, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn dates_that_are_no_dates_are_found() {
    let ground = Ground::new(3).await;
    ground.set("CODE000001", doc! { "date.reserved": "today", "reserveId": "mine" }).await;
    ground.assert_found_and_left_alone(FindingKind::BadDate, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn codes_without_a_date_of_saving_are_found() {
    let ground = Ground::new(3).await;
    ground.set("CODE000001", doc! { "date": {} }).await;
    ground.assert_found_and_left_alone(FindingKind::NotSaved, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn fields_that_no_service_writes_are_found() {
    let ground = Ground::new(3).await;
    ground.set("CODE000001", doc! { "note": "for the band" }).await;
    ground.assert_found_and_left_alone(FindingKind::ExtraField, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn a_code_that_is_reserved_under_no_id_is_given_back() {
    let ground = Ground::new(3).await;
    ground.set("CODE000001", doc! { "date.reserved": ground.ago(5).await }).await;
    ground.set("CODE000002", doc! { "date.reserved": ground.ago(5).await, "reserveId": "" }).await;
    let examples = ["summer CODE000001", "summer CODE000002"];
    ground.assert_found_and_mended(FindingKind::ReservedWithoutId, &examples).await;
    assert_eq!(ground.count().await, counts(3, 0, 0));
}

#[tokio::test]
async fn what_the_deployed_service_leaves_on_codes_that_it_releases_is_harmless_and_removed() {
    let ground = Ground::new(3).await;
    let old = OldService::new(&ground.test.db);
    let (taken, _) = old.reserve("summer", "tm", 1).await.expect("available");
    old.release("summer", &taken).await.expect("releases");
    assert!(ground.check().await.is_clean());
    let example = format!("summer {}", taken[0]);
    ground.assert_found_and_mended(FindingKind::StaleId, &[&example]).await;
    assert!(!ground.document(&taken[0]).await.contains_key("reserveId"));
}

#[tokio::test]
async fn a_repair_of_an_assigned_code_keeps_its_dates() {
    let ground = Ground::new(1).await;
    ground.set("CODE000000", doc! { "date.assigned": ground.ago(5).await, "reserveId": "old" }).await;
    let before = ground.document("CODE000000").await;
    assert_eq!(found(&ground.check_and_repair().await), [("stale_id", 1, 1)]);
    assert_eq!(ground.document("CODE000000").await.get("date"), before.get("date"));
}

#[tokio::test]
async fn dates_in_the_future_are_found() {
    let ground = Ground::new(3).await;
    let reserved = doc! { "date.reserved": ground.ago(-2 * MINUTE).await, "reserveId": "fast" };
    ground.set("CODE000001", reserved).await;
    ground.assert_found_and_left_alone(FindingKind::ReservedInFuture, &["summer CODE000001"]).await;
    ground.set("CODE000001", doc! { "date.assigned": ground.ago(-2 * MINUTE).await }).await;
    ground.set("CODE000001", doc! { "date.reserved": ground.ago(MINUTE).await }).await;
    ground.assert_found_and_left_alone(FindingKind::AssignedInFuture, &["summer CODE000001"]).await;
}

#[tokio::test]
async fn an_id_with_codes_of_several_campaigns_is_found() {
    let ground = Ground::new(3).await;
    let reserved = doc! { "date.reserved": ground.ago(5).await, "reserveId": "both" };
    ground.set("CODE000001", reserved).await;
    let winter = doc! {
        "_id": { "campaign_id": "winter", "code": "A" }, "type": "tm", "reserveId": "both",
        "date": { "saved": ground.ago(9).await, "reserved": ground.ago(5).await },
    };
    ground.codes.insert_one(winter).await.expect("insert");
    ground.assert_found_and_left_alone(FindingKind::ManyCampaigns, &["reserveId both"]).await;
}

#[tokio::test]
async fn an_id_whose_codes_were_saved_again_with_another_type_is_harmless() {
    let ground = Ground::new(3).await;
    let reservation = ground.reserve(2).await.expect("available");
    let again = [reservation.codes[0].as_str().to_owned()];
    ground.service.save(&campaign(), &external(), Rows::codes(again)).await.expect("saves");
    let example = format!("reserveId {}", reservation.reserve_id.as_str());
    ground.assert_found_and_left_alone(FindingKind::ManyTypes, &[&example]).await;
}

#[tokio::test]
async fn a_reservation_whose_codes_are_in_another_campaign_is_found() {
    let ground = Ground::new(3).await;
    ground.service.reserve(wish_under("mine", 2)).await.expect("available");
    let held = ground.held_under(&reserve_id("mine")).await;
    for name in &held {
        let mut moved = ground.document(name).await;
        ground.codes.delete_one(id_of(name)).await.expect("delete");
        moved.insert("_id", doc! { "campaign_id": "winter", "code": name });
        moved.insert("type", "external");
        ground.codes.insert_one(moved).await.expect("insert");
    }
    ground.assert_found_and_left_alone(FindingKind::OtherCampaign, &["summer reserveId mine"]).await;
    // Also if it is only one of them.
    let one = held.first().expect("there are two");
    ground.codes.delete_one(doc! { "_id": { "campaign_id": "winter", "code": one } }).await.expect("delete");
    let entry = ground.ledger.find_one(doc! {}).await.expect("find").expect("an entry");
    let reserved = entry.get("reserved").cloned().expect("a date");
    let right = doc! { "type": "tm", "date": { "saved": ground.ago(9).await, "reserved": reserved }, "reserveId": "mine" };
    ground.insert(one, right).await;
    assert_eq!(found(&ground.check().await), [("many_campaigns", 1, 0), ("other_campaign", 1, 0)]);
}

#[tokio::test]
async fn a_reservation_whose_codes_were_all_saved_again_with_another_type_is_harmless() {
    let ground = Ground::new(3).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    let save_again = async |codes: &[Code]| {
        let again: Vec<String> = codes.iter().map(|code| code.as_str().to_owned()).collect();
        ground.service.save(&campaign(), &external(), Rows::codes(again)).await.expect("saves");
    };
    save_again(&reservation.codes[..1]).await;
    assert_eq!(found(&ground.check().await), [("many_types", 1, 0)]);
    save_again(&reservation.codes).await;
    ground.assert_found_and_left_alone(FindingKind::OtherType, &["summer reserveId mine"]).await;
}

#[tokio::test]
async fn an_id_that_is_used_again_long_after_its_codes_have_expired_is_no_harm() {
    let ground = Ground::new(3).await;
    let reserved = doc! { "date.reserved": ground.ago(TTL + 1).await, "reserveId": "again" };
    ground.set("CODE000001", reserved).await;
    let mut wish = Reserve::new(CampaignId::parse("winter").expect("valid"), tm(), 1);
    wish.reserve_id = Some(reserve_id("again"));
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes(["A"])).await.expect("saves");
    ground.service.reserve(wish).await.expect("available");
    assert_eq!(found(&ground.check().await), []);
}

#[tokio::test]
async fn entries_that_nobody_can_read_are_found() {
    let ground = Ground::new(3).await;
    ground.ledger.insert_one(doc! { "_id": "broken", "state": "lost" }).await.expect("insert");
    ground.assert_found_and_left_alone(FindingKind::BadEntry, &["reserveId broken"]).await;
    ground.ledger.insert_one(doc! { "_id": 7 }).await.expect("insert");
    let report = ground.check().await;
    assert_eq!((found(&report), report.entries), (vec![("bad_entry", 2, 0)], 2));
}

#[tokio::test]
async fn what_dead_attempts_have_left_is_found_when_nobody_sweeps_and_goes_back() {
    let ground = Ground::unswept(10).await;
    ground.dead_attempt("dead", 2 * MINUTE).await;
    let report = ground.check().await;
    assert_eq!(found(&report), [("not_swept", 1, 0), ("left_behind", 2, 0)]);
    assert_eq!(shown(&report.findings[0].examples), ["summer reserveId dead"]);
    assert_eq!(shown(&report.findings[1].examples), ["summer CODE000000", "summer CODE000001"]);
    let mended = ground.check_and_repair().await;
    assert_eq!(found(&mended), [("not_swept", 1, 1), ("left_behind", 2, 2)]);
    assert_eq!(ground.count().await, counts(10, 0, 0));
    let again = ground.check().await;
    assert_eq!((found(&again), again.entries), (vec![], 0));
}

#[tokio::test]
async fn what_an_attempt_before_the_granted_one_has_left_goes_back_and_the_granted_codes_stay() {
    let ground = Ground::unswept(10).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    let past = ground.ago(MINUTE).await;
    let swept = doc! { "$set": { "past": [past], "sweep": ground.ago(2 * MINUTE).await } };
    ground.ledger.update_one(doc! { "_id": "mine" }, swept).await.expect("update");
    let ours = distinct(&reservation.codes);
    let stray = names(10).into_iter().find(|name| !ours.contains(name)).expect("seven are left");
    ground.set(&stray, doc! { "date.reserved": past, "reserveId": "mine" }).await;
    let mended = ground.check_and_repair().await;
    assert_eq!(found(&mended), [("not_swept", 1, 1), ("left_behind", 1, 1)]);
    assert_eq!(ground.held_under(&reserve_id("mine")).await, ours);
    assert_eq!(found(&ground.check().await), []);
}

#[tokio::test]
async fn an_attempt_that_the_sweep_will_find_in_time_is_not_found() {
    let ground = Ground::unswept(10).await;
    ground.dead_attempt("dead", MINUTE / 6).await;
    assert_eq!(found(&ground.check().await), []);
    assert_eq!(ground.count().await, counts(8, 2, 0));
}

#[tokio::test]
async fn more_codes_under_an_id_than_belong_to_its_answer_are_found() {
    let ground = Ground::unswept(10).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    let ours = distinct(&reservation.codes);
    let mut strays = names(10).into_iter().filter(|name| !ours.contains(name));
    let (one, two) = (strays.next().expect("free"), strays.next().expect("free"));
    let entry = ground.ledger.find_one(doc! {}).await.expect("find").expect("an entry");
    let own = entry.get("reserved").cloned().expect("a date");
    ground.set(&one, doc! { "date.reserved": own, "reserveId": "mine" }).await;
    ground.set(&two, doc! { "date.reserved": ground.ago(MINUTE).await, "reserveId": "mine" }).await;
    let before = ground.everything().await;
    let report = ground.check_and_repair().await;
    assert_eq!(found(&report), [("surplus", 2, 0)]);
    assert_eq!(shown(&report.findings[0].examples), ["summer reserveId mine"]);
    assert_eq!(ground.everything().await, before);
}

#[tokio::test]
async fn a_reservation_of_which_a_part_was_released_is_good_to_know() {
    let ground = Ground::new(3).await;
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("available");
    ground.service.release(&campaign(), reservation.codes[..1].to_vec(), None).await.expect("releases");
    ground.assert_found_and_left_alone(FindingKind::Fewer, &["summer reserveId mine"]).await;
}

#[tokio::test]
async fn a_missing_index_is_found_and_the_check_goes_on_without_it() {
    let ground = Ground::new(3).await;
    ground.codes.drop_indexes().await.expect("drops");
    let reserved = doc! { "date.reserved": ground.ago(5).await };
    ground.set("CODE000001", reserved).await;
    let report = ground.check().await;
    assert_eq!(found(&report), [("index", 3, 0), ("reserved_without_id", 1, 0)]);
    assert!(shown(&report.findings[0].examples)[0].contains("has no index"));
}

#[tokio::test]
async fn a_check_of_one_campaign_sees_no_other() {
    let ground = Ground::new(3).await;
    let winter = CampaignId::parse("winter").expect("valid");
    ground.service.save(&winter, &tm(), Rows::codes(["A", "B"])).await.expect("saves");
    ground.set("CODE000001", doc! { "note": 1 }).await;
    let mut check = Check::default();
    check.campaign = Some(winter);
    let report = ground.service.check(check.clone()).await.expect("checks");
    assert_eq!((found(&report), report.documents), (vec![], 2));
    check.campaign = Some(campaign());
    let report = ground.service.check(check).await.expect("checks");
    assert_eq!((found(&report), report.documents), (vec![("extra_field", 1, 0)], 3));
}

#[tokio::test]
async fn a_finding_keeps_as_many_examples_as_were_asked_for_and_counts_all() {
    let ground = Ground::new(20).await;
    ground.codes.update_many(doc! {}, doc! { "$set": { "note": 1 } }).await.expect("update");
    let mut check = Check::default();
    check.examples = 3;
    let report = ground.service.check(check).await.expect("checks");
    assert_eq!(found(&report), [("extra_field", 20, 0)]);
    assert_eq!(
        shown(&report.findings[0].examples),
        ["summer CODE000000", "summer CODE000001", "summer CODE000002"]
    );
}

#[tokio::test]
async fn examples_of_reservations_are_the_first_ones() {
    let ground = Ground::new(0).await;
    let broken = (0..20).map(|number| doc! { "_id": format!("broken-{number:02}") });
    ground.ledger.insert_many(broken).await.expect("insert");
    let report = ground.check().await;
    assert_eq!(found(&report), [("bad_entry", 20, 0)]);
    let first: Vec<String> = (0..5).map(|number| format!("reserveId broken-{number:02}")).collect();
    assert_eq!(shown(&report.findings[0].examples), first);
}

#[tokio::test]
async fn a_debug_print_of_a_report_shows_no_code() {
    let ground = Ground::new(3).await;
    ground.insert_named("CODE-AS-AN-ID").await;
    ground.set("CODE000001", doc! { "note": 1 }).await;
    let text = format!("{:?}", ground.check().await);
    assert!(text.contains("ExtraField") && !text.contains("CODE0") && !text.contains("CODE-"), "{text}");
}
