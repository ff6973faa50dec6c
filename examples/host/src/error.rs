//! Errors to the outside: `{"error":{"status","message","payload"},"meta":…}`.
//!
//! The payload is a short word that programs look at. The words of the deployed service stand beside those of
//! the crate `code-service`. A cause is logged once, here, and never sent.

use std::ops::RangeInclusive;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use code_service::Error;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::reply::Meta;

/// After how many seconds to try again. Not the same for all: whoever was refused together would come together again.
const RETRY_AFTER: RangeInclusive<u16> = 1..=3;

/// An error as it is sent.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    /// In a box: replies are mostly good, and should not carry its size along.
    body: Box<Body>,
    retry_after: bool,
}

/// What went wrong.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    /// The status of the reply.
    status: u16,
    /// A sentence for people.
    message: String,
    /// A word for programs.
    payload: &'static str,
    /// The argument that breaks a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// How many codes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u64>,
    /// How many were available.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
    /// Under which id codes may be held: recover it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reserve_id: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, payload: &'static str, message: impl Into<String>) -> Self {
        let body = Body { status: status.as_u16(), message: message.into(), payload, ..Body::default() };
        ApiError { status, body: Box::new(body), retry_after: false }
    }

    pub(crate) fn bad_request(payload: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, payload, message)
    }

    /// 400 for an argument that breaks a rule, by its name.
    pub(crate) fn invalid(field: &str, reason: &str) -> Self {
        Error::InvalidArgument { field: field.to_owned(), reason: reason.to_owned() }.into()
    }

    pub(crate) fn not_found(payload: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::NOT_FOUND, payload, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        error.retry_after = true;
        error
    }

    /// The reply to a fault of our own; what it was is in the log.
    pub(crate) fn internal() -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internalServerError", "the service failed")
    }

    fn with(mut self, detail: impl FnOnce(&mut Body)) -> Self {
        detail(&mut self.body);
        self
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let payload = error.kind().as_str();
        let message = error.to_string();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        match error {
            Error::InvalidArgument { field, .. } => {
                ApiError::bad_request(payload, message).with(|body| body.field = Some(field))
            }
            Error::NotEnoughCodes { wanted, available } => {
                ApiError::new(StatusCode::CONFLICT, payload, message).with(|body| {
                    body.wanted = Some(wanted);
                    body.available = Some(available);
                })
            }
            Error::ReservationMismatch { .. } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, payload, message)
            }
            Error::ReservationExpired => ApiError::new(StatusCode::GONE, payload, message),
            Error::Unavailable { .. } => {
                tracing::warn!(cause, "{message}");
                ApiError::unavailable(message)
            }
            Error::OutcomeUnknown { reserve_id, .. } => {
                tracing::warn!(cause, "{message}");
                let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, payload, message);
                error.retry_after = true;
                error.with(|body| body.reserve_id = Some(reserve_id.as_str().to_owned()))
            }
            // A call that comes while the host stops; the next host answers.
            Error::Closed => {
                let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, payload, message);
                error.retry_after = true;
                error
            }
            Error::CorruptData { .. } | Error::Internal { .. } => {
                tracing::error!(cause, "{message}");
                ApiError::internal()
            }
        }
    }
}

/// What a reply carries when it is an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope {
    error: Box<Body>,
    meta: Meta,
}

/// How any call can be refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum Refused {
    /// An argument is missing or breaks a rule.
    #[response(status = 400)]
    BadRequest(ErrorEnvelope),
    /// The token is not valid, or there is none where one is needed.
    #[response(status = 401)]
    Unauthorized(ErrorEnvelope),
    /// The caller is not supreme.
    #[response(status = 403)]
    Forbidden(ErrorEnvelope),
    /// The service failed; its log says why.
    #[response(status = 500)]
    Internal(ErrorEnvelope),
    /// The database is away, or too many requests are being answered: try again.
    #[response(status = 503)]
    Unavailable(ErrorEnvelope),
}

/// How a call with a body can be refused besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum BodyRefused {
    /// The body stopped coming.
    #[response(status = 408)]
    Timeout(ErrorEnvelope),
    /// The body is too long.
    #[response(status = 413)]
    TooLarge(ErrorEnvelope),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response =
            (self.status, Json(ErrorEnvelope { error: self.body, meta: Meta::now() })).into_response();
        if self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, rand::random_range(RETRY_AFTER).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
