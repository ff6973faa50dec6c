//! The state of the world: the database, the calls, the network, and what the proof remembers.

use crate::db::{CODES, Clock, Date, Db, Id, Set, Token, Write};

/// What a call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    Ok {
        codes: Set,
        reserved: Date,
    },
    NotEnoughCodes,
    ReservationExpired,
    ReservationMismatch,
    OutcomeUnknown,
    /// To a recover: the attempt is ended.
    NothingHeld,
    /// Any other error.
    Error,
}

/// What a call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Step 1.
    Entering,
    /// There is an entry: what is it (steps 4 and 5)?
    Watching,
    /// The first step of a recover.
    Looking,
    /// Step 1: is a code in use under the id, without an entry?
    Checking,
    /// It is: remove the entry again.
    Removing,
    /// Step 4.
    Replaying {
        reserved: Date,
    },
    /// Step 6: the lease of this owner was seen to be over.
    TakingOver {
        from: Token,
    },
    /// Step 6: release what earlier attempts hold.
    ReleasingOthers,
    /// Step 2: a batch is to be built.
    Claiming,
    /// A batch has been sent.
    Waiting,
    /// The reply's total was less than what was sent.
    ReadingBack,
    /// The reply was lost.
    Unknown,
    /// Not everything was there: once the time limit has passed, read again.
    UnknownAgain,
    /// Step 3.
    Granting,
    /// The attempt lost its entry: give back, see who has it.
    GivingBackLost,
    /// Too few codes: give back.
    GivingBackTooFew,
    /// Too few codes: remove the entry.
    Deleting,
    /// Let the lease run out, then answer.
    Abandoning(Answer),
    Done(Answer),
    Crashed,
}

/// One claim command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    pub(crate) sent: Set,
    /// Not decided yet: may still take effect.
    pub(crate) pending: Set,
    /// Changed by the command.
    pub(crate) landed: Set,
    /// deadline + RUN_WITHIN has passed.
    pub(crate) over: bool,
    /// Only in a mutant: the attempt was taken over while its lease ran, so its time limit can
    /// be later than the sweep.
    pub(crate) outlives_sweep: bool,
}

/// A call of reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) phase: Phase,
    pub(crate) token: Token,
    /// The date that its codes carry.
    pub(crate) date: Date,
    /// The attempt that it found first when it came: only that may it take over.
    pub(crate) found: Token,
    /// It has lost its entry, and claims no more.
    pub(crate) lost: bool,
    /// This attempt took the entry over from another.
    pub(crate) followed: bool,
    /// What the proof remembers: it was at work when somebody was told that nothing is held.
    pub(crate) ended: bool,
    pub(crate) won: Set,
    pub(crate) batch: Batch,
}

impl Call {
    pub(crate) fn new(phase: Phase) -> Call {
        Call {
            phase,
            token: 0,
            date: 0,
            found: 0,
            lost: false,
            followed: false,
            ended: false,
            won: 0,
            batch: Batch::default(),
        }
    }

    /// Answered, crashed, or not begun.
    pub(crate) fn at_rest(&self) -> bool {
        let not_begun =
            self.token == 0 && matches!(self.phase, Phase::Entering | Phase::Looking | Phase::Claiming);
        not_begun || matches!(self.phase, Phase::Done(_) | Phase::Crashed)
    }
}

/// Step 7, by whichever process does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Sweeper {
    Idle,
    /// An entry that is claiming was seen to be due.
    TakingOver {
        from: Token,
    },
    ReleasingAll {
        token: Token,
        date: Date,
    },
    Deleting {
        token: Token,
    },
    /// An entry that is granted was seen to be due.
    ReleasingSurplus {
        date: Date,
    },
    UnsettingSweep {
        date: Date,
    },
}

/// A client of the old service, which wants one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum OldClient {
    Idle,
    /// It found this code available.
    Found(usize),
    /// It read its own id back.
    Holds {
        code: usize,
        reserved: Date,
    },
    /// It lost the code, or released it.
    Finished,
}

/// How often each thing may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Budget {
    /// A process ends.
    pub(crate) crashes: u8,
    /// A command or its reply is lost or late.
    pub(crate) losses: u8,
    /// The primary changes and what no majority had is rolled back.
    pub(crate) failovers: u8,
    /// A lease runs out although its owner works.
    pub(crate) slow: u8,
    /// All that is reserved expires.
    pub(crate) expiries: u8,
}

/// The state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    /// What the primary holds.
    pub(crate) db: Db,
    /// What a majority holds, if it is less.
    pub(crate) durable: Option<Db>,
    pub(crate) clock: Clock,
    /// The last token made.
    pub(crate) tokens: Token,
    pub(crate) calls: [Call; 3],
    pub(crate) sweeper: Sweeper,
    pub(crate) old: OldClient,
    /// Commands whose sender no longer waits: they land at any time or never. Sorted.
    pub(crate) late: Vec<Write>,
    /// What the holders ask for after their answers: not yet landed. Sorted.
    pub(crate) asked: Vec<Write>,
    pub(crate) budget: Budget,
    pub(crate) record: Record,
}

/// What the proof remembers; no process sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    /// Who was told that a code is assigned to them.
    pub(crate) assigned: [Option<Id>; CODES],
    /// The codes that the holder of the shared id, and of the own id, asked to release.
    pub(crate) given_up: [Set; 2],
    /// Codes that an assign or release changed although they were held under another id.
    pub(crate) foreign: Set,
    /// Which calls have sent their assign or release.
    pub(crate) asked: u8,
    /// What has happened, for the test that all of it can (`Witness`).
    pub(crate) happened: u16,
}

/// Index of an id in `Record::given_up`.
pub(crate) fn index(id: Id) -> usize {
    usize::from(id != Id::Shared)
}

impl State {
    /// Whether the entry is claiming, owned by the call's attempt, and its lease runs.
    pub(crate) fn owner_has_lease(&self, who: usize) -> bool {
        let owner = self.calls[who].token;
        self.db.entry.is_some_and(|entry| entry.owner == owner && !entry.granted && !entry.lease_over)
    }

    /// Somebody was told that nothing is held under the shared id.
    pub(crate) fn told_nothing(&mut self) {
        for call in self.calls.iter_mut().filter(|call| call.token != 0 || call.found != 0) {
            call.ended = true;
        }
    }

    /// The same state with the codes ordered by what is known about each: states that differ only in the
    /// names of the codes become one (symmetry reduction).
    pub(crate) fn representative(&self) -> State {
        // All that the state says about each code.
        let mut bits = [0_u64; CODES];
        let mut state = self.clone();
        state.each_set(|set| {
            for (code, bits) in bits.iter_mut().enumerate() {
                *bits = *bits << 1 | u64::from(*set >> code & 1);
            }
        });
        if let OldClient::Found(code) | OldClient::Holds { code, .. } = self.old {
            bits[code] |= 1 << 63;
        }
        let known = |code: usize| {
            (
                self.db.codes[code],
                self.durable.map(|db| db.codes[code]),
                self.record.assigned[code],
                bits[code],
            )
        };
        let mut order: [usize; CODES] = std::array::from_fn(|code| code);
        order.sort_by_key(|&code| known(code));
        let mut place = [0; CODES];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        state.rename(self, &place);
        state
    }

    /// Renames code n of a copy of `from` to `place[n]`.
    fn rename(&mut self, from: &State, place: &[usize; CODES]) {
        for (code, &new) in place.iter().enumerate() {
            self.db.codes[new] = from.db.codes[code];
            self.record.assigned[new] = from.record.assigned[code];
            if let (Some(after), Some(before)) = (&mut self.durable, &from.durable) {
                after.codes[new] = before.codes[code];
            }
        }
        if let OldClient::Found(code) | OldClient::Holds { code, .. } = &mut self.old {
            *code = place[*code];
        }
        self.each_set(|set| *set = crate::db::each(*set).fold(0, |new, code| new | 1 << place[code]));
        self.late.sort_unstable();
        self.asked.sort_unstable();
    }

    /// Visits every set of codes in the state, always in the same order.
    fn each_set(&mut self, mut visit: impl FnMut(&mut Set)) {
        for call in &mut self.calls {
            let batch = &mut call.batch;
            for set in [&mut call.won, &mut batch.sent, &mut batch.pending, &mut batch.landed] {
                visit(set);
            }
            match &mut call.phase {
                Phase::Done(Answer::Ok { codes, .. }) | Phase::Abandoning(Answer::Ok { codes, .. }) => {
                    visit(codes)
                }
                _ => visit(&mut 0),
            }
        }
        for write in self.late.iter_mut().chain(&mut self.asked) {
            if let Write::Assign { codes, .. } | Write::Release { codes, .. } = write {
                visit(codes);
            }
        }
        for set in &mut self.record.given_up {
            visit(set);
        }
        visit(&mut self.record.foreign);
    }
}
