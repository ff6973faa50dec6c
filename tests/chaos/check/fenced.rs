//! A fenced assign or release touches what is held under its id: all of it, and nothing else.

use super::Violation;
use super::facts::{Facts, Seen};
use super::holds::Hold;
use super::settles::Settle;

const RULE: &str = "fenced";

/// **Rule.** An assign or a release with an id names as lost what is not held under the id, and only that.
///
/// - Not lost is what was certainly held under the id during the whole call: known before it began, not released
///   by anybody, nor assigned, before it ended, and not expired then.
/// - Lost is what somebody else has certainly held during the whole call.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (reservation, code, settles) in facts.settles.all_fenced() {
        let id = facts.reservations[reservation].id;
        for settle in settles {
            let call = &facts.calls[settle.call];
            let (why, proof) = match settle.lost {
                None => continue,
                Some(true) => {
                    let held =
                        facts.hold(reservation, code).filter(|hold| held_over(facts, hold, settles, call));
                    (format!("is lost, and was held by {id}"), held)
                }
                Some(false) => {
                    let others = facts.holds.certain(code, call.start, call.end);
                    let other = others.filter(|hold| hold.reservation != reservation);
                    (format!("is not lost, and was not held by {id}"), other)
                }
            };
            if let Some(hold) = proof {
                let what = format!("{} {why}", facts.name(code));
                violations.push(facts.violation(RULE, what, &[hold.answer, settle.call]));
            }
        }
    }
    violations
}

/// Whether the code was held, and neither expired nor assigned, during the whole call.
fn held_over(facts: &Facts<'_>, hold: &Hold, settles: &[Settle], call: &Seen<'_>) -> bool {
    let assigns = settles.iter().filter(|settle| settle.assigns && settle.lost != Some(true));
    let assigned = assigns.map(|settle| facts.calls[settle.call].start);
    let unfenced = facts.settles.unfenced(hold.code).assigns.first_start();
    hold.known <= call.start
        && hold.maybe_released > call.end
        && hold.expires > call.end
        && assigned.chain([unfenced]).all(|start| start > call.end)
}

#[cfg(test)]
mod tests {
    use super::super::story::{Ends, Story, assign, got, killed, release, reserve, settled, unavailable};
    use crate::history::Call;

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    fn granted() -> Story {
        Story::new(4).call(10..20, reserve(1), got("x", &["c0"]))
    }

    fn both(id: &str) -> [Call; 2] {
        [assign(Some(id), &["c0"]), release(Some(id), &["c0"])]
    }

    #[test]
    fn what_is_held_is_not_lost() {
        for call in both("x") {
            assert_eq!(caught(&granted().call(30..40, call.clone(), settled(&[]))), 0);
            assert_eq!(caught(&granted().call(30..40, call.clone(), settled(&["c0"]))), 1);
            assert_eq!(caught(&granted().call(15..40, call, settled(&["c0"]))), 0);
        }
    }

    #[test]
    fn what_may_have_been_released_or_assigned_may_be_lost() {
        let first = |call: &Call, ends: Ends| granted().call(30..40, call.clone(), ends);
        for other in [release(None, &["c0"]), release(Some("x"), &["c0"]), assign(None, &["c0"])] {
            for call in both("x") {
                let lost = |story: Story| caught(&story.call(35..50, call.clone(), settled(&["c0"])));
                assert_eq!(lost(first(&other, settled(&[]))), 0);
                assert_eq!(lost(first(&other, unavailable())), 0);
                assert_eq!(lost(first(&other, killed())), 0);
            }
        }
        let elsewhere = granted().call(30..40, release(Some("y"), &["c0"]), settled(&[]));
        assert_eq!(caught(&elsewhere.call(50..60, assign(Some("x"), &["c0"]), settled(&["c0"]))), 2);
    }

    #[test]
    fn an_expired_code_may_be_lost() {
        let story = Story::new(4).ttl(1).call(10..20, reserve(1), got("x", &["c0"]));
        assert_eq!(caught(&story.call(500..1_000, release(Some("x"), &["c0"]), settled(&["c0"]))), 0);
    }

    #[test]
    fn what_another_holds_is_lost() {
        for call in both("y") {
            assert_eq!(caught(&granted().call(30..40, call.clone(), settled(&["c0"]))), 0);
            assert_eq!(caught(&granted().call(30..40, call.clone(), settled(&[]))), 1);
            let released = granted().call(35..50, release(Some("x"), &["c0"]), unavailable());
            assert_eq!(caught(&released.call(30..40, call, settled(&[]))), 0);
        }
    }
}
