//! Parsing what all routes share: what stands in the path, and the query.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use code_service::{CampaignId, ReserveId};
use serde::Deserialize;

use super::App;
use crate::error::ApiError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InPath {
    campaign_id: String,
    reserve_id: Option<String>,
    import_id: Option<String>,
    export_id: Option<String>,
}

async fn in_path(parts: &mut Parts, app: &App) -> Result<InPath, ApiError> {
    Path::<InPath>::from_request_parts(parts, app).await.map(|path| path.0).map_err(|rejection| {
        // Nothing else can be wrong with a path that the router has matched.
        let field = match rejection {
            PathRejection::FailedToDeserializePathParams(failed) => match failed.into_kind() {
                ErrorKind::InvalidUtf8InPathParam { key } => key,
                _ => "path".to_owned(),
            },
            _ => "path".to_owned(),
        };
        ApiError::invalid(&field, "is not UTF-8")
    })
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

/// The campaign and the id of an import or export in the path.
pub(super) struct Job(pub(super) CampaignId, pub(super) String);

impl FromRequestParts<App> for Job {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = in_path(parts, app).await?;
        let id = path.import_id.or(path.export_id).unwrap_or_default();
        Ok(Job(CampaignId::parse(path.campaign_id)?, id))
    }
}

/// What comes before the paths of this service in the one that was asked: `/v1` or nothing.
pub(super) struct Prefix(pub(super) String);

impl FromRequestParts<App> for Prefix {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let OriginalUri(asked) = OriginalUri::from_request_parts(parts, app).await?;
        let prefix = asked.path().strip_suffix(parts.uri.path()).unwrap_or_default();
        Ok(Prefix(prefix.to_owned()))
    }
}

/// The query: each parameter once; empty ones are as if they were not there.
pub(super) struct Query {
    given: HashMap<String, String>,
    /// The names of those that are empty.
    empty: Vec<String>,
}

impl Query {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// Refuses parameters that nobody looks at, and empty ones, where leaving one out changes very much.
    pub(super) fn holds_nothing_but(&self, known: &[&str]) -> Result<(), ApiError> {
        if let Some(name) = self.empty.first() {
            return Err(ApiError::invalid(name, "is empty: give it a value, or leave it out"));
        }
        match self.given.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let reason = format!("is no parameter of this path: there are {}", known.join(", "));
                Err(ApiError::invalid(name, &reason))
            }
            None => Ok(()),
        }
    }
}

impl FromRequestParts<App> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let mut query = Query { given: HashMap::new(), empty: Vec::new() };
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let field = name.clone();
            if value.is_empty() {
                query.empty.push(name.into_owned());
            } else if query.given.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(ApiError::invalid(&field, "is given twice"));
            }
        }
        Ok(query)
    }
}
