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

use futures_util::{StreamExt, TryStreamExt};
use mongodb::action::Find;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{Hint, ReadConcern};
use mongodb::raw_batch_cursor::RawBatchCursor;
use rand::RngExt;

use crate::claim::Pool;
use crate::error::{Error, Result};
use crate::ids::Code;
use crate::store::{Store, database_error};
use crate::{document, indexes};

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
    /// The expired codes, which end a pass.
    Expired,
    /// The cursor's next answer, of so many codes; how many it has given yet.
    Open { cursor: Box<RawBatchCursor>, expired: bool, place: u64, size: usize, given: usize },
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
    /// The server's time when the pass began, and when that was here.
    time: Option<(DateTime, Instant)>,
    /// The last pass found nothing.
    calm: Option<Calm>,
}

/// The pool was empty, and is as long as nothing is written and no reservation expires.
#[derive(Default)]
struct Calm {
    /// The last write before the pass began that found nothing. None: not known.
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
            time: None,
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
        if let Stage::Open { expired: false, place: 0, size, given, .. } = self.stage
            && wanted >= 4 * size
            && given < ANSWER.1
        {
            self.stage = Stage::Free(0);
        }
    }

    /// Whether the last pass found nothing and that is still so. What was taken is passed over in the index for
    /// minutes, at a cost: a pool that is sold out should not be searched for everybody who asks.
    async fn still_empty(&mut self) -> Result<bool> {
        let Some(calm) = &mut self.calm else { return Ok(false) };
        let moment = self.store.moment().await?;
        let still = moment.last_write.is_some()
            && calm.last_write == moment.last_write
            && calm.until.is_none_or(|until| moment.time < until);
        calm.last_write = moment.last_write;
        Ok(still)
    }

    /// After a pass that found nothing: finds out for how long that will be so.
    async fn look_ahead(&mut self) -> Result<()> {
        let Some(calm) = &mut self.calm else {
            // What was written before this pass is not known; before the next one it will be.
            self.calm = Some(Calm::default());
            return Ok(());
        };
        let first = first_reserved(&self.store, &self.pool).await?;
        calm.until = first
            .map(|date| DateTime::from_millis(date.timestamp_millis() + document::millis(self.store.ttl)));
        Ok(())
    }

    /// The next candidates but the `known` ones; about `size`. `now` numbers the passes that begin in it.
    pub(super) async fn next(&mut self, size: usize, known: &HashSet<Code>, now: u64) -> Result<Answer> {
        let size = size.clamp(ANSWER.0, ANSWER.1);
        self.open_wider(size);
        loop {
            let was_open = matches!(self.stage, Stage::Open { .. });
            let (mut cursor, expired, place, size, given) =
                match std::mem::replace(&mut self.stage, Stage::Free(0)) {
                    Stage::Open { cursor, expired, place, size, given } => {
                        (cursor, expired, place, size, given)
                    }
                    Stage::Free(place) => {
                        if place == 0 {
                            (self.pass, self.found, self.met) = (Some(now), false, false);
                            if self.still_empty().await? {
                                return Ok(Answer { codes: Vec::new(), free: true, empty_since: Some(now) });
                            }
                        }
                        let find = free(&self.store, &self.pool).skip(place);
                        let cursor = if place == 0 {
                            let (cursor, time) =
                                tokio::try_join!(open(find, size), self.store.server_time())?;
                            self.time = Some((time, Instant::now()));
                            cursor
                        } else {
                            open(find, size).await?
                        };
                        (Box::new(cursor), false, place, size, 0)
                    }
                    Stage::Expired => {
                        // The pass began before this moment, so what had not expired then does not matter to it.
                        let time = self.time.map_or(DateTime::MIN, |(time, _)| time);
                        (
                            Box::new(open(expired_codes(&self.store, &self.pool, time), size).await?),
                            true,
                            0,
                            size,
                            0,
                        )
                    }
                };
            let Looked { codes, met, more } = match read(&mut cursor, known).await {
                // A cursor does not outlive its server being primary; the database may be well all the same.
                Err(_) if was_open => continue,
                read => read?,
            };
            self.found |= !codes.is_empty();
            self.met |= met;
            self.stage = match (more, expired, place) {
                (true, ..) => Stage::Open { cursor, expired, place, size, given: given + codes.len() },
                (false, false, 0) => Stage::Expired,
                (false, false, _) => {
                    // Behind the last free code: the place was too far away.
                    self.spread = (place / 2).max(1);
                    Stage::Free(0)
                }
                (false, true, _) => Stage::Free(0),
            };
            let ended = !more && expired;
            if ended && !self.found && !self.met {
                self.look_ahead().await?;
            }
            if !codes.is_empty() || ended {
                if self.found || self.met {
                    self.calm = None;
                }
                let empty_since = self.pass.filter(|_| ended && !self.found);
                return Ok(Answer { codes, free: !expired, empty_since });
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

async fn read(cursor: &mut RawBatchCursor, known: &HashSet<Code>) -> Result<Looked> {
    let mut looked = Looked { codes: Vec::new(), met: false, more: false };
    let Some(answer) = cursor.next().await else { return Ok(looked) };
    let answer = answer.map_err(failed)?;
    for document in answer.doc_slices().map_err(failed)? {
        let document = document.ok().and_then(|value| value.as_document()).ok_or_else(corrupt)?;
        let code = document.get_document("_id").and_then(|id| id.get_str("code")).map_err(|_| corrupt())?;
        let code = Code::from_stored(code);
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

/// The free codes, by their place in the index alone: what is skipped is not read.
pub(super) fn free<'a>(store: &'a Store, pool: &Pool) -> Find<'a, Document> {
    let first = doc! {
        "_id.campaign_id": pool.campaign.as_str(),
        "type": pool.code_type.as_str(),
        "date.reserved": Bson::Null,
        "date.assigned": Bson::Null,
    };
    let mut last = first.clone();
    last.insert("date.assigned", Bson::MinKey);
    candidates(store, doc! {}).min(first).max(last)
}

/// Counts available codes up to `most`, the free ones by the index alone.
pub(super) async fn count(store: &Store, pool: &Pool, most: u32) -> Result<u32> {
    let in_index = free(store, pool).projection(doc! { "_id": 0, "type": 1 }).limit(most.into());
    let mut answers = in_index.batch().await.map_err(failed)?;
    let mut free = 0;
    while let Some(answer) = answers.next().await {
        free += answer.map_err(failed)?.doc_slices().map_err(failed)?.into_iter().count();
    }
    let free = u32::try_from(free).unwrap_or(most).min(most);
    if free == most {
        return Ok(most);
    }
    let in_pool = doc! { "_id.campaign_id": pool.campaign.as_str(), "type": pool.code_type.as_str() };
    let stages = [
        doc! { "$match": document::expired_at(in_pool, store.server_time().await?, store.ttl) },
        doc! { "$limit": i64::from(most - free) },
        doc! { "$count": "expired" },
    ];
    let found = store
        .codes
        .aggregate(stages)
        .hint(Hint::Keys(indexes::by_status()))
        .read_concern(ReadConcern::local())
        .await
        .map_err(failed)?
        .try_next()
        .await
        .map_err(failed)?;
    let expired = found.and_then(|row| row.get_i32("expired").ok()).and_then(|n| u32::try_from(n).ok());
    Ok(free + expired.unwrap_or(0))
}

fn expired_codes<'a>(store: &'a Store, pool: &Pool, now: DateTime) -> Find<'a, Document> {
    let in_pool = doc! { "_id.campaign_id": pool.campaign.as_str(), "type": pool.code_type.as_str() };
    candidates(store, document::expired_at(in_pool, now, store.ttl))
}

/// The date of the oldest reservation in the pool.
async fn first_reserved(store: &Store, pool: &Pool) -> Result<Option<DateTime>> {
    let reserved = doc! {
        "_id.campaign_id": pool.campaign.as_str(),
        "type": pool.code_type.as_str(),
        "date.reserved": { "$type": "date" },
        "date.assigned": Bson::Null,
    };
    // The index has the newest first.
    let oldest_first = doc! { "_id.campaign_id": 1, "type": -1, "date.reserved": 1, "date.assigned": 1 };
    let found = candidates(store, reserved)
        .projection(doc! { "date.reserved": 1 })
        .sort(oldest_first)
        .limit(1)
        .await
        .map_err(failed)?
        .try_next()
        .await
        .map_err(failed)?;
    let date = found.as_ref().and_then(|code| code.get_document("date").ok()?.get_datetime("reserved").ok());
    Ok(date.copied())
}

/// Read concern `local`: the primary's newest state. An older one would show a released code as taken.
fn candidates(store: &Store, filter: Document) -> Find<'_, Document> {
    store
        .codes
        .find(filter)
        .projection(doc! { "_id.code": 1 })
        .hint(Hint::Keys(indexes::by_status()))
        .read_concern(ReadConcern::local())
}

async fn open(find: Find<'_, Document>, size: usize) -> Result<RawBatchCursor> {
    let size = u32::try_from(size).expect("a few thousand");
    find.batch_size(size).batch().await.map_err(failed)
}

fn corrupt() -> Error {
    Error::CorruptData { what: "a stored code has no usable _id.code".to_owned() }
}

pub(super) fn failed(error: mongodb::error::Error) -> Error {
    database_error("looking for available codes", error)
}
