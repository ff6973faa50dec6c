//! What clients write down of a run, and how it is read again.
//!
//! Every client process appends to a file of its own, a [`Record`] a line, each with one write, so that what
//! was written before it was killed is there. A call is written down before it is made and again when it is
//! answered: a call without an end was in flight when its process died.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Microseconds of the machine's monotonic clock, which all processes share.
pub(crate) type Micros = u64;
/// Milliseconds since 1970 by the database server's clock.
pub(crate) type WallMs = i64;

/// A line of a client's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The first line: which process this is, and whether it is the deployed service instead of ours.
    Client { number: u32, old: bool },
    /// A call is about to be made. Its number is new in this file.
    Start { call: u64, at: Micros, what: Call },
    /// It was answered.
    End { call: u64, at: Micros, outcome: Outcome },
    /// The process is gone: written by who has waited for its end. Without it, what the process had in flight
    /// counts as able to land at any later time.
    Gone { at: Micros },
}

/// What a client asks for. A pool is a position in [`Header::pools`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Codes, under the caller's own id if it has one.
    Reserve { pool: usize, count: u32, partial: bool, id: Option<String> },
    /// What is held under an id; afterwards nothing that died under it can land any more.
    Recover { id: String },
    /// With an id only what is held under it; without one whatever is there.
    Assign { pool: usize, id: Option<String>, codes: Vec<String> },
    /// As for assign.
    Release { pool: usize, id: Option<String>, codes: Vec<String> },
    /// Calm: nothing else was under way since every replica knew all that had been answered.
    Count { pool: usize, calm: bool },
    /// Uploads codes of the pool again.
    Save { pool: usize, codes: Vec<String> },
}

/// How a call was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// These codes are held under the id. `expires_ms` is at the latest when they expire.
    Got { id: String, codes: Vec<String>, reserved_ms: WallMs, expires_ms: WallMs, replayed: bool },
    /// Too few codes, and nothing kept.
    Short { available: u64 },
    /// The id belongs to another wish.
    Mismatch,
    /// The id's codes have expired, or all were released.
    Expired,
    /// A reserve holds nothing, and nothing will land; anything else may have happened or not, or in part.
    Unavailable,
    /// The reserve held codes under this id or not; nothing lands after this answer.
    Unknown { id: String },
    /// The deployed service's reserve failed: codes may be held, or will be, under an id that nobody knows.
    Failed,
    /// A recover found codes under the id.
    Held { codes: Vec<(String, Status)>, reserved_ms: WallMs, expires_ms: WallMs },
    /// A recover found nothing under the id, and nothing will be.
    Nothing,
    /// How many codes an assign or a release changed, and which were not held under its id.
    Settled { updated: u64, lost: Vec<String> },
    /// What a count counted.
    Counts { available: u64, reserved: u64, assigned: u64 },
    /// The upload is done.
    Saved,
}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Available,
    Reserved,
    Assigned,
}

/// What a run knows before its first call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) seed: u64,
    /// The server's clock when the monotonic clock was at zero.
    pub(crate) zero_ms: WallMs,
    /// How far a time of the server may be from that, because clocks are set and replicas differ.
    pub(crate) clock_error_ms: u64,
    pub(crate) pools: Vec<Pool>,
}

/// The codes of one campaign and type, all saved before the first call: the prefix and a number below `size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) campaign: String,
    pub(crate) code_type: String,
    pub(crate) ttl_ms: u64,
    pub(crate) prefix: String,
    pub(crate) size: u32,
}

impl Pool {
    pub(crate) fn code(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The number of one of its codes.
    pub(crate) fn number(&self, code: &str) -> Option<u32> {
        let digits = code.strip_prefix(self.prefix.as_str())?;
        let number = digits.parse().ok().filter(|number| *number < self.size)?;
        // `007` and `+7` are no codes of ours.
        (digits == "0" || digits.starts_with(|first: char| ('1'..='9').contains(&first))).then_some(number)
    }
}

/// All there is in the database after everything has become quiet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) at: Micros,
    pub(crate) documents: Vec<Document>,
    pub(crate) ledger: Vec<Entry>,
}

/// A code as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) pool: usize,
    pub(crate) code: String,
    pub(crate) type_ok: bool,
    pub(crate) reserved_ms: Option<WallMs>,
    pub(crate) assigned_ms: Option<WallMs>,
    pub(crate) reserve_id: Option<String>,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) granted: bool,
    pub(crate) reserved_ms: WallMs,
}

/// What one process did, in the order of its calls' starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) client: u32,
    pub(crate) old: bool,
    pub(crate) calls: Vec<Made>,
    /// When the process was surely dead.
    pub(crate) gone: Option<Micros>,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) start: Micros,
    pub(crate) what: Call,
    pub(crate) end: Option<(Micros, Outcome)>,
}

impl History {
    /// Reads a client's file.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of a client. A last line without its end is not an error.
    pub(crate) fn read(path: &Path) -> io::Result<History> {
        History::from_lines(BufReader::new(std::fs::File::open(path)?))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn from_lines(mut lines: impl BufRead) -> io::Result<History> {
        let mut history = None;
        let mut running = std::collections::HashMap::new();
        let mut line = String::new();
        // A line without its end was being written when the process was killed.
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            let record = serde_json::from_str(&line).map_err(io::Error::from)?;
            line.clear();
            match (record, &mut history) {
                (Record::Client { number, old }, None) => {
                    history = Some(History { client: number, old, calls: Vec::new(), gone: None });
                }
                (Record::Start { call, at, what }, Some(history)) => {
                    if running.insert(call, history.calls.len()).is_some() {
                        return Err(invalid(format!("call {call} starts twice")));
                    }
                    history.calls.push(Made { number: call, start: at, what, end: None });
                }
                (Record::End { call, at, outcome }, Some(history)) => {
                    let made = running.remove(&call).and_then(|position| history.calls.get_mut(position));
                    let made = made.ok_or_else(|| invalid(format!("call {call} ends without a start")))?;
                    made.end = Some((at, outcome));
                }
                (Record::Gone { at }, Some(history)) => history.gone = Some(at),
                (record, _) => return Err(invalid(format!("not the place for {record:?}"))),
            }
        }
        history.ok_or_else(|| invalid("no client".to_owned()))
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Got { replayed: false, .. } => "got",
            Outcome::Got { replayed: true, .. } => "got again",
            Outcome::Short { .. } => "short",
            Outcome::Mismatch => "mismatch",
            Outcome::Expired => "expired",
            Outcome::Unavailable => "unavailable",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Failed => "failed",
            Outcome::Held { .. } => "held",
            Outcome::Nothing => "nothing",
            Outcome::Settled { .. } => "settled",
            Outcome::Counts { .. } => "counted",
            Outcome::Saved => "saved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(records: &[Record]) -> String {
        records.iter().map(|record| serde_json::to_string(record).expect("plain data") + "\n").collect()
    }

    fn client() -> Record {
        Record::Client { number: 3, old: false }
    }

    fn start(call: u64) -> Record {
        Record::Start { call, at: call * 10, what: Call::Count { pool: 0, calm: true } }
    }

    #[test]
    fn what_was_written_can_be_read() {
        let outcome = Outcome::Counts { available: 1, reserved: 2, assigned: 3 };
        let end = Record::End { call: 1, at: 15, outcome: outcome.clone() };
        let text = lines(&[client(), start(1), start(2), end, Record::Gone { at: 99 }]);
        let history = History::from_lines(text.as_bytes()).expect("a history");
        assert_eq!((history.client, history.old, history.gone), (3, false, Some(99)));
        assert_eq!(history.calls[0].end, Some((15, outcome)));
        assert_eq!((history.calls[1].start, &history.calls[1].end), (20, &None));
    }

    #[test]
    fn a_line_that_a_kill_cut_off_is_no_line() {
        let mut text = lines(&[client(), start(1), start(2)]);
        text.truncate(text.len() - 1);
        assert_eq!(History::from_lines(text.as_bytes()).expect("a history").calls.len(), 1);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let end = Record::End { call: 1, at: 1, outcome: Outcome::Saved };
        for records in [vec![], vec![start(1)], vec![client(), end], vec![client(), start(1), start(1)]] {
            History::from_lines(lines(&records).as_bytes()).expect_err("no history");
        }
        History::from_lines("words\n".as_bytes()).expect_err("no history");
    }

    #[test]
    fn a_pool_knows_its_codes() {
        let (campaign, code_type) = ("summer".to_owned(), "tm".to_owned());
        let pool = Pool { campaign, code_type, ttl_ms: 1, prefix: "A".to_owned(), size: 12 };
        assert_eq!(pool.number(&pool.code(0)), Some(0));
        assert_eq!(pool.number(&pool.code(11)), Some(11));
        for foreign in ["A12", "A01", "A+1", "A", "B1", "1"] {
            assert_eq!(pool.number(foreign), None, "{foreign}");
        }
    }
}
