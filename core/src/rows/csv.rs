//! CSV: the first column of each line.

use csv_core::{ReadFieldResult, Reader};

use super::{Cut, Row, Rows};
use crate::ids::{Code, InvalidText};

/// The most of a field that is kept: four times the longest code, for white space around it.
const FIELD: usize = 1024;

/// Finds the first column of each line in bytes that arrive in pieces.
pub(super) struct Splitter {
    reader: Reader,
    field: [u8; FIELD],
    length: usize,
    too_long: bool,
    /// Line breaks in it: it is quoted.
    breaks: u64,
    column: usize,
    /// Nothing but a header can stand in the first line that has something in it.
    header_possible: bool,
    /// The row of that line, while it may be a header.
    held: Option<Row>,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter {
            reader: Reader::new(),
            field: [0; FIELD],
            length: 0,
            too_long: false,
            breaks: 0,
            column: 0,
            header_possible: true,
            held: None,
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
        let breaks = self.breaks;
        self.read(b"\n", rows);
        if self.breaks > breaks {
            // It was taken for a part of a field.
            rows.extend(self.held.take());
            rows.push(Row { number: self.reader.line() - self.breaks, code: Err(InvalidText::OpenQuote) });
        }
    }
}

impl Splitter {
    /// Reads until a field ends or the bytes do; returns how many were read.
    fn read(&mut self, bytes: &[u8], rows: &mut Vec<Row>) -> usize {
        if self.length == FIELD {
            self.too_long = true;
            self.length = 0;
        }
        let (result, read, written) = self.reader.read_field(bytes, &mut self.field[self.length..]);
        let come = &self.field[self.length..self.length + written];
        self.breaks += come.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.length += written;
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull | ReadFieldResult::End => {}
            ReadFieldResult::Field { record_end } => {
                if self.column == 0 {
                    let line_ended = bytes[..read].last() == Some(&b'\n');
                    let number = self.reader.line() - u64::from(line_ended) - self.breaks;
                    let row = self.first_column(record_end).map(|code| Row { number, code });
                    if row.is_some() && std::mem::take(&mut self.header_possible) {
                        self.held = row;
                    } else {
                        rows.extend(row);
                    }
                }
                self.first_line(record_end, rows);
                self.column = if record_end { 0 } else { self.column + 1 };
                self.length = 0;
                self.too_long = false;
                self.breaks = 0;
            }
        }
        read
    }

    /// The code in the first column; None if the line is empty.
    fn first_column(&self, alone: bool) -> Option<Result<Code, InvalidText>> {
        if self.breaks > 0 {
            return Some(Err(InvalidText::OpenQuote));
        }
        if self.too_long {
            return Some(Err(InvalidText::TooLong));
        }
        match std::str::from_utf8(&self.field[..self.length]).map(str::trim) {
            Err(_) => Some(Err(InvalidText::NotUtf8)),
            Ok("") if alone => None,
            Ok(text) => Some(Code::parse(text)),
        }
    }

    /// Hands out the row of a first line once it is known to be no header.
    fn first_line(&mut self, line_ended: bool, rows: &mut Vec<Row>) {
        let Some(row) = self.held.take() else { return };
        let text = std::str::from_utf8(&self.field[..self.length]).map(str::trim).ok();
        let named = !self.too_long && text == Rows::COLUMNS.get(self.column).copied();
        let whole = self.column == 0 || self.column + 1 == Rows::COLUMNS.len();
        match (named, line_ended) {
            (true, false) => self.held = Some(row),
            (true, true) if whole => {}
            _ => rows.push(row),
        }
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
        assert_eq!(codes("code,type\nA1,x\n"), ["code", "A1"]);
        assert_eq!(codes("\u{feff}"), Vec::<String>::new());
    }

    #[test]
    fn the_header_of_an_export_is_dropped_and_nothing_like_it() {
        let header = Rows::COLUMNS.join(",");
        let of_an_export = |header: &str| codes(&format!("{header}\nA1,tm,available,,,,\n"));
        assert_eq!(of_an_export(&header), ["A1"]);
        assert_eq!(of_an_export(&format!("\u{feff}{header}\r")), ["A1"]);
        assert_eq!(codes(&header), Vec::<String>::new());
        for other in [header.clone() + ",", header.to_uppercase(), header.replace("saved", "")] {
            assert_eq!(of_an_export(&other)[1..], ["A1"], "{other}");
        }
        assert_eq!(codes(&format!("A1\n{header}\n")), ["A1", "code"]);
    }

    #[test]
    fn quotes_are_read_as_in_rfc_4180() {
        assert_eq!(codes("\"A,1\",x\n\"B\"\"2\"\n\"\"\n"), ["A,1", "B\"2"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_in_its_line_is_told_where_it_begins() {
        let open = |number| (number, Err(InvalidText::OpenQuote));
        let good = |number, code: &str| (number, Ok(code.to_owned()));
        let many = "A2\n".repeat(2_000);
        for end in ["", "\n"] {
            assert_eq!(rows(format!("A1\n\"{many}{end}").as_bytes()), [good(1, "A1"), open(2)]);
            // Of another column.
            assert_eq!(
                rows(format!("A1\nB1,\"{many}{end}").as_bytes()),
                [good(1, "A1"), good(2, "B1"), open(2)]
            );
            assert_eq!(rows(format!("code,\"x{end}").as_bytes()), [good(1, "code"), open(1)]);
        }
        assert_eq!(rows(format!("\n\"{many}\"\nA3").as_bytes()), [open(2), good(2_003, "A3")]);
        assert_eq!(rows(b"\"A\n1\"\nA2\n"), [open(1), good(3, "A2")]);
        // A line break is what a quote is for, in columns that nobody reads.
        assert_eq!(rows(b"A1,\"x\ny\"\nA2\n"), [good(1, "A1"), good(3, "A2")]);
        assert_eq!(rows(&[b'L'; 1_024]), [(1, Err(InvalidText::TooLong))]);
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
