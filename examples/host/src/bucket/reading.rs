//! A file of the bucket, read to its end whatever breaks on the way.
//!
//! One rule for all that may break: try again, behind what has come and only if it is the same content still, until
//! nothing has come for too long. The store's own tries would count from the beginning of the file, however long ago
//! that was, and be signed with the credentials of then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectStore};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, Span};

use super::{NotOpened, cause};

/// The first pause before another try; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A file that can be opened.
pub(super) struct Source {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// How long nothing may come.
    pub(super) patience: Duration,
    /// What all of the reading belongs to.
    pub(super) span: Span,
}

impl Source {
    /// Opens it at its beginning. With a version: only if it is still that.
    pub(super) async fn open(&self, version: Option<&str>) -> Result<GetResult, NotOpened> {
        self.open_behind(0, version, &mut Tries::until(self.patience)).await
    }

    async fn open_behind(
        &self,
        place: u64,
        version: Option<&str>,
        tries: &mut Tries,
    ) -> Result<GetResult, NotOpened> {
        loop {
            let options = GetOptions {
                if_match: version.map(str::to_owned),
                range: (place > 0).then_some(GetRange::Offset(place)),
                ..GetOptions::default()
            };
            let asked = self.store.get_opts(&self.path, options).instrument(self.span.clone());
            let opened = match timeout_at(tries.end, asked).await {
                Ok(Ok(object)) => Ok(object),
                Ok(Err(error)) => Err(self.span.in_scope(|| not_opened(&error))),
                Err(_) => Err(NotOpened::Away),
            };
            match opened {
                // Not every server knows conditions.
                Ok(object) if version.is_some() && object.meta.e_tag.as_deref() != version => {
                    return Err(NotOpened::Changed);
                }
                Err(NotOpened::Away) if tries.again().await => {}
                opened => return opened,
            }
        }
    }

    /// Its bytes, once it is open. The last error is a [`NotOpened`].
    pub(super) fn bytes(self, opened: GetResult) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let reading = Reading {
            version: opened.meta.e_tag.clone(),
            size: opened.meta.size,
            place: 0,
            bytes: opened.into_stream(),
            source: self,
        };
        stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, reading)))
        })
    }
}

fn not_opened(error: &Error) -> NotOpened {
    match error {
        Error::NotFound { .. } => NotOpened::Missing,
        Error::Precondition { .. } => NotOpened::Changed,
        Error::PermissionDenied { .. } => {
            tracing::warn!("the bucket refuses a file: it is not there, or may not be read");
            NotOpened::Refused
        }
        _ => {
            tracing::warn!(cause = cause(error), "the bucket cannot be read");
            NotOpened::Away
        }
    }
}

/// How far a file was read.
struct Reading {
    source: Source,
    version: Option<String>,
    size: u64,
    place: u64,
    bytes: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, NotOpened> {
        // From now on: before that it was the reader who took its time.
        let mut tries = Tries::until(self.source.patience);
        while self.place < self.size {
            let why = match timeout_at(tries.end, self.bytes.next()).await {
                Ok(Some(Ok(piece))) => {
                    self.place += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Ok(Some(Err(error))) => cause(&error),
                Ok(None) => "it ended early".to_owned(),
                Err(_) => "it is silent".to_owned(),
            };
            self.source.span.in_scope(|| {
                tracing::warn!(cause = why, read = self.place, size = self.size, "a file broke off");
            });
            // Without a version nobody could tell whether it is the same file.
            if self.version.is_none() || !tries.again().await {
                return Err(NotOpened::Away);
            }
            let opened = self.source.open_behind(self.place, self.version.as_deref(), &mut tries).await?;
            self.bytes = opened.into_stream();
        }
        Ok(None)
    }
}

/// When to try again, and until when.
struct Tries {
    end: Instant,
    pause: Duration,
}

impl Tries {
    fn until(patience: Duration) -> Self {
        Tries { end: Instant::now() + patience, pause: PAUSE }
    }

    /// Waits before another try, unless it would come too late.
    async fn again(&mut self) -> bool {
        let next = Instant::now() + self.pause;
        if next >= self.end {
            return false;
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        sleep(next - Instant::now()).await;
        true
    }
}
