//! What cargo makes of the other crates of the workspace.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The program or the shared library of this target, built first if it has to be, in the profile of the program
/// that asks.
///
/// # Panics
/// When it cannot be built; the message holds what cargo says.
pub fn file_of(target: &str) -> PathBuf {
    build(&["build", "--workspace"], target)
}

/// The test program of this name, as [`file_of`].
///
/// # Panics
/// When it cannot be built; the message holds what cargo says.
pub fn test_program(name: &str) -> PathBuf {
    build(&["test", "--workspace", "--no-run", "--test", name], name)
}

fn build(arguments: &[&str], target: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace, as every other call of cargo here: a part of it would be built with other features
    // of the same dependencies.
    command.args(arguments).arg("--message-format=json-render-diagnostics");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo describes our own package to us in variables that build scripts of dependencies watch (ring's
    // does): passing them on would build half of the workspace anew, here and again at the next `cargo`.
    for (name, _) in std::env::vars_os() {
        let of_our_package = [&b"CARGO_PKG_"[..], b"CARGO_MANIFEST_"];
        if of_our_package.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let ours = std::env::current_exe().expect("a running program has a path");
    if ours.ancestors().any(|folder| folder.file_name().is_some_and(|name| name == "release")) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{target} cannot be built\n{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let file = stdout.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        // A library that others are linked with may have the name, too.
        let is_it = message["target"]["name"] == target && message["target"]["kind"][0] != "lib";
        let file = message["executable"].as_str().or_else(|| message["filenames"][0].as_str());
        is_it.then(|| file.map(PathBuf::from))?
    });
    file.unwrap_or_else(|| panic!("cargo does not tell where it put {target}"))
}
