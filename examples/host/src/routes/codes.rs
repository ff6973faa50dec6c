//! `POST` and `PUT /:campaignId/codes`: uploads, from the bucket and from the body.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use code_service::{CampaignId, Rows, SaveReport};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::body::{self, Json};
use super::request::{Campaign, Query};
use crate::auth::Supreme;
use crate::error::ApiError;
use crate::reply::Reply;

/// Which file of the bucket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Upload {
    file_key: Option<Value>,
}

pub(super) async fn from_bucket(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    Json(upload): Json<Upload>,
) -> Result<Reply<Value>, ApiError> {
    let invalid = || {
        let message = "fileKey must be codes/{campaignId}/{type}/{file}, with the campaign of the path";
        ApiError::not_found("invalidFileKey", message)
    };
    let key = upload.file_key.as_ref().and_then(Value::as_str).ok_or_else(invalid)?;
    let code_type = app.allowed_type(type_in_key(key, &campaign).ok_or_else(invalid)?)?;
    let file = app.bucket.read(key).await?;
    Ok(reply(&app.service.save(&campaign, &code_type, Rows::csv(file)).await?))
}

/// The type in `codes/{campaignId}/{type}/{file}`; None if the key is of another form or campaign.
fn type_in_key<'a>(key: &'a str, campaign: &CampaignId) -> Option<&'a str> {
    let parts: Vec<&str> = key.split('/').collect();
    let ["codes", of_campaign, code_type, file] = parts[..] else { return None };
    let plain = |part: &str| !["", ".", ".."].contains(&part) && !part.chars().any(char::is_control);
    (of_campaign == campaign.as_str() && plain(code_type) && plain(file)).then_some(code_type)
}

pub(super) async fn from_body(
    _: Supreme,
    State(app): State<App>,
    Campaign(campaign): Campaign,
    query: Query,
    request: Request<Body>,
) -> Result<Reply<Value>, ApiError> {
    let code_type = query
        .get("type")
        .ok_or_else(|| ApiError::bad_request("missingType", "say of which type the codes are: ?type="))?;
    let code_type = app.allowed_type(code_type)?;
    must_be_csv(request.headers())?;
    let rows = body::csv(request, &app).await?;
    Ok(reply(&app.service.save(&campaign, &code_type, rows).await?))
}

fn must_be_csv(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default();
    if ["text/csv", "text/plain"].iter().any(|csv| csv.eq_ignore_ascii_case(essence.trim())) {
        return Ok(());
    }
    Err(ApiError::bad_request("invalidBody", "the body must be CSV: Content-Type: text/csv"))
}

fn reply(report: &SaveReport) -> Reply<Value> {
    let count = json!({ "in": report.rows, "inserted": report.inserted, "updated": report.updated });
    let mut data = json!({ "count": count });
    // The deployed service knew no rejected rows: without any, the reply is the same as its.
    if report.rejected > 0 {
        data["count"]["rejected"] = json!(report.rejected);
        data["rejected"] = report
            .rejections
            .iter()
            .map(|rejection| json!({ "row": rejection.row, "reason": rejection.reason.to_string() }))
            .collect();
    }
    Reply::ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_key_names_campaign_type_and_file() {
        let campaign = CampaignId::parse("tour").expect("valid");
        assert_eq!(type_in_key("codes/tour/tm/a.csv", &campaign), Some("tm"));
        for bad in [
            "",
            "codes/tour/tm",
            "codes/tour/tm/",
            "codes/tour//a.csv",
            "codes/other/tm/a.csv",
            "codes/tour/tm/a/b.csv",
            "codes/tour/tm/..",
            "/codes/tour/tm/a.csv",
            "files/tour/tm/a.csv",
            "codes/tour/tm/a\0.csv",
        ] {
            assert_eq!(type_in_key(bad, &campaign), None, "{bad}");
        }
    }
}
