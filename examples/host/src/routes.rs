//! The routes, one file per resource. A handler parses its request once, makes one call, and shapes the reply.

pub(crate) mod body;
mod codes;
mod count;
mod dev;
mod document;
pub(crate) mod export;
mod exports;
mod find;
mod health;
mod imports;
mod request;
mod reservations;
mod reserve;
pub(crate) mod schema;
mod settle;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use code_service::{CodeService, CodeType};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Signer, Verifier};
use crate::bucket::ScoringBucket;
use crate::config::Config;
use crate::error::ApiError;
use crate::metrics::Metrics;

pub(crate) use codes::type_in_key;
pub(crate) use health::Readiness;

/// What handlers work with; every request has it.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// What it consists of.
pub(crate) struct Parts {
    pub(crate) service: CodeService,
    pub(crate) readiness: Readiness,
    pub(crate) verifier: Verifier,
    pub(crate) signer: Option<Signer>,
    pub(crate) bucket: ScoringBucket,
    pub(crate) metrics: Metrics,
    /// Places for exports.
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) config: Config,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        App(Arc::new(parts))
    }
}

impl App {
    /// The type, if it is one of the configured ones.
    fn allowed_type(&self, name: &str) -> Result<CodeType, ApiError> {
        let allowed = &self.config.codes.types;
        if !allowed.iter().any(|known| known == name) {
            let message = format!("the type must be one of {}", allowed.join(", "));
            return Err(ApiError::bad_request("invalidType", message));
        }
        Ok(CodeType::parse(name)?)
    }
}

/// Every path, also under `/v1`; and the description of them all.
pub(crate) fn router(config: &Config) -> Router<App> {
    let (routes, mut document) = OpenApiRouter::with_openapi(document::base())
        .routes(routes!(health::heartbeat))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(codes::from_bucket, codes::from_body, export::export))
        .routes(routes!(find::find))
        .routes(routes!(imports::list))
        .routes(routes!(imports::get, imports::cancel))
        .routes(routes!(imports::undo))
        .routes(routes!(imports::rejected))
        .routes(routes!(exports::begin, exports::list))
        .routes(routes!(exports::get, exports::cancel))
        .routes(routes!(count::count))
        .routes(routes!(reserve::reserve))
        .routes(routes!(reservations::put, reservations::get))
        .routes(routes!(reservations::recover))
        .routes(routes!(settle::assign))
        .routes(routes!(settle::release))
        .split_for_parts();
    document::complete(&mut document);
    schema::with_types(&mut document, &config.codes.types);
    let routes = if config.dev_endpoints.enabled { routes.merge(for_development()) } else { routes };
    Router::new().merge(routes.clone()).nest("/v1", routes).merge(document::router(document))
}

fn for_development() -> Router<App> {
    Router::new()
        .route("/dev/auth", get(dev::auth))
        .route("/dev/supremes", get(dev::supremes))
        .route("/dev/internalServerError", get(dev::internal_server_error))
        .route("/dev/token", post(dev::token))
}
