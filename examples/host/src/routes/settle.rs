//! `POST /:campaignId/assign` and `POST /:campaignId/release`

use axum::extract::State;
use code_service::{Code, ReserveId, SettleReport};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::body::Json;
use super::request::Campaign;
use super::reserve::texts;
use crate::auth::Supreme;
use crate::error::ApiError;
use crate::reply::Reply;

/// Which codes, and the reservation they must be held under.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settle {
    codes: Option<Value>,
    reserve_id: Option<Value>,
}

pub(super) async fn assign(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(settle): Json<Settle>,
) -> Result<Reply<Value>, ApiError> {
    let (codes, id) = settle.parse()?;
    Ok(reply(app.service.assign(&campaign, codes, id.as_ref()).await?, id.is_some()))
}

pub(super) async fn release(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(settle): Json<Settle>,
) -> Result<Reply<Value>, ApiError> {
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

fn reply(report: SettleReport, fenced: bool) -> Reply<Value> {
    let mut data = json!({ "count": { "in": report.given, "updated": report.updated } });
    if fenced {
        data["lost"] = json!(texts(report.lost));
    }
    Reply::ok(data)
}
