//! Histories made by hand, for the tests of the rules: one pool of the codes c0, c1, … in microseconds.

use std::ops::Range;

use super::Violation;
use super::facts::Facts;
use crate::history::{Call, Document, Entry, Header, History, Made, Micros, Outcome, Pool, Snapshot, Status};

/// A history, a call by each client, and what is left of it.
pub(crate) struct Story {
    pub(crate) header: Header,
    pub(crate) snapshot: Snapshot,
    pub(crate) histories: Vec<History>,
}

/// How a call ends: not, when its process was killed.
pub(crate) struct Ends(Option<Outcome>);

impl From<Outcome> for Ends {
    fn from(outcome: Outcome) -> Ends {
        Ends(Some(outcome))
    }
}

impl Ends {
    /// The answer of a reserve that somebody else had made under the id.
    pub(crate) fn again(mut self) -> Ends {
        if let Some(Outcome::Got { replayed, .. }) = &mut self.0 {
            *replayed = true;
        }
        self
    }
}

impl Call {
    pub(crate) fn under(mut self, own: &str) -> Call {
        if let Call::Reserve { id, .. } = &mut self {
            *id = Some(own.to_owned());
        }
        self
    }

    pub(crate) fn partial(mut self) -> Call {
        if let Call::Reserve { partial, .. } = &mut self {
            *partial = true;
        }
        self
    }
}

impl Story {
    pub(crate) fn new(size: u32) -> Story {
        let (campaign, code_type) = ("summer".to_owned(), "tm".to_owned());
        let pool = Pool { campaign, code_type, ttl_ms: 86_400_000, prefix: "c".to_owned(), size };
        let free = |number| Document {
            pool: 0,
            code: format!("c{number}"),
            type_ok: true,
            reserved_ms: None,
            assigned_ms: None,
            reserve_id: None,
        };
        let snapshot =
            Snapshot { at: 1_000_000, documents: (0..size).map(free).collect(), ledger: Vec::new() };
        let header = Header { seed: 1, zero_ms: 0, clock_error_ms: 0, pools: vec![pool] };
        Story { header, snapshot, histories: Vec::new() }
    }

    /// Reservations last so many milliseconds, and those that follow expire so long after they began.
    pub(crate) fn ttl(mut self, ttl_ms: u64) -> Story {
        self.header.pools[0].ttl_ms = ttl_ms;
        self
    }

    /// The next client makes its only call.
    pub(crate) fn call(mut self, at: Range<Micros>, what: Call, ends: impl Into<Ends>) -> Story {
        let mut outcome = ends.into().0;
        let ttl = i64::try_from(self.header.pools[0].ttl_ms).expect("short");
        if let Some(Outcome::Got { expires_ms, .. } | Outcome::Held { expires_ms, .. }) = &mut outcome {
            *expires_ms = ttl;
        }
        let end = outcome.map(|outcome| (at.end, outcome));
        let client = u32::try_from(self.histories.len()).expect("few");
        let made = Made { number: 1, start: at.start, what, end };
        self.histories.push(History { client, old: false, calls: vec![made], gone: None });
        self
    }

    /// The client of the last call was of the deployed service.
    pub(crate) fn by_old(mut self) -> Story {
        self.histories.last_mut().expect("a call").old = true;
        self
    }

    /// The process of the last call was gone then.
    pub(crate) fn gone(mut self, at: Micros) -> Story {
        self.histories.last_mut().expect("a call").gone = Some(at);
        self
    }

    fn document(&mut self, code: &str) -> &mut Document {
        self.snapshot.documents.iter_mut().find(|document| document.code == code).expect("a code")
    }

    /// The code is reserved under the id in the end.
    pub(crate) fn left(mut self, code: &str, id: &str) -> Story {
        let document = self.document(code);
        (document.reserved_ms, document.reserve_id) = (Some(0), Some(id.to_owned()));
        self
    }

    /// The code is assigned in the end.
    pub(crate) fn left_assigned(mut self, code: &str) -> Story {
        self.document(code).assigned_ms = Some(0);
        self
    }

    /// The id has an entry in the ledger in the end.
    pub(crate) fn entry(mut self, id: &str, granted: bool, reserved_ms: i64) -> Story {
        self.snapshot.ledger.push(Entry { id: id.to_owned(), granted, reserved_ms });
        self
    }

    /// What a rule finds wrong.
    pub(crate) fn broken(&self, rule: impl Fn(&Facts<'_>) -> Vec<Violation>) -> Vec<Violation> {
        rule(&Facts::gather(&self.histories, &self.header, &self.snapshot).0)
    }
}

fn texts(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

pub(crate) fn reserve(count: u32) -> Call {
    Call::Reserve { pool: 0, count, partial: false, id: None }
}

pub(crate) fn recover(id: &str) -> Call {
    Call::Recover { id: id.to_owned() }
}

pub(crate) fn assign(id: Option<&str>, codes: &[&str]) -> Call {
    Call::Assign { pool: 0, id: id.map(str::to_owned), codes: texts(codes) }
}

pub(crate) fn release(id: Option<&str>, codes: &[&str]) -> Call {
    Call::Release { pool: 0, id: id.map(str::to_owned), codes: texts(codes) }
}

pub(crate) fn got(id: &str, codes: &[&str]) -> Ends {
    let (id, codes) = (id.to_owned(), texts(codes));
    Outcome::Got { id, codes, reserved_ms: 0, expires_ms: 0, replayed: false }.into()
}

pub(crate) fn held(codes: &[&str]) -> Ends {
    let codes = codes.iter().map(|code| ((*code).to_owned(), Status::Reserved)).collect();
    Outcome::Held { codes, reserved_ms: 0, expires_ms: 0 }.into()
}

pub(crate) fn settled(lost: &[&str]) -> Ends {
    Outcome::Settled { updated: 0, lost: texts(lost) }.into()
}

pub(crate) fn unknown(id: &str) -> Ends {
    Outcome::Unknown { id: id.to_owned() }.into()
}

pub(crate) fn short() -> Ends {
    Outcome::Short { available: 0 }.into()
}

pub(crate) fn unavailable() -> Ends {
    Outcome::Unavailable.into()
}

pub(crate) fn killed() -> Ends {
    Ends(None)
}
