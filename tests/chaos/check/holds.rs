//! Who held which code, from when to when: for certain, and at the most.

use std::collections::HashMap;

use super::facts::{Facts, NEVER, Reservation};
use super::settles::Settle;
use crate::history::{Document, Micros, Outcome};

/// A code that an answer has shown under an id.
///
/// ```text
/// start .......... known =========== until .......... over
/// may be held      held or assigned  may be held      is not held, if it is not assigned
/// ```
///
/// An id never gets a code back that it has lost: one of the core's own takes none after its answer, and one of
/// a caller takes none after it was granted. So whoever holds a code at two moments holds it between them.
pub(crate) struct Hold {
    pub(crate) reservation: usize,
    pub(crate) code: usize,
    /// The answer that showed it first.
    pub(crate) answer: usize,
    pub(crate) start: Micros,
    pub(crate) known: Micros,
    /// Until here nobody else has the code; before `known` if that is not certain at any moment.
    pub(crate) until: Micros,
    /// From here on, it may be released.
    pub(crate) maybe_released: Micros,
    /// Until here it has surely not expired.
    pub(crate) expires: Micros,
    /// From here on it is surely not under the id, unless it is assigned.
    pub(crate) freed: Micros,
    /// The same, or it has surely expired.
    pub(crate) over: Micros,
}

/// The holds of all codes.
#[derive(Default)]
pub(crate) struct Holds {
    /// By code, and those of a code by when they were known.
    all: Vec<Hold>,
    /// For each of them, the one of it and all before of the same code that is certain for longest.
    longest: Vec<usize>,
}

impl Holds {
    fn new(all: Vec<Hold>) -> Holds {
        let mut longest: Vec<usize> = Vec::with_capacity(all.len());
        for (position, hold) in all.iter().enumerate() {
            let before = longest.last().copied().filter(|before| all[*before].code == hold.code);
            longest.push(before.filter(|before| all[*before].until >= hold.until).unwrap_or(position));
        }
        Holds { all, longest }
    }

    pub(crate) fn all(&self) -> &[Hold] {
        &self.all
    }

    /// Those of a code.
    pub(crate) fn of(&self, code: usize) -> &[Hold] {
        let first = self.all.partition_point(|hold| hold.code < code);
        let length = self.all[first..].partition_point(|hold| hold.code == code);
        &self.all[first..first + length]
    }

    /// Of those known before this one, the one that is certain for longest.
    pub(crate) fn longest_before(&self, position: usize) -> Option<&Hold> {
        let before = self.longest[position.checked_sub(1)?];
        Some(&self.all[before]).filter(|before| before.code == self.all[position].code)
    }

    /// A hold of the code that is certain from one moment to the other.
    pub(crate) fn certain(&self, code: usize, from: Micros, to: Micros) -> Option<&Hold> {
        let later = self.all.partition_point(|hold| (hold.code, hold.known) <= (code, from));
        let longest = &self.all[self.longest[later.checked_sub(1)?]];
        Some(longest).filter(|hold| hold.code == code && hold.until >= to)
    }
}

/// What answers have shown of one code of a reservation.
struct Shown {
    first: usize,
    known: Micros,
    /// The latest start of an answer: the code was still there.
    last: Micros,
}

pub(crate) fn gather(facts: &Facts<'_>) -> Holds {
    let mut holds = Vec::new();
    for (position, reservation) in facts.reservations.iter().enumerate() {
        let Some(pool) = reservation.pool else { continue };
        let expires = expires(facts, reservation);
        let reserves = || reservation.reserves.iter().map(|call| &facts.calls[*call]);
        let start = reserves().map(|call| call.start).min().unwrap_or(0);
        let settled = reserves().map(|call| call.over).max().unwrap_or(NEVER);
        for (code, shown) in shown(facts, reservation) {
            let known = shown.known;
            let fenced = facts.settles.fenced(position, code);
            let unfenced = &facts.settles.unfenced(code).releases;
            let maybe_released = released_from(facts, fenced, start).min(unfenced.may_touch(start));
            let mut until = shown.last.max(expires.min(maybe_released));
            // What a dead attempt takes late is under the id, too, and might be mistaken for what was granted.
            if settled <= known {
                until = until.max(last_settled(facts, fenced));
                if facts.documents[code].is_some_and(|document| shows(document, reservation.id)) {
                    until = until.max(facts.snapshot.at);
                }
            }
            let freed = ended(facts, fenced, known).min(unfenced.has_touched(known));
            let over = freed.min(facts.expired(pool, known));
            holds.push(Hold {
                reservation: position,
                code,
                answer: shown.first,
                start,
                known,
                until,
                maybe_released,
                expires,
                freed,
                over,
            });
        }
    }
    holds.sort_unstable_by_key(|hold| (hold.code, hold.known, hold.reservation));
    end_by_next_holder(&mut holds);
    Holds::new(holds)
}

/// Whether the document says that the code is held under the id, or was when it was assigned.
pub(crate) fn shows(document: &Document, id: &str) -> bool {
    document.reserved_ms.is_some() && document.reserve_id.as_deref() == Some(id)
}

/// Until when its codes have surely not expired.
fn expires(facts: &Facts<'_>, reservation: &Reservation<'_>) -> Micros {
    let told = reservation.answers.iter().filter_map(|answer| match facts.calls[answer.call].outcome {
        Some(Outcome::Got { expires_ms, .. } | Outcome::Held { expires_ms, .. }) => Some(*expires_ms),
        _ => None,
    });
    told.min().map_or(0, |wall| facts.earliest(wall))
}

fn shown(facts: &Facts<'_>, reservation: &Reservation<'_>) -> HashMap<usize, Shown> {
    let mut codes: HashMap<usize, Shown> = HashMap::new();
    for answer in &reservation.answers {
        let call = &facts.calls[answer.call];
        for code in &answer.codes {
            let first = Shown { first: answer.call, known: call.end, last: call.start };
            let shown = codes.entry(*code).or_insert(first);
            if call.end < shown.known {
                (shown.first, shown.known) = (answer.call, call.end);
            }
            shown.last = shown.last.max(call.start);
        }
    }
    codes
}

/// The start of the first release under the id that may have freed what was taken since `start`.
fn released_from(facts: &Facts<'_>, fenced: &[Settle], start: Micros) -> Micros {
    let may_free = |settle: &&Settle| {
        !settle.assigns && settle.lost != Some(true) && facts.calls[settle.call].over >= start
    };
    fenced.iter().find(may_free).map_or(NEVER, |settle| facts.calls[settle.call].start)
}

/// The last moment at which an assign or a release has found the code under the id.
fn last_settled(facts: &Facts<'_>, fenced: &[Settle]) -> Micros {
    let found = fenced.iter().rev().find(|settle| settle.lost == Some(false));
    found.map_or(0, |settle| facts.calls[settle.call].start)
}

/// When a settle under the id was answered that left nothing held: a release, or an assign that had lost it.
/// It must have begun when the code was held or already lost, not before.
fn ended(facts: &Facts<'_>, fenced: &[Settle], known: Micros) -> Micros {
    let ends = |settle: &&Settle| {
        facts.calls[settle.call].start >= known && settle.lost.is_some_and(|lost| lost || !settle.assigns)
    };
    fenced.iter().find(ends).map_or(NEVER, |settle| facts.calls[settle.call].end)
}

/// Whoever's code another has taken since it was known holds it no longer when that answer is there.
fn end_by_next_holder(holds: &mut [Hold]) {
    for of_code in holds.chunk_by_mut(|one, other| one.code == other.code) {
        let mut by_start: Vec<(Micros, Micros)> =
            of_code.iter().map(|hold| (hold.start, hold.known)).collect();
        by_start.sort_unstable();
        for hold in of_code {
            let next = by_start.partition_point(|(start, _)| *start <= hold.known);
            if let Some((_, known)) = by_start.get(next) {
                hold.freed = hold.freed.min(*known);
                hold.over = hold.over.min(*known);
            }
        }
    }
}
