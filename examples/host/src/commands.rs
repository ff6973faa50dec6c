//! The subcommands. Each ends with a sentence for standard error if it fails.

mod count;
mod create_indexes;
mod import;
mod serve;
mod token;

use code_service::{CodeService, CodeType, Observer, Options};

use crate::cli::{Cli, Command};
use crate::config::{self, Config};

/// Reads the configuration and runs the subcommand.
pub(crate) async fn run(cli: Cli) -> Result<(), String> {
    // What is not UTF-8 is not ours to read.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let source = config::Source { folder: cli.config_dir, variables: variables.collect() };
    let (environment, config) = config::load(&source)?;
    match cli.command {
        Command::Serve(options) => serve::run(environment, config, options, source).await,
        Command::CreateIndexes => create_indexes::run(&config).await,
        Command::Config => print(&config),
        Command::Token(arguments) => token::run(&config, &arguments),
        Command::Import(arguments) => import::run(&config, &arguments).await,
        Command::Count(arguments) => count::run(&config, &arguments).await,
    }
}

fn print(config: &Config) -> Result<(), String> {
    let root = serde_json::json!({ "titan": config });
    println!("{root:#}");
    Ok(())
}

/// Connects to the configured database, and has somebody told what happens.
async fn connect(config: &Config, observer: Option<Observer>) -> Result<CodeService, String> {
    let mut options = Options::new(config.mongo.connection_string()?);
    options.database = config.mongo.database();
    options.reservation_ttl = config.codes.reservation_ttl;
    options.observer = observer;
    CodeService::connect(options).await.map_err(|e| sentence(&e))
}

/// An error with its cause, for a person at a terminal.
fn sentence(error: &code_service::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

/// The type, if it is one of the configured ones.
fn allowed_type(config: &Config, name: &str) -> Result<CodeType, String> {
    if !config.codes.types.iter().any(|allowed| allowed == name) {
        return Err(format!("the type {name:?} is none of {}", config.codes.types.join(", ")));
    }
    CodeType::parse(name).map_err(|e| e.to_string())
}
