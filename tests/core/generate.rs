//! Generate: exactly as many new codes as were asked for, and what is there stays as it is.

use std::collections::BTreeSet;
use std::time::Duration;

use code_service::{CampaignId, Code, Error, ErrorKind, Generate, Pattern, Result, Rows, Strength};
use code_service_tests::Mongod;
use futures_util::TryStreamExt;
use mongodb::bson::doc;

use crate::support::*;

impl Ground {
    async fn generate(&self, wish: Generate) -> Result<(Strength, Vec<Code>)> {
        let generated = self.service.generate(&campaign(), &tm(), wish).await?;
        Ok((generated.strength, generated.codes.try_collect().await?))
    }

    /// What is wrong with the argument that it names.
    async fn refusal(&self, wish: Generate) -> String {
        let error = self.generate(wish).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.to_string()
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("valid")
}

/// Up to half of all that the pattern can make.
fn dense(text: &str, count: u64) -> Generate {
    dense_of(pattern(text), count)
}

fn dense_of(pattern: Pattern, count: u64) -> Generate {
    let mut wish = Generate::new(pattern, count);
    wish.max_guess = 0.5;
    wish
}

#[tokio::test]
async fn as_many_codes_come_as_were_asked_for_and_all_are_in_the_campaign() {
    let ground = Ground::new(5).await;
    let pattern = pattern("TM-?{8}").with_check_character();
    let (strength, generated) =
        ground.generate(Generate::new(pattern.clone(), 12_345)).await.expect("generates");
    let texts = distinct(&generated);
    assert_eq!((texts.len(), strength.codes), (12_345, 12_345));
    assert!(generated.iter().all(|code| pattern.matches(code)));
    assert_eq!(ground.count().await, counts(12_350, 0, 0));
    let stored = set(ground.all_documents().await.iter().map(text_of));
    assert!(texts.is_subset(&stored));
}

#[tokio::test]
async fn a_code_that_is_there_stays_as_it_is_and_another_comes_in_its_place() {
    let ground = Ground::new(0).await;
    let there: Vec<String> = (0..400).map(|number| format!("{number:03}")).collect();
    ground.service.save(&campaign(), &external(), Rows::codes(there.clone())).await.expect("saves");
    ground.service.assign(&campaign(), codes(["007", "008"]), None).await.expect("assigns");
    let before = ground.all_documents().await;

    let (strength, generated) = ground.generate(dense("###", 100)).await.expect("half of all");

    assert_eq!((strength.codes, strength.guess), (500, 0.5));
    let new = distinct(&generated);
    assert_eq!(new.len(), 100);
    assert!(new.is_disjoint(&set(there)));
    let mut after = ground.all_documents().await;
    after.retain(|document| !new.contains(&text_of(document)));
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_generate_the_same_pattern_at_once_share_no_code() {
    let ground = Ground::new(0).await;
    let (one, two) =
        tokio::join!(ground.generate(dense("#{4}", 2_000)), ground.generate(dense("#{4}", 2_000)));
    let mut all = one.expect("generates").1;
    all.extend(two.expect("generates").1);
    assert_eq!(distinct(&all).len(), 4_000);
    assert_eq!(ground.count().await, counts(4_000, 0, 0));
}

/// Whoever looks for room that is not there looks for ever.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_pattern_that_others_use_up_meanwhile_is_refused_with_what_was_made() {
    let ground = Ground::new(0).await;
    let mut generated =
        ground.service.generate(&campaign(), &tm(), dense("##", 40)).await.expect("there is room");
    ground.save((0..95).map(|number| format!("{number:02}")).collect()).await;
    let mut made = Vec::new();
    let refused = async {
        loop {
            match generated.codes.try_next().await {
                Ok(code) => made.push(code.expect("there is no room for all")),
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(LONG, refused).await.expect("it comes to an end");
    let (all, number) = (135, made.len());
    assert_eq!(
        error.to_string(),
        format!(
            "pattern: is too weak for {all} codes: it makes 100 different ones, so one guess in 1 would hit, and the \
             limit is one in 2: add 1 of # to it; others have saved codes like these meanwhile, and {number} of 40 are \
             generated"
        )
    );
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(ground.count().await, counts(95 + distinct(&made).len() as u64, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_who_generate_too_many_at_once_each_comes_to_an_end() {
    let ground = Ground::new(0).await;
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun
            .push(ground.service.generate(&campaign(), &tm(), dense("##", 40)).await.expect("there is room"));
    }
    let all = begun.into_iter().map(|mut generated| async move {
        let mut made = Vec::new();
        loop {
            match generated.codes.try_next().await {
                Ok(Some(code)) => made.push(code),
                Ok(None) => return (made, true),
                Err(error) => {
                    assert!(error.to_string().contains("others have saved codes like these"), "{error}");
                    return (made, false);
                }
            }
        }
    });
    let ended = tokio::time::timeout(LONG, futures_util::future::join_all(all)).await.expect("each ends");
    assert!(ended.iter().any(|(_, whole)| !whole), "there is no room for 120 of 100");
    assert!(ended.iter().all(|(made, whole)| *whole == (made.len() == 40)));
    let made: Vec<Code> = ended.into_iter().flat_map(|(made, _)| made).collect();
    let made = distinct(&made).len() as u64;
    assert_eq!(ground.count().await, counts(made, 0, 0));
    let now = ground.service.strength(&campaign(), &pattern("##")).await.expect("counts");
    assert_eq!((now.codes, now.guess), (made, made as f64 / 100.0));
}

#[tokio::test]
async fn with_a_check_character_only_codes_that_have_the_right_one_count() {
    let ground = Ground::new(0).await;
    let pattern = pattern("##").with_check_character();
    let all = (0..1_000).map(|number| format!("{number:03}"));
    let (right, wrong): (Vec<String>, Vec<String>) = all.partition(|text| pattern.matches(&code(text)));
    ground.save(wrong).await;
    let (strength, _) = ground.generate(dense_of(pattern.clone(), 5)).await.expect("there is room");
    assert_eq!((strength.codes, strength.space), (5, right.len() as f64));
    ground.save(right).await;
    let reason = ground.refusal(dense_of(pattern.clone(), 1)).await;
    assert!(reason.contains("too weak for 27 codes: it makes 26 different ones"), "{reason}");
    assert_eq!(ground.service.strength(&campaign(), &pattern).await.expect("counts").codes, 26);
}

#[tokio::test]
async fn a_pattern_that_is_too_weak_is_refused_with_what_to_add_and_nothing_is_written() {
    let ground = Ground::new(0).await;
    let reason = ground.refusal(Generate::new(pattern("TM-####"), 100)).await;
    assert_eq!(
        reason,
        "pattern: is too weak for 100 codes: it makes 10000 different ones, so one guess in 100 would hit, and the \
         limit is one in 1000000: add 4 of # to it"
    );
    let mended = Generate::new(pattern("TM-#{8}"), 100);
    assert_eq!(ground.count().await, counts(0, 0, 0));
    assert_eq!(ground.generate(mended).await.expect("strong enough").1.len(), 100);
}

#[tokio::test]
async fn more_than_half_of_all_codes_is_too_much_whatever_the_limit() {
    let ground = Ground::new(0).await;
    assert!(ground.refusal(dense("##", 51)).await.contains("one guess in 2 would hit"));
    let mut wish = dense("##", 60);
    for limit in [0.0, -1.0, 0.51, f64::NAN] {
        wish.max_guess = limit;
        assert_eq!(ground.refusal(wish.clone()).await, "maxGuess: must be more than 0 and at most 0.5");
    }
    assert_eq!(ground.refusal(dense("##", 0)).await, "count: must be at least 1");
}

#[tokio::test]
async fn a_pattern_whose_check_character_can_never_be_is_refused() {
    let ground = Ground::new(0).await;
    // Behind a 2 and any digit the check character is a letter.
    let empty = pattern("2#").with_check_character();
    let reason = ground.refusal(dense_of(empty, 1)).await;
    assert!(reason.contains("it makes 0 different ones"), "{reason}");
}

#[tokio::test]
async fn codes_of_the_campaign_that_look_like_the_pattern_count_for_the_guess() {
    let ground = Ground::new(0).await;
    let alike = ["A.1", "A.2"];
    let others = ["Ax3", "A.44", "BA.1", "a.1", "A.x"];
    ground.service.save(&campaign(), &external(), Rows::codes(alike)).await.expect("saves");
    ground.save(others.map(str::to_owned).to_vec()).await;
    let (strength, _) = ground.generate(dense("A.#", 3)).await.expect("half of all");
    assert_eq!((strength.codes, strength.space, strength.guess), (5, 10.0, 0.5));
    let reason = ground.refusal(dense("A.#", 1)).await;
    assert!(reason.contains("too weak for 6 codes"), "{reason}");
}

#[tokio::test]
async fn nobody_who_stops_reading_generates_on() {
    let ground = Ground::new(0).await;
    let wish = Generate::new(pattern("?{12}"), 5_000_000);
    let mut generated = ground.service.generate(&campaign(), &tm(), wish).await.expect("strong enough");
    generated.codes.try_next().await.expect("generates").expect("a code");
    drop(generated);
    ground.service.close().await;
    let inserted = ground.codes.count_documents(doc! {}).await.expect("counts");
    assert!((1..=10_000).contains(&inserted), "{inserted}");
}

#[tokio::test]
async fn an_insert_whose_confirmation_is_lost_adds_no_code_that_does_not_come() {
    let server = Mongod::start();
    let ground = Ground::on(&server, 0).await;
    let there: Vec<String> = (0..400).map(|number| format!("{number:03}")).collect();
    ground.save(there.clone()).await;
    let admin = ground.test.db.client().database("admin");
    let data = doc! {
        "failCommands": ["insert"], "writeConcernError": { "code": 64, "errmsg": "no majority in time" },
    };
    fail_point(&admin, doc! { "times": 1 }.into(), data).await;

    let (_, generated) = ground.generate(dense("###", 100)).await.expect("it is sent again");

    let failed = fail_point(&admin, "off".into(), doc! {}).await;
    assert!(failed >= 1, "nothing has failed: nothing was tested");
    assert_eq!(distinct(&generated).len(), 100);
    assert_eq!(ground.count().await, counts(500, 0, 0));
    let stored: BTreeSet<String> = set(ground.all_documents().await.iter().map(text_of));
    let mut all = distinct(&generated);
    all.extend(there);
    assert_eq!(stored, all);
}

#[tokio::test]
async fn batches_at_once_whose_confirmations_are_lost_tell_their_codes_apart() {
    let server = Mongod::start();
    let ground = Ground::on(&server, 0).await;
    let admin = ground.test.db.client().database("admin");
    for round in 0..6 {
        let data = doc! {
            "failCommands": ["insert"], "writeConcernError": { "code": 64, "errmsg": "no majority in time" },
        };
        let before = fail_point(&admin, doc! { "times": 2 }.into(), data).await;
        // Two batches, which have some hundred draws in common.
        let campaign = CampaignId::parse(format!("summer {round}")).expect("valid");
        let generated = ground.service.generate(&campaign, &tm(), dense("#{5}", 10_000)).await;
        let generated: Vec<Code> =
            generated.expect("there is room").codes.try_collect().await.expect("they are sent again");
        let failed = fail_point(&admin, "off".into(), doc! {}).await;
        assert_eq!(failed - before, 2, "both were lost");
        assert_eq!(distinct(&generated).len(), 10_000);
        assert_eq!(ground.service.count(&campaign, &tm()).await.expect("counts"), counts(10_000, 0, 0));
    }
}

#[tokio::test]
async fn a_generate_that_the_server_refuses_ends_with_an_error_that_shows_no_code() {
    let ground = Ground::new(1).await;
    let rule = doc! { "collMod": "codes", "validator": { "never": true } };
    ground.test.db.run_command(rule).await.expect("a rule can be set");
    let error = ground.generate(Generate::new(pattern("SECRET?{9}"), 10)).await.expect_err("refused");
    assert!(matches!(error, Error::Internal { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
}
