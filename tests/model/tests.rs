//! The explorations: of the protocol as it is, of each mistake, and of what must be possible.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::db::Id;
use crate::model::Protocol;
use crate::mutant::Mutant;
use crate::properties::{self, ASSIGNED_IS_FINAL, FENCED, FINAL, GOES_ON, MISMATCH};
use crate::properties::{NEVER_MORE, NOT_BESIDE, NOTHING_LOST, ONE_HOLDER, ONE_SET, RETURNED_IS_HELD};
use crate::state::{Budget, State};
use crate::world::Event;

const THREADS: usize = 2;

/// Nothing goes wrong, and nobody else is there.
const CALM: Protocol = Protocol {
    mutant: Mutant::None,
    ids: [Id::Shared, Id::Shared, Id::Own],
    counts: [2, 2, 1],
    budget: Budget { crashes: 0, losses: 0, failovers: 0, slow: 0, expiries: 0 },
    asks: 0,
    recover: false,
    in_use: false,
    old_service: false,
    wrong_clock: false,
    progress: false,
    witness: false,
};

/// So much goes wrong.
const fn wrong(crashes: u8, losses: u8, failovers: u8, slow: u8, expiries: u8) -> Protocol {
    Protocol { budget: Budget { crashes, losses, failovers, slow, expiries }, ..CALM }
}

/// Explores every state; all properties must hold in all of them.
fn explore(model: Protocol) {
    let start = Instant::now();
    let checker = model.clone().checker().threads(THREADS).symmetry_fn(State::representative);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    println!(
        "{model:?}: {} states, {} of them different, at most {} steps, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f32()
    );
    if !checker.discoveries().is_empty() {
        // Again, for the shortest way there.
        let shortest =
            model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        for (name, path) in shortest.discoveries() {
            println!("not so: {name}\n{}", told(path));
        }
        panic!("a property does not hold");
    }
}

/// A way through the states, a line for each event.
fn told(path: Path<State, Event>) -> String {
    path.into_actions().iter().map(|event| format!("    {event:?}\n")).collect()
}

/// Explores until a property is found to fail, or to be possible.
fn discover(model: Protocol, property: &'static str) -> Option<Path<State, Event>> {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let start = Instant::now();
    let checker = model.clone().checker().threads(THREADS).finish_when(found).spawn_bfs().join();
    let path = checker.discovery(property);
    let (different, seconds) = (checker.unique_state_count(), start.elapsed().as_secs_f32());
    println!("{:?}, {property}: {different} different states, {seconds:.1} s", model.mutant);
    path
}

/// The mistake makes the property fail.
fn caught(mutant: Mutant, model: Protocol, property: &'static str) {
    let model = Protocol { mutant, ..model };
    let path = discover(model.clone(), property);
    println!("{}", told(path.expect("the mistake makes the property fail")));
    // Also where states that differ in the names of the codes count as one, as in `explore`.
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model.checker().threads(THREADS).symmetry_fn(State::representative).finish_when(found);
    checker.spawn_dfs().join().assert_any_discovery(property);
}

#[test]
fn holds_when_a_process_dies_another_is_slow_and_a_command_is_lost() {
    explore(wrong(1, 1, 0, 1, 0));
}

#[test]
fn holds_when_a_process_dies_and_leases_run_out_twice_under_living_owners() {
    explore(wrong(1, 0, 0, 2, 0));
}

#[test]
fn holds_when_two_processes_die_or_two_commands_are_lost() {
    explore(wrong(2, 0, 0, 1, 0));
    explore(wrong(0, 2, 0, 0, 0));
}

#[test]
fn holds_when_a_failover_takes_back_what_was_not_acknowledged() {
    explore(wrong(1, 1, 1, 0, 0));
}

#[test]
fn holds_beside_the_old_service() {
    explore(Protocol { old_service: true, ..wrong(1, 0, 0, 1, 0) });
    explore(Protocol { old_service: true, asks: 2, ..wrong(0, 1, 0, 0, 0) });
}

#[test]
fn holds_when_reservations_expire_and_holders_assign_and_release() {
    explore(Protocol { asks: 2, ..wrong(1, 0, 0, 0, 1) });
    explore(Protocol { asks: 3, ..wrong(0, 1, 0, 0, 0) });
}

#[test]
fn holds_when_reservations_expire_beside_the_old_service_a_wrong_clock_or_a_recover() {
    let expiry = wrong(0, 0, 0, 0, 1).budget;
    explore(Protocol { old_service: true, budget: expiry, ..CALM });
    explore(Protocol { wrong_clock: true, budget: expiry, ..CALM });
    explore(Protocol { recover: true, budget: expiry, ..CALM });
}

#[test]
fn holds_when_a_failover_comes_beside_the_old_service_or_a_recover() {
    let failover = wrong(0, 0, 1, 0, 0).budget;
    explore(Protocol { old_service: true, budget: failover, ..CALM });
    explore(Protocol { recover: true, budget: failover, ..CALM });
}

/// No rule of ours reads the clock of a process: a wrong one only picks codes that the guard refuses.
#[test]
fn holds_when_the_clock_of_a_process_is_wrong() {
    explore(Protocol { wrong_clock: true, ..wrong(1, 1, 0, 0, 0) });
    explore(Protocol { wrong_clock: true, ..wrong(1, 0, 0, 1, 0) });
}

#[test]
fn holds_when_calls_want_other_counts() {
    explore(Protocol { counts: [2, 1, 1], ..wrong(1, 0, 0, 1, 0) });
    explore(Protocol { counts: [1, 1, 2], ..wrong(1, 1, 0, 0, 0) });
    explore(Protocol { counts: [2, 2, 2], ..wrong(1, 1, 0, 0, 0) });
}

#[test]
fn holds_when_a_third_call_has_the_same_id() {
    let same = |model: Protocol| Protocol { ids: [Id::Shared; 3], counts: [2; 3], ..model };
    explore(same(wrong(1, 1, 0, 1, 0)));
    explore(same(wrong(1, 0, 0, 2, 0)));
}

#[test]
fn holds_when_somebody_else_has_used_the_id() {
    let in_use = Protocol { in_use: true, ..CALM };
    explore(Protocol { budget: wrong(1, 1, 0, 1, 0).budget, ..in_use.clone() });
    explore(Protocol { budget: wrong(1, 0, 0, 0, 1).budget, ..in_use.clone() });
    explore(Protocol { budget: wrong(0, 1, 1, 0, 0).budget, ..in_use.clone() });
    explore(Protocol { recover: true, budget: wrong(1, 1, 0, 1, 0).budget, ..in_use });
}

#[test]
fn holds_when_a_call_is_recovered() {
    explore(Protocol { recover: true, ..wrong(1, 1, 0, 1, 0) });
    explore(Protocol { recover: true, ..wrong(0, 0, 0, 2, 0) });
    let three = Protocol { recover: true, ids: [Id::Shared; 3], counts: [2; 3], ..CALM };
    explore(Protocol { budget: wrong(1, 0, 0, 1, 0).budget, ..three.clone() });
    explore(Protocol { budget: wrong(0, 0, 0, 2, 0).budget, ..three });
}

#[test]
fn nobody_is_stuck() {
    explore(Protocol { progress: true, ..wrong(1, 0, 0, 1, 0) });
    explore(Protocol { progress: true, ..wrong(0, 1, 0, 1, 0) });
}

/// More goes wrong at once: minutes and gigabytes.
#[test]
#[ignore = "takes minutes"]
fn holds_when_more_goes_wrong_at_once() {
    explore(Protocol { old_service: true, wrong_clock: true, ..wrong(0, 1, 0, 0, 1) });
    explore(Protocol { recover: true, ..wrong(0, 1, 1, 0, 0) });
    explore(Protocol { asks: 2, ..wrong(1, 0, 0, 1, 1) });
    explore(Protocol { old_service: true, asks: 2, ..wrong(1, 1, 0, 0, 0) });
    explore(wrong(0, 1, 0, 1, 1));
    explore(wrong(1, 0, 1, 1, 0));
    explore(wrong(0, 1, 1, 1, 0));
}

#[test]
fn mistakes_of_the_claim_are_caught() {
    caught(Mutant::NoGuard, CALM, ONE_HOLDER);
    caught(Mutant::PodClock, CALM, ONE_HOLDER);
    caught(Mutant::NoReadBack, wrong(0, 1, 0, 0, 0), NOTHING_LOST);
    caught(Mutant::NoWaitForLimit, wrong(0, 1, 0, 0, 0), NOTHING_LOST);
    caught(Mutant::StaleReadBack, wrong(0, 1, 0, 0, 0), NOTHING_LOST);
    caught(Mutant::PrimaryAlone, wrong(0, 0, 1, 0, 0), RETURNED_IS_HELD);
    caught(Mutant::PrimaryAlone, Protocol { asks: 1, ..wrong(0, 0, 1, 0, 0) }, ASSIGNED_IS_FINAL);
}

#[test]
fn mistakes_with_the_ledger_are_caught() {
    caught(Mutant::NoLedger, Protocol { counts: [1, 1, 1], ..CALM }, ONE_SET);
    caught(Mutant::NoLedger, Protocol { counts: [1, 1, 1], ..CALM }, NEVER_MORE);
    caught(Mutant::NoGrant, wrong(0, 0, 0, 1, 0), RETURNED_IS_HELD);
    caught(Mutant::GrantWithoutOwner, wrong(0, 0, 0, 1, 0), RETURNED_IS_HELD);
    caught(Mutant::TakeOverKeepsDate, wrong(0, 0, 0, 1, 0), RETURNED_IS_HELD);
    caught(Mutant::TakeOverWithoutLease, Protocol { counts: [2, 2, 0], ..wrong(1, 0, 0, 1, 0) }, NEVER_MORE);
    caught(Mutant::ReleasesLaterDates, wrong(0, 0, 0, 2, 0), RETURNED_IS_HELD);
    caught(
        Mutant::DeletesAfterTakeOver,
        Protocol { counts: [2, 2, 2], ..wrong(1, 0, 0, 0, 0) },
        NOTHING_LOST,
    );
    caught(Mutant::MismatchWithoutOwner, wrong(0, 0, 0, 1, 0), MISMATCH);
    let recovered = Protocol { recover: true, ids: [Id::Shared; 3], counts: [1; 3], ..wrong(0, 0, 0, 1, 0) };
    caught(Mutant::StartsOver, recovered.clone(), FINAL);
    caught(Mutant::TakesOverWhatCameLater, recovered.clone(), FINAL);
    caught(Mutant::RecoverStaysOwner, recovered, FINAL);
    let in_use = Protocol { in_use: true, ..wrong(1, 0, 0, 0, 0) };
    caught(Mutant::TakesOverUnchecked, in_use.clone(), NOT_BESIDE);
    caught(Mutant::RecoverForgetsOthers, Protocol { recover: true, ..in_use }, NOT_BESIDE);
}

#[test]
fn mistakes_of_the_sweep_are_caught() {
    caught(Mutant::NoSweep, wrong(1, 0, 0, 0, 0), NEVER_MORE);
    caught(Mutant::SweepsTooEarly, wrong(1, 0, 0, 0, 0), NOTHING_LOST);
    caught(Mutant::SweepsWhatWasDue, wrong(1, 0, 0, 1, 0), NOTHING_LOST);
    caught(Mutant::NoTimeLimit, wrong(1, 0, 0, 0, 0), NOTHING_LOST);
    caught(Mutant::DeadlineBeyondLease, wrong(1, 0, 0, 1, 0), NOTHING_LOST);
}

#[test]
fn mistakes_of_assign_and_release_are_caught() {
    let holders = Protocol { asks: 2, ..CALM };
    caught(Mutant::NoFence, holders.clone(), RETURNED_IS_HELD);
    caught(Mutant::NoFence, holders.clone(), ASSIGNED_IS_FINAL);
    caught(Mutant::NoFence, holders, FENCED);
}

/// The old service judges by the clock of its pod. If that is wrong it takes the codes of others, and
/// nothing that ours does beside it can prevent that: in the other explorations it is right.
#[test]
fn a_wrong_clock_of_the_old_service_steals() {
    caught(Mutant::OldServiceClock, Protocol { old_service: true, ..CALM }, ONE_HOLDER);
}

#[test]
fn a_wait_without_end_would_be_seen() {
    let stuck = Protocol { progress: true, ..wrong(1, 0, 0, 0, 0) };
    caught(Mutant::LeaseWithoutEnd, stuck, GOES_ON);
}

/// Every event that the invariants are about can happen: the model is not empty.
#[test]
fn what_must_be_possible_is() {
    let models = [
        Protocol { witness: true, asks: 2, ..CALM },
        Protocol { witness: true, counts: [1, 1, 1], ..CALM },
        Protocol { witness: true, counts: [2, 1, 1], ..CALM },
        Protocol { witness: true, old_service: true, ..CALM },
        Protocol { witness: true, ..wrong(0, 0, 0, 0, 1) },
        Protocol { witness: true, ..wrong(0, 1, 1, 0, 0) },
        Protocol { witness: true, ..wrong(1, 0, 0, 0, 0) },
        Protocol { witness: true, ..wrong(1, 1, 0, 1, 0) },
    ];
    let mut missing: BTreeSet<&str> = properties::witnesses().iter().map(|property| property.name).collect();
    for model in models {
        let wanted = HasDiscoveries::AllOf(missing.clone());
        let checker = model.checker().threads(THREADS).finish_when(wanted).target_state_count(3_000_000);
        let found = checker.spawn_bfs().join().discoveries();
        missing.retain(|name| !found.contains_key(name));
    }
    assert!(missing.is_empty(), "not reached: {missing:?}");
}
