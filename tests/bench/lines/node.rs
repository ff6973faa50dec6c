//! The Node.js addon beside the core and beside what Node.js services run today.

use super::{Bench, MILLION, PLENTY, Row, SECONDS, rates, timed_for};
use crate::ground::Ground;
use crate::peers;
use crate::worker::{Face, Report, Work};

/// Each side is the first in every other round: what was before leaves the server something to write.
const PAIRS: usize = 4;
/// For how long the event loop may be held up, in milliseconds.
const BLOCKED: f64 = 20.0;
/// Node.js compiles what it runs often, a little later; for as long as there are codes.
const LONG_ENOUGH: f64 = 4.0;
const BURST: &str = "Node.js addon, 256 callers x 1 code";
const IMPORT: &str = "Node.js addon, 1,000,000 new rows in a Buffer";
const LISTS: &str = "Node.js addon, lists of 100,000 codes in and out";

impl Bench {
    pub(super) async fn node(&mut self) -> Vec<Row> {
        let [mut burst, mut core_burst, mut import, mut core_import, mut lists] = [const { Vec::new() }; 5];
        let mut old = Vec::new();
        for round in 0..PAIRS {
            let ground = Ground::full(&self.mongod, PLENTY).await;
            ground.settle().await;
            old.push(peers::old_reserve(&ground, 256, 2.0 * SECONDS).0);
            ground.clear().await;
            let mut sides =
                [(Face::Core, &mut core_burst, &mut core_import), (Face::Node, &mut burst, &mut import)];
            sides.rotate_left(round % 2);
            for (face, burst, import) in sides {
                let ground = Ground::full(&self.mongod, PLENTY).await;
                burst.extend(ground.through(face, 1, &timed_for(256, 1, LONG_ENOUGH)).await);
                ground.clear().await;
                let ground = Ground::empty(&self.mongod, MILLION).await;
                let file = ground.file();
                import.extend(ground.through(face, 1, &Work::Import { file: file.path().into() }).await);
                ground.clear().await;
            }
            let ground = Ground::full(&self.mongod, PLENTY).await;
            lists.extend(ground.through(Face::Node, 1, &Work::Lists { count: 100_000 }).await);
            ground.clear().await;
        }
        let row = |work, ours: &[Report]| Row::codes("node", work, &rates(ours));
        let rows = Row::of("node", IMPORT, "rows/s", &rates(&import));
        let blocked = |work: &str, reports: &[Report]| {
            // Of all rounds: it must not happen once.
            let longest = reports.iter().map(|report| report.blocked).fold(0.0, f64::max);
            let may = format!("{BLOCKED} ms");
            Row::of("node", format!("{work}: its event loop held up"), "ms", &[longest])
                .beside(may, &[BLOCKED])
                .at_most(1.0)
        };
        vec![
            row(BURST, &burst).beside("the core", &rates(&core_burst)).at_least(0.9),
            row(BURST, &burst).beside("the deployed algorithm", &old).at_least(300.0),
            rows.beside("the core", &rates(&core_import)).at_least(0.9),
            blocked(BURST, &burst),
            blocked(IMPORT, &import),
            blocked(LISTS, &lists),
        ]
    }
}
