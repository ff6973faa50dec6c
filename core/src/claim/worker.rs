//! The worker of a pool: brings those who want codes and the candidates together.

mod outcomes;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::DateTime;
use mongodb::error::Error as DriverError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use super::batch::{self, Failure, Share};
use super::window::{Answer, Source};
use super::{Claim, Holder, Pool};
use crate::document;
use crate::error::{Error, Result};
use crate::ids::Code;
use crate::store::Store;

/// How many batches fly at once: while one waits for the journal, another is at work.
const FLYING: usize = 3;
/// From how many codes on a batch is worth a command of its own beside one that flies. A command costs the
/// database what a dozen codes in it cost, and each that flies beside others slows them.
const WORTH: usize = 64;
/// The most codes of a batch.
const BATCH: usize = 1_000;
/// How many codes one caller can get out of a batch while others wait.
const SHARE: usize = 250;
/// How many tasks lie between an answer and the next call of the caller who gets it, at the most.
const HOPS: usize = 3;
/// A task that panics is a mistake of ours, and what it knew is lost: so is the worker.
const NO_PANIC: &str = "a task does not panic";
/// How long a window is worth something while nobody asks, and a worker lives on.
const IDLE: Duration = Duration::from_secs(5);

/// What a caller wants.
pub(super) struct Demand {
    pub(super) holder: Holder,
    pub(super) want: usize,
    pub(super) reply: oneshot::Sender<Claim>,
    /// What its caller is doing, for whoever traces that.
    pub(super) span: Span,
    /// Whoever closes waits for it, also when its caller has gone.
    pub(super) _busy: TaskTrackerToken,
}

/// A demand that is being served.
struct Open {
    demand: Demand,
    /// How many candidates it still needs.
    missing: usize,
    /// How many candidates are in batches for it. It ends only when there are none.
    flying: usize,
    won: HashSet<Code>,
    /// A batch of it has failed, or the pool could not be looked at.
    error: Option<Error>,
    /// A moment of the server's clock before the first of its batches.
    time: Option<DateTime>,
    /// When it came, in the numbering of [`Worker::now`].
    since: u64,
    begun: Instant,
}

impl Open {
    /// Whether what it won first is anybody's again.
    fn has_expired(&self, now: DateTime, ttl: Duration) -> bool {
        self.time.is_some_and(|since| document::later(since, ttl) <= now)
    }
}

/// Something that the worker waited for.
enum Event {
    Batch {
        batch: Batch,
        outcome: std::result::Result<(), Failure>,
    },
    /// It is known what became of a batch that had failed; or will never be.
    Resolved {
        batch: Batch,
        failure: Failure,
        outcome: std::result::Result<(), DriverError>,
    },
    Fetched {
        source: Box<Source>,
        answer: Result<Answer>,
    },
}

/// A batch on its way.
struct Batch {
    shares: Vec<Share>,
    sent: Vec<Code>,
    /// When the server must have begun with it, by its clock.
    deadline: DateTime,
}

pub(super) struct Worker {
    store: Store,
    pool: Pool,
    demands: mpsc::UnboundedReceiver<Demand>,
    open: HashMap<u64, Open>,
    /// The open demands with candidates missing, in the order of their turn.
    waiting: VecDeque<u64>,
    /// How many candidates they miss in all.
    missing: usize,
    window: VecDeque<Code>,
    /// The number of free candidates in it, for everybody to see.
    ahead: Arc<AtomicUsize>,
    /// Whether every candidate of the window is free, and none expired.
    window_free: bool,
    /// When the last of them came.
    window_since: Instant,
    /// The candidates in the window and in flying batches.
    known: HashSet<Code>,
    /// None while it fetches.
    source: Option<Box<Source>>,
    /// Others take the codes where the source is.
    crowded: bool,
    /// What is being fetched comes from where the source was before it was to begin again.
    outdated: bool,
    /// A moment of the server's clock, and when it was here.
    time: Option<(DateTime, Instant)>,
    tasks: JoinSet<Event>,
    flying: usize,
    /// How many batches have lost their reply and are being looked for.
    astray: usize,
    /// How many candidates the last batches used: how many to fetch ahead.
    appetite: usize,
    /// A pass found nothing, and nothing has changed since.
    dry: bool,
    /// Counts what happens: a pass that began at 7 is younger than a demand that came at 6.
    now: u64,
    /// When candidates were forgotten last. A pass that began before passed over them as known, and so has
    /// not seen that the pool is empty.
    forgot: u64,
}

impl Worker {
    pub(super) fn new(
        store: Store,
        pool: Pool,
        demands: mpsc::UnboundedReceiver<Demand>,
        ahead: Arc<AtomicUsize>,
    ) -> Self {
        let source = Some(Box::new(Source::new(store.clone(), pool.clone())));
        Worker {
            store,
            pool,
            demands,
            open: HashMap::new(),
            waiting: VecDeque::new(),
            missing: 0,
            window: VecDeque::new(),
            ahead,
            window_free: true,
            window_since: Instant::now(),
            known: HashSet::new(),
            source,
            crowded: false,
            outdated: false,
            time: None,
            tasks: JoinSet::new(),
            flying: 0,
            astray: 0,
            appetite: 0,
            dry: false,
            now: 0,
            forgot: 0,
        }
    }

    /// Works until nobody has wanted anything for a while, or nobody can any more.
    pub(super) async fn run(mut self) {
        loop {
            // What is dropped with a task that runs is a command half way.
            let idle = self.open.is_empty() && self.tasks.is_empty();
            tokio::select! {
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.admit(demand),
                    None if idle => return,
                    None => self.next_event().await,
                },
                Some(event) = self.tasks.join_next() => self.handle(event.expect(NO_PANIC)),
                () = tokio::time::sleep(IDLE), if idle => {
                    self.demands.close();
                }
            }
            self.gather().await;
            self.send_batches();
            self.fetch();
            let free = if self.window_free { self.window.len() } else { 0 };
            self.ahead.store(free, Ordering::Relaxed);
        }
    }

    /// Takes in whoever was woken by the same event: that is company, and no waiting.
    async fn gather(&mut self) {
        for _ in 0..HOPS {
            tokio::task::yield_now().await;
            while let Ok(demand) = self.demands.try_recv() {
                self.admit(demand);
            }
            while let Some(event) = self.tasks.try_join_next() {
                self.handle(event.expect(NO_PANIC));
            }
        }
    }

    async fn next_event(&mut self) {
        if let Some(event) = self.tasks.join_next().await {
            self.handle(event.expect(NO_PANIC));
        }
    }

    fn admit(&mut self, demand: Demand) {
        self.now += 1;
        let (missing, time) = (demand.want, demand.holder.date);
        self.missing += missing;
        let (since, begun) = (self.now, Instant::now());
        let open = Open { missing, flying: 0, won: HashSet::new(), error: None, time, since, begun, demand };
        self.open.insert(self.now, open);
        self.waiting.push_back(self.now);
        self.dry = false;
    }

    fn send_batches(&mut self) {
        if !self.window.is_empty() && self.window_since.elapsed() > IDLE {
            self.empty_window();
        }
        if self.flying < FLYING {
            self.forget_the_gone();
        }
        while let Some(size) = self.next_size() {
            let now = self.server_time();
            let mut shares = self.deal(size, now);
            if shares.is_empty() {
                continue;
            }
            let sent: Vec<Code> = shares.iter().flat_map(|share| share.codes.iter().cloned()).collect();
            let deadline = batch::deadline(now, &shares);
            self.appetite = sent.len().max(self.appetite * 7 / 8);
            self.flying += 1;
            let span = self.open[&shares[0].demand].demand.span.clone();
            let (store, pool, free) = (self.store.clone(), self.pool.clone(), self.window_free);
            let work = async move {
                let outcome = batch::take(&store, &pool, &mut shares, free, deadline).await;
                Event::Batch { batch: Batch { shares, sent, deadline }, outcome }
            };
            self.tasks.spawn(work.instrument(span));
        }
    }

    /// The server's clock, as far as it is known here: it was asked when the candidates were.
    fn server_time(&self) -> DateTime {
        let (then, here) = self.time.expect("whoever has candidates has asked for the time");
        document::later(then, here.elapsed())
    }

    /// Sends nothing more for callers who have left.
    fn forget_the_gone(&mut self) {
        let mut gone = Vec::new();
        self.waiting.retain(|number| {
            let stays = !self.open[number].demand.reply.is_closed();
            if !stays {
                gone.push(*number);
            }
            stays
        });
        self.end(gone);
    }

    /// How many codes the next batch takes; None if there is none to send now.
    fn next_size(&self) -> Option<usize> {
        if self.flying == FLYING {
            return None;
        }
        // In equal parts, as many as may fly: the database works on one while it makes another durable.
        let all = self.missing + self.known.len() - self.window.len();
        let part = all.div_ceil((all / WORTH).clamp(1, FLYING));
        let size = self.missing.min(self.window.len()).min(part);
        let worth = size > 0 && (self.flying == 0 || size >= WORTH);
        worth.then_some(size.min(BATCH))
    }

    /// Deals candidates out to those who wait, in turn: who wants many gets a share, and its next turn later.
    fn deal(&mut self, mut room: usize, now: DateTime) -> Vec<Share> {
        let share = if self.waiting.len() > 1 { SHARE } else { BATCH };
        let (mut shares, mut later, mut late) = (Vec::new(), Vec::new(), Vec::new());
        while room > 0
            && let Some(number) = self.waiting.pop_front()
        {
            let open = self.open.get_mut(&number).expect("who waits is open");
            if open.demand.holder.lease.is_over(now) || open.has_expired(now, self.store.ttl) {
                open.error.get_or_insert_with(Error::held_up);
                late.push(number);
                continue;
            }
            let codes: Vec<Code> = self.window.drain(..open.missing.min(share).min(room)).collect();
            room -= codes.len();
            self.missing -= codes.len();
            open.missing -= codes.len();
            open.flying += codes.len();
            open.time.get_or_insert(now);
            if open.missing > 0 {
                later.push(number);
            }
            let holder = open.demand.holder.clone();
            shares.push(Share { demand: number, holder, asked: codes.len(), codes });
        }
        self.waiting.extend(later);
        self.end(late);
        shares
    }

    fn fetch(&mut self) {
        let wanted = self.missing;
        let ahead = self.appetite * FLYING;
        let short = self.window.len() < wanted.max(ahead).min(BATCH * FLYING);
        if !short || self.dry || (self.open.is_empty() && self.window.is_empty()) {
            return;
        }
        let Some(mut source) = self.source.take() else { return };
        if std::mem::take(&mut self.crowded) {
            source.move_on();
        }
        self.now += 1;
        let (known, now) = (self.known.clone(), self.now);
        let size = wanted.max(ahead * 2);
        let first = self.waiting.front().map(|number| self.open[number].demand.span.clone());
        let work = async move {
            let answer = source.next(size, &known, now).await;
            Event::Fetched { source, answer }
        };
        self.tasks.spawn(work.instrument(first.unwrap_or_else(Span::none)));
    }

    fn empty_window(&mut self) {
        self.now += 1;
        self.forgot = self.now;
        self.dry = false;
        for code in self.window.drain(..) {
            self.known.remove(&code);
        }
        match &mut self.source {
            Some(source) => source.rewind(),
            None => self.outdated = true,
        }
    }
}
