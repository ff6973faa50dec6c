//! Reserving: few callers and many, in one process and in several, from full pools and empty ones.

use super::{Bench, MILLION, PLENTY, Point, ROUNDS, Row, SECONDS, SEVERAL_SECONDS};
use super::{median, rates, timed, timed_for};
use crate::ground::{FLOORS, Ground};
use crate::peers;
use crate::worker::{CAMPAIGN, Report, Until, Work};

const BURST: &str = "256 callers x 1 code";
/// What each way of the floor takes.
const FLOOR: usize = 40_000;

/// Our work, and what the driver alone does on known ids.
struct OnFloor {
    ours: Vec<Report>,
    /// The way of the floor that is best.
    floor: Vec<f64>,
    /// With so many in flight of so many codes each as our work can have.
    alike: (usize, usize),
    floor_alike: Vec<f64>,
}

impl OnFloor {
    /// With what is asked for, and with what can be had.
    fn rows(&self, line: &'static str, work: &str, goal: f64) -> Vec<Row> {
        let row = || Row::codes(line, work, &rates(&self.ours));
        let (in_flight, size) = self.alike;
        vec![
            row().beside("the floor: updateMany on known ids", &self.floor).at_least(goal),
            row().beside(format!("updateMany of {size} known ids, {in_flight} at once"), &self.floor_alike),
        ]
    }
}

impl Bench {
    pub(super) async fn burst(&mut self) -> Vec<Row> {
        let work = self.on_floor(&timed(256, 1), PLENTY, (3, 85)).await;
        let times = |quantile: fn(&Report) -> u32| -> Vec<f64> {
            work.ours.iter().map(|report| f64::from(quantile(report)) / 1e3).collect()
        };
        let mut rows = work.rows("burst", BURST, 0.6);
        rows.push(
            Row::of("burst", "its slowest calls: p99", "ms", &times(|report| report.p99))
                .beside("its p50", &times(|report| report.p50))
                .at_most(5.0),
        );
        rows
    }

    /// Under the caller's id, which costs two more writes, beside the core's own.
    pub(super) async fn own_ids(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (callers, count, work) in [
            (256, 1, "256 callers x 1 code, ids of their own"),
            (64, 10, "64 callers x 10 codes, ids of their own"),
        ] {
            let (mut ours, mut other) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let under_ids = Work::ReserveUnderIds { callers, count, until: Until::Seconds(SECONDS) };
                other.push(self.on_fresh(PLENTY, &timed(callers, count)).await.rate());
                ours.push(self.on_fresh(PLENTY, &under_ids).await.rate());
            }
            rows.push(Row::codes("own-ids", work, &ours).beside("the same without", &other).at_least(0.6));
        }
        rows
    }

    pub(super) async fn hundreds(&mut self) -> Vec<Row> {
        let work = self.on_floor(&timed(8, 100), PLENTY, (3, 266)).await;
        work.rows("hundreds", "8 callers x 100 codes", 0.9)
    }

    pub(super) async fn one_call(&mut self) -> Vec<Row> {
        let work = Work::Reserve { callers: 1, count: 100_000, until: Until::Calls(1) };
        let work = self.on_floor(&work, 100_000, (3, 1_000)).await;
        work.rows("one-call", "one call of 100,000 codes", 0.9)
    }

    /// Our work on a fresh pool and the floor, in turn.
    async fn on_floor(&mut self, work: &Work, pool: usize, alike: (usize, usize)) -> OnFloor {
        let (mut ours, mut floors, mut floor_alike) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, (FLOORS.len() + 1) * FLOOR).await;
            floors.push(ground.floor_behind(0, FLOOR).await);
            ground.settle().await;
            floor_alike.push(ground.update_many(alike, FLOORS.len() * FLOOR, FLOOR).await);
            ground.clear().await;
            ours.push(self.on_fresh(pool, work).await);
        }
        OnFloor { ours, floor: best(&floors), alike, floor_alike }
    }

    pub(super) async fn old(&mut self) -> Row {
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
        let short = median(&short) * 100.0;
        Row::codes("old", BURST, &ours)
            .beside(format!("the deployed algorithm ({short:.0} % of its calls get nothing)"), &old)
            .at_least(500.0)
    }

    pub(super) async fn alone(&mut self) -> Row {
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for _ in 0..2 * ROUNDS {
            let ground = Ground::full(&self.mongod, 10_000).await;
            ground.settle().await;
            // By their order in the list, which is that of saving: ours begins at the front.
            other.push(ground.known_codes(9_000, 1_000).await);
            let work = Work::Reserve { callers: 1, count: 1, until: Until::Calls(1_000) };
            ours.push(self.ours(&ground, 1, &work).await.rate());
            ground.clear().await;
        }
        Row::codes("alone", "1 caller x 1 code", &ours)
            .beside("findOneAndUpdate on known ids", &other)
            .at_least(0.9)
    }

    pub(super) async fn processes(&mut self) -> Row {
        let (sum, one) = self.several(2 * PLENTY, true, 4, 64).await;
        Row::codes("processes", "4 processes x 64 callers x 1 code", &sum).beside(ONE, &one).at_least(1.0)
    }

    pub(super) async fn huge(&mut self) -> Row {
        let (sum, one) = self.several(10 * MILLION, false, 4, 64).await;
        Row::codes("huge", "the same in a pool of 10,000,000 codes", &sum).beside(ONE, &one).at_least(1.0)
    }

    pub(super) async fn crowd(&mut self) -> Vec<Row> {
        let (sum, one) = self.several(2 * PLENTY, true, 12, 16).await;
        let mut small = Vec::new();
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, FLOOR).await;
            ground.settle().await;
            small.push(ground.update_many((12, 16), 0, FLOOR).await);
            ground.clear().await;
        }
        let row = || Row::codes("crowd", "12 processes x 16 callers x 1 code", &sum);
        vec![
            row().beside(ONE, &one).at_least(0.8),
            row().beside("updateMany of 16 known ids, 12 at once", &small),
        ]
    }

    /// So many processes, and one with 256 callers; each codes per second.
    async fn several(
        &mut self,
        pool: usize,
        fresh: bool,
        processes: usize,
        callers: usize,
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut sum, mut one) = (Vec::new(), Vec::new());
        let mut ground = Ground::full(&self.mongod, pool).await;
        for _ in 0..ROUNDS {
            for (side, processes, callers) in [(&mut one, 1, 256), (&mut sum, processes, callers)] {
                let work = timed_for(callers, 1, SEVERAL_SECONDS);
                side.push(self.ours(&ground, processes, &work).await.rate());
                if fresh {
                    ground.clear().await;
                    ground = Ground::full(&self.mongod, pool).await;
                }
            }
        }
        ground.clear().await;
        (sum, one)
    }

    pub(super) async fn last(&mut self) -> Vec<Row> {
        let percent = Work::Reserve { callers: 256, count: 1, until: Until::Calls(10_000) };
        let most = Work::Reserve { callers: 1, count: 98_000, until: Until::Calls(10) };
        let (mut first, mut last, mut empty, mut ping) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, MILLION).await;
            first.push(self.ours(&ground, 1, &percent).await.rate());
            self.ours(&ground, 1, &most).await;
            last.push(self.ours(&ground, 1, &percent).await.rate());
            ping.push(ground.ping(1_000).await);
            empty.push(self.nothing(&ground, CAMPAIGN).await);
            ground.clear().await;
        }
        vec![
            Row::codes("last", "the last 1 % of 1,000,000 codes", &last)
                .beside("the first 1 %", &first)
                .at_least(0.8),
            beside_ping("last", "and then the empty pool: p50", &empty, &ping),
        ]
    }

    pub(super) async fn empty(&mut self) -> Vec<Row> {
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
            beside_ping("empty", "a pool that never had a code: p50", &never, &ping),
            beside_ping("empty", "a pool that has given 100,000: p50", &once, &ping),
        ]
    }

    /// Median time of a call that gets nothing, in microseconds.
    async fn nothing(&mut self, ground: &Ground, campaign: &str) -> f64 {
        let work = Work::Empty { campaign: campaign.into(), callers: 1, calls: 1_000 };
        f64::from(self.ours(ground, 1, &work).await.p50)
    }

    pub(super) async fn expired(&mut self) -> Row {
        let (mut fresh, mut expired) = (Vec::new(), Vec::new());
        let work = Work::Reserve { callers: 256, count: 1, until: Until::Calls(100_000) };
        for _ in 0..ROUNDS {
            let ground = Ground::full(&self.mongod, MILLION).await;
            fresh.push(self.ours(&ground, 1, &work).await.rate());
            ground.expire(MILLION / 100).await;
            expired.push(self.ours(&ground, 1, &work).await.rate());
            ground.clear().await;
        }
        Row::codes("expired", "256 callers, 1,000,000 codes of which 99 % expired", &expired)
            .beside("the same pool fresh", &fresh)
            .at_least(0.7)
    }

    pub(super) async fn peers(&mut self) -> Vec<Row> {
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
        let row = || Row::codes("peers", BURST, &ours);
        vec![
            row().beside("findOneAndUpdate of any free code", &any),
            row().beside("PostgreSQL, FOR UPDATE SKIP LOCKED", &postgres),
            row().beside("Redis SPOP, in memory and not durable", &redis),
        ]
    }

    pub(super) async fn measure_curve(&mut self) {
        let callers: Vec<usize> = (0..10).map(|power| 1 << power).collect();
        let mut rounds = Vec::new();
        let mut floors = Vec::new();
        for _ in 0..ROUNDS {
            // On a ground of its own, and before the floor there: what others have taken would slow it.
            let ground = Ground::full(&self.mongod, FLOORS.len() * FLOOR + PLENTY).await;
            let old: Vec<_> =
                callers.iter().map(|callers| peers::old_reserve(&ground, *callers, 3.0)).collect();
            floors.push(ground.floor_behind(PLENTY, FLOOR).await);
            ground.clear().await;
            let ground = Ground::full(&self.mongod, 4 * PLENTY).await;
            let mut round = Vec::new();
            for (callers, old) in callers.iter().zip(old) {
                round.push((self.ours(&ground, 1, &timed_for(*callers, 1, 1.0)).await.rate(), old));
            }
            rounds.push(round);
            ground.clear().await;
        }
        let floor = median(&best(&floors));
        let at = |place: usize, value: fn(&(f64, (f64, f64))) -> f64| {
            median(&rounds.iter().map(|round| value(&round[place])).collect::<Vec<f64>>())
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
}

const ONE: &str = "one process, 256 callers";

fn beside_ping(line: &'static str, work: &str, ours: &[f64], ping: &[f64]) -> Row {
    Row::of(line, work, "µs", ours).beside("a ping's p50", ping).at_most(3.0)
}

/// What the way of the floor did that has the best median.
fn best(rounds: &[[f64; FLOORS.len()]]) -> Vec<f64> {
    (0..FLOORS.len())
        .map(|way| rounds.iter().map(|ways| ways[way]).collect::<Vec<f64>>())
        .max_by(|one, other| median(one).total_cmp(&median(other)))
        .expect("there are ways")
}
