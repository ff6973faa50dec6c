//! The service in memory: its codes, its ledger, and what has not landed yet.

mod steps;

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Fault;
use crate::history::{Call, Document, Entry, Micros, Outcome, Pool, Snapshot, Status, WallMs};

/// Codes that a claim takes in one step.
const BATCH: usize = 2;

/// A call on its way.
pub(super) struct Doing {
    what: Call,
    client: u32,
    old: bool,
    start: Micros,
    /// What its claim has taken, and under which id and date.
    claim: Option<Claim>,
    /// What an unfenced release has read: it releases these reservations and no later ones.
    read: Option<Vec<Stored>>,
    outcome: Option<Outcome>,
}

#[derive(Clone)]
struct Claim {
    id: String,
    date: Option<WallMs>,
    got: Vec<usize>,
    wanted: usize,
}

#[derive(Clone, Default, PartialEq)]
struct Stored {
    id: Option<String>,
    reserved: Option<WallMs>,
    assigned: Option<WallMs>,
}

struct Ledger {
    /// The client whose attempt runs; none after it has failed or died.
    owner: Option<u32>,
    granted: bool,
    count: u32,
    date: WallMs,
}

/// What lands after its call has failed or its process has died.
enum Late {
    Claim(Claim),
    Settle(Call),
}

pub(super) struct Service {
    pub(super) now: Micros,
    pool: Pool,
    codes: Vec<Stored>,
    ledger: HashMap<String, Ledger>,
    late: Vec<(Micros, Late)>,
    fault: Fault,
    ids: u64,
    rng: StdRng,
}

impl Doing {
    pub(super) fn new(what: Call, client: u32, old: bool, start: Micros) -> Doing {
        Doing { what, client, old, start, claim: None, read: None, outcome: None }
    }
}

impl Service {
    pub(super) fn new(pool: Pool, fault: Fault, seed: u64) -> Service {
        let codes = vec![Stored::default(); pool.size as usize];
        let (ledger, late, rng) = (HashMap::new(), Vec::new(), StdRng::seed_from_u64(seed));
        Service { now: 0, pool, codes, ledger, late, fault, ids: 0, rng }
    }

    /// Time passes, and what was late lands.
    pub(super) fn pass(&mut self, micros: Micros) {
        self.now += micros;
        let now = self.now;
        let due: Vec<_> = self.late.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, late) in due {
            match late {
                Late::Claim(mut claim) => self.take(&mut claim),
                Late::Settle(call) => drop(self.settle(&call, None)),
            }
        }
        if self.wrong(Fault::Forgets, 0.001) {
            let code = self.rng.random_range(0..self.codes.len());
            self.codes[code] = Stored::default();
        }
    }

    /// The next step of a call; its answer after the last one.
    pub(super) fn step(&mut self, doing: &mut Doing) -> Option<Outcome> {
        if let Some(outcome) = doing.outcome.take() {
            return Some(outcome);
        }
        doing.outcome = match doing.what.clone() {
            Call::Reserve { count, partial, id, .. } => match doing.claim.take() {
                None => self.enter(doing, count, id),
                Some(claim) => self.claim(doing, claim, partial, id.is_some()),
            },
            Call::Recover { id } => self.recover(&id),
            call @ (Call::Assign { .. } | Call::Release { .. }) => self.settle_or_fail(doing, &call),
            Call::Count { .. } => Some(self.count()),
            Call::Save { .. } => Some(Outcome::Saved),
        };
        None
    }

    /// A process has died with what it did.
    pub(super) fn killed(&mut self, client: u32, doing: Option<Doing>) {
        for entry in self.ledger.values_mut().filter(|entry| entry.owner == Some(client)) {
            entry.owner = None;
        }
        match doing {
            Some(Doing { claim: Some(claim), .. }) if claim.date.is_none() => {
                self.lands_late(Late::Claim(claim))
            }
            Some(Doing { outcome: None, what: what @ Call::Assign { .. }, .. }) => {
                self.lands_late(Late::Settle(what));
            }
            _ => {}
        }
    }

    /// What is left when all that is late has landed and what dead attempts have left behind is given back.
    pub(super) fn end(mut self) -> Snapshot {
        self.fault = Fault::None;
        self.pass(20_000_000);
        let ledger = std::mem::take(&mut self.ledger);
        for (id, entry) in &ledger {
            self.give_back(id, entry.granted.then_some(entry.date));
        }
        let document = |(number, code): (usize, Stored)| Document {
            pool: 0,
            code: self.pool.code(number as u32),
            type_ok: true,
            reserved_ms: code.reserved,
            assigned_ms: code.assigned,
            reserve_id: code.id,
        };
        let granted = ledger.into_iter().filter(|(_, entry)| entry.granted);
        let entry = |(id, entry): (_, Ledger)| Entry { id, granted: true, reserved_ms: entry.date };
        let documents = self.codes.into_iter().enumerate().map(document).collect();
        Snapshot { at: self.now, documents, ledger: granted.map(entry).collect() }
    }

    fn ms(&self) -> WallMs {
        (self.now / 1000) as WallMs
    }

    fn wrong(&mut self, fault: Fault, often: f64) -> bool {
        self.fault == fault && self.rng.random_bool(often)
    }

    fn lands_late(&mut self, late: Late) {
        self.late.push((self.now + self.rng.random_range(0..9_000_000), late));
    }

    fn expires(&self, reserved: WallMs) -> WallMs {
        reserved + self.pool.ttl_ms as WallMs
    }

    fn status(&self, code: usize) -> Status {
        let code = &self.codes[code];
        match (code.assigned, code.reserved) {
            (Some(_), _) => Status::Assigned,
            (None, Some(reserved)) if self.expires(reserved) > self.ms() => Status::Reserved,
            _ => Status::Available,
        }
    }

    fn number(&self, code: &str) -> usize {
        self.pool.number(code).expect("a code of the pool") as usize
    }

    fn names(&self, codes: &[usize]) -> Vec<String> {
        codes.iter().map(|code| self.pool.code(*code as u32)).collect()
    }

    /// The codes under an id, with this date if one is given.
    fn under(&self, id: &str, date: Option<WallMs>) -> Vec<usize> {
        let is = |code: &&Stored| {
            code.id.as_deref() == Some(id)
                && code.reserved.is_some_and(|at| date.is_none_or(|date| date == at))
        };
        self.codes.iter().enumerate().filter(|(_, code)| is(code)).map(|(number, _)| number).collect()
    }

    /// Releases what is held under an id, but not what carries the date.
    fn give_back(&mut self, id: &str, but: Option<WallMs>) {
        for code in &mut self.codes {
            if code.id.as_deref() == Some(id) && code.assigned.is_none() && code.reserved != but {
                *code = Stored::default();
            }
        }
    }

    fn enter(&mut self, doing: &mut Doing, count: u32, id: Option<String>) -> Option<Outcome> {
        if self.wrong(Fault::SaysShort, 0.01) {
            return Some(Outcome::Short { available: 0 });
        }
        let more = usize::from(self.wrong(Fault::GrantsMore, 0.01));
        let (now, got, wanted) = (self.ms(), Vec::new(), count as usize + more);
        let Some(id) = id else {
            self.ids += 1;
            doing.claim = Some(Claim { id: format!("r{}", self.ids), date: None, got, wanted });
            return None;
        };
        let new = || Ledger { owner: None, granted: false, count, date: now - 1 };
        let entry = self.ledger.entry(id.clone()).or_insert_with(new);
        if entry.count != count {
            return Some(Outcome::Mismatch);
        }
        if entry.granted {
            return Some(self.replay(&id));
        }
        if entry.owner.is_none() {
            entry.owner = Some(doing.client);
            entry.date = now.max(entry.date + 1);
            doing.claim = Some(Claim { id: id.clone(), date: Some(entry.date), got, wanted });
            self.give_back(&id, None);
        }
        None
    }

    fn replay(&mut self, id: &str) -> Outcome {
        let date = self.ledger[id].date;
        let mut codes = self.under(id, Some(date));
        if codes.is_empty() || self.expires(date) <= self.ms() {
            return Outcome::Expired;
        }
        if self.wrong(Fault::AnswersOthers, 0.1) {
            codes[0] = (codes[0] + 1) % self.codes.len();
        }
        let expires_ms = self.expires(date);
        let codes = self.names(&codes);
        Outcome::Got { id: id.to_owned(), codes, reserved_ms: date, expires_ms, replayed: true }
    }

    /// Takes the next few codes.
    fn take(&mut self, claim: &mut Claim) {
        let first = self.rng.random_range(0..self.codes.len());
        let wanted = claim.wanted.min(claim.got.len() + BATCH);
        let held = self.wrong(Fault::TakesHeld, 0.01);
        let assigned = self.wrong(Fault::TakesAssigned, 0.01);
        let all = self.codes.len();
        for code in (first..all).chain(0..first) {
            if claim.got.len() == wanted {
                break;
            }
            let takes = match self.status(code) {
                Status::Available => true,
                Status::Reserved => held,
                Status::Assigned => assigned,
            };
            if takes && !claim.got.contains(&code) {
                let reserved = Some(claim.date.unwrap_or(self.ms()));
                self.codes[code] = Stored { id: Some(claim.id.clone()), reserved, assigned: None };
                claim.got.push(code);
            }
        }
    }
}
