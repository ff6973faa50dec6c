//! Metrics as the deployed dashboards know them, in Prometheus' text format.
//!
//! Labels are route templates, never paths: a campaign or a code must not become a label, and the number of
//! label combinations stays below 70. That is why the development routes share one template, why a request
//! that no route takes has the method `other`, and why probes and scrapes are not counted.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const COUNT: &str = "http_request_count";
const DURATION: &str = "http_response_duration_seconds";
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often observations are moved into their buckets, so that they do not pile up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What `/metrics` shows.
#[derive(Clone)]
pub(crate) struct Metrics {
    prometheus: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Begins to record; once in a process.
pub(crate) fn init() -> Result<Metrics, String> {
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION.to_owned()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| format!("metrics cannot be recorded: {e}"))?;
    metrics::describe_counter!(COUNT, "Requests answered, by route, method and status.");
    metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, "Time from a request to its reply.");
    let process = metrics_process::Collector::default();
    process.describe();
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Metrics { prometheus, process })
}

impl Metrics {
    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        self.prometheus.render()
    }
}

/// Records a reply. `route` is the template as the router knows it; None if no route took the request.
pub(crate) fn record(route: Option<&str>, method: &Method, status: StatusCode, since: Instant) {
    let (path, method) = match route {
        Some(route) if status != StatusCode::METHOD_NOT_ALLOWED => (template(route), known(method)),
        _ => ("unmatched".to_owned(), "other"),
    };
    if ["/heartbeat", "/metrics"].contains(&path.as_str()) {
        return;
    }
    let labels = [("path", path), ("method", method.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!(COUNT, &labels).increment(1);
    metrics::histogram!(DURATION, &labels).record(since.elapsed());
}

/// `/v1/{campaignId}/codes` as dashboards know it: `/:campaignId/codes`.
pub(crate) fn template(route: &str) -> String {
    let route = route.strip_prefix("/v1").unwrap_or(route);
    if route.starts_with("/dev/") {
        return "/dev/:endpoint".to_owned();
    }
    route.replace('{', ":").replace('}', "")
}

fn known(method: &Method) -> &'static str {
    match *method {
        // A HEAD is a GET whose body stays behind.
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_template_of_the_deployed_service() {
        assert_eq!(template("/{campaignId}/codes/count"), "/:campaignId/codes/count");
        assert_eq!(template("/v1/{campaignId}/reserve"), "/:campaignId/reserve");
        assert_eq!(template("/dev/auth"), "/dev/:endpoint");
    }
}
