//! `GET /:campaignId/codes/count`

use axum::extract::State;
use code_service::Status;
use serde_json::{Map, Value};

use super::App;
use super::request::{Campaign, Query};
use crate::auth::Supreme;
use crate::error::ApiError;
use crate::reply::Reply;

pub(super) async fn count(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
) -> Result<Reply<Map<String, Value>>, ApiError> {
    let code_type = query
        .get("type")
        .ok_or_else(|| ApiError::bad_request("missingType", "say which type to count: ?type="))?;
    let code_type = app.allowed_type(code_type)?;
    let only = query.get("status").map(Status::parse).transpose().map_err(|_| {
        ApiError::bad_request("invalidStatus", "the status must be one of available, reserved, assigned")
    })?;
    let counts = app.service.count(&campaign, &code_type).await?;
    let asked = Status::ALL.into_iter().filter(|status| only.is_none_or(|only| only == *status));
    Ok(Reply::ok(asked.map(|status| (status.as_str().to_owned(), counts.of(status).into())).collect()))
}
