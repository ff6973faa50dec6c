//! `GET /:campaignId/codes`: all codes of a campaign, or some of them, as a stream.
//!
//! The reply begins when the first codes are there, or the database has refused them, and flows as fast as it is read.
//! It may be of any length; what is in memory is not.

use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use code_service::{Code, Error, Export, ReserveId, StoredCode};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::Span;

use super::request::{Campaign, Query};
use super::{App, count, schema};
use crate::auth::Supreme;
use crate::error::{ApiError, ErrorEnvelope, Refused};
use crate::lines::{Form, KnownCode};

/// How many exports may run at once. Each keeps the database busy, and some megabytes.
pub(crate) const MOST: usize = 4;

/// How many codes are written at once.
const PIECE: usize = 500;
/// How long the reply waits for its first codes, or for what is wrong, before it begins without.
const FIRST: Duration = Duration::from_secs(10);
/// After so long without a code comes an empty line: the balancer cuts connections that are silent for 60 seconds.
const SILENT: Duration = Duration::from_secs(15);

/// Exports codes
///
/// In the order of their bytes, a line each. Every code that is there from the beginning to the end comes once; its status
/// is that of the database server's time when the export began. Empty lines say that the search goes on, and can be
/// passed over. A reply that does not end as HTTP says is not whole: go on with `after`, the last code that came.
/// Few exports run at once; more are told to come again.
#[utoipa::path(
    get,
    path = "/{campaignId}/codes",
    tag = "codes",
    operation_id = "export",
    params(
        schema::OfCampaign,
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
            status = 200,
            description = "The codes; in CSV, behind a line with the names of the columns",
            content((KnownCode = "application/x-ndjson"), (String = "text/csv"))
        ),
        (status = 406, description = "The caller accepts neither form", body = ErrorEnvelope),
        (status = 505, description = "The caller, or a proxy, speaks HTTP/1.0", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn export(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if version < Version::HTTP_11 {
        let message = "an export needs HTTP/1.1: over HTTP/1.0 one that was cut looks as if it were whole";
        return Err(ApiError::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "httpVersion", message));
    }
    let form = accepted(&headers)?;
    let wanted = wanted(&app, &query, None)?;
    let place = app.exports.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::unavailable("too many exports are running: try again"))?;
    let mut codes = app.service.export(&campaign, wanted).ready_chunks(PIECE).boxed();
    let first = timeout(FIRST, codes.next()).await.ok().flatten().unwrap_or_default();
    let first: Vec<StoredCode> = first.into_iter().collect::<Result<_, _>>()?;
    let first = stream::iter([first.into_iter().map(Ok).collect()]);
    let reply = Exported {
        codes: first.chain(codes).boxed(),
        form,
        begun: Instant::now(),
        count: 0,
        outcome: Outcome::Left,
        span: Span::current(),
        _place: place,
    };
    // Whoever compresses it asks once more behind its end.
    let lines = stream::iter(form.head().map(Ok)).chain(reply.lines()).fuse();
    Ok(([(header::CONTENT_TYPE, form.content_type())], Body::from_stream(lines)).into_response())
}

/// What the query says.
pub(super) fn wanted(app: &App, query: &Query, besides: Option<&str>) -> Result<Export, ApiError> {
    let known = [
        "type",
        "status",
        "reserveId",
        "savedSince",
        "savedBefore",
        "reservedSince",
        "reservedBefore",
        "assignedSince",
        "assignedBefore",
        "after",
    ];
    query.holds_nothing_but(&known.into_iter().chain(besides).collect::<Vec<_>>())?;
    let mut wanted = Export::default();
    wanted.code_type = query.get("type").map(|name| app.allowed_type(name)).transpose()?;
    wanted.status = query.get("status").map(count::status).transpose()?;
    wanted.reserve_id = query.get("reserveId").map(ReserveId::parse).transpose()?;
    let after = query.get("after").map(Code::parse).transpose();
    wanted.after = after.map_err(|rule| ApiError::invalid("after", &rule.to_string()))?;
    for (span, since, before) in [
        (&mut wanted.saved, "savedSince", "savedBefore"),
        (&mut wanted.reserved, "reservedSince", "reservedBefore"),
        (&mut wanted.assigned, "assignedSince", "assignedBefore"),
    ] {
        (span.since, span.before) = (moment(query, since)?, moment(query, before)?);
    }
    Ok(wanted)
}

/// A date of the query.
fn moment(query: &Query, name: &str) -> Result<Option<SystemTime>, ApiError> {
    let read = |text: &str| text.parse::<Timestamp>().map(SystemTime::from);
    query.get(name).map(read).transpose().map_err(|_| {
        ApiError::invalid(name, "must be a date and time such as 2026-01-31T12:00:00Z (in a URL, + is %2B)")
    })
}

/// The one that the caller likes best, by its header `Accept`; NDJSON if it likes both as much.
fn accepted(headers: &HeaderMap) -> Result<Form, ApiError> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<(&str, f32)> = accepted.flat_map(|value| value.split(',')).map(liked).collect();
    let likes = |form: Form| {
        let (kind, _) = form.name().split_once('/').unwrap_or_default();
        let any_of_kind = format!("{kind}/*");
        // The most precise of them counts.
        let of = |name: &str| accepted.iter().find(|(range, _)| range.eq_ignore_ascii_case(name));
        let found = of(form.name()).or_else(|| of(&any_of_kind)).or_else(|| of("*/*"));
        found.map_or(if accepted.is_empty() { 1.0 } else { 0.0 }, |(_, quality)| *quality)
    };
    let (ndjson, csv) = (likes(Form::Ndjson), likes(Form::Csv));
    if ndjson.max(csv) <= 0.0 {
        let message = "codes come as application/x-ndjson or text/csv: accept one of them";
        return Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "notAcceptable", message));
    }
    Ok(if csv > ndjson { Form::Csv } else { Form::Ndjson })
}

/// A range of a header `Accept`, and how much it is liked.
fn liked(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, quality.and_then(|quality| quality.parse().ok()).unwrap_or(1.0))
}

/// A reply that is under way.
struct Exported {
    codes: BoxStream<'static, Vec<Result<StoredCode, Error>>>,
    form: Form,
    begun: Instant,
    count: u64,
    outcome: Outcome,
    /// That of the request, which is over for whoever counts requests.
    span: Span,
    _place: OwnedSemaphorePermit,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Whole,
    Failed,
    /// By its caller, or because the host stops.
    Left,
}

impl Exported {
    fn lines(self) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
        stream::unfold(Some(self), async |exported| {
            let mut exported = exported.filter(|exported| exported.outcome == Outcome::Left)?;
            let lines = exported.next().await?;
            Some((lines, Some(exported)))
        })
    }

    /// The next lines; None at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let Ok(piece) = timeout(SILENT, self.codes.next()).await else {
            return Some(Ok(Bytes::from_static(b"\n")));
        };
        let Some(piece) = piece else {
            self.outcome = Outcome::Whole;
            return None;
        };
        let mut error = None;
        let codes = piece.into_iter().map_while(|code| code.map_err(|failed| error = Some(failed)).ok());
        let mut count = 0;
        let lines = self.form.write(codes.inspect(|_| count += 1).map(KnownCode::from));
        match error {
            // What came with it comes again to whoever goes on.
            Some(error) => {
                self.outcome = Outcome::Failed;
                // Says in the log what was wrong.
                let _ = self.span.in_scope(|| ApiError::from(error));
                Some(Err(Broken))
            }
            None => {
                self.count += count;
                Some(Ok(lines.into()))
            }
        }
    }
}

/// Ends the connection in the middle of the reply, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the export has failed")]
struct Broken;

impl Drop for Exported {
    fn drop(&mut self) {
        let outcome = match self.outcome {
            Outcome::Whole => "whole",
            Outcome::Failed => "failed",
            Outcome::Left => "left",
        };
        let milliseconds = self.begun.elapsed().as_secs_f64() * 1000.0;
        let codes = self.count;
        self.span.in_scope(|| tracing::info!(codes, milliseconds, outcome, "an export has ended"));
    }
}
