//! `import`: a file of codes into a campaign, with a progress bar on a terminal.

mod input;
mod rejects;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use code_service::CodeType;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::backend::{Backend, Job, SavedCount};
use super::exit::Failure;
use super::{Configuration, backend, jobs, output};
use crate::cli::{Common, Format, Import};
use rejects::Rejects;

pub(crate) async fn run(configuration: &Configuration, arguments: Import) -> Result<(), Failure> {
    let Import { common, file, code_type, format, rejected, bucket_key, dry_run, no_wait } = arguments;
    match (file, code_type, bucket_key) {
        (Some(_), _, _) if dry_run || no_wait => Err(Failure::usage(
            "--dry-run and --no-wait are for files of the bucket: put the file there, and name it with --bucket-key",
        )),
        (Some(file), Some(code_type), None) => {
            let backend = backend::open(&common.through, configuration).await?;
            let code_type = backend.allowed_type(&code_type)?;
            from_file(&*backend, common, &file, &code_type, format, rejected).await
        }
        (_, _, Some(bucket_key)) => {
            from_bucket(configuration, common, &bucket_key, dry_run, no_wait, rejected).await
        }
        // The command line asks for one or the other.
        (_, _, None) => Err(Failure::usage("name a file and a type, or --bucket-key")),
    }
}

async fn from_file(
    backend: &dyn Backend,
    common: Common,
    file: &Path,
    code_type: &CodeType,
    format: Option<Format>,
    rejected: Option<PathBuf>,
) -> Result<(), Failure> {
    let rejects = Rejects::open(rejected)?;
    let opened = input::open(file, format, backend.asks_for_length()).await;
    let (mut input, bar) = opened.map_err(|e| Failure::file(file, &e))?;
    let broken = Arc::<OnceLock<String>>::default();
    let tell = Arc::clone(&broken);
    let bytes = input.bytes.inspect_err(move |error| {
        // The first one is the cause of all others.
        let _ = tell.set(error.to_string());
    });
    input.bytes = bytes.boxed();
    let saved = backend.save(&common.campaign, code_type, input, &bar).await;
    bar.finish_and_clear();
    let saved = saved.map_err(|failure| match broken.get() {
        // It was the file, and not whoever saves it.
        Some(reason) => {
            format!("{}: {reason}; codes before that are saved, or some of them", file.display()).into()
        }
        None => failure,
    })?;
    let count = &saved.count;
    if common.json {
        output::json(&saved)?;
    } else {
        print(count)?;
    }
    let (all, rejected) = (count.r#in, count.rejected);
    let listed = saved.rejected.len() as u64;
    if !common.json || rejects.is_file() {
        rejects.take(stream::iter(saved.rejected.into_iter().map(Ok)).boxed()).await?;
    }
    if rejected > listed {
        eprintln!("and {} more rejected rows", rejected - listed);
    }
    jobs::rejected(rejected, all)
}

/// Has hosts import a file of the bucket, and follows that.
async fn from_bucket(
    configuration: &Configuration,
    common: Common,
    bucket_key: &str,
    dry_run: bool,
    no_wait: bool,
    rejected: Option<PathBuf>,
) -> Result<(), Failure> {
    let rejects = Rejects::open(rejected)?;
    let backend = backend::open(&common.through, configuration).await?;
    let job = backend.begin_import(&common.campaign, bucket_key, dry_run).await?;
    if no_wait {
        return jobs::begun(&Job::Import(job), common.json);
    }
    // Before anything is waited for: whoever ends this command can still follow it.
    eprintln!("import {}", job.id);
    let job = jobs::follow(&*backend, &common, &job.id).await?;
    jobs::print(&job, common.json)?;
    if jobs::has_rejected(&job) {
        rejects.take(backend.rejected(&common.campaign, job.id()).await?).await?;
    }
    jobs::outcome(&job)
}

fn print(count: &SavedCount) -> Result<(), Failure> {
    output::numbers(&[
        ("in", count.r#in),
        ("inserted", count.inserted),
        ("updated", count.updated),
        ("rejected", count.rejected),
    ])
}
