//! What probes and Prometheus ask; not in the envelope.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use code_service::CodeService;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::App;

/// How long what the database has said is good for, and how long it may take to say it.
const GOOD_FOR: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether requests may come.
pub(crate) struct Readiness {
    service: CodeService,
    stopping: CancellationToken,
    /// Asked by one at a time, however many want to know.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(crate) fn new(service: CodeService, stopping: CancellationToken) -> Self {
        Readiness { service, stopping, asked: Mutex::default() }
    }

    async fn database_answers(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((when, answer)) = *asked
            && when.elapsed() < GOOD_FOR
        {
            return answer;
        }
        let answer = matches!(timeout(PATIENCE, self.service.ping()).await, Ok(Ok(())));
        *asked = Some((Instant::now(), answer));
        answer
    }
}

#[utoipa::path(
    get,
    path = "/heartbeat",
    tag = "platform",
    operation_id = "heartbeat",
    responses((status = 200, description = "The process answers", body = String, content_type = "text/plain"))
)]
/// Says that the process answers; a failover of the database must not restart every pod.
pub(super) async fn heartbeat() -> &'static str {
    "OK"
}

#[utoipa::path(
    get,
    path = "/ready",
    tag = "platform",
    operation_id = "ready",
    responses(
        (status = 200, description = "Requests may come", body = String, content_type = "text/plain"),
        (status = 503, description = "The host stops, or the database does not answer", body = String, content_type = "text/plain")
    )
)]
/// Says whether requests should come here: not while the host stops or its database has no primary.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.readiness.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    if app.readiness.database_answers().await {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
    }
}

#[utoipa::path(
    get,
    path = "/metrics",
    tag = "platform",
    operation_id = "metrics",
    responses((status = 200, description = "Metrics of this process", body = String, content_type = "text/plain"))
)]
/// The metrics in Prometheus' text format.
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
