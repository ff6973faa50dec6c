//! Whom commands ask: the database, or a running host. Both answer with the same words.

mod answers;
mod direct;
mod remote;

use std::io;

use async_trait::async_trait;
use code_service::{CampaignId, Code, CodeType, Reserve, ReserveId, Status};
use futures_util::stream::BoxStream;
use indicatif::ProgressBar;

use super::Configuration;
use super::exit::Failure;
use crate::cli::{Format, Spans, Through};

pub(crate) use answers::{
    Counts, Found, Held, HeldCode, ImportJob, Imports, JobState, Rejected, Saved, SavedCount, Settled,
};
pub(crate) use direct::Direct;
use remote::Remote;

/// The operations, as the HTTP API has them.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// The type, if it is one that may be used here.
    fn allowed_type(&self, name: &str) -> Result<CodeType, Failure>;

    async fn count(&self, campaign: &CampaignId, code_type: &CodeType) -> Result<Counts, Failure>;

    async fn find(&self, campaign: &CampaignId, code: &Code) -> Result<Option<Found>, Failure>;

    /// The wish names its reserveId: a reserve can always be recovered.
    async fn reserve(&self, wish: Reserve, id: &ReserveId) -> Result<Held<String>, Failure>;

    async fn recover(&self, campaign: &CampaignId, id: &ReserveId)
    -> Result<Option<Held<HeldCode>>, Failure>;

    /// At most [`SETTLED_AT_ONCE`] codes.
    async fn settle(
        &self,
        how: How,
        campaign: &CampaignId,
        codes: Vec<Code>,
        id: Option<&ReserveId>,
    ) -> Result<Settled, Failure>;

    /// Codes in the order of their bytes.
    fn export(&self, campaign: &CampaignId, wish: Wish) -> BoxStream<'static, Result<Found, Failure>>;

    /// Tells the bar what it knows beside the bytes that were read.
    async fn save(
        &self,
        campaign: &CampaignId,
        code_type: &CodeType,
        file: Input,
        bar: &ProgressBar,
    ) -> Result<Saved, Failure>;

    /// Whether [`save`](Self::save) has to know the length of a file.
    fn asks_for_length(&self) -> bool;

    /// Queues an import of a file in the bucket.
    async fn begin_import(
        &self,
        campaign: &CampaignId,
        bucket_key: &str,
        dry_run: bool,
    ) -> Result<ImportJob, Failure>;

    async fn imports(&self, campaign: &CampaignId) -> Result<Imports, Failure>;

    async fn import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure>;

    async fn cancel_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure>;

    async fn undo_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure>;

    /// Every rejected row of an import, in their order.
    async fn rejected(
        &self,
        campaign: &CampaignId,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Rejected, Failure>>, Failure>;
}

/// What to do with codes, for good or back into the pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Assign,
    Release,
}

/// The most codes of one call: a body of a request has a limit.
pub(crate) const SETTLED_AT_ONCE: usize = 10_000;

/// Which codes to export.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) code_type: Option<CodeType>,
    pub(crate) status: Option<Status>,
    pub(crate) reserve_id: Option<ReserveId>,
    pub(crate) spans: Spans,
    /// Only codes behind this one.
    pub(crate) after: Option<String>,
}

/// A file of codes as it is read, unpacked.
pub(crate) struct Input {
    pub(crate) bytes: BoxStream<'static, io::Result<bytes::Bytes>>,
    /// How many bytes there are, if that is known.
    pub(crate) length: Option<u64>,
    pub(crate) format: Format,
}

/// The host that the arguments or the environment name, else the configured database.
pub(crate) async fn open(
    through: &Through,
    configuration: &Configuration,
) -> Result<Box<dyn Backend>, Failure> {
    Ok(match &through.url {
        Some(url) => Box::new(Remote::new(url, through.token_file.as_deref())?),
        None => Box::new(Direct::connect(configuration).await?),
    })
}
