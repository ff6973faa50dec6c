//! The code-service over HTTP, and the commands that go with it.
//!
//! The way of a request: [`http`] gives it a correlation id and a log line, [`auth`] checks its token, a
//! handler in [`routes`] parses it once and makes one call to the crate `code-service`, [`reply`] and
//! [`error`] put the outcome into the envelope.
#![forbid(unsafe_code)]

mod auth;
mod bucket;
mod cli;
mod commands;
mod config;
mod correlation;
mod error;
mod file;
mod http;
mod jobs;
mod lines;
mod logs;
mod metrics;
mod outgoing;
mod reply;
mod routes;
mod server;
mod traces;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use commands::{Exit, Failure};
use mimalloc::MiMalloc;

/// A request allocates some hundred times, which takes the C library's own allocator longer, and musl's much longer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long a thread that waits for the system, such as for a name, keeps the process.
const THREADS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(format!("no threads: {error}").into())),
    };
    let code = ended(runtime.block_on(commands::run(cli)));
    runtime.shutdown_timeout(THREADS);
    code
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    let Err(Failure { exit, message }) = outcome else { return Exit::Done.into() };
    if !message.is_empty() {
        eprintln!("code-service-host: {message}");
    }
    exit.into()
}
