//! A checker that cannot fail proves nothing: the core is built so that it makes known mistakes, and a short
//! `make chaos` must find each of them.
//!
//! `make mutants` runs this. The mistakes are in `core/src/mutant.rs`.

use std::process::Command;
use std::time::{Duration, Instant};

/// How long chaos may take to find a mistake.
const LIMIT: Duration = Duration::from_secs(300);

/// Lets chaos run on a core that makes this mistake, again and again with other seeds, until it finds something.
///
/// `faults` are those that the mistake needs to do harm; without a name there are none.
fn assert_caught(mutant: &str, faults: &str) {
    let start = Instant::now();
    // What chaos leaves of a run in which it has found something.
    let folder = std::env::temp_dir().join(format!("code-service-{mutant}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the histories");
    let mut seed = 0_u32;
    loop {
        seed += 1;
        let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
        chaos.env("CODE_SERVICE_MUTANT", mutant).env("TMPDIR", &folder).args([
            "--seed",
            &seed.to_string(),
            "--faults",
            faults,
        ]);
        chaos.args(["--minutes", "0.3", "--codes", "20000", "--clients", "3", "--normal", "60"]);
        let ran = chaos.output().expect("chaos can be run");
        let said = String::from_utf8_lossy(&ran.stdout);
        let last = said.lines().rev().find(|line| line.contains(" violations, "));
        let last = last.unwrap_or_else(|| panic!("{mutant}: {said}{}", String::from_utf8_lossy(&ran.stderr)));
        println!("{mutant}, after {} s: {last}", start.elapsed().as_secs());
        assert!(start.elapsed() < LIMIT, "{mutant} was not caught in time");
        if !last.contains(" 0 violations, ") {
            assert!(!ran.status.success(), "{mutant}: what was found must not be a success");
            std::fs::remove_dir_all(&folder).expect("its own folder");
            return;
        }
    }
}

#[test]
fn a_claim_without_its_guard_is_caught() {
    assert_caught("NoGuard", "");
}

#[test]
fn a_read_back_from_a_secondary_is_caught() {
    assert_caught("StaleReadBack", "pause-secondary");
}

#[test]
fn a_claim_that_the_primary_alone_confirms_is_caught() {
    assert_caught("PrimaryAlone", "kill-primary,pause-primary");
}

#[test]
fn a_lost_reply_that_is_not_looked_for_is_caught() {
    assert_caught("NoReadBack", "cut-replies");
}

#[test]
fn a_late_write_that_takes_effect_is_caught() {
    assert_caught("NoDeadline", "late-requests");
}

#[test]
fn a_callers_id_without_an_entry_is_caught() {
    assert_caught("NoLedger", "");
}

#[test]
fn an_assign_or_release_that_does_not_ask_whose_is_caught() {
    assert_caught("NoFence", "");
}

#[test]
fn an_expiry_by_a_clock_of_a_process_is_caught() {
    assert_caught("PodClock", "");
}

#[test]
fn what_dead_attempts_hold_for_ever_is_caught() {
    assert_caught("NoSweep", "kill-client");
}
