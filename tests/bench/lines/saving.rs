//! Saving, counting and exporting.

use super::{Bench, MILLION, PLENTY, ROUNDS, Row, SEVERAL_SECONDS, timed_for};
use crate::ground::Ground;
use crate::peers;
use crate::worker::{Face, Work};

/// The deployed upsert needs minutes for a million rows: a part of them tells its speed, and a smaller
/// collection favours it.
const OLD_ROWS: usize = 200_000;

impl Bench {
    pub(super) async fn import(&mut self) -> Vec<Row> {
        let [mut ours, mut again, mut job, mut plain, mut old, mut old_again] = [const { Vec::new() }; 6];
        for _ in 0..ROUNDS {
            let ground = Ground::empty(&self.mongod, OLD_ROWS).await;
            let file = ground.file();
            for side in [&mut old, &mut old_again] {
                ground.settle().await;
                side.push(peers::old_import(&ground, &file));
            }
            ground.clear().await;
            let ground = Ground::empty(&self.mongod, MILLION).await;
            ground.settle().await;
            plain.push(ground.insert_many().await);
            ground.clear().await;
            let ground = Ground::empty(&self.mongod, MILLION).await;
            let file = ground.file();
            let work = Work::Import { file: file.path().into() };
            for side in [&mut ours, &mut again] {
                side.push(self.ours(&ground, 1, &work).await.rate());
            }
            ground.clear().await;
            let ground = Ground::empty(&self.mongod, MILLION).await;
            let file = ground.file();
            job.push(self.ours(&ground, 1, &Work::ImportJob { file: file.path().into() }).await.rate());
            ground.clear().await;
        }
        let new = || Row::of("import", "1,000,000 new rows", "rows/s", &ours);
        vec![
            new().beside("plain unordered insert_many", &plain).at_least(0.9),
            new().beside("the deployed upsert", &old).at_least(4.0),
            Row::of("import", "1,000,000 new rows as a job", "rows/s", &job)
                .beside("plain unordered insert_many", &plain)
                .at_least(0.8),
            Row::of("import", "the same rows again", "rows/s", &again)
                .beside("the deployed upsert, again", &old_again)
                .at_least(2.0),
        ]
    }

    /// Reserves while codes are imported into the same pool.
    pub(super) async fn beside(&mut self) -> Row {
        let (mut beside, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let reserve = timed_for(256, 1, SEVERAL_SECONDS);
            alone.push(self.on_fresh(PLENTY, &reserve).await.rate());
            let ground = Ground::full(&self.mongod, PLENTY).await;
            let more = Ground::empty(&self.mongod, 2 * MILLION).await;
            let file = more.file();
            let import = Work::ImportJob { file: file.path().into() };
            let reports = ground.at_once(Face::Core, &[reserve, import]).await;
            // It must have been at work all the time.
            assert!(reports[1].seconds > SEVERAL_SECONDS, "the import was too short: {reports:?}");
            beside.push(reports[0].rate());
            ground.clear().await;
            more.clear().await;
        }
        Row::codes("beside", "256 callers while codes are imported", &beside)
            .beside("256 callers alone", &alone)
            .at_least(0.5)
    }

    pub(super) async fn count(&mut self) -> Vec<Row> {
        let ground = Ground::full(&self.mongod, MILLION).await;
        let free = self.counted(&ground, "1,000,000 free codes").await;
        ground.clear().await;
        let ground = Ground::empty(&self.mongod, MILLION).await;
        ground.insert_mixed().await;
        let mixed = self.counted(&ground, "1,000,000, a third reserved, a third expired").await;
        ground.clear().await;
        vec![free, mixed]
    }

    pub(super) async fn export(&mut self) -> Row {
        let ground = Ground::full(&self.mongod, MILLION).await;
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            other.push(ground.raw_cursor().await);
            let report = self.ours(&ground, 1, &Work::Export).await;
            assert_eq!(report.done, MILLION as u64);
            ours.push(report.rate());
        }
        ground.clear().await;
        Row::codes("export", "exporting 1,000,000 codes", &ours)
            .beside("the driver's cursor over the same documents, unread", &other)
            .at_least(0.8)
    }

    async fn counted(&mut self, ground: &Ground, what: &str) -> Row {
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for _ in 0..3 * ROUNDS {
            ground.settle().await;
            other.push(ground.three_counts().await);
            ours.push(self.ours(ground, 1, &Work::Count).await.rate());
        }
        Row::of("count", format!("counting all statuses of {what}"), "counts/s", &ours)
            .beside("three countDocuments in parallel", &other)
            .at_least(3.0)
    }
}
