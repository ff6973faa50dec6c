//! Metrics as the deployed dashboards know them, in Prometheus' text format.
//!
//! Labels are route templates, never paths: a campaign or a code must not become a label, and the number of
//! label combinations stays below 70. That is why the development routes share one template, why a request
//! that no route takes has the method `other`, and why probes and scrapes are not counted. What has been met after
//! 68 combinations is counted as `other`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{config, watch};

const COUNT: &str = "http_request_count";
const DURATION: &str = "http_response_duration_seconds";
const IN_FLIGHT: &str = "http_requests_in_flight";
const SHED: &str = "http_requests_shed_total";
pub(crate) const REFUSED: &str = "http_connections_refused_total";
const ABANDONED: &str = "http_requests_abandoned_total";
pub(crate) const LOST_LINES: &str = "log_lines_lost_total";
/// Where lines go.
pub(crate) const CONSOLE: &str = "console";
pub(crate) const FILE: &str = "file";
pub(crate) const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often observations are moved into their buckets, so that they do not pile up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The path of a request that no route took.
pub(crate) const UNMATCHED: &str = "unmatched";
const OTHER: &str = "other";
/// So many combinations of labels have names, and one more has none.
const MOST_LABELS: usize = 68;

/// What `/metrics` shows.
#[derive(Clone)]
pub(crate) struct Metrics {
    prometheus: PrometheusHandle,
}

/// Begins to record; once in a process.
pub(crate) fn init(config: &config::Metrics) -> Result<Metrics, String> {
    let mut buckets = watch::BUCKETS.into_iter().chain([(DURATION, &SECONDS[..])]);
    let prometheus = buckets
        .try_fold(PrometheusBuilder::new(), |builder, (name, ends)| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), ends)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| format!("metrics cannot be recorded: {e}"))?;
    metrics::describe_counter!(COUNT, "Requests answered, by route, method and status.");
    metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, "Time from a request to its reply.");
    metrics::describe_gauge!(IN_FLIGHT, "Requests that are being answered, without probes and scrapes.");
    metrics::describe_counter!(SHED, "Requests answered 503 because too many were being answered.");
    metrics::describe_counter!(REFUSED, "Connections closed because there were too many.");
    metrics::describe_counter!(LOST_LINES, "Lines of the log that could not be written, by sink.");
    metrics::describe_counter!(ABANDONED, "Requests whose callers went away before they were answered.");
    for counter in [SHED, REFUSED, ABANDONED] {
        metrics::counter!(counter).absolute(0);
    }
    for sink in [CONSOLE, FILE] {
        metrics::counter!(LOST_LINES, "sink" => sink).absolute(0);
    }
    watch::describe();
    let process = metrics_process::Collector::default();
    process.describe();
    every(config.system_metric_interval(), move || process.collect());
    let upkeep = prometheus.clone();
    every(UPKEEP, move || upkeep.run_upkeep());
    Ok(Metrics { prometheus })
}

impl Metrics {
    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.prometheus.render()
    }
}

/// Does something now, and again and again.
fn every(interval: Duration, mut work: impl FnMut() + Send + 'static) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            work();
        }
    });
}

/// Records a reply. `route` is as the router knows it, None if no route took the request; `template` as dashboards do.
pub(crate) fn record(
    route: Option<&str>,
    template: &str,
    method: &Method,
    status: StatusCode,
    since: Instant,
) {
    static MET: Mutex<Vec<Answered>> = Mutex::new(Vec::new());
    let took = since.elapsed();
    if route.is_some_and(|route| is_a_probe(route) || is_documentation(route)) {
        return;
    }
    let (path, method) = match route {
        Some(_) if status != StatusCode::METHOD_NOT_ALLOWED => (template, known(method)),
        _ => (UNMATCHED, OTHER),
    };
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    let answered = within_limit(&mut met, path, method, status.as_u16());
    answered.count.increment(1);
    answered.duration.record(took);
}

/// Replies that have the same labels.
struct Answered {
    path: String,
    method: &'static str,
    /// None: whatever has none of its own.
    status: Option<u16>,
    count: Counter,
    duration: Histogram,
}

impl Answered {
    fn new(path: &str, method: &'static str, status: Option<u16>) -> Self {
        let text = status.map_or_else(|| OTHER.to_owned(), |status| status.to_string());
        let labels = [("path", path.to_owned()), ("method", method.to_owned()), ("status", text)];
        Answered {
            path: path.to_owned(),
            method,
            status,
            count: metrics::counter!(COUNT, &labels),
            duration: metrics::histogram!(DURATION, &labels),
        }
    }
}

/// Those that a reply belongs to; `other` once there are as many combinations as dashboards can bear.
fn within_limit<'a>(
    met: &'a mut Vec<Answered>,
    path: &str,
    method: &'static str,
    status: u16,
) -> &'a Answered {
    let place = |met: &[Answered], path: &str, method: &str, status: Option<u16>| {
        met.iter().position(|known| known.status == status && known.method == method && known.path == path)
    };
    let known = place(met, path, method, Some(status));
    let (path, method, status) = if known.is_some() || met.len() < MOST_LABELS {
        (path, method, Some(status))
    } else {
        (OTHER, OTHER, None)
    };
    let known = known.or_else(|| place(met, path, method, status)).unwrap_or(met.len());
    if known == met.len() {
        met.push(Answered::new(path, method, status));
    }
    &met[known]
}

/// A caller went away before it was answered.
pub(crate) fn abandoned() {
    metrics::counter!(ABANDONED).increment(1);
}

/// A request was answered that there is no place for it.
pub(crate) fn shed() {
    metrics::counter!(SHED).increment(1);
}

/// A request that is being answered, until it is dropped.
pub(crate) struct InFlight;

impl InFlight {
    pub(crate) fn begin() -> Self {
        metrics::gauge!(IN_FLIGHT).increment(1.0);
        InFlight
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!(IN_FLIGHT).decrement(1.0);
    }
}

/// Whether a route is for probes and scrapes.
pub(crate) fn is_a_probe(route: &str) -> bool {
    ["/heartbeat", "/ready", "/metrics"].contains(&route.strip_prefix("/v1").unwrap_or(route))
}

/// Whether a route describes the others.
fn is_documentation(route: &str) -> bool {
    ["/openapi.json", "/docs"].contains(&route) || route.starts_with("/docs/")
}

/// `/v1/{campaignId}/codes` as dashboards know it: `/:campaignId/codes`.
pub(crate) fn template(route: &str) -> String {
    let route = route.strip_prefix("/v1").unwrap_or(route);
    if route.starts_with("/dev/") {
        return "/dev/:endpoint".to_owned();
    }
    route.replace('{', ":").replace('}', "")
}

/// The methods of the routes; a caller may invent any other.
pub(crate) fn known(method: &Method) -> &'static str {
    match *method {
        // A HEAD is a GET whose body stays behind.
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_combinations_of_labels_than_dashboards_bear() {
        let mut met = Vec::new();
        let mut labels = |status| {
            let known = within_limit(&mut met, "/some/path", "GET", status);
            (known.path.clone(), known.method, known.status)
        };
        let other = ("other".to_owned(), "other", None);
        let others = (200..400).filter(|status| labels(*status) == other).count();
        assert_eq!(others, 200 - MOST_LABELS);
        // Whoever was there stays.
        assert_eq!(labels(200), ("/some/path".to_owned(), "GET", Some(200)));
        assert_eq!(met.len(), MOST_LABELS + 1);
    }

    #[test]
    fn a_label_is_the_template_of_the_deployed_service() {
        assert_eq!(template("/{campaignId}/codes/count"), "/:campaignId/codes/count");
        assert_eq!(template("/v1/{campaignId}/reserve"), "/:campaignId/reserve");
        assert_eq!(template("/dev/auth"), "/dev/:endpoint");
    }
}
