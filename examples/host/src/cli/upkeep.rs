//! Arguments of `check` and `generate`, which work on the database itself.

use std::path::PathBuf;

use clap::Args;
use code_service::{CampaignId, Error, Pattern};

use super::campaign;

/// Check that what lies in the database is what the service writes, and can do no harm.
///
/// Reads everything once, while callers work. The exit code is 8 if anything is left that is more than information. It
/// asks the configured database, and no host.
#[derive(Args)]
#[command(after_help = CHECK)]
pub(crate) struct Check {
    /// Only this campaign; without it all, and what several campaigns share.
    #[arg(long, value_parser = campaign)]
    pub(crate) campaign: Option<CampaignId>,
    /// Mend what can be mended safely. What each repair does is told with the finding.
    #[arg(long)]
    pub(crate) repair: bool,
    /// How many examples to show of each kind.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) examples: usize,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const CHECK: &str = "\
Examples:
  code-service-host check
  code-service-host check --campaign summer --repair";

/// Generate codes into a campaign, and print them one a line, as CSV.
///
/// In a pattern # is a digit, and ? one of 20 letters and digits that are not mistaken for others and form no words. A
/// number in braces repeats the one before it, and a backslash takes the next character as it is; all else stands for
/// itself. Codes come from the system's generator for keys, and every one is new in the campaign. A pattern whose codes
/// could be guessed is refused before anything is written.
///
/// What is printed is saved. Should the command be cut off, `export --saved-since` has all that it has saved. How hard
/// the codes are to guess is counted before and after: others can save codes like these meanwhile. The command asks the
/// configured database, and no host.
#[derive(Args)]
#[command(after_help = GENERATE)]
pub(crate) struct Generate {
    /// The pattern, such as TM-????-????-####.
    #[arg(value_parser = pattern)]
    pub(crate) pattern: Pattern,
    /// The campaign that gets the codes.
    #[arg(long, value_parser = campaign)]
    pub(crate) campaign: CampaignId,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: String,
    /// How many codes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Add a character that shows when one is mistyped or two are swapped (ISO/IEC 7064 MOD 37-2).
    #[arg(long)]
    pub(crate) check_character: bool,
    /// The probability that one guess hits a code must not be higher: 1 in N.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) one_in: u64,
    /// The file to write; without it, standard output. One that is there is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON: what was generated, and how hard it is to guess; without --output the codes first, an object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

const GENERATE: &str = "\
Example:
  code-service-host generate 'TM-????-????-####' --campaign summer --type tm --count 1000 --output new.csv";

fn pattern(text: &str) -> Result<Pattern, Error> {
    Pattern::parse(text)
}
