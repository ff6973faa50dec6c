//! `count`: the codes of a campaign by status.

use code_service::Status;

use super::exit::Failure;
use super::{Configuration, backend, output};
use crate::cli::Count;

pub(crate) async fn run(configuration: &Configuration, arguments: Count) -> Result<(), Failure> {
    let Count { common, code_type, status } = arguments;
    let backend = backend::open(&common.through, configuration).await?;
    let counts = backend.count(&common.campaign, &backend.allowed_type(&code_type)?).await?;
    match status {
        Some(status) if common.json => {
            output::json(&serde_json::json!({ status.as_str(): counts.of(status) }))
        }
        Some(status) => output::line(counts.of(status)),
        None if common.json => output::json(&counts),
        None => output::numbers(&Status::ALL.map(|status| (status.as_str(), counts.of(status)))),
    }
}
