//! The calls of `tests/vectors/calls.json`, which every face answers alike.

use std::time::{SystemTime, UNIX_EPOCH};

use code_service::{
    CampaignId, Code, CodeService, CodeType, Error, ReservationState, Reserve, ReserveId, Result, Rows,
    SettleReport,
};
use code_service_tests::vectors::{self, Step, shown};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::Ground;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct Args {
    campaign_id: String,
    r#type: String,
    codes: Vec<String>,
    code: String,
    file: Option<String>,
    count: u32,
    partial: bool,
    reserve_id: Option<String>,
}

#[tokio::test]
async fn every_call_answers_as_the_table_says() {
    for case in vectors::calls() {
        let ground = Ground::new(0).await;
        for Step { call, args, answers, error } in case.steps {
            let args = serde_json::from_value(args).expect("arguments");
            let (said, expected) = match (answer(&ground.service, &call, args).await, error) {
                (Ok(said), None) => (said, answers),
                (Err(said), Some(expected)) => (described(&said), expected),
                (said, expected) => panic!("{}: {call}: {said:?}, not {expected:?}", case.name),
            };
            assert_eq!(shown(&said, &expected), expected, "{}: {call}", case.name);
        }
    }
}

async fn answer(service: &CodeService, call: &str, args: Args) -> Result<Value> {
    let campaign = || CampaignId::parse(&*args.campaign_id);
    let code_type = || CodeType::parse(&*args.r#type);
    let id = args.reserve_id.as_ref().map(|id| ReserveId::parse(&**id));
    Ok(match call {
        "save" => {
            let rows = match args.file {
                None => Rows::codes(args.codes.clone()),
                Some(file) => Rows::csv(futures_util::stream::iter([Ok::<_, std::io::Error>(file)])),
            };
            let report = service.save(&campaign()?, &code_type()?, rows).await?;
            let rejections: Vec<Value> =
                report.rejections.iter().map(|row| json!({ "row": row.row })).collect();
            json!({
                "in": report.rows, "inserted": report.inserted, "updated": report.updated,
                "rejected": report.rejected, "rejections": rejections,
            })
        }
        "reserve" => {
            let mut wish = Reserve::new(campaign()?, code_type()?, args.count);
            (wish.partial, wish.reserve_id) = (args.partial, id.transpose()?);
            let reservation = service.reserve(wish).await?;
            json!({
                "reserveId": reservation.reserve_id.as_str(), "codes": texts(&reservation.codes),
                "replayed": reservation.replayed,
            })
        }
        "reservation" => held(service.reservation(&id.expect("given")?).await?),
        "recover" => held(service.recover(&id.expect("given")?).await?),
        "assign" => {
            let codes = Code::parse_all(args.codes.clone())?;
            settled(service.assign(&campaign()?, codes, id.transpose()?.as_ref()).await?)
        }
        "release" => {
            let codes = Code::parse_all(args.codes.clone())?;
            settled(service.release(&campaign()?, codes, id.transpose()?.as_ref()).await?)
        }
        "count" => {
            let counts = service.count(&campaign()?, &code_type()?).await?;
            json!({
                "available": counts.available, "reserved": counts.reserved, "assigned": counts.assigned,
            })
        }
        "find" => match service.find(&campaign()?, &Code::parse(&*args.code).expect("a code")).await? {
            None => Value::Null,
            Some(stored) => {
                assert!(stored.saved.is_some_and(|saved: SystemTime| saved > UNIX_EPOCH));
                json!({
                    "code": stored.code.as_str(), "type": stored.code_type.as_str(),
                    "status": stored.status.as_str(), "reserveId": stored.reserve_id.map(|id| id.as_str().to_owned()),
                })
            }
        },
        other => panic!("{other} is no call"),
    })
}

fn texts(codes: &[Code]) -> Vec<&str> {
    codes.iter().map(Code::as_str).collect()
}

fn held(state: Option<ReservationState>) -> Value {
    let Some(state) = state else { return Value::Null };
    let status = |code: &code_service::StoredCode| json!({ "code": code.code.as_str(), "status": code.status.as_str() });
    json!({
        "reserveId": state.reserve_id.as_str(), "campaignId": state.campaign.as_str(),
        "type": state.code_type.as_str(), "codes": state.codes.iter().map(status).collect::<Vec<_>>(),
    })
}

fn settled(report: SettleReport) -> Value {
    json!({ "in": report.given, "updated": report.updated, "lost": texts(&report.lost) })
}

fn described(error: &Error) -> Value {
    let mut described = json!({ "code": error.kind().as_str() });
    match error {
        Error::InvalidArgument { field, .. } => described["argument"] = json!(field),
        Error::NotEnoughCodes { wanted, available } => {
            (described["wanted"], described["available"]) = (json!(wanted), json!(available));
        }
        _ => {}
    }
    described
}
