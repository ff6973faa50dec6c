//! `make bench`: how fast the service is beside what it replaces and beside what the database can do, as
//! ratios from one run.
//!
//! Every line runs its sides in turn, several rounds, each on a fresh database of one server; the figures are
//! medians. A line that does not reach its goal makes the run fail. `make bench LINE=import` runs one line.

mod ground;
mod lines;

use std::process::ExitCode;

use code_service_tests::Mongod;
use lines::{LINES, Outcome};

#[tokio::main]
async fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    let chosen: Vec<_> =
        LINES.iter().filter(|line| only.as_deref().is_none_or(|name| name == line.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = LINES.iter().map(|line| line.name).collect();
        eprintln!("there is no such line; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    // As much memory as a server of this size gives it; the tests' small cache would measure the disk.
    let mongod = tokio::task::block_in_place(|| Mongod::start_with_cache(4.0));
    println!("{:<10} {:>10} {:>12} {:>8} {:>8}  what", "line", "ours/s", "beside it/s", "ratio", "goal");
    let mut missed = false;
    for line in chosen {
        let Outcome { ours, beside } = lines::run(&mongod, line).await;
        let ratio = ours / beside;
        missed |= ratio < line.goal;
        let verdict = if ratio < line.goal { "MISSED" } else { "" };
        println!(
            "{:<10} {ours:>10.0} {beside:>12.0} {ratio:>8.2} {:>8}  {} {verdict}",
            line.name, line.goal, line.what
        );
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
