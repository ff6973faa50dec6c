//! What probes and Prometheus ask; not in the envelope.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::App;

/// Says that the process answers; a failover of the database must not restart every pod.
pub(super) async fn heartbeat() -> &'static str {
    "OK"
}

/// The metrics in Prometheus' text format.
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
