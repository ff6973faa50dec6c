//! Reserve under the caller's own id: see [`crate::ledger`] for why this gives one set of codes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ReadConcern;

use crate::claim::{self, Claims, Holder};
use crate::document;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Code, ReserveId};
use crate::ledger::{Entered, Entry, Ledger, Owned, State, Wish};
use crate::mutant::{Mutant, is};
use crate::reserve::{Reservation, claim_all, reservation, unknown};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, SHORT, Within, patiently};

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
    // A new one for each call: what the network delivers late of the last one must not meet this one's entry.
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
        Way::Lost => return follow(means, &wish, &token).await,
    };
    match claim_and_grant(means, &wish, &owned, partial).await {
        Ok(Some(codes)) => {
            let Owned { id, reserved, .. } = owned;
            Ok(reservation(means.store, wish.pool, id, codes, reserved, false))
        }
        Ok(None) => follow(means, &wish, &token).await.inspect_err(failed),
        Err(error) => {
            abandon(means, wish.id, &token);
            Err(error)
        }
    }
}

/// Where an attempt gets to.
enum Way {
    Mine(Owned),
    Granted(Entry),
    /// It had the entry, and somebody took it for dead.
    Lost,
}

/// Becomes the owner of the id's entry, or finds it granted; waits while another attempt is at work.
async fn enter(means: Means<'_>, wish: &Wish<'_>, token: &ReserveId) -> Result<Way> {
    let ledger = means.ledger;
    loop {
        if let Entered::Mine { owned, in_use } = ledger.enter(wish, token).await? {
            return if in_use { mine_unless_in_use(means, owned).await } else { Ok(Way::Mine(owned)) };
        }
        let mut found: Option<Entry> = None;
        while let Some(entry) = ledger.find_newest(wish.id).await? {
            entry.must_match(wish)?;
            let first = found.get_or_insert_with(|| entry.clone());
            match entry.state {
                State::Granted => return Ok(Way::Granted(entry)),
                State::Expired => return Err(Error::ReservationExpired),
                State::Claiming => tokio::time::sleep(LOOK).await,
                State::Abandoned if entry.is_of_the_attempt_of(first) => {
                    if let Some(owned) = ledger.take_over(&entry, token).await? {
                        // The attempt before may have died before it had looked.
                        return mine_unless_in_use(means, owned).await;
                    }
                }
                // Who ended that attempt may have told somebody that nothing is held.
                State::Abandoned => return Err(ended()),
            }
        }
    }
}

/// An attempt that owns the entry claims nothing if codes are in use under the id that the ledger does not know.
async fn mine_unless_in_use(means: Means<'_>, owned: Owned) -> Result<Way> {
    match in_use_without_entry(means.store, &owned).await? {
        None => Ok(Way::Mine(owned)),
        // If somebody took this attempt for dead, the codes are theirs.
        Some(error) => {
            if leave(means.ledger, &owned).await? {
                Err(error)
            } else {
                Ok(Way::Lost)
            }
        }
    }
}

/// Ends an attempt that keeps no code. False if it does not own the entry any more.
async fn leave(ledger: &Ledger, owned: &Owned) -> Result<bool> {
    if owned.past.is_empty() {
        ledger.remove(owned).await
    } else {
        // What the network may still deliver of an attempt before it must be found by the sweep.
        ledger.abandon(&owned.id, &owned.token).await
    }
}

/// What becomes of a call that was taken for dead. It claims nothing more: whoever has ended it may have told
/// somebody that nothing is held under the id.
async fn follow(means: Means<'_>, wish: &Wish<'_>, token: &ReserveId) -> Result<Reservation> {
    while let Some(entry) = means.ledger.find_newest(wish.id).await? {
        entry.must_match(wish)?;
        match entry.state {
            // Nobody took it: its reservation had expired before it could be granted.
            State::Claiming | State::Abandoned if entry.is_owned_by(token) => {
                return Err(Error::held_up());
            }
            State::Granted => return replay(means.store, wish, &entry).await,
            State::Expired => return Err(Error::ReservationExpired),
            State::Claiming => tokio::time::sleep(LOOK).await,
            State::Abandoned => break,
        }
    }
    Err(ended())
}

fn ended() -> Error {
    Error::unavailable("another call under the reserveId has ended this one: reserve under it again")
}

/// Claims and grants as the owner of the entry; None if another took the entry over meanwhile, or the reservation
/// has expired.
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
        // If that fails, it is abandoned, and nothing is held under it either.
        let _ = leave(ledger, owned).await;
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
    means.store.tasks.in_the_background(async move {
        let _ = patiently(patience, || ledger.abandon(&id, &token)).await;
    });
}

/// What speaks against an id whose entry is new: codes are reserved or assigned under it, by no attempt that the
/// entry knows of.
async fn in_use_without_entry(store: &Store, owned: &Owned) -> Result<Option<Error>> {
    let failed = |e| database_error("looking a reserveId up", e);
    let mut in_use = document::in_use(&owned.id, store.ttl);
    in_use.insert("date.reserved", doc! { "$type": "date", "$nin": &owned.past });
    let mut found = store
        .codes
        .aggregate([
            doc! { "$match": in_use },
            doc! { "$limit": 1 },
            doc! { "$project": { "expired": { "$not": document::not_expired("$date.reserved", store.ttl) } } },
        ])
        .read_concern(ReadConcern::linearizable())
        .max_time(SHORT)
        .within(SHORT)
        .await
        .map_err(failed)?;
    let found = found.try_next().within(SHORT).await.map_err(failed)?;
    Ok(found.map(|found| match found.get_bool("expired") {
        // Somebody's, long ago; the entry is gone, if there was one.
        Ok(true) => Error::ReservationExpired,
        // Made by a reserve without an id, here or by the deployed service: not the caller's to use again.
        _ => Error::ReservationMismatch { field: "call" },
    }))
}

/// Gives back what attempts with these dates hold under the id, and takes the id away from what was assigned while
/// they held it. What has no such date belongs to somebody else who happens to have the same id. Returns how many.
pub(crate) async fn give_back_past(store: &Store, id: &ReserveId, past: &[DateTime]) -> Result<u64> {
    if past.is_empty() || is(Mutant::NoSweep) {
        return Ok(0);
    }
    let dead = |mut filter: Document| {
        filter.insert("reserveId", id.as_str());
        filter.insert("date.reserved", doc! { "$in": past });
        filter
    };
    let held = store.codes.update_many(document::unassigned(dead(doc! {})), document::released());
    let assigned = doc! { "date.assigned": { "$ne": Bson::Null } };
    // Somebody has assigned these meanwhile and named no id: they are theirs, and not of this one.
    let taken = store.codes.update_many(dead(assigned), doc! { "$unset": { "reserveId": "" } });
    let failed = |e| database_error("giving codes of a dead attempt back", e);
    let held = held.within(MEDIUM).await.map_err(failed)?.modified_count;
    let taken = taken.within(MEDIUM).await.map_err(failed)?.modified_count;
    Ok(held + taken)
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
