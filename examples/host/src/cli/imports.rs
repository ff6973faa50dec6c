//! Arguments of `import` and `jobs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Common, Format};

/// Import a file of codes into a campaign.
///
/// Of CSV the first column counts, and a first line that is just `code`, or the header of an export, is skipped; a line
/// of NDJSON is a text, or an object with a `code`. A file whose name ends with .gz is unpacked. Importing a file again
/// is safe: codes that are there keep their reservation and assignment. Rows that hold no valid code are listed on
/// standard error.
///
/// A file of the bucket (--bucket-key) is imported by the hosts, as a job that `jobs` shows and that outlives this
/// command. The exit code is 9 if rows were rejected, and 3 if there is no such file in the bucket.
#[derive(Args)]
#[command(after_help = IMPORT)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The file; - reads standard input.
    #[arg(required_unless_present = "bucket_key", conflicts_with = "bucket_key")]
    pub(crate) file: Option<PathBuf>,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(
        long = "type",
        value_name = "TYPE",
        required_unless_present = "bucket_key",
        conflicts_with = "bucket_key"
    )]
    pub(crate) code_type: Option<String>,
    /// How the file is written; without it as its name says, else CSV.
    #[arg(long, conflicts_with = "bucket_key")]
    pub(crate) format: Option<Format>,
    /// Write the rejected rows to this file, as CSV: row,reason. At most the first 1,000 of a file that is not of the
    /// bucket.
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    pub(crate) rejected: Option<PathBuf>,
    /// The file of the bucket: codes/{campaign}/{type}/{file}.
    #[arg(long, value_name = "KEY")]
    pub(crate) bucket_key: Option<String>,
    /// With --bucket-key: only say what the import would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --bucket-key: print the id of the job, and do not wait for its end.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

const IMPORT: &str = "\
Examples:
  code-service-host import codes.csv --campaign summer --type tm
  code-service-host import --campaign summer --bucket-key codes/summer/tm/codes.csv --no-wait";

/// Look after imports and exports of the bucket, which hosts run.
#[derive(Args)]
#[command(after_help = "\
Example:
  code-service-host jobs list --campaign summer")]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) job: Job,
}

#[derive(Subcommand)]
pub(crate) enum Job {
    /// List the imports and exports of a campaign, the newest first.
    List(Common),
    /// Show a job as it stands.
    ///
    /// The exit code is 0 in whatever state it is, and 3 if the campaign has no such job.
    Show(OfJob),
    /// Follow a job until it ends.
    ///
    /// The exit code is 1 if it fails or is cancelled, 3 if there is no such job, or no such file in the bucket, and 9 if
    /// rows were rejected. Ctrl-C ends only the following, with 130.
    Follow(OfJob),
    /// Cancel a job; what an import has saved stays saved.
    ///
    /// One that has ended stays as it is. The exit code is 3 if the campaign has no such job.
    Cancel(OfJob),
    /// Remove the codes that an import has inserted, and follow that.
    ///
    /// Nothing is removed if one of them is reserved or assigned. The exit code is 1 if it is not undone, and 3 if the
    /// campaign has no such import.
    Undo(OfJob),
    /// Print all rows that an import has rejected, as CSV: row,reason.
    ///
    /// The exit code is 0 also if there are some, and 3 if the campaign has no such import.
    Rejected(OfJob),
}

#[derive(Args)]
pub(crate) struct OfJob {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The id of the job.
    pub(crate) id: String,
}
