//! `serve`: the HTTP service, from its checks at the start to its last request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use code_service::CodeService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::{Signer, Verifier};
use crate::bucket::ScoringBucket;
use crate::cli::Serve;
use crate::config::{Config, Environment};
use crate::routes::App;
use crate::{http, logs, metrics};

/// How long requests may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(25);

pub(crate) async fn run(environment: Environment, config: Config, options: Serve) -> Result<(), String> {
    logs::init(&config.log)?;
    // Before anything can be seen of this process: who asks it to stop early must be heard.
    let asked_to_stop = asked_to_stop();
    let started = start(environment, &config, &options).await;
    if let Err(message) = &started {
        // The line on standard error is for people; this one is for whoever reads only the log.
        tracing::error!(target: "code_service_host::serve", "not started: {message}");
    }
    let (listener, router) = started?;
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        asked_to_stop.await;
        tracing::info!(target: "code_service_host::serve", "stopping");
        let _ = stop.send(());
    });
    tokio::select! {
        ended = async { server.await } => ended.map_err(|e| format!("the server failed: {e}"))?,
        () = async { let _ = stopping.await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!(target: "code_service_host::serve", "stopped with requests still running");
        }
    }
    Ok(())
}

async fn start(
    environment: Environment,
    config: &Config,
    options: &Serve,
) -> Result<(TcpListener, axum::Router), String> {
    let verifier = Verifier::new(&config.jwt)?;
    let signer = Signer::new(&config.jwt)?;
    let bucket = ScoringBucket::open(&config.aws.clients.scoring_bucket)?;
    let ignored = config.mongo.ignored();
    if !ignored.is_empty() {
        tracing::warn!(target: "code_service_host::serve", keys = ?ignored, "keys of titan.mongo.options that mean nothing here");
    }
    let service = super::connect(config).await?;
    if let Err(problems) = check_indexes(&service).await {
        if !options.unsafe_skip_index_check {
            return Err(problems);
        }
        tracing::warn!(target: "code_service_host::serve", "--unsafe-skip-index-check: {problems}");
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.service.port));
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("port {}: {e}", config.service.port))?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    let app = App {
        service,
        verifier,
        signer,
        bucket,
        metrics: metrics::init()?,
        config: Arc::new(config.clone()),
    };
    tracing::info!(target: "code_service_host::serve", port, environment = environment.name(), "listening");
    Ok((listener, http::router(app)))
}

async fn check_indexes(service: &CodeService) -> Result<(), String> {
    let problems = service.verify_indexes().await.map_err(|e| super::sentence(&e))?;
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(format!("{}; `code-service-host create-indexes` creates what is missing", problems.join("; ")))
}

/// Listens to SIGTERM and SIGINT from now on; ends with the first.
fn asked_to_stop() -> impl Future<Output = ()> {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
