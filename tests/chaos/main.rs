//! `make chaos`: clients at work on a replica set of three while everything breaks; afterwards every call that
//! was made is checked against every other, and against what is left in the database.
//!
//! `chaos --seed 7 --minutes 2 --faults late-requests,kill-primary` tells what to do; `chaos check FOLDER` checks
//! the histories of a run again.

mod check;
mod client;
mod clients;
mod faults;
mod history;
mod old;
mod plan;
mod record;
mod run;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use check::Verdict;
use faults::Fault;
use history::History;
use plan::{Kind, Orders};
use run::Plan;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", orders] => {
            client(orders).await;
            ExitCode::SUCCESS
        }
        ["check", folder] => match check_folder(Path::new(folder)) {
            Ok(verdict) => {
                println!("{verdict}");
                if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ref options => match plan(options) {
            Ok(plan) => chaos(&plan).await,
            Err(error) => {
                let faults = Fault::names();
                eprintln!("{error}\nusage: chaos [--seed N] [--minutes M] [--faults {faults}] [--clients N]");
                eprintln!(
                    "             [--callers N] [--codes N] [--normal SECONDS] [--calm SECONDS] [--at-least CALLS,FAULTS]"
                );
                eprintln!("       chaos check FOLDER");
                ExitCode::FAILURE
            }
        },
    }
}

/// What the command line asks for.
fn plan(options: &[&str]) -> Result<Plan, Box<dyn Error>> {
    let mut plan = Plan {
        seed: rand::random(),
        minutes: 30.0,
        faults: Fault::all(),
        clients: 4,
        callers: 16,
        codes: 200_000,
        folder: PathBuf::new(),
        normal: Duration::from_secs(5),
        calm: Duration::ZERO,
        at_least: (0, 0),
    };
    for option in options.chunks(2) {
        match *option {
            ["--seed", seed] => plan.seed = seed.parse()?,
            ["--minutes", minutes] => plan.minutes = minutes.parse()?,
            ["--clients", clients] => plan.clients = clients.parse()?,
            ["--callers", callers] => plan.callers = callers.parse()?,
            ["--normal", seconds] => plan.normal = Duration::from_secs(seconds.parse()?),
            ["--calm", seconds] => plan.calm = Duration::from_secs(seconds.parse()?),
            ["--codes", codes] => plan.codes = codes.parse()?,
            ["--at-least", numbers] => {
                let (calls, faults) = numbers.split_once(',').ok_or("--at-least CALLS,FAULTS")?;
                plan.at_least = (calls.parse()?, faults.parse()?);
            }
            ["--faults", names] => {
                // Without a name there are none.
                let names = names.split_terminator(',');
                let fault = |name| Fault::named(name).ok_or_else(|| format!("there is no fault {name}"));
                plan.faults = names.map(fault).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("what is {}?", option.join(" ")).into()),
        }
    }
    let own = format!("code-service-chaos-{}-{}", plan.seed, std::process::id());
    plan.folder = std::env::temp_dir().join(own);
    Ok(plan)
}

async fn client(orders: &str) {
    let orders: Orders = serde_json::from_str(orders).expect("orders");
    match orders.what.clone() {
        Kind::Ours { uri } => client::run(orders, &uri).await,
        Kind::Old { ports, database } => old::run(orders, &ports, &database).await,
    }
    // Without what the driver does when its runtime ends under it: it panics in a task.
    std::process::exit(0)
}

async fn chaos(plan: &Plan) -> ExitCode {
    let start = Instant::now();
    println!("seed {}, {} minutes, histories in {}", plan.seed, plan.minutes, plan.folder.display());
    let mut ran = run::run(plan).await;
    let verdict = check_folder(&plan.folder).expect("the run's own files");
    let (calls, faults) = plan.at_least;
    if verdict.calls < calls || ran.faults() < faults {
        ran.complaints.push(format!("these are fewer than {calls} calls and {faults} faults"));
    }
    println!("{verdict}\n{ran}");
    for complaint in &ran.complaints {
        println!("{complaint}");
    }
    println!(
        "{} calls, {} faults, {} violations, {} s, seed {}",
        verdict.calls,
        ran.faults(),
        verdict.violations.len(),
        start.elapsed().as_secs(),
        plan.seed
    );
    if verdict.violations.is_empty() && ran.complaints.is_empty() {
        let _ = std::fs::remove_dir_all(&plan.folder);
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Checks what a run has left in a folder: `header.json`, `snapshot.json`, and a `.history` of every process.
fn check_folder(folder: &Path) -> Result<Verdict, Box<dyn Error>> {
    let header = serde_json::from_str(&std::fs::read_to_string(folder.join("header.json"))?)?;
    let snapshot = serde_json::from_str(&std::fs::read_to_string(folder.join("snapshot.json"))?)?;
    let mut histories = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "history") {
            histories.push(History::read(&path)?);
        }
    }
    Ok(check::check(&histories, &header, &snapshot))
}
