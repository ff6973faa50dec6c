//! `find`: codes with all that is known of each.

use serde_json::json;

use super::backend::Found;
use super::exit::{Exit, Failure};
use super::output::shown;
use super::{Configuration, backend, codes, output};
use crate::cli::Find;

pub(crate) async fn run(configuration: &Configuration, arguments: Find) -> Result<(), Failure> {
    let Find { common, codes } = arguments;
    let codes = codes::read(codes)?;
    let backend = backend::open(&common.through, configuration).await?;
    let mut rows = Vec::new();
    let mut missing = 0;
    for code in &codes {
        let found = backend.find(&common.campaign, code).await?;
        missing += usize::from(found.is_none());
        match found {
            Some(found) if common.json => output::json(&found)?,
            None if common.json => output::json(&json!({ "code": code.as_str(), "status": NOT_FOUND }))?,
            Some(found) => rows.push(row(found)),
            None => rows.push(vec![code.as_str().to_owned(), String::new(), NOT_FOUND.to_owned()]),
        }
    }
    if !common.json {
        output::table(&["code", "type", "status", "saved", "reserved", "assigned", "reserveId"], &[], rows)?;
    }
    match missing {
        0 => Ok(()),
        missing => {
            let message = format!("the campaign lacks {missing} of {} codes", codes.len());
            Err(Failure::worded(NOT_FOUND, &message, Exit::NotFound))
        }
    }
}

const NOT_FOUND: &str = "not_found";

fn row(found: Found) -> Vec<String> {
    let Found { code, r#type, status, saved, reserved, assigned, reserve_id } = found;
    let or_none = Option::unwrap_or_default;
    vec![
        shown(&code),
        shown(&r#type),
        status,
        or_none(saved),
        or_none(reserved),
        or_none(assigned),
        shown(&or_none(reserve_id)),
    ]
}
