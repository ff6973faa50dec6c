//! What surrounds the calls: the network, the server, time, crashes, and the holders of the codes.

use crate::db::{CODES, Reply, Set, Write, each};
use crate::model::Protocol;
use crate::mutant::Mutant;
use crate::state::{Answer, Batch, OldClient, Phase, State, index};

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A call's next write command is executed and acknowledged.
    Write(usize),
    /// The reply to a call's next write command never comes; the command may land later, or never.
    NoReply(usize),
    /// A call reads codes, linearizable.
    Read(usize),
    /// A call sends a batch.
    Claim { who: usize, codes: Set },
    /// The server decides one code of a batch.
    Land { who: usize, code: usize },
    /// The batch's acknowledgement arrives.
    BatchReply(usize),
    /// The batch's reply is lost, before or after any part of it has landed.
    LoseReply(usize),
    /// deadline + RUN_WITHIN of the batch passes.
    LimitPasses(usize),
    /// A call reads by code what it has won.
    ReadBack(usize),
    /// The same, and sees nothing of it.
    ReadBackStale(usize),
    /// No primary answers the read.
    GiveUp(usize),
    /// A pass over all codes has found none.
    NoneLeft(usize),
    /// A process ends: 0 has the first call, 1 the others.
    Crash(usize),
    /// The lease of the entry's owner runs out.
    LeaseOver,
    /// All that is reserved expires.
    Expire,
    /// The primary changes.
    FailOver,
    /// A command whose sender no longer waits is executed.
    LandLate(usize),
    /// It never is.
    DropLate(usize),
    /// A holder asks for an assign or a release of what it was answered.
    Ask { who: usize, write: Write },
    /// It is executed and acknowledged.
    AskLands(usize),
    /// It is lost.
    AskIsLost(usize),
    /// Step 7, see `sweep.rs`.
    Sweep,
    /// The sweeper's command has no reply: like `NoReply`.
    SweepNoReply,
    /// The process that sweeps ends.
    SweepCrash,
    /// The old service finds an available code.
    OldFind(usize),
    /// Its guarded update, and its read by id.
    OldUpdate,
    /// It releases: `reserveId` stays.
    OldRelease,
}

/// Notes for `Record::happened`.
pub(crate) mod happened {
    pub(crate) const REFUSED: u16 = 1;
    pub(crate) const LANDED_LATE: u16 = 1 << 1;
    pub(crate) const SURPLUS_SWEPT: u16 = 1 << 2;
    pub(crate) const ENTRY_SWEPT: u16 = 1 << 3;
    pub(crate) const ROLLED_BACK: u16 = 1 << 4;
    pub(crate) const HALF_DONE: u16 = 1 << 5;
    pub(crate) const LOST_REPLY_WON: u16 = 1 << 6;
    pub(crate) const STALE_ID_CLAIMED: u16 = 1 << 7;
    pub(crate) const LOST_ENTRY: u16 = 1 << 8;
    pub(crate) const FENCED_OFF: u16 = 1 << 9;
}

impl Protocol {
    /// Notes that something happened, if this model is asked what can.
    pub(crate) fn note(&self, state: &mut State, what: u16) {
        if self.witness {
            state.record.happened |= what;
        }
    }

    /// The server executes a command. Only an acknowledged one is safe from a rollback, and with it, as the
    /// log has an order, all before it.
    pub(crate) fn run(&self, state: &mut State, write: Write, acknowledged: bool) -> Reply {
        let before = state.db;
        if let Write::TakeOver { from, sweep, .. } = write {
            let due = match sweep {
                true => self.sweep_due(state) || self.mutant == Mutant::SweepsWhatWasDue,
                false => state.db.entry.is_some_and(|entry| entry.lease_over),
            };
            if !due && !sweep && self.mutant == Mutant::TakeOverWithoutLease {
                // The attempt may have renewed its lease: later than the sweep that follows this grant.
                for call in state.calls.iter_mut().filter(|call| call.token == from) {
                    call.batch.outlives_sweep = true;
                }
            } else if !due {
                return Reply::Nothing;
            }
        }
        let reply = state.db.execute(write, &mut state.clock, &mut state.record.foreign, self.mutant);
        self.settled(state, before, acknowledged);
        reply
    }

    /// After a change: what a failover could take back.
    pub(crate) fn settled(&self, state: &mut State, before: crate::db::Db, acknowledged: bool) {
        if acknowledged && self.mutant != Mutant::PrimaryAlone {
            state.durable = None;
        } else if state.db != before && state.budget.failovers > 0 {
            state.durable.get_or_insert(before);
        }
    }

    /// The server decides one code of a batch: the guard.
    pub(crate) fn land(&self, state: &mut State, who: usize, code: usize) {
        let before = state.db;
        let available = match self.mutant {
            Mutant::NoGuard => true,
            Mutant::PodClock => state.db.codes[code].assigned.is_none(),
            _ => state.db.available(code, state.clock),
        };
        let stale = state.db.codes[code].reserved.is_none() && state.db.codes[code].id.is_some();
        let call = &mut state.calls[who];
        call.batch.pending &= !(1 << code);
        let late = call.phase != Phase::Waiting;
        if available {
            call.batch.landed |= 1 << code;
            state.db.codes[code].id = Some(self.ids[who]);
            state.db.codes[code].reserved = Some(call.date);
            self.settled(state, before, false);
        }
        self.note(state, if available { 0 } else { happened::REFUSED });
        self.note(state, if available && late { happened::LANDED_LATE } else { 0 });
        self.note(state, if available && stale { happened::STALE_ID_CLAIMED } else { 0 });
    }

    /// What the network, the server and time can do to a call.
    pub(crate) fn call_suffers(&self, state: &State, who: usize, events: &mut Vec<Event>) {
        let call = &state.calls[who];
        let Batch { pending, over, .. } = call.batch;
        events.extend(each(pending).map(|code| Event::Land { who, code }));
        match call.phase {
            Phase::Waiting if pending == 0 => events.push(Event::BatchReply(who)),
            Phase::Waiting => {}
            Phase::Unknown | Phase::UnknownAgain if !over => events.push(Event::LimitPasses(who)),
            _ if pending != 0 && !over => events.push(Event::LimitPasses(who)),
            _ => {}
        }
        if state.budget.losses > 0 {
            if call.phase == Phase::Waiting {
                events.push(Event::LoseReply(who));
            }
            if self.next_write(state, who).is_some() {
                events.push(Event::NoReply(who));
            }
        }
    }

    /// What happens to all.
    pub(crate) fn world_events(&self, state: &State, events: &mut Vec<Event>) {
        let calls = &state.calls;
        let works = |process: &[usize]| process.iter().any(|&who| !calls[who].at_rest());
        if state.budget.crashes > 0 {
            let processes = [&[0_usize] as &[usize], &[1, 2]];
            events.extend((0..2).filter(|&process| works(processes[process])).map(Event::Crash));
        }
        if state.db.entry.is_some_and(|entry| !entry.granted && !entry.lease_over) {
            let ends = !self.owner_works(state) && self.mutant != Mutant::LeaseWithoutEnd;
            if ends || state.budget.slow > 0 {
                events.push(Event::LeaseOver);
            }
        }
        // A ttl is much longer than a time limit and a lease.
        let reserved =
            state.db.codes_where(|code| code.reserved.is_some_and(|date| date > state.clock.horizon));
        if state.budget.expiries > 0 && reserved != 0 && calls.iter().all(|call| call.batch.pending == 0) {
            events.push(Event::Expire);
        }
        if state.budget.failovers > 0 && state.durable.is_some() {
            events.push(Event::FailOver);
        }
        let once = |list: &[Write], index: usize| index == 0 || list[index] != list[index - 1];
        for index in (0..state.late.len()).filter(|&index| once(&state.late, index)) {
            events.extend([Event::LandLate(index), Event::DropLate(index)]);
        }
        for index in (0..state.asked.len()).filter(|&index| once(&state.asked, index)) {
            events.extend([Event::AskLands(index), Event::AskIsLost(index)]);
        }
        match state.old {
            OldClient::Idle if self.old_service => events
                .extend((0..CODES).filter(|&code| self.old_sees_available(state, code)).map(Event::OldFind)),
            OldClient::Found(_) => events.push(Event::OldUpdate),
            OldClient::Holds { reserved, .. } if reserved > state.clock.horizon => {
                events.push(Event::OldRelease)
            }
            _ => {}
        }
    }

    pub(crate) fn old_sees_available(&self, state: &State, code: usize) -> bool {
        match self.mutant {
            Mutant::OldServiceClock => state.db.codes[code].assigned.is_none(),
            _ => state.db.available(code, state.clock),
        }
    }

    /// What a holder may ask for after its answer, once: to assign one of its codes or to release all.
    pub(crate) fn holder_events(&self, state: &State, who: usize, events: &mut Vec<Event>) {
        if let Phase::Done(Answer::Ok { codes, .. }) = state.calls[who].phase
            && state.record.asked & (1 << who) == 0
            && state.record.asked.count_ones() < u32::from(self.asks)
        {
            let id = self.ids[who];
            let kept = codes & !state.record.given_up[index(id)];
            events.extend(
                each(kept).map(|code| Event::Ask { who, write: Write::Assign { id, codes: 1 << code } }),
            );
            events.push(Event::Ask { who, write: Write::Release { id, codes } });
        }
    }

    /// An assign or release of a holder is executed and acknowledged.
    pub(crate) fn ask_lands(&self, state: &mut State, index: usize) {
        let write = state.asked.remove(index);
        if let Write::Assign { id, codes } | Write::Release { id, codes } = write {
            let lost = each(codes).any(|code| !state.db.codes[code].held(id));
            self.note(state, if lost { happened::FENCED_OFF } else { 0 });
        }
        self.run(state, write, true);
        if let Write::Assign { id, codes } = write {
            for code in each(codes).filter(|&code| state.db.codes[code].assigned == Some(id)) {
                state.record.assigned[code].get_or_insert(id);
            }
        }
    }
}
