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
use std::time::Instant;

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
const SPREAD: u64 = 10_000;
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
    /// The cursor's next answer.
    Open { cursor: Box<RawBatchCursor>, expired: bool, place: u64 },
}

/// Fetches candidates, one answer of the database at a time.
pub(super) struct Source {
    store: Store,
    pool: Pool,
    stage: Stage,
    spread: u64,
    /// Whether the pass that is going on has found anything.
    found: bool,
    /// Whether a pass began since this was asked last.
    pass: Option<u64>,
    /// The server's time when the cursor was opened, and when that was here.
    time: Option<(DateTime, Instant)>,
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
        Source { store, pool, stage: Stage::Free(0), spread: 0, found: false, pass: None, time: None }
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
        self.spread = (self.spread * 4).clamp(SPREAD, MAX_SPREAD);
        self.stage = Stage::Free(rand::rng().random_range(0..self.spread));
    }

    /// The next candidates but the `known` ones; about `size`. `now` numbers the passes that begin in it.
    pub(super) async fn next(&mut self, size: usize, known: &HashSet<Code>, now: u64) -> Result<Answer> {
        loop {
            let was_open = matches!(self.stage, Stage::Open { .. });
            let (mut cursor, expired, place) = match std::mem::replace(&mut self.stage, Stage::Free(0)) {
                Stage::Open { cursor, expired, place } => (cursor, expired, place),
                Stage::Free(place) => {
                    if place == 0 {
                        (self.pass, self.found) = (Some(now), false);
                    }
                    let find = free(&self.store, &self.pool).skip(place);
                    (Box::new(open(find, size).await?), false, place)
                }
                Stage::Expired => {
                    (Box::new(open(expired_codes(&self.store, &self.pool), size).await?), true, 0)
                }
            };
            let (codes, more) = match self.read(&mut cursor, known).await {
                // A cursor does not outlive its server being primary; the database may be well all the same.
                Err(_) if was_open => continue,
                read => read?,
            };
            self.found |= !codes.is_empty();
            self.stage = match (more, expired, place) {
                (true, ..) => Stage::Open { cursor, expired, place },
                (false, false, 0) => Stage::Expired,
                (false, false, _) => {
                    // Behind the last free code: the place was too far away.
                    self.spread = place / 2;
                    Stage::Free(0)
                }
                (false, true, _) => Stage::Free(0),
            };
            let ended = !more && expired;
            if !codes.is_empty() || ended {
                let empty_since = self.pass.filter(|_| ended && !self.found);
                return Ok(Answer { codes, free: !expired, empty_since });
            }
        }
    }

    /// One answer of the database without the known codes, and whether the cursor has more.
    async fn read(
        &mut self,
        cursor: &mut RawBatchCursor,
        known: &HashSet<Code>,
    ) -> Result<(Vec<Code>, bool)> {
        let Some(answer) = cursor.next().await else { return Ok((Vec::new(), false)) };
        let answer = answer.map_err(failed)?;
        let here = Instant::now();
        let mut codes = Vec::new();
        for document in answer.doc_slices().map_err(failed)? {
            let document = document.ok().and_then(|value| value.as_document()).ok_or_else(corrupt)?;
            let code =
                document.get_document("_id").and_then(|id| id.get_str("code")).map_err(|_| corrupt())?;
            let code = Code::from_stored(code.to_owned());
            if !known.contains(&code) {
                codes.push(code);
            }
            // A cursor's time stands still: only that of its first answer is news.
            if let Ok(now) = document.get_datetime("now")
                && self.time.is_none_or(|(then, _)| then < now)
            {
                self.time = Some((now, here));
            }
        }
        let more = answer.as_raw_document().get_document("cursor").and_then(|cursor| cursor.get_i64("id"));
        Ok((codes, more.is_ok_and(|id| id != 0)))
    }
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
        doc! { "$match": document::expired(in_pool, store.ttl) },
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

fn expired_codes<'a>(store: &'a Store, pool: &Pool) -> Find<'a, Document> {
    let in_pool = doc! { "_id.campaign_id": pool.campaign.as_str(), "type": pool.code_type.as_str() };
    candidates(store, document::expired(in_pool, store.ttl))
}

/// Read concern `local`: the primary's newest state. An older one would show a released code as taken.
fn candidates(store: &Store, filter: Document) -> Find<'_, Document> {
    store
        .codes
        .find(filter)
        .projection(doc! { "_id.code": 1, "now": "$$NOW" })
        .hint(Hint::Keys(indexes::by_status()))
        .read_concern(ReadConcern::local())
}

async fn open(find: Find<'_, Document>, size: usize) -> Result<RawBatchCursor> {
    let size = u32::try_from(size.clamp(ANSWER.0, ANSWER.1)).expect("a few thousand");
    find.batch_size(size).batch().await.map_err(failed)
}

fn corrupt() -> Error {
    Error::CorruptData { what: "a stored code has no usable _id.code".to_owned() }
}

pub(super) fn failed(error: mongodb::error::Error) -> Error {
    database_error("looking for available codes", error)
}
