//! What batches and looks at the pool came to, and what that means for those who wait.

use std::time::Instant;

use mongodb::error::Error as DriverError;
use rand::seq::SliceRandom;
use tracing::{Instrument, Span};

use super::{Batch, Demand, Event, Open, Worker};
use crate::claim::Claim;
use crate::claim::batch::{Failure, Share};
use crate::claim::resolve::{self, resolve};
use crate::claim::window::Answer;
use crate::error::{Error, ErrorKind};
use crate::observer;
use crate::store::cause;

impl Worker {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Batch { batch, outcome } => {
                self.flying -= 1;
                match outcome {
                    Ok(()) => self.won(batch, None),
                    Err(failure) if failure.sent => self.look_for(batch, failure),
                    Err(failure) => self.not_sent(batch, &failure.error),
                }
            }
            Event::Resolved { batch, failure, outcome } => {
                self.astray -= 1;
                // A pass since then has passed over its candidates as known.
                self.now += 1;
                self.forgot = self.now;
                match outcome {
                    Ok(()) => self.won(batch, Some(&failure.error)),
                    Err(error) => self.lost_track(batch, &error),
                }
            }
            Event::Fetched { mut source, answer } => {
                self.time = source.time();
                let outdated = std::mem::take(&mut self.outdated);
                if outdated {
                    source.rewind();
                }
                self.source = Some(source);
                match answer {
                    Ok(_) if outdated => (),
                    Ok(answer) => self.fill(answer),
                    Err(error) => self.fail(&error),
                }
            }
        }
    }

    /// A batch has failed. It flies no more, so that others can; its callers wait until it is known what they won.
    fn look_for(&mut self, mut batch: Batch, failure: Failure) {
        self.astray += 1;
        self.store.saw(observer::Event::ReadBack);
        self.empty_window();
        let over = resolve::over(batch.deadline, &failure);
        let (store, pool) = (self.store.clone(), self.pool.clone());
        let span = batch.shares.first().and_then(|share| self.open.get(&share.demand));
        let span = span.map_or_else(Span::none, |open| open.demand.span.clone());
        let work = async move {
            let outcome = resolve(&store, &pool, &mut batch.shares, over).await;
            Event::Resolved { batch, failure, outcome }
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// The candidates of a batch may be looked at again.
    fn forget(&mut self, batch: Batch) -> Vec<Share> {
        self.dry = false;
        for code in &batch.sent {
            self.known.remove(code);
        }
        batch.shares
    }

    /// `failure`: what the batch had met before it was known what it won. Those who lost try again, unless it
    /// would only be met again, or has been for too long.
    fn won(&mut self, batch: Batch, failure: Option<&Error>) {
        let shares = self.forget(batch);
        let asked: usize = shares.iter().map(|share| share.asked).sum();
        let won: usize = shares.iter().map(|share| share.codes.len()).sum();
        self.store.saw(observer::Event::Batch { callers: shares.len(), codes: asked, won });
        if (asked - won) * 4 > asked {
            // What else is in the window was seen at the same place and time.
            self.empty_window();
            self.crowded = true;
        }
        // From the last to the first: who lost first has its next turn first.
        for share in shares.into_iter().rev() {
            let Some(open) = self.open.get_mut(&share.demand) else { continue };
            open.flying -= share.asked;
            let before = open.won.len();
            // What somebody has released meanwhile may be won again, and is one code all the same.
            open.won.extend(share.codes);
            let lost = share.asked - (open.won.len() - before);
            let for_good = failure.filter(|failure| {
                failure.kind() != ErrorKind::Unavailable || open.begun.elapsed() > self.store.patience
            });
            if let Some(failure) = for_good.filter(|_| lost > 0) {
                open.error.get_or_insert_with(|| again(failure));
                self.give_up(share.demand);
                continue;
            }
            if open.error.is_none() && lost > 0 {
                if open.missing == 0 {
                    self.waiting.push_front(share.demand);
                }
                open.missing += lost;
                self.missing += lost;
            }
            if open.missing == 0 && open.flying == 0 {
                self.answer(share.demand);
            }
        }
    }

    /// Nothing was won, and nothing will be.
    fn not_sent(&mut self, batch: Batch, error: &Error) {
        self.empty_window();
        for share in self.forget(batch) {
            let Some(open) = self.open.get_mut(&share.demand) else { continue };
            open.flying -= share.asked;
            open.error.get_or_insert_with(|| again(error));
            self.give_up(share.demand);
        }
    }

    /// What these have won will not be known.
    fn lost_track(&mut self, batch: Batch, error: &DriverError) {
        for share in self.forget(batch) {
            let Some(open) = self.open.get_mut(&share.demand) else { continue };
            open.flying -= share.asked;
            let reserve_id = share.holder.id;
            open.error = Some(Error::OutcomeUnknown { reserve_id, source: cause(error) });
            self.give_up(share.demand);
        }
    }

    fn give_up(&mut self, number: u64) {
        self.waiting.retain(|waiting| *waiting != number);
        self.end(vec![number]);
    }

    /// Looks for no more codes for these, who do not wait any more.
    pub(super) fn end(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            let Some(open) = self.open.get_mut(&number) else { continue };
            self.missing -= std::mem::take(&mut open.missing);
            if open.flying == 0 {
                self.answer(number);
            }
        }
    }

    /// Answers one who has nothing in flight with what there is.
    fn answer(&mut self, number: u64) {
        let Some(mut open) = self.open.remove(&number) else { return };
        if self.time.is_some() && open.has_expired(self.server_time(), self.store.ttl) {
            open.error.get_or_insert_with(Error::held_up);
        }
        let Open { demand: Demand { holder, reply, .. }, won, error, time, .. } = open;
        let since = time.filter(|_| !won.is_empty() || holder.date.is_some());
        // To whoever does not wait any more it cannot be sent: it is dropped, and its codes go back.
        let _ = reply.send(Claim::new(self.store.clone(), holder, won.into_iter().collect(), since, error));
    }

    fn fill(&mut self, answer: Answer) {
        if !answer.codes.is_empty() {
            self.window_free = answer.free && (self.window_free || self.window.is_empty());
            self.window_since = Instant::now();
            let mut codes = answer.codes;
            codes.retain(|code| self.known.insert(code.clone()));
            // Where two processes look at the same codes, they should not begin with the same ones.
            codes.shuffle(&mut rand::rng());
            let candidates = codes.len();
            self.window.extend(codes);
            self.store.saw(observer::Event::Fetched { candidates, window: self.window.len() });
            return;
        }
        let Some(pass) = answer.empty_since.filter(|pass| *pass > self.forgot) else { return };
        self.store.saw(observer::Event::Fetched { candidates: 0, window: self.window.len() });
        // What flies may be lost yet, and then the pool must be looked at again.
        if !self.window.is_empty() || self.flying + self.astray > 0 {
            self.dry = true;
            return;
        }
        let (short, later): (Vec<u64>, Vec<u64>) =
            self.waiting.iter().partition(|number| self.open[number].since < pass);
        self.dry = later.is_empty();
        self.waiting = later.into();
        self.end(short);
    }

    /// The pool cannot be looked at: nobody who waits gets any further than what is in the window.
    fn fail(&mut self, error: &Error) {
        if !self.window.is_empty() {
            self.dry = true;
            return;
        }
        let waiting: Vec<u64> = self.waiting.drain(..).collect();
        for number in &waiting {
            let open = self.open.get_mut(number).expect("who waits is open");
            open.error.get_or_insert_with(|| again(error));
        }
        self.end(waiting);
    }
}

/// The same error for one more caller.
fn again(error: &Error) -> Error {
    match error {
        Error::Closed => Error::Closed,
        Error::Unavailable { reason, .. } => Error::Unavailable { reason: reason.clone(), source: None },
        other => Error::Internal { reason: other.to_string(), source: None },
    }
}
