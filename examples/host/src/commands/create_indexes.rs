//! `create-indexes`: what a deployment runs before its pods.

use super::exit::Failure;
use super::output;
use crate::config::Config;

pub(crate) async fn run(config: &Config) -> Result<(), Failure> {
    super::connect(config, None).await?.ensure_indexes().await?;
    output::line("the indexes are in place")
}
