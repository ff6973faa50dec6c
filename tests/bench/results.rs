//! What a run has measured: as text, as JSON, and as the table of the README.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::lines::{Goal, Point, Row};
use crate::{MEMORY, picture};

/// The README's table stands between these.
const BEGIN: &str = "<!-- make bench-readme: begin -->\n";
const END: &str = "<!-- make bench-readme: end -->";
/// What a run leaves in the target folder.
const JSON: &str = "results.json";
/// The picture beside the README.
const PICTURE: &str = "tests/bench/callers.svg";

/// A run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Processor, cores and memory.
    pub(crate) machine: String,
    rows: Vec<Measured>,
    /// The most memory that one of our processes took over its idle state, in MiB.
    pub(crate) memory: f64,
    /// Throughput over callers.
    pub(crate) curve: Vec<Point>,
}

/// A row of the table with its verdict.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    line: String,
    work: String,
    beside: String,
    unit: String,
    ours: f64,
    other: f64,
    ratio: f64,
    /// `≥ 0.6`, or empty.
    goal: String,
    met: bool,
}

impl Results {
    pub(crate) fn new() -> Results {
        Results { machine: machine(), rows: Vec::new(), memory: 0.0, curve: Vec::new() }
    }

    /// The line above the rows.
    pub(crate) fn head() -> String {
        format!("{:<10} {:>9} {:>9} {:<8} {:>8} {:>7}", "line", "ours", "other", "unit", "ratio", "goal")
    }

    /// Takes a row in, and returns it as text.
    pub(crate) fn add(&mut self, row: Row) -> String {
        let goal = match row.goal {
            Goal::AtLeast(goal) => format!("≥ {goal}"),
            Goal::AtMost(goal) => format!("≤ {goal}"),
            Goal::None => String::new(),
        };
        let row = Measured {
            ratio: row.ratio(),
            met: row.met(),
            line: row.line.to_owned(),
            work: row.work,
            beside: row.beside,
            unit: row.unit.to_owned(),
            ours: row.ours,
            other: row.other,
            goal,
        };
        let text = format!(
            "{:<10} {:>9} {:>9} {:<8} {:>8.2} {:>7}  {}, beside {}{}",
            row.line,
            figure(row.ours),
            figure(row.other),
            row.unit,
            row.ratio,
            row.goal,
            row.work,
            row.beside,
            if row.met { "" } else { ": MISSED" }
        );
        self.rows.push(row);
        text
    }

    /// Writes JSON and picture into `target/bench`.
    pub(crate) fn write(&self) {
        let folder = folder();
        std::fs::create_dir_all(&folder).expect("a writable target folder");
        let json = serde_json::to_string_pretty(self).expect("plain data");
        std::fs::write(folder.join(JSON), json + "\n").expect("a writable target folder");
        picture::draw(&self.curve, &folder.join("callers.svg"));
    }

    fn table(&self) -> String {
        let mut table = format!("Measured on {}.\n\n", self.machine);
        table += "| work | beside | ours | other | ratio | goal |\n|---|---|---:|---:|---:|---:|\n";
        for row in &self.rows {
            let Measured { work, beside, unit, goal, .. } = row;
            let (ours, other) = (figure(row.ours), figure(row.other));
            let missed = if row.met { "" } else { " (missed)" };
            let _ = writeln!(
                table,
                "| {work} | {beside} | {ours} {unit} | {other} | **{:.2}** | {goal}{missed} |",
                row.ratio
            );
        }
        let _ = writeln!(
            table,
            "\nNo process of ours took more than {:.0} MiB over its idle state, of {MEMORY:.0} that it may.",
            self.memory.ceil()
        );
        table
    }
}

/// Puts the table of the last whole run into the README, and the picture where the README looks for it.
pub(crate) fn into_readme() -> ExitCode {
    let json = folder().join(JSON);
    let Ok(text) = std::fs::read_to_string(&json) else {
        eprintln!("{} is not there: run make bench first", json.display());
        return ExitCode::FAILURE;
    };
    let results: Results = serde_json::from_str(&text).expect("this program wrote it");
    let readme = root().join("README.md");
    let page = std::fs::read_to_string(&readme).expect("there is a README");
    let Some((before, rest)) = page.split_once(BEGIN) else { panic!("the README has no line {BEGIN}") };
    let Some((_, after)) = rest.split_once(END) else { panic!("the README has no line {END}") };
    let page = format!(
        "{before}{BEGIN}{}\n![Codes per second over callers]({PICTURE})\n{END}{after}",
        results.table()
    );
    std::fs::write(&readme, page).expect("a writable README");
    picture::draw(&results.curve, &root().join(PICTURE));
    ExitCode::SUCCESS
}

/// A number as a reader likes it: three digits that count, or thousands apart.
fn figure(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("bench")
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or("an unknown processor".into());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let gib = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0 / 1024.0;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{processor}, {cores} cores, {gib:.0} GiB")
}
