//! The sweep: what dead attempts have left behind goes back into the pool.
//!
//! An attempt under a caller's id whose process died may hold codes that nobody will ask for, and one that
//! was taken over may have a write land late. Its entry in the [ledger](crate::ledger) says when nothing more
//! can come; every process looks from time to time for entries where that moment has passed.

use std::sync::Weak;
use std::time::Duration;

use rand::RngExt;

use crate::attempt::give_back_past;
use crate::error::{ErrorKind, Result};
use crate::ids::ReserveId;
use crate::ledger::{Entry, Ledger, SWEEP, State};
use crate::store::Store;

/// Sweeps for as long as the ledger is in use.
///
/// Between two sweeps it holds nothing: a service that is dropped closes its connections then.
pub(crate) async fn sweep_now_and_then(ledger: Weak<Ledger>, every: Duration) {
    loop {
        // Not all processes at the same time.
        let part = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(every.mul_f64(part)).await;
        let Some(ledger) = ledger.upgrade() else { return };
        // Whatever fails is found again the next time.
        if let Err(error) = sweep(ledger.store(), &ledger).await {
            let kind = error.kind().as_str();
            match error.kind() {
                ErrorKind::Closed => return,
                ErrorKind::Unavailable => tracing::debug!(kind, "what dead attempts have left was not swept"),
                _ => tracing::warn!(kind, "what dead attempts have left cannot be swept: {error}"),
            }
        }
    }
}

async fn sweep(store: &Store, ledger: &Ledger) -> Result<()> {
    loop {
        let mut outcome = Ok(());
        let due = ledger.due().await?;
        for entry in &due {
            // One that fails is found again the next time, and costs the others nothing.
            outcome = sweep_one(store, ledger, entry).await.map(drop).and(outcome);
        }
        if due.len() < SWEEP || outcome.is_err() {
            return outcome;
        }
    }
}

/// Sweeps one entry whose time has come. Returns how many codes belong to no dead attempt any more; None if another
/// was faster.
pub(crate) async fn sweep_one(store: &Store, ledger: &Ledger, entry: &Entry) -> Result<Option<u64>> {
    match entry.state {
        State::Granted | State::Expired => {
            let codes = give_back_past(store, &entry.id, &entry.past).await?;
            ledger.swept(entry).await.map(|()| Some(codes))
        }
        State::Claiming | State::Abandoned => give_up(store, ledger, entry).await,
    }
}

/// Ends an abandoned attempt that nobody has taken over.
async fn give_up(store: &Store, ledger: &Ledger, entry: &Entry) -> Result<Option<u64>> {
    // So that an owner who is only slow cannot grant what is taken away here.
    let Some(owned) = ledger.take_to_sweep(entry, &ReserveId::random()).await? else { return Ok(None) };
    let codes = give_back_past(store, &entry.id, &owned.past).await?;
    ledger.remove(&owned).await?;
    Ok(Some(codes))
}
