//! Errors to the outside: `{"error":{"status","message","payload"},"meta":…}`.
//!
//! The payload is a short word that programs look at. The words of the deployed service stand beside those of
//! the crate `code-service`. A cause is logged once, here, and never sent.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use code_service::Error;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::reply::Meta;

/// An error as it is sent.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    payload: &'static str,
    message: String,
    /// Fields beside those that every error has.
    details: Map<String, Value>,
    retry_after: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, payload: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, payload, message: message.into(), details: Map::new(), retry_after: false }
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

    fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.details.insert(field.to_owned(), value.into());
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
                ApiError::bad_request(payload, message).with("field", field)
            }
            Error::NotEnoughCodes { wanted, available } => {
                ApiError::new(StatusCode::CONFLICT, payload, message)
                    .with("wanted", wanted)
                    .with("available", available)
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
                error.with("reserveId", reserve_id.as_str())
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

#[derive(Serialize)]
struct Envelope {
    error: Map<String, Value>,
    meta: Meta,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = self.details;
        error.insert("status".to_owned(), json!(self.status.as_u16()));
        error.insert("message".to_owned(), json!(self.message));
        error.insert("payload".to_owned(), json!(self.payload));
        let mut response = (self.status, Json(Envelope { error, meta: Meta::now() })).into_response();
        if self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
