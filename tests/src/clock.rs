//! Programs with a wrong clock.
//!
//! The library of the package `faketime` sets it. The program of that name stays the parent of what it runs
//! and does not start at all when a killed process of its own process id left shared memory behind, so it is
//! not used.

use std::process::Command;

/// How far ahead the clock is. A day and more: what was just reserved would long have expired by it.
const AHEAD: &str = "+25h";

/// The dynamic loader puts in place of `$LIB` where this system keeps its libraries.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// Words in front of a program's that set its clock 25 hours ahead. The process stays the program's own.
///
/// # Panics
/// When the library is not installed.
pub fn ahead() -> [String; 3] {
    let words = ["env".to_owned(), format!("LD_PRELOAD={LIBRARY}"), format!("FAKETIME={AHEAD}")];
    let date =
        Command::new(&words[0]).args(&words[1..]).args(["date", "+%s"]).output().expect("env and date");
    let fast: u64 = String::from_utf8_lossy(&date.stdout).trim().parse().expect("seconds");
    let hours = fast.saturating_sub(crate::keys::now()) / 3600;
    assert!(hours >= 24, "a wrong clock needs the library of faketime: apt-get install faketime");
    words
}

/// Removes the names of the shared memory that a killed process with such a clock leaves behind.
pub fn tidy(pid: u32) {
    for name in ["faketime_shm", "sem.faketime_sem"] {
        // A process that ended by itself has done it.
        let _ = std::fs::remove_file(format!("/dev/shm/{name}_{pid}"));
    }
}
