//! What the rules are checked against: the calls in order, and what they tell about ids and codes.

use std::collections::HashMap;

use super::Violation;
use super::holds::{self, Hold, Holds};
use super::settles::Settles;
use crate::history::{Call, Document, Header, History, Micros, Outcome, Snapshot, WallMs};

/// A time that does not come.
pub(crate) const NEVER: Micros = Micros::MAX;
/// Nothing that a process or a failed call has sent lands later than this after its end.
const LANDS_WITHIN: Micros = 15_000_000;
/// What a dead attempt under a caller's id has left is back in the pool this long after its end.
pub(crate) const SWEPT_WITHIN: Micros = 60_000_000;
/// How much of a call is printed.
const PRINTED: usize = 240;

/// A call, and what limits its effects.
pub(crate) struct Seen<'a> {
    pub(crate) client: u32,
    pub(crate) old: bool,
    pub(crate) number: u64,
    pub(crate) start: Micros,
    /// When it was answered; without an answer never.
    pub(crate) end: Micros,
    /// From here on it changes nothing any more.
    pub(crate) over: Micros,
    pub(crate) what: &'a Call,
    pub(crate) outcome: Option<&'a Outcome>,
}

/// All that was done under an id. It is granted one set of codes and never another: an id of the core's own is
/// used by one call, and one of a caller has an entry in the ledger, which outlives its codes by a week.
#[derive(Default)]
pub(crate) struct Reservation<'a> {
    pub(crate) id: &'a str,
    /// Unknown if no reserve of it is.
    pub(crate) pool: Option<usize>,
    /// Whether the core or the deployed service made it, and not a caller.
    pub(crate) made: bool,
    /// The reserves that asked for it or were answered with it, and the recovers.
    pub(crate) reserves: Vec<usize>,
    pub(crate) recovers: Vec<usize>,
    /// What reserves and recovers have shown.
    pub(crate) answers: Vec<Answer>,
    /// Its codes, as positions in all holds, in the order of the codes.
    pub(crate) holds: Vec<usize>,
}

/// The codes that a call has shown under an id.
pub(crate) struct Answer {
    pub(crate) call: usize,
    /// In order, as positions in [`Facts::documents`].
    pub(crate) codes: Vec<usize>,
}

/// All of it. Calls, codes, reservations and holds are named by their positions.
pub(crate) struct Facts<'a> {
    pub(crate) header: &'a Header,
    pub(crate) snapshot: &'a Snapshot,
    /// In the order of their starts.
    pub(crate) calls: Vec<Seen<'a>>,
    /// By code, pool after pool.
    pub(crate) documents: Vec<Option<&'a Document>>,
    pub(crate) reservations: Vec<Reservation<'a>>,
    pub(crate) settles: Settles,
    pub(crate) holds: Holds,
    ids: HashMap<&'a str, usize>,
    /// The first code of each pool, and the end.
    firsts: Vec<usize>,
}

impl<'a> Facts<'a> {
    /// Gathers them. What names a code that its pool does not have, or a code twice, is a violation by itself.
    pub(crate) fn gather(
        histories: &'a [History],
        header: &'a Header,
        snapshot: &'a Snapshot,
    ) -> (Facts<'a>, Vec<Violation>) {
        let mut firsts = vec![0];
        for pool in &header.pools {
            firsts.push(firsts[firsts.len() - 1] + pool.size as usize);
        }
        let mut facts = Facts {
            header,
            snapshot,
            calls: calls(histories),
            documents: vec![None; firsts[firsts.len() - 1]],
            reservations: Vec::new(),
            settles: Settles::default(),
            holds: Holds::default(),
            ids: HashMap::new(),
            firsts,
        };
        let mut violations = facts.read_snapshot();
        for call in 0..facts.calls.len() {
            facts.name_ids(call);
        }
        for call in 0..facts.calls.len() {
            violations.extend(facts.read_answer(call));
        }
        facts.settles = Settles::gather(&facts);
        facts.holds = holds::gather(&facts);
        for (position, hold) in facts.holds.all().iter().enumerate() {
            facts.reservations[hold.reservation].holds.push(position);
        }
        (facts, violations)
    }

    /// The code of a pool with this text.
    pub(crate) fn code(&self, pool: usize, text: &str) -> Option<usize> {
        let number = self.header.pools.get(pool)?.number(text)?;
        Some(self.firsts[pool] + number as usize)
    }

    pub(crate) fn codes(&self, pool: usize) -> std::ops::Range<usize> {
        self.firsts[pool]..self.firsts[pool + 1]
    }

    pub(crate) fn pool_of(&self, code: usize) -> usize {
        self.firsts.partition_point(|first| *first <= code) - 1
    }

    pub(crate) fn name(&self, code: usize) -> String {
        let pool = self.pool_of(code);
        u32::try_from(code - self.firsts[pool])
            .map_or_else(|_| code.to_string(), |number| self.header.pools[pool].code(number))
    }

    /// The hold of a reservation on a code.
    pub(crate) fn hold(&self, reservation: usize, code: usize) -> Option<&Hold> {
        let holds = &self.reservations[reservation].holds;
        let found = holds.binary_search_by_key(&code, |hold| self.holds.all()[*hold].code).ok()?;
        Some(&self.holds.all()[holds[found]])
    }

    pub(crate) fn reservation(&self, id: &str) -> Option<usize> {
        self.ids.get(id).copied()
    }

    /// The earliest moment that the server's clock may have called this.
    pub(crate) fn earliest(&self, wall: WallMs) -> Micros {
        let error = WallMs::try_from(self.header.clock_error_ms).unwrap_or(WallMs::MAX);
        let since_zero = wall.saturating_sub(self.header.zero_ms).saturating_sub(error);
        Micros::try_from(since_zero.saturating_mul(1000)).unwrap_or(0)
    }

    /// When a code of the pool that was reserved at this moment at the latest is surely available again.
    pub(crate) fn expired(&self, pool: usize, reserved: Micros) -> Micros {
        let lasts = self.header.pools[pool].ttl_ms.saturating_add(2 * self.header.clock_error_ms);
        reserved.saturating_add(lasts.saturating_mul(1000))
    }

    pub(crate) fn violation(&self, rule: &'static str, what: String, calls: &[usize]) -> Violation {
        Violation { rule, what, calls: calls.iter().map(|call| self.calls[*call].to_string()).collect() }
    }

    fn read_snapshot(&mut self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for document in &self.snapshot.documents {
            let wrong = match self.code(document.pool, &document.code) {
                None => "was never saved",
                Some(code) if self.documents[code].replace(document).is_some() => "is there twice",
                Some(_) if !document.type_ok => "has another type",
                Some(_) => continue,
            };
            let what = format!("{} of pool {} {wrong}", document.code, document.pool);
            violations.push(self.violation("nothing lost", what, &[]));
        }
        violations
    }

    /// Notes what a call does to which id, before anything is looked up by id.
    fn name_ids(&mut self, call: usize) {
        let Seen { what, outcome, .. } = self.calls[call];
        match what {
            Call::Reserve { pool, id, .. } => {
                let told = match outcome {
                    Some(Outcome::Got { id, .. } | Outcome::Unknown { id }) => Some(id),
                    _ => None,
                };
                if let Some(known) = id.as_ref().or(told) {
                    let reservation = self.named(known);
                    reservation.pool.get_or_insert(*pool);
                    reservation.made |= id.is_none();
                    reservation.reserves.push(call);
                }
            }
            Call::Recover { id } => self.named(id).recovers.push(call),
            Call::Assign { id: Some(id), .. } | Call::Release { id: Some(id), .. } => drop(self.named(id)),
            _ => {}
        }
    }

    fn named(&mut self, id: &'a str) -> &mut Reservation<'a> {
        let next = self.reservations.len();
        let position = *self.ids.entry(id).or_insert(next);
        if position == next {
            self.reservations.push(Reservation { id, ..Reservation::default() });
        }
        &mut self.reservations[position]
    }

    /// Notes the codes that a call was answered with.
    fn read_answer(&mut self, call: usize) -> Option<Violation> {
        let Seen { what, outcome, .. } = self.calls[call];
        let (id, shown): (_, Vec<&String>) = match (what, outcome?) {
            (Call::Reserve { .. }, Outcome::Got { id, codes, .. }) => (id, codes.iter().collect()),
            (Call::Recover { id }, Outcome::Held { codes, .. }) => {
                (id, codes.iter().map(|(code, _)| code).collect())
            }
            _ => return None,
        };
        let reservation = self.reservation(id)?;
        let pool = self.reservations[reservation].pool;
        let mut codes: Vec<usize> =
            shown.iter().filter_map(|code| pool.and_then(|pool| self.code(pool, code))).collect();
        codes.sort_unstable();
        codes.dedup();
        let right = codes.len() == shown.len();
        self.reservations[reservation].answers.push(Answer { call, codes });
        let what = || "an answer has a code twice, or one that the pool does not have".to_owned();
        (!right).then(|| self.violation("codes of the pool", what(), &[call]))
    }
}

/// The calls of all histories in the order of their starts.
fn calls(histories: &[History]) -> Vec<Seen<'_>> {
    let mut calls: Vec<Seen<'_>> = Vec::with_capacity(histories.iter().map(|h| h.calls.len()).sum());
    for history in histories {
        let dead = history.gone.map_or(NEVER, |gone| gone.saturating_add(LANDS_WITHIN));
        calls.extend(history.calls.iter().map(|made| {
            let end = made.end.as_ref().map_or(NEVER, |(at, _)| *at);
            let outcome = made.end.as_ref().map(|(_, outcome)| outcome);
            let over = match (&made.what, outcome) {
                (_, None) => dead,
                (Call::Reserve { .. }, Some(Outcome::Failed)) => end.saturating_add(LANDS_WITHIN),
                (Call::Assign { .. } | Call::Release { .. }, Some(Outcome::Unavailable)) => {
                    end.saturating_add(LANDS_WITHIN)
                }
                _ => end,
            };
            let History { client, old, .. } = *history;
            Seen { client, old, number: made.number, start: made.start, end, over, what: &made.what, outcome }
        }));
    }
    calls.sort_by_key(|call| call.start);
    calls
}

impl Seen<'_> {
    /// The call and its answer in three words at the most.
    pub(crate) fn kind(&self) -> String {
        let what = match self.what {
            Call::Reserve { .. } => "reserve",
            Call::Recover { .. } => "recover",
            Call::Assign { .. } => "assign",
            Call::Release { .. } => "release",
            Call::Count { .. } => "count",
            Call::Save { .. } => "save",
        };
        let outcome = self.outcome.map_or_else(|| "killed".to_owned(), ToString::to_string);
        format!("{what} {outcome}")
    }
}

impl std::fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |micros: Micros| micros as f64 / 1e6;
        let mut text = format!("{:?} -> {:?}", self.what, self.outcome);
        if let Some((cut, _)) = text.char_indices().nth(PRINTED) {
            text.replace_range(cut.., "…");
        }
        write!(f, "client {}, call {}, {:.6} s to ", self.client, self.number, seconds(self.start))?;
        match self.outcome {
            Some(_) => write!(f, "{:.6} s: {text}", seconds(self.end)),
            None => write!(f, "its death: {text}"),
        }
    }
}
