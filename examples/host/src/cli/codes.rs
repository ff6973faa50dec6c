//! Arguments of commands about codes.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use code_service::{MAX_RESERVE, ReserveId, Status};

use super::{Common, reserve_id};

/// Print how many codes of a campaign are available, reserved and assigned.
#[derive(Args)]
#[command(after_help = COUNT)]
pub(crate) struct Count {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: String,
    /// Print only the number of this status.
    #[arg(long, value_parser = status())]
    pub(crate) status: Option<Status>,
}

const COUNT: &str = "\
Examples:
  code-service-host count --campaign summer --type tm
  code-service-host count --campaign summer --type tm --status available";

/// Look codes up: the status, dates and reserveId of each.
///
/// The exit code is 3 if the campaign lacks one of them.
#[derive(Args)]
#[command(after_help = FIND)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) codes: Codes,
}

const FIND: &str = "\
Examples:
  code-service-host find --campaign summer A1
  code-service-host find --campaign summer --json --codes-file codes.txt";

/// Reserve codes, and print them one a line.
///
/// The call can be repeated: the same --reserve-id has the same codes until they expire. Without one an id is made and
/// told on standard error before codes are asked for. The exit code is 4 if there are not enough codes; nothing is held
/// then. It is 7 if nobody knows whether codes are held: `recover` tells.
#[derive(Args)]
#[command(after_help = RESERVE)]
pub(crate) struct Reserve {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: String,
    /// How many codes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RESERVE)))]
    pub(crate) count: u32,
    /// Take fewer when fewer are available, but at least one.
    #[arg(long)]
    pub(crate) partial: bool,
    /// The name of the reservation.
    #[arg(long, value_name = "ID", value_parser = reserve_id)]
    pub(crate) reserve_id: Option<ReserveId>,
}

const RESERVE: &str = "\
Example:
  code-service-host reserve --campaign summer --type tm --count 2 --reserve-id order-4711";

#[derive(Args)]
pub(crate) struct Settle {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only codes that are held under this reservation.
    #[arg(long, value_name = "ID", value_parser = reserve_id)]
    pub(crate) reserve_id: Option<ReserveId>,
    #[command(flatten)]
    pub(crate) codes: Codes,
}

/// Find out what became of a reserve, and print its codes with their status.
///
/// Waits for a reserve that is at work under the id, and gives back what one that has died has left. What it says stays
/// so. The exit code is 3 if nothing is held.
#[derive(Args)]
#[command(after_help = RECOVER)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The name of the reservation.
    #[arg(value_name = "ID", value_parser = reserve_id)]
    pub(crate) reserve_id: ReserveId,
}

const RECOVER: &str = "\
Example:
  code-service-host recover --campaign summer order-4711";

/// Codes that the caller names.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Codes {
    /// The codes. Whoever may list processes sees them, and the shell keeps them: --codes-file does not show them.
    #[arg(value_name = "CODE")]
    pub(crate) codes: Vec<String>,
    /// File of CSV with a code in the first column of each line, or of NDJSON if its name ends with .ndjson or .jsonl;
    /// - reads CSV from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) codes_file: Option<PathBuf>,
}

/// Export the codes of a campaign, in the order of their bytes, with all that is known of each.
///
/// A file is written as FILE.part until it is whole, and packed if its name ends with .gz. Codes that change meanwhile
/// show what they were before or after that; none comes twice or is missing. Two exports cannot write one file at once.
///
/// With --to-bucket a host writes the file into the bucket, as a job that `jobs` shows and that outlives this command.
#[derive(Args)]
#[command(after_help = EXPORT)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The file to write; without it, or as -, standard output.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How to write it; without it as the file's name says, else NDJSON.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Go on where an export to the same file, with the same filters, was cut off.
    #[arg(long = "continue", requires = "file", conflicts_with = "after")]
    pub(crate) go_on: bool,
    /// Have a host write the file, as exports/{campaign}/{id} in the bucket.
    #[arg(long, conflicts_with_all = ["file", "go_on"])]
    pub(crate) to_bucket: bool,
    /// With --to-bucket: print the id of the job, and do not wait for its end.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Only codes of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: Option<String>,
    /// Only codes of this status.
    #[arg(long, value_parser = status())]
    pub(crate) status: Option<Status>,
    /// Only codes that were last reserved under this id.
    #[arg(long, value_name = "ID", value_parser = reserve_id)]
    pub(crate) reserve_id: Option<ReserveId>,
    /// Only codes behind this one.
    // Parsed later: clap's own words about a wrong one would repeat it.
    #[arg(long, value_name = "CODE")]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) spans: Spans,
}

const EXPORT: &str = "\
Examples:
  code-service-host export --campaign summer --type tm summer.csv
  code-service-host export --campaign summer --status assigned --assigned-since 2026-11-22T10:00:00Z | head";

/// When something happened: since a moment, and before another.
#[derive(Args, Clone)]
#[command(next_help_heading = "Dates, such as 2026-11-22T10:00:00Z")]
pub(crate) struct Spans {
    /// Only codes that were last saved then or later.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) saved_since: Option<SystemTime>,
    /// Only codes that were last saved earlier.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) saved_before: Option<SystemTime>,
    /// Only codes that were last reserved then or later.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) reserved_since: Option<SystemTime>,
    /// Only codes that were last reserved earlier.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) reserved_before: Option<SystemTime>,
    /// Only codes that were assigned then or later.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) assigned_since: Option<SystemTime>,
    /// Only codes that were assigned earlier.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) assigned_before: Option<SystemTime>,
}

impl Spans {
    /// Whether every date is in them.
    pub(crate) fn are_open(&self) -> bool {
        let Spans {
            saved_since,
            saved_before,
            reserved_since,
            reserved_before,
            assigned_since,
            assigned_before,
        } = self;
        [saved_since, saved_before, reserved_since, reserved_before, assigned_since, assigned_before]
            .into_iter()
            .all(Option::is_none)
    }
}

/// How codes are written in a file.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object a line.
    Ndjson,
    /// A header, and a line for each code.
    Csv,
}

/// The status by its name; completions know all of them.
fn status() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .map(|name| Status::parse(&name).expect("one of the three"))
}

fn date(text: &str) -> Result<SystemTime, &'static str> {
    let date: jiff::Timestamp = text.parse().map_err(|_| "is no date like 2026-11-22T10:00:00Z")?;
    Ok(date.into())
}
