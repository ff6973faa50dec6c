//! Following an import until it ends, through hosts that come and go.

use std::time::{Duration, Instant};

use code_service::CampaignId;
use indicatif::{HumanCount, ProgressBar};
use tokio::signal::ctrl_c;
use tokio::time::sleep;

use crate::commands::backend::{Backend, ImportJob};
use crate::commands::exit::Failure;
use crate::commands::output;

/// How often to look, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// For how long nobody may answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The import as it ended. Ctrl-C ends only the following.
pub(crate) async fn follow(
    backend: &dyn Backend,
    campaign: &CampaignId,
    id: &str,
) -> Result<ImportJob, Failure> {
    let bar = output::bar_of_bytes(None);
    let ended = tokio::select! {
        ended = until_it_ends(backend, campaign, id, &bar) => ended,
        _ = ctrl_c() => {
            let message = format!("the import goes on: `code-service-host jobs follow {id}` shows it again");
            Err(message.into())
        }
    };
    bar.finish_and_clear();
    ended
}

async fn until_it_ends(
    backend: &dyn Backend,
    campaign: &CampaignId,
    id: &str,
    bar: &ProgressBar,
) -> Result<ImportJob, Failure> {
    let (mut pause, most) = LOOK;
    let mut answered = Instant::now();
    loop {
        match backend.import(campaign, id).await {
            Ok(job) if job.state.has_ended() => return Ok(job),
            Ok(job) => {
                answered = Instant::now();
                output::set_bytes(bar, job.bytes, job.size);
                bar.set_message(format!("{}  {} rows", job.state, HumanCount(job.r#in)));
            }
            Err(failure) if failure.is_passing() && answered.elapsed() < PATIENCE => {
                bar.set_message(failure.message);
            }
            Err(failure) => return Err(failure),
        }
        sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}
