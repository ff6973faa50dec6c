//! `make bench`: how fast the service is beside what it replaces and beside what the database can do, as
//! ratios from one run.
//!
//! Every line runs its sides in turn, several rounds, on fresh databases of one server; the figures are
//! medians. A line that does not reach its goal makes the run fail. `make bench LINE=import` runs one line.
//! A whole run leaves `results.json` and `callers.svg` in `target/bench`; `make bench-readme` puts both into
//! the README.

mod ground;
mod lines;
mod peers;
mod picture;
mod results;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

use code_service_tests::Mongod;
use lines::{Bench, Goal, LINES};
use results::Results;

/// What all our processes may take over their idle state, in MiB.
pub(crate) const MEMORY: f64 = 64.0;

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
    let mongod = tokio::task::block_in_place(Mongod::start_for_benchmarks);
    let mut bench = Bench::new(mongod);
    let mut results = Results::new();
    println!("{}\n{}", results.machine, Results::head());
    let (mut goals, mut missed) = (0, 0);
    for line in lines {
        for row in bench.run(line).await {
            goals += usize::from(!matches!(row.goal, Goal::None));
            missed += usize::from(!row.met());
            println!("{}", results.add(row));
        }
    }
    (results.memory, results.curve) = (bench.memory, bench.curve);
    // What the README shows is of one run.
    if lines.len() == LINES.len() {
        results.write();
    }
    let too_much = results.memory > MEMORY;
    let verdict = if too_much { ": MISSED" } else { "" };
    println!("memory of the core over idle: {:.1} MiB, of {MEMORY} at the most{verdict}", results.memory);
    println!("{missed} of {goals} goals missed; {} s", start.elapsed().as_secs());
    if missed > 0 || too_much { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
