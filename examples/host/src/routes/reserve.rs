//! `GET /:campaignId/reserve`

use axum::extract::State;
use code_service::{Code, MAX_RESERVE, Reserve};
use serde_json::{Value, json};

use super::App;
use super::request::{Campaign, Query};
use crate::auth::Supreme;
use crate::config::ReserveReply;
use crate::error::ApiError;
use crate::reply::Reply;

pub(super) async fn reserve(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
) -> Result<Reply<Value>, ApiError> {
    let (Some(count), Some(code_type)) = (query.get("count"), query.get("type")) else {
        return Err(missing());
    };
    let code_type = app.allowed_type(code_type)?;
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count = number(digits.then(|| count.parse().ok()).flatten())?;
    let mut wish = Reserve::new(campaign, code_type, count);
    wish.partial = true;
    let reservation = app.service.reserve(wish).await?;
    Ok(Reply::ok(match app.config.replies.reserve {
        ReserveReply::Object => {
            json!({ "codes": texts(reservation.codes), "reserveId": reservation.reserve_id.as_str() })
        }
        ReserveReply::Array => json!(texts(reservation.codes)),
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
pub(super) fn texts(codes: Vec<Code>) -> Vec<String> {
    codes.into_iter().map(Code::into_string).collect()
}
