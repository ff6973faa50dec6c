//! What a run is made of: its pools, and what each client is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::history::Pool;

/// A day: how long reservations last where they do not expire while the run goes on.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Enough for everybody.
pub(crate) const PLENTY: usize = 0;
/// Too few for all who want some.
pub(crate) const SCARCE: usize = 1;
/// Reservations expire while the run goes on.
pub(crate) const EXPIRING: usize = 2;
/// Shared with the deployed service's algorithm.
pub(crate) const MIXED: usize = 3;

pub(crate) fn pools(size: u32) -> Vec<Pool> {
    let pool = |campaign: &str, ttl_ms, size| Pool {
        campaign: campaign.to_owned(),
        code_type: "tm".to_owned(),
        ttl_ms,
        prefix: format!("{}-", campaign.to_uppercase()),
        size,
    };
    vec![
        pool("plenty", DAY_MS, size),
        // What the dead hold comes back before the run is over.
        pool("scarce", 60_000, 120),
        pool("expiring", 4_000, size / 20),
        pool("mixed", DAY_MS, size / 5),
    ]
}

/// What a client process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Of this process; one that is started in place of another has a new one.
    pub(crate) number: u32,
    pub(crate) seed: u64,
    pub(crate) callers: u32,
    pub(crate) folder: PathBuf,
    pub(crate) pools: Vec<Pool>,
    pub(crate) what: Kind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Our core, on this connection string.
    Ours { uri: String },
    /// The deployed service's algorithm, straight to the members of these ports: a write of it that the network
    /// delivers late frees the codes of others, which is its own mistake.
    Old { ports: Vec<u16>, database: String },
}

impl Orders {
    pub(crate) fn history(&self) -> PathBuf {
        self.folder.join(format!("{}.history", self.number))
    }

    /// When this file is there, everybody ends.
    pub(crate) fn end_of(folder: &Path) -> PathBuf {
        folder.join("end")
    }
}

/// A wish that a caller makes up.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) pool: usize,
    pub(crate) count: u32,
    pub(crate) partial: bool,
    pub(crate) id: Option<String>,
    /// Whether other processes ask for the same id at the same time.
    pub(crate) shared: bool,
}

impl Wish {
    /// `who` tells this caller from all others, `slot` is the same for all who look at the clock together.
    pub(crate) fn draw(rng: &mut StdRng, who: &str, turn: u64, slot: u64) -> Wish {
        let pool = match rng.random_range(0..10) {
            0..5 => PLENTY,
            5..7 => SCARCE,
            7 => EXPIRING,
            _ => MIXED,
        };
        // Mostly few: what finds a mistake is how many calls there are, and many codes are work for the database.
        let count = match (pool, rng.random_range(0..200)) {
            (_, 0..150) => 1,
            (_, 150..180) => rng.random_range(2..=5),
            (SCARCE, _) => rng.random_range(10..=40),
            (_, 180..199) => rng.random_range(6..=20),
            _ => 150,
        };
        let partial = rng.random_bool(0.3);
        match rng.random_range(0..10) {
            0..6 => Wish { pool, count, partial, id: None, shared: false },
            6..8 => Wish { pool, count, partial, id: Some(format!("{who}-{turn}")), shared: false },
            // Whoever draws this in the same moment wants exactly the same.
            _ => {
                let pool = [PLENTY, SCARCE, EXPIRING, MIXED][(slot % 4) as usize];
                let count = [1, 2, 7][(slot % 3) as usize];
                Wish { pool, count, partial: false, id: Some(format!("shared-{slot}")), shared: true }
            }
        }
    }
}

/// How long a run lasts at the most after everybody was told to end.
pub(crate) const UNTIL_QUIET: Duration = Duration::from_secs(120);
