//! The repository that the tests are part of.

use std::path::Path;
use std::process::Command;

use crate::programs::succeeds;

/// Its folder.
///
/// # Panics
/// Never: this crate is a folder of it.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

/// The files that git knows or would add, each from the root.
///
/// # Panics
/// When git cannot be run.
pub fn files() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listing = succeeds(&mut git);
    listing.lines().map(str::to_owned).filter(|file| root().join(file).exists()).collect()
}

/// What is in one of them.
///
/// # Panics
/// When it is not there, or no text.
pub fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}
