//! The example service answers as the host does: the host's own tests over HTTP run against it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use code_service_tests::built;

use crate::install::{Node, installed, root};
use crate::succeeds;

/// Parts of the host's tests that are about what callers and dashboards see. The others are about its own logs, clock,
/// configuration, and command line.
const PARTS: [&str; 15] = [
    "api::",
    "auth::",
    "concurrency::",
    "csv::",
    "database::",
    "dev::",
    "disconnect::",
    "envelope::",
    "errors::",
    "input::",
    "json::",
    "metrics::",
    "reservations::",
    "stop::",
    "upload::",
];

/// What the runtime decides before the example is asked, and what only the host has.
const NOT_THERE: [&str; 8] = [
    // Its heap grows by what its garbage collector likes.
    "csv::a_line_of_ten_megabytes_is_rejected_and_takes_no_memory",
    // Node.js 12 answers 400 by itself to bytes beyond ASCII.
    "envelope::a_correlation_id_that_is_not_ascii_is_replaced",
    // Its parser takes any depth.
    "json::a_deeply_nested_body_is_refused",
    // Its document, which `api::` would take in.
    "openapi::",
    // Its settings and metrics, by which these stop it at the moment that they are about.
    "stop::a_host_that_is_asked_to_stop_while_it_starts_does",
    "stop::a_request_that_takes_too_long_is_not_waited_for",
    "stop::a_stop_in_the_middle_of_reserves_and_an_import_loses_nothing",
    "stop::what_callers_who_went_away_would_have_got_is_given_back_before_the_host_ends",
];

/// The example as a program that takes the host's arguments, on the oldest runtime.
fn example() -> PathBuf {
    static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = installed().join("../../example");
        succeeds(Command::new("cp").arg("-r").arg(root().join("examples/node")).arg(&folder));
        let _ = std::fs::remove_dir_all(folder.join("node_modules"));
        // The package itself is beside it already, as it would be installed.
        succeeds(
            Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder),
        );
        let link = folder.join("node_modules/code-service");
        std::fs::remove_file(link).expect("npm links the package of this repository");

        let node = Node::V12.command();
        let script = format!(
            "#!/bin/sh\nexport NODE_PATH={}\nexec {} {} \"$@\"\n",
            installed().parent().expect("node_modules").display(),
            node.get_program().to_string_lossy(),
            folder.join("src/server.js").display(),
        );
        let program = folder.join("code-service-example");
        std::fs::write(&program, script).expect("can be written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
        program
    });
    EXAMPLE.clone()
}

#[test]
fn the_example_passes_the_hosts_tests() {
    let mut command = Command::new(built::test_program("http"));
    command.args(PARTS).args(NOT_THERE.iter().flat_map(|name| ["--skip", name]));
    let said = succeeds(command.env("CODE_SERVICE_HOST", example()).current_dir(root().join("tests")));
    let result = said.lines().find(|line| line.starts_with("test result:"));
    println!("the host's tests against the example: {}", result.expect("libtest says how it went"));
}
