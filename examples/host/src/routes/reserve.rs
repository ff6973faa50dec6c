//! `GET /:campaignId/reserve`

use axum::extract::State;
use code_service::{Code, MAX_RESERVE, Reserve};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::request::{Campaign, Query};
use super::schema;
use crate::auth::Supreme;
use crate::config::ReserveReply;
use crate::error::{ApiError, Refused};
use crate::reply::{Envelope, Reply};

/// What was reserved.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Reserved {
    /// Unless it is configured otherwise.
    Named {
        codes: Vec<schema::Code>,
        #[serde(rename = "reserveId")]
        reserve_id: String,
    },
    /// The codes alone, where `titan.replies.reserve` is `array`.
    Bare(Vec<schema::Code>),
}

/// Reserves up to so many codes
///
/// Every call is a new reservation. Fewer codes than asked for are all that were available. Use
/// `PUT /{campaignId}/reservations/{reserveId}` for a call that can be repeated.
#[utoipa::path(
    get,
    path = "/{campaignId}/reserve",
    tag = "codes",
    operation_id = "reserve",
    params(
        schema::OfCampaign,
        ("count" = u32, Query, minimum = 1, maximum = 100000, description = "How many codes", example = 2),
        ("type" = schema::CodeType, Query, description = "The type of the codes")
    ),
    responses((status = 200, description = "The codes", body = Envelope<Reserved>), Refused),
    security(("token" = []))
)]
pub(super) async fn reserve(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
) -> Result<Reply<Reserved>, ApiError> {
    let (Some(count), Some(code_type)) = (query.get("count"), query.get("type")) else {
        return Err(missing());
    };
    let code_type = app.allowed_type(code_type)?;
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count = number(digits.then(|| count.parse().ok()).flatten())?;
    let mut wish = Reserve::new(campaign, code_type, count);
    wish.partial = true;
    let reservation = app.service.reserve(wish).await?;
    let codes = listed(reservation.codes);
    let reserve_id = reservation.reserve_id.as_str().to_owned();
    Ok(Reply::ok(match app.config.replies.reserve {
        ReserveReply::Object => Reserved::Named { codes, reserve_id },
        ReserveReply::Array => Reserved::Bare(codes),
    }))
}

/// The reply to a reserve without a count or a type.
pub(super) fn missing() -> ApiError {
    ApiError::bad_request("missingCodeReserveParams", "say how many codes of which type: count and type")
}

/// A count that can be reserved.
pub(super) fn number(count: Option<u64>) -> Result<u32, ApiError> {
    count
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (1..=MAX_RESERVE).contains(count))
        .ok_or_else(|| {
            let message = format!("the count must be a whole number from 1 to {MAX_RESERVE}");
            ApiError::bad_request("invalidCount", message)
        })
}

/// Codes as a reply lists them.
pub(super) fn listed(codes: Vec<Code>) -> Vec<schema::Code> {
    codes.into_iter().map(schema::Code::from).collect()
}
