//! Bodies: read whole up to a limit, or passed on in pieces when their length is known.
//!
//! A body over its limit changes nothing, so it must be known to be over before anything is done with it. What
//! has come of such a body, and comes, is read and thrown away for a while: a caller that is still writing
//! when the connection closes would see a broken pipe instead of the reply.

use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use code_service::Rows;
use futures_util::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;

use super::App;
use crate::error::ApiError;
use crate::file::Format;

/// How much of a refused body is read, and for how long.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A JSON object, whatever its content type says.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, ApiError> {
        let body = whole(request, app.config.service.body_limit).await?;
        if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
            return Err(ApiError::bad_request("invalidBody", "the body is no JSON object"));
        }
        serde_json::from_slice(&body).map(Json).map_err(|error| {
            // Never serde's own words: they quote the body, which may hold codes.
            let what = match error.classify() {
                serde_json::error::Category::Data => "has a key twice or an unknown one",
                serde_json::error::Category::Syntax
                | serde_json::error::Category::Eof
                | serde_json::error::Category::Io => "is not JSON",
            };
            let (line, column) = (error.line(), error.column());
            ApiError::bad_request("invalidBody", format!("the body {what}: line {line}, column {column}"))
        })
    }
}

/// The rows of a body. One that does not tell its length is read whole first, so it has to be shorter.
pub(super) async fn rows(request: Request<Body>, app: &App, format: Format) -> Result<Rows, ApiError> {
    let limit = app.config.service.upload_limit;
    match content_length(request.headers()) {
        Some(length) if length > limit => {
            drain(request.into_body().into_data_stream()).await;
            Err(too_long(limit, ""))
        }
        Some(_) => {
            Ok(format
                .rows(request.into_body().into_data_stream().map_err(|error| NotWhole::from(error).into())))
        }
        None => {
            let limit = limit.min(app.config.service.body_limit as u64);
            let body = whole(request, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
            Ok(format.rows(futures_util::stream::iter([Ok(body)])))
        }
    }
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive whole")]
pub(super) struct NotWhole {
    /// Nothing has come for too long.
    silent: bool,
}

impl NotWhole {
    /// What made a save fail, if it was its body.
    pub(super) fn of(error: &code_service::Error) -> Option<&Self> {
        let reader: &io::Error = std::error::Error::source(error)?.downcast_ref()?;
        reader.get_ref()?.downcast_ref()
    }
}

impl From<axum::Error> for NotWhole {
    fn from(error: axum::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<TimeoutError>() {
                return NotWhole { silent: true };
            }
            cause = error.source();
        }
        NotWhole { silent: false }
    }
}

impl From<NotWhole> for io::Error {
    fn from(error: NotWhole) -> Self {
        io::Error::other(error)
    }
}

impl From<&NotWhole> for ApiError {
    fn from(error: &NotWhole) -> Self {
        if error.silent {
            let message = "the body stopped coming: send it again";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "bodyTimeout", message)
        } else {
            ApiError::bad_request("invalidBody", error.to_string())
        }
    }
}

async fn whole(request: Request<Body>, limit: usize) -> Result<Bytes, ApiError> {
    let told = content_length(request.headers());
    let mut pieces = request.into_body().into_data_stream();
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ApiError::from(&NotWhole::from(error)))?;
        if body.len() + piece.len() > limit {
            drain(pieces).await;
            let hint = if told.is_none() { "; a longer file needs its Content-Length" } else { "" };
            return Err(too_long(limit as u64, hint));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Reads what a caller still writes, for a while.
pub(crate) async fn drain(mut pieces: BodyDataStream) {
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    // A caller that is slower than that has had its time.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long(limit: u64, hint: &str) -> ApiError {
    let message = format!("the body is longer than {limit} bytes{hint}");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "bodyTooLarge", message)
}
