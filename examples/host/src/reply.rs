//! The envelope of every reply: `{"data":…,"meta":{"timestamp":…,"correlationId":…}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::correlation;

/// A successful reply.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    status: StatusCode,
    data: T,
}

impl<T> Reply<T> {
    /// 200 with this data.
    pub(crate) fn ok(data: T) -> Self {
        Reply { status: StatusCode::OK, data }
    }

    /// 202 with this data.
    pub(crate) fn accepted(data: T) -> Self {
        Reply { status: StatusCode::ACCEPTED, data }
    }

    /// 201 with this data.
    pub(crate) fn created(data: T) -> Self {
        Reply { status: StatusCode::CREATED, data }
    }
}

/// What a reply carries when it is good.
#[derive(Serialize, ToSchema)]
pub(crate) struct Envelope<T> {
    data: T,
    meta: Meta,
}

/// What every reply carries, good or bad.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    /// When the reply was made, in UTC.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The request's `x-titan-correlation-id`, or a new one.
    correlation_id: String,
}

impl Meta {
    /// The time now and the request's correlation id.
    pub(crate) fn now() -> Self {
        Meta { timestamp: timestamp(std::time::SystemTime::now()), correlation_id: correlation::current() }
    }
}

/// A moment as RFC 3339 in UTC with milliseconds.
pub(crate) fn timestamp(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        (self.status, Json(Envelope { data: self.data, meta: Meta::now() })).into_response()
    }
}
