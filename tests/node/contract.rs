//! The example service answers as the host does: the host's own tests over HTTP run against it.

use std::process::Command;

use code_service_tests::programs::succeeds;
use code_service_tests::repository::root;
use code_service_tests::{addon, built};

use crate::install::installed;

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
const NOT_THERE: [&str; 9] = [
    // Its subcommands, some of which `errors::` and others would take in.
    "command_line::",
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

#[test]
fn the_example_passes_the_hosts_tests() {
    let modules = installed().parent().expect("node_modules");
    let example = addon::example(modules, &modules.join("../example"));
    let mut command = Command::new(built::test_program("http"));
    command.args(PARTS).args(NOT_THERE.iter().flat_map(|name| ["--skip", name]));
    let said = succeeds(command.env("CODE_SERVICE_HOST", example).current_dir(root().join("tests")));
    let result = said.lines().find(|line| line.starts_with("test result:"));
    println!("the host's tests against the example: {}", result.expect("libtest says how it went"));
}
