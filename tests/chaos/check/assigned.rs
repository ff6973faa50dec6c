//! Assigned is final.

use super::Violation;
use super::facts::Facts;
use super::holds::shows;
use crate::history::{Call, Outcome, Status};

const RULE: &str = "assigned is final";

/// **Rule.** From the end of an assign that surely happened, the code is assigned for ever.
///
/// An assign surely happened if it was answered and did not name the code as lost. So no reserve that begins
/// later takes the code: a hold whose id no call had used before cannot have begun earlier. No recover that
/// begins later shows it as anything else. In the end it is assigned; and if the assign was fenced, under the id
/// of the fence, which nothing can change after it. The other way round, what is assigned in the end was named
/// by an assign that may have happened.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut blame = |code: usize, how: &str, calls: &[usize]| {
        violations.push(facts.violation(RULE, format!("{} {how}", facts.name(code)), calls));
    };
    for hold in facts.holds.all() {
        if let Some(assign) = facts.settles.surely_assigned(hold.code)
            && hold.start > facts.calls[assign].end
        {
            blame(hold.code, "was reserved after it had been assigned", &[assign, hold.answer]);
        }
    }
    for (code, document) in facts.documents.iter().enumerate() {
        let assigned = document.is_some_and(|document| document.assigned_ms.is_some());
        match facts.settles.surely_assigned(code) {
            Some(assign) if !assigned => blame(code, "is not assigned in the end", &[assign]),
            None if assigned && facts.settles.maybe_assigned(code) > facts.snapshot.at => {
                blame(code, "is assigned, and nobody did it", &[]);
            }
            _ => {}
        }
    }
    for (reservation, code, settles) in facts.settles.all_fenced() {
        let id = facts.reservations[reservation].id;
        let assign = settles.iter().find(|settle| settle.assigns && settle.lost == Some(false));
        if let Some(assign) = assign
            && facts.documents[code].is_some_and(|document| !shows(document, id))
        {
            blame(code, "was assigned under an id that it does not carry in the end", &[assign.call]);
        }
    }
    for (code, assign, recover) in shown_otherwise(facts) {
        blame(code, "is shown as not assigned", &[assign, recover]);
    }
    violations
}

/// Codes that a recover shows with another status after they were assigned, with both calls.
fn shown_otherwise(facts: &Facts<'_>) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for (recover, call) in facts.calls.iter().enumerate() {
        let (Call::Recover { id }, Some(Outcome::Held { codes, .. })) = (call.what, call.outcome) else {
            continue;
        };
        let pool = facts.reservation(id).and_then(|reservation| facts.reservations[reservation].pool);
        for (text, status) in codes {
            if let Some(code) = pool.and_then(|pool| facts.code(pool, text))
                && let Some(assign) = facts.settles.surely_assigned(code)
                && facts.calls[assign].end < call.start
                && *status != Status::Assigned
            {
                found.push((code, assign, recover));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        Story, assign, got, held, killed, recover, release, reserve, settled, unavailable,
    };

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    fn assigned() -> Story {
        Story::new(4)
            .call(0..10, reserve(1), got("x", &["c0"]))
            .call(20..30, assign(Some("x"), &["c0"]), settled(&[]))
            .left("c0", "x")
            .left_assigned("c0")
    }

    #[test]
    fn what_was_assigned_stays_so() {
        assert_eq!(caught(&assigned()), 0);
        assert_eq!(caught(&assigned().call(40..50, release(None, &["c0"]), settled(&[]))), 0);
        assert_eq!(caught(&assigned().call(40..50, recover("x"), held(&["c0"]))), 1);
    }

    #[test]
    fn a_reserve_that_begins_after_the_assign_does_not_get_the_code() {
        assert_eq!(caught(&assigned().call(31..40, reserve(1), got("y", &["c0"]))), 1);
        // Another rule's violation, not this one's.
        assert_eq!(caught(&assigned().call(29..40, reserve(1), got("y", &["c0"]))), 0);
    }

    #[test]
    fn an_assigned_code_carries_the_id_of_its_fence_to_the_end() {
        assert_eq!(caught(&assigned().left("c0", "y")), 1);
        let unfenced = Story::new(4)
            .call(20..30, assign(None, &["c0"]), settled(&[]))
            .left("c0", "y")
            .left_assigned("c0");
        assert_eq!(caught(&unfenced), 0);
    }

    #[test]
    fn what_is_assigned_in_the_end_agrees_with_the_assigns() {
        let story = |ends| Story::new(4).call(20..30, assign(None, &["c0"]), ends);
        assert_eq!(caught(&story(settled(&[]))), 1);
        for ends in [unavailable(), killed()] {
            assert_eq!(caught(&story(ends)), 0);
        }
        for ends in [settled(&[]), unavailable(), killed()] {
            assert_eq!(caught(&story(ends).left_assigned("c0")), 0);
        }
        assert_eq!(caught(&story(settled(&["c0"])).left_assigned("c0")), 1);
        assert_eq!(caught(&Story::new(4).left_assigned("c0")), 1);
    }
}
