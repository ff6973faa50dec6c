//! The same id, the same codes.

use super::Violation;
use super::facts::{Answer, Facts, Reservation};
use super::holds::Hold;
use crate::history::{Call, Outcome};

const RULE: &str = "same id, same codes";

/// **Rule.** An id is granted one set of codes, once, for one wish, and every answer shows that set without
/// what was lost since.
///
/// - A reserve under an id is answered with that id, and at most one answer of an id is not a replay. All
///   answered reserves of an id have the same pool and count, and, if a caller brought it, the same date.
/// - What any answer shows was in the set from the grant on. So another answer lacks it only if it may have
///   been released by a call that had begun before that answer was there, or may have expired by then. To say
///   that nothing is held, or that it has expired, is such an answer without codes, if it was asked for after
///   the code was known.
/// - What an answer lacks is in none that was asked for later: an id gets no code back.
/// - Once granted, the same wish of the same caller's id is neither refused as another nor for lack of codes.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let of = |reservation| {
        let mut found = one_grant(facts, reservation);
        found.extend(answers(facts, reservation));
        found.extend(without_codes(facts, reservation));
        found
            .into_iter()
            .map(|(what, calls)| facts.violation(RULE, format!("{}: {what}", reservation.id), &calls))
    };
    facts.reservations.iter().flat_map(of).collect()
}

/// What is wrong, and the calls that prove it.
type Wrong = (String, Vec<usize>);

/// Pool and count.
fn wish(facts: &Facts<'_>, call: usize) -> Option<(usize, u32)> {
    match facts.calls[call].what {
        Call::Reserve { pool, count, .. } => Some((*pool, *count)),
        _ => None,
    }
}

fn one_grant(facts: &Facts<'_>, reservation: &Reservation<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let (mut first, mut granted) = (None, None);
    for call in &reservation.reserves {
        let Some(Outcome::Got { id, reserved_ms, replayed, .. }) = facts.calls[*call].outcome else {
            continue;
        };
        if id != reservation.id {
            wrong.push((format!("was answered with {id}"), vec![*call]));
        }
        let (before, date) = *first.get_or_insert((*call, reserved_ms));
        if wish(facts, before) != wish(facts, *call) {
            wrong.push(("was granted for two wishes".to_owned(), vec![before, *call]));
        }
        if !reservation.made && date != reserved_ms {
            wrong.push(("has two dates".to_owned(), vec![before, *call]));
        }
        if !replayed && let Some(before) = granted.replace(*call) {
            wrong.push(("was granted twice".to_owned(), vec![before, *call]));
        }
    }
    wrong
}

fn answers(facts: &Facts<'_>, reservation: &Reservation<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for position in &reservation.holds {
        let hold = &facts.holds.all()[*position];
        let shows = |answer: &&Answer| answer.codes.binary_search(&hold.code).is_ok();
        let (with, without): (Vec<_>, Vec<_>) = reservation.answers.iter().partition(shows);
        let last = with.iter().map(|answer| answer.call).max_by_key(|call| facts.calls[*call].start);
        for call in without.iter().map(|answer| answer.call) {
            let end = facts.calls[call].end;
            if !may_be_lost(hold, end) {
                wrong.push((format!("lacks {}", facts.name(hold.code)), vec![hold.answer, call]));
            }
            if let Some(last) = last.filter(|last| facts.calls[*last].start > end) {
                wrong.push((format!("got {} back", facts.name(hold.code)), vec![call, last]));
            }
        }
    }
    wrong
}

fn without_codes(facts: &Facts<'_>, reservation: &Reservation<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let all = reservation.reserves.iter().chain(&reservation.recovers);
    for (position, call) in all.map(|position| (*position, &facts.calls[*position])) {
        let known_before = |hold: &&Hold| hold.known < call.start;
        let mut holds = reservation.holds.iter().map(|hold| &facts.holds.all()[*hold]).filter(known_before);
        let proof = match call.outcome {
            Some(Outcome::Nothing | Outcome::Expired) => holds.find(|hold| !may_be_lost(hold, call.end)),
            Some(Outcome::Short { .. } | Outcome::Mismatch) if !reservation.made => {
                holds.find(|hold| wish(facts, hold.answer) == wish(facts, position))
            }
            _ => None,
        };
        if let Some(hold) = proof {
            let what = format!("was granted {}, and is refused", facts.name(hold.code));
            wrong.push((what, vec![hold.answer, position]));
        }
    }
    wrong
}

/// Whether an answer that was there at `end` may lack the code.
fn may_be_lost(hold: &Hold, end: u64) -> bool {
    hold.maybe_released <= end || hold.expires <= end
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        Ends, Story, got, held, killed, recover, release, reserve, settled, short, unavailable,
    };
    use crate::history::{Call, Outcome};

    fn caught(story: &Story) -> usize {
        story.broken(super::check).len()
    }

    fn pair() -> Call {
        reserve(2).under("x")
    }

    fn granted() -> Story {
        Story::new(4).call(0..10, pair(), got("x", &["c0", "c1"]))
    }

    fn then(at: u64, ends: impl Into<Ends>) -> Story {
        granted().call(at..at + 10, pair(), ends)
    }

    #[test]
    fn every_answer_has_the_same_codes() {
        assert_eq!(caught(&then(20, got("x", &["c1", "c0"]).again())), 0);
        assert_eq!(caught(&then(20, got("x", &["c0"]).again())), 1);
        // c1 is missing, and what the first answer lacked has come.
        assert_eq!(caught(&then(20, got("x", &["c0", "c2"]).again())), 3);
        assert_eq!(caught(&granted().call(20..30, recover("x"), held(&["c0"]))), 1);
    }

    #[test]
    fn what_may_have_been_released_may_be_missing_but_does_not_come_back() {
        for ends in [settled(&[]), unavailable(), killed()] {
            let story = granted().call(20..40, release(Some("x"), &["c1"]), ends);
            let missing = story.call(30..50, pair(), got("x", &["c0"]).again());
            assert_eq!(caught(&missing), 0);
            assert_eq!(caught(&missing.call(51..60, pair(), got("x", &["c0", "c1"]).again())), 1);
        }
        let too_late = then(20, got("x", &["c0"]).again()).call(31..40, release(None, &["c1"]), settled(&[]));
        assert_eq!(caught(&too_late), 1);
    }

    #[test]
    fn one_id_is_granted_once() {
        assert_eq!(caught(&then(20, got("x", &["c0", "c1"]))), 1);
        assert_eq!(caught(&then(20, got("y", &["c2", "c3"]).again())), 1);
        let other_count = granted().call(20..30, reserve(3).under("x"), got("x", &["c0", "c1"]).again());
        assert_eq!(caught(&other_count), 1);
    }

    #[test]
    fn what_was_granted_is_not_refused() {
        for outcome in [Outcome::Expired, Outcome::Mismatch, Outcome::Short { available: 0 }] {
            assert_eq!(caught(&then(20, outcome.clone())), 1);
            // Asked for before anybody knew of the grant.
            assert_eq!(caught(&then(5, outcome.clone())), 0);
        }
        assert_eq!(caught(&granted().call(20..30, reserve(3).under("x"), Outcome::Mismatch)), 0);
        assert_eq!(caught(&granted().call(20..30, recover("x"), Outcome::Nothing)), 1);
        let released = granted().call(20..30, release(Some("x"), &["c0", "c1"]), settled(&[]));
        assert_eq!(caught(&released.call(40..50, pair(), Outcome::Expired)), 0);
    }

    #[test]
    fn an_expired_id_may_have_lost_codes() {
        let story = Story::new(4).ttl(1).call(0..10, pair(), got("x", &["c0", "c1"]));
        assert_eq!(caught(&story.call(2_000..2_010, recover("x"), held(&["c0"]))), 0);
    }

    #[test]
    fn a_try_that_failed_leaves_no_set() {
        for ends in [short(), unavailable(), killed()] {
            let story = Story::new(4).call(0..10, pair(), ends).call(20..30, pair(), got("x", &["c0", "c1"]));
            assert_eq!(caught(&story), 0);
        }
    }
}
