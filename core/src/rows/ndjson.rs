//! NDJSON: a code in each line.

use serde::Deserialize;

use super::{Cut, Row};
use crate::ids::{Code, InvalidText};

/// The most of a line that is kept.
const LINE: usize = 64 * 1024;

/// Finds lines in bytes that arrive in pieces.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    too_long: bool,
    number: u64,
}

/// What a line may be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Object { code: String },
}

impl Cut for Lines {
    fn push(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.end(rows);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn end(&mut self, rows: &mut Vec<Row>) {
        self.number += 1;
        let line = self.line.trim_ascii();
        if self.too_long || !line.is_empty() {
            let code = if self.too_long { Err(InvalidText::TooLong) } else { code(line) };
            rows.push(Row { number: self.number, code });
        }
        self.line.clear();
        self.too_long = false;
    }
}

impl Lines {
    fn keep(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LINE {
            self.too_long = true;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }
}

fn code(line: &[u8]) -> Result<Code, InvalidText> {
    let line = std::str::from_utf8(line).map_err(|_| InvalidText::NotUtf8)?;
    match serde_json::from_str(line) {
        Ok(Line::Text(code) | Line::Object { code }) => Code::parse(code.trim()),
        Err(_) => Err(InvalidText::NotJson),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cut_anyhow;
    use super::*;

    fn rows(file: &[u8]) -> Vec<(u64, Result<String, InvalidText>)> {
        cut_anyhow(file, || Box::new(Lines::default()))
    }

    #[test]
    fn a_line_is_a_text_or_an_object_with_a_code() {
        let file = "\u{feff}\"A1\"\r\n\n  {\"code\": \" B2 \", \"type\": \"tm\"}  \n\"C\\\"3\"";
        let codes = [(1, "A1"), (3, "B2"), (4, "C\"3")].map(|(row, code)| (row, Ok(code.to_owned())));
        assert_eq!(rows(file.as_bytes()), codes);
        assert_eq!(rows(b""), []);
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_the_others_are_kept() {
        let mut file = b"A1\n{\"type\":\"tm\"}\n\"\xff\"\n\"\"\n\"a\\u0000\"\n7\n".to_vec();
        file.extend(vec![b' '; LINE + 1]);
        file.extend(b"\n\"B2\"\n");
        let reasons = rows(&file).into_iter().map(|(row, code)| (row, code.err())).collect::<Vec<_>>();
        assert_eq!(
            reasons,
            [
                (1, Some(InvalidText::NotJson)),
                (2, Some(InvalidText::NotJson)),
                (3, Some(InvalidText::NotUtf8)),
                (4, Some(InvalidText::Empty)),
                (5, Some(InvalidText::Control)),
                (6, Some(InvalidText::NotJson)),
                (7, Some(InvalidText::TooLong)),
                (8, None),
            ]
        );
    }
}
