//! The steps of the calls: claims that take codes bit by bit, and everything else.

use rand::RngExt;

use super::super::Fault;
use super::{Claim, Doing, Late, Service, Stored};
use crate::history::{Call, Outcome, Status};

impl Service {
    /// Takes some codes, and grants them, gives them back, or fails.
    pub(super) fn claim(
        &mut self,
        doing: &mut Doing,
        mut claim: Claim,
        partial: bool,
        callers: bool,
    ) -> Option<Outcome> {
        if self.rng.random_bool(0.01) {
            return Some(self.fail(doing, claim, callers));
        }
        let before = claim.got.len();
        self.take(&mut claim);
        if claim.got.len() < claim.wanted && claim.got.len() > before {
            doing.claim = Some(claim);
            return None;
        }
        let enough = claim.got.len() >= claim.wanted || (partial && !(callers && claim.got.is_empty()));
        if enough {
            return Some(self.grant(doing, &claim, callers));
        }
        if !self.wrong(Fault::KeepsWhenShort, 0.5) {
            self.give_back(&claim.id, None);
        }
        if !claim.got.is_empty() && self.rng.random_bool(0.3) {
            claim.got.clear();
            doing.claim = Some(claim);
            return None;
        }
        if callers {
            self.ledger.remove(&claim.id);
        }
        Some(Outcome::Short { available: 0 })
    }

    fn grant(&mut self, doing: &Doing, claim: &Claim, callers: bool) -> Outcome {
        if let Some(entry) = self.ledger.get_mut(&claim.id).filter(|_| callers) {
            entry.granted = true;
        } else if self.rng.random_bool(0.01) && !doing.old {
            return Outcome::Unknown { id: claim.id.clone() };
        }
        let reserved_ms = claim.date.unwrap_or((doing.start / 1000) as i64);
        let (codes, expires_ms) = (self.names(&claim.got), self.expires(reserved_ms));
        Outcome::Got { id: claim.id.clone(), codes, reserved_ms, expires_ms, replayed: false }
    }

    fn fail(&mut self, doing: &Doing, claim: Claim, callers: bool) -> Outcome {
        let id = claim.id.clone();
        if doing.old {
            self.lands_late(Late::Claim(claim));
            return Outcome::Failed;
        }
        if let Some(entry) = self.ledger.get_mut(&id).filter(|_| callers) {
            entry.owner = None;
        }
        if self.rng.random_bool(0.5) {
            return Outcome::Unknown { id };
        }
        if !callers {
            self.give_back(&id, None);
        }
        Outcome::Unavailable
    }

    pub(super) fn recover(&mut self, id: &str) -> Option<Outcome> {
        let date = match self.ledger.get(id) {
            Some(entry) if entry.granted => Some(entry.date),
            Some(entry) if entry.owner.is_some() => return None,
            Some(_) => {
                self.give_back(id, None);
                None
            }
            None => None,
        };
        let codes = self.under(id, date);
        let dates = codes.iter().filter_map(|code| self.codes[*code].reserved);
        let Some(reserved_ms) = dates.min() else { return Some(Outcome::Nothing) };
        let codes = codes.iter().map(|code| (self.names(&[*code]).concat(), self.status(*code))).collect();
        Some(Outcome::Held { codes, reserved_ms, expires_ms: self.expires(reserved_ms) })
    }

    pub(super) fn settle_or_fail(&mut self, doing: &mut Doing, call: &Call) -> Option<Outcome> {
        let unfenced_release = matches!(call, Call::Release { id: None, .. }) && !doing.old;
        if unfenced_release && doing.read.is_none() {
            doing.read = Some(self.read(call));
            return None;
        }
        if !self.rng.random_bool(0.03) {
            return Some(self.settle(call, doing.read.as_deref()));
        }
        match self.rng.random_range(0..3) {
            0 => drop(self.settle(call, doing.read.as_deref())),
            1 if !unfenced_release => self.lands_late(Late::Settle(call.clone())),
            _ => {}
        }
        Some(Outcome::Unavailable)
    }

    /// The codes that a call names, as they are.
    fn read(&self, call: &Call) -> Vec<Stored> {
        let (Call::Assign { codes, .. } | Call::Release { codes, .. }) = call else { return Vec::new() };
        codes.iter().map(|code| self.codes[self.number(code)].clone()).collect()
    }

    /// Assigns or releases; only what is as it was read, if it was.
    pub(super) fn settle(&mut self, call: &Call, read: Option<&[Stored]>) -> Outcome {
        let (codes, id, assigns) = match call {
            Call::Assign { codes, id, .. } => (codes, id, true),
            Call::Release { codes, id, .. } => (codes, id, false),
            _ => return Outcome::Unavailable,
        };
        let now = self.ms();
        let (mut updated, mut lost) = (0, Vec::new());
        for (position, name) in codes.iter().enumerate() {
            let says_lost = self.wrong(Fault::SaysLost, 0.05);
            let number = self.number(name);
            let code = &mut self.codes[number];
            let under = id.is_none() || (code.id == *id && code.reserved.is_some());
            let repeats = assigns && under && code.assigned.is_some();
            let as_read = read.is_none_or(|read| read[position] == *code);
            if code.assigned.is_some() || !under || says_lost {
                if id.is_some() && !repeats {
                    lost.push(name.clone());
                }
            } else if assigns {
                code.assigned = Some(now);
                updated += 1;
            } else if as_read && code.reserved.take().is_some() {
                // Without an id as the deployed service does it, which leaves the old one behind.
                code.id.take_if(|_| id.is_some());
                updated += 1;
            }
        }
        Outcome::Settled { updated, lost }
    }

    pub(super) fn count(&mut self) -> Outcome {
        let mut counts = [0; 3];
        for code in 0..self.codes.len() {
            counts[match self.status(code) {
                Status::Available => 0,
                Status::Reserved => 1,
                Status::Assigned => 2,
            }] += 1;
        }
        if self.wrong(Fault::Miscounts, 0.1) {
            counts.swap(0, 1);
        }
        let [available, reserved, assigned] = counts;
        Outcome::Counts { available, reserved, assigned }
    }
}
