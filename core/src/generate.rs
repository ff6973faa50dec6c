//! Generate: new codes by a pattern, inserted into a campaign as they are asked for.
//!
//! A code that is there already is never touched: the database refuses its insert, and another one is drawn in
//! its place. So codes are new among themselves and in their campaign, and exactly as many as were asked for.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};

use crate::claim::Pool;
use crate::document;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code};
use crate::observer::Event;
use crate::pattern::{Pattern, Strength};
use crate::save::insert_new;
use crate::store::{Store, database_error};
use crate::task::{LONG, Within, patiently};

/// The codes of one command.
const BATCH: u64 = 5_000;
/// How many commands run at once.
const IN_FLIGHT: usize = 2;
/// One guess in so many may hit a code, unless somebody says otherwise.
const MAX_GUESS: f64 = 1e-6;
/// With more of the space in use most draws would be for nothing.
const FULL: f64 = 0.5;

/// Which codes to generate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Generate {
    /// What they look like.
    pub pattern: Pattern,
    /// How many.
    pub count: u64,
    /// The highest probability, up to 0.5, with which one guess may hit a code of the campaign that looks like the
    /// pattern: 0.000001 unless set.
    pub max_guess: f64,
}

impl Generate {
    /// So many codes, of which one guess in a million may hit one.
    pub fn new(pattern: Pattern, count: u64) -> Self {
        Generate { pattern, count, max_guess: MAX_GUESS }
    }
}

/// Codes that are being generated.
pub struct Generated {
    /// How hard it is to guess a code, of these and of those that are in the campaign and look like them.
    pub strength: Strength,
    /// The codes, each when it is in the campaign.
    pub codes: BoxStream<'static, Result<Code>>,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generated").field("strength", &self.strength).finish_non_exhaustive()
    }
}

pub(crate) async fn generate(store: Store, pool: Pool, wish: Generate) -> Result<Generated> {
    if wish.count == 0 {
        return Err(Error::invalid("count", "must be at least 1"));
    }
    if !(wish.max_guess > 0.0 && wish.max_guess <= FULL) {
        return Err(Error::invalid("maxGuess", "must be more than 0 and at most 0.5"));
    }
    // What is too weak by itself need not be looked for in the campaign.
    strong_enough(&wish, 0)?;
    let strength = strong_enough(&wish, similar(&store, &pool.campaign, &wish.pattern).await?)?;
    Ok(Generated { strength, codes: codes(store, pool, wish).boxed() })
}

/// # Errors
/// `invalid_argument` if so many codes, beside those that are there, are too easy to guess.
fn strong_enough(wish: &Generate, existing: u64) -> Result<Strength> {
    let strength = wish.pattern.strength(wish.count.saturating_add(existing));
    if strength.guess <= wish.max_guess {
        return Ok(strength);
    }
    let Strength { codes, space, guess, .. } = strength;
    // A pattern whose check character can never be any of its own makes no code at all.
    let times = codes as f64 / wish.max_guess / space.max(1.0);
    Err(Error::invalid(
        "pattern",
        format!(
            "is too weak for {codes} codes: it makes {space} different ones, so one guess in {:.0} would hit, and \
             the limit is one in {:.0}: {} to it",
            (1.0 / guess).max(1.0),
            1.0 / wish.max_guess,
            wish.pattern.missing(times),
        ),
    ))
}

/// How many codes of the campaign, of whatever type, look like the pattern.
async fn similar(store: &Store, campaign: &CampaignId, pattern: &Pattern) -> Result<u64> {
    let like = doc! { "$regex": pattern.expression() };
    let filter = doc! { "_id.campaign_id": campaign.as_str(), "_id.code": like };
    let count = store.codes.count_documents(filter).within(LONG).await;
    count.map_err(|e| database_error("counting codes that look like a pattern", e))
}

/// Inserts codes for as long as somebody takes them, a little ahead.
fn codes(store: Store, pool: Pool, wish: Generate) -> impl Stream<Item = Result<Code>> + Send + 'static {
    let start = move |size: u64| {
        let batch = insert(store.clone(), pool.clone(), wish.pattern.clone(), size);
        store.tasks.to_the_end(batch)
    };
    // What is neither in the campaign nor on its way there, and what is on its way.
    let begin = (wish.count, VecDeque::new(), start);
    stream::try_unfold(begin, |(mut missing, mut running, start)| async move {
        while missing > 0 && running.len() < IN_FLIGHT {
            let size = missing.min(BATCH);
            running.push_back((size, start(size)));
            missing -= size;
        }
        let Some((size, first)) = running.pop_front() else { return Ok(None) };
        let codes: Vec<Code> = first.await?;
        missing += size - codes.len() as u64;
        Ok(Some((stream::iter(codes.into_iter().map(Ok)), (missing, running, start))))
    })
    .try_flatten()
}

/// Inserts so many new codes, fewer if some of those that were drawn are there already, and returns them.
async fn insert(store: Store, pool: Pool, pattern: Pattern, size: u64) -> Result<Vec<Code>> {
    let drawn = draw(&pattern, size);
    let saved = store.server_time().await?;
    let mut sent = 0;
    // Always the same documents: what has arrived before, or comes late, changes nothing.
    let known = patiently(store.patience, || {
        sent += 1;
        insert_new(&store, &pool, &drawn, saved)
    })
    .await?;
    let mut known: HashSet<Code> = known.into_iter().map(|place| drawn[place].clone()).collect();
    if sent > 1 && !known.is_empty() {
        for ours in saved_at(&store, &pool, &known, saved).await? {
            known.remove(&ours);
        }
    }
    let new: Vec<Code> = drawn.into_iter().filter(|code| !known.contains(code)).collect();
    store.saw(Event::Saved { inserted: new.len() as u64, updated: 0 });
    Ok(new)
}

/// Draws so many different codes, which must be at most half of all. The generator of the process is seeded by the
/// system and cannot be foreseen (ChaCha).
fn draw(pattern: &Pattern, size: u64) -> Vec<Code> {
    let mut random = rand::rng();
    let mut drawn = HashSet::new();
    while (drawn.len() as u64) < size {
        drawn.insert(pattern.draw(&mut random));
    }
    drawn.into_iter().collect()
}

/// Those of the codes that were saved at that very moment: by a command of ours whose answer was lost.
async fn saved_at(store: &Store, pool: &Pool, codes: &HashSet<Code>, saved: DateTime) -> Result<Vec<Code>> {
    let failed = |e| database_error("looking which codes exist", e);
    let codes: Vec<Code> = codes.iter().cloned().collect();
    let filter = doc! { "_id": document::ids_in(&pool.campaign, &codes), "date.saved": saved };
    let found = store.codes.find(filter).projection(doc! { "_id": 1 }).within(LONG).await;
    let found: Vec<Document> = found.map_err(failed)?.try_collect().within(LONG).await.map_err(failed)?;
    found.iter().map(document::code).collect()
}
