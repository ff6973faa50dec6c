//! `make bench`: how fast the service is beside what it replaces and beside what the database can do, as
//! ratios from one run.
//!
//! Every line runs its sides in turn, several rounds, on fresh databases of one server; the figures are
//! medians. A line that does not reach its goal makes the run fail. `make bench LINE=import` runs one line.
//! A run leaves `results.json` and `callers.svg` in `target/bench`; `make bench-readme` puts both into the
//! README.

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
    // As much memory as a server of this size gives it; the tests' small cache would measure the disk.
    let mongod = tokio::task::block_in_place(|| Mongod::start_with_cache(10.0));
    let mut bench = Bench::new(mongod);
    let mut results = Results::without(lines);
    println!("{}\n{}", results.machine, Results::head());
    let (mut goals, mut missed) = (0, 0);
    for line in lines {
        let rows = bench.run(line).await;
        for row in rows {
            goals += usize::from(!matches!(row.goal, Goal::None));
            missed += usize::from(!row.met());
            println!("{}", results.add(row));
        }
        if !bench.curve.is_empty() {
            results.curve = std::mem::take(&mut bench.curve);
        }
        results.memory = results.memory.max(bench.memory);
        results.write();
    }
    let too_much = bench.memory > MEMORY;
    let verdict = if too_much { ": MISSED" } else { "" };
    println!("memory of the core over idle: {:.1} MiB, of {MEMORY} at the most{verdict}", bench.memory);
    println!("{missed} of {goals} goals missed; {} s", start.elapsed().as_secs());
    if missed > 0 || too_much { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
