//! The scoring bucket: S3 in the deployments, a folder on a developer's machine.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderValue;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt};

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

    /// The bytes of an object.
    pub(crate) async fn read(
        &self,
        key: &str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ApiError> {
        let Some(store) = &self.store else {
            return Err(ApiError::unavailable(
                "no bucket is configured: upload with PUT, or set titan.aws.clients",
            ));
        };
        let path = Path::parse(key).map_err(|_| file_not_found())?;
        let correlation = correlation::current();
        let span = tracing::info_span!("bucket read", otel.kind = "client", correlation);
        let object = store.get(&path).instrument(span.clone()).await.map_err(|error| match &error {
            Error::NotFound { .. } => file_not_found(),
            // What S3 says of a missing file to whoever may not list the bucket.
            Error::PermissionDenied { .. } => {
                tracing::warn!("the bucket refuses a file: it is not there, or may not be read");
                file_not_found()
            }
            _ => {
                tracing::warn!(cause = cause(&error), "reading the bucket failed");
                ApiError::unavailable("the bucket cannot be read now")
            }
        })?;
        Ok(object.into_stream().map_err(move |error| {
            // The span ends with the file.
            span.in_scope(|| io::Error::other(cause(&error)))
        }))
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

fn file_not_found() -> ApiError {
    ApiError::not_found("fileNotFound", "the bucket has no file of this key")
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
