//! Codes that a reserve may hold without anybody knowing which.

use std::collections::HashSet;

use super::facts::{Facts, NEVER, SWEPT_WITHIN, Seen};
use crate::history::{Call, Micros, Outcome};

/// A reserve that may hold up to so many codes which no answer names.
pub(crate) struct Hidden {
    pub(crate) call: usize,
    pub(crate) pool: usize,
    pub(crate) from: Micros,
    pub(crate) until: Micros,
    pub(crate) count: u32,
}

/// Whether the reserve has made an id that nobody was told.
pub(crate) fn is_nameless(call: &Seen<'_>) -> bool {
    matches!(call.what, Call::Reserve { id: None, .. })
        && matches!(call.outcome, None | Some(Outcome::Failed))
}

pub(crate) fn gather(facts: &Facts<'_>) -> Vec<Hidden> {
    let ledger = facts.snapshot.ledger.iter();
    let granted = ledger.filter(|entry| entry.granted).map(|entry| entry.id.as_str()).collect();
    (0..facts.calls.len()).filter_map(|call| hidden(facts, &granted, call)).collect()
}

fn hidden(facts: &Facts<'_>, granted: &HashSet<&str>, position: usize) -> Option<Hidden> {
    let call = &facts.calls[position];
    let Call::Reserve { pool, count, partial, id } = call.what else { return None };
    let expired = facts.expired(*pool, call.over);
    let (until, count) = match (id, call.outcome) {
        // It keeps what it takes.
        (None, Some(Outcome::Got { .. })) if *partial || *count == 1 => return None,
        // It may have given back what was too little, and begun again.
        (None, Some(Outcome::Got { .. } | Outcome::Short { .. })) => (call.end, count - 1),
        (None, Some(Outcome::Unknown { id })) => (resolved(facts, position, id).min(expired), *count),
        // It may have taken codes until it was over. Then those that it kept are held in the end under its id:
        // they are not hidden, see `untouched`. Unless they may expire before.
        (None, None | Some(Outcome::Failed)) => {
            (if may_expire(facts, *pool, call.start) { expired } else { call.over }, *count)
        }
        (None, Some(_)) => (call.end, *count),
        // What an attempt under a caller's id leaves behind is given back some time later, by anybody.
        (Some(id), None | Some(Outcome::Unknown { .. } | Outcome::Unavailable | Outcome::Failed)) => {
            let stays = granted.contains(id.as_str()) && is_unseen(facts, id);
            let swept = if stays { NEVER } else { call.over.saturating_add(SWEPT_WITHIN) };
            (resolved(facts, position, id).min(expired).min(swept), *count)
        }
        (Some(_), Some(_)) => (call.end, *count),
    };
    Some(Hidden { call: position, pool: *pool, from: call.start, until, count })
}

/// Whether what was reserved at this moment at the earliest may have expired in the end.
fn may_expire(facts: &Facts<'_>, pool: usize, reserved: Micros) -> bool {
    let header = facts.header;
    let lasts = header.pools[pool].ttl_ms.saturating_sub(2 * header.clock_error_ms).saturating_mul(1000);
    reserved.saturating_add(lasts) <= facts.snapshot.at
}

/// Whether nobody was shown codes under the id. If they were granted all the same, the caller was killed before the
/// answer, and they stay held: the caller can ask for them again.
fn is_unseen(facts: &Facts<'_>, id: &str) -> bool {
    facts.reservation(id).is_none_or(|position| facts.reservations[position].answers.is_empty())
}

/// The end of a recover that has told all that a reserve may hold: nothing; or codes, which are all of them if
/// no other reserve could have been granted the id.
fn resolved(facts: &Facts<'_>, reserve: usize, id: &str) -> Micros {
    let Some(reservation) = facts.reservation(id).map(|position| &facts.reservations[position]) else {
        return NEVER;
    };
    let tells = |recover: &&Seen<'_>| match recover.outcome {
        Some(Outcome::Nothing) => true,
        Some(Outcome::Held { .. }) => reservation.reserves.len() == 1,
        _ => false,
    };
    let recovers = reservation.recovers.iter().map(|call| &facts.calls[*call]);
    let later = recovers.filter(|recover| recover.start >= facts.calls[reserve].over);
    later.filter(tells).map(|recover| recover.end).min().unwrap_or(NEVER)
}
