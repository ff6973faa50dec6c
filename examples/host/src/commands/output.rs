//! What commands write: tables for people, JSON for programs, and bars for whoever waits at a terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;

use super::exit::Failure;

/// Whether whoever read standard output has gone.
static READER_HAS_GONE: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output. A reader that has gone has had enough: how the command ends is not changed by that.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            READER_HAS_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(|e| Failure::output(&e)),
    }
}

/// Whether nobody reads any more what is written to standard output.
pub(crate) fn reader_has_gone() -> bool {
    READER_HAS_GONE.load(Ordering::Relaxed)
}

/// What was wrong with a file of CSV, as if it were any other.
pub(crate) fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        // csv's own words quote rows.
        _ => io::Error::new(io::ErrorKind::InvalidData, "is no CSV"),
    }
}

/// Writes a value to standard output as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).expect("answers have text for keys"))
}

/// Writes rows in columns to standard output, under a header. `numbers` are the columns that are aligned to the right.
pub(crate) fn table(header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        let left = if index == 0 { 0 } else { 1 };
        column.set_padding((left, 1));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    line(table.trim_fmt())
}

/// Writes words with their numbers to standard output, one a line.
pub(crate) fn numbers(numbers: &[(&str, u64)]) -> Result<(), Failure> {
    let lines: Vec<String> =
        numbers.iter().map(|(word, number)| format!("{word:<10} {number:>12}")).collect();
    line(lines.join("\n"))
}

/// A text that others have stored, as a terminal can show it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A word as a shell takes it for one.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The name of a file that is not whole yet.
pub(crate) fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// How a bar of bytes looks whose end is known, and one whose end is not.
const BYTES: [&str; 2] = [
    "{wide_bar} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {msg}",
    "{spinner} {bytes}  {bytes_per_sec}  {msg}",
];
/// The same for codes.
const CODES: [&str; 2] = [
    "{wide_bar} {percent:>3} %  {human_pos} of {human_len} codes  {rate}  {eta} left  {msg}",
    "{spinner} {human_pos} codes  {rate}  {msg}",
];

/// How far something has come: bytes, of so many if that is known. Drawn on standard error where that is a terminal.
pub(crate) fn bar_of_bytes(bytes: Option<u64>) -> ProgressBar {
    bar(bytes, BYTES)
}

/// The same for codes.
pub(crate) fn bar_of_codes(codes: Option<u64>) -> ProgressBar {
    bar(codes, CODES)
}

/// Sets how far a bar of bytes is, and its end as soon as that is known.
pub(crate) fn set_bytes(bar: &ProgressBar, bytes: u64, of: Option<u64>) {
    if bar.length().is_none()
        && let Some(of) = of
    {
        bar.set_length(of);
        bar.set_style(style(BYTES[0]));
    }
    bar.set_position(bytes);
}

fn bar(length: Option<u64>, [known, unknown]: [&str; 2]) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), known),
        None => (ProgressBar::new_spinner(), unknown),
    };
    bar.set_style(style(template));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a template of known keys");
    style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // Writing to a text does not fail.
        let _ = text.write_str(&rate(state.per_sec()));
    })
}

/// So many a second, without a fraction.
fn rate(per_second: f64) -> String {
    format!("{}/s", HumanCount(per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_whole_number() {
        assert_eq!(rate(216_971.929_7), "216,972/s");
        assert_eq!(rate(0.2), "0/s");
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_for_another() {
        assert_eq!(quoted("http://localhost:8080/v1"), "http://localhost:8080/v1");
        assert_eq!(quoted("summer tour"), "'summer tour'");
        assert_eq!(quoted("Mike's $1"), r"'Mike'\''s $1'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_shell_takes_a_quoted_text_as_it_is() {
        for text in ["summer", "it's $HOME", "`a` \"b\" \\", "'"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(text))])
                .output();
            assert_eq!(String::from_utf8_lossy(&said.expect("sh is there").stdout), text);
        }
    }

    #[test]
    fn a_pipe_that_broke_under_csv_is_known_as_one() {
        let broken = csv_error(io::Error::from(io::ErrorKind::BrokenPipe).into());
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }
}
