//! `count`: the codes of a campaign by status.

use code_service::{CampaignId, Status};

use crate::cli::Count;
use crate::config::Config;

pub(crate) async fn run(config: &Config, arguments: &Count) -> Result<(), String> {
    let campaign = CampaignId::parse(&arguments.campaign).map_err(|e| e.to_string())?;
    let code_type = super::allowed_type(config, &arguments.code_type)?;
    let only = arguments.status.as_deref().map(Status::parse).transpose().map_err(|e| e.to_string())?;
    let service = super::connect(config, None).await?;
    let counts = service.count(&campaign, &code_type).await.map_err(|e| super::sentence(&e))?;
    match only {
        Some(status) => println!("{}", counts.of(status)),
        None => {
            for status in Status::ALL {
                println!("{:<10} {:>12}", status.as_str(), counts.of(status));
            }
        }
    }
    Ok(())
}
