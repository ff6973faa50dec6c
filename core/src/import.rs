//! Imports as jobs: files of codes that outlive the call that asked for them, and the process that reads them.
//!
//! A file is cut into batches of the same number of rows, whoever reads it. A batch is one transaction: its new codes,
//! and a record of what it did. So what a record says has happened, and happened once: a process that takes a job over
//! reads the file again, passes over the batches that have records, and the sum of the records is exact.
//!
//! ```text
//! codes.jobs          { … as of every job, type, dry_run, version?, size?, ending?, totals?, before?, looked? }
//! codes.jobs.batches  { _id: { job: id, n }, rows, inserted, updated, rejected, rejections?, saved?, purge: Date }
//! ```
//! A process that has lost its [job](crate::queue) without knowing can do no harm: a batch that has a record cannot have
//! another.

mod batch;
mod records;
mod run;

use std::time::{Duration, SystemTime};

use futures_util::Stream;
use mongodb::bson::{Document, doc};

use crate::error::{Error, Result};
use crate::ids::{CampaignId, CodeType};
use crate::queue::{self, JobState, Kind, Wanted, corrupt};
use crate::save::Rejection;
use crate::store::{Store, database_error, exists_already};
use crate::task::{MEDIUM, SHORT, Within};
use records::Totals;

pub use run::{RunningImport, SourceFile, Unreadable};

/// What an import shall do.
///
/// ```
/// use code_service::{CampaignId, CodeType, Import};
///
/// # fn main() -> code_service::Result<()> {
/// let campaign = CampaignId::parse("summer-tour")?;
/// let import = Import::new(campaign, CodeType::parse("tm")?, "codes/summer-tour/tm/first.csv");
/// assert!(!import.dry_run);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Import {
    /// The campaign that gets the codes.
    pub campaign: CampaignId,
    /// Their type.
    pub code_type: CodeType,
    /// The file, by the name that whoever runs the job knows it by: 1 to 1,024 bytes.
    pub file: String,
    /// Whether it only says what it would do. A code that comes again much later in the file counts as new again.
    pub dry_run: bool,
}

impl Import {
    /// An import that saves.
    pub fn new(campaign: CampaignId, code_type: CodeType, file: impl Into<String>) -> Self {
        Import { campaign, code_type, file: file.into(), dry_run: false }
    }
}

/// An import: what was asked for, and how far it is. `rows` = `inserted` + `updated` + `rejected`, at every moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImportJob {
    /// Its id.
    pub id: String,
    /// The campaign that gets the codes.
    pub campaign: CampaignId,
    /// Their type.
    pub code_type: CodeType,
    /// The file.
    pub file: String,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// How far it is.
    pub state: JobState,
    /// Rows that are done: `in` in the other faces of the service.
    pub rows: u64,
    /// Codes that were new.
    pub inserted: u64,
    /// Rows whose code was there already, from before or from an earlier row.
    pub updated: u64,
    /// Rows that hold no valid code; [`CodeService::rejected_rows`](crate::CodeService::rejected_rows) lists them.
    pub rejected: u64,
    /// Bytes of the file that were read.
    pub bytes: u64,
    /// Bytes of the file, if that is known.
    pub size: Option<u64>,
    /// When it was asked for, by the database server's clock.
    pub created: SystemTime,
    /// When somebody first began.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// For how long it has been running, or ran, waiting for others included.
    pub took: Duration,
    /// Why it failed, or why it could not be undone.
    pub error: Option<String>,
    /// What was undone of it.
    pub undo: Option<ImportUndo>,
}

/// What undoing an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportUndo {
    /// Codes that are gone.
    pub removed: u64,
    /// Codes that somebody reserved meanwhile, and that stay.
    pub kept: u64,
    /// Codes that stay because they were saved again since: they belong to that upload now. 0 before the end.
    pub saved_again: u64,
}

impl ImportJob {
    /// Rows per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.rows as f64 / seconds } else { 0.0 }
    }

    fn parse(document: &Document, totals: Totals, undo: Option<ImportUndo>) -> Result<ImportJob> {
        let text = |field: &str| document.get_str(field).map_err(|_| corrupt(field));
        let date = |field: &str| document.get_datetime(field).ok().map(|date| date.to_system_time());
        let (started, ended) = (date("started"), date("ended"));
        let until = ended.or(date("now"));
        let took = started.zip(until).and_then(|(since, until)| until.duration_since(since).ok());
        Ok(ImportJob {
            id: text("_id")?.to_owned(),
            campaign: CampaignId::from_stored(text("campaign_id")?),
            code_type: CodeType::from_stored(text("type")?),
            file: text("file")?.to_owned(),
            dry_run: document.get_bool("dry_run").unwrap_or(false),
            state: queue::state(document)?,
            rows: totals.rows,
            inserted: totals.inserted,
            updated: totals.updated,
            rejected: totals.rejected,
            bytes: queue::number(document, "bytes"),
            size: document.contains_key("size").then(|| queue::number(document, "size")),
            created: date("created").ok_or_else(|| corrupt("created"))?,
            started,
            ended,
            took: took.unwrap_or_default(),
            error: document.get_str("error").ok().map(str::to_owned),
            undo,
        })
    }
}

/// Puts an import into the queue.
pub(crate) async fn begin(store: &Store, import: Import) -> Result<ImportJob> {
    // A transaction does not make the collection that it writes to.
    make(store).await?;
    let fields = doc! { "type": import.code_type.as_str(), "dry_run": import.dry_run };
    let queued = queue::put(store, Kind::Import, &import.campaign, &import.file, fields).await?;
    ImportJob::parse(&queued, Totals::default(), None)
}

async fn make(store: &Store) -> Result<()> {
    let made = store.database.create_collection(store.batches.name()).within(MEDIUM).await;
    match made {
        Err(error) if !exists_already(&error) => {
            Err(database_error("making a collection for imports", error))
        }
        _ => Ok(()),
    }
}

/// An import of a campaign.
pub(crate) async fn find(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
    match queue::find(store, Kind::Import, campaign, id).await? {
        Some(document) => read(store, &document).await.map(Some),
        None => Ok(None),
    }
}

/// The imports of a campaign, the newest first.
pub(crate) async fn list(store: &Store, campaign: &CampaignId) -> Result<Vec<ImportJob>> {
    let mut jobs = Vec::new();
    for document in queue::list(store, Kind::Import, campaign).await? {
        jobs.push(read(store, &document).await?);
    }
    Ok(jobs)
}

/// An import with what its batches have done so far.
async fn read(store: &Store, document: &Document) -> Result<ImportJob> {
    let id = document.get_str("_id").unwrap_or_default();
    let totals = match document.get_document("totals") {
        Ok(totals) => Totals::parse(totals),
        Err(_) => records::totals(store, id).await?,
    };
    let undo = if document.contains_key("before") { undone(store, document, totals).await? } else { None };
    ImportJob::parse(document, totals, undo)
}

/// What an undoing has done, also one that stopped half way.
async fn undone(store: &Store, document: &Document, totals: Totals) -> Result<Option<ImportUndo>> {
    let mut undo = records::undone(store, document.get_str("_id").unwrap_or_default()).await?;
    let changed = undo != ImportUndo::default();
    Ok(match queue::state(document)? {
        JobState::Undoing => Some(undo),
        JobState::Undone => {
            undo.saved_again = totals.inserted.saturating_sub(undo.removed + undo.kept);
            Some(undo)
        }
        _ => Some(undo).filter(|_| changed),
    })
}

/// Asks for the end of an import. One that nobody has begun ends at once, others within seconds; one that has ended
/// stays as it is.
pub(crate) async fn cancel(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
    let at_once = doc! { "totals": Totals::default().document() };
    queue::cancel(store, Kind::Import, campaign, id, at_once).await?;
    find(store, campaign, id).await
}

/// Asks that what an import has inserted is removed again.
pub(crate) async fn undo(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
    let Some(job) = find(store, campaign, id).await? else { return Ok(None) };
    let refused = |reason: &str| Err(Error::invalid("state", reason));
    match job.state {
        JobState::Undoing | JobState::Undone => return Ok(Some(job)),
        JobState::Queued | JobState::Running => {
            return refused("the import has not ended: cancel it before it is undone");
        }
        JobState::Completed | JobState::Failed | JobState::Cancelled if job.dry_run => {
            return refused("a dry run has changed nothing that could be undone");
        }
        JobState::Completed | JobState::Failed | JobState::Cancelled => {}
    }
    let ended = doc! { "_id": id, "state": job.state.as_str() };
    let undoing = vec![
        doc! { "$set": {
            "state": JobState::Undoing.as_str(), "before": "$state", "lease": "$$NOW",
        } },
        doc! { "$unset": ["error", "cancel", "ending", "looked"] },
    ];
    let asked = store.jobs.update_one(ended, undoing).within(SHORT).await;
    asked.map_err(|e| database_error("asking for the undoing of an import", e))?;
    find(store, campaign, id).await
}

/// The rows that an import has rejected so far, in their order.
pub(crate) fn rejected(
    store: &Store,
    id: &str,
) -> impl Stream<Item = Result<Rejection>> + Send + 'static + use<> {
    records::rejected(store.clone(), id.to_owned())
}

/// Makes a process the owner of the oldest import that waits for one.
pub(crate) async fn next(store: &Store, wanted: Wanted) -> Result<Option<RunningImport>> {
    let Some((document, owned)) = queue::take(store, Kind::Import, wanted).await? else { return Ok(None) };
    let parsed = ImportJob::parse(&document, Totals::default(), None);
    let job = owned.unless_corrupt(parsed).await?;
    Ok(Some(RunningImport::new(&document, job, owned)))
}
