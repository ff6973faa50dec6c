//! Counts agree with what was done.

use super::Violation;
use super::facts::{Facts, NEVER};
use super::hidden;
use super::sums::{Point, sums};
use super::untouched::{merged, untouched};
use crate::history::{Call, Micros, Outcome};

/// **Rule.** A count of ours counts every code of the pool once, with a status that it can have had.
///
/// - The three statuses add up to the size of the pool. The deployed service counts them one beside the other, so
///   this is not asked of it.
/// - Assigned is never more than were assigned by calls that began before the count ended. A count may be of a
///   replica that is behind, so nothing else is certain of one during a run.
/// - A calm count is of the present: assigned is no less than what was surely assigned before it began;
///   available no less than what nobody can have held or assigned at any moment of it; and what is not available
///   no less than what was surely assigned, or held without having expired, during all of it.
pub(crate) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let hidden = hidden::gather(facts);
    let mut violations = Vec::new();
    for pool in 0..facts.header.pools.len() {
        let calls = counts_of(facts, pool);
        let times = |corner: fn(Micros, Micros) -> (Micros, Micros)| -> Vec<_> {
            calls.iter().map(|call| corner(facts.calls[*call].start, facts.calls[*call].end)).collect()
        };
        let maybe_assigned = sums(maybe_assigned(facts, pool), &times(|_, end| (end, 0)));
        let assigned = sums(surely_assigned(facts, pool), &times(|start, _| (start, 0)));
        let taken = sums(surely_taken(facts, pool), &times(|start, end| (start, end)));
        let free = untouched(facts, pool, &hidden, &calls);
        let size = i64::from(facts.header.pools[pool].size);
        for (n, call) in calls.iter().enumerate() {
            let Some(counted) = Counted::of(facts, *call) else { continue };
            let wrong = counted.wrong(size, assigned[n]..=maybe_assigned[n], free[n], taken[n]);
            violations.extend(wrong.into_iter().map(|what| facts.violation("counts agree", what, &[*call])));
        }
    }
    violations
}

fn counts_of(facts: &Facts<'_>, pool: usize) -> Vec<usize> {
    let of_pool = |call: &usize| {
        let call = &facts.calls[*call];
        !call.old
            && matches!(call.what, Call::Count { pool: of, .. } if *of == pool)
            && matches!(call.outcome, Some(Outcome::Counts { .. }))
    };
    (0..facts.calls.len()).filter(of_pool).collect()
}

/// The answer of a count.
struct Counted {
    available: i64,
    reserved: i64,
    assigned: i64,
    calm: bool,
}

impl Counted {
    fn of(facts: &Facts<'_>, call: usize) -> Option<Counted> {
        let (Call::Count { calm, .. }, Some(Outcome::Counts { available, reserved, assigned })) =
            (facts.calls[call].what, facts.calls[call].outcome)
        else {
            return None;
        };
        let number = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
        let (available, reserved, assigned) = (number(available), number(reserved), number(assigned));
        Some(Counted { available, reserved, assigned, calm: *calm })
    }

    fn wrong(
        &self,
        size: i64,
        can_be_assigned: std::ops::RangeInclusive<i64>,
        free: i64,
        taken: i64,
    ) -> Vec<String> {
        let total = self.available.saturating_add(self.reserved).saturating_add(self.assigned);
        let mut wrong = Vec::new();
        if total != size {
            wrong.push(format!("counted {total} codes of {size}"));
        }
        if self.assigned > *can_be_assigned.end() {
            wrong.push(format!("at most {} can be assigned", can_be_assigned.end()));
        }
        if self.calm && self.assigned < *can_be_assigned.start() {
            wrong.push(format!("at least {} are assigned", can_be_assigned.start()));
        }
        if self.calm && self.available < free {
            wrong.push(format!("at least {free} are available"));
        }
        if self.calm && self.available > size - taken {
            wrong.push(format!("at least {taken} are reserved or assigned"));
        }
        wrong
    }
}

/// From when on each code may be assigned.
fn maybe_assigned(facts: &Facts<'_>, pool: usize) -> Vec<Point> {
    let starts = facts.codes(pool).map(|code| facts.settles.maybe_assigned(code));
    starts.filter(|start| *start < NEVER).map(|start| Point { x: start, y: NEVER, weight: 1 }).collect()
}

/// From when on each code is surely assigned.
fn surely_assigned(facts: &Facts<'_>, pool: usize) -> Vec<Point> {
    let assigns = facts.codes(pool).filter_map(|code| facts.settles.surely_assigned(code));
    assigns.map(|call| Point { x: facts.calls[call].end, y: NEVER, weight: 1 }).collect()
}

/// While each code is surely assigned, or held and not expired.
fn surely_taken(facts: &Facts<'_>, pool: usize) -> Vec<Point> {
    let of_code = |code| {
        let holds = facts.holds.of(code).iter().map(|hold| (hold.known, hold.until.min(hold.expires)));
        let mut spans: Vec<_> = holds.filter(|(known, until)| known <= until).collect();
        spans.extend(facts.settles.surely_assigned(code).map(|call| (facts.calls[call].end, NEVER)));
        merged(spans).into_iter().map(|(x, y)| Point { x, y, weight: 1 })
    };
    facts.codes(pool).flat_map(of_code).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, assign, got, killed, release, reserve, settled, unavailable};
    use crate::history::{Call, Outcome};

    fn caught(story: Story, calm: bool, [available, reserved, assigned]: [u64; 3]) -> usize {
        let count = Call::Count { pool: 0, calm };
        let outcome = Outcome::Counts { available, reserved, assigned };
        story.call(50..60, count, outcome).broken(super::check).len()
    }

    #[test]
    fn every_code_is_counted_once() {
        assert_eq!(caught(Story::new(4), false, [4, 0, 0]), 0);
        assert_eq!(caught(Story::new(4), false, [3, 0, 0]), 1);
        assert_eq!(caught(Story::new(4), false, [2, 3, 0]), 1);
    }

    #[test]
    fn what_may_be_assigned_may_be_counted_so() {
        let story = |at, ends| Story::new(4).call(at, assign(None, &["c0"]), ends).left_assigned("c0");
        for counted in [[3, 0, 1], [4, 0, 0]] {
            assert_eq!(caught(story(55..70, settled(&[])), true, counted), 0);
            assert_eq!(caught(story(20..30, unavailable()), true, counted), 0);
        }
        assert_eq!(caught(story(61..70, settled(&[])), false, [3, 0, 1]), 1);
        // Too few are assigned, and too many available; while others run, the count may be behind.
        assert_eq!(caught(story(20..30, settled(&[])), true, [4, 0, 0]), 2);
        assert_eq!(caught(story(20..30, settled(&[])), false, [4, 0, 0]), 0);
    }

    #[test]
    fn what_is_held_is_counted_as_reserved() {
        let story = || Story::new(4).call(0..10, reserve(1), got("x", &["c0"]));
        assert_eq!(caught(story(), true, [3, 1, 0]), 0);
        assert_eq!(caught(story(), true, [4, 0, 0]), 1);
        assert_eq!(caught(story(), true, [2, 2, 0]), 1);
        let released = || story().call(40..55, release(Some("x"), &["c0"]), settled(&[]));
        assert_eq!(caught(released(), true, [3, 1, 0]), 0);
        assert_eq!(caught(released(), true, [4, 0, 0]), 0);
        let killed = || Story::new(4).call(0..10, reserve(2), killed());
        assert_eq!(caught(killed(), true, [2, 2, 0]), 0);
        assert_eq!(caught(killed(), true, [1, 3, 0]), 1);
    }

    #[test]
    fn what_was_granted_to_a_caller_who_was_killed_stays_held_and_a_dead_attempt_is_swept() {
        let story = |granted| {
            let wish = reserve(2).under("mine");
            let story =
                Story::new(4).call(0..10, wish, killed()).gone(10).left("c0", "mine").left("c1", "mine");
            let story = if granted { story.entry("mine", true, 0) } else { story };
            let outcome = Outcome::Counts { available: 2, reserved: 2, assigned: 0 };
            story.call(90_000_000..90_000_010, Call::Count { pool: 0, calm: true }, outcome)
        };
        assert_eq!(story(true).broken(super::check).len(), 0);
        assert_eq!(story(false).broken(super::check).len(), 1);
    }

    #[test]
    fn an_expired_code_is_available() {
        let story = |ttl| Story::new(4).ttl(ttl).call(0..10, reserve(1), got("x", &["c0"]));
        let count = Call::Count { pool: 0, calm: true };
        let outcome = Outcome::Counts { available: 4, reserved: 0, assigned: 0 };
        let count = |story: Story| story.call(1_500..1_600, count.clone(), outcome.clone());
        assert_eq!(count(story(1)).broken(super::check).len(), 0);
        assert_eq!(count(story(2)).broken(super::check).len(), 1);
    }
}
