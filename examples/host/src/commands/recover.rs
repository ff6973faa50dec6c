//! `recover`: what became of a reserve.

use super::exit::{Exit, Failure};
use super::output::shown;
use super::{Configuration, backend, output};
use crate::cli::Recover;

pub(crate) async fn run(configuration: &Configuration, arguments: Recover) -> Result<(), Failure> {
    let Recover { common, reserve_id } = arguments;
    let backend = backend::open(&common.through, configuration).await?;
    let held = backend.recover(&common.campaign, &reserve_id).await?.ok_or_else(|| {
        let message = "no codes are reserved under this reserveId in this campaign";
        Failure::worded("not_found", message, Exit::NotFound)
    })?;
    if common.json {
        return output::json(&held);
    }
    eprintln!(
        "{} codes of type {} were reserved {}, until {}",
        held.count, held.r#type, held.reserved, held.expires
    );
    let rows = held.codes.into_iter().map(|held| vec![shown(&held.code), held.status]);
    output::table(&["code", "status"], &[], rows.collect())
}
