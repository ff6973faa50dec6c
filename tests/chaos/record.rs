//! A client's side of its history: every call is written down before it is made, and again when it is answered.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::{Call, Micros, Outcome, Record};

/// The machine's monotonic clock, straight from the kernel: a library that fakes a client's clock is not asked.
pub(crate) fn now() -> Micros {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("after the start of the machine");
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).expect("within a second") / 1_000
}

/// The file of one client.
pub(crate) struct Recorder {
    file: Mutex<File>,
    calls: AtomicU64,
}

impl Recorder {
    pub(crate) fn create(path: &Path, number: u32, old: bool) -> Recorder {
        let file = OpenOptions::new().create_new(true).append(true).open(path).expect("a new file");
        let recorder = Recorder { file: Mutex::new(file), calls: AtomicU64::new(0) };
        recorder.write(&Record::Client { number, old });
        recorder
    }

    /// Makes a call and writes it down.
    pub(crate) async fn call(&self, what: Call, answer: impl Future<Output = Outcome>) -> Outcome {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.write(&Record::Start { call, at: now(), what });
        let outcome = answer.await;
        self.write(&Record::End { call, at: now(), outcome: outcome.clone() });
        outcome
    }

    /// One write: what a kill leaves is whole lines, but for the last one.
    fn write(&self, record: &Record) {
        let mut line = serde_json::to_string(record).expect("plain data");
        line.push('\n');
        let mut file = self.file.lock().expect("nobody panics while writing");
        file.write_all(line.as_bytes()).expect("there is room for a history");
    }
}

/// Says in the file of a client that its process is gone, so nothing of it begins any more.
pub(crate) fn gone(path: &Path) {
    let mut text = std::fs::read(path).unwrap_or_default();
    // A line that the kill has cut off is taken away, or the next one would be hidden behind it.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    text.truncate(whole);
    let line = serde_json::to_string(&Record::Gone { at: now() }).expect("plain data");
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    // A process that was killed before it could say who it is has done nothing.
    if whole > 0 { std::fs::write(path, text) } else { std::fs::remove_file(path) }
        .expect("the client's own file");
}
