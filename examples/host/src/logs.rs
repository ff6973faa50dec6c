//! Logs: one JSON object per line, on the console and in a file.
//!
//! `@timestamp` (RFC 3339, milliseconds, Z), `level` in lower case, `message`, `logger`, `correlation`, and
//! the fields of the event. Nothing here ever holds a code, a token, a password or a body.

mod sinks;

use std::fmt::Debug;
use std::time::SystemTime;

use opentelemetry_sdk::trace::SdkTracer;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::Log;
use crate::reply::timestamp;

use sinks::Sinks;

/// Begins to log; an error is a sentence that names the key of the configuration.
pub(crate) fn init(config: &Log, tracer: Option<SdkTracer>) -> Result<Levels, String> {
    let (filter, handle) = reload::Layer::new(levels(&config.level)?);
    let lines = JsonLines { sinks: Sinks::open(config)? };
    // Whatever is logged: a span is not less of a span because nobody wants to read lines.
    let ours =
        Targets::new().with_target("code_service", Level::INFO).with_target("code_service_host", Level::INFO);
    let spans = tracer.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours));
    // Of a span a line has its correlation id, also when only warnings are wanted.
    let filter =
        filter.or(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("code_service")));
    Registry::default().with(lines.with_filter(filter)).with(spans).try_init().map_err(|e| e.to_string())?;
    // Where, and not what: the text of a panic may hold anything.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a thread panicked");
    }));
    Ok(Levels(handle))
}

/// What is logged, which may change while the process runs.
#[derive(Clone)]
pub(crate) struct Levels(reload::Handle<EnvFilter, Registry>);

impl Levels {
    /// An error is a sentence that names the key of the configuration; then nothing has changed.
    pub(crate) fn set(&self, level: &str) -> Result<(), String> {
        self.0.reload(levels(level)?).map_err(|e| e.to_string())
    }
}

fn levels(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|e| format!("titan.log.level: {e}"))
}

/// Writes an event as a line.
struct JsonLines {
    sinks: Sinks,
}

/// The correlation id of a span, kept for the events inside it.
struct Correlation(String);

impl<S> Layer<S> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(Value::String(id_text)), Some(span)) = (fields.take(CORRELATION), context.span(id)) {
            span.extensions_mut().insert(Correlation(id_text));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let of_its_span = || {
            let mut spans = context.event_scope(event).into_iter().flatten();
            json!(spans.find_map(|span| span.extensions().get::<Correlation>().map(|found| found.0.clone())))
        };
        let metadata = event.metadata();
        let (message, correlation) = (fields.take("message"), fields.take(CORRELATION));
        fields.0.retain(|(name, _)| !OF_EVERY_LINE.contains(name));
        let line = Line {
            timestamp: timestamp(SystemTime::now()),
            level: match *metadata.level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                Level::DEBUG => "debug",
                Level::TRACE => "trace",
            },
            message: message.unwrap_or_default(),
            logger: metadata.target(),
            correlation: correlation.unwrap_or_else(of_its_span),
            fields,
        };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            self.sinks.write(&text);
        }
    }
}

const CORRELATION: &str = "correlation";
/// What no field of an event may say for itself.
const OF_EVERY_LINE: [&str; 5] = ["@timestamp", "level", "message", "logger", CORRELATION];

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    level: &'static str,
    message: Value,
    logger: &'a str,
    correlation: Value,
    #[serde(flatten)]
    fields: Fields,
}

/// The fields of an event or a span.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(own, _)| *own == name)?;
        Some(self.0.remove(place).1)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, json!(value));
    }
}
