//! `POST` and `PUT /:campaignId/codes`: uploads, from the bucket and from the body.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use code_service::{CampaignId, Import, SaveReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::body::{self, Json, NotWhole};
use super::imports::{self, ImportReply};
use super::request::{Campaign, Prefix, Query};
use super::schema;
use crate::auth::Supreme;
use crate::bucket::NotOpened;
use crate::error::{ApiError, BodyRefused, ErrorEnvelope, Refused};
use crate::file::Format;
use crate::reply::{Envelope, Reply};

/// How long a caller waits while nothing comes from the bucket: the balancer answers it after 60 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many bytes of codes are in a byte of a compressed file, at the most that is usual: codes in a row pack well.
const PACKED: u64 = 8;

/// Which file of the bucket.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Upload {
    /// `codes/{campaignId}/{type}/{file}`, with the campaign of the path.
    #[schema(value_type = String, required, example = "codes/summer-tour/tm/first.csv")]
    file_key: Option<Value>,
    /// Whether to say only what would be saved; that is always answered 202.
    #[schema(value_type = Option<bool>)]
    dry_run: Option<Value>,
}

/// What became of the rows of a file.
#[derive(Serialize, ToSchema)]
pub(super) struct Saved {
    count: SavedCount,
    /// The first rows that hold no valid code; missing if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    rejected: Vec<Rejected>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SavedCount {
    /// Rows of the file.
    r#in: u64,
    /// Codes that are new.
    inserted: u64,
    /// Codes that were there.
    updated: u64,
    /// Rows that hold no valid code; missing if there are none.
    // The deployed service knew none: without any, the reply is the same as its.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Rejected {
    /// The number of the row, from 1.
    row: u64,
    reason: String,
}

impl From<SaveReport> for Saved {
    fn from(report: SaveReport) -> Self {
        let count = SavedCount {
            r#in: report.rows,
            inserted: report.inserted,
            updated: report.updated,
            rejected: Some(report.rejected).filter(|rejected| *rejected > 0),
        };
        let rejected = report
            .rejections
            .iter()
            .map(|rejection| Rejected { row: rejection.row, reason: rejection.reason.to_string() });
        Saved { count, rejected: rejected.collect() }
    }
}

/// Saves the codes of a file in the bucket
///
/// New codes are inserted; those that are there get the type and keep everything else. The file is CSV, of which the
/// first column counts, or NDJSON if its name ends with `.ndjson` or `.jsonl`; with `.gz` behind that it is compressed.
/// A caller who prefers not to wait is answered 202, and so is one whose file is large. With `dryRun` an import only says
/// what it would do; a code that comes again much later in the file counts as new again.
#[utoipa::path(
    post,
    path = "/{campaignId}/codes",
    tag = "codes",
    operation_id = "saveFromBucket",
    params(
        schema::OfCampaign,
        ("Prefer" = Option<String>, Header, description = "`respond-async`: queue an import", example = "respond-async")
    ),
    request_body = Upload,
    responses(
        (status = 200, description = "The file was saved", body = Envelope<Saved>),
        (
            status = 202,
            description = "An import was queued",
            body = Envelope<ImportReply>,
            headers(("Location" = String, description = "Where it can be looked up"))
        ),
        (status = 404, description = "The key is of another form or campaign, or the bucket has no such file", body = ErrorEnvelope),
        (status = 409, description = "The file changed while it was read: send the request again", body = ErrorEnvelope),
        Refused,
        BodyRefused
    ),
    security(("token" = []))
)]
pub(super) async fn from_bucket(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    prefix: Prefix,
    headers: HeaderMap,
    Json(upload): Json<Upload>,
) -> Result<Response, ApiError> {
    let invalid = || {
        let message = "fileKey must be codes/{campaignId}/{type}/{file}, with the campaign of the path";
        ApiError::not_found("invalidFileKey", message)
    };
    let key = upload.file_key.as_ref().and_then(Value::as_str).ok_or_else(invalid)?;
    let code_type = app.allowed_type(type_in_key(key, &campaign).ok_or_else(invalid)?)?;
    let dry_run = match upload.dry_run {
        None => false,
        Some(Value::Bool(dry_run)) => dry_run,
        Some(_) => return Err(ApiError::invalid("dryRun", "must be true or false")),
    };
    // It must be there, also for an import.
    let file = app.bucket.read_within(PATIENCE, key).await?;
    let mut format = Format::of(key);
    format.gzip |= file.gzip;
    let size = if format.gzip { file.size.saturating_mul(PACKED) } else { file.size };
    let prefers_async = prefers_async(&headers);
    if dry_run || prefers_async || size > app.config.imports.async_bytes {
        let mut import = Import::new(campaign, code_type, key);
        import.dry_run = dry_run;
        let mut accepted = imports::accepted(&prefix, app.service.begin_import(import).await?);
        if prefers_async {
            let applied = HeaderValue::from_static("respond-async");
            accepted.headers_mut().insert("preference-applied", applied);
        }
        return Ok(accepted);
    }
    let saved = app.service.save(&campaign, &code_type, format.rows(file.bytes)).await;
    let report = saved.map_err(|error| {
        let file = damaged(&error).or_else(|| NotOpened::of(&error).map(ApiError::from));
        file.unwrap_or_else(|| error.into())
    })?;
    Ok(Reply::ok(Saved::from(report)).into_response())
}

/// `Prefer: respond-async`, among other preferences.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = preferences.flat_map(|value| value.split(',')).map(str::trim);
    preferences.any(|preference| preference.eq_ignore_ascii_case("respond-async"))
}

/// A file that will be the same the next time is not the bucket's fault.
fn damaged(error: &code_service::Error) -> Option<ApiError> {
    let reader: &std::io::Error = std::error::Error::source(error)?.downcast_ref()?;
    (reader.kind() == std::io::ErrorKind::InvalidData)
        .then(|| ApiError::bad_request("invalidFile", format!("{reader}; rows before that may be saved")))
}

/// The type in `codes/{campaignId}/{type}/{file}`; None if the key is of another form or campaign.
pub(crate) fn type_in_key<'a>(key: &'a str, campaign: &CampaignId) -> Option<&'a str> {
    let parts: Vec<&str> = key.split('/').collect();
    let ["codes", of_campaign, code_type, file] = parts[..] else { return None };
    let plain = |part: &str| !["", ".", ".."].contains(&part) && !part.chars().any(char::is_control);
    (of_campaign == campaign.as_str() && plain(code_type) && plain(file)).then_some(code_type)
}

/// Saves the codes of a file
///
/// Of CSV the first column of each row is a code; a first line that is just `code`, or the header of an export, is
/// skipped. A line of NDJSON is a text, or an object with a `code`. A file that comes without its length must be shorter.
#[utoipa::path(
    put,
    path = "/{campaignId}/codes",
    tag = "codes",
    operation_id = "save",
    params(schema::OfCampaign, ("type" = schema::CodeType, Query, description = "The type of the codes")),
    request_body(content = Option<String>, content_type = "text/csv", example = "ABC-1\nABC-2\n"),
    responses(
        (status = 200, description = "The rows were saved", body = Envelope<Saved>),
        Refused,
        BodyRefused
    ),
    security(("token" = []))
)]
pub(super) async fn from_body(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
    request: Request<Body>,
) -> Result<Reply<Saved>, ApiError> {
    let code_type = query
        .get("type")
        .ok_or_else(|| ApiError::bad_request("missingType", "say of which type the codes are: ?type="))?;
    let code_type = app.allowed_type(code_type)?;
    let format = format(request.headers())?;
    let rows = body::rows(request, &app, format).await?;
    let saved = app.service.save(&campaign, &code_type, rows).await;
    let report =
        saved.map_err(|error| NotWhole::of(&error).map(ApiError::from).unwrap_or_else(|| error.into()))?;
    Ok(Reply::ok(report.into()))
}

/// What a body is by its content type; CSV without one.
fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let of = |ndjson| Ok(Format { ndjson, gzip: false });
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return of(false) };
    let essence = content_type.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default();
    let is = |name: &str| essence.trim().eq_ignore_ascii_case(name);
    if is("text/csv") || is("text/plain") {
        return of(false);
    }
    if is("application/x-ndjson") {
        return of(true);
    }
    let message = "the body must be CSV or NDJSON: Content-Type: text/csv, or application/x-ndjson";
    Err(ApiError::bad_request("invalidBody", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_key_names_campaign_type_and_file() {
        let campaign = CampaignId::parse("tour").expect("valid");
        assert_eq!(type_in_key("codes/tour/tm/a.csv", &campaign), Some("tm"));
        for bad in [
            "",
            "codes/tour/tm",
            "codes/tour/tm/",
            "codes/tour//a.csv",
            "codes/other/tm/a.csv",
            "codes/tour/tm/a/b.csv",
            "codes/tour/tm/..",
            "/codes/tour/tm/a.csv",
            "files/tour/tm/a.csv",
            "codes/tour/tm/a\0.csv",
        ] {
            assert_eq!(type_in_key(bad, &campaign), None, "{bad}");
        }
    }
}
