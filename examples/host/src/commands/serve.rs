//! `serve`: the HTTP service, from its checks at the start to its last request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use code_service::CodeService;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::auth::{Signer, Verifier};
use crate::bucket::ScoringBucket;
use crate::cli::Serve;
use crate::config::{Config, Environment, Source};
use crate::outgoing::Outgoing;
use crate::routes::{Parts, Readiness, export};
use crate::server::{self, Limits};
use crate::traces::Traces;
use crate::watch::Watched;
use crate::{config, http, jobs, logs, metrics, watch};

/// How long work may go on that nobody waits for when the host ends.
const LAST_WORK: Duration = Duration::from_secs(3);

pub(crate) async fn run(
    environment: Environment,
    config: Config,
    options: Serve,
    source: Source,
) -> Result<(), String> {
    let outgoing = Outgoing::new(Duration::from_millis(config.service.dns_cache_ttl));
    as_many_files_as_allowed();
    let traces = Traces::start(&config.tracing, environment, &outgoing)?;
    let logs = logs::init(&config.log, traces.tracer())?;
    // Before anything can be seen of this process: who asks it to stop early must be heard.
    let signals = Signals::listen();
    let (stopping, stop) = (CancellationToken::new(), CancellationToken::new());
    let delay = config.service.stop_delay;
    tokio::spawn(signals.obey(source, logs, stopping.clone(), stop.clone(), delay));
    let started = tokio::select! {
        started = start(environment, &config, &options, &outgoing, &stopping) => started,
        // Nobody has called yet.
        () = stopping.cancelled() => return Ok(()),
    };
    if let Err(message) = &started {
        // The line on standard error is for people; this one is for whoever reads only the log.
        tracing::error!(target: "code_service_host::serve", "not started: {message}");
    }
    let (listener, router, service, jobs) = started?;
    let limits = Limits {
        connections: config.service.max_connections,
        idle: config.service.idle_timeout,
        head: config.service.head_timeout,
        unread: config.service.body_timeout,
        drain: config.service.stop_timeout,
    };
    if !server::serve(listener, router, limits, stop).await {
        tracing::warn!(target: "code_service_host::serve", "stopped with requests still running");
    }
    // A job is another host's now, once it knows; and what callers who went away have left: codes that are given back.
    let last = async {
        if let Some(jobs) = jobs {
            let _ = jobs.await;
        }
        service.close().await;
    };
    if timeout(LAST_WORK, last).await.is_err() {
        tracing::warn!(target: "code_service_host::serve", "stopped while the database was still asked");
    }
    traces.end().await;
    Ok(())
}

async fn start(
    environment: Environment,
    config: &Config,
    options: &Serve,
    outgoing: &Outgoing,
    stopping: &CancellationToken,
) -> Result<Started, String> {
    let verifier = Verifier::new(&config.jwt)?;
    let signer = Signer::new(&config.jwt)?;
    let bucket = ScoringBucket::open(&config.aws.clients.scoring_bucket, &config.imports, outgoing)?;
    let ignored = config.mongo.ignored();
    if !ignored.is_empty() {
        tracing::warn!(target: "code_service_host::serve", keys = ?ignored, "keys of titan.mongo.options that mean nothing here");
    }
    // Before what is measured begins.
    let metrics = metrics::init(&config.metrics)?;
    let service = super::connect(config, Some(watch::observer())).await.map_err(|failure| failure.message)?;
    if let Err(problems) = check_indexes(&service).await {
        if !options.unsafe_skip_index_check {
            return Err(problems);
        }
        tracing::warn!(target: "code_service_host::serve", "--unsafe-skip-index-check: {problems}");
    }
    for pool in &config.metrics.pools {
        let watched = Watched::parse(pool)?;
        tokio::spawn(watched.count(service.clone(), config.metrics.pool_interval));
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.service.port));
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("port {}: {e}", config.service.port))?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    let jobs = (config.imports.run && bucket.is_there())
        .then(|| tokio::spawn(jobs::run(service.clone(), bucket.clone(), stopping.clone())));
    let parts = Parts {
        readiness: Readiness::new(service.clone(), stopping.clone()),
        service: service.clone(),
        verifier,
        signer,
        bucket,
        metrics,
        exports: Arc::new(Semaphore::new(export::MOST)),
        config: config.clone(),
    };
    tracing::info!(target: "code_service_host::serve", port, environment = environment.name(), "listening");
    Ok((listener, http::router(parts.into()), service, jobs))
}

/// What is there once the host is, with what runs jobs.
type Started = (TcpListener, axum::Router, CodeService, Option<JoinHandle<()>>);

async fn check_indexes(service: &CodeService) -> Result<(), String> {
    let problems = service.verify_indexes().await.map_err(|e| Failure::from(e).message)?;
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(format!("{}; `code-service-host create-indexes` creates what is missing", problems.join("; ")))
}

/// Every connection is an open file, and shells allow a thousand unless asked.
fn as_many_files_as_allowed() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Whoever may not is limited, as before.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What the outside says to the process.
struct Signals {
    stop: Stop,
    hang_up: Signal,
}

/// Either asks the process to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Signals {
    /// Listens from now on.
    fn listen() -> Self {
        let listen = |kind| signal(kind).expect("signals can be listened to");
        Signals {
            stop: Stop {
                terminate: listen(SignalKind::terminate()),
                interrupt: listen(SignalKind::interrupt()),
            },
            hang_up: listen(SignalKind::hangup()),
        }
    }

    /// SIGHUP: the level of the log is read again. SIGTERM and SIGINT: not ready any more, and then no new connections.
    /// A second of these ends the process at once.
    async fn obey(
        mut self,
        source: Source,
        logs: logs::Levels,
        stopping: CancellationToken,
        stop: CancellationToken,
        delay: Duration,
    ) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => reload(&source, &logs),
                () = self.stop.asked() => break,
            }
        }
        tracing::info!(target: "code_service_host::serve", "stopping");
        stopping.cancel();
        tokio::select! {
            () = tokio::time::sleep(delay) => stop.cancel(),
            () = self.stop.asked() => at_once(),
        }
        self.stop.asked().await;
        at_once();
    }
}

fn at_once() {
    tracing::warn!(target: "code_service_host::serve", "asked twice: stopped with requests still running");
    std::process::exit(1);
}

fn reload(source: &Source, logs: &logs::Levels) {
    let set = config::load(source).and_then(|(_, config)| {
        logs.set(&config.log.level)?;
        Ok(config.log.level)
    });
    match set {
        Ok(level) => {
            tracing::info!(target: "code_service_host::serve", levels = level, "the log's level was read again")
        }
        Err(message) => {
            tracing::error!(target: "code_service_host::serve", "the log's level stays as it is: {message}");
        }
    }
}
