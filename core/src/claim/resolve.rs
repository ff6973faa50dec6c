//! What became of a batch whose reply was lost.
//!
//! It may have been carried out, wholly or in part; it may never be; and the network may still hold it. If all
//! its candidates carry the ids they were meant for, it has been carried out, and only once. If the server
//! has answered with an error, it is at its end, too. Otherwise the answer has to wait for the moment after
//! which nothing of the batch can happen any more.
//!
//! The look is linearizable: it shows the newest state, and only after a majority has confirmed that the
//! server is still primary. A primary that was left behind cannot answer it, and what it shows stays.

use std::time::{Duration, Instant};

use mongodb::bson::DateTime;
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;

use super::batch::{self, Failure, RUNS, Share};
use super::{LONGEST, Pool};
use crate::document;
use crate::mutant::{Mutant, is};
use crate::store::Store;

/// How far the server must be past the last moment of the batch: it looks at the time only now and then.
const MARGIN: Duration = Duration::from_millis(250);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The moment, by the server's clock, after which nothing of a failed batch can happen. None if nothing can any
/// more.
pub(super) fn over(deadline: DateTime, failure: &Failure) -> Option<DateTime> {
    (!failure.answered).then(|| document::later(deadline, RUNS + MARGIN))
}

/// Leaves in each share what it has won, once that cannot change any more.
///
/// # Errors
/// The last one, if nobody could tell for as long as the options' patience: that is longer than anything of
/// the batch can be under way, so whoever hears that the outcome is unknown knows that nothing more happens.
pub(super) async fn resolve(
    store: &Store,
    pool: &Pool,
    shares: &mut [Share],
    over: Option<DateTime>,
) -> Result<(), DriverError> {
    if is(Mutant::NoReadBack) {
        shares.iter_mut().for_each(|share| share.codes.clear());
        return Ok(());
    }
    let start = Instant::now();
    loop {
        let time = store.server_time().await;
        match batch::won(store, pool, shares, ReadConcern::linearizable()).await {
            Ok(won) => {
                let all = shares.iter().zip(&won).all(|(share, won)| share.codes.len() == won.len());
                let nothing_comes = match (over, &time) {
                    (None, _) => true,
                    // The server's clock may have gone back: then ours is right, which has seen the moment pass.
                    _ if start.elapsed() > store.patience => true,
                    (Some(over), Ok(time)) => *time > over,
                    (Some(_), Err(_)) => false,
                };
                if all || nothing_comes {
                    batch::keep(shares, &won);
                    return Ok(());
                }
            }
            Err(error) if start.elapsed() > store.patience => return Err(error),
            Err(_) => {}
        }
        let left = match (over, time) {
            (Some(over), Ok(time)) => over.timestamp_millis() - time.timestamp_millis(),
            _ => 0,
        };
        let wait = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        tokio::time::sleep(wait.clamp(PAUSE, LONGEST + MARGIN)).await;
    }
}
