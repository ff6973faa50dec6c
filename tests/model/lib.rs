//! The reserve protocol as a model, every state of which is explored: three codes, three calls of reserve in
//! two processes, a client of the old service, the sweep, and everything that can go wrong between them, so
//! many times as a test's `Budget` says. An exploration ends when there is no state left: within these
//! numbers nothing is left to chance. Which order things happen in is never restricted, except by the rules
//! of time below.
//!
//! # Which event is which step of the protocol
//!
//! | event | step |
//! |---|---|
//! | `Write` in phase `Entering` | 1 enter: insert the entry, or see that there is one |
//! | `Read` in `Checking`, `Write` in `Removing` | 1 and 6: is a code in use under the id that the entry does not know of? |
//! | `Claim` | 2 claim: a batch is sent. Under the core's own id this is the whole protocol |
//! | `Land` | 2: the server's guard decides one code; a command is not atomic over its codes |
//! | `BatchReply`, `ReadBack` in `ReadingBack` | 2: total as sent; or less, then read back by code |
//! | `LoseReply`, `ReadBack` in `Unknown` and `UnknownAgain`, `LimitPasses`, `GiveUp` | 2: reply lost |
//! | `NoneLeft`, `Write` in `GivingBackTooFew`, `Deleting`, `Abandoning` | 3: too few codes |
//! | `Write` in `Claiming` | 2: renew the lease |
//! | `Write` in `Granting`, `GivingBackLost` | 3 grant, or give back what was lost |
//! | `NoReply`, then `Write` in `Abandoning` | 3: an error: abandon |
//! | `Read` in `Replaying` | 4 found granted |
//! | `Read` in `Watching`; none while another's lease runs | 5 wait |
//! | `LeaseOver`, `Write` in `TakingOver`, `ReleasingOthers` | 6 take over |
//! | `Sweep` | 7 sweep: `TakingOver`, `ReleasingAll`, `Deleting`; `ReleasingSurplus`, `UnsettingSweep` |
//! | `Read` in `Looking`, then as in 6, `Abandoning` | 7 recover |
//! | `Ask`, `AskLands`, `AskIsLost` | fenced assign and release |
//! | `OldFind`, `OldUpdate`, `OldRelease` | the old service |
//! | `Crash`, `SweepCrash`, `SweepNoReply`, `FailOver`, `Expire`, `LandLate`, `DropLate` | what goes wrong |
//! | `ReadBackStale` | only in the mistake `StaleReadBack` |
//!
//! # Time
//!
//! There are no seconds. A lease may run out at any moment, also of an owner that is only slow; a command of
//! the ledger whose reply was lost may land at any later moment, or never. Of the protocol's times four
//! consequences remain, and each is the subject of a mistake that is caught (`Mutant`):
//! - a batch has no effect after its `LimitPasses`: deadline and maxTimeMS (`NoTimeLimit`);
//! - no batch of an attempt lands that was built after its lease (`DeadlineBeyondLease`);
//! - when an entry's sweep is due, no batch of an attempt that led to it is pending: sweep is later than each
//!   lease by more than a command may run (`SweepsTooEarly`, `TakeOverWithoutLease`);
//! - when reservations expire, no batch is pending: the ttl is longer than a lease and a command.
//!
//! # What is left out
//!
//! Batches that serve several callers: each caller's part is a batch here, and is settled for itself. The old
//! service's unfenced assign, and its release of what is no longer its own: both take from others whatever
//! stands beside them. The members of the replica set have one clock: a failover to a member whose clock is
//! behind by more than the difference of sweep and time limit is outside. Entries are not removed by age.

#![cfg(test)]

mod calls;
mod db;
mod model;
mod mutant;
mod properties;
mod state;
mod sweep;
mod tests;
mod world;
