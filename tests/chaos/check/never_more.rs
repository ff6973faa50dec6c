//! Never more codes than asked for.

use super::Violation;
use super::facts::Facts;
use super::holds::shows;
use crate::history::{Call, Outcome};

/// **Rule.** All codes that are ever shown under an id, and those that carry it in the end, are together no more
/// than its reserve asked for.
///
/// An id is granted one set, so answers that differ show parts of it. What carries the id in the end was in that
/// set, or is of an attempt that died and should have been given back. Only a code that somebody has assigned
/// without an id while such an attempt held it could not be given back: those do not count.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut left = vec![0; facts.reservations.len()];
    for (code, document) in facts.documents.iter().enumerate() {
        let Some(document) = document else { continue };
        let id = document.reserve_id.as_deref().filter(|id| shows(document, id));
        let Some(reservation) = id.and_then(|id| facts.reservation(id)) else { continue };
        let stuck = document.assigned_ms.is_some() && facts.settles.maybe_assigned_unfenced(code);
        if !stuck && facts.hold(reservation, code).is_none() {
            left[reservation] += 1;
        }
    }
    let mut violations = Vec::new();
    for (reservation, left) in facts.reservations.iter().zip(left) {
        let count = |call: &usize| match facts.calls[*call].what {
            Call::Reserve { count, .. } => *count as usize,
            _ => 0,
        };
        let got = |call: &&usize| matches!(facts.calls[**call].outcome, Some(Outcome::Got { .. }));
        let granted = reservation.reserves.iter().find(got).map(count);
        let wanted = granted.or_else(|| reservation.reserves.iter().map(count).max());
        let has = reservation.holds.len() + left;
        if let Some(wanted) = wanted.filter(|wanted| has > *wanted) {
            let what = format!("{} has {has} codes and asked for {wanted}", reservation.id);
            let calls: Vec<usize> = reservation.answers.iter().map(|answer| answer.call).collect();
            violations.push(facts.violation("never more than asked for", what, &calls));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, assign, got, held, recover, reserve, settled, unknown};

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    #[test]
    fn an_answer_has_no_more_codes_than_asked_for() {
        let story = |codes: &[&str]| Story::new(4).call(0..10, reserve(2), got("x", codes));
        assert_eq!(caught(&story(&["c0", "c1"])), 0);
        assert_eq!(caught(&story(&["c0", "c1", "c2"])), 1);
    }

    #[test]
    fn two_answers_show_parts_of_one_set() {
        let story = |codes: &[&str]| {
            Story::new(4).call(0..10, reserve(2), unknown("x")).call(20..30, recover("x"), held(codes))
        };
        assert_eq!(caught(&story(&["c0", "c1"]).call(40..50, recover("x"), held(&["c0"]))), 0);
        assert_eq!(caught(&story(&["c0", "c1"]).call(40..50, recover("x"), held(&["c2"]))), 1);
        assert_eq!(caught(&story(&["c0", "c1", "c2"])), 1);
    }

    #[test]
    fn what_is_left_counts() {
        let story = Story::new(4).call(0..10, reserve(2), got("x", &["c0", "c1"]));
        let story = story.left("c0", "x").left("c1", "x");
        assert_eq!(caught(&story), 0);
        let surplus = story.left("c2", "x");
        assert_eq!(caught(&surplus), 1);
        let stuck = surplus.left_assigned("c2").call(5..10, assign(None, &["c2"]), settled(&[]));
        assert_eq!(caught(&stuck), 0);
    }
}
