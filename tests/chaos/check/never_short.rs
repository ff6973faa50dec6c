//! Never short while there is enough.

use super::Violation;
use super::facts::Facts;
use super::hidden;
use super::untouched::untouched;
use crate::history::{Call, Outcome};

/// **Rule.** A reserve of ours does not get fewer codes than it asked for while that many are available.
///
/// A code that nobody can have held or assigned at any moment of the call was available all the time. Other
/// reserves that are under way, or have ended without telling what they hold, may hold any codes: at one moment
/// none holds more than it asked for, so at every moment all codes but so many of those that seem untouched were
/// available. If these, with what the call itself got, are enough, it must have got all.
///
/// The deployed service is known to do this; and what is answered again may have been released.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let hidden = hidden::gather(facts);
    let mut own = vec![0; facts.calls.len()];
    for hidden in &hidden {
        own[hidden.call] = i64::from(hidden.count);
    }
    let mut short: Vec<Vec<usize>> = vec![Vec::new(); facts.header.pools.len()];
    let mut missing = vec![0; facts.calls.len()];
    for (position, call) in facts.calls.iter().enumerate().filter(|(_, call)| !call.old) {
        let Call::Reserve { pool, count, .. } = call.what else { continue };
        let got = match call.outcome {
            Some(Outcome::Short { .. }) => 0,
            Some(Outcome::Got { codes, replayed: false, .. }) => codes.len(),
            _ => continue,
        };
        missing[position] = i64::from(*count).saturating_sub_unsigned(got as u64);
        if missing[position] > 0 {
            short[*pool].push(position);
        }
    }
    let mut violations = Vec::new();
    for (pool, calls) in short.into_iter().enumerate().filter(|(_, calls)| !calls.is_empty()) {
        for (call, free) in calls.iter().zip(untouched(facts, pool, &hidden, &calls)) {
            // What the call held itself was available to it.
            let available = free + own[*call];
            if available >= missing[*call] {
                let what = format!("{} codes too few, and {available} were available", missing[*call]);
                violations.push(facts.violation("never short", what, &[*call]));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        Ends, Story, assign, got, killed, recover, release, reserve, settled, short, unavailable, unknown,
    };
    use crate::history::{Call, Outcome};

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    /// A pool of two codes, of which c1 is held.
    fn one_is_free() -> Story {
        Story::new(2).call(0..10, reserve(1), got("x", &["c1"]))
    }

    #[test]
    fn a_free_code_is_found() {
        assert_eq!(caught(&one_is_free().call(20..30, reserve(1), short())), 1);
        assert_eq!(caught(&one_is_free().call(20..30, reserve(2), short())), 0);
        assert_eq!(caught(&one_is_free().call(20..30, reserve(1), short()).by_old()), 0);
        assert_eq!(caught(&Story::new(2).call(5..30, reserve(2), short())), 1);
    }

    #[test]
    fn who_takes_fewer_must_have_taken_all() {
        let story = |ends| one_is_free().call(20..30, reserve(2).partial(), ends);
        assert_eq!(caught(&story(got("y", &["c0"]))), 0);
        let three = Story::new(3).call(20..30, reserve(2).partial(), got("y", &["c0"]));
        assert_eq!(caught(&three), 1);
        let again = Story::new(3).call(20..30, reserve(2).under("y"), got("y", &["c0"]).again());
        assert_eq!(caught(&again), 0);
    }

    #[test]
    fn a_code_may_be_held_until_its_release_was_answered_and_is_free_then() {
        for (start, expected) in [(25, 0), (31, 1)] {
            let story = one_is_free()
                .call(0..10, reserve(1), got("y", &["c0"]))
                .call(20..30, release(Some("x"), &["c1"]), settled(&[]))
                .call(start..40, reserve(1), short());
            assert_eq!(caught(&story), expected);
        }
        let unsure = one_is_free()
            .call(0..10, reserve(1), got("y", &["c0"]))
            .call(20..30, release(Some("x"), &["c1"]), unavailable())
            .call(31..40, reserve(1), short());
        assert_eq!(caught(&unsure), 0);
    }

    #[test]
    fn an_expired_code_is_free() {
        for (start, expected) in [(1_005, 0), (1_011, 1)] {
            let story = Story::new(1).ttl(1).call(0..10, reserve(1), got("x", &["c0"]));
            assert_eq!(caught(&story.call(start..2_000, reserve(1), short())), expected);
        }
    }

    #[test]
    fn an_assigned_code_is_not_free_from_the_assigns_start() {
        let story = |at| {
            let assigned = Story::new(1).call(at, assign(None, &["c0"]), killed()).left_assigned("c0");
            assigned.call(20..30, reserve(1), short())
        };
        assert_eq!(caught(&story(30..40)), 0);
        assert_eq!(caught(&story(31..40)), 1);
    }

    #[test]
    fn a_code_that_others_hold_for_a_while_is_not_free() {
        let beside = |other: Call, ends: Ends, at| {
            one_is_free().call(at, other, ends).call(20..30, reserve(1), short())
        };
        for ends in [short(), unavailable(), unknown("y"), killed(), Outcome::Failed.into()] {
            assert_eq!(caught(&beside(reserve(2), ends, 25..35)), 0);
        }
        assert_eq!(caught(&beside(reserve(2), short(), 5..15)), 1);
        assert_eq!(caught(&beside(reserve(2), unavailable(), 5..15)), 1);
        // Each is short of one code, so neither has held the one that is free.
        assert_eq!(caught(&beside(reserve(1), short(), 25..35)), 2);
    }

    #[test]
    fn an_unknown_outcome_hides_codes_until_a_recover_tells() {
        for (start, expected) in [(25, 0), (31, 1)] {
            let story = one_is_free()
                .call(0..10, reserve(1), unknown("y"))
                .call(20..30, recover("y"), Outcome::Nothing)
                .call(start..40, reserve(1), short());
            assert_eq!(caught(&story), expected);
        }
    }

    #[test]
    fn what_a_dead_process_holds_is_known_when_nothing_of_it_can_land_any_more() {
        let story = |start| {
            let dead = one_is_free().call(0..10, reserve(1), killed()).gone(10);
            dead.call(start..16_000_000, reserve(1), short())
        };
        assert_eq!(caught(&story(15_000_000)), 0);
        assert_eq!(caught(&story(15_000_011)), 1);
        assert_eq!(caught(&story(15_000_011).left("c0", "nobody's")), 0);
        let released = story(15_000_011).call(15_000_005..15_000_020, release(None, &["c0"]), settled(&[]));
        assert_eq!(caught(&released), 0);
    }

    #[test]
    fn what_a_dead_attempt_under_a_callers_id_held_is_back_within_a_minute() {
        for ends in [unavailable, killed] {
            let story = |start| {
                let dead = one_is_free().call(0..10, reserve(1).under("y"), ends()).gone(10);
                dead.call(start..90_000_000, reserve(1), short())
            };
            assert_eq!(caught(&story(59_000_000)), 0);
            assert_eq!(caught(&story(76_000_000)), 1);
        }
    }
}
