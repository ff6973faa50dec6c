//! `GET /:campaignId/codes/count`

use axum::extract::State;
use code_service::Status;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::App;
use super::request::{Campaign, Query};
use super::schema;
use crate::auth::Supreme;
use crate::error::{ApiError, Refused};
use crate::reply::{Envelope, Reply};

/// How many codes of a type there are, by status.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Counted {
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned: Option<u64>,
}

/// What a code can be, as a parameter: one that is empty is as if it were not there.
pub(super) struct StatusName;

impl PartialSchema for StatusName {
    fn schema() -> RefOr<Schema> {
        let names = [Status::Available, Status::Reserved, Status::Assigned].map(Status::as_str);
        let names = names.into_iter().chain([""]);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for StatusName {}

/// The status of this name.
pub(super) fn status(name: &str) -> Result<Status, ApiError> {
    Status::parse(name).map_err(|_| {
        ApiError::bad_request("invalidStatus", "the status must be one of available, reserved, assigned")
    })
}

/// Counts the codes of a type by status
#[utoipa::path(
    get,
    path = "/{campaignId}/codes/count",
    tag = "codes",
    operation_id = "count",
    params(
        schema::OfCampaign,
        ("type" = schema::CodeType, Query, description = "The type of the codes"),
        ("status" = Option<StatusName>, Query, description = "Only this one; empty: all")
    ),
    responses((status = 200, description = "The counts", body = Envelope<Counted>), Refused),
    security(("token" = []))
)]
pub(super) async fn count(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
) -> Result<Reply<Counted>, ApiError> {
    let code_type = query
        .get("type")
        .ok_or_else(|| ApiError::bad_request("missingType", "say which type to count: ?type="))?;
    let code_type = app.allowed_type(code_type)?;
    let only = query.get("status").map(status).transpose()?;
    let counts = app.service.count(&campaign, &code_type).await?;
    let asked = |status| only.is_none_or(|only| only == status).then(|| counts.of(status));
    Ok(Reply::ok(Counted {
        available: asked(Status::Available),
        reserved: asked(Status::Reserved),
        assigned: asked(Status::Assigned),
    }))
}
