//! `create-indexes`: what a deployment runs before its pods.

use super::exit::Failure;
use super::{Configuration, output};

pub(crate) async fn run(configuration: &Configuration) -> Result<(), Failure> {
    configuration.connect().await?.0.ensure_indexes().await?;
    output::line("the indexes are in place")
}
