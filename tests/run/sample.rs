//! The sample: 100,000 random codes as a CSV file in the local bucket.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::RngExt;

/// How many codes the sample has.
pub(crate) const CODES: usize = 100_000;
/// The key of the file in the bucket.
pub(crate) const KEY: &str = "codes/demo/tm/sample.csv";
/// Letters and digits that nobody mistakes for each other.
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// Where the sample lies.
pub(crate) fn file(bucket: &Path) -> PathBuf {
    bucket.join(KEY)
}

/// Writes a new sample and returns its codes.
pub(crate) fn write(bucket: &Path) -> Result<Vec<String>, String> {
    let path = file(bucket);
    let failed = |e| format!("{}: {e}", path.display());
    std::fs::create_dir_all(path.parent().expect("the key has folders")).map_err(failed)?;
    let mut random = rand::rng();
    let mut codes = HashSet::with_capacity(CODES);
    while codes.len() < CODES {
        let code: String =
            (0..10).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
        codes.insert(code);
    }
    let codes: Vec<String> = codes.into_iter().collect();
    let mut out = BufWriter::new(std::fs::File::create(&path).map_err(failed)?);
    writeln!(out, "code").map_err(failed)?;
    for code in &codes {
        writeln!(out, "{code}").map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    Ok(codes)
}
