//! Rows of an upload: codes from a list, or from a CSV or NDJSON file that arrives in pieces.
//!
//! Memory stays bounded whatever comes: of a field of CSV a kilobyte is kept and of a line of NDJSON 64, the rest of it
//! is passed over.

mod csv;
mod ndjson;

use std::io;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};

use crate::ids::{Code, InvalidText};

/// The codes of a [`save`](crate::CodeService::save), one by one.
///
/// ```
/// use code_service::Rows;
///
/// let from_a_list = Rows::codes(["ABC-1", "ABC-2"]);
/// let from_a_file = Rows::csv(futures_util::stream::iter([std::io::Result::Ok("code\nABC-1\nAB"), Ok("C-2\n")]));
/// ```
pub struct Rows(Source);

enum Source {
    Codes(Box<dyn Iterator<Item = Row> + Send>),
    Lists { lists: BoxStream<'static, io::Result<Vec<String>>>, read: u64 },
    File { chunks: BoxStream<'static, io::Result<Bytes>>, chunk: Bytes, cutter: Cutter, end: End },
}

/// How far a file has been read.
enum End {
    NotYet,
    Reached,
    /// Its source has failed; what came before is still to be handed out.
    Failed(io::Error),
}

/// One row: its number in the upload, from 1, and its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) number: u64,
    pub(crate) code: Result<Code, InvalidText>,
}

impl Rows {
    /// The columns of codes that are exported as CSV: a file that begins with their names can be saved again.
    pub const COLUMNS: [&str; 7] = ["code", "type", "status", "saved", "reserved", "assigned", "reserveId"];

    /// Rows from a list of codes; an empty one is rejected.
    pub fn codes<I>(codes: I) -> Self
    where
        I: IntoIterator<Item: Into<String>, IntoIter: Send + 'static>,
    {
        let rows = codes.into_iter().zip(1..).map(|(text, number)| Row { number, code: Code::parse(text) });
        Rows(Source::Codes(Box::new(rows)))
    }

    /// Rows from lists of codes that arrive one after another; each list is held in memory.
    pub fn lists<S>(lists: S) -> Self
    where
        S: Stream<Item = io::Result<Vec<String>>> + Send + 'static,
    {
        Rows(Source::Lists { lists: lists.boxed(), read: 0 })
    }

    /// Rows from the pieces of a CSV file.
    ///
    /// Only the first column counts; the delimiter is a comma, quotes are as in RFC 4180, lines end with LF
    /// or CRLF. Codes are trimmed, empty lines are skipped, a byte-order mark is dropped, and so is a first
    /// line that is just `code`, or all of [`COLUMNS`](Rows::COLUMNS). A row's number is the line in which it begins.
    pub fn csv<S, B>(chunks: S) -> Self
    where
        S: Stream<Item = io::Result<B>> + Send + 'static,
        B: Into<Bytes>,
    {
        Rows::file(chunks, Box::new(csv::Splitter::default()))
    }

    /// Rows from the pieces of an NDJSON file: each line is a JSON text, or an object whose `code` is one, as an
    /// export writes it.
    ///
    /// Codes are trimmed, empty lines are skipped, and a byte-order mark is dropped. A row's number is its line.
    pub fn ndjson<S, B>(chunks: S) -> Self
    where
        S: Stream<Item = io::Result<B>> + Send + 'static,
        B: Into<Bytes>,
    {
        Rows::file(chunks, Box::new(ndjson::Lines::default()))
    }

    fn file<S, B>(chunks: S, cut: Box<dyn Cut>) -> Self
    where
        S: Stream<Item = io::Result<B>> + Send + 'static,
        B: Into<Bytes>,
    {
        let chunks = chunks.map(|chunk| chunk.map(Into::into)).boxed();
        let cutter = Cutter { cut, start: Some(Vec::new()) };
        Rows(Source::File { chunks, chunk: Bytes::new(), cutter, end: End::NotYet })
    }

    /// At least one row and about `size` of them; none at the end.
    pub(crate) async fn next_batch(&mut self, size: usize) -> io::Result<Vec<Row>> {
        match &mut self.0 {
            Source::Codes(rows) => Ok(rows.by_ref().take(size).collect()),
            Source::Lists { lists, read } => {
                while let Some(list) = lists.next().await {
                    let first = *read + 1;
                    let list = list?;
                    *read += list.len() as u64;
                    if !list.is_empty() {
                        let row = |(text, number)| Row { number, code: Code::parse(text) };
                        return Ok(list.into_iter().zip(first..).map(row).collect());
                    }
                }
                Ok(Vec::new())
            }
            Source::File { chunks, chunk, cutter, end } => {
                let mut batch = Vec::new();
                while batch.len() < size && matches!(end, End::NotYet) {
                    if !chunk.is_empty() {
                        cutter.push(&chunk.split_to(chunk.len().min(PIECE)), &mut batch);
                        continue;
                    }
                    match chunks.next().await {
                        Some(Ok(next)) => *chunk = next,
                        Some(Err(error)) => *end = End::Failed(error),
                        None => {
                            cutter.end(&mut batch);
                            *end = End::Reached;
                        }
                    }
                }
                match std::mem::replace(end, End::Reached) {
                    End::Failed(error) if batch.is_empty() => Err(error),
                    kept => {
                        *end = kept;
                        Ok(batch)
                    }
                }
            }
        }
    }
}

/// How much of a chunk is read at once: a chunk may be a whole file, and a batch must stay a batch.
const PIECE: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds rows in bytes that arrive in pieces, which may end anywhere.
trait Cut: Send {
    fn push(&mut self, bytes: &[u8], rows: &mut Vec<Row>);

    fn end(&mut self, rows: &mut Vec<Row>);
}

/// The same without a byte-order mark.
struct Cutter {
    cut: Box<dyn Cut>,
    /// The first bytes, until they are known to be a byte-order mark or not.
    start: Option<Vec<u8>>,
}

impl Cutter {
    fn push(&mut self, piece: &[u8], rows: &mut Vec<Row>) {
        let Some(mut start) = self.start.take() else { return self.cut.push(piece, rows) };
        start.extend_from_slice(piece);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&start) {
            self.start = Some(start);
        } else {
            self.cut.push(start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start), rows);
        }
    }

    fn end(&mut self, rows: &mut Vec<Row>) {
        if let Some(start) = self.start.take() {
            self.cut.push(&start, rows);
        }
        self.cut.end(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `file` cut into pieces of every size that matters: the cut must not change anything.
    pub(super) fn cut_anyhow(
        file: &[u8],
        cut: impl Fn() -> Box<dyn Cut>,
    ) -> Vec<(u64, Result<String, InvalidText>)> {
        let read = |size: usize| {
            let mut cutter = Cutter { cut: cut(), start: Some(Vec::new()) };
            let mut rows = Vec::new();
            for piece in file.chunks(size) {
                cutter.push(piece, &mut rows);
            }
            cutter.end(&mut rows);
            rows.into_iter().map(|row| (row.number, row.code.map(Code::into_string))).collect::<Vec<_>>()
        };
        let whole = read(usize::MAX);
        for size in [1, 2, 3, 5, 7, 64] {
            assert_eq!(read(size), whole, "in pieces of {size}");
        }
        whole
    }
}
