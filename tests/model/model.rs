//! The protocol as stateright's `Model`: which events a state allows, and what they lead to.

use stateright::{Model, Property};

use crate::db::{Clock, Code, Db, ELSEWHERE, Id, Reply};
use crate::mutant::Mutant;
use crate::properties;
use crate::state::{Budget, Call, OldClient, Phase, Record, State, Sweeper, index};
use crate::world::{Event, happened};

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) mutant: Mutant,
    /// The reserveId of each call: the first is in one process, the others in another.
    pub(crate) ids: [Id; 3],
    /// How many codes each call wants.
    pub(crate) counts: [u8; 3],
    pub(crate) budget: Budget,
    /// How many holders ask for an assign or a release.
    pub(crate) asks: u8,
    /// The second call is a recover.
    pub(crate) recover: bool,
    /// Somebody else has reserved a code under the shared id.
    pub(crate) in_use: bool,
    /// A client of the old service takes part.
    pub(crate) old_service: bool,
    /// The processes' clocks are wrong: every code looks available to them.
    pub(crate) wrong_clock: bool,
    /// Also asks whether the work can always go on.
    pub(crate) progress: bool,
    /// Asks what can happen, not what cannot.
    pub(crate) witness: bool,
}

impl Model for Protocol {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let first = match self.mutant {
            Mutant::NoLedger => Phase::Claiming,
            _ => Phase::Entering,
        };
        let third = if self.ids[2] == Id::Own { Phase::Claiming } else { first };
        let second = if self.recover { Phase::Looking } else { first };
        let elsewhere = Code { id: Some(Id::Shared), reserved: Some(ELSEWHERE), assigned: None };
        let first_code = if self.in_use { elsewhere } else { Code::default() };
        vec![State {
            db: Db { codes: [first_code, Code::default(), Code::default()], entry: None },
            durable: None,
            clock: Clock { now: ELSEWHERE + 1, horizon: 0 },
            tokens: 1,
            calls: [Call::new(first), Call::new(second), Call::new(third)],
            sweeper: Sweeper::Idle,
            old: OldClient::Idle,
            late: Vec::new(),
            asked: Vec::new(),
            budget: self.budget,
            record: Record::default(),
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        for who in 0..state.calls.len() {
            if self.counts[who] == 0 {
                continue;
            }
            if self.next_write(state, who).is_some() {
                events.push(Event::Write(who));
            }
            self.call_events(state, who, events);
            self.call_suffers(state, who, events);
            self.holder_events(state, who, events);
        }
        self.world_events(state, events);
        if state.sweeper != Sweeper::Idle || self.sweep_due(state) {
            events.push(Event::Sweep);
        }
        if state.sweeper != Sweeper::Idle && state.budget.losses > 0 {
            events.push(Event::SweepNoReply);
        }
        if state.sweeper != Sweeper::Idle && state.budget.crashes > 0 {
            events.push(Event::SweepCrash);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Write(who) => {
                let write = self.next_write(last, who)?;
                let reply = self.run(&mut state, write, true);
                if let Reply::Entry(entry) = reply {
                    state.tokens = state.tokens.max(entry.owner);
                }
                self.replied(&mut state, who, reply);
                let lost_entry = state.calls[who].phase == Phase::GivingBackLost;
                self.note(&mut state, if lost_entry { happened::LOST_ENTRY } else { 0 });
            }
            Event::NoReply(who) => {
                state.budget.losses -= 1;
                self.no_reply(&mut state, who);
            }
            Event::Read(who) => {
                state.durable = None;
                self.replied(&mut state, who, Reply::Done);
            }
            Event::Claim { who, codes } => self.claim(&mut state, who, codes),
            Event::Land { who, code } => self.land(&mut state, who, code),
            Event::BatchReply(who) => {
                let before = state.db;
                self.settled(&mut state, before, true);
                self.batch_replied(&mut state, who);
            }
            Event::LoseReply(who) => {
                state.budget.losses -= 1;
                self.reply_lost(&mut state, who);
            }
            Event::LimitPasses(who) => {
                let batch = &mut state.calls[who].batch;
                batch.over = true;
                if batch.landed != 0 && batch.pending != 0 {
                    self.note(&mut state, happened::HALF_DONE);
                }
                if self.mutant != Mutant::NoTimeLimit {
                    state.calls[who].batch.pending = 0;
                }
            }
            Event::ReadBack(who) => {
                state.durable = None;
                let carries = self.carries(&state, who);
                if last.calls[who].phase == Phase::Unknown && carries == last.calls[who].batch.sent {
                    self.note(&mut state, happened::LOST_REPLY_WON);
                }
                self.read_back(&mut state, who, carries);
            }
            Event::ReadBackStale(who) => self.read_back(&mut state, who, 0),
            Event::GiveUp(who) => self.give_up(&mut state, who),
            Event::NoneLeft(who) => self.none_left(&mut state, who),
            Event::Crash(process) => {
                state.budget.crashes -= 1;
                for call in &mut state.calls[if process == 0 { 0..1 } else { 1..3 }] {
                    if !matches!(call.phase, Phase::Done(_)) {
                        call.phase = Phase::Crashed;
                    }
                }
            }
            Event::LeaseOver => self.lease_over(&mut state),
            Event::Expire => {
                state.budget.expiries -= 1;
                state.clock.horizon = state.clock.now;
                state.clock.now += 1;
                if let Some(entry) = state.db.entry.as_mut().filter(|entry| !entry.granted) {
                    entry.lease_over = true;
                }
            }
            Event::FailOver => {
                state.budget.failovers -= 1;
                state.db = state.durable.take()?;
                self.note(&mut state, happened::ROLLED_BACK);
                for who in 0..state.calls.len() {
                    if state.calls[who].phase == Phase::Waiting {
                        self.reply_lost(&mut state, who);
                    }
                }
            }
            Event::LandLate(index) => {
                let write = state.late.remove(index);
                self.run(&mut state, write, false);
            }
            Event::DropLate(index) => {
                state.late.remove(index);
            }
            Event::Ask { who, write } => {
                state.record.asked |= 1 << who;
                if let crate::db::Write::Release { id, codes } = write {
                    state.record.given_up[index(id)] |= codes;
                }
                state.asked.push(write);
                state.asked.sort_unstable();
            }
            Event::AskLands(index) => self.ask_lands(&mut state, index),
            Event::AskIsLost(index) => {
                state.asked.remove(index);
            }
            Event::Sweep => self.sweep(&mut state),
            Event::SweepNoReply => {
                state.budget.losses -= 1;
                self.sweep_no_reply(&mut state);
            }
            Event::SweepCrash => {
                state.budget.crashes -= 1;
                state.sweeper = Sweeper::Idle;
            }
            Event::OldFind(code) => state.old = OldClient::Found(code),
            Event::OldUpdate => self.old_update(&mut state),
            Event::OldRelease => {
                if let OldClient::Holds { code, .. } = state.old {
                    let before = state.db;
                    state.db.codes[code].reserved = None;
                    self.settled(&mut state, before, true);
                }
                state.old = OldClient::Finished;
            }
        }
        // Nothing can be taken back any more: what a majority holds is of no interest.
        if state.budget.failovers == 0 || state.durable == Some(state.db) {
            state.durable = None;
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        if self.witness { properties::witnesses() } else { properties::invariants() }
    }
}

impl Protocol {
    fn reply_lost(&self, state: &mut State, who: usize) {
        match self.mutant {
            Mutant::NoReadBack => self.won(state, who, 0),
            _ => state.calls[who].phase = Phase::Unknown,
        }
    }

    fn lease_over(&self, state: &mut State) {
        let Some(entry) = &mut state.db.entry else { return };
        entry.lease_over = true;
        if let Some(entry) = state.durable.as_mut().and_then(|db| db.entry.as_mut()) {
            entry.lease_over = true;
        }
        if self.owner_works(state) {
            state.budget.slow -= 1;
        }
    }

    /// The old service's update: guarded as ours, but by the clock of its pod.
    fn old_update(&self, state: &mut State) {
        let OldClient::Found(code) = state.old else { return };
        let before = state.db;
        if self.old_sees_available(state, code) {
            let reserved = state.clock.now;
            state.db.codes[code] = Code { id: Some(Id::Old), reserved: Some(reserved), assigned: None };
            state.old = OldClient::Holds { code, reserved };
        } else {
            state.old = OldClient::Finished;
        }
        self.settled(state, before, true);
    }

    /// Whether somebody works as the owner of the entry.
    pub(crate) fn owner_works(&self, state: &State) -> bool {
        let Some(entry) = state.db.entry else { return false };
        let owns = |(call, id): (&Call, Id)| id == Id::Shared && call.token == entry.owner && !call.at_rest();
        let sweeps = match state.sweeper {
            Sweeper::ReleasingAll { token, .. } | Sweeper::Deleting { token } => token == entry.owner,
            _ => false,
        };
        sweeps || state.calls.iter().zip(self.ids).any(owns)
    }
}
