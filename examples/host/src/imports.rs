//! Runs the imports that callers have queued, one after another, for as long as the host is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use code_service::{CodeService, ImportJob, RunningImport, SourceFile, Unreadable};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::bucket::{NotOpened, ScoringBucket};
use crate::file::Format;
use crate::reply::timestamp;

/// How often a host looks for an import that waits.
const LOOK: Duration = Duration::from_secs(2);

/// Runs imports until `stop`; the one that is under way then is another host's.
pub(crate) async fn run(service: CodeService, bucket: ScoringBucket, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match service.next_import().await {
            Ok(Some(import)) => run_one(import, &bucket, &stop).await,
            // While the database is away others tell of it.
            Ok(None) | Err(_) => {
                tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = stop.cancelled() => {} }
            }
        }
    }
}

async fn run_one(import: RunningImport, bucket: &ScoringBucket, stop: &CancellationToken) {
    let (id, file) = (import.id().to_owned(), import.file().to_owned());
    tracing::info!(import = id, "an import begins, or goes on");
    let ended = import.run(|version| open(bucket, &file, version), stop.cancelled()).await;
    match ended {
        Ok(Some(job)) => tell(&job),
        Ok(None) => tracing::warn!(import = id, "an import is gone"),
        Err(error) => tracing::warn!(import = id, "an import goes on later: {error}"),
    }
}

fn tell(job: &ImportJob) {
    tracing::info!(
        import = job.id,
        state = job.state.as_str(),
        rows = job.rows,
        inserted = job.inserted,
        updated = job.updated,
        rejected = job.rejected,
        error = job.error,
        ended = job.ended.map(timestamp),
        "an import has ended, or is another host's"
    );
}

async fn open(bucket: &ScoringBucket, file: &str, version: Option<String>) -> Result<SourceFile, Unreadable> {
    let opened = bucket.read(file, version).await.map_err(|error| {
        let reason = error.as_str().to_owned();
        match error {
            NotOpened::Away => Unreadable::Passing(reason),
            NotOpened::NoBucket | NotOpened::Missing | NotOpened::Changed => Unreadable::Final(reason),
        }
    })?;
    let read = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&read);
    let bytes = opened.bytes.inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    let mut format = Format::of(file);
    format.gzip |= opened.gzip;
    Ok(SourceFile { version: opened.version, size: Some(opened.size), rows: format.rows(bytes), read })
}
