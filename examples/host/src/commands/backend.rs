//! Whom commands ask: the database, or a running host. Both answer with the same words.

mod answers;
mod direct;
mod remote;

use std::io;

use async_trait::async_trait;
use code_service::{CampaignId, Code, CodeType, Reserve, ReserveId, Status};
use futures_util::stream::BoxStream;
use indicatif::ProgressBar;
use reqwest::Url;

use super::Configuration;
use super::exit::{Exit, Failure};
use crate::cli::{Format, Spans, Through};

pub(crate) use answers::{
    Counts, ExportJob, Exports, Found, Held, HeldCode, ImportJob, Imports, Job, JobState, Jobs, Rejected,
    Saved, SavedCount, Settled,
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

    /// Queues an export into the bucket.
    async fn begin_export(
        &self,
        campaign: &CampaignId,
        wish: Wish,
        format: Format,
    ) -> Result<ExportJob, Failure>;

    async fn exports(&self, campaign: &CampaignId) -> Result<Exports, Failure>;

    async fn export_job(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure>;

    async fn cancel_export(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure>;

    /// The newest first.
    async fn jobs(&self, campaign: &CampaignId) -> Result<Jobs, Failure> {
        let imports = self.imports(campaign).await?.imports.into_iter().map(Job::Import);
        let exports = self.exports(campaign).await?.exports.into_iter().map(Job::Export);
        let mut jobs: Vec<Job> = imports.chain(exports).collect();
        jobs.sort_by(|one, other| other.created().cmp(one.created()));
        Ok(Jobs { jobs })
    }

    /// Nobody but the database knows which kind an id is of.
    async fn job(&self, campaign: &CampaignId, id: &str) -> Result<Job, Failure> {
        match or_none(self.import(campaign, id).await)? {
            Some(import) => Ok(Job::Import(import)),
            None => or_none(self.export_job(campaign, id).await)?.map(Job::Export).ok_or_else(no_job),
        }
    }

    async fn cancel(&self, campaign: &CampaignId, id: &str) -> Result<Job, Failure> {
        match or_none(self.cancel_import(campaign, id).await)? {
            Some(import) => Ok(Job::Import(import)),
            None => or_none(self.cancel_export(campaign, id).await)?.map(Job::Export).ok_or_else(no_job),
        }
    }
}

/// None for what is not there.
fn or_none<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn no_job() -> Failure {
    Failure::worded("not_found", "the campaign has no job of this id", Exit::NotFound)
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

/// The address of a host, where the arguments have none.
const URL: &str = "CODE_SERVICE_URL";

/// The address in the environment. An empty one is none.
pub(crate) fn url_of_environment() -> Option<String> {
    let url = std::env::var_os(URL).filter(|url| !url.is_empty())?;
    // What is not UTF-8 is no address, and must not be taken for none.
    Some(url.to_string_lossy().into_owned())
}

/// The host that the arguments or the environment name, else the configured database.
pub(crate) async fn open(
    through: &Through,
    configuration: &Configuration,
) -> Result<Box<dyn Backend>, Failure> {
    let token_file = through.token_file.as_deref();
    if let Some(url) = through.url.clone().or_else(url_of_environment) {
        return Ok(Box::new(Remote::new(&parsed(&url)?, token_file)?));
    }
    if token_file.is_some() {
        return Err(Failure::usage(format!(
            "--token-file is for a host, and none is named: set --url, or {URL}"
        )));
    }
    let (_, config) = configuration.load()?;
    config.mongo.connection_string().map_err(|reason| format!("{reason}; or ask a host: --url, or {URL}"))?;
    Ok(Box::new(Direct::connect(configuration).await?))
}

/// What is wrong with an address is told without it: it may hold a password.
fn parsed(url: &str) -> Result<Url, Failure> {
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base();
    url.parse().ok().filter(is_http).ok_or_else(|| {
        Failure::usage(format!(
            "--url (or {URL}) must be an address that begins with http:// or https://, such as http://localhost:8080"
        ))
    })
}
