//! The subcommands. One that is about codes is: arguments, a call to whom they name, and what it prints.

mod backend;
mod check;
mod codes;
mod complete;
mod count;
mod create_indexes;
mod exit;
mod export;
mod find;
mod generate;
mod import;
mod jobs;
mod output;
mod recover;
mod reserve;
mod serve;
mod settle;
mod token;

use std::sync::OnceLock;

use clap::CommandFactory;
use code_service::{CodeService, Observer, Options};

use crate::cli::{Cli, Command};
use crate::config::{self, Config, Environment, Source};

use backend::How;
pub(crate) use exit::{Exit, Failure};

/// The configuration, which is read when somebody needs it: whoever asks a host has none; and the database that it names.
pub(crate) struct Configuration {
    source: Source,
    service: OnceLock<CodeService>,
}

impl Configuration {
    pub(crate) fn load(&self) -> Result<(Environment, Config), String> {
        config::load(&self.source)
    }

    /// Connects to the database, until the command has ended.
    pub(crate) async fn connect(&self) -> Result<(CodeService, Config), Failure> {
        let (_, config) = self.load()?;
        let service = connect(&config, None).await?;
        Ok((self.service.get_or_init(|| service).clone(), config))
    }

    /// The driver takes leave of the database, and must have done it before its threads end.
    async fn disconnect(&self) {
        if let Some(service) = self.service.get() {
            service.close().await;
        }
    }
}

/// Runs the subcommand.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    // What is not UTF-8 is not ours to read.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let source = Source { folder: cli.config_dir, variables: variables.collect() };
    let configuration = Configuration { source, service: OnceLock::new() };
    let outcome = command(cli.command, &configuration).await;
    configuration.disconnect().await;
    outcome
}

async fn command(command: Command, configuration: &Configuration) -> Result<(), Failure> {
    match command {
        Command::Serve(options) => {
            let (environment, config) = configuration.load()?;
            Ok(serve::run(environment, config, options, configuration.source.clone()).await?)
        }
        Command::CreateIndexes => create_indexes::run(configuration).await,
        Command::Config => print(&configuration.load()?.1),
        Command::Token(arguments) => token::run(&configuration.load()?.1, &arguments),
        Command::Import(arguments) => import::run(configuration, arguments).await,
        Command::Jobs(arguments) => jobs::run(configuration, arguments).await,
        Command::Export(arguments) => export::run(configuration, arguments).await,
        Command::Count(arguments) => count::run(configuration, arguments).await,
        Command::Find(arguments) => find::run(configuration, arguments).await,
        Command::Reserve(arguments) => reserve::run(configuration, arguments).await,
        Command::Assign(arguments) => settle::run(configuration, How::Assign, arguments).await,
        Command::Release(arguments) => settle::run(configuration, How::Release, arguments).await,
        Command::Recover(arguments) => recover::run(configuration, arguments).await,
        Command::Check(arguments) => {
            warn_of_url("check");
            check::run(configuration, arguments).await
        }
        Command::Generate(arguments) => {
            warn_of_url("generate");
            generate::run(configuration, arguments).await
        }
        Command::Completions { shell } => complete::completions(Cli::command(), shell),
        Command::Man => complete::man(Cli::command()),
    }
}

fn print(config: &Config) -> Result<(), Failure> {
    let root = serde_json::json!({ "titan": config });
    output::line(format_args!("{root:#}"))
}

/// Whoever has named a host may believe that it is asked.
fn warn_of_url(command: &str) {
    if backend::url_of_environment().is_some() {
        eprintln!(
            "code-service-host: {command} asks the configured database, and not the host of CODE_SERVICE_URL"
        );
    }
}

/// Connects to the configured database, and has somebody told what happens.
async fn connect(config: &Config, observer: Option<Observer>) -> Result<CodeService, Failure> {
    let mut options = Options::new(config.mongo.connection_string()?);
    options.database = config.mongo.database();
    options.reservation_ttl = config.codes.reservation_ttl;
    options.observer = observer;
    Ok(CodeService::connect(options).await?)
}
