//! `/dev/…`: for development, only where `titan.devEndpoints.enabled` says so.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::body::Json;
use crate::auth::{Caller, Supreme};
use crate::error::ApiError;
use crate::reply::Reply;

/// How long a token is good for, in seconds.
const TOKEN_LIFE: u64 = 3600;

/// The claims of the caller's token.
pub(super) async fn auth(caller: Caller) -> Reply<Value> {
    Reply::ok(json!(*caller.claims))
}

/// Whether the caller is supreme.
pub(super) async fn supremes(_: Supreme) -> Reply<Value> {
    Reply::ok(json!({ "isSupreme": true }))
}

/// Fails, to see what a failure looks like.
pub(super) async fn internal_server_error(_: Caller) -> ApiError {
    ApiError::internal()
}

/// For whom a token is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct For {
    user_id: Option<Value>,
    is_supreme: Option<Value>,
}

/// A token signed with the configured private key.
pub(super) async fn token(State(app): State<App>, Json(wanted): Json<For>) -> Result<Reply<Value>, ApiError> {
    let signer =
        app.signer.as_ref().ok_or_else(|| ApiError::not_found("notFound", "no private key is configured"))?;
    let (Some(Value::String(user)), Some(Value::Bool(supreme))) = (wanted.user_id, wanted.is_supreme) else {
        let message = "say for whom: {\"userId\":\"me\",\"isSupreme\":true}";
        return Err(ApiError::bad_request("invalid_argument", message));
    };
    let token = signer.sign(&user, supreme, TOKEN_LIFE).map_err(|error| {
        tracing::error!(cause = error, "signing a token failed");
        ApiError::internal()
    })?;
    Ok(Reply::ok(json!({ "token": token })))
}
