//! `PUT` and `GET /:campaignId/reservations/:reserveId`, and `POST …/recover`

use axum::extract::State;
use code_service::{CampaignId, ReservationState, Reserve};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::body::Json;
use super::request::Reservation;
use super::reserve::{missing, number, texts};
use crate::auth::Supreme;
use crate::error::ApiError;
use crate::reply::{Reply, timestamp};

/// What to reserve under the id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(rename = "type")]
    code_type: Option<Value>,
    count: Option<Value>,
    partial: Option<Value>,
}

pub(super) async fn put(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
    Json(wish): Json<Wish>,
) -> Result<Reply<Value>, ApiError> {
    let (Some(count), Some(code_type)) = (wish.count, wish.code_type) else { return Err(missing()) };
    let code_type = app.allowed_type(code_type.as_str().unwrap_or_default())?;
    let mut wish_for = Reserve::new(campaign, code_type, number(count.as_u64())?);
    wish_for.reserve_id = Some(id);
    wish_for.partial = match wish.partial {
        None => false,
        Some(Value::Bool(partial)) => partial,
        Some(_) => return Err(ApiError::invalid("partial", "must be true or false")),
    };
    let reservation = app.service.reserve(wish_for).await?;
    let replayed = reservation.replayed;
    let data = json!({
        "reserveId": reservation.reserve_id.as_str(),
        "type": reservation.code_type.as_str(),
        "count": reservation.codes.len(),
        "codes": texts(reservation.codes),
        "reserved": timestamp(reservation.reserved),
        "expires": timestamp(reservation.expires),
    });
    Ok(if replayed { Reply::ok(data) } else { Reply::created(data) })
}

pub(super) async fn get(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
) -> Result<Reply<Value>, ApiError> {
    reply(app.service.reservation(&id).await?, &campaign)
}

pub(super) async fn recover(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
) -> Result<Reply<Value>, ApiError> {
    reply(app.service.recover(&id).await?, &campaign)
}

fn reply(found: Option<ReservationState>, campaign: &CampaignId) -> Result<Reply<Value>, ApiError> {
    let found = found.filter(|found| found.campaign == *campaign).ok_or_else(|| {
        ApiError::not_found("not_found", "no codes are reserved under this reserveId in this campaign")
    })?;
    let codes: Vec<Value> = found
        .codes
        .iter()
        .map(|stored| json!({ "code": stored.code.as_str(), "status": stored.status.as_str() }))
        .collect();
    Ok(Reply::ok(json!({
        "reserveId": found.reserve_id.as_str(),
        "type": found.code_type.as_str(),
        "count": codes.len(),
        "codes": codes,
        "reserved": timestamp(found.reserved),
        "expires": timestamp(found.expires),
    })))
}
