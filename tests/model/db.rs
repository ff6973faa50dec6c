//! What the database holds, and the commands that it executes, each of them atomically.

use crate::mutant::Mutant;

/// How many codes the pool has.
pub(crate) const CODES: usize = 3;

/// A set of codes: bit n is code n.
pub(crate) type Set = u8;

/// A moment of the server's clock. Only the order counts.
pub(crate) type Date = u8;

/// When somebody else reserved a code under the shared id: before all that happens here.
pub(crate) const ELSEWHERE: Date = 1;

/// Names an attempt as the owner of the ledger's entry.
pub(crate) type Token = u8;

/// The codes of a set.
pub(crate) fn each(set: Set) -> impl Iterator<Item = usize> {
    (0..CODES).filter(move |code| set & (1 << code) != 0)
}

/// A reserveId.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Id {
    /// The caller's, brought by two calls.
    Shared,
    /// The core's own, made for one call.
    Own,
    /// The old service's.
    Old,
}

/// The document of a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Code {
    /// `reserveId`; stays when the old service releases.
    pub(crate) id: Option<Id>,
    /// `date.reserved`.
    pub(crate) reserved: Option<Date>,
    /// `date.assigned`; by whom is the model's knowledge, the document says only that it is.
    pub(crate) assigned: Option<Id>,
}

impl Code {
    /// Held under an id, expired or not.
    pub(crate) fn held(&self, id: Id) -> bool {
        self.id == Some(id) && self.reserved.is_some() && self.assigned.is_none()
    }
}

/// The ledger's entry of the shared id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) granted: bool,
    pub(crate) owner: Token,
    pub(crate) reserved: Date,
    pub(crate) count: u8,
    /// The lease has run out.
    pub(crate) lease_over: bool,
    /// `sweep` is set. When its time has come is decided where it is read.
    pub(crate) sweep: bool,
}

/// A write command. A claim's update is none of these: it is decided code by code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Write {
    /// Step 1: insert the entry if there is none.
    Enter { token: Token, count: u8 },
    /// The claim outlives its lease: renew it.
    Renew { token: Token },
    /// Step 3.
    Grant { token: Token, unset_sweep: bool },
    /// Step 6, or step 7: its filter also asks whether the lease is over, or the sweep due.
    TakeOver { from: Token, token: Token, sweep: bool },
    /// Steps 6 and 7: release what attempts before `date` hold.
    ReleaseOthers { date: Date },
    /// Give back what was claimed: (id, date), or the core's own id alone.
    GiveBack { id: Id, date: Date },
    /// Remove the entry.
    Delete { token: Token },
    /// Let the lease run out at once.
    Abandon { token: Token },
    /// The same by a recover: the entry is nobody's.
    End { token: Token, nobody: Token },
    /// Step 7: the end of the sweep of a granted entry.
    UnsetSweep { date: Date },
    /// Fenced, by the holder.
    Assign { id: Id, codes: Set },
    /// Fenced, by the holder.
    Release { id: Id, codes: Set },
}

/// What a command replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The entry as it now is, changed by this command.
    Entry(Entry),
    /// The entry as another made it.
    Found(Entry),
    /// The filter matched nothing.
    Nothing,
    /// Done.
    Done,
}

/// The two collections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Db {
    pub(crate) codes: [Code; CODES],
    pub(crate) entry: Option<Entry>,
}

/// The server's clock, and a record for the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Clock {
    pub(crate) now: Date,
    /// `now - ttl`: what was reserved then or before has expired.
    pub(crate) horizon: Date,
}

impl Db {
    /// Not assigned, and not reserved or expired.
    pub(crate) fn available(&self, code: usize, clock: Clock) -> bool {
        let code = &self.codes[code];
        code.assigned.is_none() && code.reserved.is_none_or(|date| date <= clock.horizon)
    }

    /// The codes for which something holds.
    pub(crate) fn codes_where(&self, matches: impl Fn(&Code) -> bool) -> Set {
        (0..CODES).filter(|&code| matches(&self.codes[code])).fold(0, |set, code| set | 1 << code)
    }

    /// Codes under the shared id that no attempt of the entry up to this date has claimed.
    pub(crate) fn in_use_elsewhere(&self, date: Date) -> Set {
        let other = |code: &Code| code.reserved == Some(ELSEWHERE) || code.reserved >= Some(date);
        self.codes_where(|code| code.held(Id::Shared) && other(code))
    }

    /// The entry, if the attempt owns it and it is claiming.
    fn owned(&mut self, token: Token) -> Option<&mut Entry> {
        self.entry.as_mut().filter(|entry| entry.owner == token && !entry.granted)
    }

    fn release(&mut self, codes: Set) {
        for code in each(codes) {
            self.codes[code].id = None;
            self.codes[code].reserved = None;
        }
    }

    /// Executes a command; `clock` moves when the command takes a date that nobody had before.
    /// The codes that it changed although somebody else holds them are added to `foreign`.
    pub(crate) fn execute(
        &mut self,
        write: Write,
        clock: &mut Clock,
        foreign: &mut Set,
        mutant: Mutant,
    ) -> Reply {
        match write {
            Write::Enter { token, count } => match self.entry {
                Some(entry) => Reply::Found(entry),
                None => {
                    clock.now += 1;
                    let reserved = clock.now;
                    let entry = Entry {
                        granted: false,
                        owner: token,
                        reserved,
                        count,
                        lease_over: false,
                        sweep: true,
                    };
                    self.entry = Some(entry);
                    Reply::Entry(entry)
                }
            },
            Write::Renew { token } => self.change(token, |entry| entry.lease_over = false),
            Write::Grant { token, unset_sweep } => {
                let grant = |entry: &mut Entry| {
                    entry.granted = true;
                    entry.sweep &= !unset_sweep;
                };
                match (mutant, &mut self.entry) {
                    (Mutant::GrantWithoutOwner, Some(entry)) => {
                        grant(entry);
                        Reply::Entry(*entry)
                    }
                    _ => self.change(token, grant),
                }
            }
            Write::TakeOver { from, token, .. } => {
                if mutant != Mutant::TakeOverKeepsDate && self.owned(from).is_some() {
                    clock.now += 1;
                }
                let now = clock.now;
                self.change(from, |entry| {
                    entry.owner = token;
                    entry.reserved = if mutant == Mutant::TakeOverKeepsDate { entry.reserved } else { now };
                    entry.lease_over = false;
                    entry.sweep = true;
                })
            }
            Write::ReleaseOthers { date } => {
                let others = self.codes_where(|code| {
                    let other = match mutant {
                        Mutant::ReleasesLaterDates => code.reserved != Some(date),
                        // Of the entry's earlier attempts, which it names.
                        _ => code.reserved < Some(date) && code.reserved != Some(ELSEWHERE),
                    };
                    code.held(Id::Shared) && other
                });
                self.release(others);
                Reply::Done
            }
            Write::GiveBack { id, date } => {
                let dated = |code: &Code| id == Id::Own || code.reserved == Some(date);
                self.release(self.codes_where(|code| code.held(id) && dated(code)));
                Reply::Done
            }
            Write::Delete { token } => {
                if self.owned(token).is_none() {
                    return Reply::Nothing;
                }
                self.entry = None;
                Reply::Done
            }
            Write::Abandon { token } => self.change(token, |entry| entry.lease_over = true),
            Write::End { token, nobody } => self.change(token, |entry| {
                entry.lease_over = true;
                entry.owner = nobody;
            }),
            Write::UnsetSweep { date } => {
                if let Some(entry) =
                    self.entry.as_mut().filter(|entry| entry.granted && entry.reserved == date)
                {
                    entry.sweep = false;
                }
                Reply::Done
            }
            Write::Assign { id, codes } => {
                for code in self.fenced(id, codes, foreign, mutant) {
                    self.codes[code].assigned = Some(id);
                }
                Reply::Done
            }
            Write::Release { id, codes } => {
                for code in self.fenced(id, codes, foreign, mutant) {
                    self.release(1 << code);
                }
                Reply::Done
            }
        }
    }

    /// Compare and set on (owner, claiming).
    fn change(&mut self, token: Token, change: impl FnOnce(&mut Entry)) -> Reply {
        match self.owned(token) {
            Some(entry) => {
                change(entry);
                Reply::Entry(*entry)
            }
            None => Reply::Nothing,
        }
    }

    /// The codes that an assign or a release under an id changes.
    fn fenced(&self, id: Id, codes: Set, foreign: &mut Set, mutant: Mutant) -> Vec<usize> {
        let passes = |code: &Code| match mutant {
            Mutant::NoFence => code.reserved.is_some() && code.assigned.is_none(),
            _ => code.held(id),
        };
        let changed: Vec<usize> = each(codes).filter(|&code| passes(&self.codes[code])).collect();
        for &code in &changed {
            if self.codes[code].id != Some(id) {
                *foreign |= 1 << code;
            }
        }
        changed
    }
}
