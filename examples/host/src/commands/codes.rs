//! The codes that arguments, a file or standard input name.

use std::io::{self, Read};
use std::path::Path;

use code_service::Code;

use super::exit::Failure;
use crate::cli::Codes;

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
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|e| Failure::file(path, &e))?)
    };
    first_columns(reader).map_err(|e| Failure::file(path, &e))
}

/// The first column of CSV, trimmed, without a header that begins with `code`, as an export has it.
fn first_columns(reader: impl Read) -> io::Result<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(reader);
    let mut codes = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            // The only other thing that can be wrong with it; csv's own words quote the row.
            _ => io::Error::other(format!("row {} is not UTF-8", row + 1)),
        })?;
        match record.get(0) {
            Some("code") if row == 0 => {}
            Some(code) => codes.push(code.trim_start_matches('\u{feff}').to_owned()),
            None => {}
        }
    }
    Ok(codes)
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
        assert_eq!(error.to_string(), "row 2 is not UTF-8");
    }
}
