//! The lines of the table: what is measured beside what, and the ratio that must be reached.

use code_service_tests::Mongod;

use crate::ground::Ground;

/// How often each side runs.
const ROUNDS: usize = 3;
/// The old upsert needs minutes for a million rows: a part of them tells its speed, and a smaller collection
/// favours it.
const OLD_ROWS: usize = 200_000;

/// One line.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Our codes per second over those of the other side.
    pub(crate) goal: f64,
    side: Side,
}

enum Side {
    Import {
        rows: usize,
    },
    /// So many callers, each with so many codes per call, beside the floor.
    Floor {
        callers: usize,
        count: u32,
        total: usize,
    },
    /// One caller of one code, beside `findOneAndUpdate` on ids that are known.
    Alone {
        total: usize,
    },
    /// So many callers of one code, beside the deployed algorithm.
    Old {
        callers: usize,
        total: usize,
        old_total: usize,
    },
}

pub(crate) const LINES: [Line; 6] = [
    Line {
        name: "import",
        what: "1,000,000 new rows, beside the deployed upsert",
        goal: 4.0,
        side: Side::Import { rows: 1_000_000 },
    },
    Line {
        name: "burst",
        what: "256 callers x 1 code, beside the floor",
        goal: 0.6,
        side: Side::Floor { callers: 256, count: 1, total: 100_000 },
    },
    Line {
        name: "old",
        what: "256 callers x 1 code, beside the deployed algorithm",
        goal: 500.0,
        side: Side::Old { callers: 256, total: 100_000, old_total: 512 },
    },
    Line {
        name: "alone",
        what: "1 caller x 1 code, beside findOneAndUpdate on a known id",
        goal: 0.9,
        side: Side::Alone { total: 1_000 },
    },
    Line {
        name: "hundreds",
        what: "8 callers x 100 codes, beside the floor",
        goal: 0.9,
        side: Side::Floor { callers: 8, count: 100, total: 100_000 },
    },
    Line {
        name: "one-call",
        what: "1 caller x 100,000 codes, beside the floor",
        goal: 0.9,
        side: Side::Floor { callers: 1, count: 100_000, total: 100_000 },
    },
];

/// Codes or rows per second, medians.
pub(crate) struct Outcome {
    pub(crate) ours: f64,
    pub(crate) beside: f64,
}

/// Runs both sides of a line in turn.
pub(crate) async fn run(mongod: &Mongod, line: &Line) -> Outcome {
    let (mut ours, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        match line.side {
            Side::Import { rows } => {
                beside.push(on(Ground::empty(mongod, OLD_ROWS).await, async |g| g.old_import().await).await);
                ours.push(on(Ground::empty(mongod, rows).await, async |g| g.import().await).await);
            }
            Side::Floor { callers, count, total } => {
                beside.push(floor(mongod, total).await);
                ours.push(reserve(mongod, callers, count, total).await);
            }
            Side::Alone { total } => {
                let ground = Ground::full(mongod, total).await;
                beside.push(on(ground, async |g| g.find_one_and_update(total).await).await);
                ours.push(reserve(mongod, 1, 1, total).await);
            }
            Side::Old { callers, total, old_total } => {
                let ground = Ground::full(mongod, total).await;
                beside.push(on(ground, async |g| g.old_reserve(callers, old_total).await).await);
                ours.push(reserve(mongod, callers, 1, total).await);
            }
        }
    }
    Outcome { ours: median(ours), beside: median(beside) }
}

/// Measures on a ground, and clears it.
async fn on(ground: Ground, measure: impl AsyncFnOnce(&Ground) -> f64) -> f64 {
    let measured = measure(&ground).await;
    ground.clear().await;
    measured
}

async fn reserve(mongod: &Mongod, callers: usize, count: u32, total: usize) -> f64 {
    on(Ground::full(mongod, total).await, async |g| g.reserve(callers, count, total).await).await
}

/// The best that guarded `updateMany` on known ids does, of 1, 2 and 4 in flight and 100 and 1,000 codes.
async fn floor(mongod: &Mongod, total: usize) -> f64 {
    let mut best = 0.0_f64;
    for in_flight in [1, 2, 4] {
        for size in [100, 1_000] {
            let ground = Ground::full(mongod, total / 2).await;
            best = best.max(on(ground, async |g| g.update_many(in_flight, size, total / 2).await).await);
        }
    }
    best
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
