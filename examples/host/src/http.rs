//! What happens to every request: correlation id, span, log line, metrics, limits, and the routes behind them.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::correlation::User;
use crate::error::ApiError;
use crate::routes::{self, App, body};
use crate::{correlation, metrics, traces};

/// Codes and tokens are nobody else's: no cache keeps a reply, and no page shows one.
const SAFE: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Every route, under its own path and under `/v1`.
pub(crate) fn router(app: App) -> Router {
    let service = &app.config.service;
    let places = Arc::new(Semaphore::new(service.max_requests));
    let body_timeout = service.body_timeout;
    routes::router(&app.config)
        .fallback(async || ApiError::not_found("notFound", "there is no such path"))
        .method_not_allowed_fallback(async || {
            let message = "this path does not take this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", message)
        })
        .layer(
            ServiceBuilder::new()
                .layer(CompressionLayer::new())
                .layer(middleware::from_fn(move |request, next| admit(places.clone(), request, next)))
                .layer(RequestBodyTimeoutLayer::new(body_timeout))
                .layer(CatchPanicLayer::custom(|_| {
                    tracing::error!("a handler panicked");
                    ApiError::internal().into_response()
                })),
        )
        .with_state(app)
}

/// Answers at once that there is no place, rather than late: callers that wait take memory, and give up in the end.
/// Whoever is too many has the least of it: a line, and no span.
async fn admit(places: Arc<Semaphore>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    if asked.by_a_probe() {
        return asked.answer(request, next).await;
    }
    let Ok(_place) = places.try_acquire_owned() else {
        metrics::shed();
        return asked.refuse(request).await;
    };
    let _in_flight = metrics::InFlight::begin();
    asked.answer(request, next).await
}

/// What is known of a request. It has its line also if its caller goes away before it is answered.
struct Asked {
    since: Instant,
    id: String,
    method: Method,
    route: Option<MatchedPath>,
    /// The route as dashboards know it.
    template: String,
    user: User,
    answered: bool,
}

/// What a caller who has gone away would have seen, by nginx's convention.
const ABANDONED: u16 = 499;

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let template = route.as_ref().map(|route| metrics::template(route.as_str()));
        Asked {
            since: Instant::now(),
            id: correlation::of(request.headers()),
            method: request.method().clone(),
            template: template.unwrap_or_else(|| metrics::UNMATCHED.to_owned()),
            route,
            user: User::default(),
            answered: false,
        }
    }

    /// Probes and scrapes are never refused, not counted and not logged.
    fn by_a_probe(&self) -> bool {
        self.route().is_some_and(metrics::is_a_probe)
    }

    /// A caller may invent a method, of any length.
    fn method(&self) -> &'static str {
        metrics::known(&self.method)
    }

    /// As the router knows it.
    fn route(&self) -> Option<&str> {
        self.route.as_ref().map(MatchedPath::as_str)
    }

    async fn answer(mut self, request: Request, next: Next) -> Response {
        let span = tracing::info_span!(
            "request",
            correlation = self.id,
            otel.kind = "server",
            otel.name = format!("{} {}", self.method(), self.template),
            http.request.method = self.method(),
            http.response.status_code = tracing::field::Empty,
        );
        // It can only fail when somebody has looked at the span.
        let _ = span.set_parent(traces::parent(request.headers(), &self.id));
        let work = correlation::scope(self.id.clone(), self.user.clone(), next.run(request));
        let response = work.instrument(span.clone()).await;
        // Signed: of a number without a sign the tracer makes a text.
        span.record("http.response.status_code", i64::from(response.status().as_u16()));
        self.answered(response)
    }

    async fn refuse(mut self, request: Request) -> Response {
        // Whoever still writes does not read the answer.
        body::drain(request.into_body().into_data_stream()).await;
        let refusal = async {
            ApiError::unavailable("too many requests are being answered: try again").into_response()
        };
        let response = correlation::scope(self.id.clone(), self.user.clone(), refusal).await;
        self.answered(response)
    }

    /// Counts and logs the reply, and says in it whose request it answers.
    fn answered(&mut self, mut response: Response) -> Response {
        self.answered = true;
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(correlation::HEADER, id);
        }
        for (name, value) in SAFE {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        let status = response.status();
        metrics::record(self.route(), &self.template, &self.method, status, self.since);
        // Of a reply that is streamed nobody knows it yet.
        self.line(status.as_u16(), response.body().size_hint().exact());
        response
    }

    fn line(&self, status: u16, bytes: Option<u64>) {
        if self.by_a_probe() {
            return;
        }
        let (method, route) = (self.method(), self.template.as_str());
        tracing::info!(
            target: "code_service_host::access",
            correlation = self.id,
            method,
            route,
            status,
            milliseconds = self.since.elapsed().as_secs_f64() * 1000.0,
            bytes,
            user = self.user.id(),
            "{method} {route} {status}",
        );
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered && !self.by_a_probe() {
            metrics::abandoned();
            self.line(ABANDONED, None);
        }
    }
}
