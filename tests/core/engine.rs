//! Claims of many callers in one engine: no code twice, none lost, nobody short.
//!
//! The random rounds print their seed when they fail; `ENGINE_SEED=7` repeats the round of that seed, whose
//! pool, callers and faults are then the same and whose timing is not.

mod round;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use code_service::{Code, CodeService, Error, ErrorKind, ReserveId};
use code_service_tests::Mongod;
use mongodb::bson::{Document, doc};
use rand::RngExt;
use tokio::sync::watch;

use crate::support::*;
use round::{Round, seeds};

/// How long callers may take before they hang.
const PATIENCE: Duration = Duration::from_secs(60);

async fn services(ground: &Ground) -> Vec<CodeService> {
    let mut services = vec![ground.service.clone()];
    for _ in 1..4 {
        services.push(ground.another_service().await);
    }
    services
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_wanted_at_once_no_code_is_given_twice_or_lost_or_withheld() {
    let ground = Ground::new(0).await;
    let all = services(&ground).await;
    for (number, seed) in seeds(50).into_iter().enumerate() {
        let round = Round::new(seed, number, ground.now().await, false);
        let services = round.services(&all);
        round.lay_out(&ground).await;

        let outcomes = round.run(services).await;

        let left = round.assert_stored(&ground, &outcomes).await;
        round.assert_answers(&outcomes, left);
        round.assert_rest_can_be_had(&ground, &services[0], outcomes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_commands_fail_no_code_is_given_twice_or_lost_or_withheld() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let ground = Ground::on(&server, 0).await;
    let admin = ground.test.db.client().database("admin");
    for (number, seed) in seeds(12).into_iter().enumerate() {
        let round = Round::new(seed, number, ground.now().await, true);
        // What a fault does to a driver may outlast the round.
        let all = services(&ground).await;
        let services = round.services(&all);
        round.lay_out(&ground).await;
        let fault = round.fault.as_ref().expect("asked for");
        fail_point(&admin, fault.mode.clone(), fault.data.clone()).await;

        let outcomes = round.run(services).await;

        fail_point(&admin, "off".into(), doc! {}).await;
        let left = round.assert_stored(&ground, &outcomes).await;
        round.assert_answers(&outcomes, left);
        round.assert_rest_can_be_had(&ground, &services[0], outcomes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_leave_in_the_middle_take_nothing_from_those_who_stay() {
    const STAYING: u32 = 40;
    const LEAVING: u32 = 160;
    // Exactly as many codes as are wanted: whoever loses one leaves somebody short.
    let ground = Ground::new((STAYING * 3 * 5 + LEAVING * 4) as usize).await;
    let services = [ground.service.clone(), ground.another_service().await];
    let (answers, _) = watch::channel(0);
    let answers = Arc::new(answers);

    let leave = |number: u32| {
        let (service, mut answers) = (services[number as usize % 2].clone(), answers.subscribe());
        // Some leave before anything has come of it, some in between, some have their codes by then.
        let patience = rand::rng().random_range(0..STAYING * 3 / 2);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                reservation = service.reserve(partial(4)) => {
                    Some(reservation.expect("enough are there"))
                }
                _ = answers.wait_for(|answers| *answers >= patience) => None,
            }
        })
    };
    let stay = |number: u32| {
        let (service, answers) = (services[number as usize % 2].clone(), answers.clone());
        tokio::spawn(async move {
            let mut reservations = Vec::new();
            for _ in 0..3 {
                reservations.push(service.reserve(wish(5)).await.expect("enough are there"));
                answers.send_modify(|answers| *answers += 1);
            }
            reservations
        })
    };
    let (left, stayed): (Vec<_>, Vec<_>) =
        (0..LEAVING).map(|number| (leave(number), (number < STAYING).then(|| stay(number)))).unzip();
    let stayed = gather(stayed.into_iter().flatten().collect()).await.concat();
    let left = gather(left).await;

    assert!(left.iter().any(Option::is_none), "nobody left early: nothing was tested");
    let mut known = Vec::new();
    for reservation in stayed.iter().chain(left.iter().flatten()) {
        assert_eq!(ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
        known.push(reservation.reserve_id.clone());
    }
    assert_eq!(stayed.iter().map(|reservation| reservation.codes.len()).sum::<usize>(), 600);
    assert_nothing_is_lost(&ground, &known, 1_240).await;
}

/// What single-code callers, all at once, are answered by these services.
async fn singles(services: &[CodeService], callers: usize) -> Vec<Result<Code, Error>> {
    let calls = services.iter().cycle().take(callers).cloned().map(|service| {
        tokio::spawn(async move {
            let mut codes = service.reserve(wish(1)).await?.codes;
            assert_eq!(codes.len(), 1, "neither short nor more");
            Ok(codes.remove(0))
        })
    });
    tokio::time::timeout(PATIENCE, gather(calls.collect())).await.expect("nobody hangs")
}

async fn assert_as_many_singles_as_codes(services: &[CodeService]) {
    let (given, refused): (Vec<_>, Vec<_>) =
        singles(services, 400).await.into_iter().partition(Result::is_ok);
    let given: Vec<Code> = given.into_iter().flatten().collect();
    assert_eq!(distinct(&given), set(names(150)));
    for refusal in refused {
        let error = refusal.expect_err("partitioned");
        assert!(matches!(error, Error::NotEnoughCodes { wanted: 1, available: 0 }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_single_callers_are_served_as_there_are_codes() {
    let ground = Ground::new(150).await;
    assert_as_many_singles_as_codes(std::slice::from_ref(&ground.service)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_single_callers_of_two_processes_are_served_as_there_are_codes() {
    let ground = Ground::new(150).await;
    let services = [ground.service.clone(), ground.another_service().await];
    assert_as_many_singles_as_codes(&services).await;
}

/// Callers who together want more than there is get all of it between them.
async fn assert_partial_callers_share_all(services: &[CodeService]) {
    let calls = services.iter().cycle().take(120).cloned().map(|service| {
        tokio::spawn(async move { service.reserve(partial(7)).await.expect("less will do").codes })
    });
    let given = tokio::time::timeout(PATIENCE, gather(calls.collect())).await.expect("nobody hangs");
    assert!(given.iter().all(|codes| codes.len() <= 7), "{given:?}");
    assert_eq!(distinct(&given.concat()), set(names(500)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partial_callers_who_want_more_than_there_is_share_all_of_it() {
    let ground = Ground::new(500).await;
    assert_partial_callers_share_all(std::slice::from_ref(&ground.service)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partial_callers_of_two_processes_who_want_more_than_there_is_share_all_of_it() {
    let ground = Ground::new(500).await;
    let services = [ground.service.clone(), ground.another_service().await];
    assert_partial_callers_share_all(&services).await;
}

/// Sixty callers of one pool want sixty codes each, and one command of theirs fails like this, late enough for
/// others to fly past it.
async fn assert_one_failed_command_costs_its_own_callers(server: &Mongod, mut how: Document) {
    let ground = Ground::on(server, 4_000).await;
    let admin = ground.test.db.client().database("admin");
    how.insert("failCommands", vec!["update"]);
    // Other databases of this server are other tests'.
    how.insert("namespace", format!("{}.codes", ground.test.name));
    fail_point(&admin, doc! { "times": 1 }.into(), how.clone()).await;
    let calls = (0..60).map(|_| {
        let service = ground.service.clone();
        tokio::spawn(async move { service.reserve(wish(60)).await })
    });
    let outcomes = tokio::time::timeout(PATIENCE, gather(calls.collect())).await.expect("nobody hangs");
    fail_point(&admin, "off".into(), doc! {}).await;

    let mut known: Vec<ReserveId> = Vec::new();
    let mut given: Vec<Code> = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(reservation) => {
                assert_eq!(ground.held_under(&reservation.reserve_id).await, distinct(&reservation.codes));
                assert_eq!(reservation.codes.len(), 60);
                known.push(reservation.reserve_id);
                given.extend(reservation.codes);
            }
            Err(error) => panic!("{how}: the core finds out by itself: {error:?}"),
        }
    }
    assert_nothing_is_lost(&ground, &known, 4_000).await;
    let held: BTreeSet<String> = distinct(&given);
    let rest = ground.service.reserve(partial(4_000)).await.expect("mended").codes;
    assert!(distinct(&rest).is_disjoint(&held), "{how}");
    assert_eq!(ground.count().await, counts(0, 4_000, 0), "{how}: the rest could be had");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_command_that_fails_among_others_costs_its_own_callers_and_nobody_else() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let late_error = doc! { "errorCode": 262, "blockConnection": true, "blockTimeMS": 400 };
    // Neither lets the driver doubt the server, and end what others have sent.
    assert_one_failed_command_costs_its_own_callers(&server, late_error).await;
    let unsafe_write = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication" } };
    assert_one_failed_command_costs_its_own_callers(&server, unsafe_write).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_who_has_some_codes_when_the_pool_can_no_longer_be_looked_at_gives_them_back() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let ground = Ground::on(&server, 15_000).await;
    let admin = ground.test.db.client().database("admin");
    // The looks that succeed: whether there are enough, and the first few thousand of them.
    let how = doc! { "failCommands": ["find", "getMore"], "appName": "code-service", "errorCode": 262 };
    fail_point(&admin, doc! { "skip": 2 }.into(), how).await;
    let error = ground.reserve(15_000).await.expect_err("the rest is not to be seen");
    fail_point(&admin, "off".into(), doc! {}).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(ground.reserved_documents().await, 0);
    assert_nothing_is_lost(&ground, &[], 15_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_of_very_many_codes_lets_single_ones_pass() {
    let ground = Ground::new(120_000).await;
    let service = ground.service.clone();
    let large = tokio::spawn(async move { service.reserve(wish(100_000)).await });
    // Before that nobody could say who passes whom.
    while ground.reserved_documents().await == 0 && !large.is_finished() {}

    let mut passed = 0;
    for _ in 0..50 {
        assert_eq!(ground.reserve(1).await.expect("enough are there").codes.len(), 1);
        passed += u32::from(!large.is_finished());
    }

    let large = large.await.expect("no panic").expect("enough are there");
    assert_eq!(distinct(&large.codes).len(), 100_000);
    assert!(passed >= 10, "{passed} of 50 were answered before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn for_a_caller_who_has_left_no_more_codes_are_taken() {
    const WANTED: u32 = 60_000;
    let ground = Ground::new(WANTED as usize).await;
    let service = ground.service.clone();
    let large = tokio::spawn(async move { service.reserve(wish(WANTED)).await });
    while ground.reserved_documents().await == 0 && !large.is_finished() {}
    large.abort();
    let mut most = 0;
    let patience = Instant::now() + PATIENCE;
    loop {
        let held = ground.reserved_documents().await;
        most = most.max(held);
        if held == 0 {
            break;
        }
        assert!(Instant::now() < patience, "{held} are never given back");
    }
    assert!(most > 0, "it had left before it began");
    assert!(most < u64::from(WANTED) / 2, "{most} were taken for nobody");
}

#[tokio::test]
async fn documents_that_no_claim_can_name_are_passed_over() {
    let ground = Ground::new(1).await;
    let campaign = campaign();
    for id in [
        doc! { "code": "ODD1", "campaign_id": campaign.as_str() },
        doc! { "campaign_id": campaign.as_str(), "code": "ODD2", "more": 1 },
        doc! { "campaign_id": campaign.as_str(), "code": 3 },
    ] {
        let odd = doc! { "_id": id, "type": tm().as_str(), "date": { "saved": ground.now().await } };
        ground.codes.insert_one(odd).await.expect("inserts");
    }
    let reserve = || tokio::time::timeout(PATIENCE, ground.service.reserve(partial(4)));
    let got = reserve().await.expect("nobody hangs").expect("one is there").codes;
    assert_eq!(distinct(&got), set(names(1)));
    let none = reserve().await.expect("nobody hangs").expect("less will do").codes;
    assert_eq!(none, []);
}
