//! Was everything right? Every rule of the service, against what clients have seen and what is left.
//!
//! Nobody knows when inside a call something happened, and of a call without an answer not even whether. So a
//! rule speaks of what must have been so whatever happened when: it never blames a service that was right.
//! [`facts`] gathers what is certain and what is possible; each other module is a rule.

mod assigned;
mod counts;
mod facts;
mod fenced;
mod hidden;
mod holds;
mod never_more;
mod never_short;
mod nothing_lost;
mod one_holder;
mod same_set;
mod settles;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod story;
mod sums;
mod untouched;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Header, History, Snapshot};
use facts::Facts;

/// How many violations of a rule are printed.
const SHOWN: usize = 10;

/// Something that no right service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
    /// The calls that prove it, each with its client, number, times and answer.
    pub(crate) calls: Vec<String>,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) calls: usize,
    /// How many calls were answered how, by the call and the answer.
    pub(crate) outcomes: BTreeMap<String, usize>,
}

/// Checks all rules.
pub(crate) fn check(histories: &[History], header: &Header, snapshot: &Snapshot) -> Verdict {
    let (facts, mut violations) = Facts::gather(histories, header, snapshot);
    for rule in [
        one_holder::check,
        assigned::check,
        same_set::check,
        never_more::check,
        nothing_lost::check,
        never_short::check,
        fenced::check,
        counts::check,
    ] {
        violations.extend(rule(&facts));
    }
    let mut outcomes = BTreeMap::new();
    for call in &facts.calls {
        *outcomes.entry(call.kind()).or_default() += 1;
    }
    Verdict { violations, calls: facts.calls.len(), outcomes }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)?;
        self.calls.iter().try_for_each(|call| write!(f, "\n    {call}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls", self.calls)?;
        for (kind, number) in &self.outcomes {
            writeln!(f, "{number:>10} {kind}")?;
        }
        let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for violation in &self.violations {
            rules.entry(violation.rule).or_default().push(violation);
        }
        for violations in rules.values() {
            for violation in violations.iter().take(SHOWN) {
                writeln!(f, "{violation}")?;
            }
            if let Some(more) = violations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                writeln!(f, "    and {more} more of this rule")?;
            }
        }
        write!(f, "{} violations", self.violations.len())
    }
}
