//! The host as a child process: how its port, words and end are learnt. A script stands in for the host, so
//! these tests fail only if the harness is wrong.

use code_service_tests::Host;
use code_service_tests::host::Builder;
use code_service_tests::supervised::is_running;

const LISTENING: &str = r#"echo '{"logger":"code_service_host::serve","message":"listening","port":4711}'"#;

/// A script in place of the host; the word `serve` becomes its first argument.
fn stand_in(text: &str) -> Builder {
    Host::builder().prefix(["sh", "-c", text]).program("stand-in")
}

#[test]
fn the_port_comes_from_the_log_line_of_the_host() {
    let noise = r#"echo plain; echo '{"logger":"other","message":"listening","port":1}'"#;
    let text = format!("{noise}; {LISTENING}; exec sleep 600");
    let host = stand_in(&text).start();
    assert_eq!(host.url("/heartbeat"), "http://127.0.0.1:4711/heartbeat");
    assert_eq!(host.lines()[0], "plain");
    assert!(host.peak_rss_kib() > 0);
}

#[test]
fn a_host_that_ends_at_once_is_reported_with_all_it_said() {
    let text = "echo a word; echo a reason >&2; exit 78";
    let Err(error) = stand_in(text).try_start() else { panic!("it never listened") };
    assert_eq!(error.said.status, Some(78));
    assert_eq!(error.said.stdout, ["a word"]);
    assert_eq!(error.said.stderr, ["a reason"]);
}

#[test]
fn a_stopped_host_gets_the_time_to_end_in_order() {
    let text = format!("trap 'echo drained; exit 0' TERM; {LISTENING}; while :; do sleep 0.01; done");
    let mut host = stand_in(&text).start();
    assert_eq!(host.stop(), 0);
    assert_eq!(host.lines().last().map(String::as_str), Some("drained"));
}

#[test]
fn a_dropped_host_is_gone() {
    let text = format!("trap '' TERM; {LISTENING}; while :; do sleep 0.01; done");
    let host = stand_in(&text).start();
    let pid = host.pid();
    drop(host);
    assert!(!is_running(pid));
}

#[test]
fn a_host_has_the_environment_it_was_given() {
    let text = format!(r#"echo "$NODE_ENV $TITAN_SERVICE__PORT $A"; {LISTENING}; exec sleep 600"#);
    let host = stand_in(&text).env("A", "b").start();
    assert_eq!(host.lines()[0], "local-dev 0 b");
}
