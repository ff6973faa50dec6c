//! `PUT` and `GET /:campaignId/reservations/:reserveId`, and `POST …/recover`

use axum::extract::State;
use code_service::{CampaignId, ReservationState, Reserve};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::body::Json;
use super::request::Reservation;
use super::reserve::{listed, missing, number};
use super::schema;
use crate::auth::Supreme;
use crate::error::{ApiError, BodyRefused, ErrorEnvelope, Refused};
use crate::reply::{Envelope, Reply, timestamp};

/// What to reserve under the id.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(rename = "type")]
    #[schema(value_type = schema::CodeType, required)]
    code_type: Option<Value>,
    #[schema(value_type = u32, required, minimum = 1, maximum = 100_000, example = 2)]
    count: Option<Value>,
    /// Whether fewer will do when fewer are available; false unless given.
    #[schema(value_type = Option<bool>)]
    partial: Option<Value>,
}

/// Codes that are held under an id.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Held<T> {
    reserve_id: String,
    r#type: String,
    count: usize,
    codes: Vec<T>,
    #[schema(format = DateTime)]
    reserved: String,
    #[schema(format = DateTime)]
    expires: String,
}

/// One of them, and what has become of it.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldCode {
    code: schema::Code,
    /// `available`, `reserved` or `assigned`
    status: &'static str,
}

/// Reserves codes under an id of the caller's
///
/// The call can be repeated: the same id has the same codes until they expire.
#[utoipa::path(
    put,
    path = "/{campaignId}/reservations/{reserveId}",
    tag = "reservations",
    operation_id = "reserveUnder",
    params(schema::OfReservation),
    request_body = Wish,
    responses(
        (status = 201, description = "Reserved now", body = Envelope<Held<schema::Code>>),
        (status = 200, description = "Reserved by an earlier call under the id", body = Envelope<Held<schema::Code>>),
        (status = 409, description = "Too few are available; nothing is held", body = ErrorEnvelope),
        (status = 410, description = "The reservation has expired or was released: use a new id", body = ErrorEnvelope),
        (status = 422, description = "The id was used with another campaign, type or count", body = ErrorEnvelope),
        Refused,
        BodyRefused
    ),
    security(("token" = []))
)]
pub(super) async fn put(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
    Json(wish): Json<Wish>,
) -> Result<Reply<Held<schema::Code>>, ApiError> {
    let (Some(count), Some(code_type)) = (wish.count, wish.code_type) else { return Err(missing()) };
    let code_type = app.allowed_type(code_type.as_str().unwrap_or_default())?;
    let mut wish_for = Reserve::new(campaign, code_type, number(whole(&count))?);
    wish_for.reserve_id = Some(id);
    wish_for.partial = match wish.partial {
        None => false,
        Some(Value::Bool(partial)) => partial,
        Some(_) => return Err(ApiError::invalid("partial", "must be true or false")),
    };
    let reservation = app.service.reserve(wish_for).await?;
    let replayed = reservation.replayed;
    let held = Held {
        reserve_id: reservation.reserve_id.as_str().to_owned(),
        r#type: reservation.code_type.as_str().to_owned(),
        count: reservation.codes.len(),
        codes: listed(reservation.codes),
        reserved: timestamp(reservation.reserved),
        expires: timestamp(reservation.expires),
    };
    Ok(if replayed { Reply::ok(held) } else { Reply::created(held) })
}

/// A whole number, however it is written: in JSON, 2.0 is one.
fn whole(number: &Value) -> Option<u64> {
    let written = number.as_f64().filter(|number| number.fract() == 0.0)?;
    // None that is larger is a count.
    (0.0..=f64::from(u32::MAX)).contains(&written).then_some(written as u64)
}

/// Looks a reservation up
///
/// A reserve that is at work under the id is not waited for.
#[utoipa::path(
    get,
    path = "/{campaignId}/reservations/{reserveId}",
    tag = "reservations",
    operation_id = "reservation",
    params(schema::OfReservation),
    responses(
        (status = 200, description = "What is held under the id", body = Envelope<Held<HeldCode>>),
        (status = 404, description = "Nothing is", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn get(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
) -> Result<Reply<Held<HeldCode>>, ApiError> {
    reply(app.service.reservation(&id).await?, &campaign)
}

/// Finds out what became of a reserve
///
/// Waits for one that is at work under the id, and gives back what one that has died has left. What it says stays so.
#[utoipa::path(
    post,
    path = "/{campaignId}/reservations/{reserveId}/recover",
    tag = "reservations",
    operation_id = "recover",
    params(schema::OfReservation),
    responses(
        (status = 200, description = "What is held under the id", body = Envelope<Held<HeldCode>>),
        (status = 404, description = "Nothing is", body = ErrorEnvelope),
        Refused
    ),
    security(("token" = []))
)]
pub(super) async fn recover(
    _: Supreme,
    State(app): State<App>,
    Reservation(campaign, id): Reservation,
) -> Result<Reply<Held<HeldCode>>, ApiError> {
    reply(app.service.recover(&id).await?, &campaign)
}

fn reply(found: Option<ReservationState>, campaign: &CampaignId) -> Result<Reply<Held<HeldCode>>, ApiError> {
    let found = found.filter(|found| found.campaign == *campaign).ok_or_else(|| {
        ApiError::not_found("not_found", "no codes are reserved under this reserveId in this campaign")
    })?;
    let codes = found.codes.into_iter();
    let codes: Vec<HeldCode> =
        codes.map(|stored| HeldCode { status: stored.status.as_str(), code: stored.code.into() }).collect();
    Ok(Reply::ok(Held {
        reserve_id: found.reserve_id.as_str().to_owned(),
        r#type: found.code_type.as_str().to_owned(),
        count: codes.len(),
        codes,
        reserved: timestamp(found.reserved),
        expires: timestamp(found.expires),
    }))
}
