//! Follows a file as Fluentd's `tail` does: by its inode, with a position file, and a while longer when it is renamed.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::settings::{Section, evaluated};

/// How often it looks; Fluentd is also told by the system.
const PERIOD: Duration = Duration::from_millis(50);

/// A thread that follows.
pub(super) struct Follower {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    records: Arc<Mutex<Vec<Value>>>,
}

impl Follower {
    pub(super) fn start(config: &Section, variables: &[(&str, &str)]) -> Follower {
        let tail = config.child("source");
        let added = config.child("filter").child("record").parameters.iter();
        let added = added.map(|(name, value)| (name.clone(), evaluated(value, variables)));
        let seconds = tail.value("rotate_wait").trim_end_matches('s').parse().expect("so many s");
        let records = Arc::default();
        let mut tail = Tail {
            path: tail.value("path").into(),
            positions: tail.value("pos_file").into(),
            from_head: tail.value("read_from_head") == "true",
            rotate_wait: Duration::from_secs(seconds),
            added: added.collect(),
            current: None,
            renamed: Vec::new(),
            records: Arc::clone(&records),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let follow = move || {
            while !stopped.load(Ordering::Relaxed) {
                tail.look();
                std::thread::sleep(PERIOD);
            }
            tail.look();
        };
        Follower { thread: Some(std::thread::spawn(follow)), stop, records }
    }

    pub(super) fn records(&self) -> Vec<Value> {
        self.records.lock().expect("nobody panics while holding it").clone()
    }

    /// Lets it read what is there, and end.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it reads what the host wrote");
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Tail {
    path: PathBuf,
    positions: PathBuf,
    from_head: bool,
    rotate_wait: Duration,
    added: Vec<(String, String)>,
    current: Option<Open>,
    /// Those that have another name by now, and until when they are read.
    renamed: Vec<(Open, Instant)>,
    records: Arc<Mutex<Vec<Value>>>,
}

/// A file that is followed.
struct Open {
    inode: u64,
    reader: BufReader<File>,
    /// Behind the last whole line.
    position: u64,
}

impl Tail {
    fn look(&mut self) {
        for index in 0..self.renamed.len() {
            while let Some(line) = self.renamed[index].0.line() {
                self.pass_on(&line);
            }
        }
        self.renamed.retain(|(_, until)| Instant::now() < *until);
        let inode = std::fs::metadata(&self.path).map(|found| found.ino()).ok();
        if self.current.as_ref().map(|open| open.inode) != inode {
            if let Some(mut open) = self.current.take() {
                while let Some(line) = open.line() {
                    self.pass_on(&line);
                }
                self.renamed.push((open, Instant::now() + self.rotate_wait));
            }
            self.current = self.open();
        }
        let Some(mut open) = self.current.take() else { return };
        while let Some(line) = open.line() {
            self.pass_on(&line);
        }
        let position = format!("{}\t{:016x}\t{:016x}\n", self.path.display(), open.position, open.inode);
        std::fs::write(&self.positions, position).expect("the volume is writable");
        self.current = Some(open);
    }

    /// Where it was if that is the same file, and otherwise at its head; a file that nobody has followed begins there
    /// only if that is asked for.
    fn open(&self) -> Option<Open> {
        let file = File::open(&self.path).ok()?;
        let metadata = file.metadata().ok()?;
        let known = std::fs::read_to_string(&self.positions).ok();
        let numbers = known.as_deref().and_then(|line| {
            let mut parts = line.trim().split('\t').skip(1).map(|part| u64::from_str_radix(part, 16));
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        });
        let position = match numbers {
            Some((position, inode)) if inode == metadata.ino() => position,
            Some(_) => 0,
            None if self.from_head => 0,
            None => metadata.len(),
        };
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(position)).ok()?;
        Some(Open { inode: metadata.ino(), reader, position })
    }

    fn pass_on(&self, line: &str) {
        let mut record: Value = serde_json::from_str(line).expect("the host writes JSON");
        for (name, value) in &self.added {
            record[name] = Value::String(value.clone());
        }
        self.records.lock().expect("nobody panics while holding it").push(record);
    }
}

impl Open {
    /// The next whole line, if there is one.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).ok()?;
        if line.ends_with('\n') {
            self.position += read as u64;
            return Some(line);
        }
        // Its end is still to come.
        self.reader.seek(SeekFrom::Start(self.position)).ok()?;
        None
    }
}
