//! Runs the imports and exports that callers have queued, one of each at a time, for as long as the host is there; and
//! beside its own the imports that a dead host has left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use code_service::{
    CodeService, Error, ImportJob, RunningExport, RunningImport, SourceFile, StoredCode, Unreadable,
};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::bucket::{NotOpened, ScoringBucket};
use crate::correlation;
use crate::file::Format;
use crate::lines::{Form, KnownCode};
use crate::reply::timestamp;

/// How often a host looks for a job that waits.
const LOOK: Duration = Duration::from_secs(2);
/// Codes that are written at once.
const PIECE: usize = 500;

/// The most imports that run at once, so that memory has an end.
const IMPORTS: usize = 4;

/// Runs jobs until `stop`; what is under way then is another host's.
pub(crate) async fn run(service: CodeService, bucket: ScoringBucket, stop: CancellationToken) {
    tokio::join!(imports(&service, &bucket, &stop), exports(&service, &bucket, &stop));
}

async fn imports(service: &CodeService, bucket: &ScoringBucket, stop: &CancellationToken) {
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        let next = match running.len() {
            0 => waits(service.next_import().await),
            1..IMPORTS => waits(service.next_import_left_behind().await),
            _ => None,
        };
        if let Some(import) = next {
            let (bucket, stop) = (bucket.clone(), stop.clone());
            let id = import.id().to_owned();
            running.spawn(as_job(id, async move { run_import(import, &bucket, &stop).await }));
            continue;
        }
        tokio::select! {
            () = pause(stop) => {}
            Some(ended) = running.join_next() => report_panic(ended),
        }
    }
    while let Some(ended) = running.join_next().await {
        report_panic(ended);
    }
}

async fn exports(service: &CodeService, bucket: &ScoringBucket, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let Some(export) = waits(service.next_export().await) else {
            pause(stop).await;
            continue;
        };
        let (bucket, its_stop) = (bucket.clone(), stop.clone());
        let id = export.id().to_owned();
        let running = as_job(id, async move { run_export(export, &bucket, &its_stop).await });
        match tokio::spawn(running).await {
            Ok(true) => {}
            // The database has broken it off, and may do so again at once.
            Ok(false) => pause(stop).await,
            Err(panic) => report_panic(Err(panic)),
        }
    }
}

/// All that is logged of a job has its id for a correlation id.
async fn as_job<F: Future>(id: String, work: F) -> F::Output {
    let span = tracing::info_span!("job", correlation = id);
    correlation::scope(id, correlation::User::default(), work.instrument(span)).await
}

/// A job that waits, if there is one.
fn waits<T>(asked: Result<Option<T>, Error>) -> Option<T> {
    match asked {
        Ok(job) => job,
        // While the database is away others tell of it.
        Err(Error::Unavailable { .. } | Error::Closed) => None,
        Err(error) => {
            tracing::error!("a job cannot be run: {error}");
            None
        }
    }
}

/// Whoever looks for a job next has it again.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a job was given up: {error}");
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = stop.cancelled() => {} }
}

/// Whether it has ended.
async fn run_export(export: RunningExport, bucket: &ScoringBucket, stop: &CancellationToken) -> bool {
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
        Ok(Some(job)) => {
            tracing::info!(
                export = id,
                state = job.state.as_str(),
                codes = job.rows,
                bytes = job.bytes,
                error = job.error,
                "an export has ended, or is another host's"
            );
            return job.state.has_ended();
        }
        Ok(None) => tracing::warn!(export = id, "an export is gone"),
        Err(error) => tracing::warn!(export = id, "an export begins again later: {error}"),
    }
    false
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
