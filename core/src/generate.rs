//! Generate: new codes by a pattern, inserted into a campaign as they are asked for.
//!
//! A code that is there already is never touched: the database refuses its insert, and another one is drawn in
//! its place. So codes are new among themselves and in their campaign, and exactly as many as were asked for.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
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
    /// How hard it is to guess a code, of these and of those that are in the campaign and look like them. Others may
    /// save such codes meanwhile: [`CodeService::strength`](crate::CodeService::strength) says it again.
    pub strength: Strength,
    /// When it began, by the database server's clock: none of the codes has an earlier date of saving.
    pub since: SystemTime,
    /// The codes, each when it is in the campaign.
    pub codes: BoxStream<'static, Result<Code>>,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Generated { strength, since, codes: _ } = self;
        f.debug_struct("Generated").field("strength", strength).field("since", since).finish_non_exhaustive()
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
    strong_enough(&wish, wish.count).map_err(too_weak)?;
    let existing = similar(&store, &pool.campaign, &wish.pattern).await?;
    let strength = strong_enough(&wish, wish.count.saturating_add(existing)).map_err(too_weak)?;
    let begun = store.server_time().await?;
    let codes = codes(store, pool, wish, begun).boxed();
    Ok(Generated { strength, since: begun.to_system_time(), codes })
}

/// How hard it is to guess a code of the campaign that looks like the pattern.
pub(crate) async fn strength(store: &Store, campaign: &CampaignId, pattern: &Pattern) -> Result<Strength> {
    Ok(pattern.strength(similar(store, campaign, pattern).await?))
}

/// How hard so many codes are to guess, all that look like the pattern; or why that is too easy.
fn strong_enough(wish: &Generate, codes: u64) -> std::result::Result<Strength, String> {
    let strength = wish.pattern.strength(codes);
    if strength.guess <= wish.max_guess {
        return Ok(strength);
    }
    let Strength { space, guess, .. } = strength;
    // A pattern whose check character can never be any of its own makes no code at all.
    let times = codes as f64 / wish.max_guess / space.max(1.0);
    Err(format!(
        "is too weak for {codes} codes: it makes {space} different ones, so one guess in {:.0} would hit, and the \
         limit is one in {:.0}: {} to it",
        (1.0 / guess).max(1.0),
        1.0 / wish.max_guess,
        wish.pattern.missing(times),
    ))
}

fn too_weak(why: String) -> Error {
    Error::invalid("pattern", why)
}

/// How many codes of the campaign, of whatever type, are such as the pattern makes.
async fn similar(store: &Store, campaign: &CampaignId, pattern: &Pattern) -> Result<u64> {
    let failed = |e| database_error("counting codes that look like a pattern", e);
    let like = doc! { "$regex": pattern.expression() };
    let filter = doc! { "_id.campaign_id": campaign.as_str(), "_id.code": like };
    if !pattern.has_check_character() {
        return store.codes.count_documents(filter).within(LONG).await.map_err(failed);
    }
    // Which check characters are right an expression cannot tell.
    let found = store.codes.find(filter).projection(doc! { "_id": 1 });
    let mut found = found.within(LONG).await.map_err(failed)?;
    let mut count = 0;
    while let Some(document) = found.try_next().within(LONG).await.map_err(failed)? {
        count += u64::from(document::code(&document).is_ok_and(|code| pattern.matches(&code)));
    }
    Ok(count)
}

/// Inserts codes for as long as somebody takes them, a little ahead.
fn codes(
    store: Store,
    pool: Pool,
    wish: Generate,
    begun: DateTime,
) -> impl Stream<Item = Result<Code>> + Send + 'static {
    let last = Arc::new(AtomicI64::new(begun.timestamp_millis()));
    let run = Run { missing: wish.count, running: VecDeque::new(), crowded: false, last, store, pool, wish };
    stream::try_unfold(run, |mut run| async move {
        let codes = run.next().await?;
        Ok::<_, Error>(codes.map(|codes| (stream::iter(codes.into_iter().map(Ok)), run)))
    })
    .try_flatten()
}

/// Codes that are being generated.
struct Run {
    store: Store,
    pool: Pool,
    wish: Generate,
    /// How many are neither in the campaign nor on their way there.
    missing: u64,
    /// The batches that are on their way, and how many codes each is to bring.
    running: VecDeque<(u64, BoxFuture<'static, Result<Vec<Code>>>)>,
    /// Whether most of a batch was there already, so that the campaign has to be looked at again.
    crowded: bool,
    /// The date of the last batch.
    last: Arc<AtomicI64>,
}

impl Run {
    /// The codes of the next batch; None if all have come.
    async fn next(&mut self) -> Result<Option<Vec<Code>>> {
        // Not while batches are on their way: their codes would count twice.
        if self.crowded && self.running.is_empty() && self.missing > 0 {
            self.look_again().await?;
            self.crowded = false;
        }
        while !self.crowded && self.missing > 0 && self.running.len() < IN_FLIGHT {
            self.start();
        }
        let Some((size, first)) = self.running.pop_front() else { return Ok(None) };
        let codes = first.await?;
        let new = codes.len() as u64;
        self.missing += size - new;
        self.crowded |= new * 2 < size;
        Ok(Some(codes))
    }

    fn start(&mut self) {
        let size = self.missing.min(BATCH);
        let (store, pool, pattern) = (self.store.clone(), self.pool.clone(), self.wish.pattern.clone());
        let batch = insert(store, pool, pattern, size, Arc::clone(&self.last));
        self.running.push_back((size, self.store.tasks.to_the_end(batch).boxed()));
        self.missing -= size;
    }

    /// Whether there still is room for what is missing: others may have filled it, and then draws would be for nothing.
    async fn look_again(&mut self) -> Result<()> {
        let (store, campaign) = (self.store.clone(), self.pool.campaign.clone());
        let pattern = self.wish.pattern.clone();
        let counting = async move { similar(&store, &campaign, &pattern).await };
        let existing = self.store.tasks.to_the_end(counting).await?;
        let Generate { count, .. } = self.wish;
        let made = count - self.missing;
        strong_enough(&self.wish, self.missing.saturating_add(existing)).map(drop).map_err(|why| {
            too_weak(format!(
                "{why}; others have saved codes like these meanwhile, and {made} of {count} are generated"
            ))
        })
    }
}

/// Inserts so many new codes, fewer if some of those that were drawn are there already, and returns them.
async fn insert(
    store: Store,
    pool: Pool,
    pattern: Pattern,
    size: u64,
    last: Arc<AtomicI64>,
) -> Result<Vec<Code>> {
    let drawn = draw(&pattern, size);
    let saved = date_of_its_own(&last, patiently(store.patience, || store.server_time()).await?);
    let mut sent = 0;
    // Always the same documents: what has arrived before, or comes late, changes nothing.
    let known = patiently(store.patience, || {
        sent += 1;
        insert_new(&store, &pool, &drawn, saved)
    })
    .await?;
    let mut known: HashSet<Code> = known.into_iter().map(|place| drawn[place].clone()).collect();
    if sent > 1 && !known.is_empty() {
        for ours in patiently(store.patience, || saved_at(&store, &pool, &known, saved)).await? {
            known.remove(&ours);
        }
    }
    let new: Vec<Code> = drawn.into_iter().filter(|code| !known.contains(code)).collect();
    store.saw(Event::Saved { inserted: new.len() as u64, updated: 0 });
    Ok(new)
}

/// A date for a batch, which no other of the same call has: it tells the codes of one from those of another.
fn date_of_its_own(last: &AtomicI64, now: DateTime) -> DateTime {
    let after = |last: i64| now.timestamp_millis().max(last + 1);
    let last = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
    DateTime::from_millis(after(last.expect("there is always a later one")))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn batches_of_one_call_have_different_dates_and_none_is_before_its_beginning() {
        const BEGUN: i64 = 1_800_000_000_000;
        let last = AtomicI64::new(BEGUN);
        // Several at a time, one that is late, one of a server whose clock is slow, and a later one.
        let told = [0, 0, 0, 1, -9_000, 2, 7, 7].map(|offset| DateTime::from_millis(BEGUN + offset));
        let dates = told.map(|now| date_of_its_own(&last, now).timestamp_millis() - BEGUN);
        assert_eq!(dates.iter().collect::<BTreeSet<_>>().len(), dates.len(), "{dates:?}");
        assert!(dates.iter().all(|date| *date > 0), "{dates:?}");
        assert_eq!(
            date_of_its_own(&last, DateTime::from_millis(BEGUN + 5_000)).timestamp_millis(),
            BEGUN + 5_000
        );
    }
}
