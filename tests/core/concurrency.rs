//! Many callers at once, in two processes as far as the database can tell.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use code_service::{CodeService, Error, ErrorKind, ReserveId};
use tokio::task::JoinHandle;

use crate::support::*;

/// Reserves single codes until there is none left. Each answer must hold one code while one is free.
async fn take_singles(service: CodeService) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        match service.reserve(wish(1)).await {
            Ok(reservation) => {
                assert_eq!(reservation.codes.len(), 1);
                taken.extend(reservation.codes.into_iter().map(|code| code.into_string()));
            }
            Err(error) => {
                // Nobody gives a code back in this test: whoever is told that none is free must be right for good.
                assert!(matches!(error, Error::NotEnoughCodes { wanted: 1, available: 0 }), "{error:?}");
                assert_eq!(service.count(&campaign(), &tm()).await.expect("counts").available, 0);
                return taken;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_callers_of_two_processes_empty_a_pool_and_get_every_code_once() {
    let ground = Ground::new(5_000).await;
    let services = [ground.service.clone(), ground.another_service().await];
    let callers = (0..64).map(|number| tokio::spawn(take_singles(services[number % 2].clone())));
    let taken = gather(callers.collect()).await.concat();
    let distinct: BTreeSet<String> = taken.iter().cloned().collect();
    assert_eq!((taken.len(), distinct), (5_000, set(names(5_000))));
    assert_eq!(ground.count().await, counts(0, 5_000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_many_codes_get_all_they_ask_for_while_enough_are_there() {
    let ground = Ground::new(4_000).await;
    let services = [ground.service.clone(), ground.another_service().await];
    // 32 callers, 5 times 25 codes each: exactly what is there.
    let caller = |service: CodeService| async move {
        let mut taken = Vec::new();
        for _ in 0..5 {
            let reservation = service.reserve(partial(25)).await.expect("enough are there");
            assert_eq!(reservation.codes.len(), 25);
            taken.extend(reservation.codes);
        }
        taken
    };
    let callers = (0..32).map(|number| tokio::spawn(caller(services[number % 2].clone())));
    let taken = gather(callers.collect()).await.concat();
    assert_eq!(distinct(&taken), set(names(4_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_two_callers_who_each_want_all_of_the_last_codes_gets_them() {
    let ground = Ground::new(10).await;
    let services = [ground.service.clone(), ground.another_service().await];
    for round in 0..100 {
        let calls =
            services.clone().map(|service| tokio::spawn(async move { service.reserve(wish(10)).await }));
        let outcomes = gather(calls.into()).await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 1), "round {round}: {lost:?}");
        for outcome in lost {
            assert_eq!(outcome.expect_err("lost").kind(), ErrorKind::NotEnoughCodes, "round {round}");
        }
        for reservation in won.into_iter().map(|outcome| outcome.expect("won")) {
            assert_eq!(ground.held_under(&reservation.reserve_id).await, set(names(10)), "round {round}");
            let id = Some(&reservation.reserve_id);
            ground.service.release(&campaign(), reservation.codes, id).await.expect("releases");
        }
        assert_eq!(ground.count().await, counts(10, 0, 0), "round {round}: the loser kept nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_who_wants_too_much_does_not_take_the_last_codes_from_one_who_does_not() {
    let ground = Ground::new(10).await;
    let greedy = ground.another_service().await;
    let busy = tokio::spawn(async move {
        for _ in 0..60 {
            let error = greedy.reserve(wish(11)).await.expect_err("there are ten at most");
            assert_eq!(error.kind(), ErrorKind::NotEnoughCodes);
        }
    });
    let mut calls = 0;
    while !busy.is_finished() {
        let reservation = ground.reserve(1).await;
        let reservation = reservation.unwrap_or_else(|error| panic!("call {calls}, nine are free: {error}"));
        let id = Some(&reservation.reserve_id);
        ground.service.release(&campaign(), reservation.codes, id).await.expect("releases");
        calls += 1;
    }
    busy.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn assign_and_release_of_the_same_codes_at_once_leave_each_code_in_one_of_the_two_states() {
    let ground = Ground::new(200).await;
    let other = ground.another_service().await;
    let reservation = ground.reserve(200).await.expect("available");
    let id = reservation.reserve_id.clone();
    let mut calls = Vec::new();
    for codes in reservation.codes.chunks(10).map(<[_]>::to_vec) {
        let (one, two, id) = (ground.service.clone(), other.clone(), id.clone());
        calls.push(tokio::spawn(async move {
            let (campaign, again) = (campaign(), codes.clone());
            let assign = one.assign(&campaign, codes, Some(&id));
            let release = two.release(&campaign, again, Some(&id));
            let (assigned, released) = tokio::join!(assign, release);
            (assigned.expect("assigns").updated, released.expect("releases").updated)
        }));
    }
    let done = gather(calls).await;
    let assigned: u64 = done.iter().map(|done| done.0).sum();
    let released: u64 = done.iter().map(|done| done.1).sum();
    assert_eq!(assigned + released, 200, "each code went one way");
    assert_eq!(ground.count().await, counts(released, 0, assigned));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reserve_whose_caller_stops_waiting_loses_no_code() {
    let ground = Ground::new(1_000).await;
    // Every moment between the first word to the server and the last answer is somebody's limit.
    let calls = (0..400_u64).map(|number| {
        let service = ground.service.clone();
        tokio::spawn(async move {
            let limit = Duration::from_micros(number * 97 % 30_000);
            match tokio::time::timeout(limit, service.reserve(partial(2))).await {
                Ok(reservation) => Some(reservation.expect("reserves").reserve_id),
                Err(_) => None,
            }
        })
    });
    let known: Vec<ReserveId> = gather(calls.collect()).await.into_iter().flatten().collect();
    assert_nothing_is_lost(&ground, &known, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reserve_whose_task_is_aborted_loses_no_code() {
    let ground = Ground::new(1_000).await;
    let mut known = Vec::new();
    for number in 0..100_u64 {
        let service = ground.service.clone();
        let call = tokio::spawn(async move { service.reserve(wish(3)).await });
        tokio::time::sleep(Duration::from_micros(number * 79 % 12_000)).await;
        call.abort();
        match call.await {
            Ok(reservation) => known.push(reservation.expect("reserves").reserve_id),
            Err(stopped) => assert!(stopped.is_cancelled()),
        }
    }
    assert_nothing_is_lost(&ground, &known, 1_000).await;
}

#[tokio::test]
async fn a_reserve_that_is_dropped_after_its_end_but_before_its_answer_was_taken_loses_no_code() {
    let ground = Ground::new(3).await;
    for _ in 0..5 {
        let mut call = Box::pin(ground.reserve(1));
        assert!(futures_util::poll!(&mut call).is_pending());
        // The claim goes on without being asked for its answer. A moment after the code is reserved it is done.
        while ground.reserved_documents().await < 1 {}
        for _ in 0..20 {
            ground.now().await;
        }
        drop(call);
        assert_nothing_is_lost(&ground, &[], 3).await;
    }
}

#[tokio::test]
async fn a_dropped_reserve_under_the_callers_id_can_be_asked_for_again() {
    let ground = Ground::new(5).await;
    let mut call = Box::pin(ground.service.reserve(wish_under("mine", 3)));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    let reservation = ground.service.reserve(wish_under("mine", 3)).await.expect("it was made, or is now");
    assert_eq!(ground.held_under(&reserve_id("mine")).await, distinct(&reservation.codes));
    assert_nothing_is_lost(&ground, &[reserve_id("mine")], 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_that_was_sold_out_long_ago_answers_callers_who_keep_coming() {
    const LONGER_THAN_A_WINDOW_LIVES: Duration = Duration::from_secs(6);
    let ground = Ground::new(1).await;
    ground.reserve(1).await.expect("one is available");
    let start = Instant::now();
    let (mut calls, mut late) = (Vec::new(), Vec::<JoinHandle<()>>::new());
    // Until all are answered that came when the window had become old, while others come without waiting for answers.
    while late.len() < 100 || late[..100].iter().any(|call| !call.is_finished()) {
        assert!(start.elapsed() < Duration::from_secs(60), "who comes while others do is not answered");
        let service = ground.service.clone();
        let call = tokio::spawn(async move {
            let error = service.reserve(wish(1)).await.expect_err("none is left");
            assert_eq!(error.kind(), ErrorKind::NotEnoughCodes);
        });
        if start.elapsed() < LONGER_THAN_A_WINDOW_LIVES { &mut calls } else { &mut late }.push(call);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    calls.append(&mut late);
    gather(calls).await;
}
