//! The C library beside the core.

use super::{Bench, PLENTY, Row, rates, timed_for};
use crate::ground::Ground;
use crate::worker::Face;

/// Each side is the first in every other round: what was before leaves the server something to write.
const PAIRS: usize = 6;
const LONG_ENOUGH: f64 = 4.0;

impl Bench {
    pub(super) async fn c(&mut self) -> Vec<Row> {
        let (mut ours, mut core) = (Vec::new(), Vec::new());
        for round in 0..PAIRS {
            let mut sides = [(Face::Core, &mut core), (Face::C, &mut ours)];
            sides.rotate_left(round % 2);
            for (face, reports) in sides {
                let ground = Ground::full(&self.mongod, PLENTY).await;
                reports.extend(ground.through(face, 1, &timed_for(256, 1, LONG_ENOUGH)).await);
                ground.clear().await;
            }
        }
        let row = Row::codes("c", "C library, 256 threads x 1 code", &rates(&ours));
        vec![row.beside("the core", &rates(&core)).at_least(0.9)]
    }
}
