//! Traces: spans go to a collector over OTLP, and a request continues the trace that its headers name.
//!
//! A collector that is away costs the spans that it would have got, and nothing else.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::{Environment, Tracing};
use crate::outgoing::Outgoing;

/// How long the last spans may take when the host ends.
const LAST_SPANS: Duration = Duration::from_secs(5);
/// How long a collector may take for a batch.
const EXPORT: Duration = Duration::from_secs(10);

/// Sends spans away until it is ended.
pub(crate) struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// An error is a sentence that names the key of the configuration.
    pub(crate) fn start(
        config: &Tracing,
        environment: Environment,
        outgoing: &Outgoing,
    ) -> Result<Self, String> {
        let Some(host) = config.collector_host.as_deref().filter(|_| config.enabled) else {
            return Ok(Traces(None));
        };
        let scheme = match config.encryption.as_deref() {
            None | Some("none") => "http",
            Some("tls") => "https",
            Some(_) => return Err("titan.tracing.encryption must be none or tls".to_owned()),
        };
        // Spans are sent from a thread of their own, which waits for the answer; its client is made where waiting is
        // allowed, too.
        let outgoing = outgoing.clone();
        let client = std::thread::spawn(move || outgoing.blocking_client()).join();
        let client = client.ok().and_then(Result::ok).ok_or("titan.tracing: no HTTP client can be made")?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            // It is used as it is: the path belongs to it.
            .with_endpoint(format!("{scheme}://{host}:{}/v1/traces", config.collector_port))
            .with_timeout(EXPORT);
        if let Some(token) = &config.access_token {
            exporter = exporter.with_headers([("lightstep-access-token".to_owned(), token.reveal())].into());
        }
        let exporter = exporter
            .build()
            .map_err(|_| "titan.tracing.collectorHost and collectorPort make no address".to_owned())?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("deployment.environment.name", environment.name()),
                KeyValue::new("product.code", config.product_code.clone()),
            ])
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        opentelemetry::global::set_tracer_provider(provider.clone());
        Ok(Traces(Some(provider)))
    }

    /// What makes spans, if they go anywhere.
    pub(crate) fn tracer(&self) -> Option<SdkTracer> {
        self.0.as_ref().map(|provider| provider.tracer("code-service-host"))
    }

    /// Sends what is left.
    pub(crate) async fn end(self) {
        let Some(provider) = self.0 else { return };
        // It waits for a thread of its own, which must not happen where tasks run.
        let _ = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS)).await;
    }
}

/// A span of a command to the database, which has just ended, in the trace of the call that it served.
pub(crate) fn command(name: &str, duration: Duration, succeeded: bool) {
    let context = tracing::Span::current().context();
    // Nobody's call: what runs on its own is no trace.
    if !context.span().span_context().is_valid() {
        return;
    }
    let tracer = opentelemetry::global::tracer("code-service-host");
    let end = SystemTime::now();
    let mut span = tracer
        .span_builder(format!("mongodb {name}"))
        .with_kind(SpanKind::Client)
        .with_start_time(end.checked_sub(duration).unwrap_or(end))
        .with_attributes([
            KeyValue::new("db.system.name", "mongodb"),
            KeyValue::new("db.operation.name", name.to_owned()),
            KeyValue::new(
                "correlation",
                context.get::<Correlation>().map(|id| id.0.clone()).unwrap_or_default(),
            ),
        ])
        .start_with_context(&tracer, &context);
    if !succeeded {
        span.set_status(Status::error(""));
    }
    span.end_with_timestamp(end);
}

/// The id of the request that a span belongs to.
struct Correlation(String);

/// What the span of a request is part of: the trace that its headers name, if they do.
pub(crate) fn parent(headers: &HeaderMap, correlation: &str) -> Context {
    let context = Context::new().with_value(Correlation(correlation.to_owned()));
    match begun(headers) {
        Some(found) => context.with_remote_span_context(found),
        None => context,
    }
}

/// The trace that a request belongs to, by its headers: W3C's, B3 in one header or in several, or those of OpenTracing's
/// tracers.
fn begun(headers: &HeaderMap) -> Option<SpanContext> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("traceparent")
        .and_then(traceparent)
        .or_else(|| text("b3").and_then(b3))
        .or_else(|| (text("x-b3-sampled") == Some("0") && text("x-b3-traceid").is_none()).then(unwanted))
        .or_else(|| {
            let sampled = text("x-b3-flags") == Some("1") || text("x-b3-sampled").is_none_or(is_yes);
            context(text("x-b3-traceid")?, text("x-b3-spanid")?, sampled)
        })
        .or_else(|| {
            let sampled = text("ot-tracer-sampled").is_none_or(is_yes);
            // Numbers, which some tracers write without their zeros.
            let (trace, span) = (text("ot-tracer-traceid")?, text("ot-tracer-spanid")?);
            context(&format!("{trace:0>16}"), &format!("{span:0>16}"), sampled)
        })
}

/// The headers by which whoever is called next continues a trace: W3C's and those of OpenTracing's tracers.
pub(crate) fn headers(context: &Context) -> Vec<(&'static str, String)> {
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return Vec::new();
    }
    let trace = span.trace_id().to_string();
    let flags = span.trace_flags().to_u8();
    vec![
        ("traceparent", format!("00-{trace}-{}-{flags:02x}", span.span_id())),
        // These know 64 bits.
        ("ot-tracer-traceid", trace[16..].to_owned()),
        ("ot-tracer-spanid", span.span_id().to_string()),
        ("ot-tracer-sampled", span.is_sampled().to_string()),
    ]
}

/// `00-<32 digits>-<16 digits>-<flags>`; later versions may have more behind it.
fn traceparent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version == "ff" || version.len() != 2 || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    if version == "00" && parts.next().is_some() {
        return None;
    }
    context(trace, span, u8::from_str_radix(flags, 16).ok()? & 1 == 1)
}

/// `<trace>-<span>[-<sampled>[-<parent>]]`; `0` alone says that no span is wanted.
fn b3(text: &str) -> Option<SpanContext> {
    if text == "0" {
        return Some(unwanted());
    }
    let mut parts = text.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    context(trace, span, parts.next().is_none_or(|sampled| sampled == "d" || is_yes(sampled)))
}

/// A trace that nobody has begun and nobody shall see.
fn unwanted() -> SpanContext {
    let id = uuid::Uuid::new_v4().into_bytes();
    let mut span = [0; 8];
    span.copy_from_slice(&id[8..]);
    let (trace, span) = (TraceId::from_bytes(id), SpanId::from_bytes(span));
    SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, true, TraceState::default())
}

fn is_yes(sampled: &str) -> bool {
    ["1", "true"].contains(&sampled)
}

fn context(trace: &str, span: &str, sampled: bool) -> Option<SpanContext> {
    let digits = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !digits(trace, &[16, 32]) || !digits(span, &[16]) {
        return None;
    }
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    /// Trace, span, and whether it is sampled.
    fn of(headers: &[(&'static str, &str)]) -> Option<(String, String, bool)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            map.insert(HeaderName::from_static(name), value);
        }
        let span = begun(&map)?;
        Some((span.trace_id().to_string(), span.span_id().to_string(), span.is_sampled()))
    }

    #[test]
    fn a_trace_is_continued_whoever_began_it() {
        let (w3c, b3) = (format!("00-{TRACE}-{SPAN}-01"), format!("{TRACE}-{SPAN}-0"));
        let found = |sampled| Some((TRACE.to_owned(), SPAN.to_owned(), sampled));
        assert_eq!(of(&[("traceparent", &w3c)]), found(true));
        assert_eq!(of(&[("traceparent", &format!("cc-{TRACE}-{SPAN}-00-more"))]), found(false));
        assert_eq!(of(&[("b3", &b3)]), found(false));
        assert_eq!(of(&[("b3", &format!("{TRACE}-{SPAN}-d-{SPAN}"))]), found(true));
        let several = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        assert_eq!(of(&several), found(true));
        assert_eq!(of(&[several[0], several[1], ("x-b3-sampled", "0")]), found(false));
        let short = Some((format!("{:0>32}", &TRACE[16..]), SPAN.to_owned(), true));
        let opentracing =
            [("ot-tracer-traceid", &TRACE[16..]), ("ot-tracer-spanid", SPAN), ("ot-tracer-sampled", "true")];
        assert_eq!(of(&opentracing), short);
        let no_zeros = [("ot-tracer-traceid", "a3ce929d0e0e4736"), ("ot-tracer-spanid", "f067aa0ba902b7")];
        assert_eq!(of(&no_zeros), short);
        let wanted = |name| of(&[(name, "0")]).map(|(_, _, sampled)| sampled);
        assert_eq!((wanted("b3"), wanted("x-b3-sampled")), (Some(false), Some(false)));
        // The first that is good.
        assert_eq!(of(&[("traceparent", "nonsense"), ("b3", &b3)]), found(false));
    }

    #[test]
    fn what_names_no_trace_begins_one() {
        let zero = "0".repeat(32);
        for bad in [
            "",
            "00",
            &format!("00-{zero}-{SPAN}-01"),
            &format!("00-{TRACE}-{}-01", &zero[..16]),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.replace('4', "g")),
            &format!("00-{TRACE}-{SPAN}-xx"),
        ] {
            assert_eq!(of(&[("traceparent", bad)]), None, "{bad}");
        }
        assert_eq!(of(&[("ot-tracer-traceid", TRACE)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn whoever_is_called_next_can_continue_it() {
        let mut map = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("00-{TRACE}-{SPAN}-01")).expect("a header");
        map.insert("traceparent", value);
        let context = parent(&map, "id");
        let sent = headers(&context);
        assert_eq!(sent[0], ("traceparent", format!("00-{TRACE}-{SPAN}-01")));
        assert_eq!(sent[1], ("ot-tracer-traceid", TRACE[16..].to_owned()));
        assert_eq!(sent[3], ("ot-tracer-sampled", "true".to_owned()));
        assert!(headers(&Context::new()).is_empty());
    }
}
