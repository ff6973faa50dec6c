//! What must always hold, and what must be possible.

use stateright::{Model, Property};

use crate::db::{CODES, Code, Date, ELSEWHERE, Id, Set, each};
use crate::model::Protocol;
use crate::state::{Answer, Budget, Call, OldClient, Phase, State, index};
use crate::world::happened;

pub(crate) const ONE_HOLDER: &str = "a code has one live holder";
pub(crate) const RETURNED_IS_HELD: &str = "what was returned is held";
pub(crate) const ASSIGNED_IS_FINAL: &str = "assigned is final";
pub(crate) const ONE_SET: &str = "one set for an id";
pub(crate) const NEVER_MORE: &str = "never more than asked for";
pub(crate) const NOTHING_LOST: &str = "nothing is lost";
pub(crate) const MISMATCH: &str = "a mismatch is said only of one";
pub(crate) const GOES_ON: &str = "the work can go on without another mishap";
pub(crate) const FINAL: &str = "whoever was told that nothing is held was told the truth";
pub(crate) const NOT_BESIDE: &str =
    "an id that is in use elsewhere gets no set, and is not said to hold nothing";
pub(crate) const FENCED: &str = "a fenced change touches nothing of others";

/// The properties that the protocol has in every state.
pub(crate) fn invariants() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_HOLDER, one_holder),
        Property::always(RETURNED_IS_HELD, returned_is_held),
        Property::always(ASSIGNED_IS_FINAL, |_, state| (0..CODES).all(|code| assigned_is_final(state, code))),
        Property::always(ONE_SET, one_set),
        Property::always(NEVER_MORE, never_more),
        Property::always(NOTHING_LOST, |_, state| {
            !at_rest(state) || (0..CODES).all(|code| accounted(state, code))
        }),
        Property::always(FINAL, |_, state| !was_granted_after_all(state)),
        Property::always(NOT_BESIDE, |model, state| !in_use_is_overlooked(model, state)),
        Property::always(MISMATCH, |model, state| !unfounded_mismatch(model, state)),
        Property::always(GOES_ON, |model: &Protocol, state| {
            !model.progress || at_rest(state) || goes_on(model, state)
        }),
        Property::always(FENCED, |_, state: &State| state.record.foreign == 0),
    ]
}

/// Who was told that the code is theirs for good still has it.
fn assigned_is_final(state: &State, code: usize) -> bool {
    let document = state.db.codes[code];
    state.record.assigned[code].is_none_or(|id| (document.assigned, document.id) == (Some(id), Some(id)))
}

/// What each holder was answered, has not given up, and has not expired.
fn live(model: &Protocol, state: &State) -> impl Iterator<Item = (Id, Set, Date)> {
    let calls = state.calls.iter().zip(model.ids).filter_map(|(call, id)| match call.phase {
        Phase::Done(Answer::Ok { codes, reserved }) => {
            Some((id, codes & !state.record.given_up[index(id)], reserved))
        }
        _ => None,
    });
    let old = match state.old {
        OldClient::Holds { code, reserved } => Some((Id::Old, 1 << code, reserved)),
        _ => None,
    };
    calls.chain(old).filter(|(_, _, reserved)| *reserved > state.clock.horizon)
}

/// No code is in the answers of two callers.
fn one_holder(model: &Protocol, state: &State) -> bool {
    let shared = |a: Id, codes: Set| live(model, state).any(|(b, others, _)| a != b && codes & others != 0);
    !live(model, state).any(|(id, codes, _)| shared(id, codes))
}

/// The database agrees with what holders were told.
fn returned_is_held(model: &Protocol, state: &State) -> bool {
    live(model, state).all(|(id, codes, reserved)| {
        each(codes)
            .map(|code| state.db.codes[code])
            .all(|code| (code.id, code.reserved) == (Some(id), Some(reserved)))
    })
}

/// All that were answered codes under the id were answered the same ones.
fn one_set(model: &Protocol, state: &State) -> bool {
    let mut answers = state.calls.iter().zip(model.ids).filter_map(|(call, id)| match call.phase {
        Phase::Done(answer @ Answer::Ok { .. }) if id == Id::Shared => Some(answer),
        _ => None,
    });
    let first = answers.next();
    state.record.given_up[0] != 0 || answers.all(|answer| Some(answer) == first)
}

/// Neither an answer nor, in the end, the database has more codes than the caller asked for.
fn never_more(model: &Protocol, state: &State) -> bool {
    let answers = state.calls.iter().zip(model.counts).all(|(call, count)| match call.phase {
        Phase::Done(Answer::Ok { codes, .. }) => codes.count_ones() <= u32::from(count),
        _ => true,
    });
    let carried = |id: Id| {
        let live = |reserved: Option<Date>| reserved > Some(state.clock.horizon);
        state.db.codes_where(|code| code.id == Some(id) && live(code.reserved)).count_ones()
    };
    let most = shared_counts(model).max().unwrap_or(0);
    answers && (!at_rest(state) || carried(Id::Shared) <= u32::from(most))
}

/// What the calls with the shared id want.
fn shared_counts(model: &Protocol) -> impl Iterator<Item = u8> {
    model
        .ids
        .into_iter()
        .zip(model.counts)
        .filter(|&(id, count)| id == Id::Shared && count > 0)
        .map(|(_, count)| count)
}

/// An attempt that was at work when somebody was told that nothing is held has been granted codes since.
fn was_granted_after_all(state: &State) -> bool {
    let granted = state.db.entry.filter(|entry| entry.granted);
    granted.is_some_and(|entry| state.calls.iter().any(|call| call.ended && call.token == entry.owner))
}

/// Somebody else holds a code under the shared id, and a call answers as if there was none.
fn in_use_is_overlooked(model: &Protocol, state: &State) -> bool {
    let is_live = |code: &Code| code.held(Id::Shared) && code.reserved == Some(ELSEWHERE);
    let overlooks = |(call, id): (&Call, Id)| {
        id == Id::Shared
            && match call.phase {
                Phase::Done(Answer::Ok { reserved, .. }) => reserved != ELSEWHERE,
                Phase::Done(Answer::NothingHeld) => true,
                _ => false,
            }
    };
    state.clock.horizon < ELSEWHERE
        && state.db.codes_where(is_live) != 0
        && state.calls.iter().zip(model.ids).any(overlooks)
}

/// All calls want the same, and nobody else uses the id.
fn unfounded_mismatch(model: &Protocol, state: &State) -> bool {
    let mismatch = |call: &Call| call.phase == Phase::Done(Answer::ReservationMismatch);
    !model.in_use
        && shared_counts(model).min() == shared_counts(model).max()
        && state.calls.iter().any(mismatch)
}

/// Something can happen that is no mishap.
fn goes_on(model: &Protocol, state: &State) -> bool {
    let none = Budget { crashes: 0, losses: 0, failovers: 0, slow: 0, expiries: 0 };
    let mut events = Vec::new();
    model.actions(&State { budget: none, ..state.clone() }, &mut events);
    !events.is_empty()
}

/// Nobody works, nothing is under way, nothing is left to sweep.
fn at_rest(state: &State) -> bool {
    let swept = state.db.entry.is_none_or(|entry| entry.granted && !entry.sweep);
    swept
        && state.late.is_empty()
        && state.asked.is_empty()
        && state.sweeper == crate::state::Sweeper::Idle
        && !matches!(state.old, OldClient::Found(_))
        && state.calls.iter().all(|call| call.at_rest() && call.batch.pending == 0)
}

/// A code is available, assigned, or held by somebody who knows of it, or whose process died.
fn accounted(state: &State, code: usize) -> bool {
    let document = state.db.codes[code];
    if state.db.available(code, state.clock) || document.assigned.is_some() {
        return true;
    }
    match document.id {
        Some(Id::Shared) if document.reserved == Some(ELSEWHERE) => true,
        Some(Id::Shared) => state.db.entry.is_some_and(|entry| Some(entry.reserved) == document.reserved),
        Some(Id::Own) => match state.calls[2].phase {
            Phase::Done(Answer::Ok { codes, .. }) => codes & (1 << code) != 0,
            Phase::Done(answer) => answer == Answer::OutcomeUnknown,
            phase => phase == Phase::Crashed,
        },
        Some(Id::Old) => matches!(state.old, OldClient::Holds { code: held, .. } if held == code),
        None => false,
    }
}

/// What must be possible, so that the invariants say something.
pub(crate) fn witnesses() -> Vec<Property<Protocol>> {
    fn answered(state: &State, who: usize) -> Option<Answer> {
        match state.calls[who].phase {
            Phase::Done(answer) => Some(answer),
            _ => None,
        }
    }
    fn ok(state: &State, who: usize) -> bool {
        matches!(answered(state, who), Some(Answer::Ok { .. }))
    }
    fn noted(state: &State, what: u16) -> bool {
        state.record.happened & what != 0
    }
    vec![
        Property::sometimes("both calls with one id have the same codes", |_, state| {
            ok(state, 0) && answered(state, 0) == answered(state, 1)
        }),
        Property::sometimes("all three calls are answered codes", |_, state| {
            (0..3).all(|who| ok(state, who))
        }),
        Property::sometimes("a take-over is granted", |_, state| ok(state, 0) && state.calls[0].followed),
        Property::sometimes(
            "a process dies between its claim and its grant",
            |model: &Protocol, state: &State| {
                let call = state.calls[0];
                let owns = state.db.entry.is_some_and(|entry| entry.owner == call.token && !entry.granted);
                owns && call.phase == Phase::Crashed && call.won.count_ones() == u32::from(model.counts[0])
            },
        ),
        Property::sometimes("a late write lands", |_, state| noted(state, happened::LANDED_LATE)),
        Property::sometimes("a command is left half done", |_, state| noted(state, happened::HALF_DONE)),
        Property::sometimes("the guard refuses", |_, state| noted(state, happened::REFUSED)),
        Property::sometimes("a lost reply is found to have won all", |_, state| {
            noted(state, happened::LOST_REPLY_WON)
        }),
        Property::sometimes("a write is rolled back", |_, state| noted(state, happened::ROLLED_BACK)),
        Property::sometimes("surplus is swept", |_, state| noted(state, happened::SURPLUS_SWEPT)),
        Property::sometimes("an entry is swept away", |_, state| noted(state, happened::ENTRY_SWEPT)),
        Property::sometimes("an attempt loses its entry", |_, state| noted(state, happened::LOST_ENTRY)),
        Property::sometimes("a fence holds off a late release", |_, state| {
            noted(state, happened::FENCED_OFF)
        }),
        Property::sometimes("a code with a stale id is claimed", |_, state| {
            noted(state, happened::STALE_ID_CLAIMED)
        }),
        Property::sometimes("a code is assigned", |_, state: &State| {
            state.record.assigned.iter().any(Option::is_some)
        }),
        Property::sometimes("too few codes", |_, state| answered(state, 0) == Some(Answer::NotEnoughCodes)),
        Property::sometimes("a reservation has expired", |_, state| {
            answered(state, 1) == Some(Answer::ReservationExpired)
        }),
        Property::sometimes("a mismatch", |_, state| {
            (0..2).any(|who| answered(state, who) == Some(Answer::ReservationMismatch))
        }),
        Property::sometimes("an outcome is unknown", |_, state| {
            answered(state, 0) == Some(Answer::OutcomeUnknown)
        }),
    ]
}
