//! What the core does, as metrics and spans.

use std::time::{Duration, Instant};

use code_service::{CampaignId, CodeService, CodeType, Event, Observer};
use metrics::{Unit, counter, gauge, histogram};

use crate::{metrics as names, traces};

const CODES: &str = "code_service_codes_total";
const SHORT: &str = "code_service_short_answers_total";
const CONFLICTS: &str = "code_service_claim_conflicts_total";
const READ_BACKS: &str = "code_service_claim_read_backs_total";
const BATCH_CODES: &str = "code_service_claim_batch_codes";
const BATCH_CALLERS: &str = "code_service_claim_batch_callers";
const WINDOW: &str = "code_service_pool_window_codes";
const COMMAND: &str = "mongodb_command_duration_seconds";
const CONNECTIONS: &str = "mongodb_connections";
const IN_USE: &str = "mongodb_connections_in_use";
const WAIT: &str = "mongodb_connection_wait_seconds";
const REFUSED: &str = "mongodb_connections_refused_total";
const AVAILABLE: &str = "code_service_available_codes";
const EMPTY_IN: &str = "code_service_pool_empty_in_seconds";

/// Histograms, with the upper ends of their buckets.
pub(crate) const BUCKETS: [(&str, &[f64]); 5] = [
    (BATCH_CODES, &SIZES),
    (BATCH_CALLERS, &SIZES),
    (WINDOW, &[0.0, 256.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0]),
    (COMMAND, &names::SECONDS),
    (WAIT, &names::SECONDS),
];
const SIZES: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1_000.0];

/// What the metrics mean, and those that count from zero.
pub(crate) fn describe() {
    metrics::describe_counter!(CODES, "Codes that were inserted, updated, reserved, assigned and released.");
    metrics::describe_counter!(SHORT, "Reserves that got fewer codes than they asked for.");
    metrics::describe_counter!(CONFLICTS, "Candidates that another process had first.");
    metrics::describe_counter!(
        READ_BACKS,
        "Batches that were looked up: they won a part, or their reply was lost."
    );
    metrics::describe_histogram!(BATCH_CODES, "Codes of a batch of claims.");
    metrics::describe_histogram!(BATCH_CALLERS, "Callers that a batch of claims served.");
    metrics::describe_histogram!(WINDOW, "Candidates that a pool had ahead after some were fetched.");
    metrics::describe_histogram!(COMMAND, Unit::Seconds, "Time from a command to the database's answer.");
    metrics::describe_gauge!(CONNECTIONS, "Open connections to the database.");
    metrics::describe_gauge!(IN_USE, "Connections that a command has.");
    metrics::describe_histogram!(WAIT, Unit::Seconds, "Time that a command waited for a connection.");
    metrics::describe_counter!(REFUSED, "Commands for which no connection could be had.");
    metrics::describe_gauge!(AVAILABLE, "Available codes of the pools in titan.metrics.pools.");
    metrics::describe_gauge!(EMPTY_IN, Unit::Seconds, "How long they last if they go as they went.");
    for operation in ["inserted", "updated", "reserved", "assigned", "released"] {
        counter!(CODES, "operation" => operation).absolute(0);
    }
    for name in [SHORT, CONFLICTS, READ_BACKS, REFUSED] {
        counter!(name).absolute(0);
    }
}

/// Makes metrics and spans of what the core tells.
pub(crate) fn observer() -> Observer {
    Observer::new(|event| match *event {
        Event::Reserved { asked, got } => {
            codes("reserved", got);
            if got < asked {
                counter!(SHORT).increment(1);
            }
        }
        Event::Assigned(number) => codes("assigned", number),
        Event::Released(number) => codes("released", number),
        Event::Saved { inserted, updated } => {
            codes("inserted", inserted);
            codes("updated", updated);
        }
        Event::Fetched { candidates: 1.., window } => histogram!(WINDOW).record(float(window)),
        Event::Batch { callers, codes, won } => {
            histogram!(BATCH_CALLERS).record(float(callers));
            histogram!(BATCH_CODES).record(float(codes));
            counter!(CONFLICTS).increment((codes - won) as u64);
        }
        Event::ReadBack => counter!(READ_BACKS).increment(1),
        Event::Command { name, duration, succeeded } => {
            let outcome = if succeeded { "ok" } else { "failed" };
            histogram!(COMMAND, "command" => name.to_owned(), "outcome" => outcome).record(duration);
            traces::command(name, duration, succeeded);
        }
        Event::ConnectionOpened => gauge!(CONNECTIONS).increment(1.0),
        Event::ConnectionClosed => gauge!(CONNECTIONS).decrement(1.0),
        Event::ConnectionTaken(wait) => {
            gauge!(IN_USE).increment(1.0);
            histogram!(WAIT).record(wait);
        }
        Event::ConnectionReturned => gauge!(IN_USE).decrement(1.0),
        Event::ConnectionRefused => counter!(REFUSED).increment(1),
        _ => {}
    })
}

fn codes(operation: &'static str, number: u64) {
    counter!(CODES, "operation" => operation).increment(number);
}

/// Sizes here are thousands.
fn float(size: usize) -> f64 {
    u32::try_from(size).map_or(f64::MAX, f64::from)
}

/// A pool whose codes are counted, because somebody has asked for that.
pub(crate) struct Watched {
    campaign: CampaignId,
    code_type: CodeType,
}

impl Watched {
    /// `campaign/type`; an error is a sentence that names the key of the configuration.
    pub(crate) fn parse(pool: &str) -> Result<Self, String> {
        let wrong = || format!("titan.metrics.pools: {pool:?} must be a campaign and a type: summer/tm");
        let (campaign, code_type) = pool.rsplit_once('/').ok_or_else(wrong)?;
        Ok(Watched {
            campaign: CampaignId::parse(campaign).map_err(|_| wrong())?,
            code_type: CodeType::parse(code_type).map_err(|_| wrong())?,
        })
    }

    /// Counts now and then, for as long as the process lives.
    pub(crate) async fn count(self, service: CodeService, interval: Duration) {
        let labels =
            [("campaign", self.campaign.as_str().to_owned()), ("type", self.code_type.as_str().to_owned())];
        let mut before: Option<(Instant, u64)> = None;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // While the database is away the last count stays, and other metrics tell why.
            let Ok(counts) = service.count(&self.campaign, &self.code_type).await else { continue };
            gauge!(AVAILABLE, &labels).set(counts.available as f64);
            if let Some((then, before)) = before.replace((Instant::now(), counts.available)) {
                let gone = before.saturating_sub(counts.available) as f64;
                let empty_in = match counts.available {
                    0 => 0.0,
                    // Without end if none went.
                    available => available as f64 * then.elapsed().as_secs_f64() / gone,
                };
                gauge!(EMPTY_IN, &labels).set(empty_in);
            }
        }
    }
}
