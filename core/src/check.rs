//! Check: is what lies in the database what the services write, and can anything of it do harm?
//!
//! A check reads every document of the codes and every entry of the ledger once, on the primary, in constant
//! memory, while callers work. What is wrong with a [document](document) shows by itself. What is wrong with a
//! [reservation](reservations) shows only in several documents, which others may be changing; so it is looked at
//! a second time, when nothing of a claim that was under way the first time can be any more.
//!
//! A repair does what is safe, and that only while the thing still is as it was found. It never touches the dates
//! of an assigned code.

mod again;
mod document;
mod kinds;
mod reservations;
mod scan;

use std::fmt;

use mongodb::bson::Bson;

use crate::error::Result;
use crate::ids::{CampaignId, Code};
use crate::indexes::{self, IndexProblem};
use crate::ledger::Ledger;
use crate::store::Store;

pub use kinds::FindingKind;

/// What to check, and whether to mend it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Check {
    /// Only this campaign. Documents that name no campaign, and what spans several, are found by a check of all.
    pub campaign: Option<CampaignId>,
    /// Whether to do what [`FindingKind::repair`] says.
    pub repair: bool,
    /// How many examples to keep of each kind: 5 unless set.
    pub examples: usize,
}

impl Default for Check {
    fn default() -> Self {
        Check { campaign: None, repair: false, examples: 5 }
    }
}

/// What a check has seen and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How many documents of the codes it has looked at.
    pub documents: u64,
    /// How many entries of the ledger.
    pub entries: u64,
    /// What it has found, of each kind once, in the order of [`FindingKind::ALL`].
    pub findings: Vec<Finding>,
}

/// All that was found of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How many there are.
    pub count: u64,
    /// How many of them this check has mended.
    pub repaired: u64,
    /// The first ones that were found.
    pub examples: Vec<Example>,
}

/// Where something was found.
///
/// For the people who mend it, so its text shows codes; its `Debug` form does not.
#[derive(Clone, PartialEq, Eq)]
pub enum Example {
    /// A code.
    Code {
        /// Its campaign.
        campaign: String,
        /// The code.
        code: Code,
    },
    /// A document that is no code, or an entry without a reserveId.
    Document {
        /// Its `_id`, without control characters, and without what is longer than a line or two.
        id: String,
    },
    /// A reservation.
    Reservation {
        /// Its campaign, if it is known.
        campaign: Option<String>,
        /// Its reserveId.
        reserve_id: String,
    },
    /// An index.
    Index(IndexProblem),
}

impl Example {
    /// A document that has only its `_id` to show: its beginning, without what would upset a terminal.
    fn document(id: &Bson) -> Self {
        const MOST: usize = 200;
        let text = id.to_string();
        let mut shown: String = text.chars().take(MOST).filter(|shown| !shown.is_control()).collect();
        if text.chars().nth(MOST).is_some() {
            shown.push('…');
        }
        Example::Document { id: shown }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Example::Code { campaign, code } => write!(f, "{campaign} {}", code.as_str()),
            Example::Document { id } => write!(f, "_id {id}"),
            Example::Reservation { campaign: Some(campaign), reserve_id } => {
                write!(f, "{campaign} reserveId {reserve_id}")
            }
            Example::Reservation { campaign: None, reserve_id } => write!(f, "reserveId {reserve_id}"),
            Example::Index(problem) => problem.fmt(f),
        }
    }
}

impl fmt::Debug for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Example::Code { campaign, .. } => write!(f, "Code {{ campaign: {campaign:?}, .. }}"),
            Example::Document { .. } => f.write_str("Document(..)"),
            Example::Reservation { campaign, reserve_id } => {
                write!(f, "Reservation {{ campaign: {campaign:?}, reserve_id: {reserve_id:?} }}")
            }
            Example::Index(problem) => write!(f, "Index({problem:?})"),
        }
    }
}

impl CheckReport {
    /// Whether nothing is wrong, or everything that was is mended; what is harmless does not count.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|found| found.kind.is_information() || found.repaired >= found.count)
    }
}

pub(crate) async fn check(
    store: &Store,
    ledger: &Ledger,
    check: Check,
    mut progress: impl FnMut(&CheckReport) + Send,
) -> Result<CheckReport> {
    let mut report = Report { check, seen: CheckReport::default(), progress: &mut progress };
    let problems = indexes::verify(store).await?;
    let indexed = problems.iter().all(|problem| problem.collection != store.codes.name());
    for problem in problems {
        report.add(FindingKind::Index, 1, [Example::Index(problem)]);
    }
    scan::documents(store, indexed, &mut report).await?;
    reservations::reservations(store, ledger, &mut report).await?;
    report.tell();
    Ok(report.seen)
}

/// A report that grows.
struct Report<'a> {
    check: Check,
    seen: CheckReport,
    progress: &'a mut (dyn FnMut(&CheckReport) + Send),
}

impl Report<'_> {
    fn add(&mut self, kind: FindingKind, count: u64, examples: impl IntoIterator<Item = Example>) {
        let most = self.check.examples;
        let finding = self.finding(kind);
        finding.count += count;
        let room = most.saturating_sub(finding.examples.len());
        finding.examples.extend(examples.into_iter().take(room));
    }

    fn repaired(&mut self, kind: FindingKind, count: u64) {
        self.finding(kind).repaired += count;
    }

    fn finding(&mut self, kind: FindingKind) -> &mut Finding {
        let findings = &mut self.seen.findings;
        let place = match findings.binary_search_by_key(&kind, |found| found.kind) {
            Ok(place) => place,
            Err(place) => {
                findings.insert(place, Finding { kind, count: 0, repaired: 0, examples: Vec::new() });
                place
            }
        };
        &mut findings[place]
    }

    fn tell(&mut self) {
        (self.progress)(&self.seen);
    }
}
