//! A real OpenTelemetry collector, which tells what spans it gets.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::server::free_port;
use crate::supervised::Supervised;

/// A running collector. Dropping it ends it.
pub struct Collector {
    process: Supervised,
    port: u16,
}

/// A span as the collector has got it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// The id of its parent; empty without one.
    pub parent: String,
    /// Of which trace it is.
    pub trace: String,
    /// What it is of.
    pub name: String,
    /// `SPAN_KIND_SERVER` and so on.
    pub kind: String,
    /// Its attributes as `Str(value)` and so on.
    pub attributes: BTreeMap<String, String>,
    /// Those of the process that it comes from.
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    /// A collector on a free port.
    ///
    /// # Panics
    /// When `make tools` has not installed it.
    pub fn start() -> Self {
        let program = crate::binary::target_folder()
            .expect("tests run in a target folder")
            .join("tools/python/rotel/rotel-agent");
        assert!(Path::new(&program).exists(), "no {}: run make tools", program.display());
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["start", "--exporter", "blackhole", "--batch-timeout", "100ms"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port())]);
        let mut process = Supervised::new(&command, None);
        process.start();
        Collector { process, port }
    }

    /// The port that it takes spans on, by OTLP over HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that it has written, for whoever looks for what must not be there.
    pub fn said(&self) -> Vec<String> {
        self.process.stdout()
    }

    /// The spans that it has got so far.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut resource = BTreeMap::new();
        // Attributes before the first span are the process's.
        let mut in_span = false;
        for line in self.process.stdout() {
            if line.starts_with("ResourceSpans") {
                (resource, in_span) = (BTreeMap::new(), false);
            } else if line.starts_with("Span #") {
                in_span = true;
                spans.push(Span { resource: resource.clone(), ..Span::default() });
            } else if let Some((name, value)) =
                line.trim().strip_prefix("-> ").and_then(|it| it.split_once(": "))
            {
                let attributes = match spans.last_mut() {
                    Some(span) if in_span => &mut span.attributes,
                    _ => &mut resource,
                };
                attributes.insert(name.to_owned(), value.to_owned());
            } else if let (Some((name, value)), Some(span)) = (line.trim().split_once(':'), spans.last_mut())
            {
                let field = match name.trim() {
                    "Trace ID" => &mut span.trace,
                    "Parent ID" => &mut span.parent,
                    "ID" => &mut span.id,
                    "Name" => &mut span.name,
                    "Kind" => &mut span.kind,
                    _ => continue,
                };
                value.trim().clone_into(field);
            }
        }
        spans
    }
}
