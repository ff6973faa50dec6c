//! `make run` and `make demo`: the service on this machine, from nothing.
//!
//! Starts a MongoDB (or uses `TITAN_MONGO__URI`), creates the indexes, makes a key pair, puts a sample file
//! into a local bucket and starts the host. Prints commands to copy; with `--demo` runs them and checks what
//! they answer. Everything it started ends with it.

mod demo;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use code_service_tests::{Host, Keys, Mongod, binary, sample};
use tokio::signal::unix::{SignalKind, signal};

/// How many codes the sample has.
const CODES: usize = 100_000;
/// Where it lies in the bucket.
const KEY: &str = "codes/demo/tm/sample.csv";
/// The port that the commands in README use.
const PORT: u16 = 8080;

#[tokio::main]
async fn main() -> ExitCode {
    let demo = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [only] if only == "--demo" => true,
        _ => return failed("usage: run [--demo]"),
    };
    match run(demo).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

async fn run(demo: bool) -> Result<(), String> {
    let folder = binary::target_folder()?.join("run");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mongod, uri) = database();
    let bucket = folder.join("bucket");
    let codes = sample::codes(CODES);
    sample::write_csv(&bucket.join(KEY), &codes)?;
    println!("sample      {CODES} codes in {}", bucket.join(KEY).display());
    let (public, private) = keys(&folder)?;
    let port = free_port();
    create_indexes(&uri)?;
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &uri)
        .env("TITAN_JWT__PUBLIC_KEY_FILE", public)
        .env("TITAN_JWT__PRIVATE_KEY_FILE", private)
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", &bucket)
        .env("TITAN_SERVICE__PORT", port.to_string());
    let mut host = tokio::task::block_in_place(|| host.try_start()).map_err(|e| e.to_string())?;
    println!("service     {}", host.url("/"));
    let outcome = if demo {
        demo::check(&host.url(""), &codes)
    } else {
        demo::print(&host.url(""), &codes);
        interrupted().await;
        println!("\nstopping");
        Ok(())
    };
    let status = tokio::task::block_in_place(|| host.stop());
    drop(mongod);
    outcome.and(if status == 0 { Ok(()) } else { Err(format!("the service ended with status {status}")) })
}

/// The database that `TITAN_MONGO__URI` names, or one of our own whose data goes with it.
fn database() -> (Option<Mongod>, String) {
    match std::env::var("TITAN_MONGO__URI") {
        Ok(uri) if !uri.is_empty() => {
            println!("database    the one in TITAN_MONGO__URI");
            (None, uri)
        }
        _ => {
            println!("database    starting a MongoDB; its data goes when this ends");
            let mongod = tokio::task::block_in_place(Mongod::start);
            let uri = mongod.uri_for("code-service");
            println!("            {uri}");
            (Some(mongod), uri)
        }
    }
}

fn create_indexes(uri: &str) -> Result<(), String> {
    let output = tokio::task::block_in_place(|| Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", uri)]));
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Writes a new key pair and returns the files of the public and the private one.
fn keys(folder: &Path) -> Result<(PathBuf, PathBuf), String> {
    let keys = Keys::generate();
    let (public, private) = (folder.join("public.pem"), folder.join("private.pem"));
    write_privately(&public, &keys.public)?;
    write_privately(&private, &keys.private)?;
    Ok((public, private))
}

fn write_privately(path: &Path, text: &str) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| format!("{}: {e}", path.display()))
}

/// The usual port; 0, which takes any, if something listens there.
fn free_port() -> u16 {
    match std::net::TcpListener::bind(("0.0.0.0", PORT)) {
        Ok(_) => PORT,
        Err(_) => 0,
    }
}

async fn interrupted() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
