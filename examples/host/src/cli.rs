//! The command line: what a stranger reads with `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
  Secrets can be in files: TITAN_MONGO__URI_FILE=/run/secrets/uri";
const SEE: &str = "`code-service-host --help` says how it is configured.";

/// The code-service: hands out unique codes over HTTP, kept in MongoDB.
#[derive(Debug, Parser)]
#[command(version, after_help = CONFIGURATION, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Folder with default.yaml and a file per environment, instead of the built-in ones.
    #[arg(long, global = true, env = "NODE_CONFIG_DIR", hide_env_values = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
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
    /// Import a CSV file of codes into a campaign.
    ///
    /// Only the first column counts; a first line that is just `code` is skipped. Importing a file again is
    /// safe: codes that are there keep their reservation and assignment. Rows that hold no valid code are
    /// listed on standard error.
    #[command(after_help = SEE)]
    Import(Import),
    /// Print how many codes of a campaign are available, reserved and assigned.
    #[command(after_help = SEE)]
    Count(Count),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Start although indexes are missing or different, for a look at somebody else's database.
    ///
    /// What needs a missing index is slow or fails, so codes that dead attempts hold may not come back before they
    /// expire. No code goes to two callers all the same.
    #[arg(long)]
    pub(crate) unsafe_skip_index_check: bool,
}

#[derive(Debug, Args)]
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

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The CSV file; - reads standard input.
    pub(crate) file: PathBuf,
    /// The campaign that owns the codes.
    #[arg(long)]
    pub(crate) campaign: String,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: String,
}

#[derive(Debug, Args)]
pub(crate) struct Count {
    /// The campaign that owns the codes.
    #[arg(long)]
    pub(crate) campaign: String,
    /// The type of the codes: tm or external, unless configured otherwise.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) code_type: String,
    /// Print only this one: available, reserved or assigned.
    #[arg(long)]
    pub(crate) status: Option<String>,
}
