//! CSV: the first column of each line.

use csv_core::{ReadFieldResult, Reader};

use super::{Cut, Row};
use crate::ids::{Code, InvalidText};

/// The most of a field that is kept: four times the longest code, for white space around it.
const FIELD: usize = 1024;

/// Finds the first column of each line in bytes that arrive in pieces.
pub(super) struct Splitter {
    reader: Reader,
    field: [u8; FIELD],
    length: usize,
    too_long: bool,
    column: u64,
    /// Nothing but a header can stand in the first line that has something in it.
    header_possible: bool,
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
        }
    }
}

impl Cut for Splitter {
    fn push(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) {
        while !bytes.is_empty() {
            let read = self.read(bytes, rows);
            bytes = &bytes[read..];
        }
    }

    fn end(&mut self, rows: &mut Vec<Row>) {
        // Empty input is the reader's sign for the end.
        self.read(&[], rows);
    }
}

impl Splitter {
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
    use super::super::tests::cut_anyhow;
    use super::*;

    fn rows(file: &[u8]) -> Vec<(u64, Result<String, InvalidText>)> {
        cut_anyhow(file, || Box::new(Splitter::default()))
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
