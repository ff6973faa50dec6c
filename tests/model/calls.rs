//! What a call of reserve does: steps 1 to 6.

use crate::db::{ELSEWHERE, Id, Reply, Set, Write};
use crate::model::Protocol;
use crate::mutant::Mutant;
use crate::state::{Answer, Batch, Phase, State};
use crate::world::Event;

impl Protocol {
    /// The write command that a call sends next, if the next thing is one.
    pub(crate) fn next_write(&self, state: &State, who: usize) -> Option<Write> {
        let call = &state.calls[who];
        let (token, date) = (call.token, call.date);
        let id = self.ids[who];
        Some(match call.phase {
            Phase::Entering => Write::Enter { token: state.tokens + 1, count: self.counts[who] },
            Phase::TakingOver { from } => Write::TakeOver { from, token: state.tokens + 1, sweep: false },
            Phase::ReleasingOthers => Write::ReleaseOthers { date },
            Phase::Claiming if id == Id::Shared && !self.lease_runs(state, who) => Write::Renew { token },
            Phase::Granting => {
                Write::Grant { token, unset_sweep: !call.followed || self.mutant == Mutant::NoSweep }
            }
            Phase::GivingBackLost | Phase::GivingBackTooFew => Write::GiveBack { id, date },
            Phase::Removing if call.followed => Write::Abandon { token },
            Phase::Removing | Phase::Deleting => Write::Delete { token },
            Phase::Abandoning(Answer::NothingHeld) if self.mutant != Mutant::RecoverStaysOwner => {
                Write::End { token, nobody: state.tokens + 1 }
            }
            Phase::Abandoning(_) => Write::Abandon { token },
            _ => return None,
        })
    }

    /// Whether the call's attempt still has its lease; without it no batch is built (its deadline would
    /// have passed).
    fn lease_runs(&self, state: &State, who: usize) -> bool {
        if matches!(self.mutant, Mutant::NoLedger | Mutant::DeadlineBeyondLease) {
            return true;
        }
        state.owner_has_lease(who)
    }

    /// Whether the call is a recover.
    pub(crate) fn recovers(&self, who: usize) -> bool {
        self.recover && who == 1
    }

    /// The call has the reply to its write command.
    pub(crate) fn replied(&self, state: &mut State, who: usize, reply: Reply) {
        let held_without_entry = state.db.codes_where(|code| code.held(Id::Shared)) != 0;
        let codes_read =
            |date| state.db.codes_where(|code| code.id == Some(Id::Shared) && code.reserved == date);
        let elsewhere = match state.calls[who].phase {
            // There is no entry that knows of any.
            Phase::Looking => state.db.in_use_elsewhere(0),
            _ => state.db.in_use_elsewhere(state.calls[who].date),
        };
        let entry = state.db.entry;
        let horizon = state.clock.horizon;
        let recover = self.recovers(who);
        let count = self.counts[who];
        let call = &mut state.calls[who];
        call.phase = match (call.phase, reply) {
            (Phase::Entering, Reply::Entry(entry)) => {
                (call.token, call.date, call.followed) = (entry.owner, entry.reserved, false);
                // An attempt that begins now.
                call.ended = false;
                Phase::Checking
            }
            (Phase::Entering, _) => Phase::Watching,
            (Phase::Watching, _) => match entry {
                Some(entry) if entry.count != count => Phase::Done(Answer::ReservationMismatch),
                Some(entry) if entry.granted => Phase::Replaying { reserved: entry.reserved },
                Some(entry) => {
                    if call.found == 0 {
                        call.found = entry.owner;
                    }
                    let may_take_over = match self.mutant {
                        Mutant::TakesOverWhatCameLater => !call.lost,
                        Mutant::StartsOver => true,
                        _ => !call.lost && call.found == entry.owner,
                    };
                    match (entry.lease_over, may_take_over) {
                        // Waits (step 5).
                        (false, _) => Phase::Watching,
                        (true, true) => Phase::TakingOver { from: entry.owner },
                        (true, false) => Phase::Done(Answer::Error),
                    }
                }
                None if call.lost && self.mutant != Mutant::StartsOver => Phase::Done(Answer::Error),
                None => {
                    call.found = 0;
                    Phase::Entering
                }
            },
            (Phase::Checking, _) if call.followed => match elsewhere {
                0 => Phase::ReleasingOthers,
                _ => Phase::Removing,
            },
            (Phase::Checking, _) if held_without_entry => Phase::Removing,
            (Phase::Checking, _) => Phase::Claiming,
            (Phase::Removing, Reply::Nothing) if self.mutant != Mutant::MismatchWithoutOwner => {
                call.lost = true;
                Phase::Watching
            }
            (Phase::Removing, _) => Phase::Done(Answer::ReservationMismatch),
            (Phase::Looking, _) => match entry {
                Some(entry) if entry.granted => Phase::Replaying { reserved: entry.reserved },
                Some(entry) => Phase::TakingOver { from: entry.owner },
                None => Phase::Done(self.held_or_nothing(elsewhere)),
            },
            (Phase::Replaying { reserved }, _) => {
                let codes = codes_read(Some(reserved));
                let answer = match reserved <= horizon || codes == 0 {
                    true => Answer::ReservationExpired,
                    false => Answer::Ok { codes, reserved },
                };
                Phase::Done(answer)
            }
            (Phase::TakingOver { .. }, Reply::Entry(entry)) => {
                (call.token, call.date, call.followed) = (entry.owner, entry.reserved, true);
                match recover || self.mutant == Mutant::TakesOverUnchecked {
                    true => Phase::ReleasingOthers,
                    false => Phase::Checking,
                }
            }
            (Phase::TakingOver { .. }, _) if recover => Phase::Looking,
            (Phase::TakingOver { .. }, _) => Phase::Watching,
            (Phase::ReleasingOthers, _) if recover => Phase::Abandoning(Answer::NothingHeld),
            (Phase::ReleasingOthers, _) => {
                // With the date of the attempt before, its codes count as this one's.
                if self.mutant == Mutant::TakeOverKeepsDate {
                    call.won = codes_read(Some(call.date));
                }
                Phase::Claiming
            }
            (Phase::Claiming, Reply::Entry(_)) => Phase::Claiming,
            (Phase::Granting, Reply::Entry(_)) => {
                Phase::Done(Answer::Ok { codes: call.won, reserved: call.date })
            }
            (Phase::Granting, _) if self.mutant == Mutant::NoGrant => {
                Phase::Done(Answer::Ok { codes: call.won, reserved: call.date })
            }
            (Phase::Claiming | Phase::Granting, _) => Phase::GivingBackLost,
            (Phase::GivingBackLost, _) => {
                (call.won, call.lost) = (0, true);
                Phase::Watching
            }
            (Phase::GivingBackTooFew, _) if self.ids[who] == Id::Own || self.mutant == Mutant::NoLedger => {
                Phase::Done(Answer::NotEnoughCodes)
            }
            (Phase::GivingBackTooFew, _) => self.remove_entry(call.followed),
            (Phase::Deleting, _) => Phase::Done(Answer::NotEnoughCodes),
            // Another took over, and may have been granted: look again.
            (Phase::Abandoning(Answer::NothingHeld), Reply::Nothing) => Phase::Looking,
            (Phase::Abandoning(Answer::NothingHeld), _) => Phase::Done(self.held_or_nothing(elsewhere)),
            (Phase::Abandoning(answer), _) => Phase::Done(answer),
            (phase, _) => phase,
        };
        if call.phase == Phase::Done(Answer::NothingHeld) {
            state.told_nothing();
        }
        let call = &mut state.calls[who];
        // One step more for whoever was brought here by what it won before.
        if call.phase == Phase::Claiming && call.won.count_ones() >= u32::from(count) {
            call.phase = self.all_won(who, call.won, call.date);
        }
    }

    /// What a recover answers that finds no attempt, or has ended it: codes may be held under the id all the same.
    fn held_or_nothing(&self, elsewhere: Set) -> Answer {
        match elsewhere {
            0 => Answer::NothingHeld,
            _ if self.mutant == Mutant::RecoverForgetsOthers => Answer::NothingHeld,
            codes => Answer::Ok { codes, reserved: ELSEWHERE },
        }
    }

    /// Too few codes: the entry goes, but one that was taken over is left to the sweep, because writes of
    /// the attempts before may still land.
    fn remove_entry(&self, followed: bool) -> Phase {
        match followed && self.mutant != Mutant::DeletesAfterTakeOver {
            true => Phase::Abandoning(Answer::NotEnoughCodes),
            false => Phase::Deleting,
        }
    }

    /// The call has what it wants.
    fn all_won(&self, who: usize, codes: Set, reserved: u8) -> Phase {
        match self.ids[who] == Id::Shared && self.mutant != Mutant::NoLedger {
            true => Phase::Granting,
            false => Phase::Done(Answer::Ok { codes, reserved }),
        }
    }

    /// What a call can do next that is no write command of its own.
    pub(crate) fn call_events(&self, state: &State, who: usize, events: &mut Vec<Event>) {
        let call = &state.calls[who];
        let is_at_work = state.db.entry.is_some_and(|entry| !entry.granted && !entry.lease_over);
        match call.phase {
            // Waits (step 5), once it knows for whom.
            Phase::Looking if is_at_work => {}
            Phase::Watching if is_at_work && call.found != 0 => {}
            Phase::Looking | Phase::Watching | Phase::Checking | Phase::Replaying { .. } => {
                events.push(Event::Read(who))
            }
            Phase::Claiming if self.ids[who] == Id::Own || self.lease_runs(state, who) => {
                self.claims(state, who, events);
            }
            Phase::ReadingBack => events.push(Event::ReadBack(who)),
            Phase::Unknown => events.push(Event::ReadBack(who)),
            Phase::UnknownAgain if call.batch.over || self.mutant == Mutant::NoWaitForLimit => {
                events.push(Event::ReadBack(who));
                events.push(Event::GiveUp(who));
            }
            _ => {}
        }
        if matches!(call.phase, Phase::ReadingBack | Phase::Unknown) && self.mutant == Mutant::StaleReadBack {
            events.push(Event::ReadBackStale(who));
        }
    }

    /// The batches that a call can build.
    fn claims(&self, state: &State, who: usize, events: &mut Vec<Event>) {
        let call = &state.calls[who];
        let mine = call.won;
        let available = (0..crate::db::CODES).filter(|&code| state.db.available(code, state.clock));
        let available: Set = available.fold(0, |set, code| set | 1 << code) & !mine;
        // A process with a wrong clock may take any code for available.
        let seen = match self.wrong_clock {
            true => state.db.codes_where(|code| code.assigned.is_none()) & !mine,
            false => available,
        };
        let wanted = u32::from(self.counts[who]) - mine.count_ones();
        let size = wanted.min(seen.count_ones());
        if available == 0 {
            events.push(Event::NoneLeft(who));
        }
        let picks =
            (1..1 << crate::db::CODES).filter(|pick: &Set| pick & !seen == 0 && pick.count_ones() == size);
        events.extend(picks.map(|codes| Event::Claim { who, codes }));
    }

    /// Sends a batch.
    pub(crate) fn claim(&self, state: &mut State, who: usize, codes: Set) {
        let now = state.clock.now;
        let outlives_sweep = self.ids[who] == Id::Shared && !state.owner_has_lease(who);
        let call = &mut state.calls[who];
        if call.won == 0 && (self.ids[who] == Id::Own || self.mutant == Mutant::NoLedger) {
            call.date = now;
            // Only says that the call has begun.
            call.token = 1;
        }
        call.phase = Phase::Waiting;
        call.batch = Batch { sent: codes, pending: codes, outlives_sweep, ..Batch::default() };
    }

    /// A pass over all codes found none.
    pub(crate) fn none_left(&self, state: &mut State, who: usize) {
        let call = &mut state.calls[who];
        call.phase = match (self.ids[who], call.won) {
            (_, 1..) => Phase::GivingBackTooFew,
            (Id::Shared, 0) if self.mutant != Mutant::NoLedger => self.remove_entry(call.followed),
            _ => Phase::Done(Answer::NotEnoughCodes),
        };
    }

    /// The reply to the batch arrives: all of it has been decided.
    pub(crate) fn batch_replied(&self, state: &mut State, who: usize) {
        let call = &mut state.calls[who];
        match call.batch.landed == call.batch.sent {
            true => self.won(state, who, state.calls[who].batch.sent),
            false => call.phase = Phase::ReadingBack,
        }
    }

    /// A read by code that sees `codes` carry (id, date).
    pub(crate) fn read_back(&self, state: &mut State, who: usize, codes: Set) {
        let call = &mut state.calls[who];
        let batch = call.batch;
        let won = codes & batch.sent;
        match call.phase == Phase::Unknown && won != batch.sent && self.mutant != Mutant::StaleReadBack {
            true => call.phase = Phase::UnknownAgain,
            false => self.won(state, who, won),
        }
    }

    /// The batch is settled: the call has won these codes of it.
    pub(crate) fn won(&self, state: &mut State, who: usize, codes: Set) {
        let call = &mut state.calls[who];
        call.won |= codes;
        // In the protocol nothing is pending here. In a mutant something may be, and stays so.
        call.batch = Batch { pending: call.batch.pending, over: call.batch.over, ..Batch::default() };
        if call.batch.pending == 0 {
            call.batch.over = false;
        }
        call.phase = match call.won.count_ones() >= u32::from(self.counts[who]) {
            true => self.all_won(who, call.won, call.date),
            false => Phase::Claiming,
        };
    }

    /// The codes of the batch that carry the call's id and date.
    pub(crate) fn carries(&self, state: &State, who: usize) -> Set {
        let call = &state.calls[who];
        let carries =
            state.db.codes_where(|code| code.id == Some(self.ids[who]) && code.reserved == Some(call.date));
        carries & call.batch.sent
    }

    /// No primary answered until the time limit had passed.
    pub(crate) fn give_up(&self, state: &mut State, who: usize) {
        let call = &mut state.calls[who];
        call.phase = match self.ids[who] == Id::Shared && self.mutant != Mutant::NoLedger {
            true => Phase::Abandoning(Answer::OutcomeUnknown),
            false => Phase::Done(Answer::OutcomeUnknown),
        };
    }

    /// The call's write command got no reply: it may have been executed, or may still be.
    pub(crate) fn no_reply(&self, state: &mut State, who: usize) {
        let write = self.next_write(state, who);
        if let Some(Write::Enter { token, .. } | Write::TakeOver { token, .. }) = write {
            state.tokens = token;
            state.calls[who].token = token;
        }
        if let Some(Write::End { nobody, .. }) = write {
            state.tokens = nobody;
        }
        let call = &mut state.calls[who];
        call.phase = match call.phase {
            Phase::Abandoning(Answer::NothingHeld) => Phase::Done(Answer::Error),
            Phase::Abandoning(answer) => Phase::Done(answer),
            _ if self.ids[who] == Id::Own => Phase::Done(Answer::OutcomeUnknown),
            _ => Phase::Abandoning(Answer::Error),
        };
        state.late.extend(write);
        state.late.sort_unstable();
    }
}
