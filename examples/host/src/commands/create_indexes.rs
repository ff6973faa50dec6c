//! `create-indexes`: what a deployment runs before its pods.

use crate::config::Config;

pub(crate) async fn run(config: &Config) -> Result<(), String> {
    let service = super::connect(config, None).await?;
    service.ensure_indexes().await.map_err(|e| super::sentence(&e))?;
    println!("the indexes are in place");
    Ok(())
}
