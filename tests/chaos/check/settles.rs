//! Assigns and releases by the codes that they name.

use std::collections::{HashMap, HashSet};

use super::facts::{Facts, NEVER, Seen};
use crate::history::{Call, Micros, Outcome};

/// What can have touched a code, and when.
#[derive(Default)]
pub(crate) struct Settles {
    /// By reservation and code.
    fenced: HashMap<(usize, usize), Vec<Settle>>,
    /// By code.
    unfenced: Vec<Unfenced>,
    /// By code: the assign that surely happened and ended first.
    assigned: Vec<Option<usize>>,
    maybe_assigned: Vec<Micros>,
}

/// A fenced assign or release that names a code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settle {
    pub(crate) call: usize,
    pub(crate) assigns: bool,
    /// The answer names the code as lost: nothing was done to it. None without an answer that tells.
    pub(crate) lost: Option<bool>,
}

#[derive(Clone, Default)]
pub(crate) struct Unfenced {
    pub(crate) assigns: Timeline,
    pub(crate) releases: Timeline,
}

/// Calls in the order of their starts.
#[derive(Clone, Default)]
pub(crate) struct Timeline(Vec<Point>);

#[derive(Clone)]
struct Point {
    start: Micros,
    /// When this one and all before are over.
    all_over: Micros,
    /// The end of its answer, if that says that it happened.
    done: Option<Micros>,
}

impl Timeline {
    fn push(&mut self, call: &Seen<'_>) {
        let all_over = self.0.last().map_or(0, |last| last.all_over).max(call.over);
        let done = matches!(call.outcome, Some(Outcome::Settled { .. })).then_some(call.end);
        self.0.push(Point { start: call.start, all_over, done });
    }

    /// From when on one of them may touch what was not there before `since`.
    pub(crate) fn may_touch(&self, since: Micros) -> Micros {
        let later = self.0.partition_point(|point| point.start < since);
        if later > 0 && self.0[later - 1].all_over >= since {
            return since;
        }
        self.0.get(later).map_or(NEVER, |point| point.start)
    }

    /// When one of them that began at `since` or later has surely happened.
    pub(crate) fn has_touched(&self, since: Micros) -> Micros {
        let later = self.0.partition_point(|point| point.start < since);
        self.0[later..].iter().find_map(|point| point.done).unwrap_or(NEVER)
    }

    pub(crate) fn first_start(&self) -> Micros {
        self.0.first().map_or(NEVER, |point| point.start)
    }

    /// Start and latest effect of each, the latter not before that of the one before.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (Micros, Micros)> {
        self.0.iter().map(|point| (point.start, point.all_over))
    }
}

impl Settles {
    pub(crate) fn gather(facts: &Facts<'_>) -> Settles {
        let codes = facts.documents.len();
        let mut settles = Settles {
            fenced: HashMap::new(),
            unfenced: vec![Unfenced::default(); codes],
            assigned: vec![None; codes],
            maybe_assigned: vec![NEVER; codes],
        };
        for (position, call) in facts.calls.iter().enumerate() {
            let (pool, id, named, assigns) = match call.what {
                Call::Assign { pool, id, codes } => (*pool, id, codes, true),
                Call::Release { pool, id, codes } => (*pool, id, codes, false),
                _ => continue,
            };
            let lost: Option<HashSet<&str>> = match call.outcome {
                Some(Outcome::Settled { lost, .. }) => Some(lost.iter().map(String::as_str).collect()),
                _ => None,
            };
            let reservation = id.as_ref().and_then(|id| facts.reservation(id));
            for text in named {
                let Some(code) = facts.code(pool, text) else { continue };
                let lost = lost.as_ref().map(|lost| lost.contains(text.as_str()));
                match reservation {
                    Some(reservation) => {
                        let settle = Settle { call: position, assigns, lost };
                        settles.fenced.entry((reservation, code)).or_default().push(settle);
                    }
                    None if assigns => settles.unfenced[code].assigns.push(call),
                    None => settles.unfenced[code].releases.push(call),
                }
                if !assigns || lost == Some(true) {
                    continue;
                }
                if facts.documents[code].is_some_and(|document| document.assigned_ms.is_some()) {
                    settles.maybe_assigned[code] = settles.maybe_assigned[code].min(call.start);
                }
                let earlier = settles.assigned[code].map_or(NEVER, |first| facts.calls[first].end);
                if lost == Some(false) && call.end < earlier {
                    settles.assigned[code] = Some(position);
                }
            }
        }
        settles
    }

    /// The fenced calls that name a code of a reservation, by their starts.
    pub(crate) fn fenced(&self, reservation: usize, code: usize) -> &[Settle] {
        self.fenced.get(&(reservation, code)).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub(crate) fn all_fenced(&self) -> impl Iterator<Item = (usize, usize, &[Settle])> {
        self.fenced.iter().map(|((reservation, code), settles)| (*reservation, *code, settles.as_slice()))
    }

    pub(crate) fn unfenced(&self, code: usize) -> &Unfenced {
        &self.unfenced[code]
    }

    /// The assign of the code that surely happened and ended first. Assigned is final: from its end on the
    /// code is assigned.
    pub(crate) fn surely_assigned(&self, code: usize) -> Option<usize> {
        self.assigned[code]
    }

    /// From when on the code may be assigned: when the first assign began that may have happened. A code that
    /// is not assigned in the end has never been.
    pub(crate) fn maybe_assigned(&self, code: usize) -> Micros {
        self.maybe_assigned[code]
    }

    /// Whether an assign without an id may have assigned the code.
    pub(crate) fn maybe_assigned_unfenced(&self, code: usize) -> bool {
        self.unfenced[code].assigns.first_start() != NEVER
    }
}
