//! The second look at what looks wrong: by then nothing of what was under way at the first one is any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::check::reservations::{TOGETHER, look, sweep};
use crate::check::{FindingKind, Report};
use crate::claim;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::store::Store;

/// How many groups wait at most.
const WAITING: usize = 199;
/// How long after the first look the second one comes: nothing of a claim that was under way then is any more.
const AGAIN: Duration = claim::LONGEST.saturating_add(Duration::from_secs(1));

/// Looks again at reserveIds of which something looks wrong, and reports what still does.
pub(super) struct SecondLook<'a> {
    store: &'a Store,
    ledger: &'a Ledger,
    /// What it is for.
    of: fn(FindingKind) -> bool,
    waiting: Waiting,
}

impl<'a> SecondLook<'a> {
    pub(super) fn at(store: &'a Store, ledger: &'a Ledger, of: fn(FindingKind) -> bool) -> Self {
        SecondLook { store, ledger, of, waiting: Waiting::new(WAITING) }
    }

    /// Takes one in. If too many wait, it waits itself, until the first of them were looked at.
    pub(super) async fn add(&mut self, id: String, report: &mut Report<'_>) -> Result<()> {
        self.waiting.push(id);
        self.look(report).await
    }

    /// Looks at all that still wait.
    pub(super) async fn end(mut self, report: &mut Report<'_>) -> Result<()> {
        self.waiting.end();
        self.look(report).await
    }

    async fn look(&mut self, report: &mut Report<'_>) -> Result<()> {
        while let Some((when, ids)) = self.waiting.next() {
            tokio::time::sleep_until(when.into()).await;
            for seen in look(self.store, &ids, report.check.examples).await? {
                for (kind, count) in seen.wrong().into_iter().filter(|(kind, _)| (self.of)(*kind)) {
                    report.add(kind, count, seen.examples(kind));
                }
                if report.check.repair && (self.of)(FindingKind::NotSwept) {
                    sweep(self.store, self.ledger, report, &seen).await?;
                }
            }
            report.tell();
        }
        Ok(())
    }
}

/// ReserveIds until their second look, in groups.
struct Waiting {
    most: usize,
    groups: VecDeque<(Instant, Vec<String>)>,
    group: Vec<String>,
}

impl Waiting {
    /// At most so many groups, beside the one that is not full.
    fn new(most: usize) -> Self {
        Waiting { most, groups: VecDeque::new(), group: Vec::new() }
    }

    fn push(&mut self, id: String) {
        self.group.push(id);
        if self.group.len() == TOGETHER {
            self.close();
        }
    }

    fn close(&mut self) {
        self.groups.push_back((Instant::now() + AGAIN, std::mem::take(&mut self.group)));
    }

    /// Nothing more comes.
    fn end(&mut self) {
        if !self.group.is_empty() {
            self.close();
        }
        self.most = 0;
    }

    /// The next group, if its time has come, or has to be waited for because too many wait.
    fn next(&mut self) -> Option<(Instant, Vec<String>)> {
        let (when, _) = self.groups.front()?;
        let is_next = self.groups.len() > self.most || *when <= Instant::now();
        if is_next { self.groups.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may_and_all_come_in_their_order() {
        const MOST: usize = 2;
        let mut waiting = Waiting::new(MOST);
        let mut looked_at = Vec::new();
        let ids: Vec<String> = (0..10 * TOGETHER + 7).map(|number| number.to_string()).collect();
        for (number, id) in ids.iter().enumerate() {
            waiting.push(id.clone());
            while let Some((_, group)) = waiting.next() {
                looked_at.extend(group);
            }
            assert!(number + 1 - looked_at.len() < (MOST + 1) * TOGETHER, "after {number}");
        }
        assert!(!looked_at.is_empty(), "some had to be looked at before the end");
        waiting.end();
        while let Some((_, group)) = waiting.next() {
            looked_at.extend(group);
        }
        assert_eq!(looked_at, ids);
    }

    #[test]
    fn a_group_is_looked_at_when_nothing_of_a_claim_can_be_under_way_any_more() {
        let mut waiting = Waiting::new(0);
        let pushed = Instant::now();
        waiting.push("id".to_owned());
        assert!(waiting.next().is_none(), "it waits for company");
        waiting.end();
        let (when, _) = waiting.next().expect("it is due");
        assert!(when >= pushed + claim::LONGEST);
    }
}
