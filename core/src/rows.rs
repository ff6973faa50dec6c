//! Rows of an upload: codes from a list, or the first column of a CSV file that arrives in pieces.
//!
//! Memory stays bounded whatever comes: a field is kept up to a kilobyte, the rest of it is passed over.

use std::io;

use bytes::Bytes;
use csv_core::{ReadFieldResult, Reader};
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
    Csv { chunks: BoxStream<'static, io::Result<Bytes>>, chunk: Bytes, splitter: Box<Splitter>, end: End },
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
    /// line that is just `code`. A row's number is the line in which its first column ends.
    pub fn csv<S, B>(chunks: S) -> Self
    where
        S: Stream<Item = io::Result<B>> + Send + 'static,
        B: Into<Bytes>,
    {
        let chunks = chunks.map(|chunk| chunk.map(Into::into)).boxed();
        Rows(Source::Csv { chunks, chunk: Bytes::new(), splitter: Box::default(), end: End::NotYet })
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
            Source::Csv { chunks, chunk, splitter, end } => {
                let mut batch = Vec::new();
                while batch.len() < size && matches!(end, End::NotYet) {
                    if !chunk.is_empty() {
                        splitter.push(&chunk.split_to(chunk.len().min(PIECE)), &mut batch);
                        continue;
                    }
                    match chunks.next().await {
                        Some(Ok(next)) => *chunk = next,
                        Some(Err(error)) => *end = End::Failed(error),
                        None => {
                            splitter.end(&mut batch);
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
/// The most of a field that is kept: four times the longest code, for white space around it.
const FIELD: usize = 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds the first column of each line in bytes that arrive in pieces.
struct Splitter {
    reader: Reader,
    field: [u8; FIELD],
    length: usize,
    too_long: bool,
    column: u64,
    /// Nothing but a header can stand in the first line that has something in it.
    header_possible: bool,
    /// The first bytes, until they are known to be a byte-order mark or not.
    start: Option<Vec<u8>>,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter {
            reader: Reader::new(),
            field: [0; FIELD],
            length: 0,
            too_long: false,
            column: 0,
            header_possible: true,
            start: Some(Vec::new()),
        }
    }
}

impl Splitter {
    fn push(&mut self, chunk: &[u8], rows: &mut Vec<Row>) {
        let Some(mut start) = self.start.take() else { return self.split(chunk, rows) };
        start.extend_from_slice(chunk);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&start) {
            self.start = Some(start);
        } else {
            self.split(start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start), rows);
        }
    }

    fn end(&mut self, rows: &mut Vec<Row>) {
        if let Some(start) = self.start.take() {
            self.split(&start, rows);
        }
        // Empty input is the reader's sign for the end.
        self.read(&[], rows);
    }

    fn split(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) {
        while !bytes.is_empty() {
            let read = self.read(bytes, rows);
            bytes = &bytes[read..];
        }
    }

    /// Reads until a field ends or the bytes do; returns how many were read.
    fn read(&mut self, bytes: &[u8], rows: &mut Vec<Row>) -> usize {
        let (result, read, written) = self.reader.read_field(bytes, &mut self.field[self.length..]);
        self.length += written;
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::End => {}
            ReadFieldResult::OutputFull => {
                self.too_long = true;
                self.length = 0;
            }
            ReadFieldResult::Field { record_end } => {
                if self.column == 0 {
                    let line_ended = bytes[..read].last() == Some(&b'\n');
                    let number = self.reader.line() - u64::from(line_ended);
                    rows.extend(self.first_column(record_end).map(|code| Row { number, code }));
                }
                self.column = if record_end { 0 } else { self.column + 1 };
                self.length = 0;
                self.too_long = false;
            }
        }
        read
    }

    /// The code in the first column; None if the line is empty or a header.
    fn first_column(&mut self, alone: bool) -> Option<Result<Code, InvalidText>> {
        if self.too_long {
            self.header_possible = false;
            return Some(Err(InvalidText::TooLong));
        }
        let Ok(text) = std::str::from_utf8(&self.field[..self.length]) else {
            self.header_possible = false;
            return Some(Err(InvalidText::NotUtf8));
        };
        let text = text.trim();
        if alone && text.is_empty() {
            return None;
        }
        let header = std::mem::take(&mut self.header_possible) && alone && text == "code";
        (!header).then(|| Code::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `file` cut into pieces of every size that matters: the cut must not change anything.
    fn rows(file: &[u8]) -> Vec<(u64, Result<String, InvalidText>)> {
        let read = |size: usize| {
            let mut splitter = Splitter::default();
            let mut rows = Vec::new();
            for piece in file.chunks(size) {
                splitter.push(piece, &mut rows);
            }
            splitter.end(&mut rows);
            rows.into_iter().map(|row| (row.number, row.code.map(Code::into_string))).collect::<Vec<_>>()
        };
        let whole = read(usize::MAX);
        for size in [1, 2, 3, 5, 7, 64] {
            assert_eq!(read(size), whole, "in pieces of {size}");
        }
        whole
    }

    fn codes(file: &str) -> Vec<String> {
        rows(file.as_bytes()).into_iter().map(|(_, code)| code.expect("a good code")).collect()
    }

    #[test]
    fn the_first_column_counts_trimmed_and_without_empty_lines() {
        assert_eq!(codes("A1\n  B2 ,x,y\n\n   \nC3"), ["A1", "B2", "C3"]);
        assert_eq!(codes("A1\r\nB2\r\n\r\nC3\r\n"), ["A1", "B2", "C3"]);
        assert_eq!(codes(""), Vec::<String>::new());
    }

    #[test]
    fn a_header_and_a_byte_order_mark_are_dropped() {
        assert_eq!(codes("\u{feff}code\nA1\n"), ["A1"]);
        assert_eq!(codes("\n\ncode\nA1\n"), ["A1"]);
        assert_eq!(codes("\u{feff}A1\n"), ["A1"]);
        assert_eq!(codes("A1\ncode\n"), ["A1", "code"], "only a first line is a header");
        assert_eq!(codes("code,name\nA1,x\n"), ["code", "A1"], "a header is just `code`");
        assert_eq!(codes("\u{feff}"), Vec::<String>::new());
    }

    #[test]
    fn quotes_are_read_as_in_rfc_4180() {
        assert_eq!(codes("\"A,1\",x\n\"B\"\"2\"\n\"\"\n"), ["A,1", "B\"2"]);
    }

    #[test]
    fn a_bad_row_is_told_by_its_line_and_the_others_are_kept() {
        let mut file = b"code\r\nA1\r\n\xff\xfe\r\nB\x002\r\n,x\r\n".to_vec();
        file.extend(vec![b'L'; 10_000]);
        file.extend(b"\r\nC3\n");
        assert_eq!(
            rows(&file),
            [
                (2, Ok("A1".to_owned())),
                (3, Err(InvalidText::NotUtf8)),
                (4, Err(InvalidText::Control)),
                (5, Err(InvalidText::Empty)),
                (6, Err(InvalidText::TooLong)),
                (7, Ok("C3".to_owned())),
            ]
        );
    }
}
