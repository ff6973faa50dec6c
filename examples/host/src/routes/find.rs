//! `POST /:campaignId/find`

use axum::extract::State;
use code_service::Code;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::Json;
use super::request::Campaign;
use super::{App, schema};
use crate::auth::Supreme;
use crate::error::{ApiError, BodyRefused, ErrorEnvelope, Refused};
use crate::lines::KnownCode;
use crate::reply::{Envelope, Reply};

/// Which code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[schema(value_type = schema::Code, required)]
    code: Option<Value>,
}

/// Looks a code up
///
/// The code is in the body because paths are written down by whatever passes them on.
#[utoipa::path(
    post,
    path = "/{campaignId}/find",
    tag = "codes",
    operation_id = "find",
    params(schema::OfCampaign),
    request_body = Wanted,
    responses(
        (status = 200, description = "The code", body = Envelope<KnownCode>),
        (status = 404, description = "The campaign has no such code", body = ErrorEnvelope),
        Refused,
        BodyRefused
    ),
    security(("token" = []))
)]
pub(super) async fn find(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(wanted): Json<Wanted>,
) -> Result<Reply<KnownCode>, ApiError> {
    let code = wanted.code.as_ref().and_then(Value::as_str);
    let code = code.ok_or_else(|| ApiError::invalid("code", "must be given, as a text"))?;
    let code = Code::parse(code).map_err(|rule| ApiError::invalid("code", &rule.to_string()))?;
    let found = app.service.find(&campaign, &code).await?;
    let missing = || ApiError::not_found("not_found", "this campaign has no such code");
    Ok(Reply::ok(found.ok_or_else(missing)?.into()))
}
