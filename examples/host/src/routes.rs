//! The routes, one file per resource. A handler parses its request once, makes one call, and shapes the reply.

mod body;
mod codes;
mod count;
mod dev;
mod health;
mod request;
mod reservations;
mod reserve;
mod settle;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use code_service::{CodeService, CodeType};

use crate::auth::{Signer, Verifier};
use crate::bucket::ScoringBucket;
use crate::config::Config;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: CodeService,
    pub(crate) verifier: Verifier,
    pub(crate) signer: Option<Signer>,
    pub(crate) bucket: ScoringBucket,
    pub(crate) metrics: Metrics,
    pub(crate) config: Arc<Config>,
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

/// Every path without a prefix.
pub(crate) fn router(dev_endpoints: bool) -> Router<App> {
    let router = Router::new()
        .route("/heartbeat", get(health::heartbeat))
        .route("/metrics", get(health::metrics))
        .route("/{campaignId}/codes", post(codes::from_bucket).put(codes::from_body))
        .route("/{campaignId}/codes/count", get(count::count))
        .route("/{campaignId}/reserve", get(reserve::reserve))
        .route("/{campaignId}/reservations/{reserveId}", put(reservations::put).get(reservations::get))
        .route("/{campaignId}/reservations/{reserveId}/recover", post(reservations::recover))
        .route("/{campaignId}/assign", post(settle::assign))
        .route("/{campaignId}/release", post(settle::release));
    if !dev_endpoints {
        return router;
    }
    router
        .route("/dev/auth", get(dev::auth))
        .route("/dev/supremes", get(dev::supremes))
        .route("/dev/internalServerError", get(dev::internal_server_error))
        .route("/dev/token", post(dev::token))
}
