//! The codes that arguments, a file or standard input name.

use std::io::{self, Read};
use std::path::Path;

use code_service::Code;
use serde::Deserialize;

use super::exit::Failure;
use crate::cli::Codes;
use crate::file::Format;

/// The byte-order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// All of them, at least one.
pub(crate) fn read(codes: Codes) -> Result<Vec<Code>, Failure> {
    let texts = match &codes.codes_file {
        None => codes.codes,
        Some(file) => in_file(file)?,
    };
    if texts.is_empty() {
        return Err(Failure::usage("codes: the file has none"));
    }
    Ok(Code::parse_all(texts)?)
}

fn in_file(path: &Path) -> Result<Vec<String>, Failure> {
    let content = if path == Path::new("-") {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(path)
    };
    let content = content.map_err(|e| Failure::file(path, &e))?;
    let is_ndjson = Format::of(&path.to_string_lossy()).ndjson;
    let codes = if is_ndjson { of_lines(&content) } else { first_columns(&content) };
    codes.map_err(|reason| Failure::usage(format!("{}: {reason}", path.display())))
}

/// The first column of CSV, trimmed, without a header that begins with `code`, as an export has it.
fn first_columns(content: &[u8]) -> Result<Vec<String>, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(content);
    let mut codes = Vec::new();
    for (record, row) in reader.records().zip(1_u64..) {
        // Nothing else can be wrong with it; csv's own words quote the row.
        let record = record.map_err(|_| format!("row {row} is not UTF-8"))?;
        let start = record.position().and_then(|place| content.get(usize::try_from(place.byte()).ok()?..));
        let start = start.unwrap_or_default();
        // A code that begins like that can be written in quotes.
        if start.strip_prefix(MARK).unwrap_or(start).trim_ascii_start().starts_with(b"{") {
            return Err(format!(
                "row {row} looks like JSON: the name of a file of NDJSON must end with .ndjson or .jsonl, and \
                 `export --format csv` writes CSV"
            ));
        }
        match record.get(0) {
            Some("code") if row == 1 => {}
            Some(code) => codes.push(code.trim_start_matches('\u{feff}').to_owned()),
            None => {}
        }
    }
    Ok(codes)
}

/// The codes of NDJSON: each line is a text, or an object with a `code`, as an export has it.
fn of_lines(content: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Line {
        Text(String),
        Object { code: String },
    }
    let content = content.strip_prefix(MARK).unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n').zip(1_u64..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    let code = |(line, number)| match serde_json::from_slice(line) {
        Ok(Line::Text(code) | Line::Object { code }) => Ok(code.trim().to_owned()),
        Err(_) => Err(format!("line {number} is neither a text of JSON nor an object with a code")),
    };
    lines.map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_of_each_line_is_a_code() {
        let codes = |file: &str| first_columns(file.as_bytes()).expect("UTF-8");
        assert_eq!(codes("A1\n  B2 \n\nC3"), ["A1", "B2", "C3"]);
        assert_eq!(codes("code,type,status\nA1,tm,reserved\n\"B,2\",tm,reserved\n"), ["A1", "B,2"]);
        assert_eq!(codes("\u{feff}A1\r\ncode\r\n"), ["A1", "code"]);
        assert_eq!(codes(""), Vec::<String>::new());
    }

    #[test]
    fn a_row_that_is_not_utf_8_is_told_by_its_number_alone() {
        let error = first_columns(&b"A1\nSECRET\xff\n"[..]).expect_err("not UTF-8");
        assert_eq!(error, "row 2 is not UTF-8");
    }

    #[test]
    fn json_is_no_csv_unless_it_is_in_quotes() {
        for (file, row) in [("{\"code\":\"A1\"}\n", 1), ("\u{feff} {}", 1), ("A1\n\n{\"code\":\"B2\"}", 2)] {
            let error = first_columns(file.as_bytes()).expect_err("JSON");
            assert!(error.starts_with(&format!("row {row} looks like JSON")), "{error}");
        }
        assert_eq!(first_columns(b"\"{A1}\"\n").expect("a code"), ["{A1}"]);
    }

    #[test]
    fn a_line_of_ndjson_is_a_text_or_an_object_with_a_code() {
        let lines = "\u{feff}\"A1\"\n\n{\"code\":\" B2\",\"type\":\"tm\"}\r\n";
        assert_eq!(of_lines(lines.as_bytes()).expect("two codes"), ["A1", "B2"]);
        let error = of_lines(b"\"A1\"\nSECRET\n").expect_err("no JSON");
        assert_eq!(error, "line 2 is neither a text of JSON nor an object with a code");
    }
}
