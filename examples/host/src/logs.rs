//! Logs: one JSON object per line, on the console and in a file.
//!
//! `@timestamp` (RFC 3339, milliseconds, Z), `level` in lower case, `message`, `logger`, `correlation`, and
//! the fields of the event. Nothing here ever holds a code, a token, a password or a body.

use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::Log;
use crate::reply::timestamp;

/// Begins to log; an error is a sentence that names the key of the configuration.
pub(crate) fn init(config: &Log) -> Result<(), String> {
    let level = EnvFilter::try_new(&config.level).map_err(|e| format!("titan.log.level: {e}"))?;
    let file = match config.file.as_deref() {
        None => None,
        Some(path) => {
            let file = File::options().create(true).append(true).open(path);
            Some(Mutex::new(file.map_err(|e| format!("titan.log.file: {path}: {e}"))?))
        }
    };
    Registry::default()
        .with(JsonLines { console: config.console, file }.with_filter(level))
        .try_init()
        .map_err(|e| e.to_string())
}

/// Writes an event as a line.
struct JsonLines {
    console: bool,
    file: Option<Mutex<File>>,
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
        if let (Some(Value::String(id_text)), Some(span)) = (fields.0.remove("correlation"), context.span(id))
        {
            span.extensions_mut().insert(Correlation(id_text));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let correlation = context
            .event_scope(event)
            .into_iter()
            .flatten()
            .find_map(|span| span.extensions().get::<Correlation>().map(|found| found.0.clone()));
        let mut line = Map::new();
        line.insert("@timestamp".to_owned(), json!(timestamp(SystemTime::now())));
        line.insert("level".to_owned(), json!(event.metadata().level().as_str().to_lowercase()));
        line.insert("message".to_owned(), fields.0.remove("message").unwrap_or_default());
        line.insert("logger".to_owned(), json!(event.metadata().target()));
        line.insert("correlation".to_owned(), json!(correlation));
        for (name, value) in fields.0 {
            line.entry(name).or_insert(value);
        }
        self.write(&Value::Object(line));
    }
}

impl JsonLines {
    fn write(&self, line: &Value) {
        let line = format!("{line}\n");
        // There is nobody to tell that a log cannot be written.
        if self.console {
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        }
        if let Some(file) = &self.file
            && let Ok(mut file) = file.lock()
        {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// The fields of an event or a span.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
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
