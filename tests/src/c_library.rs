//! The C library, and programs that are linked with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// What a command said.
///
/// # Panics
/// If it does not succeed; the message holds what it said.
pub fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}
