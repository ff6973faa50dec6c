//! A code has one live holder.

use super::Violation;
use super::facts::Facts;
use super::holds::Hold;

/// **Rule.** Nobody is given a code that somebody else holds.
///
/// A hold is certain from the end of the first answer that showed it to the start of the first release that may
/// have freed it, or until it expires; and, whatever came in between, to the last moment at which the code was
/// seen under its id, because an id gets no code back. Two certain holds of a code by different ids must not
/// overlap; and a hold that began somewhere inside `start..known` must not lie with all of that inside another.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (position, hold) in facts.holds.all().iter().enumerate() {
        let before = facts.holds.longest_before(position);
        let overlaps = before.filter(|other| other.until.min(hold.until) > hold.known);
        let contains = || facts.holds.certain(hold.code, hold.start, hold.known);
        let other = overlaps.or_else(contains);
        if let Some(other) = other.filter(|other| other.reservation != hold.reservation) {
            let id = |hold: &Hold| facts.reservations[hold.reservation].id;
            let what = format!("{} is held by {} and {}", facts.name(hold.code), id(other), id(hold));
            violations.push(facts.violation("one live holder", what, &[other.answer, hold.answer]));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        Story, got, held, killed, recover, release, reserve, settled, unavailable, unknown,
    };
    use crate::history::Outcome;

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    #[test]
    fn a_code_of_two_holders_is_caught() {
        let story = Story::new(4).call(0..10, reserve(1), got("x", &["c0"])).call(
            20..30,
            reserve(1),
            got("y", &["c0"]),
        );
        assert_eq!(caught(&story), 1);
        let overlapping = Story::new(4).call(0..10, reserve(1), got("x", &["c0"])).call(
            5..15,
            reserve(1),
            got("y", &["c0"]),
        );
        assert_eq!(caught(&overlapping), 1);
    }

    #[test]
    fn a_code_may_change_hands_while_it_is_released() {
        for outcome in [settled(&[]), unavailable(), killed()] {
            let story = Story::new(4)
                .call(0..10, reserve(1), got("x", &["c0"]))
                .call(20..40, release(Some("x"), &["c0"]), outcome)
                .call(15..30, reserve(1), got("y", &["c0"]));
            assert_eq!(caught(&story), 0);
        }
    }

    #[test]
    fn a_release_that_has_lost_the_code_or_is_fenced_by_another_frees_nothing() {
        for call in [(Some("x"), settled(&["c0"])), (Some("z"), settled(&[]))] {
            let story = Story::new(4)
                .call(0..10, reserve(1), got("x", &["c0"]))
                .call(20..30, release(call.0, &["c0"]), call.1)
                .call(40..50, reserve(1), got("y", &["c0"]));
            assert_eq!(caught(&story), 1);
        }
    }

    #[test]
    fn a_release_without_an_id_frees_what_was_there_before_it_ended() {
        let story = |release_at| {
            Story::new(4)
                .call(release_at, release(None, &["c0"]), settled(&[]))
                .call(30..40, reserve(1), got("x", &["c0"]))
                .call(50..60, reserve(1), got("y", &["c0"]))
        };
        assert_eq!(caught(&story(10..20)), 1);
        assert_eq!(caught(&story(10..35)), 0);
    }

    #[test]
    fn an_expired_code_may_be_taken_but_not_one_that_was_seen_under_its_id_later() {
        let expired = Story::new(4).ttl(1).call(0..10, reserve(1), got("x", &["c0"])).call(
            5_000..6_000,
            reserve(1),
            got("y", &["c0"]),
        );
        assert_eq!(caught(&expired), 0);
        assert_eq!(caught(&expired.call(7_000..7_010, recover("x"), held(&["c0"]))), 1);
    }

    #[test]
    fn an_answer_again_is_the_same_hold() {
        let story = Story::new(4).call(0..10, reserve(1).under("x"), got("x", &["c0"])).call(
            20..30,
            reserve(1).under("x"),
            got("x", &["c0"]).again(),
        );
        assert_eq!(caught(&story), 0);
    }

    #[test]
    fn what_is_found_after_an_unknown_outcome_is_held() {
        let story = |again| {
            Story::new(4)
                .call(0..10, reserve(1), unknown("x"))
                .call(20..30, recover("x"), held(&["c0"]))
                .call(again, reserve(1), got("y", &["c0"]))
        };
        assert_eq!(caught(&story(40..50)), 1);
        let nothing = Story::new(4)
            .call(0..10, reserve(1), unknown("x"))
            .call(20..30, recover("x"), Outcome::Nothing)
            .call(40..50, reserve(1), got("y", &["c0"]));
        assert_eq!(caught(&nothing), 0);
    }
}
