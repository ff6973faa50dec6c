//! The scoring bucket: S3 in the deployments, a folder on a developer's machine.

mod reading;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, ClientOptions, Error, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::{Bucket, Imports};
use crate::correlation;
use crate::error::ApiError;
use crate::outgoing::Outgoing;
use crate::traces;
use reading::Source;

/// Where files of codes are.
#[derive(Clone)]
pub(crate) struct ScoringBucket {
    stores: Option<Stores>,
    patience: Duration,
}

#[derive(Clone)]
struct Stores {
    /// Tries nothing again: whoever reads does.
    reads: Arc<dyn ObjectStore>,
    writes: Arc<dyn ObjectStore>,
}

impl ScoringBucket {
    /// An error is a sentence that names the key of the configuration.
    pub(crate) fn open(config: &Bucket, imports: &Imports, outgoing: &Outgoing) -> Result<Self, String> {
        let stores = match (&config.local_path, &config.bucket_name) {
            (Some(folder), _) => {
                std::fs::create_dir_all(folder)
                    .map_err(|e| format!("titan.aws.clients.scoringBucket.localPath: {folder}: {e}"))?;
                let folder = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|_| "titan.aws.clients.scoringBucket.localPath is no folder".to_owned())?;
                let folder = Arc::new(folder);
                Some(Stores { reads: folder.clone(), writes: folder })
            }
            (None, Some(name)) => {
                let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
                let connector = |silence| Connector { silence, outgoing: outgoing.clone() };
                Some(Stores {
                    reads: Arc::new(s3(config, name, connector(imports.silence), once)?),
                    writes: Arc::new(s3(config, name, connector(PART_TIME), RetryConfig::default())?),
                })
            }
            (None, None) => None,
        };
        Ok(ScoringBucket { stores, patience: imports.patience })
    }

    /// The key of a file in folders of these names, whatever they hold.
    pub(crate) fn key<const N: usize>(parts: [&str; N]) -> String {
        Path::from_iter(parts).to_string()
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.stores.is_some()
    }

    /// Opens a file at its beginning. With a version: only if it is still that. A connection that breaks off is made
    /// again, and goes on behind what has come, unless nothing comes for as long as the configuration has patience.
    pub(crate) async fn read(&self, key: &str, version: Option<String>) -> Result<Opened, NotOpened> {
        self.read_with(key, version, self.patience).await
    }

    /// The same for somebody who waits: nothing may come for so long, or as the configuration says if that is less.
    pub(crate) async fn read_within(&self, patience: Duration, key: &str) -> Result<Opened, NotOpened> {
        self.read_with(key, None, patience.min(self.patience)).await
    }

    async fn read_with(
        &self,
        key: &str,
        version: Option<String>,
        patience: Duration,
    ) -> Result<Opened, NotOpened> {
        let stores = self.stores.as_ref().ok_or(NotOpened::NoBucket)?;
        let path = Path::parse(key).map_err(|_| NotOpened::Missing)?;
        let correlation = correlation::current();
        // It ends with the file.
        let span = tracing::info_span!("bucket read", otel.kind = "client", correlation);
        let source = Source { store: stores.reads.clone(), path, patience, span };
        let object = source.open(version.as_deref()).await?;
        let encoding = object.attributes.get(&Attribute::ContentEncoding);
        Ok(Opened {
            version: object.meta.e_tag.clone(),
            size: object.meta.size,
            gzip: encoding.is_some_and(|encodings| encodings.split(',').any(is_gzip)),
            bytes: source.bytes(object).boxed(),
        })
    }
}

/// Others may be named before it, as SDKs do when they sign what they send: `aws-chunked,gzip`.
fn is_gzip(encoding: &str) -> bool {
    ["gzip", "x-gzip"].iter().any(|gzip| encoding.trim().eq_ignore_ascii_case(gzip))
}

/// The parts in which a file is written: the smallest that S3 takes.
const PART: usize = 5 << 20;
/// Parts that are on their way at once.
const PARTS: usize = 2;
/// How long one of them may take.
const PART_TIME: Duration = Duration::from_secs(30);

impl ScoringBucket {
    /// Writes a file. It is there when this has succeeded; what has come before an error is thrown away.
    pub(crate) async fn write(
        &self,
        key: &str,
        mut pieces: impl Stream<Item = Result<Bytes, String>> + Unpin,
    ) -> Result<(), String> {
        let stores = self.stores.as_ref().ok_or_else(|| NotOpened::NoBucket.to_string())?;
        let path = Path::parse(key).map_err(|_| "the name of the file is none of the bucket's".to_owned())?;
        let failed = |error: Error| format!("the bucket cannot be written to: {}", cause(&error));
        let upload = stores.writes.put_multipart(&path).await.map_err(failed)?;
        let mut file = WriteMultipart::new_with_chunk_size(upload, PART);
        let written = async {
            while let Some(piece) = pieces.next().await {
                file.wait_for_capacity(PARTS).await.map_err(failed)?;
                file.put(piece?);
            }
            Ok(())
        };
        if let Err(reason) = written.await {
            // What cannot be thrown away now is thrown away by the rules of the bucket.
            let _ = file.abort().await;
            return Err(reason);
        }
        file.finish().await.map(drop).map_err(failed)
    }
}

/// A file that was opened.
pub(crate) struct Opened {
    /// What tells this content from any other, unless the store has nothing of the kind.
    pub(crate) version: Option<String>,
    /// Its bytes, as they are stored.
    pub(crate) size: u64,
    /// Whether it was stored as compressed, whatever its name is.
    pub(crate) gzip: bool,
    pub(crate) bytes: BoxStream<'static, io::Result<Bytes>>,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOpened {
    #[error("no bucket is configured: upload with PUT, or set titan.aws.clients")]
    NoBucket,
    #[error("the bucket has no file of this key")]
    Missing,
    /// What S3 says of a missing file, too, to whoever may not list the bucket.
    #[error("the bucket has no file of this key, or does not let the service read it")]
    Refused,
    #[error("the file has changed since the import began")]
    Changed,
    #[error("the bucket cannot be read now")]
    Away,
}

impl NotOpened {
    /// What made a save fail, if it was its file.
    pub(crate) fn of(error: &code_service::Error) -> Option<Self> {
        let reader: &io::Error = std::error::Error::source(error)?.downcast_ref()?;
        reader.get_ref()?.downcast_ref().copied()
    }
}

impl From<NotOpened> for ApiError {
    fn from(error: NotOpened) -> Self {
        let message = error.to_string();
        match error {
            NotOpened::Missing | NotOpened::Refused => ApiError::not_found("fileNotFound", message),
            NotOpened::Changed => ApiError::new(
                StatusCode::CONFLICT,
                "fileChanged",
                "the file changed while it was read, and some of its codes may be saved: send the request again",
            ),
            NotOpened::NoBucket | NotOpened::Away => ApiError::unavailable(message),
        }
    }
}

/// What went wrong, in our words: S3's own may hold a token.
fn cause(error: &Error) -> String {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = below {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return format!("S3: {:?}", error.kind());
        }
        below = error.source();
    }
    let kind = match error {
        Error::Unauthenticated { .. } => "the credentials are not accepted",
        Error::PermissionDenied { .. } => "the service may not do that there",
        // A file that is missing is told in other words, where that can be.
        Error::NotFound { .. } => "the bucket, or the file that was begun, is not there",
        Error::InvalidPath { .. } => "the key is none",
        Error::Precondition { .. } | Error::NotModified { .. } => "the file has changed",
        _ => "it answers with an error",
    };
    kind.to_owned()
}

/// Makes the store's HTTP clients like all others.
#[derive(Debug)]
struct Connector {
    silence: Duration,
    outgoing: Outgoing,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.outgoing.client(self.silence);
        let client = client.map_err(|e| Error::Generic { store: "S3", source: Box::new(e) })?;
        Ok(HttpClient::new(Traced(client)))
    }
}

/// Tells whom it calls to which trace the call belongs.
#[derive(Debug)]
struct Traced(reqwest::Client);

#[async_trait]
impl HttpService for Traced {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        for (name, value) in traces::headers(&tracing::Span::current().context()) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        let host = request.uri().host().map(str::to_owned);
        let response = self.0.call(request).await?;
        let status = response.status();
        if !status.is_success() {
            // What else it says is nobody's business: it may hold a token.
            tracing::info!(host, status = status.as_u16(), "a call for the bucket was not answered well");
        }
        Ok(response)
    }
}

fn s3(
    config: &Bucket,
    name: &str,
    connector: Connector,
    retry: RetryConfig,
) -> Result<impl ObjectStore + use<>, String> {
    // The name has dots, which no wildcard certificate covers: the bucket stays in the path.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(name)
        .with_virtual_hosted_style_request(false)
        .with_retry(retry)
        .with_http_connector(connector);
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    builder.build().map_err(|e| format!("titan.aws.clients.scoringBucket: {e}"))
}
