//! The C library, and programs that are linked with it.

use std::path::{Path, PathBuf};

use crate::built;

/// What a static library of Rust asks of the system.
pub const SYSTEM: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// The static library, built first if it has to be; the shared one is beside it.
///
/// # Panics
/// When it cannot be built.
pub fn archive() -> PathBuf {
    built::file_of("code_service").with_extension("a")
}

/// Where the headers are.
pub fn headers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../include")
}
