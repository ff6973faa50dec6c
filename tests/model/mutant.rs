//! The protocol, and the mistakes that one could make with it.

/// A mistake in the protocol. Each must make a property fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// The protocol as it is.
    None,
    /// The claim's update does not ask whether the code is available.
    NoGuard,
    /// The guard compares with the clock of a process, and that is wrong.
    PodClock,
    /// Calls with the same id claim without the ledger.
    NoLedger,
    /// The codes are returned before the entry is granted, and whether it was is not looked at.
    NoGrant,
    /// The grant does not ask who owns the entry.
    GrantWithoutOwner,
    /// Whoever takes over keeps the date of the attempt before.
    TakeOverKeepsDate,
    /// Whoever takes over does not look whether the id is in use elsewhere.
    TakesOverUnchecked,
    /// A recover that has ended an attempt does not look whether the id is in use elsewhere.
    RecoverForgetsOthers,
    /// Whoever takes over does not ask whether the lease is still over.
    TakeOverWithoutLease,
    /// Who took over releases every other date, not only earlier ones.
    ReleasesLaterDates,
    /// Who finds codes under the id beside its fresh entry says so, whoever owns the entry by then.
    MismatchWithoutOwner,
    /// An attempt that has lost its entry starts over.
    StartsOver,
    /// Who waits for an attempt takes over from whoever has the entry then.
    TakesOverWhatCameLater,
    /// A recover leaves the entry to whoever has waited for it.
    RecoverStaysOwner,
    /// Who took over and finds too few codes removes the entry at once.
    DeletesAfterTakeOver,
    /// A lost reply counts as codes lost: others are claimed, without a look.
    NoReadBack,
    /// After a lost reply it is read at once what was won, without waiting for the time limit.
    NoWaitForLimit,
    /// The look after a claim is taken at a secondary.
    StaleReadBack,
    /// Writes are acknowledged by the primary alone.
    PrimaryAlone,
    /// Assign and release do not ask who holds the code.
    NoFence,
    /// A grant after a take-over leaves nothing to sweep.
    NoSweep,
    /// A sweep that does not wait until the writes of the attempts can no longer land.
    SweepsTooEarly,
    /// The sweep takes an entry over that was due when it was read, whatever it is now.
    SweepsWhatWasDue,
    /// Claims have no time limit.
    NoTimeLimit,
    /// A claim's deadline may be later than the attempt's lease.
    DeadlineBeyondLease,
    /// The lease of a dead attempt never ends.
    LeaseWithoutEnd,
    /// Not ours: the clock of the old service is wrong.
    OldServiceClock,
}
