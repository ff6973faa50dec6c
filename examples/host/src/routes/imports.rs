//! `/:campaignId/imports`: imports that outlive their requests.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use code_service::{CampaignId, ImportJob, ImportUndo};
use futures_util::TryStreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::request::{Campaign, Job, Prefix};
use super::schema;
use crate::auth::Supreme;
use crate::error::{ApiError, ErrorEnvelope, Refused};
use crate::reply::{Envelope, Reply, timestamp};

/// An import, and how far it is. `in` = `inserted` + `updated` + `rejected` at every moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportReply {
    id: String,
    campaign_id: String,
    r#type: String,
    /// The key of its file.
    file: String,
    dry_run: bool,
    /// `queued`, `running`, `completed`, `failed`, `cancelled`, `undoing` or `undone`
    state: &'static str,
    /// Rows that are done.
    r#in: u64,
    /// Codes that were new.
    inserted: u64,
    /// Codes that were there.
    updated: u64,
    /// Rows that hold no valid code.
    rejected: u64,
    /// Bytes of the file that were read.
    bytes: u64,
    /// Bytes of the file, once it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Rows per second.
    rate: u64,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// Why it has failed, or could not be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What was removed of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<Undo>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Undo {
    /// Codes that are gone.
    removed: u64,
    /// Codes that were reserved meanwhile, and stay.
    kept: u64,
    /// Codes that stay because they were saved again since: they belong to that upload now. 0 before the end.
    saved_again: u64,
}

impl From<ImportUndo> for Undo {
    fn from(undo: ImportUndo) -> Self {
        Undo { removed: undo.removed, kept: undo.kept, saved_again: undo.saved_again }
    }
}

impl From<ImportJob> for ImportReply {
    fn from(job: ImportJob) -> Self {
        ImportReply {
            rate: job.rate().round() as u64,
            campaign_id: job.campaign.as_str().to_owned(),
            r#type: job.code_type.as_str().to_owned(),
            state: job.state.as_str(),
            created: timestamp(job.created),
            started: job.started.map(timestamp),
            ended: job.ended.map(timestamp),
            undo: job.undo.map(Into::into),
            id: job.id,
            file: job.file,
            dry_run: job.dry_run,
            r#in: job.rows,
            inserted: job.inserted,
            updated: job.updated,
            rejected: job.rejected,
            bytes: job.bytes,
            size: job.size,
            error: job.error,
        }
    }
}

/// The imports of a campaign.
#[derive(Serialize, ToSchema)]
pub(super) struct Imports {
    imports: Vec<ImportReply>,
}

/// 202: it was queued.
pub(super) fn accepted(prefix: &Prefix, job: ImportJob) -> Response {
    let place = place(prefix, &job.campaign, "imports", &job.id);
    queued(&place, ImportReply::from(job))
}

/// What of a campaign's name cannot stand in a path as it is.
const NOT_IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of a job.
pub(super) fn place(Prefix(prefix): &Prefix, campaign: &CampaignId, kind: &str, id: &str) -> String {
    let campaign = utf8_percent_encode(campaign.as_str(), NOT_IN_A_PATH);
    format!("{prefix}/{campaign}/{kind}/{id}")
}

/// 202: it was queued, and stands there.
pub(super) fn queued(place: &str, job: impl Serialize) -> Response {
    let mut response = Reply::accepted(job).into_response();
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Lists the imports of a campaign
///
/// The newest first, at most 1,000. They are kept for 90 days.
#[utoipa::path(
    get,
    path = "/{campaignId}/imports",
    tag = "imports",
    operation_id = "imports",
    params(schema::OfCampaign),
    responses((status = 200, description = "The imports", body = Envelope<Imports>), Refused),
    security(("token" = []))
)]
pub(super) async fn list(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
) -> Result<Reply<Imports>, ApiError> {
    let jobs = app.service.imports(&campaign).await?;
    Ok(Reply::ok(Imports { imports: jobs.into_iter().map(Into::into).collect() }))
}

/// Looks an import up
#[utoipa::path(
    get,
    path = "/{campaignId}/imports/{importId}",
    tag = "imports",
    operation_id = "import",
    params(schema::OfImport),
    responses(
        (status = 200, description = "The import", body = Envelope<ImportReply>),
        (status = 404, description = "The campaign has no such import", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn get(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
) -> Result<Reply<ImportReply>, ApiError> {
    found(app.service.import(&campaign, &id).await?)
}

/// Cancels an import
///
/// One that waits is cancelled at once, one that runs within seconds, one that has ended stays as it is. What it has
/// saved stays saved.
#[utoipa::path(
    delete,
    path = "/{campaignId}/imports/{importId}",
    tag = "imports",
    operation_id = "cancelImport",
    params(schema::OfImport),
    responses(
        (status = 200, description = "The import as it stands", body = Envelope<ImportReply>),
        (status = 404, description = "The campaign has no such import", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn cancel(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
) -> Result<Reply<ImportReply>, ApiError> {
    found(app.service.cancel_import(&campaign, &id).await?)
}

/// Removes the codes that an import has inserted
///
/// If none of them is reserved or assigned. Those that were saved again since stay: they belong to that upload now. The
/// file must still be in the bucket as it was.
#[utoipa::path(
    post,
    path = "/{campaignId}/imports/{importId}/undo",
    tag = "imports",
    operation_id = "undoImport",
    params(schema::OfImport),
    responses(
        (status = 202, description = "It is being undone, or was", body = Envelope<ImportReply>),
        (status = 404, description = "The campaign has no such import", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn undo(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
    prefix: Prefix,
) -> Result<Response, ApiError> {
    Ok(accepted(&prefix, app.service.undo_import(&campaign, &id).await?.ok_or_else(not_found)?))
}

/// The rows that an import has rejected
///
/// As CSV: the number of the row, and why.
#[utoipa::path(
    get,
    path = "/{campaignId}/imports/{importId}/rejected",
    tag = "imports",
    operation_id = "rejectedRows",
    params(schema::OfImport),
    responses(
        (status = 200, description = "The rows", body = String, content_type = "text/csv"),
        (status = 404, description = "The campaign has no such import", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn rejected(
    _: Supreme,
    State(app): State<App>,
    Job(campaign, id): Job,
) -> Result<Response, ApiError> {
    app.service.import(&campaign, &id).await?.ok_or_else(not_found)?;
    let head = futures_util::stream::iter([Ok(Bytes::from_static(b"row,reason\n"))]);
    let rows = app.service.rejected_rows(&id);
    let rows = rows.map_ok(|rejection| Bytes::from(format!("{},\"{}\"\n", rejection.row, rejection.reason)));
    let body = Body::from_stream(futures_util::StreamExt::chain(head, rows));
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response())
}

fn found(job: Option<ImportJob>) -> Result<Reply<ImportReply>, ApiError> {
    job.map(|job| Reply::ok(job.into())).ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("not_found", "the campaign has no import of this id")
}
