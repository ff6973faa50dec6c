//! How many codes of a pool nobody can have held, nor assigned, at any moment of a call.

use super::facts::{Facts, NEVER};
use super::hidden::{Hidden, is_nameless};
use super::holds::shows;
use super::nothing_lost::is_known;
use super::sums::{Point, sums};
use crate::history::{Call, Micros};

/// For each call, how many codes of the pool were free from its start to its end at the least; negative if more
/// may have been held than there are. `hidden` holds what it can at every moment that it may.
///
/// A code is touched if it may be held (see [`super::holds::Hold`]) or assigned at any moment of the call.
pub(crate) fn untouched(facts: &Facts<'_>, pool: usize, hidden: &[Hidden], calls: &[usize]) -> Vec<i64> {
    let mut points = Vec::new();
    let nameless = facts
        .calls
        .iter()
        .any(|call| is_nameless(call) && matches!(call.what, Call::Reserve { pool: of, .. } if *of == pool));
    for code in facts.codes(pool) {
        let mut before: Option<Micros> = None;
        for (start, end) in merged(spans(facts, code, nameless)) {
            points.push(Point { x: start, y: end, weight: 1 });
            if let Some(before) = before.replace(end) {
                // A call that touches this span and the one before touches the code once.
                points.push(Point { x: start, y: before, weight: -1 });
            }
        }
    }
    for hidden in hidden.iter().filter(|hidden| hidden.pool == pool) {
        points.push(Point { x: hidden.from, y: hidden.until, weight: i64::from(hidden.count) });
    }
    let corners: Vec<_> =
        calls.iter().map(|call| (facts.calls[*call].end, facts.calls[*call].start)).collect();
    let size = i64::from(facts.header.pools[pool].size);
    sums(points, &corners).into_iter().map(|touched| size - touched).collect()
}

/// When the code may have been held or assigned.
fn spans(facts: &Facts<'_>, code: usize, nameless: bool) -> Vec<(Micros, Micros)> {
    let holds = facts.holds.of(code);
    let mut spans: Vec<_> = holds.iter().map(|hold| (hold.start, hold.over)).collect();
    let assigned = facts.settles.maybe_assigned(code);
    if assigned < NEVER {
        spans.push((assigned, NEVER));
    }
    if nameless {
        spans.extend(held_by_strangers(facts, code));
    }
    spans
}

/// When an id that nobody knows may have held the code. Its process is dead and nobody can name it; so it holds
/// the code to the end, if it was not released without an id by somebody who did not hold it.
fn held_by_strangers(facts: &Facts<'_>, code: usize) -> Vec<(Micros, Micros)> {
    let releases = facts.settles.unfenced(code).releases.spans();
    let not_held = releases.filter(|(start, _)| facts.holds.certain(code, *start, *start).is_none());
    let mut spans: Vec<_> = not_held.map(|(_, over)| (0, over)).collect();
    if let Some(document) = facts.documents[code]
        && let (Some(reserved), Some(id)) = (document.reserved_ms, document.reserve_id.as_deref())
        && shows(document, id)
        && !is_known(facts, id)
    {
        spans.push((facts.earliest(reserved), NEVER));
    }
    spans
}

/// The same without overlaps, in order.
pub(crate) fn merged(mut spans: Vec<(Micros, Micros)>) -> Vec<(Micros, Micros)> {
    spans.sort_unstable();
    let mut merged: Vec<(Micros, Micros)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}
