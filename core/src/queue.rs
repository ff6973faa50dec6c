//! Jobs: work that outlives the call that asked for it, and the process that does it.
//!
//! ```text
//! codes.jobs  { _id: id, kind, campaign_id, file, state, owner?, lease: Date, cancel?, bytes, created, started?, ended?,
//!               error?, purge: Date, sessions?, … what the kind needs }
//! ```
//! A process owns a job while it puts its lease off. It may have lost it without knowing, so what a job does must bear
//! two owners for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ReturnDocument;
use tokio::sync::watch;

use crate::document::millis;
use crate::error::{Error, Result};
use crate::ids::{CampaignId, ReserveId};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, SHORT, Within, patiently};

/// How long a process may be silent before another takes its job over.
const LEASE: Duration = Duration::from_secs(20);
/// How often a lease is put off, and how far the job is written down.
const BEAT: Duration = Duration::from_secs(2);
/// How long jobs are kept.
const KEEP: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest name of a file, in bytes.
const MAX_FILE_BYTES: usize = 1_024;
/// The most jobs that a list shows.
const LISTED: i64 = 1_000;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Import,
    Export,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Import => "import",
            Kind::Export => "export",
        }
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
    /// It cannot go on; the `error` of the job says why. What is counted is saved.
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

/// When what is written now may be thrown away.
pub(crate) fn purge(now: DateTime) -> DateTime {
    DateTime::from_millis(now.timestamp_millis() + millis(KEEP))
}

/// Puts a job into the queue, and returns its document.
pub(crate) async fn put(
    store: &Store,
    kind: Kind,
    campaign: &CampaignId,
    file: &str,
    fields: Document,
) -> Result<Document> {
    if file.is_empty() || file.len() > MAX_FILE_BYTES {
        return Err(Error::invalid("file", format!("must have 1 to {MAX_FILE_BYTES} bytes")));
    }
    let now = store.server_time().await?;
    let mut document = doc! {
        "_id": ReserveId::random().as_str(),
        "kind": kind.as_str(),
        "campaign_id": campaign.as_str(),
        "file": file,
        "state": JobState::Queued.as_str(),
        "lease": now,
        "bytes": 0_i64,
        "created": now,
        "purge": purge(now),
    };
    document.extend(fields);
    let inserted = store.jobs.insert_one(&document).within(SHORT).await;
    inserted.map_err(|e| database_error("queueing a job", e))?;
    Ok(document)
}

/// One job of a campaign, with the server's time as `now`.
pub(crate) async fn find(
    store: &Store,
    kind: Kind,
    campaign: &CampaignId,
    id: &str,
) -> Result<Option<Document>> {
    Ok(matching(store, kind, campaign, doc! { "_id": id }).await?.pop())
}

/// The jobs of a campaign, the newest first, each with the server's time as `now`.
pub(crate) async fn list(store: &Store, kind: Kind, campaign: &CampaignId) -> Result<Vec<Document>> {
    matching(store, kind, campaign, Document::new()).await
}

async fn matching(
    store: &Store,
    kind: Kind,
    campaign: &CampaignId,
    mut filter: Document,
) -> Result<Vec<Document>> {
    filter.extend(doc! { "campaign_id": campaign.as_str(), "kind": kind.as_str() });
    let found = async {
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$sort": { "created": -1 } },
            doc! { "$limit": LISTED },
            doc! { "$set": { "now": "$$NOW" } },
        ];
        store.jobs.aggregate(pipeline).await?.try_collect().await
    };
    found.within(MEDIUM).await.map_err(|e| database_error("looking jobs up", e))
}

/// Asks for the end of a job: of one that waits at once, and it gets these fields; of one that runs by its owner.
pub(crate) async fn cancel(
    store: &Store,
    kind: Kind,
    campaign: &CampaignId,
    id: &str,
    at_once: Document,
) -> Result<()> {
    let of_state = |state: JobState| {
        doc! {
            "_id": id, "kind": kind.as_str(), "campaign_id": campaign.as_str(), "state": state.as_str(),
        }
    };
    let failed = |e| database_error("cancelling a job", e);
    patiently(store.patience, || async {
        let mut cancelled = doc! { "state": JobState::Cancelled.as_str(), "ended": "$$NOW" };
        cancelled.extend(at_once.clone());
        let queued = store.jobs.update_one(of_state(JobState::Queued), vec![doc! { "$set": cancelled }]);
        if queued.within(SHORT).await.map_err(failed)?.matched_count == 0 {
            let asked = doc! { "$set": { "cancel": true } };
            let running = store.jobs.update_one(of_state(JobState::Running), asked);
            running.within(SHORT).await.map_err(failed)?;
        }
        Ok(())
    })
    .await
}

/// Which jobs a process wants to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Whatever waits.
    Any,
    /// Only what another has left behind.
    Begun,
}

/// Makes this process the owner of the oldest job that has none.
pub(crate) async fn take(store: &Store, kind: Kind, wanted: Wanted) -> Result<Option<(Document, Owned)>> {
    let waits = |state: &JobState| match wanted {
        Wanted::Any => !state.has_ended(),
        Wanted::Begun => !state.has_ended() && *state != JobState::Queued,
    };
    let open: Vec<&str> = JobState::ALL.into_iter().filter(waits).map(JobState::as_str).collect();
    let token = ReserveId::random();
    let queued = doc! { "$eq": ["$state", JobState::Queued.as_str()] };
    let taken = store
        .jobs
        .find_one_and_update(
            doc! {
                "state": { "$in": open }, "kind": kind.as_str(), "$expr": { "$lte": ["$lease", "$$NOW"] },
            },
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
        .map_err(|e| database_error("looking for a job", e))?;
    let Some(document) = taken else { return Ok(None) };
    let id = document.get_str("_id").map_err(|_| corrupt("_id"))?.to_owned();
    let cancelled = document.get_bool("cancel").unwrap_or(false);
    let owned = Owned::new(store, id, token, cancelled);
    Ok(Some((document, owned)))
}

pub(crate) fn corrupt(field: &str) -> Error {
    Error::CorruptData { what: format!("a stored job has no usable {field}") }
}

/// The state of a job's document.
pub(crate) fn state(document: &Document) -> Result<JobState> {
    let word = document.get_str("state").map_err(|_| corrupt("state"))?;
    JobState::ALL.into_iter().find(|known| known.as_str() == word).ok_or_else(|| corrupt("state"))
}

/// A number that is not negative, of whatever type; 0 if there is none.
pub(crate) fn number(document: &Document, field: &str) -> u64 {
    let value = document.get(field);
    let number = value.and_then(|value| value.as_i64().or(value.as_i32().map(i64::from)));
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// Something that is no expression, whatever is in it.
pub(crate) fn literal(value: impl Into<Bson>) -> Document {
    doc! { "$literal": value.into() }
}

/// A job that is this process's, for as long as it keeps this; and then for a lease.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) store: Store,
    pub(crate) id: String,
    /// How many bytes have gone through it.
    pub(crate) bytes: Arc<AtomicU64>,
    token: ReserveId,
    lost: watch::Receiver<bool>,
    cancelled: watch::Receiver<bool>,
    // Ends with it.
    _heart: Heart,
}

impl Owned {
    fn new(store: &Store, id: String, token: ReserveId, cancelled: bool) -> Self {
        let (lost, cancelled) = (watch::channel(false), watch::channel(cancelled));
        let bytes = Arc::<AtomicU64>::default();
        let mine = doc! { "_id": &id, "owner": token.as_str() };
        let heart = Heart::start(store.clone(), mine, Arc::clone(&bytes), lost.0, cancelled.0);
        Owned { store: store.clone(), id, bytes, token, lost: lost.1, cancelled: cancelled.1, _heart: heart }
    }

    /// Whether it is another process's now.
    pub(crate) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// The same, for those who do a part of it.
    pub(crate) fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// Whether somebody has asked for its end.
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// The same, for who waits for it.
    pub(crate) fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancelled.clone()
    }

    /// Waits until it is lost or cancelled.
    pub(crate) async fn called_off(&self) {
        let (mut lost, mut cancelled) = (self.lost.clone(), self.cancelled.clone());
        // The heart beats for as long as this is there.
        tokio::select! { _ = lost.wait_for(|lost| *lost) => {}, _ = cancelled.wait_for(|asked| *asked) => {} }
    }

    /// Changes the job, by expressions, and says whether it was this process's. It may be repeated.
    pub(crate) async fn set(&self, fields: Document) -> Result<bool> {
        let mine = doc! { "_id": &self.id, "owner": self.token.as_str() };
        let changed = self.store.jobs.update_one(mine, vec![doc! { "$set": fields }]).within(SHORT).await;
        Ok(changed.map_err(|e| database_error("writing down how far a job is", e))?.matched_count == 1)
    }

    /// Asks the database whether it is still this process's, and puts the lease off.
    pub(crate) async fn is_ours(&self) -> Result<bool> {
        self.set(doc! { "lease": { "$add": ["$$NOW", millis(LEASE)] } }).await
    }

    /// Ends a job whose document cannot be read, as nobody else can read it either.
    pub(crate) async fn unless_corrupt<T>(&self, parsed: Result<T>) -> Result<T> {
        if let Err(error) = &parsed {
            let reason = literal(error.to_string());
            let state = JobState::Failed.as_str();
            self.set(doc! { "state": state, "ended": "$$NOW", "error": reason }).await?;
        }
        parsed
    }

    /// Changes it for the last time. Its sessions go back to the driver, which uses them for other calls. It is nobody's
    /// then, so that what the heart has sent cannot put off the lease of whoever comes next.
    pub(crate) async fn let_go(&self, mut fields: Document) -> Result<bool> {
        fields.extend(doc! { "sessions": "$$REMOVE", "owner": "$$REMOVE" });
        self.set(fields).await
    }

    /// Lets others have it at once.
    pub(crate) async fn give_back(&self) -> Result<bool> {
        self.let_go(doc! { "lease": "$$NOW" }).await
    }

    pub(crate) fn bytes(&self) -> i64 {
        i64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }
}

/// Puts the lease off while it lives.
#[derive(Debug)]
struct Heart(tokio::task::AbortHandle);

impl Drop for Heart {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Heart {
    fn start(
        store: Store,
        mine: Document,
        bytes: Arc<AtomicU64>,
        lost: watch::Sender<bool>,
        cancelled: watch::Sender<bool>,
    ) -> Self {
        let beating = async move {
            loop {
                tokio::time::sleep(BEAT).await;
                let (jobs, mine, bytes) = (store.jobs.clone(), mine.clone(), bytes.load(Ordering::Relaxed));
                // Not aborted in the middle of a command, which the driver does not bear.
                let beat = store.tasks.to_the_end(async move {
                    let fields = doc! {
                        "lease": { "$add": ["$$NOW", millis(LEASE)] },
                        "bytes": i64::try_from(bytes).unwrap_or(i64::MAX),
                    };
                    let renewed = jobs
                        .find_one_and_update(mine, vec![doc! { "$set": fields }])
                        .return_document(ReturnDocument::After);
                    renewed.within(SHORT).await.map_err(|e| database_error("keeping a job", e))
                });
                match beat.await {
                    Ok(Some(job)) => drop(cancelled.send(job.get_bool("cancel").unwrap_or(false))),
                    Ok(None) => drop(lost.send(true)),
                    // The database is away, for others, too.
                    Err(_) => {}
                }
            }
        };
        Heart(tokio::spawn(beating).abort_handle())
    }
}
