//! The lines of the table: what is measured beside what, and the ratio that must be reached.

mod c;
mod http;
mod node;
mod reserving;
mod saving;

use code_service_tests::Mongod;
use serde::{Deserialize, Serialize};

use crate::ground::Ground;
use crate::worker::{Report, Until, Work};

/// How often each side runs.
const ROUNDS: usize = 3;
/// For how long, if not until something is done.
const SECONDS: f64 = 2.0;
/// The same for several processes, which have to find places apart from each other first.
const SEVERAL_SECONDS: f64 = 5.0;
/// Codes that no measurement of that time can use up.
const PLENTY: usize = 150_000;
const MILLION: usize = 1_000_000;

/// The names, as `make bench LINE=…` takes them.
pub(crate) const LINES: [&str; 21] = [
    "burst",
    "own-ids",
    "old",
    "alone",
    "hundreds",
    "one-call",
    "processes",
    "huge",
    "crowd",
    "last",
    "empty",
    "expired",
    "import",
    "beside",
    "count",
    "export",
    "peers",
    "node",
    "c",
    "http",
    "curve",
];

/// What a ratio must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is there to be known.
    None,
}

/// One row of the table: two sides and their ratio.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) line: &'static str,
    pub(crate) work: String,
    pub(crate) beside: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) other: f64,
    pub(crate) goal: Goal,
}

impl Row {
    /// Codes per second of ours, in the middle of what was measured.
    fn codes(line: &'static str, work: impl Into<String>, ours: &[f64]) -> Row {
        Row::of(line, work, CODES, ours)
    }

    fn of(line: &'static str, work: impl Into<String>, unit: &'static str, ours: &[f64]) -> Row {
        let ours = median(ours);
        Row { line, work: work.into(), beside: String::new(), unit, ours, other: 0.0, goal: Goal::None }
    }

    /// The other side.
    ///
    /// # Panics
    /// If either has done nothing: then nothing was measured.
    fn beside(self, what: impl Into<String>, other: &[f64]) -> Row {
        let row = Row { beside: what.into(), other: median(other), ..self };
        assert!(row.ratio().is_normal(), "nothing was measured: {row:?}");
        row
    }

    fn at_least(self, ratio: f64) -> Row {
        Row { goal: Goal::AtLeast(ratio), ..self }
    }

    fn at_most(self, ratio: f64) -> Row {
        Row { goal: Goal::AtMost(ratio), ..self }
    }

    pub(crate) fn ratio(&self) -> f64 {
        self.ours / self.other
    }

    pub(crate) fn met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.ratio() >= goal,
            Goal::AtMost(goal) => self.ratio() <= goal,
            Goal::None => true,
        }
    }
}

const CODES: &str = "codes/s";

/// Codes per second at so many callers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) callers: usize,
    pub(crate) ours: f64,
    pub(crate) old: f64,
    /// The part of the old algorithm's calls that got no code.
    pub(crate) old_short: f64,
    pub(crate) floor: f64,
}

/// What the lines run on, and what they leave beside their rows.
pub(crate) struct Bench {
    mongod: Mongod,
    /// The most memory that one of our processes took over its idle state, in MiB.
    pub(crate) memory: f64,
    pub(crate) curve: Vec<Point>,
}

impl Bench {
    pub(crate) fn new(mongod: Mongod) -> Bench {
        Bench { mongod, memory: 0.0, curve: Vec::new() }
    }

    pub(crate) async fn run(&mut self, line: &'static str) -> Vec<Row> {
        match line {
            "burst" => self.burst().await,
            "own-ids" => self.own_ids().await,
            "old" => vec![self.old().await],
            "alone" => vec![self.alone().await],
            "hundreds" => self.hundreds().await,
            "one-call" => self.one_call().await,
            "processes" => vec![self.processes().await],
            "huge" => vec![self.huge().await],
            "crowd" => self.crowd().await,
            "last" => self.last().await,
            "empty" => self.empty().await,
            "expired" => vec![self.expired().await],
            "import" => self.import().await,
            "beside" => vec![self.beside().await],
            "count" => self.count().await,
            "export" => vec![self.export().await],
            "peers" => self.peers().await,
            "node" => self.node().await,
            "c" => self.c().await,
            "http" => self.http().await,
            "curve" => {
                self.measure_curve().await;
                Vec::new()
            }
            other => unreachable!("{other} is not in the list"),
        }
    }

    /// Our work on a database of its own.
    async fn on_fresh(&mut self, pool: usize, work: &Work) -> Report {
        let ground = Ground::full(&self.mongod, pool).await;
        let report = self.ours(&ground, 1, work).await;
        ground.clear().await;
        report
    }

    /// So many processes of ours at work; their sum, and the slowest of their times.
    async fn ours(&mut self, ground: &Ground, processes: usize, work: &Work) -> Report {
        let mut sum = Report::default();
        for report in ground.ours(processes, work).await {
            self.memory = self.memory.max(report.memory);
            sum.done += report.done;
            sum.seconds = sum.seconds.max(report.seconds);
            sum.p50 = sum.p50.max(report.p50);
            sum.p99 = sum.p99.max(report.p99);
        }
        sum
    }
}

fn timed(callers: usize, count: u32) -> Work {
    timed_for(callers, count, SECONDS)
}

fn timed_for(callers: usize, count: u32, seconds: f64) -> Work {
    Work::Reserve { callers, count, until: Until::Seconds(seconds) }
}

fn rates(reports: &[Report]) -> Vec<f64> {
    reports.iter().map(Report::rate).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
