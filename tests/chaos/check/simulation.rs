//! A service in memory, right or wrong in one way, and clients that use it at random: a right one breaks no
//! rule, and every way of being wrong breaks its own.
//!
//! A call is begun, takes effect in one step or more, and is answered, with steps of others in between. It may
//! also fail before or after its effect, or land late, or die with its process.

mod service;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Verdict, check};
use crate::history::{Call, Header, History, Made, Micros, Outcome, Pool, Snapshot};
use service::{Doing, Service};

/// What is wrong with the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    TakesHeld,
    TakesAssigned,
    GrantsMore,
    AnswersOthers,
    SaysShort,
    Forgets,
    KeepsWhenShort,
    SaysLost,
    Miscounts,
}

/// How a run is made.
struct Run {
    seed: u64,
    calls: usize,
    clients: usize,
    size: u32,
    ttl_ms: u64,
    fault: Fault,
}

/// A process and what it knows.
struct Client {
    history: History,
    doing: Option<Doing>,
    /// Ids with codes that it was given.
    mine: Vec<(String, Vec<String>)>,
    /// An id of which it does not know what it holds.
    unknown: Option<String>,
}

impl Client {
    fn new(number: u32, old: bool) -> Client {
        let history = History { client: number, old, calls: Vec::new(), gone: None };
        Client { history, doing: None, mine: Vec::new(), unknown: None }
    }

    /// What it calls next.
    fn next(&mut self, rng: &mut StdRng, made: usize, header: &Header) -> Call {
        if let Some(id) = self.unknown.take() {
            return Call::Recover { id };
        }
        let kind = rng.random_range(0..100);
        if kind < 55 && !self.mine.is_empty() {
            let (id, mut kept) = self.mine.swap_remove(rng.random_range(0..self.mine.len()));
            let codes = kept.split_off(rng.random_range(0..kept.len()));
            if !kept.is_empty() {
                self.mine.push((id.clone(), kept));
            }
            let id = (!self.history.old && rng.random_bool(0.8)).then_some(id);
            return match rng.random_bool(0.02) {
                true => Call::Assign { pool: 0, id, codes },
                false => Call::Release { pool: 0, id, codes },
            };
        }
        let count = rng.random_range(1..5);
        if self.history.old {
            return Call::Reserve { pool: 0, count, partial: true, id: None };
        }
        // Several clients come upon the same id at about the same time.
        let number = made / 60 + rng.random_range(0..4);
        let own = format!("own-{number}");
        match kind {
            55..57 => Call::Count { pool: 0, calm: true },
            57..58 => Call::Save { pool: 0, codes: vec![header.pools[0].code(0)] },
            58..61 => Call::Recover { id: own },
            61..75 => {
                let usual = u32::try_from(number % 3).unwrap_or_default() + 1;
                let count = if rng.random_bool(0.05) { usual + 1 } else { usual };
                Call::Reserve { pool: 0, count, partial: rng.random_bool(0.2), id: Some(own) }
            }
            _ => Call::Reserve { pool: 0, count, partial: rng.random_bool(0.3), id: None },
        }
    }

    fn begin(&mut self, now: Micros, what: Call) {
        self.doing = Some(Doing::new(what.clone(), self.history.client, self.history.old, now));
        let number = self.history.calls.len() as u64;
        self.history.calls.push(Made { number, start: now, what, end: None });
    }

    fn answered(&mut self, now: Micros, outcome: Outcome) {
        self.doing = None;
        let Some(made) = self.history.calls.last_mut() else { return };
        match (&made.what, &outcome) {
            (_, Outcome::Got { id, codes, .. }) if !codes.is_empty() => {
                self.mine.push((id.clone(), codes.clone()));
            }
            (Call::Recover { id }, Outcome::Held { codes, .. }) => {
                self.mine.push((id.clone(), codes.iter().map(|(code, _)| code.clone()).collect()));
            }
            (_, Outcome::Unknown { id }) => self.unknown = Some(id.clone()),
            // Once more.
            (Call::Release { id: Some(id), codes, .. }, Outcome::Unavailable) => {
                self.mine.push((id.clone(), codes.clone()));
            }
            _ => {}
        }
        made.end = Some((now, outcome));
    }
}

impl Run {
    fn verdict(&self) -> Verdict {
        let (histories, header, snapshot) = self.histories();
        check(&histories, &header, &snapshot)
    }

    fn histories(&self) -> (Vec<History>, Header, Snapshot) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let (campaign, code_type) = ("summer".to_owned(), "tm".to_owned());
        let pool = Pool { campaign, code_type, ttl_ms: self.ttl_ms, prefix: "c".to_owned(), size: self.size };
        let header = Header { seed: self.seed, zero_ms: 0, clock_error_ms: 0, pools: vec![pool.clone()] };
        let mut service = Service::new(pool, self.fault, rng.random());
        let mut dead = Vec::new();
        let mut numbers = 0..;
        let mut client = |old| Client::new(numbers.next().unwrap_or_default(), old);
        let mut clients: Vec<Client> = (0..self.clients).map(|n| client(n % 8 == 7)).collect();
        let mut made = 0;
        while made < self.calls || clients.iter().any(|client| client.doing.is_some()) {
            service.pass(rng.random_range(1..300));
            let chosen = &mut clients[rng.random_range(0..self.clients)];
            if chosen.doing.is_none() && made < self.calls {
                let call = chosen.next(&mut rng, made, &header);
                chosen.begin(service.now, call);
                made += 1;
            } else if rng.random_bool(0.0005) {
                let old = chosen.history.old;
                let mut killed = std::mem::replace(chosen, client(old));
                // Now and then nobody has seen the process end.
                killed.history.gone = rng.random_bool(0.9).then_some(service.now);
                service.killed(killed.history.client, killed.doing);
                dead.push(killed.history);
            } else if let Some(doing) = &mut chosen.doing
                && let Some(outcome) = service.step(doing)
            {
                chosen.answered(service.now, outcome);
            }
        }
        dead.extend(clients.into_iter().map(|client| client.history));
        (dead, header, service.end())
    }
}

/// How long a reservation lasts: as in the deployed service, and so that many expire during a run.
const TTLS: [u64; 2] = [86_400_000, 400];

#[test]
fn a_right_service_breaks_no_rule() {
    for seed in 0..36 {
        let ttl_ms = TTLS[(seed % 2) as usize];
        let size = [20, 100, 600][(seed % 3) as usize];
        let verdict = Run { seed, calls: 3_000, clients: 16, size, ttl_ms, fault: Fault::None }.verdict();
        assert!(verdict.violations.is_empty(), "seed {seed}: {verdict}");
    }
}

#[test]
fn every_way_of_being_wrong_breaks_its_rule() {
    for (fault, rule) in [
        (Fault::TakesHeld, "one live holder"),
        (Fault::TakesAssigned, "assigned is final"),
        (Fault::GrantsMore, "never more than asked for"),
        (Fault::AnswersOthers, "same id, same codes"),
        (Fault::SaysShort, "never short"),
        (Fault::Forgets, "nothing lost"),
        (Fault::KeepsWhenShort, "nothing lost"),
        (Fault::SaysLost, "fenced"),
        (Fault::Miscounts, "counts agree"),
    ] {
        // A run in which a process dies unseen proves little of what came later.
        let caught = (0..6).filter(|seed| {
            let run = Run { seed: *seed, calls: 4_000, clients: 16, size: 300, ttl_ms: TTLS[0], fault };
            run.verdict().violations.iter().any(|violation| violation.rule == rule)
        });
        assert!(caught.count() > 2, "{fault:?} does not break {rule}");
    }
}

#[test]
fn many_calls_are_checked_soon() {
    let run = Run { seed: 5, calls: 200_000, clients: 64, size: 2_000, ttl_ms: TTLS[1], fault: Fault::None };
    let (histories, header, snapshot) = run.histories();
    let start = std::time::Instant::now();
    let verdict = check(&histories, &header, &snapshot);
    let took = start.elapsed();
    assert!(verdict.violations.is_empty(), "{verdict}");
    assert_eq!(verdict.calls, 200_000);
    assert!(took.as_secs() < 20, "it took {took:?}");
}
