//! Where lines go: the console, and a file that is renamed when it has grown.
//!
//! A line is written before the call that logs it returns, so that none is lost when the process ends. A line that
//! cannot be written is counted.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::config::Log;
use crate::metrics::{CONSOLE, FILE, LOST_LINES};

/// Everything that is configured.
pub(super) struct Sinks {
    console: bool,
    file: Option<Mutex<Rotated>>,
}

impl Sinks {
    /// An error is a sentence that names the key of the configuration.
    pub(super) fn open(config: &Log) -> Result<Self, String> {
        let file = config.file.as_deref().map(|path| {
            let file = Rotated::open(path.into(), config.max_bytes, config.keep.max(1));
            file.map(Mutex::new).map_err(|e| format!("titan.log.file: {path}: {e}"))
        });
        Ok(Sinks { console: config.console, file: file.transpose()? })
    }

    /// Writes a line, which ends with a line break.
    pub(super) fn write(&self, line: &[u8]) {
        if self.console {
            count(CONSOLE, io::stdout().lock().write_all(line));
        }
        if let Some(file) = &self.file {
            // Whoever panicked here has left whole lines.
            let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            count(FILE, file.write(line));
        }
    }
}

fn count(sink: &'static str, outcome: io::Result<()>) {
    if outcome.is_err() {
        metrics::counter!(LOST_LINES, "sink" => sink).increment(1);
    }
}

/// A file under one name; what it held before is under the same name with a number behind it, 1 being the youngest.
struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    keep: u32,
}

impl Rotated {
    fn open(path: PathBuf, limit: u64, keep: u32) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Rotated { path, file, size, limit, keep })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let size = line.len() as u64;
        if self.limit > 0 && self.size > 0 && self.size + size > self.limit {
            // If it cannot be renamed the lines stay together in one file.
            let _ = self.rotate();
        }
        self.file.write_all(line)?;
        self.size += size;
        Ok(())
    }

    /// Renames, and does not truncate: whoever follows the old file reads it to its end.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            rename(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
        }
        rename(&self.path, &numbered(&self.path, 1))?;
        let fresh = Rotated::open(self.path.clone(), self.limit, self.keep)?;
        *self = fresh;
        Ok(())
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_grown_is_renamed_and_no_line_is_split_or_lost() {
        let folder = std::env::temp_dir().join(format!("code-service-logs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        let path = folder.join("titan.log");
        std::fs::write(&path, "before\n").expect("writable");
        let mut file = Rotated::open(path.clone(), 20, 3).expect("can be opened");
        for number in 0..6 {
            file.write(format!("line {number}\n").as_bytes()).expect("can be written");
        }
        // Longer than a file may be.
        file.write(b"a line of more than twenty bytes\n").expect("can be written");
        file.write(b"end\n").expect("can be written");
        let read = |path: &Path| std::fs::read_to_string(path).expect("it is there");
        let kept = [numbered(&path, 3), numbered(&path, 2), numbered(&path, 1), path.clone()];
        let kept = kept.map(|path| read(&path));
        let missing = numbered(&path, 4).exists();
        std::fs::remove_dir_all(&folder).expect("ours");
        let long = "a line of more than twenty bytes\n";
        assert_eq!(kept, ["line 3\nline 4\n", "line 5\n", long, "end\n"]);
        assert!(!missing, "no more are kept");
    }
}
