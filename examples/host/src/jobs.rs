//! Runs the imports and exports that callers have queued, one of each at a time, for as long as the host is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use code_service::{
    CodeService, Error, ImportJob, RunningExport, RunningImport, SourceFile, StoredCode, Unreadable,
};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio_util::sync::CancellationToken;

use crate::bucket::{NotOpened, ScoringBucket};
use crate::file::Format;
use crate::lines::{Form, KnownCode};
use crate::reply::timestamp;

/// How often a host looks for a job that waits.
const LOOK: Duration = Duration::from_secs(2);
/// Codes that are written at once.
const PIECE: usize = 500;

/// Runs jobs until `stop`; what is under way then is another host's.
pub(crate) async fn run(service: CodeService, bucket: ScoringBucket, stop: CancellationToken) {
    tokio::join!(imports(&service, &bucket, &stop), exports(&service, &bucket, &stop));
}

async fn imports(service: &CodeService, bucket: &ScoringBucket, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match service.next_import().await {
            Ok(Some(import)) => run_import(import, bucket, stop).await,
            // While the database is away others tell of it.
            Ok(None) | Err(_) => pause(stop).await,
        }
    }
}

async fn exports(service: &CodeService, bucket: &ScoringBucket, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match service.next_export().await {
            Ok(Some(export)) => run_export(export, bucket, stop).await,
            Ok(None) | Err(_) => pause(stop).await,
        }
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = stop.cancelled() => {} }
}

async fn run_export(export: RunningExport, bucket: &ScoringBucket, stop: &CancellationToken) {
    let (id, file) = (export.id().to_owned(), export.file().to_owned());
    tracing::info!(export = id, "an export begins");
    let form = Form::of(&file);
    let write = |codes: BoxStream<'static, Result<StoredCode, Error>>, bytes: Arc<AtomicU64>| {
        let lines = codes.ready_chunks(PIECE).map(move |piece| {
            let codes = piece.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
            Ok(Bytes::from(form.write(codes.into_iter().map(KnownCode::from))))
        });
        let pieces = stream::iter(form.head().map(Ok)).chain(lines).inspect(move |piece| {
            if let Ok(piece) = piece {
                bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        bucket.write(&file, pieces.boxed())
    };
    match export.run(write, stop.cancelled()).await {
        Ok(Some(job)) => tracing::info!(
            export = id,
            state = job.state.as_str(),
            codes = job.rows,
            bytes = job.bytes,
            error = job.error,
            "an export has ended, or is another host's"
        ),
        Ok(None) => tracing::warn!(export = id, "an export is gone"),
        Err(error) => tracing::warn!(export = id, "an export begins again later: {error}"),
    }
}

async fn run_import(import: RunningImport, bucket: &ScoringBucket, stop: &CancellationToken) {
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
        let reason = error.to_string();
        match error {
            NotOpened::Away => Unreadable::Passing(reason),
            NotOpened::NoBucket | NotOpened::Missing | NotOpened::Refused | NotOpened::Changed => {
                Unreadable::Final(reason)
            }
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
