//! Parsing what all routes share: the campaign, the query, a JSON body.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use code_service::{CampaignId, ReserveId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::App;
use crate::error::ApiError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InPath {
    campaign_id: String,
    reserve_id: Option<String>,
}

async fn in_path(parts: &mut Parts, app: &App) -> Result<InPath, ApiError> {
    Path::<InPath>::from_request_parts(parts, app)
        .await
        .map(|path| path.0)
        .map_err(|_| ApiError::bad_request("invalid_argument", "campaignId: is not UTF-8"))
}

/// The campaign in the path.
pub(super) struct Campaign(pub(super) CampaignId);

impl FromRequestParts<App> for Campaign {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Ok(Campaign(CampaignId::parse(in_path(parts, app).await?.campaign_id)?))
    }
}

/// The campaign and the reserveId in the path.
pub(super) struct Reservation(pub(super) CampaignId, pub(super) ReserveId);

impl FromRequestParts<App> for Reservation {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = in_path(parts, app).await?;
        let id = path.reserve_id.unwrap_or_default();
        Ok(Reservation(CampaignId::parse(path.campaign_id)?, ReserveId::parse(id)?))
    }
}

/// The query: each parameter once; empty ones are as if they were not there.
pub(super) struct Query(HashMap<String, String>);

impl Query {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromRequestParts<App> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let mut query = HashMap::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let twice = format!("{name}: is given twice");
            if !value.is_empty() && query.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(ApiError::bad_request("invalid_argument", twice));
            }
        }
        Ok(Query(query))
    }
}

/// A JSON body, whatever its content type says.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, ApiError> {
        let limit = app.config.service.body_limit;
        let body = axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
            if is_too_long(&error) {
                too_long(limit as u64)
            } else {
                ApiError::bad_request("invalidBody", "the body did not arrive whole")
            }
        })?;
        serde_json::from_slice(&body).map(Json).map_err(|error| {
            // Never serde's own words: they quote the body, which may hold codes.
            let what = match error.classify() {
                serde_json::error::Category::Data => "has a key twice, an unknown one, or is no object",
                serde_json::error::Category::Syntax
                | serde_json::error::Category::Eof
                | serde_json::error::Category::Io => "is not JSON",
            };
            let (line, column) = (error.line(), error.column());
            ApiError::bad_request("invalidBody", format!("the body {what}: line {line}, column {column}"))
        })
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The reply to a body over the limit.
pub(super) fn too_long(limit: u64) -> ApiError {
    let message = format!("the body is longer than {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "bodyTooLarge", message)
}
