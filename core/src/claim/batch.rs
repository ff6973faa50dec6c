//! A batch: one command that reserves candidates for many callers.
//!
//! Callers with few codes share one statement, a pipeline that gives each code the reserveId of the caller
//! it was meant for, found by the code's place in a list. That costs the database half of what a statement
//! for each caller does. A caller with many codes has a statement of its own, which needs no search.
//!
//! A batch has a deadline, by the server's clock, which stands in its guard: what the network delivers later
//! does nothing. With the time that the server may spend on it, there is a moment after which nothing of it
//! can happen any more, whatever became of its reply.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, RawArrayBuf, RawBson, RawDocumentBuf, cstr, doc, rawdoc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind};
use mongodb::options::{ReadConcern, ReadPreference};

use crate::claim::{Holder, Pool};
use crate::document;
use crate::error::Error;
use crate::ids::Code;
use crate::mutant::{Mutant, is};
use crate::observer::Event;
use crate::store::{Store, database_error, is_whole, never_sent, write_error};
use crate::task::{SHORT, Within};

/// From how many codes on a caller has a statement of its own.
const OWN_STATEMENT: usize = 32;
/// How long a batch may take until the server begins with it.
pub(super) const BEGINS: Duration = Duration::from_secs(1);
/// How long the server may take for it, until a majority has it.
pub(super) const RUNS: Duration = Duration::from_secs(2);

/// What one caller is to get out of a batch.
pub(super) struct Share {
    /// The caller's number with the worker.
    pub(super) demand: u64,
    pub(super) holder: Holder,
    /// How many candidates it has.
    pub(super) asked: usize,
    /// Candidates before the command; afterwards the codes that were won.
    pub(super) codes: Vec<Code>,
}

/// A batch that has failed. Unless it was never sent, it is unknown what was won.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) sent: bool,
    /// Whether the server has answered, and so ended the command, however it did.
    pub(super) answered: bool,
}

impl Failure {
    fn of_driver(error: DriverError) -> Self {
        let sent = !never_sent(&error);
        let answered = matches!(*error.kind, DriverErrorKind::Command(_) | DriverErrorKind::Write(_));
        Failure { error: database_error(DOING, error), sent, answered }
    }

    fn in_answer(reply: &Document) -> Self {
        Failure { error: write_error(DOING, reply), sent: true, answered: true }
    }
}

/// For errors.
const DOING: &str = "reserving codes";

/// When the server must have begun with a batch that leaves now: soon, and before any of its callers may be
/// taken for dead.
pub(super) fn deadline(now: DateTime, shares: &[Share]) -> DateTime {
    let leases = shares.iter().map(|share| share.holder.lease.end());
    leases.fold(document::later(now, BEGINS), DateTime::min)
}

/// Reserves the candidates of every share and leaves in each what it has won. Nothing that the server begins
/// with at `deadline` or later takes effect.
///
pub(super) async fn take(
    store: &Store,
    pool: &Pool,
    shares: &mut [Share],
    all_free: bool,
    deadline: DateTime,
) -> Result<(), Failure> {
    let sent: usize = shares.iter().map(|share| share.codes.len()).sum();
    let command = command(store, pool, shares, all_free, deadline);
    let reply = store.database.run_raw_command(command).within(SHORT).await.map_err(Failure::of_driver)?;
    let whole = is_whole(&reply);
    let modified = reply.get_i32("nModified").ok().and_then(|n| usize::try_from(n).ok());
    match modified {
        Some(modified) if whole && modified == sent => {}
        Some(0) if whole => shares.iter_mut().for_each(|share| share.codes.clear()),
        Some(_) if whole => {
            store.saw(Event::ReadBack);
            // Whoever is primary has what a majority has confirmed, and `local` shows all that it has.
            let won = won(store, pool, shares, ReadConcern::local()).await.map_err(|e| Failure {
                error: database_error(DOING, e),
                sent: true,
                answered: true,
            })?;
            keep(shares, &won);
        }
        _ => return Err(Failure::in_answer(&reply)),
    }
    Ok(())
}

fn command(
    store: &Store,
    pool: &Pool,
    shares: &[Share],
    all_free: bool,
    deadline: DateTime,
) -> RawDocumentBuf {
    let (own, joined): (Vec<&Share>, Vec<&Share>) =
        shares.iter().partition(|share| share.codes.len() >= OWN_STATEMENT);
    let guard = doc! { "type": pool.code_type.as_str() };
    let guard = match all_free {
        _ if is(Mutant::NoGuard) => guard,
        true => document::free(guard),
        false => document::available(guard, store.ttl),
    };
    let guard = if is(Mutant::NoDeadline) { guard } else { document::begun_before(guard, deadline) };
    let guard = RawDocumentBuf::try_from(&guard).expect("names without a zero byte");
    let guarded = |codes: &mut dyn Iterator<Item = &Code>| {
        let mut ids = RawArrayBuf::new();
        for code in codes {
            ids.push(document::raw_id(&pool.campaign, code));
        }
        let mut query = rawdoc! { "_id": { "$in": ids } };
        for field in guard.iter_elements().flatten() {
            query.append(field.key(), field.value().expect("written above"));
        }
        query
    };
    let mut statements = RawArrayBuf::new();
    for share in &own {
        let query = guarded(&mut share.codes.iter());
        statements.push(rawdoc! { "q": query, "u": for_one(&share.holder), "multi": true });
    }
    if !joined.is_empty() {
        let query = guarded(&mut joined.iter().flat_map(|share| &share.codes));
        statements.push(rawdoc! { "q": query, "u": [for_many(&joined)], "multi": true });
    }
    // A raw command takes nothing from the client's settings.
    let safe = rawdoc! { "w": "majority", "j": true };
    rawdoc! {
        "update": store.codes.name(),
        "updates": statements,
        "ordered": false,
        "writeConcern": if is(Mutant::PrimaryAlone) { rawdoc! { "w": 1 } } else { safe },
        "maxTimeMS": document::millis(RUNS),
    }
}

/// The update for codes of one holder.
fn for_one(holder: &Holder) -> RawDocumentBuf {
    match holder.date {
        Some(date) => rawdoc! { "$set": { "reserveId": holder.id.as_str(), "date.reserved": date } },
        None => rawdoc! {
            "$set": { "reserveId": holder.id.as_str() },
            "$currentDate": { "date.reserved": true },
        },
    }
}

/// The stage for codes of several holders: each finds its own by its place in the list.
fn for_many(shares: &[&Share]) -> RawDocumentBuf {
    let each = || shares.iter().flat_map(|share| share.codes.iter().map(|code| (code, &share.holder)));
    let (mut codes, mut ids) = (RawArrayBuf::new(), RawArrayBuf::new());
    for (code, holder) in each() {
        codes.push(code.as_str());
        ids.push(holder.id.as_str());
    }
    let place = rawdoc! { "$indexOfArray": [{ "$literal": codes }, "$_id.code"] };
    let mut set = rawdoc! { "reserveId": { "$arrayElemAt": [{ "$literal": ids }, place.clone()] } };
    if each().any(|(_, holder)| holder.date.is_some()) {
        let mut dates = RawArrayBuf::new();
        for (_, holder) in each() {
            dates.push(holder.date.map_or(RawBson::Null, RawBson::DateTime));
        }
        let own = rawdoc! { "$arrayElemAt": [{ "$literal": dates }, place] };
        set.append(cstr!("date.reserved"), rawdoc! { "$ifNull": [own, "$$NOW"] });
    } else {
        set.append(cstr!("date.reserved"), "$$NOW");
    }
    rawdoc! { "$set": set }
}

/// What each share has won of its codes, on the primary, by the reserveIds in the codes.
pub(super) async fn won(
    store: &Store,
    pool: &Pool,
    shares: &[Share],
    concern: ReadConcern,
) -> Result<Vec<Vec<Code>>, DriverError> {
    let all: Vec<Code> = shares.iter().flat_map(|share| share.codes.iter().cloned()).collect();
    let filter = document::reserved(doc! { "_id": document::ids_in(&pool.campaign, &all) });
    let mut found = store.codes.find(filter);
    if is(Mutant::StaleReadBack) && concern == ReadConcern::local() {
        found = found.selection_criteria(ReadPreference::SecondaryPreferred { options: None }.into());
    }
    let cursor = found
        .projection(doc! { "_id": 1, "reserveId": 1, "date.reserved": 1 })
        .read_concern(concern)
        .max_time(RUNS)
        .within(SHORT)
        .await?;
    let found: Vec<Document> = cursor.try_collect().within(SHORT).await?;
    let holders: HashMap<&str, &Document> = found
        .iter()
        .filter_map(|document| Some((document.get_document("_id").ok()?.get_str("code").ok()?, document)))
        .collect();
    let of_share = |share: &Share| {
        let is_won =
            |code: &&Code| holders.get(code.as_str()).is_some_and(|document| holds(document, &share.holder));
        share.codes.iter().filter(is_won).cloned().collect()
    };
    Ok(shares.iter().map(of_share).collect())
}

/// Leaves in each share what it has won.
pub(super) fn keep(shares: &mut [Share], won: &[Vec<Code>]) {
    for (share, won) in shares.iter_mut().zip(won) {
        share.codes.clone_from(won);
    }
}

/// Whether the code is reserved in the holder's name.
fn holds(document: &Document, holder: &Holder) -> bool {
    let date = document.get_document("date").ok().and_then(|dates| dates.get_datetime("reserved").ok());
    document.get_str("reserveId").ok() == Some(holder.id.as_str())
        && date.is_some_and(|date| holder.date.is_none_or(|own| own == *date))
}
