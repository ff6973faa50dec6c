//! The window: candidates that look available, fetched ahead of those who want them.
//!
//! All free codes of a pool share one index key and come in the order in which they were saved, so every
//! process would begin at the same ones. A process that loses codes to others moves to a random place, the
//! further away the more it loses, and goes on from there with a cursor: what lies before the place is
//! skipped once, in the index, without reading documents.
//!
//! A *pass* begins at the first free code, goes through all free ones and then all expired ones. A pass that
//! finds nothing proves that the pool was empty at a moment after the pass began.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::action::Find;
use mongodb::bson::{DateTime, Document, RawDocument};
use mongodb::raw_batch_cursor::RawBatchCursor;
use rand::RngExt;

use super::candidates::{expired, failed, first_reserved, free};
use crate::claim::Pool;
use crate::document;
use crate::error::Result;
use crate::ids::Code;
use crate::store::Store;
use crate::task::{MEDIUM, SHORT, Within};

/// How far away the first place is, in codes, that a process moves to when it loses codes to others.
const SPREAD: u64 = 50_000;
/// A place where others come within this time was too near: the next one is twice as far away.
const TOO_SOON: Duration = Duration::from_secs(1);
/// How far away a place can be at the most.
const MAX_SPREAD: u64 = 640_000;
/// The fewest and the most candidates of one answer of the database.
const ANSWER: (usize, usize) = (256, 4_000);

/// What is fetched next.
enum Stage {
    /// The pool from a place on; 0 begins a pass.
    Free(u64),
    /// The codes that had expired at that time, which end a pass.
    Expired(DateTime),
    /// The cursor's next answer.
    Open(Box<Open>),
}

struct Open {
    cursor: RawBatchCursor,
    /// Of expired codes, or free ones.
    expired: bool,
    /// Where it began.
    place: u64,
    /// How many codes it gives at a time, and how many it has given yet.
    size: usize,
    given: usize,
}

/// Fetches candidates, one answer of the database at a time.
pub(super) struct Source {
    store: Store,
    pool: Pool,
    stage: Stage,
    spread: u64,
    /// When it moved there.
    moved: Option<Instant>,
    /// Whether the pass that is going on has found anything.
    found: bool,
    /// Whether it has met codes that are known already. Such a pool is not empty.
    met: bool,
    /// Whether a pass began since this was asked last.
    pass: Option<u64>,
    /// When that was.
    begun: Instant,
    /// The server's time when the pass began, and when that was here.
    time: Option<(DateTime, Instant)>,
    /// The last write before the pass that is going on, if that is known.
    last_write: Option<Document>,
    /// The last pass found nothing.
    calm: Option<Calm>,
}

/// The pool was empty, and is as long as nothing is written and no reservation expires.
struct Calm {
    /// The last write before the pass that found nothing. None: not known.
    last_write: Option<Document>,
    /// When the first reservation expires. None: there is none.
    until: Option<DateTime>,
}

/// One answer.
pub(super) struct Answer {
    pub(super) codes: Vec<Code>,
    /// Whether they are free, or expired.
    pub(super) free: bool,
    /// The pass that has ended with it and found nothing, by the number that [`Source::next`] was given.
    pub(super) empty_since: Option<u64>,
}

impl Source {
    pub(super) fn new(store: Store, pool: Pool) -> Self {
        Source {
            store,
            pool,
            stage: Stage::Free(0),
            spread: 0,
            moved: None,
            found: false,
            met: false,
            pass: None,
            begun: Instant::now(),
            time: None,
            last_write: None,
            calm: None,
        }
    }

    /// A moment of the server's clock, and when it was here; None before the first answer.
    pub(super) fn time(&self) -> Option<(DateTime, Instant)> {
        self.time
    }

    /// Forgets where it is, and begins with a pass.
    pub(super) fn rewind(&mut self) {
        self.stage = Stage::Free(0);
    }

    /// Moves to another place, because others take the codes here.
    pub(super) fn move_on(&mut self) {
        // The database passes over what lies before a place at a cost: no further than it takes.
        if self.spread == 0 {
            self.spread = SPREAD;
        } else if self.moved.is_none_or(|moved| moved.elapsed() < TOO_SOON) {
            self.spread = (self.spread * 2).min(MAX_SPREAD);
        }
        self.moved = Some(Instant::now());
        self.stage = Stage::Free(rand::rng().random_range(0..self.spread));
    }

    /// Opens a cursor anew that was opened when few wanted codes, while not much lies before its place.
    fn open_wider(&mut self, wanted: usize) {
        if let Stage::Open(open) = &self.stage
            && !open.expired
            && open.place == 0
            && open.given < ANSWER.1
            && wanted >= 4 * open.size
        {
            self.stage = Stage::Free(0);
        }
    }

    /// Whether the last pass found nothing and that is still so. What was taken is passed over in the index for
    /// minutes, at a cost: a pool that is sold out should not be searched for everybody who asks.
    async fn still_empty(&mut self) -> Result<bool> {
        // Gone until a pass ends that finds nothing: one that fails has proven nothing.
        let Some(calm) = self.calm.take() else {
            self.last_write = None;
            return Ok(false);
        };
        let moment = self.store.moment().await?;
        let unwritten = moment.last_write.is_some() && calm.last_write == moment.last_write;
        if unwritten && calm.until.is_none_or(|until| moment.time < until) {
            self.store.must_be_news(self.begun).await?;
            self.calm = Some(calm);
            return Ok(true);
        }
        self.last_write = moment.last_write;
        Ok(false)
    }

    /// After a pass that found nothing: for how long that will be so.
    async fn calm_down(&mut self) -> Result<()> {
        let last_write = self.last_write.take();
        // Before the first such pass nobody asked what was written last, and the next one will be made.
        let first = match last_write {
            Some(_) => first_reserved(&self.store, &self.pool).await?,
            None => None,
        };
        let ttl = document::millis(self.store.ttl);
        let until = first.map(|date| DateTime::from_millis(date.timestamp_millis() + ttl));
        self.calm = Some(Calm { last_write, until });
        Ok(())
    }

    /// Opens the next cursor; None if that can be spared, because the pool is still empty.
    async fn open(&mut self, size: usize, now: u64) -> Result<Option<Open>> {
        let opened = |cursor, expired, place| Some(Open { cursor, expired, place, size, given: 0 });
        match std::mem::replace(&mut self.stage, Stage::Free(0)) {
            Stage::Open(open) => Ok(Some(*open)),
            Stage::Free(0) => {
                (self.pass, self.found, self.met, self.begun) = (Some(now), false, false, Instant::now());
                if self.still_empty().await? {
                    return Ok(None);
                }
                let cursor = self.open_free(0, size).await?;
                Ok(opened(cursor, false, 0))
            }
            Stage::Free(place) => {
                let cursor = self.open_free(place, size).await?;
                Ok(opened(cursor, false, place))
            }
            Stage::Expired(time) => {
                Ok(opened(open(expired(&self.store, &self.pool, time), size).await?, true, 0))
            }
        }
    }

    /// The free codes from a place on; and what time it is.
    async fn open_free(&mut self, place: u64, size: usize) -> Result<RawBatchCursor> {
        // When the time was told is not when the codes were found.
        let time = async { self.store.server_time().await.map(|time| (time, Instant::now())) };
        // Both to their end, also when one fails.
        let (cursor, time) = tokio::join!(open(free(&self.store, &self.pool).skip(place), size), time);
        self.time = Some(time?);
        cursor
    }

    /// The next candidates but the `known` ones; about `size`. `now` numbers the passes that begin in it.
    pub(super) async fn next(&mut self, size: usize, known: &HashSet<Code>, now: u64) -> Result<Answer> {
        let size = size.clamp(ANSWER.0, ANSWER.1);
        self.open_wider(size);
        loop {
            let was_open = matches!(self.stage, Stage::Open(_));
            let Some(mut open) = self.open(size, now).await? else {
                return Ok(Answer { codes: Vec::new(), free: true, empty_since: Some(now) });
            };
            let Looked { codes, met, more } = match read(&mut open.cursor, &self.pool, known).await {
                // A cursor does not outlive its server being primary; the database may be well all the same.
                Err(_) if was_open => continue,
                read => read?,
            };
            self.found |= !codes.is_empty();
            self.met |= met;
            let free = !open.expired;
            let ended = !more && open.expired;
            self.stage = match self.time {
                _ if more => {
                    open.given += codes.len();
                    Stage::Open(Box::new(open))
                }
                // What expires after the pass has begun does not matter to the pass.
                Some((time, _)) if free && open.place == 0 => Stage::Expired(time),
                _ => {
                    if free {
                        // Behind the last free code: the place was too far away.
                        self.spread = (open.place / 2).max(1);
                    }
                    Stage::Free(0)
                }
            };
            if ended && !self.found {
                self.store.must_be_news(self.begun).await?;
                if !self.met {
                    self.calm_down().await?;
                }
            }
            if !codes.is_empty() || ended {
                let empty_since = self.pass.filter(|_| ended && !self.found);
                return Ok(Answer { codes, free, empty_since });
            }
        }
    }
}

/// One answer of the database.
struct Looked {
    /// The codes that are not known yet.
    codes: Vec<Code>,
    /// Whether known ones were among them.
    met: bool,
    /// Whether the cursor has more.
    more: bool,
}

async fn read(cursor: &mut RawBatchCursor, pool: &Pool, known: &HashSet<Code>) -> Result<Looked> {
    let mut looked = Looked { codes: Vec::new(), met: false, more: false };
    let Some(answer) = cursor.try_next().within(SHORT).await.map_err(failed)? else { return Ok(looked) };
    for document in answer.doc_slices().map_err(failed)? {
        let document = document.ok().and_then(|value| value.as_document());
        let Some(code) = document.and_then(|document| code_of(document, pool)) else { continue };
        if known.contains(&code) {
            looked.met = true;
        } else {
            looked.codes.push(code);
        }
    }
    let more = answer.as_raw_document().get_document("cursor").and_then(|cursor| cursor.get_i64("id"));
    looked.more = more.is_ok_and(|id| id != 0);
    Ok(looked)
}

/// The code of a candidate. None if its `_id` is not made as ours are: no claim could ever name it.
fn code_of(document: &RawDocument, pool: &Pool) -> Option<Code> {
    let mut fields = document.get_document("_id").ok()?.iter();
    let (first, campaign) = fields.next()?.ok()?;
    let (second, code) = fields.next()?.ok()?;
    let ours = first == "campaign_id"
        && campaign.as_str() == Some(pool.campaign.as_str())
        && second == "code"
        && fields.next().is_none();
    code.as_str().filter(|_| ours).map(Code::from_stored)
}

async fn open(find: Find<'_, Document>, size: usize) -> Result<RawBatchCursor> {
    find.batch_size(u32::try_from(size).expect("a few thousand")).batch().within(MEDIUM).await.map_err(failed)
}
