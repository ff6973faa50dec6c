//! The lines of the table: what is measured beside what, and the ratio that must be reached.

use code_service_tests::Mongod;
use serde::{Deserialize, Serialize};

use crate::ground::Ground;
use crate::peers;
use crate::worker::{CAMPAIGN, Report, Until, Work};

/// How often each side runs.
const ROUNDS: usize = 3;
/// For how long, if not until something is done.
const SECONDS: f64 = 2.0;
/// The same for several processes, which have to find places apart from each other first.
const SEVERAL_SECONDS: f64 = 5.0;
/// Codes that no measurement of that time can use up.
const PLENTY: usize = 150_000;
/// What each way of the floor takes.
const FLOOR: usize = 40_000;
const MILLION: usize = 1_000_000;
/// The deployed upsert needs minutes for a million rows: a part of them tells its speed, and a smaller
/// collection favours it.
const OLD_ROWS: usize = 200_000;

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

/// The names, as `make bench LINE=…` takes them.
pub(crate) const LINES: [&str; 15] = [
    "burst",
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
    "count",
    "peers",
    "curve",
];

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
            "old" => vec![self.old().await],
            "alone" => vec![self.alone().await],
            "hundreds" => {
                let (work, floor) = self.beside_floor(&timed(8, 100), PLENTY).await;
                vec![on_floor(line, "8 callers x 100 codes", rate(&work), floor)]
            }
            "one-call" => {
                let work = Work::Reserve { callers: 1, count: 100_000, until: Until::Calls(1) };
                let (work, floor) = self.beside_floor(&work, 100_000).await;
                vec![on_floor(line, "one call of 100,000 codes", rate(&work), floor)]
            }
            "processes" => {
                let [sum, alone] = self.processes(2 * PLENTY, true, 4, 64).await;
                vec![beside_one(line, "4 processes x 64 callers x 1 code", sum, alone, 1.0)]
            }
            "huge" => {
                let [sum, alone] = self.processes(10 * MILLION, false, 4, 64).await;
                vec![beside_one(line, "the same in a pool of 10,000,000 codes", sum, alone, 1.0)]
            }
            "crowd" => self.crowd().await,
            "last" => self.last().await,
            "empty" => self.empty().await,
            "expired" => vec![self.expired().await],
            "import" => self.import().await,
            "count" => self.count().await,
            "peers" => self.peers().await,
            "curve" => {
                self.measure_curve().await;
                Vec::new()
            }
            other => unreachable!("{other} is not in the list"),
        }
    }

    async fn burst(&mut self) -> Vec<Row> {
        let (work, floor) = self.beside_floor(&timed(256, 1), PLENTY).await;
        let times = |quantile: fn(&Report) -> u32| median(work.iter().map(|r| f64::from(quantile(r)) / 1e3));
        vec![
            on_floor("burst", BURST, rate(&work), floor),
            Row {
                line: "burst",
                work: "its slowest calls: p99".into(),
                beside: "its p50".into(),
                unit: "ms",
                ours: times(|report| report.p99),
                other: times(|report| report.p50),
                goal: Goal::AtMost(5.0),
            },
        ]
    }

    async fn old(&mut self) -> Row {
        let (mut ours, mut old, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, PLENTY).await;
            ground.settle().await;
            let (rate, part) = peers::old_reserve(&ground, 256, 2.0 * SECONDS);
            old.push(rate);
            short.push(part);
            ground.clear().await;
            ours.push(self.on_fresh(PLENTY, &timed(256, 1)).await.rate());
        }
        let short = median(short) * 100.0;
        Row {
            line: "old",
            work: BURST.into(),
            beside: format!("the deployed algorithm ({short:.0} % of its calls get nothing)"),
            unit: CODES,
            ours: median(ours),
            other: median(old),
            goal: Goal::AtLeast(500.0),
        }
    }

    async fn alone(&mut self) -> Row {
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for _ in 0..2 * ROUNDS {
            let ground = Ground::full(&self.mongod, 10_000).await;
            // By their order in the list, which is that of saving: ours begins at the front.
            ground.settle().await;
            other.push(ground.known_codes(9_000, 1_000).await);
            let work = Work::Reserve { callers: 1, count: 1, until: Until::Calls(1_000) };
            ours.push(self.ours(&ground, 1, &work).await.rate());
            ground.clear().await;
        }
        Row {
            line: "alone",
            work: "1 caller x 1 code".into(),
            beside: "findOneAndUpdate on known ids".into(),
            unit: CODES,
            ours: median(ours),
            other: median(other),
            goal: Goal::AtLeast(0.9),
        }
    }

    /// So many processes, and one with 256 callers; each codes per second.
    async fn processes(&mut self, pool: usize, fresh: bool, processes: usize, callers: usize) -> [f64; 2] {
        let (mut sum, mut one) = (Vec::new(), Vec::new());
        let mut ground = Ground::full(&self.mongod, pool).await;
        for round in 0..ROUNDS {
            if fresh && round > 0 {
                ground.clear().await;
                ground = Ground::full(&self.mongod, pool).await;
            }
            one.push(self.ours(&ground, 1, &timed_for(256, 1, SEVERAL_SECONDS)).await.rate());
            if fresh {
                ground.clear().await;
                ground = Ground::full(&self.mongod, pool).await;
            }
            sum.push(self.ours(&ground, processes, &timed_for(callers, 1, SEVERAL_SECONDS)).await.rate());
        }
        ground.clear().await;
        [median(sum), median(one)]
    }

    async fn crowd(&mut self) -> Vec<Row> {
        let [sum, alone] = self.processes(2 * PLENTY, true, 12, 16).await;
        let mut small = Vec::new();
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, FLOOR).await;
            ground.settle().await;
            small.push(ground.update_many(12, 16, 0, FLOOR).await);
            ground.clear().await;
        }
        let work = "12 processes x 16 callers x 1 code";
        vec![
            beside_one("crowd", work, sum, alone, 0.8),
            Row {
                line: "crowd",
                work: work.into(),
                beside: "updateMany of 16 known ids, 12 at once".into(),
                unit: CODES,
                ours: sum,
                other: median(small),
                goal: Goal::None,
            },
        ]
    }

    async fn last(&mut self) -> Vec<Row> {
        let part = |count, calls| Work::Reserve {
            callers: if count == 1 { 256 } else { 1 },
            count,
            until: Until::Calls(calls),
        };
        let (mut first, mut last, mut empty, mut ping) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, MILLION).await;
            first.push(self.ours(&ground, 1, &part(1, 10_000)).await.rate());
            self.ours(&ground, 1, &part(98_000, 10)).await;
            last.push(self.ours(&ground, 1, &part(1, 10_000)).await.rate());
            ping.push(ground.ping(1_000).await);
            empty.push(self.nothing(&ground, CAMPAIGN).await);
            ground.clear().await;
        }
        vec![
            Row {
                line: "last",
                work: "the last 1 % of 1,000,000 codes".into(),
                beside: "the first 1 %".into(),
                unit: CODES,
                ours: median(last),
                other: median(first),
                goal: Goal::AtLeast(0.8),
            },
            beside_ping("last", "and then the empty pool: p50", empty, ping),
        ]
    }

    async fn empty(&mut self) -> Vec<Row> {
        let (mut never, mut once, mut ping) = (Vec::new(), Vec::new(), Vec::new());
        let ground = Ground::full(&self.mongod, 100_000).await;
        let all = Work::Reserve { callers: 1, count: 100_000, until: Until::Calls(1) };
        self.ours(&ground, 1, &all).await;
        for _ in 0..ROUNDS {
            ping.push(ground.ping(1_000).await);
            never.push(self.nothing(&ground, "never").await);
            once.push(self.nothing(&ground, CAMPAIGN).await);
        }
        ground.clear().await;
        vec![
            beside_ping("empty", "a pool that never had a code: p50", never, ping.clone()),
            beside_ping("empty", "a pool that has given 100,000: p50", once, ping),
        ]
    }

    /// Median time of a call that gets nothing, in microseconds.
    async fn nothing(&mut self, ground: &Ground, campaign: &str) -> f64 {
        let work = Work::Empty { campaign: campaign.into(), callers: 1, calls: 1_000 };
        f64::from(self.ours(ground, 1, &work).await.p50)
    }

    async fn expired(&mut self) -> Row {
        let (mut fresh, mut expired) = (Vec::new(), Vec::new());
        let work = Work::Reserve { callers: 256, count: 1, until: Until::Calls(100_000) };
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, MILLION).await;
            fresh.push(self.ours(&ground, 1, &work).await.rate());
            ground.expire(MILLION / 100).await;
            expired.push(self.ours(&ground, 1, &work).await.rate());
            ground.clear().await;
        }
        Row {
            line: "expired",
            work: "256 callers, 1,000,000 codes of which 99 % expired".into(),
            beside: "the same pool fresh".into(),
            unit: CODES,
            ours: median(expired),
            other: median(fresh),
            goal: Goal::AtLeast(0.7),
        }
    }

    async fn import(&mut self) -> Vec<Row> {
        let [mut ours, mut again, mut plain, mut old, mut old_again] = [const { Vec::new() }; 5];
        for _ in 0..ROUNDS {
            let ground = Ground::empty(&self.mongod, OLD_ROWS).await;
            let file = ground.file();
            ground.settle().await;
            old.push(peers::old_import(&ground, &file));
            ground.settle().await;
            old_again.push(peers::old_import(&ground, &file));
            ground.clear().await;
            let ground = Ground::empty(&self.mongod, MILLION).await;
            ground.settle().await;
            plain.push(ground.insert_many().await);
            ground.clear().await;
            let ground = Ground::empty(&self.mongod, MILLION).await;
            let file = ground.file();
            let work = Work::Import { file: file.path().into() };
            ours.push(self.ours(&ground, 1, &work).await.rate());
            again.push(self.ours(&ground, 1, &work).await.rate());
            ground.clear().await;
        }
        let row = |work: &str, beside: &str, ours: f64, other: &[f64], goal| Row {
            line: "import",
            work: work.into(),
            beside: beside.into(),
            unit: "rows/s",
            ours,
            other: median(other.iter().copied()),
            goal: Goal::AtLeast(goal),
        };
        let ours = median(ours);
        vec![
            row("1,000,000 new rows", "plain unordered insert_many", ours, &plain, 0.9),
            row("1,000,000 new rows", "the deployed upsert", ours, &old, 4.0),
            row("the same rows again", "the deployed upsert, again", median(again), &old_again, 2.0),
        ]
    }

    async fn count(&mut self) -> Vec<Row> {
        let ground = Ground::full(&self.mongod, MILLION).await;
        let free = self.counted(&ground, "1,000,000 free codes").await;
        // A third of them each: free, reserved, expired.
        ground.expire(2 * MILLION / 3).await;
        let reserved = Work::Reserve { callers: 4, count: 33_333, until: Until::Calls(10) };
        self.ours(&ground, 1, &reserved).await;
        let mixed = self.counted(&ground, "1,000,000, a third reserved, a third expired").await;
        ground.clear().await;
        vec![free, mixed]
    }

    async fn counted(&mut self, ground: &Ground, what: &str) -> Row {
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ground.settle().await;
            other.push(ground.three_counts().await);
            ours.push(self.ours(ground, 1, &Work::Count { times: 1 }).await.rate());
        }
        Row {
            line: "count",
            work: format!("counting all statuses of {what}"),
            beside: "three countDocuments in parallel".into(),
            unit: "counts/s",
            ours: median(ours),
            other: median(other),
            goal: Goal::AtLeast(3.0),
        }
    }

    async fn peers(&mut self) -> Vec<Row> {
        let [mut ours, mut any, mut postgres, mut redis] = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, PLENTY).await;
            ground.settle().await;
            any.push(ground.any_codes(256, SECONDS).await.rate());
            ours.push(self.ours(&ground, 1, &timed(256, 1)).await.rate());
            ground.clear().await;
            postgres.push(tokio::task::block_in_place(|| peers::postgres(256, 3)));
            redis.push(tokio::task::block_in_place(|| peers::redis(256)));
        }
        let ours = median(ours);
        let row = |beside: &str, other: Vec<f64>| Row {
            line: "peers",
            work: BURST.into(),
            beside: beside.into(),
            unit: CODES,
            ours,
            other: median(other),
            goal: Goal::None,
        };
        vec![
            row("findOneAndUpdate of any free code", any),
            row("PostgreSQL, FOR UPDATE SKIP LOCKED", postgres),
            row("Redis SPOP, in memory and not durable", redis),
        ]
    }

    async fn measure_curve(&mut self) {
        let callers: Vec<usize> = (0..10).map(|power| 1 << power).collect();
        let mut rounds = Vec::new();
        let mut floors = Vec::new();
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, 6 * FLOOR + 4 * PLENTY).await;
            floors.push(ground.floor(FLOOR).await);
            let mut round = Vec::new();
            for callers in &callers {
                let ours = self.ours(&ground, 1, &timed_for(*callers, 1, 1.0)).await.rate();
                round.push((ours, peers::old_reserve(&ground, *callers, 3.0)));
            }
            rounds.push(round);
            ground.clear().await;
        }
        let floor = best(&floors);
        let at = |place: usize, value: fn(&(f64, (f64, f64))) -> f64| {
            median(rounds.iter().map(|round| value(&round[place])))
        };
        self.curve = callers
            .into_iter()
            .enumerate()
            .map(|(place, callers)| Point {
                callers,
                ours: at(place, |(ours, _)| *ours),
                old: at(place, |(_, (rate, _))| *rate),
                old_short: at(place, |(_, (_, short))| *short),
                floor,
            })
            .collect();
    }

    /// Our work on a fresh pool and the floor, in turn.
    async fn beside_floor(&mut self, work: &Work, pool: usize) -> (Vec<Report>, f64) {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, 6 * FLOOR).await;
            floors.push(ground.floor(FLOOR).await);
            ground.clear().await;
            ours.push(self.on_fresh(pool, work).await);
        }
        (ours, best(&floors))
    }

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

const CODES: &str = "codes/s";
const BURST: &str = "256 callers x 1 code";

fn timed(callers: usize, count: u32) -> Work {
    timed_for(callers, count, SECONDS)
}

fn timed_for(callers: usize, count: u32, seconds: f64) -> Work {
    Work::Reserve { callers, count, until: Until::Seconds(seconds) }
}

fn on_floor(line: &'static str, work: &str, ours: f64, floor: f64) -> Row {
    let goal = Goal::AtLeast(if line == "burst" { 0.6 } else { 0.9 });
    let beside = "the floor: updateMany on known ids".into();
    Row { line, work: work.into(), beside, unit: CODES, ours, other: floor, goal }
}

fn beside_one(line: &'static str, work: &str, sum: f64, alone: f64, goal: f64) -> Row {
    let beside = "one process, 256 callers".into();
    Row { line, work: work.into(), beside, unit: CODES, ours: sum, other: alone, goal: Goal::AtLeast(goal) }
}

fn beside_ping(line: &'static str, work: &str, ours: Vec<f64>, ping: Vec<f64>) -> Row {
    let goal = Goal::AtMost(3.0);
    Row {
        line,
        work: work.into(),
        beside: "a ping's p50".into(),
        unit: "µs",
        ours: median(ours),
        other: median(ping),
        goal,
    }
}

fn rate(reports: &[Report]) -> f64 {
    median(reports.iter().map(Report::rate))
}

/// The way of the floor that has the best median.
fn best(rounds: &[[f64; 6]]) -> f64 {
    (0..6).map(|way| median(rounds.iter().map(|ways| ways[way]))).fold(0.0, f64::max)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
