//! Nothing is lost, and nothing is kept for nobody.

use std::collections::HashMap;

use super::Violation;
use super::facts::{Facts, Seen};
use super::hidden::is_nameless;
use super::holds::shows;
use crate::history::{Call, Document, Entry, Outcome};

const RULE: &str = "nothing lost";

/// **Rule.** What is left after all has become quiet is explained by what was done.
///
/// - Every saved code is there. (No other, none twice, each with its type: see [`Facts::gather`].)
/// - A code that was known to be held, was not expired and was released by nobody still carries its id.
/// - A code that is held belongs to what was granted to its id, and has not surely been lost since. Of a caller's
///   id there must be a granted entry with the code's date. Where no answer has shown what was granted, as after
///   an unknown outcome or a death, any code will do: how many is another rule.
/// - An id that nobody has heard of was made by a reserve whose process died, or that failed without telling its
///   id. Each of these has one id and no more codes than it asked for; so the ids, the one with the most codes
///   first, must fit to them, the one that asked for most first.
/// - Entries of the ledger are of callers' ids, granted, with the date that their reserves were answered with.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = missing(facts);
    let entries = facts.snapshot.ledger.iter().map(|entry| (entry.id.as_str(), entry)).collect();
    let mut strangers: Vec<HashMap<&str, usize>> = vec![HashMap::new(); facts.header.pools.len()];
    for (code, document) in facts.documents.iter().enumerate() {
        let Some(document) = document.filter(|document| document.assigned_ms.is_none()) else { continue };
        let Some(id) = document.reserve_id.as_deref().filter(|id| shows(document, id)) else { continue };
        if is_known(facts, id) {
            if let Some((why, calls)) = unexplained(facts, code, document, id, &entries) {
                let what = format!("{} is held by {id}, {why}", facts.name(code));
                violations.push(facts.violation(RULE, what, &calls));
            }
        } else {
            *strangers[document.pool].entry(id).or_default() += 1;
        }
    }
    for (pool, strangers) in strangers.into_iter().enumerate() {
        violations.extend(too_many_strangers(facts, pool, strangers));
    }
    violations.extend(facts.snapshot.ledger.iter().filter_map(|entry| wrong_entry(facts, entry)));
    violations
}

/// Whether the history names a reserve of the id.
pub(crate) fn is_known(facts: &Facts<'_>, id: &str) -> bool {
    facts.reservation(id).is_some_and(|known| !facts.reservations[known].reserves.is_empty())
}

fn missing(facts: &Facts<'_>) -> Vec<Violation> {
    let gone = facts.documents.iter().enumerate().filter(|(_, document)| document.is_none());
    let mut violations: Vec<Violation> =
        gone.map(|(code, _)| facts.violation(RULE, format!("{} is gone", facts.name(code)), &[])).collect();
    for hold in facts.holds.all() {
        let id = facts.reservations[hold.reservation].id;
        if hold.maybe_released > facts.snapshot.at
            && hold.expires > facts.snapshot.at
            && facts.documents[hold.code].is_some_and(|document| !shows(document, id))
        {
            let what = format!("{} was lost by {id}", facts.name(hold.code));
            violations.push(facts.violation(RULE, what, &[hold.answer]));
        }
    }
    violations
}

/// Why an id cannot hold a code, and the calls that prove it.
fn unexplained(
    facts: &Facts<'_>,
    code: usize,
    document: &Document,
    id: &str,
    entries: &HashMap<&str, &Entry>,
) -> Option<(&'static str, Vec<usize>)> {
    let position = facts.reservation(id)?;
    let reservation = &facts.reservations[position];
    if !reservation.made {
        let entry = entries.get(id).filter(|entry| entry.granted);
        if entry.is_none_or(|entry| Some(entry.reserved_ms) != document.reserved_ms) {
            return Some(("which was not granted with its date", reservation.reserves.clone()));
        }
    }
    if let Some(hold) = facts.hold(position, code) {
        return (hold.freed <= facts.snapshot.at).then(|| ("which had lost it", vec![hold.answer]));
    }
    let answers: Vec<usize> = reservation.answers.iter().map(|answer| answer.call).collect();
    if !answers.is_empty() {
        return Some(("which was granted others", answers));
    }
    // Of the core's own id one reserve knows, and it is over. A caller may have tried again after the recover.
    let nothing = |call: &&usize| matches!(facts.calls[**call].outcome, Some(Outcome::Nothing));
    let nothing = reservation.recovers.iter().find(nothing).filter(|_| reservation.made);
    nothing.map(|call| ("under which nothing was held", vec![*call]))
}

fn too_many_strangers(facts: &Facts<'_>, pool: usize, strangers: HashMap<&str, usize>) -> Option<Violation> {
    let count = |call: &Seen<'_>| match call.what {
        Call::Reserve { pool: of, count, .. } if *of == pool && is_nameless(call) => Some(*count as usize),
        _ => None,
    };
    let mut asked: Vec<usize> = facts.calls.iter().filter_map(count).collect();
    let mut left: Vec<(usize, &str)> = strangers.into_iter().map(|(id, codes)| (codes, id)).collect();
    asked.sort_unstable_by(|one, other| other.cmp(one));
    left.sort_unstable_by(|one, other| other.cmp(one));
    let asked = asked.into_iter().chain(std::iter::repeat(0));
    let (codes, id) = left.into_iter().zip(asked).find(|((codes, _), asked)| codes > asked)?.0;
    let what = format!("{codes} codes of pool {pool} are held by {id}, of which nobody knows");
    Some(facts.violation(RULE, what, &[]))
}

fn wrong_entry(facts: &Facts<'_>, entry: &Entry) -> Option<Violation> {
    let known = facts.reservation(&entry.id).map(|known| &facts.reservations[known]);
    let reserves = known.map(|known| known.reserves.as_slice()).unwrap_or_default();
    let other_date = |call: &&usize| match facts.calls[**call].outcome {
        Some(Outcome::Got { reserved_ms, .. }) => *reserved_ms != entry.reserved_ms,
        _ => false,
    };
    // Whoever was told that nothing is held has been told the truth.
    let may_hold = |call: &usize| {
        matches!(facts.calls[*call].outcome, None | Some(Outcome::Got { .. } | Outcome::Unknown { .. }))
    };
    let why = if !entry.granted {
        "is not granted"
    } else if reserves.is_empty() {
        "is of an id that nobody reserved under"
    } else if !reserves.iter().any(may_hold) {
        "is granted, and everybody was told that nothing is held"
    } else if reserves.iter().any(|call| other_date(&call)) {
        "has another date than was answered"
    } else {
        return None;
    };
    Some(facts.violation(RULE, format!("the entry of {} {why}", entry.id), reserves))
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

    fn granted() -> Story {
        Story::new(4).call(0..10, reserve(2), got("x", &["c0", "c1"])).left("c0", "x").left("c1", "x")
    }

    #[test]
    fn what_was_granted_is_left() {
        assert_eq!(caught(&granted()), 0);
        assert_eq!(caught(&granted().left("c1", "y")), 2);
        assert_eq!(caught(&granted().left("c2", "x")), 1);
    }

    #[test]
    fn a_code_that_is_gone_is_caught() {
        let mut story = Story::new(4);
        story.snapshot.documents.pop();
        assert_eq!(caught(&story), 1);
    }

    #[test]
    fn a_released_code_is_not_held() {
        let story = |at, ends| granted().call(at, release(Some("x"), &["c1"]), ends);
        assert_eq!(caught(&story(20..30, settled(&[]))), 1);
        assert_eq!(caught(&story(20..30, unavailable())), 0);
        assert_eq!(caught(&story(20..30, killed())), 0);
        // It may have been there first.
        assert_eq!(caught(&story(5..30, settled(&[]))), 0);
    }

    #[test]
    fn strangers_fit_to_the_reserves_that_died() {
        let story = Story::new(4).call(0..10, reserve(2), killed()).left("c0", "a").left("c1", "a");
        assert_eq!(caught(&story), 0);
        assert_eq!(caught(&story.left("c2", "b")), 1);
        let story = Story::new(4).call(0..10, reserve(1), killed()).call(0..10, reserve(1), Outcome::Failed);
        let story = story.left("c0", "a").left("c1", "b");
        assert_eq!(caught(&story), 0);
        assert_eq!(caught(&story.left("c1", "a")), 1);
    }

    #[test]
    fn after_an_unknown_outcome_codes_may_be_held_but_not_after_a_recover_found_none() {
        let story = Story::new(4).call(0..10, reserve(2), unknown("x")).left("c0", "x");
        assert_eq!(caught(&story), 0);
        assert_eq!(caught(&story.call(20..30, recover("x"), Outcome::Nothing)), 1);
        let story = Story::new(4).call(0..10, reserve(2), unknown("x")).left("c0", "x");
        assert_eq!(caught(&story.call(20..30, recover("x"), held(&["c1"])).left("c1", "x")), 1);
    }

    #[test]
    fn a_callers_codes_are_of_a_granted_entry_with_their_date() {
        let story = || Story::new(4).call(0..10, reserve(1).under("x"), killed()).left("c0", "x");
        assert_eq!(caught(&story().entry("x", true, 0)), 0);
        assert_eq!(caught(&story()), 1);
        assert_eq!(caught(&story().entry("x", true, 5)), 1);
        assert_eq!(caught(&story().entry("x", false, 0)), 2);
        assert_eq!(caught(&story().entry("x", true, 0).entry("y", true, 0)), 1);
        let refused = Story::new(4).call(0..10, reserve(1).under("x"), unavailable());
        assert_eq!(caught(&refused.entry("x", true, 0)), 1);
        let answered = Story::new(4).call(0..10, reserve(1).under("x"), got("x", &["c0"])).left("c0", "x");
        assert_eq!(caught(&answered.entry("x", true, 1)), 2);
    }
}
