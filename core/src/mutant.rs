//! Known mistakes that a build with the feature `mutants` makes on purpose, one at a time: the tests that look
//! for double hand-outs must find every one of them. Without the feature there is none, and no trace of them.

/// A mistake, by the name that the environment variable `CODE_SERVICE_MUTANT` has it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A claim takes candidates whether or not they are available.
    NoGuard,
    /// What a batch has won is read from a secondary.
    StaleReadBack,
    /// A claim is confirmed by the primary alone.
    PrimaryAlone,
    /// After a lost reply others are claimed, without a look at what was won.
    NoReadBack,
    /// What arrives late takes effect all the same.
    NoDeadline,
    /// A reserve under the caller's id makes no entry.
    NoLedger,
    /// Assign and release do not ask whose the codes are.
    NoFence,
    /// What has expired is told by this process's clock.
    PodClock,
    /// What dead attempts hold is not given back.
    NoSweep,
}

/// Whether this mistake is to be made.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub(crate) fn is(mutant: Mutant) -> bool {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("CODE_SERVICE_MUTANT").ok());
    chosen.as_ref().is_some_and(|chosen| *chosen == format!("{mutant:?}"))
}
