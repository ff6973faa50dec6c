//! A client process: callers that reserve, assign, release, count and upload, as a seed tells them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use code_service::{
    CampaignId, Code, CodeService, CodeType, Error, ErrorKind, Options, Reserve, ReserveId, Rows,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::history::{Call, Outcome, Status, WallMs};
use crate::plan::{EXPIRING, MIXED, Orders, PLENTY, SCARCE, Wish};
use crate::record::{Recorder, now};

/// For how long the same shared id is drawn, in microseconds.
const SLOT: u64 = 150_000;

/// Codes that a caller has been told are its own.
pub(crate) struct Held {
    pub(crate) pool: usize,
    pub(crate) id: String,
    pub(crate) codes: Vec<String>,
    /// Nobody else knows the id.
    alone: bool,
}

/// One of the callers of a process.
pub(crate) struct Caller {
    name: String,
    orders: Arc<Orders>,
    recorder: Arc<Recorder>,
    /// One for each pool: the time that reservations last is a service's.
    services: Vec<CodeService>,
    rng: StdRng,
    held: Vec<Held>,
    /// Wishes under ids of the caller's that have been made before.
    before: Vec<Wish>,
    turn: u64,
}

/// A service for each pool; those whose reservations last the same share one.
pub(crate) async fn services(orders: &Orders, uri: &str) -> Vec<CodeService> {
    let mut services: Vec<CodeService> = Vec::new();
    for (place, pool) in orders.pools.iter().enumerate() {
        if let Some(same) = orders.pools[..place].iter().position(|other| other.ttl_ms == pool.ttl_ms) {
            services.push(services[same].clone());
            continue;
        }
        let mut options = Options::new(uri);
        options.reservation_ttl = Duration::from_millis(pool.ttl_ms);
        options.sweep_interval = Duration::from_secs(2);
        services.push(loop {
            match CodeService::connect(options.clone()).await {
                Ok(service) => break service,
                // It was started in the middle of a fault.
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    services
}

/// What `chaos client ORDERS` does for ours.
pub(crate) async fn run(orders: Orders, uri: &str) {
    let recorder = Arc::new(Recorder::create(&orders.history(), orders.number, false));
    let services = services(&orders, uri).await;
    let orders = Arc::new(orders);
    let callers: Vec<_> = (0..orders.callers)
        .map(|number| {
            let caller = Caller::new(&orders, &recorder, services.clone(), number);
            tokio::spawn(caller.call_until_the_end())
        })
        .collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
}

impl Caller {
    pub(crate) fn new(
        orders: &Arc<Orders>,
        recorder: &Arc<Recorder>,
        services: Vec<CodeService>,
        number: u32,
    ) -> Caller {
        Caller {
            name: format!("{}-{number}", orders.number),
            orders: orders.clone(),
            recorder: recorder.clone(),
            services,
            rng: StdRng::seed_from_u64(orders.seed ^ (u64::from(orders.number) << 32) ^ u64::from(number)),
            held: Vec::new(),
            before: Vec::new(),
            turn: 0,
        }
    }

    async fn call_until_the_end(mut self) {
        let end = Orders::end_of(&self.orders.folder);
        while !end.exists() {
            self.turn += 1;
            match self.rng.random_range(0..1_000) {
                _ if self.held.len() > 6 => self.settle().await,
                0..540 => self.reserve_something().await,
                540..550 => self.recover_something().await,
                550..985 => self.settle().await,
                985..997 => self.upload().await,
                // A count is work for the database.
                _ => self.count().await,
            }
        }
    }

    async fn reserve_something(&mut self) {
        let again = (!self.before.is_empty() && self.rng.random_bool(0.1))
            .then(|| self.rng.random_range(0..self.before.len()));
        let wish = match again {
            Some(place) => {
                let mut wish = self.before[place].clone();
                // Not what was wished for the first time.
                wish.count += u32::from(self.rng.random_bool(0.1));
                wish
            }
            None => Wish::draw(&mut self.rng, &self.name, self.turn, now() / SLOT),
        };
        if let Some(held) = self.reserve(&wish).await {
            // What comes again is in good hands already.
            if again.is_none() {
                self.held.push(held);
            }
        }
        if again.is_none() && wish.id.is_some() {
            if self.before.len() > 20 {
                self.before.remove(0);
            }
            self.before.push(wish);
        }
    }

    /// Asks what became of an id that others may be reserving under.
    async fn recover_something(&mut self) {
        if let Some(Wish { pool, id: Some(id), .. }) = self.before.last().cloned() {
            self.recover(pool, &id).await;
        }
    }

    /// Reserves; asks what became of it when that is unknown.
    pub(crate) async fn reserve(&mut self, wish: &Wish) -> Option<Held> {
        let Wish { pool, count, partial, id, shared } = wish.clone();
        let service = &self.services[pool];
        let mut ours = Reserve::new(self.campaign(pool), self.code_type(pool), count);
        ours.partial = partial;
        ours.reserve_id = id.as_deref().map(reserve_id);
        let what = Call::Reserve { pool, count, partial, id };
        let outcome = self.recorder.call(what, async { reserved(service.reserve(ours).await) }).await;
        let (id, codes) = match outcome {
            Outcome::Got { id, codes, .. } => (id, codes),
            Outcome::Unknown { id } => {
                let codes = self.recover(pool, &id).await?;
                (id, codes)
            }
            _ => return None,
        };
        (!codes.is_empty()).then_some(Held { pool, id, codes, alone: !shared })
    }

    async fn recover(&self, pool: usize, id: &str) -> Option<Vec<String>> {
        loop {
            let service = &self.services[pool];
            let answer = async { recovered(service.recover(&reserve_id(id)).await) };
            match self.recorder.call(Call::Recover { id: id.to_owned() }, answer).await {
                Outcome::Held { codes, .. } => {
                    let reserved = codes.into_iter().filter(|(_, status)| *status == Status::Reserved);
                    return Some(reserved.map(|(code, _)| code).collect());
                }
                Outcome::Unavailable => {}
                _ => return None,
            }
        }
    }

    /// Assigns or releases some of what it holds.
    async fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let Held { pool, id, mut codes, alone } =
            self.held.swap_remove(self.rng.random_range(0..self.held.len()));
        let rest = if self.rng.random_bool(0.1) { codes.split_off(codes.len() / 2) } else { Vec::new() };
        if !rest.is_empty() {
            self.held.push(Held { pool, id: id.clone(), codes: rest, alone });
        }
        if codes.is_empty() {
            return;
        }
        // Whoever names no id must be sure to be the holder: not so where others know the id, or it expires.
        let fenced = !alone || [SCARCE, EXPIRING].contains(&pool) || self.rng.random_bool(0.7);
        let for_good = match pool {
            PLENTY | MIXED => 0.1,
            EXPIRING => 0.05,
            _ => 0.0,
        };
        if pool == EXPIRING && self.rng.random_bool(0.5) {
            // Left to expire.
            return;
        }
        let assign = self.rng.random_bool(for_good);
        self.end(pool, fenced.then_some(id), codes, assign).await;
    }

    pub(crate) async fn end(&self, pool: usize, id: Option<String>, codes: Vec<String>, assign: bool) {
        let (service, campaign) = (&self.services[pool], self.campaign(pool));
        let named: Vec<Code> =
            codes.iter().map(|code| Code::parse(code).expect("it came from there")).collect();
        let under = id.as_deref().map(reserve_id);
        let answer = async {
            let report = if assign {
                service.assign(&campaign, named, under.as_ref()).await
            } else {
                service.release(&campaign, named, under.as_ref()).await
            };
            match report {
                Ok(report) => Outcome::Settled { updated: report.updated, lost: texts(report.lost) },
                Err(error) => unavailable(&error),
            }
        };
        let what = if assign { Call::Assign { pool, id, codes } } else { Call::Release { pool, id, codes } };
        self.recorder.call(what, answer).await;
    }

    async fn count(&mut self) {
        let pool = self.rng.random_range(0..self.services.len());
        self.count_pool(pool, false).await;
    }

    pub(crate) async fn count_pool(&self, pool: usize, calm: bool) -> Outcome {
        let answer = async {
            match self.services[pool].count(&self.campaign(pool), &self.code_type(pool)).await {
                Ok(counts) => Outcome::Counts {
                    available: counts.available,
                    reserved: counts.reserved,
                    assigned: counts.assigned,
                },
                Err(error) => unavailable(&error),
            }
        };
        self.recorder.call(Call::Count { pool, calm }, answer).await
    }

    /// Uploads some codes of a pool once more: whatever they are, they stay.
    async fn upload(&mut self) {
        let pool = self.rng.random_range(0..self.services.len());
        let some = (0..20).map(|_| self.rng.random_range(0..self.orders.pools[pool].size));
        let codes: Vec<String> = some.map(|number| self.orders.pools[pool].code(number)).collect();
        let rows = Rows::codes(codes.clone());
        let answer = async {
            match self.services[pool].save(&self.campaign(pool), &self.code_type(pool), rows).await {
                Ok(_) => Outcome::Saved,
                Err(error) => unavailable(&error),
            }
        };
        self.recorder.call(Call::Save { pool, codes }, answer).await;
    }

    fn campaign(&self, pool: usize) -> CampaignId {
        CampaignId::parse(&*self.orders.pools[pool].campaign).expect("valid")
    }

    fn code_type(&self, pool: usize) -> CodeType {
        CodeType::parse(&*self.orders.pools[pool].code_type).expect("valid")
    }
}

fn reserve_id(text: &str) -> ReserveId {
    ReserveId::parse(text).expect("valid")
}

fn texts(codes: Vec<Code>) -> Vec<String> {
    codes.into_iter().map(|code| code.as_str().to_owned()).collect()
}

fn milliseconds(time: SystemTime) -> WallMs {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    WallMs::try_from(since.as_millis()).expect("before the year 292,000,000")
}

fn reserved(answer: code_service::Result<code_service::Reservation>) -> Outcome {
    match answer {
        Ok(reservation) => Outcome::Got {
            id: reservation.reserve_id.as_str().to_owned(),
            codes: texts(reservation.codes),
            reserved_ms: milliseconds(reservation.reserved),
            expires_ms: milliseconds(reservation.expires),
            replayed: reservation.replayed,
        },
        Err(Error::NotEnoughCodes { available, .. }) => Outcome::Short { available },
        Err(Error::ReservationMismatch { .. }) => Outcome::Mismatch,
        Err(Error::ReservationExpired) => Outcome::Expired,
        Err(Error::OutcomeUnknown { reserve_id, .. }) => {
            Outcome::Unknown { id: reserve_id.as_str().to_owned() }
        }
        Err(error) => unavailable(&error),
    }
}

fn recovered(answer: code_service::Result<Option<code_service::ReservationState>>) -> Outcome {
    match answer {
        Ok(None) => Outcome::Nothing,
        Ok(Some(state)) => {
            let status = |status| match status {
                code_service::Status::Available => Status::Available,
                code_service::Status::Reserved => Status::Reserved,
                code_service::Status::Assigned => Status::Assigned,
            };
            let codes =
                state.codes.iter().map(|code| (code.code.as_str().to_owned(), status(code.status))).collect();
            Outcome::Held {
                codes,
                reserved_ms: milliseconds(state.reserved),
                expires_ms: milliseconds(state.expires),
            }
        }
        Err(error) => unavailable(&error),
    }
}

/// # Panics
/// If the database is not to blame: then the service has a fault, and the run has found it.
fn unavailable(error: &Error) -> Outcome {
    let source = std::error::Error::source(error).map(ToString::to_string);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: {source:?}");
    Outcome::Unavailable
}
