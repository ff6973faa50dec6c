//! Programs that tests call.

use std::path::Path;
use std::process::{Command, Output};

/// What a command said, if it succeeded.
///
/// # Panics
/// When it cannot be run or fails, with all that it said.
pub fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Installs what the lock file of this folder names, unless that is there.
///
/// # Panics
/// When npm fails, with what it says.
pub fn npm_ci(folder: &Path) {
    let modified = |path: &str| folder.join(path).metadata().and_then(|file| file.modified()).ok();
    // npm writes the hidden one when it is done.
    if modified("node_modules/.package-lock.json") < modified("package-lock.json") {
        succeeds(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder));
    }
}
