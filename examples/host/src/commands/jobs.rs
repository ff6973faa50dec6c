//! `jobs`: imports that hosts run.

mod follow;

use futures_util::StreamExt;

use super::backend::{ImportJob, JobState};
use super::exit::{Exit, Failure};
use super::output::shown;
use super::{Configuration, backend, output};
use crate::cli::{Common, Job, Jobs};

pub(crate) use follow::follow;

pub(crate) async fn run(configuration: &Configuration, arguments: Jobs) -> Result<(), Failure> {
    match arguments.job {
        Job::List(common) => list(configuration, common).await,
        Job::Show(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            print(&backend.import(&job.common.campaign, &job.id).await?, job.common.json)
        }
        Job::Follow(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            let ended = follow(&*backend, &job.common.campaign, &job.id).await?;
            print(&ended, job.common.json)?;
            outcome(&ended)
        }
        Job::Cancel(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            print(&backend.cancel_import(&job.common.campaign, &job.id).await?, job.common.json)
        }
        Job::Undo(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            backend.undo_import(&job.common.campaign, &job.id).await?;
            let ended = follow(&*backend, &job.common.campaign, &job.id).await?;
            print(&ended, job.common.json)?;
            match ended.state {
                JobState::Undone => Ok(()),
                _ => Err(ended.error.unwrap_or_else(|| "the import was not undone".to_owned()).into()),
            }
        }
        Job::Rejected(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            let mut rows = backend.rejected(&job.common.campaign, &job.id).await?;
            if !job.common.json {
                output::line("row,reason")?;
            }
            while let Some(rejected) = rows.next().await {
                let rejected = rejected?;
                if job.common.json {
                    output::json(&rejected)?;
                } else {
                    // Our own words, which hold no quote.
                    output::line(format_args!("{},\"{}\"", rejected.row, rejected.reason))?;
                }
            }
            Ok(())
        }
    }
}

async fn list(configuration: &Configuration, common: Common) -> Result<(), Failure> {
    let backend = backend::open(&common.through, configuration).await?;
    let list = backend.imports(&common.campaign).await?;
    if common.json {
        return output::json(&list);
    }
    let rows = list.imports.into_iter().map(|job| {
        vec![
            job.id,
            job.state.to_string(),
            shown(&job.r#type),
            job.r#in.to_string(),
            job.inserted.to_string(),
            job.updated.to_string(),
            job.rejected.to_string(),
            job.created,
            shown(&job.file),
        ]
    });
    let header = ["id", "state", "type", "in", "inserted", "updated", "rejected", "created", "file"];
    output::table(&header, &[3, 4, 5, 6], rows.collect())
}

/// Prints all that is known of an import.
pub(crate) fn print(job: &ImportJob, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(job);
    }
    let mut fields = vec![
        ("id", job.id.clone()),
        ("state", job.state.to_string()),
        ("type", shown(&job.r#type)),
        ("file", shown(&job.file)),
        ("dry run", if job.dry_run { "yes" } else { "no" }.to_owned()),
        ("in", job.r#in.to_string()),
        ("inserted", job.inserted.to_string()),
        ("updated", job.updated.to_string()),
        ("rejected", job.rejected.to_string()),
        ("rows/s", job.rate.to_string()),
        ("created", job.created.clone()),
    ];
    fields.extend(job.started.clone().map(|started| ("started", started)));
    fields.extend(job.ended.clone().map(|ended| ("ended", ended)));
    fields.extend(job.error.as_deref().map(|error| ("error", shown(error))));
    if let Some(undo) = &job.undo {
        fields.extend([("removed", undo.removed.to_string()), ("kept", undo.kept.to_string())]);
        fields.push(("saved again", undo.saved_again.to_string()));
    }
    let lines: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name:<11} {value}")).collect();
    output::line(lines.join("\n"))
}

/// What an import that has ended came to.
pub(crate) fn outcome(job: &ImportJob) -> Result<(), Failure> {
    match job.state {
        JobState::Failed => {
            let why = job.error.as_deref().unwrap_or("nobody has said why");
            Err(format!("the import has failed: {}", shown(why)).into())
        }
        JobState::Cancelled => Err(Failure::new(Exit::Failed, "the import was cancelled")),
        JobState::Queued | JobState::Running | JobState::Completed | JobState::Undoing | JobState::Undone => {
            Ok(())
        }
    }
}
