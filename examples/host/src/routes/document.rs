//! `GET /openapi.json`, made of what stands at the routes, and `GET /docs/`, which shows it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_swagger_ui::Config;

use super::{App, count, exports, schema};
use crate::correlation;
use crate::error::ApiError;

/// What the page at `/docs/` loads. One route each: any other path below `/docs/` is one of a campaign of that name.
const FILES: [&str; 7] = [
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
    "favicon-16x16.png",
    "favicon-32x32.png",
];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "code-service",
        description = "Hands out unique codes: saves, reserves, assigns, releases and counts them. \
                       Every path is also there under /v1."
    ),
    // The schemas of parameters, which are not found by themselves.
    components(schemas(
        schema::CampaignId,
        schema::CodeType,
        schema::ReserveId,
        schema::Code,
        schema::Moment,
        schema::Status,
        count::StatusName,
        exports::FileFormat
    )),
    tags(
        (name = "codes", description = "Codes of campaigns"),
        (name = "imports", description = "Files of the bucket, saved by whatever host is there"),
        (name = "exports", description = "Files of codes in the bucket, written by whatever host is there"),
        (name = "reservations", description = "Reservations under an id of the caller's"),
        (name = "platform", description = "What probes and Prometheus ask")
    )
)]
struct Base;

/// What the routes are added to.
pub(super) fn base() -> OpenApi {
    <Base as utoipa::OpenApi>::openapi()
}

/// Adds what all routes have in common.
pub(super) fn complete(document: &mut OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An RS256 token with isSupreme: true"));
    if let Some(components) = &mut document.components {
        components.security_schemes.insert("token".to_owned(), SecurityScheme::Http(bearer.build()));
    }
    let id = HeaderBuilder::new()
        .schema(ObjectBuilder::new().schema_type(Type::String))
        .description(Some("The caller's id of the request, or a new one"))
        .build();
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.headers.insert(correlation::HEADER.to_string(), id.clone());
                }
            }
        }
    }
}

/// The document and the page that shows it.
pub(super) fn router(document: OpenApi) -> Router<App> {
    let document = Arc::new(document);
    let page = Router::new()
        .route("/openapi.json", get(async move || Json(&*document).into_response()))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || file("index.html")));
    FILES
        .into_iter()
        .fold(page, |page, name| page.route(&format!("/docs/{name}"), get(async move || file(name))))
}

fn file(name: &str) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/openapi.json").validator_url("none")));
    match utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(found)) => {
            let headers = [
                (header::CONTENT_TYPE, found.content_type.as_str()),
                // Only what the page itself brings. Its styles are partly in its elements.
                (
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
                ),
            ];
            let bytes = match found.bytes {
                // Not copied for whoever asks.
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            (headers, bytes).into_response()
        }
        Ok(None) | Err(_) => ApiError::not_found("notFound", "there is no such path").into_response(),
    }
}
