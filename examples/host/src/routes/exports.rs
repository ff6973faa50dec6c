//! `/:campaignId/exports`: exports into the bucket, which outlive their requests.

use axum::extract::State;
use axum::response::Response;
use code_service::ExportJob;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{Campaign, Job, Prefix, Query};
use super::{App, export, imports, schema};
use crate::auth::Supreme;
use crate::bucket::{NotOpened, ScoringBucket};
use crate::error::{ApiError, ErrorEnvelope, Refused};
use crate::lines::Form;
use crate::reply::{Envelope, Reply, timestamp};

/// An export into the bucket, and how far it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportReply {
    id: String,
    campaign_id: String,
    /// The key of the file that is there when it is completed.
    file: String,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`
    state: &'static str,
    /// Codes that are written; known at the end.
    out: u64,
    /// Bytes that are written.
    bytes: u64,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// Why it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<ExportJob> for ExportReply {
    fn from(job: ExportJob) -> Self {
        ExportReply {
            campaign_id: job.campaign.as_str().to_owned(),
            state: job.state.as_str(),
            out: job.rows,
            bytes: job.bytes,
            created: timestamp(job.created),
            started: job.started.map(timestamp),
            ended: job.ended.map(timestamp),
            id: job.id,
            file: job.file,
            error: job.error,
        }
    }
}

/// The exports of a campaign.
#[derive(Serialize, ToSchema)]
pub(super) struct Exports {
    exports: Vec<ExportReply>,
}

/// Exports codes into the bucket
///
/// As `GET /{campaignId}/codes`, into `exports/{campaignId}/…`, by whatever host is there. The file is there when the
/// export is completed.
#[utoipa::path(
    post,
    path = "/{campaignId}/exports",
    tag = "exports",
    operation_id = "beginExport",
    params(
        schema::OfCampaign,
        ("format" = Option<FileFormat>, Query, description = "How the codes are written: `ndjson` unless given"),
        ("type" = Option<schema::CodeType>, Query, description = "Only codes of this type"),
        ("status" = Option<schema::Status>, Query, description = "Only codes with this status"),
        ("reserveId" = Option<schema::ReserveId>, Query, description = "Only codes that were last reserved under this id"),
        ("savedSince" = Option<schema::Moment>, Query, description = "Only codes that were last saved then or later"),
        ("savedBefore" = Option<schema::Moment>, Query, description = "Only codes that were last saved earlier"),
        ("reservedSince" = Option<schema::Moment>, Query, description = "Only codes that were last reserved then or later"),
        ("reservedBefore" = Option<schema::Moment>, Query, description = "Only codes that were last reserved earlier"),
        ("assignedSince" = Option<schema::Moment>, Query, description = "Only codes that were assigned then or later"),
        ("assignedBefore" = Option<schema::Moment>, Query, description = "Only codes that were assigned earlier"),
        ("after" = Option<schema::Code>, Query, description = "Only codes behind this one")
    ),
    responses(
        (
            status = 202,
            description = "It was queued",
            body = Envelope<ExportReply>,
            headers(("Location" = String, description = "Where it can be looked up"))
        ),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn begin(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    prefix: Prefix,
    query: Query,
) -> Result<Response, ApiError> {
    let wanted = export::wanted(&app, &query, Some("format"))?;
    let form = match query.get("format") {
        None | Some("ndjson") => Form::Ndjson,
        Some("csv") => Form::Csv,
        Some(_) => return Err(ApiError::invalid("format", "must be ndjson or csv")),
    };
    if !app.bucket.is_there() {
        return Err(NotOpened::NoBucket.into());
    }
    let name = format!("{}.{}", uuid::Uuid::new_v4(), form.ending());
    let file = ScoringBucket::key(["exports", campaign.as_str(), &name]);
    let job = app.service.begin_export(&campaign, wanted, file).await?;
    let place = imports::place(&prefix, &job.campaign, "exports", &job.id);
    Ok(imports::queued(&place, ExportReply::from(job)))
}

/// How a file is written.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum FileFormat {
    Ndjson,
    Csv,
}

/// Lists the exports of a campaign into the bucket
///
/// The newest first, at most 1,000. They are kept for 90 days.
#[utoipa::path(
    get,
    path = "/{campaignId}/exports",
    tag = "exports",
    operation_id = "exports",
    params(schema::OfCampaign),
    responses((status = 200, description = "The exports", body = Envelope<Exports>), Refused),
    security(("token" = []))
)]
pub(super) async fn list(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
) -> Result<Reply<Exports>, ApiError> {
    let jobs = app.service.export_jobs(&campaign).await?;
    Ok(Reply::ok(Exports { exports: jobs.into_iter().map(Into::into).collect() }))
}

/// Looks an export into the bucket up
#[utoipa::path(
    get,
    path = "/{campaignId}/exports/{exportId}",
    tag = "exports",
    operation_id = "exportJob",
    params(schema::OfExport),
    responses(
        (status = 200, description = "The export", body = Envelope<ExportReply>),
        (status = 404, description = "The campaign has no such export", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn get(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
) -> Result<Reply<ExportReply>, ApiError> {
    found(app.service.export_job(&campaign, &id).await?)
}

/// Cancels an export into the bucket
///
/// One that waits is cancelled at once, one that runs within seconds, one that has ended stays as it is.
#[utoipa::path(
    delete,
    path = "/{campaignId}/exports/{exportId}",
    tag = "exports",
    operation_id = "cancelExport",
    params(schema::OfExport),
    responses(
        (status = 200, description = "The export as it stands", body = Envelope<ExportReply>),
        (status = 404, description = "The campaign has no such export", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn cancel(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
) -> Result<Reply<ExportReply>, ApiError> {
    found(app.service.cancel_export(&campaign, &id).await?)
}

fn found(job: Option<ExportJob>) -> Result<Reply<ExportReply>, ApiError> {
    job.map(|job| Reply::ok(job.into()))
        .ok_or_else(|| ApiError::not_found("not_found", "the campaign has no export of this id"))
}
