//! Imports as jobs: files of codes that outlive the call that asked for them, and the process that reads them.
//!
//! A file is cut into batches of the same number of rows, whoever reads it. A batch is one transaction: its new codes,
//! and a record of what it did. So what a record says has happened, and happened once: a process that takes a job over
//! reads the file again, passes over the batches that have records, and the sum of the records is exact.
//!
//! ```text
//! codes.imports          { _id: id, campaign_id, type, file, dry_run, state, owner?, lease: Date, cancel?, version?,
//!                          size?, bytes, created, started?, ended?, error?, totals?, undo?, before?, purge: Date }
//! codes.imports.batches  { _id: { job: id, n }, rows, inserted, updated, rejected, rejections?, saved?, purge: Date }
//! ```
//! A process owns a job while it puts its lease off. One that has lost it without knowing can do no harm: a batch that
//! has a record cannot have another.

mod batch;
mod records;
mod run;

use std::time::{Duration, SystemTime};

use futures_util::{Stream, TryStreamExt};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReturnDocument;

use crate::document::millis;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, CodeType, ReserveId};
use crate::save::Rejection;
use crate::store::{Store, database_error, exists_already};
use crate::task::{MEDIUM, SHORT, Within, patiently};
use records::Totals;

pub use run::{RunningImport, SourceFile, Unreadable};

/// How long a process may be silent before another takes its job over.
const LEASE: Duration = Duration::from_secs(20);
/// How long jobs are kept.
const KEEP: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest name of a file, in bytes.
const MAX_FILE_BYTES: usize = 1_024;
/// The most jobs that a list shows.
const LISTED: i64 = 1_000;

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

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Nobody has begun yet.
    Queued,
    /// A process works on it, or has died and another will.
    Running,
    /// All of the file is saved.
    Completed,
    /// It cannot go on; [`ImportJob::error`] says why. What is counted is saved.
    Failed,
    /// Somebody has cancelled it. What is counted is saved.
    Cancelled,
    /// What it has inserted is being removed.
    Undoing,
    /// What it had inserted is removed.
    Undone,
}

impl JobState {
    /// All of them.
    pub const ALL: [JobState; 7] = [
        JobState::Queued,
        JobState::Running,
        JobState::Completed,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Undoing,
        JobState::Undone,
    ];

    /// The state as every face of the service writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
            JobState::Undoing => "undoing",
            JobState::Undone => "undone",
        }
    }

    /// Whether nobody works on it any more.
    pub fn has_ended(self) -> bool {
        match self {
            JobState::Queued | JobState::Running | JobState::Undoing => false,
            JobState::Completed | JobState::Failed | JobState::Cancelled | JobState::Undone => true,
        }
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
}

impl ImportJob {
    /// Rows per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.rows as f64 / seconds } else { 0.0 }
    }

    fn parse(document: &Document, totals: Totals, undo: Option<ImportUndo>) -> Result<ImportJob> {
        let corrupt =
            |field: &str| Error::CorruptData { what: format!("a stored import has no usable {field}") };
        let text = |field: &str| document.get_str(field).map_err(|_| corrupt(field));
        let date = |field: &str| document.get_datetime(field).ok().map(|date| date.to_system_time());
        let state = text("state")?;
        let state = JobState::ALL.into_iter().find(|known| known.as_str() == state);
        let (started, ended) = (date("started"), date("ended"));
        let until = ended.or(date("now"));
        let took = started.zip(until).and_then(|(since, until)| until.duration_since(since).ok());
        Ok(ImportJob {
            id: text("_id")?.to_owned(),
            campaign: CampaignId::from_stored(text("campaign_id")?),
            code_type: CodeType::from_stored(text("type")?),
            file: text("file")?.to_owned(),
            dry_run: document.get_bool("dry_run").unwrap_or(false),
            state: state.ok_or_else(|| corrupt("state"))?,
            rows: totals.rows,
            inserted: totals.inserted,
            updated: totals.updated,
            rejected: totals.rejected,
            bytes: records::number(document, "bytes"),
            size: document.contains_key("size").then(|| records::number(document, "size")),
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
    if import.file.is_empty() || import.file.len() > MAX_FILE_BYTES {
        return Err(Error::invalid("file", format!("must have 1 to {MAX_FILE_BYTES} bytes")));
    }
    // A transaction does not make the collection that it writes to.
    make(store).await?;
    let now = store.server_time().await?;
    let document = doc! {
        "_id": ReserveId::random().as_str(),
        "campaign_id": import.campaign.as_str(),
        "type": import.code_type.as_str(),
        "file": import.file,
        "dry_run": import.dry_run,
        "state": JobState::Queued.as_str(),
        "lease": now,
        "bytes": 0_i64,
        "created": now,
        "purge": purge(now),
    };
    let inserted = store.imports.insert_one(&document).within(SHORT).await;
    inserted.map_err(|e| database_error("queueing an import", e))?;
    ImportJob::parse(&document, Totals::default(), None)
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

/// When what is written now may be thrown away.
fn purge(now: DateTime) -> DateTime {
    DateTime::from_millis(now.timestamp_millis() + millis(KEEP))
}

/// An import of a campaign.
pub(crate) async fn find(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
    let found = matching(store, doc! { "_id": id, "campaign_id": campaign.as_str() }).await?;
    match found.first() {
        Some(document) => read(store, document).await.map(Some),
        None => Ok(None),
    }
}

/// The imports of a campaign, the newest first.
pub(crate) async fn list(store: &Store, campaign: &CampaignId) -> Result<Vec<ImportJob>> {
    let mut jobs = Vec::new();
    for document in matching(store, doc! { "campaign_id": campaign.as_str() }).await? {
        jobs.push(read(store, &document).await?);
    }
    Ok(jobs)
}

/// Documents of imports with the server's time.
async fn matching(store: &Store, filter: Document) -> Result<Vec<Document>> {
    let found = async {
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$sort": { "created": -1 } },
            doc! { "$limit": LISTED },
            doc! { "$set": { "now": "$$NOW" } },
        ];
        store.imports.aggregate(pipeline).await?.try_collect().await
    };
    found.within(MEDIUM).await.map_err(|e| database_error("looking imports up", e))
}

/// An import with what its batches have done so far.
async fn read(store: &Store, document: &Document) -> Result<ImportJob> {
    let id = document.get_str("_id").unwrap_or_default();
    let totals = match document.get_document("totals") {
        Ok(totals) => Totals::parse(totals),
        Err(_) => records::totals(store, id).await?,
    };
    let undone = matches!(document.get_str("state"), Ok("undoing" | "undone"));
    let undo = if undone { Some(records::undone(store, id).await?) } else { None };
    ImportJob::parse(document, totals, undo)
}

/// Asks for the end of an import. One that nobody has begun ends at once, others within seconds; one that has ended
/// stays as it is.
pub(crate) async fn cancel(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
    let of_state =
        |state: JobState| doc! { "_id": id, "campaign_id": campaign.as_str(), "state": state.as_str() };
    let failed = |e| database_error("cancelling an import", e);
    patiently(store.patience, || async {
        let at_once = doc! {
            "state": JobState::Cancelled.as_str(), "ended": "$$NOW", "totals": Totals::default().document(),
        };
        let queued = store.imports.update_one(of_state(JobState::Queued), vec![doc! { "$set": at_once }]);
        if queued.within(SHORT).await.map_err(failed)?.matched_count == 0 {
            let asked = doc! { "$set": { "cancel": true } };
            let running = store.imports.update_one(of_state(JobState::Running), asked);
            running.within(SHORT).await.map_err(failed)?;
        }
        Ok(())
    })
    .await?;
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
            "state": JobState::Undoing.as_str(), "before": "$state", "lease": "$$NOW", "bytes": 0_i64,
        } },
        doc! { "$unset": ["error", "cancel"] },
    ];
    let asked = store.imports.update_one(ended, undoing).within(SHORT).await;
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
pub(crate) async fn next(store: &Store) -> Result<Option<RunningImport>> {
    let open = [JobState::Queued, JobState::Running, JobState::Undoing].map(JobState::as_str);
    let token = ReserveId::random();
    let queued = doc! { "$eq": ["$state", JobState::Queued.as_str()] };
    let taken = store
        .imports
        .find_one_and_update(
            doc! { "state": { "$in": open.to_vec() }, "$expr": { "$lte": ["$lease", "$$NOW"] } },
            vec![doc! { "$set": {
                "state": { "$cond": [queued, JobState::Running.as_str(), "$state"] },
                "owner": token.as_str(),
                "lease": { "$add": ["$$NOW", millis(LEASE)] },
                "started": { "$ifNull": ["$started", "$$NOW"] },
            } }],
        )
        .sort(doc! { "created": 1 })
        .return_document(ReturnDocument::After)
        .within(SHORT)
        .await
        .map_err(|e| database_error("looking for an import to run", e))?;
    let Some(document) = taken else { return Ok(None) };
    RunningImport::new(store, &document, token).map(Some)
}
