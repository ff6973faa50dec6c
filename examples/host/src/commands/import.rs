//! `import`: a file of codes into a campaign, with a progress bar on a terminal.

mod input;

use std::path::Path;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::backend::{Rejected, Saved, SavedCount};
use super::exit::Failure;
use super::{Configuration, backend, jobs, output};
use crate::cli::{Common, Import};

pub(crate) async fn run(configuration: &Configuration, arguments: Import) -> Result<(), Failure> {
    let Import { common, file, code_type, format, rejected, bucket_key, dry_run, no_wait } = arguments;
    match (file, code_type, bucket_key) {
        (Some(file), Some(code_type), None) => {
            let backend = backend::open(&common.through, configuration).await?;
            let code_type = backend.allowed_type(&code_type)?;
            let (input, bar) = input::open(&file, format, backend.asks_for_length())
                .await
                .map_err(|e| Failure::file(&file, &e))?;
            let saved = backend.save(&common.campaign, &code_type, input, &bar).await;
            bar.finish_and_clear();
            let Saved { count, rejected: rows } = saved?;
            print(&count, common.json)?;
            let listed = rows.len() as u64;
            list(stream::iter(rows.into_iter().map(Ok)).boxed(), rejected.as_deref()).await?;
            if count.rejected > listed {
                eprintln!("and {} more rejected rows", count.rejected - listed);
            }
            Ok(())
        }
        (_, _, Some(bucket_key)) => {
            from_bucket(configuration, common, &bucket_key, dry_run, no_wait, rejected.as_deref()).await
        }
        // The command line asks for one or the other.
        (_, _, None) => Err(Failure::usage("name a file and a type, or --bucket-key")),
    }
}

/// Has hosts import a file of the bucket, and follows that.
async fn from_bucket(
    configuration: &Configuration,
    common: Common,
    bucket_key: &str,
    dry_run: bool,
    no_wait: bool,
    rejected: Option<&Path>,
) -> Result<(), Failure> {
    let backend = backend::open(&common.through, configuration).await?;
    let job = backend.begin_import(&common.campaign, bucket_key, dry_run).await?;
    if no_wait {
        return if common.json { output::json(&job) } else { output::line(job.id) };
    }
    let job = jobs::follow(&*backend, &common.campaign, &job.id).await?;
    jobs::print(&job, common.json)?;
    if job.rejected > 0 {
        list(backend.rejected(&common.campaign, &job.id).await?, rejected).await?;
    }
    jobs::outcome(&job)
}

fn print(count: &SavedCount, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(count);
    }
    output::numbers(&[
        ("in", count.r#in),
        ("inserted", count.inserted),
        ("updated", count.updated),
        ("rejected", count.rejected),
    ])
}

/// The most rejected rows that are listed on standard error.
const LISTED: usize = 1_000;

/// Writes rejected rows to a file, or the first of them to standard error.
async fn list(
    mut rows: BoxStream<'static, Result<Rejected, Failure>>,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let Some(path) = file else {
        let mut left = LISTED;
        while let Some(Rejected { row, reason }) = rows.try_next().await? {
            if left == 0 {
                eprintln!("and more: --rejected writes all of them to a file");
                break;
            }
            eprintln!("row {row}: the code {reason}");
            left -= 1;
        }
        return Ok(());
    };
    let failed = |e: std::io::Error| Failure::file(path, &e);
    let csv = |e: csv::Error| failed(e.into());
    let mut file = csv::Writer::from_path(path).map_err(csv)?;
    file.write_record(["row", "reason"]).map_err(csv)?;
    while let Some(Rejected { row, reason }) = rows.try_next().await? {
        file.write_record([row.to_string().as_str(), reason.as_str()]).map_err(csv)?;
    }
    file.flush().map_err(failed)
}
