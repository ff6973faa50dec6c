//! The scoring bucket: S3 in the deployments, a folder on a developer's machine.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderValue;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt, WriteMultipart,
};

use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::Bucket;
use crate::correlation;
use crate::error::ApiError;
use crate::outgoing::Outgoing;
use crate::traces;

/// Where files of codes are read from.
#[derive(Clone)]
pub(crate) struct ScoringBucket {
    store: Option<Arc<dyn ObjectStore>>,
}

impl ScoringBucket {
    /// An error is a sentence that names the key of the configuration.
    pub(crate) fn open(config: &Bucket, outgoing: &Outgoing) -> Result<Self, String> {
        let store: Option<Arc<dyn ObjectStore>> = match (&config.local_path, &config.bucket_name) {
            (Some(folder), _) => {
                std::fs::create_dir_all(folder)
                    .map_err(|e| format!("titan.aws.clients.scoringBucket.localPath: {folder}: {e}"))?;
                let folder = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|_| "titan.aws.clients.scoringBucket.localPath is no folder".to_owned())?;
                Some(Arc::new(folder))
            }
            (None, Some(name)) => Some(Arc::new(s3(config, name, outgoing)?)),
            (None, None) => None,
        };
        Ok(ScoringBucket { store })
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.store.is_some()
    }

    /// Opens a file at its beginning. With a version: only if it is still that. A connection that breaks off is made
    /// again, and goes on behind what has come, for minutes.
    pub(crate) async fn read(&self, key: &str, version: Option<String>) -> Result<Opened, NotOpened> {
        let store = self.store.as_ref().ok_or(NotOpened::NoBucket)?;
        let path = Path::parse(key).map_err(|_| NotOpened::Missing)?;
        let correlation = correlation::current();
        let span = tracing::info_span!("bucket read", otel.kind = "client", correlation);
        let options = GetOptions { if_match: version, ..GetOptions::default() };
        let object = store.get_opts(&path, options).instrument(span.clone()).await;
        let object = object.map_err(|error| match &error {
            Error::NotFound { .. } => NotOpened::Missing,
            Error::Precondition { .. } => NotOpened::Changed,
            // What S3 says of a missing file to whoever may not list the bucket.
            Error::PermissionDenied { .. } => {
                tracing::warn!("the bucket refuses a file: it is not there, or may not be read");
                NotOpened::Missing
            }
            _ => {
                tracing::warn!(cause = cause(&error), "reading the bucket failed");
                NotOpened::Away
            }
        })?;
        let encoding = object.attributes.get(&Attribute::ContentEncoding);
        Ok(Opened {
            version: object.meta.e_tag.clone(),
            size: object.meta.size,
            gzip: encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")),
            bytes: object
                .into_stream()
                .map_err(move |error| {
                    // The span ends with the file.
                    span.in_scope(|| io::Error::other(cause(&error)))
                })
                .boxed(),
        })
    }
}

/// The parts in which a file is written: the smallest that S3 takes.
const PART: usize = 5 << 20;
/// Parts that are on their way at once.
const PARTS: usize = 2;

impl ScoringBucket {
    /// Writes a file. It is there when this has succeeded; what has come before an error is thrown away.
    pub(crate) async fn write(
        &self,
        key: &str,
        mut pieces: impl Stream<Item = Result<Bytes, String>> + Unpin,
    ) -> Result<(), String> {
        let store = self.store.as_ref().ok_or(NotOpened::NoBucket.as_str())?;
        let path = Path::parse(key).map_err(|_| "the name of the file is none of the bucket's".to_owned())?;
        let failed = |error: Error| format!("the bucket cannot be written to: {}", cause(&error));
        let upload = store.put_multipart(&path).await.map_err(failed)?;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    NoBucket,
    /// It is not there, or may not be read.
    Missing,
    /// It is another now.
    Changed,
    /// The bucket does not answer.
    Away,
}

impl NotOpened {
    /// For whoever wanted the file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            NotOpened::NoBucket => "no bucket is configured: upload with PUT, or set titan.aws.clients",
            NotOpened::Missing => "the bucket has no file of this key",
            NotOpened::Changed => "the file has changed since the import began",
            NotOpened::Away => "the bucket cannot be read now",
        }
    }
}

impl From<NotOpened> for ApiError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Missing | NotOpened::Changed => ApiError::not_found("fileNotFound", error.as_str()),
            NotOpened::NoBucket | NotOpened::Away => ApiError::unavailable(error.as_str()),
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
        Error::InvalidPath { .. } => "the key is none",
        Error::Precondition { .. } | Error::NotModified { .. } => "the file has changed",
        _ => "it answers with an error",
    };
    kind.to_owned()
}

/// Makes the store's HTTP clients like all others.
#[derive(Debug)]
struct Connector(Outgoing);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.0.client();
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
        self.0.call(request).await
    }
}

fn s3(config: &Bucket, name: &str, outgoing: &Outgoing) -> Result<impl ObjectStore + use<>, String> {
    // The name has dots, which no wildcard certificate covers: the bucket stays in the path.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(name)
        .with_virtual_hosted_style_request(false)
        .with_http_connector(Connector(outgoing.clone()));
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    builder.build().map_err(|e| format!("titan.aws.clients.scoringBucket: {e}"))
}
