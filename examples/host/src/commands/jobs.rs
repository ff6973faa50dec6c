//! `jobs`: imports and exports of the bucket, which hosts run.

mod follow;

use futures_util::StreamExt;

use super::backend::{ExportJob, ImportJob, Job, JobState};
use super::exit::{Exit, Failure};
use super::output::shown;
use super::{Configuration, backend, output};
use crate::bucket::NotOpened;
use crate::cli::{self, Common};

pub(crate) use follow::follow;

pub(crate) async fn run(configuration: &Configuration, arguments: cli::Jobs) -> Result<(), Failure> {
    match arguments.job {
        cli::Job::List(common) => list(configuration, common).await,
        cli::Job::Show(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            print(&backend.job(&job.common.campaign, &job.id).await?, job.common.json)
        }
        cli::Job::Follow(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            let ended = follow(&*backend, &job.common, &job.id).await?;
            print(&ended, job.common.json)?;
            outcome(&ended)
        }
        cli::Job::Cancel(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            print(&backend.cancel(&job.common.campaign, &job.id).await?, job.common.json)
        }
        cli::Job::Undo(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            backend.undo_import(&job.common.campaign, &job.id).await?;
            let ended = follow(&*backend, &job.common, &job.id).await?;
            print(&ended, job.common.json)?;
            match ended.state() {
                JobState::Undone => Ok(()),
                _ => Err(ended.error().map_or("the import was not undone".to_owned(), shown).into()),
            }
        }
        cli::Job::Rejected(job) => {
            let backend = backend::open(&job.common.through, configuration).await?;
            let mut rows = backend.rejected(&job.common.campaign, &job.id).await?;
            if !job.common.json {
                output::line("row,reason")?;
            }
            while let Some(rejected) = rows.next().await {
                let rejected = rejected?;
                if output::reader_has_gone() {
                    break;
                }
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
    let list = backend.jobs(&common.campaign).await?;
    if common.json {
        return output::json(&list);
    }
    let header = [
        "id", "kind", "state", "type", "in", "inserted", "updated", "rejected", "out", "dry run", "created",
        "file",
    ];
    output::table(&header, &[4, 5, 6, 7, 8], list.jobs.into_iter().map(row).collect())
}

fn row(job: Job) -> Vec<String> {
    let (kind, state, none) = (job.kind().to_owned(), job.state().to_string(), String::new);
    match job {
        Job::Import(job) => vec![
            job.id,
            kind,
            state,
            shown(&job.r#type),
            job.r#in.to_string(),
            job.inserted.to_string(),
            job.updated.to_string(),
            job.rejected.to_string(),
            none(),
            if job.dry_run { "yes" } else { "no" }.to_owned(),
            job.created,
            shown(&job.file),
        ],
        Job::Export(job) => vec![
            job.id,
            kind,
            state,
            none(),
            none(),
            none(),
            none(),
            none(),
            job.out.to_string(),
            none(),
            job.created,
            shown(&job.file),
        ],
    }
}

/// Prints a job that nobody waits for: its id, for the commands that look after it.
pub(crate) fn begun(job: &Job, json: bool) -> Result<(), Failure> {
    if json { output::json(job) } else { output::line(job.id()) }
}

/// Prints all that is known of a job.
pub(crate) fn print(job: &Job, json: bool) -> Result<(), Failure> {
    match job {
        _ if json => output::json(job),
        Job::Import(job) => print_import(job),
        Job::Export(job) => print_export(job),
    }
}

fn print_export(job: &ExportJob) -> Result<(), Failure> {
    let mut fields = vec![
        ("id", job.id.clone()),
        ("kind", "export".to_owned()),
        ("state", job.state.to_string()),
        ("file", shown(&job.file)),
        ("out", job.out.to_string()),
        ("bytes", job.bytes.to_string()),
        ("created", job.created.clone()),
    ];
    fields.extend(job.started.clone().map(|started| ("started", started)));
    fields.extend(job.ended.clone().map(|ended| ("ended", ended)));
    fields.extend(job.error.as_deref().map(|error| ("error", shown(error))));
    print_fields(fields)
}

fn print_import(job: &ImportJob) -> Result<(), Failure> {
    let mut fields = vec![
        ("id", job.id.clone()),
        ("kind", "import".to_owned()),
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
    print_fields(fields)
}

fn print_fields(fields: Vec<(&str, String)>) -> Result<(), Failure> {
    let lines: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name:<11} {value}")).collect();
    output::line(lines.join("\n"))
}

/// Whether it is an import that has rejected rows.
pub(crate) fn has_rejected(job: &Job) -> bool {
    match job {
        Job::Import(job) => job.rejected > 0,
        Job::Export(_) => false,
    }
}

/// What a job that has ended came to.
pub(crate) fn outcome(job: &Job) -> Result<(), Failure> {
    match job.state() {
        JobState::Failed => {
            let why = job.error().unwrap_or("nobody has said why");
            // Whoever asks a host is told before there is a job.
            let is_missing = [NotOpened::Missing, NotOpened::Refused].iter().any(|no| no.to_string() == why);
            let exit = if is_missing { Exit::NotFound } else { Exit::Failed };
            Err(Failure::new(exit, format!("the {} has failed: {}", job.kind(), shown(why))))
        }
        JobState::Cancelled => Err(Failure::new(Exit::Failed, format!("the {} was cancelled", job.kind()))),
        JobState::Queued | JobState::Running | JobState::Completed | JobState::Undoing | JobState::Undone => {
            match job {
                Job::Import(job) => rejected(job.rejected, job.r#in),
                Job::Export(_) => Ok(()),
            }
        }
    }
}

/// What rows come to of which so many were rejected.
pub(crate) fn rejected(rejected: u64, rows: u64) -> Result<(), Failure> {
    match rejected {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Partly, format!("{rejected} of {rows} rows were rejected"))),
    }
}
