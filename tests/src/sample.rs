//! Codes to test with: random, distinct, and as a CSV file.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::Path;

use rand::RngExt;

/// Letters and digits that nobody mistakes for each other.
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// This many distinct codes of ten characters.
pub fn codes(count: usize) -> Vec<String> {
    let mut random = rand::rng();
    let mut codes = HashSet::with_capacity(count);
    while codes.len() < count {
        let letter = |_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]);
        codes.insert((0..10).map(letter).collect::<String>());
    }
    codes.into_iter().collect()
}

/// Writes a CSV file with a header and a code in each line, and the folders it is in.
///
/// # Errors
/// With the path and the system's words if it cannot be written.
pub fn write_csv(path: &Path, codes: &[String]) -> Result<(), String> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        writeln!(out, "code")?;
        for code in codes {
            writeln!(out, "{code}")?;
        }
        out.flush()
    };
    write().map_err(|e| format!("{}: {e}", path.display()))
}
