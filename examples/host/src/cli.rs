//! The command line: what a stranger reads with `--help`.

mod codes;
mod imports;
mod upkeep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use code_service::{CampaignId, Error, ReserveId};

use crate::commands::Exit;

pub(crate) use codes::{Codes, Count, Export, Find, Format, Recover, Reserve, Settle, Spans};
pub(crate) use imports::{Import, Job, Jobs};
pub(crate) use upkeep::{Check, Generate};

const CONFIGURATION: &str = "\
Configuration:
  NODE_ENV chooses one of the built-in files: local-dev (without it), docker, dev, qa, preprod, prod.
  Every key can be set by environment: TITAN_ + its levels joined by __, words by _:
    TITAN_MONGO__URI                  MongoDB connection string of a replica set, with the database in its path
    TITAN_SERVICE__PORT               port of `serve` (8080; 0 takes a free one)
    TITAN_JWT__PUBLIC_KEY             RSA public key (PEM) that tokens are checked with
    TITAN_JWT__PRIVATE_KEY            RSA private key (PEM) for `token`; refused in prod
    TITAN_CODES__RESERVATION_TTL      how long a reservation lasts (24h)
    TITAN_LOG__LEVEL                  error, warn, info, debug or trace
  Secrets can be in files: TITAN_MONGO__URI_FILE=/run/secrets/uri

Through a running host:
  With --url, or CODE_SERVICE_URL, a command asks that host and needs no configuration and no database, but the
  token of a supreme user: in CODE_SERVICE_TOKEN, or in the file that --token-file names. An empty CODE_SERVICE_URL is
  none. `check` and `generate` need the database: they ask no host.

Output:
  What was asked for goes to standard output, for programs with --json; everything else to standard error.
";
const SEE: &str = "`code-service-host --help` says how it is configured.";

fn after_help() -> String {
    format!("{CONFIGURATION}\n{}", Exit::help())
}

/// The code-service: hands out unique codes over HTTP, kept in MongoDB.
#[derive(Parser)]
#[command(version, after_help = after_help(), arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Folder with default.yaml and a file per environment, instead of the built-in ones.
    #[arg(long, global = true, env = "NODE_CONFIG_DIR", hide_env_values = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the HTTP service until SIGTERM or Ctrl-C.
    ///
    /// Refuses to start if the database cannot be reached, is no replica set or lacks an index.
    #[command(after_help = SEE)]
    Serve(Serve),
    /// Create the database indexes that are missing; run it before `serve` is deployed.
    ///
    /// On a collection with millions of codes this takes minutes. Indexes that are there are left alone.
    #[command(after_help = SEE)]
    CreateIndexes,
    /// Print the configuration as it is in effect, as JSON and without its secrets.
    #[command(after_help = SEE)]
    Config,
    /// Print a token signed with the configured private key, for development.
    ///
    /// Example: curl -H "Authorization: Bearer $(code-service-host token)" localhost:8080/dev/supremes
    #[command(after_help = SEE)]
    Token(Token),
    Import(Import),
    Jobs(Jobs),
    Export(Export),
    Count(Count),
    Find(Find),
    Reserve(Reserve),
    /// Assign codes for good.
    ///
    /// Codes that are assigned already are not counted as updated. With --reserve-id only codes that are held under it
    /// are assigned; the others are listed, and the exit code is 5. Without it the exit code is 9 if fewer are updated
    /// than were named. The call can be repeated; under an id its exit code is the same then.
    #[command(after_help = "\
Examples:
  code-service-host assign --campaign summer --reserve-id order-4711 --codes-file codes.txt
  code-service-host export --campaign summer --reserve-id order-4711 --format csv |
    code-service-host assign --campaign summer --reserve-id order-4711 --codes-file -")]
    Assign(Settle),
    /// Release reserved codes into the pool.
    ///
    /// Codes that are available or assigned stay as they are. With --reserve-id only codes that are held under it are
    /// released; the others are listed, and the exit code is 5. Without it the exit code is 9 if fewer are updated than
    /// were named.
    #[command(after_help = "\
Examples:
  code-service-host release --campaign summer --codes-file codes.txt
  code-service-host release --campaign summer --reserve-id order-4711 A1 B2")]
    Release(Settle),
    Recover(Recover),
    Check(Check),
    Generate(Generate),
    /// Print what a shell needs to complete commands and arguments.
    #[command(after_help = "\
Example, for bash:
  code-service-host completions bash > ~/.local/share/bash-completion/completions/code-service-host")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = "\
Example:
  code-service-host man > code-service-host.1")]
    Man,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Start although indexes are missing or different, for a look at somebody else's database.
    ///
    /// What needs a missing index is slow or fails, so codes that dead attempts hold may not come back before they
    /// expire. No code goes to two callers all the same.
    #[arg(long)]
    pub(crate) unsafe_skip_index_check: bool,
}

#[derive(Args)]
pub(crate) struct Token {
    /// The user that the token is for.
    #[arg(long, default_value = "developer", value_name = "ID")]
    pub(crate) user_id: String,
    /// Make a token of a user who is not supreme and may call little but /dev/auth.
    #[arg(long)]
    pub(crate) not_supreme: bool,
    /// How many seconds the token is good for.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) expires_in: u64,
}

/// What commands about the codes of a campaign share.
#[derive(Args)]
pub(crate) struct Common {
    /// The campaign that owns the codes.
    #[arg(long, value_parser = campaign)]
    pub(crate) campaign: CampaignId,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) through: Through,
}

/// Whom to ask: the configured database, or a running host.
#[derive(Args)]
pub(crate) struct Through {
    /// Ask the host at this address, and not the database; without it CODE_SERVICE_URL is the address, if it is set.
    // Parsed later: clap's own words about a wrong one would repeat it, and it may hold a password.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file with the token for the host; without it CODE_SERVICE_TOKEN is the token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

fn campaign(text: &str) -> Result<CampaignId, Error> {
    CampaignId::parse(text)
}

fn reserve_id(text: &str) -> Result<ReserveId, Error> {
    ReserveId::parse(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
