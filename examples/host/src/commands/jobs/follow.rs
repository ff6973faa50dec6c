//! Following a job until it ends, through hosts that come and go.

use std::time::{Duration, Instant};

use code_service::CampaignId;
use indicatif::{HumanCount, ProgressBar};
use tokio::signal::ctrl_c;
use tokio::time::sleep;

use crate::cli::Common;
use crate::commands::backend::{Backend, Job, JobState};
use crate::commands::exit::{Exit, Failure};
use crate::commands::output;

/// How often to look, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// For how long nobody may answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long without a host that begins it somebody should know. Hosts look every two seconds.
const QUEUED: Duration = Duration::from_secs(10);

/// The job as it ended. Ctrl-C ends only the following.
pub(crate) async fn follow(backend: &dyn Backend, common: &Common, id: &str) -> Result<Job, Failure> {
    let bar = output::bar_of_bytes(None);
    let ended = tokio::select! {
        ended = until_it_ends(backend, &common.campaign, id, &bar) => ended,
        _ = ctrl_c() => {
            let message = format!("the job goes on: `{}` shows it again", follow_command(common, id));
            Err(Failure::new(Exit::Interrupted, message))
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
) -> Result<Job, Failure> {
    let (mut pause, most) = LOOK;
    let begun = Instant::now();
    let (mut answered, mut told) = (begun, false);
    loop {
        match backend.job(campaign, id).await {
            Ok(job) if job.state().has_ended() => return Ok(job),
            Ok(job) => {
                answered = Instant::now();
                show(&job, bar);
                if job.state() == JobState::Queued && !told && begun.elapsed() >= QUEUED {
                    told = true;
                    let message =
                        "the job is still queued: hosts are busy with others, or none runs jobs; it waits on";
                    bar.suspend(|| eprintln!("{message}"));
                }
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

fn show(job: &Job, bar: &ProgressBar) {
    match job {
        Job::Import(job) => {
            output::set_bytes(bar, job.bytes, job.size);
            bar.set_message(format!("{}  {} rows", job.state, HumanCount(job.r#in)));
        }
        Job::Export(job) => {
            output::set_bytes(bar, job.bytes, None);
            bar.set_message(job.state.to_string());
        }
    }
}

/// The command that follows a job, as a shell takes it.
fn follow_command(common: &Common, id: &str) -> String {
    let mut words = vec!["code-service-host", "jobs", "follow", id, "--campaign", common.campaign.as_str()];
    if let Some(url) = &common.through.url {
        words.extend(["--url", url]);
    }
    let token_file = common.through.token_file.as_deref().map(|file| file.to_string_lossy());
    if let Some(file) = &token_file {
        words.extend(["--token-file", file]);
    }
    words.into_iter().map(output::quoted).collect::<Vec<_>>().join(" ")
}
