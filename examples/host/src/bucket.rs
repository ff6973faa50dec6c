//! The scoring bucket: S3 in the deployments, a folder on a developer's machine.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use crate::config::Bucket;
use crate::error::ApiError;

/// Where files of codes are read from.
#[derive(Clone)]
pub(crate) struct ScoringBucket {
    store: Option<Arc<dyn ObjectStore>>,
}

impl ScoringBucket {
    /// An error is a sentence that names the key of the configuration.
    pub(crate) fn open(config: &Bucket) -> Result<Self, String> {
        let store: Option<Arc<dyn ObjectStore>> = match (&config.local_path, &config.bucket_name) {
            (Some(folder), _) => {
                std::fs::create_dir_all(folder)
                    .map_err(|e| format!("titan.aws.clients.scoringBucket.localPath: {folder}: {e}"))?;
                let folder = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|_| "titan.aws.clients.scoringBucket.localPath is no folder".to_owned())?;
                Some(Arc::new(folder))
            }
            (None, Some(name)) => Some(Arc::new(s3(config, name)?)),
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
        let object = store.get(&path).await.map_err(|error| match &error {
            Error::NotFound { .. } => file_not_found(),
            // What S3 says of a missing file to whoever may not list the bucket.
            Error::PermissionDenied { .. } => {
                tracing::warn!("the bucket refuses a file: it is not there, or may not be read");
                file_not_found()
            }
            _ => {
                tracing::warn!(cause = %error, "reading the bucket failed");
                ApiError::unavailable("the bucket cannot be read now")
            }
        })?;
        Ok(object.into_stream().map_err(io::Error::other))
    }
}

fn file_not_found() -> ApiError {
    ApiError::not_found("fileNotFound", "the bucket has no file of this key")
}

fn s3(config: &Bucket, name: &str) -> Result<impl ObjectStore + use<>, String> {
    // The name has dots, which no wildcard certificate covers: the bucket stays in the path.
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(name).with_virtual_hosted_style_request(false);
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    builder.build().map_err(|e| format!("titan.aws.clients.scoringBucket: {e}"))
}
