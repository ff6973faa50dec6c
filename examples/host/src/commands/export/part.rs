//! What an export has left that was cut off.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use serde::Deserialize;

use super::writer::COLUMNS;
use crate::cli::Format;

/// What of a file is whole, and where to go on. Its last line is not counted: it may have been cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// In bytes.
    pub(super) length: u64,
    pub(super) codes: u64,
    /// The last code.
    pub(super) after: Option<String>,
}

impl Part {
    /// Nothing, if there is no such file.
    pub(super) fn of(path: &Path, format: Format) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Part::read(BufReader::with_capacity(256 << 10, file), format),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Part::default()),
            Err(error) => Err(error),
        }
    }

    fn read(reader: impl BufRead, format: Format) -> io::Result<Self> {
        match format {
            Format::Ndjson => of_ndjson(reader),
            Format::Csv => of_csv(reader),
        }
    }
}

fn of_ndjson(mut reader: impl BufRead) -> io::Result<Part> {
    #[derive(Deserialize)]
    struct Line {
        code: String,
    }
    let mut part = Part::default();
    let (mut before, mut last, mut line) = (Vec::new(), Vec::new(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if part.codes == 0 && last.is_empty() && !begins_like(&line, NDJSON) {
            return Err(no_export());
        }
        part.length += last.len() as u64;
        part.codes += u64::from(!last.is_empty());
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut line);
        line.clear();
    }
    if part.codes > 0 {
        let whole: Line = serde_json::from_slice(&before).map_err(|_| no_export())?;
        part.after = Some(whole.code);
    }
    Ok(part)
}

fn of_csv(reader: impl Read) -> io::Result<Part> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
    let mut part = Part::default();
    let (mut before, mut last) = (None, None);
    let (mut record, mut records) = (ByteRecord::new(), 0_u64);
    let (mut header, whole) = (Vec::new(), COLUMNS.join(","));
    while reader.read_byte_record(&mut record)? {
        part.length = record.position().map_or(0, csv::Position::byte);
        if records == 0 {
            header = record.iter().collect::<Vec<_>>().join(&b',');
        }
        before = last.replace(record.get(0).unwrap_or_default().to_vec());
        records += 1;
    }
    let is_ours =
        if records > 1 { header == whole.as_bytes() } else { begins_like(&header, whole.as_bytes()) };
    if !is_ours {
        return Err(no_export());
    }
    // The first one is the header.
    part.codes = records.saturating_sub(2);
    if part.codes > 0 {
        part.after = Some(String::from_utf8(before.unwrap_or_default()).map_err(|_| no_export())?);
    }
    Ok(part)
}

/// How each line of an export begins.
const NDJSON: &[u8] = b"{\"code\":\"";

/// Whether a text is the beginning of something, or begins with it.
fn begins_like(text: &[u8], start: &[u8]) -> bool {
    text.iter().zip(start).all(|(one, other)| one == other)
}

fn no_export() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "is no export that can be gone on with: remove it, or name another file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, format: Format) -> (u64, u64, Option<String>) {
        let Part { length, codes, after } = Part::read(text.as_bytes(), format).expect("an export");
        (length, codes, after)
    }

    #[test]
    fn ndjson_is_whole_up_to_its_last_line() {
        let line = "{\"code\":\"A1\",\"type\":\"tm\"}\n";
        let length = line.len() as u64;
        assert_eq!(part("", Format::Ndjson), (0, 0, None));
        assert_eq!(part("{\"co", Format::Ndjson), (0, 0, None));
        assert_eq!(part(&format!("{line}{{\"co"), Format::Ndjson), (length, 1, Some("A1".to_owned())));
        assert_eq!(
            part(&format!("{line}{line}{line}"), Format::Ndjson),
            (2 * length, 2, Some("A1".to_owned()))
        );
    }

    #[test]
    fn csv_is_whole_up_to_its_last_record() {
        let header = COLUMNS.join(",") + "\n";
        let length = header.len() as u64;
        let behind = |rest: &str| part(&(header.clone() + rest), Format::Csv);
        assert_eq!(part("", Format::Csv), (0, 0, None));
        assert_eq!(part("code,ty", Format::Csv), (0, 0, None));
        assert_eq!(behind(""), (0, 0, None));
        assert_eq!(behind("A1,t"), (length, 0, None));
        assert_eq!(behind("\"A\n1\",tm\nB2"), (length + 9, 1, Some("A\n1".to_owned())));
        assert_eq!(behind("A1,tm\n\"B\n2"), (length + 6, 1, Some("A1".to_owned())));
    }

    #[test]
    fn a_file_of_something_else_is_not_written_on() {
        for (text, format) in [
            ("my notes\nare here\n", Format::Ndjson),
            ("my notes", Format::Ndjson),
            ("{\"code\":1}\n{\"code\":2}\n", Format::Ndjson),
            ("my notes", Format::Csv),
            ("code\nA1\nB2\nC3\n", Format::Csv),
            ("id,code,type,status,saved,reserved,assigned\n1,A1\n2,B2\n3,C3\n", Format::Csv),
        ] {
            let error = Part::read(text.as_bytes(), format).expect_err("no export");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }
}
