//! Whether what clients have seen, and what is left in the database, was right.

mod check;
mod history;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use history::History;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["check", folder] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        eprintln!("usage: chaos check FOLDER");
        return ExitCode::FAILURE;
    };
    match check_folder(Path::new(folder)) {
        Ok(verdict) => {
            println!("{verdict}");
            if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks what a run has left in a folder: `header.json`, `snapshot.json`, and a `.history` of every process.
fn check_folder(folder: &Path) -> Result<check::Verdict, Box<dyn Error>> {
    let header = serde_json::from_slice(&std::fs::read(folder.join("header.json"))?)?;
    let snapshot = serde_json::from_slice(&std::fs::read(folder.join("snapshot.json"))?)?;
    let mut histories = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "history") {
            histories.push(History::read(&path)?);
        }
    }
    Ok(check::check(&histories, &header, &snapshot))
}
