//! What happens to every request: correlation id, span, log line, metrics, and the routes behind them.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::error::ApiError;
use crate::routes::{self, App};
use crate::{correlation, metrics};

/// Every route, under its own path and under `/v1`.
pub(crate) fn router(app: App) -> Router {
    let routes = routes::router(app.config.dev_endpoints.enabled);
    Router::new()
        .merge(routes.clone())
        .nest("/v1", routes)
        .fallback(async || ApiError::not_found("notFound", "there is no such path"))
        .method_not_allowed_fallback(async || {
            let message = "this path does not take this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", message)
        })
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            ApiError::internal().into_response()
        }))
        .layer(middleware::from_fn(observe))
        .with_state(app)
}

async fn observe(request: Request, next: Next) -> Response {
    let since = Instant::now();
    let id = correlation::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!("request", correlation = id);
    let mut response = correlation::scope(id.clone(), next.run(request)).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(correlation::HEADER, id);
    }
    let status = response.status();
    metrics::record(route.as_deref(), &method, status, since);
    let route = route.map_or_else(|| "unmatched".to_owned(), |route| metrics::template(&route));
    if !["/heartbeat", "/metrics"].contains(&route.as_str()) {
        let milliseconds = since.elapsed().as_secs_f64() * 1000.0;
        span.in_scope(|| {
            tracing::info!(
                target: "code_service_host::access",
                method = method.as_str(),
                route,
                status = status.as_u16(),
                milliseconds,
                "{method} {route} {status}",
                status = status.as_u16(),
            );
        });
    }
    response
}
