//! Reserve under the caller's own id: see [`crate::ledger`] for why this gives one set of codes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReadConcern;

use crate::claim::{self, Claims, Holder};
use crate::document;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Code, ReserveId};
use crate::ledger::{Entered, Entry, Ledger, Owned, State, Wish};
use crate::mutant::{Mutant, is};
use crate::reserve::{Reservation, claim_all, reservation, unknown};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, SHORT, Within, in_the_background, patiently};

/// How often to look whether another attempt under the id has ended.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// What an attempt works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) store: &'a Store,
    pub(crate) claims: &'a Claims,
    pub(crate) ledger: &'a Arc<Ledger>,
}

/// Codes under the caller's id: those of an earlier call, or new ones.
pub(crate) async fn reserve(means: Means<'_>, wish: Wish<'_>, partial: bool) -> Result<Reservation> {
    loop {
        // A new one each time: what the network delivers late of the last attempt must not meet this one's entry.
        let token = ReserveId::random();
        let failed = |error: &Error| {
            // Whether or not it owns the entry.
            if error.kind() == ErrorKind::Unavailable {
                abandon(means, wish.id, &token);
            }
        };
        let owned = match enter(means, &wish, &token).await.inspect_err(failed)? {
            Way::Mine(owned) => owned,
            Way::Granted(entry) => return replay(means.store, &wish, &entry).await,
        };
        match claim_and_grant(means, &wish, &owned, partial).await {
            Ok(Some(codes)) => {
                let Owned { id, reserved, .. } = owned;
                return Ok(reservation(means.store, wish.pool, id, codes, reserved, false));
            }
            // Somebody took it for dead, and has the entry now.
            Ok(None) => {}
            Err(error) => {
                abandon(means, wish.id, &token);
                return Err(error);
            }
        }
    }
}

/// Where an attempt gets to.
enum Way {
    Mine(Owned),
    Granted(Entry),
}

/// Becomes the owner of the id's entry, or finds it granted; waits while another attempt is at work.
async fn enter(means: Means<'_>, wish: &Wish<'_>, token: &ReserveId) -> Result<Way> {
    let Means { store, ledger, .. } = means;
    loop {
        if let Entered::Mine { owned, in_use } = ledger.enter(wish, token).await? {
            if in_use && in_use_without_entry(store, wish.id).await? {
                if ledger.remove(&owned).await? {
                    return Err(Error::ReservationMismatch { field: "call" });
                }
                // The codes are those of an attempt that took this one for dead.
                continue;
            }
            return Ok(Way::Mine(owned));
        }
        while let Some(entry) = ledger.find(wish.id).await? {
            entry.must_match(wish)?;
            match entry.state {
                State::Granted => return Ok(Way::Granted(entry)),
                State::Expired => return Err(Error::ReservationExpired),
                State::Claiming => tokio::time::sleep(LOOK).await,
                State::Abandoned => {
                    if let Some(owned) = ledger.take_over(&entry, token).await? {
                        return Ok(Way::Mine(owned));
                    }
                }
            }
        }
        // Removed meanwhile, or not confirmed by a majority yet.
        tokio::time::sleep(LOOK).await;
    }
}

/// Claims and grants as the owner of the entry; None if another took the entry over meanwhile.
async fn claim_and_grant(
    means: Means<'_>,
    wish: &Wish<'_>,
    owned: &Owned,
    partial: bool,
) -> Result<Option<Vec<Code>>> {
    let Means { store, claims, ledger } = means;
    let holder = Holder { id: wish.id.clone(), date: Some(owned.reserved), lease: owned.lease.clone() };
    let claim = async {
        give_back_past(store, wish.id, &owned.past).await?;
        claim_all(store, claims, wish.pool, &holder, wish.count, partial).await
    };
    let claimed = tokio::select! {
        claimed = claim => claimed,
        never = keep_renewing(ledger, owned) => match never {},
    };
    let claimed = match claimed {
        // An id without codes would be a reservation of nothing: there is none to look up.
        Ok(claim) if claim.codes.is_empty() => {
            Err(Error::NotEnoughCodes { wanted: wish.count.into(), available: 0 })
        }
        claimed => claimed,
    };
    if let Err(Error::NotEnoughCodes { .. }) = claimed {
        // If that fails, it is abandoned, and nothing is held under it either. What the network may still
        // deliver of an attempt before it must be found by the sweep.
        let _ = if owned.past.is_empty() {
            ledger.remove(owned).await
        } else {
            ledger.abandon(&owned.id, &owned.token).await
        };
    }
    let codes = claimed?.keep();
    let granted = patiently(store.patience, || ledger.grant(owned)).await;
    if granted.map_err(|e| unknown(&holder, e))? {
        return Ok(Some(codes));
    }
    let given_back = claim::give_back(store, &holder, store.patience).await;
    given_back.map(|_| None).map_err(|e| unknown(&holder, e))
}

async fn keep_renewing(ledger: &Ledger, owned: &Owned) -> Infallible {
    loop {
        tokio::time::sleep(ledger.lease() / 3).await;
        // One that fails is made up for by the next one, or the lease ends.
        let _ = ledger.renew(owned).await;
    }
}

/// Lets the next caller under the id begin at once, instead of when the lease ends.
fn abandon(means: Means<'_>, id: &ReserveId, token: &ReserveId) {
    let patience = means.store.patience;
    let (ledger, id, token) = (means.ledger.clone(), id.clone(), token.clone());
    in_the_background(async move {
        let _ = patiently(patience, || ledger.abandon(&id, &token)).await;
    });
}

/// Whether codes are reserved or assigned under an id that the ledger did not know: it was made by a reserve
/// without an id, here or by the deployed service, and is not the caller's to use again.
async fn in_use_without_entry(store: &Store, id: &ReserveId) -> Result<bool> {
    let found = store.codes.find_one(document::in_use(id, store.ttl));
    let found = found.read_concern(ReadConcern::linearizable()).max_time(SHORT).within(SHORT).await;
    found.map(|found| found.is_some()).map_err(|e| database_error("looking a reserveId up", e))
}

/// Gives back what attempts with these dates hold under the id. What has no such date belongs to somebody
/// else who happens to have the same id.
pub(crate) async fn give_back_past(store: &Store, id: &ReserveId, past: &[DateTime]) -> Result<()> {
    if past.is_empty() || is(Mutant::NoSweep) {
        return Ok(());
    }
    let mut dead = document::held(doc! {}, id);
    dead.insert("date.reserved", doc! { "$in": past });
    let done = store.codes.update_many(dead, document::released()).within(MEDIUM).await;
    done.map(|_| ()).map_err(|e| database_error("giving codes of a dead attempt back", e))
}

/// The codes that were granted under the entry's id and date and have not been released since.
async fn replay(store: &Store, wish: &Wish<'_>, entry: &Entry) -> Result<Reservation> {
    let failed = |e| database_error("reading a reservation", e);
    let granted = doc! { "reserveId": wish.id.as_str(), "date.reserved": entry.reserved };
    let cursor = store
        .codes
        .find(granted)
        .projection(doc! { "_id": 1 })
        .read_concern(ReadConcern::linearizable())
        .max_time(SHORT)
        .within(SHORT)
        .await
        .map_err(failed)?;
    let documents: Vec<Document> = cursor.try_collect().within(MEDIUM).await.map_err(failed)?;
    let codes: Vec<Code> = documents.iter().map(document::code).collect::<Result<_>>()?;
    if codes.is_empty() {
        return Err(Error::ReservationExpired);
    }
    Ok(reservation(store, wish.pool, wish.id.clone(), codes, entry.reserved, true))
}
