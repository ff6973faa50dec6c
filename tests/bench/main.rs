//! `make bench`: how fast the service is beside what it replaces and beside what the database can do, as
//! ratios from one run.
//!
//! Every line runs its sides in turn, several rounds, on fresh databases of one server; the figures are
//! medians. A line that does not reach its goal makes the run fail. `make bench LINE=import` runs one line.
//! A run of all lines leaves `results.json` and `callers.svg` in `target/bench`; `make bench-readme` puts both
//! into the README.

mod ground;
mod lines;
mod peers;
mod picture;
mod results;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

use code_service_tests::Mongod;
use lines::{Bench, Goal, LINES, Row};
use results::Results;

/// What all our processes may take over their idle state, in MiB.
const MEMORY: f64 = 64.0;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker", uri, work] => worker::main(uri, work).await,
        ["readme"] => results::into_readme(),
        [] => measure(&LINES).await,
        [name] => match LINES.iter().position(|line| *line == name) {
            Some(place) => measure(&LINES[place..=place]).await,
            None => {
                eprintln!("there is no line {name}; there are {}", LINES.join(", "));
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: bench [LINE]");
            ExitCode::FAILURE
        }
    }
}

async fn measure(lines: &[&'static str]) -> ExitCode {
    let start = Instant::now();
    // As much memory as a server of this size gives it; the tests' small cache would measure the disk.
    let mongod = tokio::task::block_in_place(|| Mongod::start_with_cache(4.0));
    let mut bench = Bench::new(mongod);
    let mut results = Results::new();
    println!("{}\n{}", results.machine, Results::head());
    for line in lines {
        for row in bench.run(line).await {
            println!("{}", results.add(row));
        }
    }
    let memory = Row {
        line: "memory",
        work: "the core's memory over idle during all of it".into(),
        beside: "what it may be".into(),
        unit: "MiB",
        ours: bench.memory,
        other: MEMORY,
        goal: Goal::AtMost(1.0),
    };
    println!("{}", results.add(memory));
    results.curve = bench.curve;
    if lines.len() == LINES.len() {
        results.write();
    }
    let missed = results.missed();
    println!("{} of {} goals missed; {} s", missed, results.goals(), start.elapsed().as_secs());
    if missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
