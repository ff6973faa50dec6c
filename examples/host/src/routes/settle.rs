//! `POST /:campaignId/assign` and `POST /:campaignId/release`

use axum::extract::State;
use code_service::{Code, ReserveId, SettleReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::body::Json;
use super::request::Campaign;
use super::reserve::listed;
use super::schema;
use crate::auth::Supreme;
use crate::error::{ApiError, BodyRefused, Refused};
use crate::reply::{Envelope, Reply};

/// Which codes, and the reservation they must be held under.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settle {
    #[schema(value_type = Vec<schema::Code>, required, min_items = 1)]
    codes: Option<Value>,
    #[schema(value_type = Option<schema::ReserveId>)]
    reserve_id: Option<Value>,
}

/// What became of codes that were assigned or released.
#[derive(Serialize, ToSchema)]
pub(super) struct Settled {
    count: SettledCount,
    /// With a reserveId: the codes that are not held under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Vec<schema::Code>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SettledCount {
    /// How many codes came, repeats included.
    r#in: u64,
    /// How many of them changed.
    updated: u64,
}

/// Assigns codes for good
///
/// Also codes that nobody has reserved. With a reserveId only codes that are held under it.
#[utoipa::path(
    post,
    path = "/{campaignId}/assign",
    tag = "codes",
    operation_id = "assign",
    params(schema::OfCampaign),
    request_body = Settle,
    responses((status = 200, description = "What became of them", body = Envelope<Settled>), Refused, BodyRefused),
    security(("token" = []))
)]
pub(super) async fn assign(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(settle): Json<Settle>,
) -> Result<Reply<Settled>, ApiError> {
    let (codes, id) = settle.parse()?;
    Ok(reply(app.service.assign(&campaign, codes, id.as_ref()).await?, id.is_some()))
}

/// Releases reserved codes into the pool
///
/// Codes that are available or assigned stay as they are. With a reserveId only codes that are held under it.
#[utoipa::path(
    post,
    path = "/{campaignId}/release",
    tag = "codes",
    operation_id = "release",
    params(schema::OfCampaign),
    request_body = Settle,
    responses((status = 200, description = "What became of them", body = Envelope<Settled>), Refused, BodyRefused),
    security(("token" = []))
)]
pub(super) async fn release(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(settle): Json<Settle>,
) -> Result<Reply<Settled>, ApiError> {
    let (codes, id) = settle.parse()?;
    Ok(reply(app.service.release(&campaign, codes, id.as_ref()).await?, id.is_some()))
}

impl Settle {
    fn parse(self) -> Result<(Vec<Code>, Option<ReserveId>), ApiError> {
        let invalid = || ApiError::bad_request("invalidCodesProp", "codes must be a list of texts");
        let codes = match self.codes {
            None => return Err(ApiError::bad_request("missingCodes", "say which codes: {\"codes\":[…]}")),
            Some(Value::Array(codes)) => codes,
            Some(_) => return Err(invalid()),
        };
        if codes.is_empty() {
            return Err(ApiError::bad_request("emptyCodes", "codes is an empty list"));
        }
        let texts: Option<Vec<String>> = codes
            .into_iter()
            .map(|code| match code {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect();
        let codes = Code::parse_all(texts.ok_or_else(invalid)?)?;
        let id = match self.reserve_id {
            None => None,
            Some(Value::String(id)) => Some(ReserveId::parse(id)?),
            Some(_) => return Err(ApiError::invalid("reserveId", "must be a text")),
        };
        Ok((codes, id))
    }
}

fn reply(report: SettleReport, fenced: bool) -> Reply<Settled> {
    let count = SettledCount { r#in: report.given, updated: report.updated };
    Reply::ok(Settled { count, lost: fenced.then(|| listed(report.lost)) })
}
