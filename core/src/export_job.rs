//! Exports as jobs: files of codes that whatever process is there writes.
//!
//! ```text
//! codes.jobs  { … as of every job, filter: { type?, status?, after?, reserve_id?, saved?, reserved?, assigned? }, rows? }
//! ```
//! A file is written whole or not at all, by whoever runs the job; two who write it at once write the same name, and
//! either's is good.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, future};
use mongodb::bson::{DateTime, Document, doc};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::export::{self, Export, Span};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::queue::{self, JobState, Kind, Owned, Wanted, corrupt, literal, number};
use crate::status::{Status, StoredCode};
use crate::store::Store;
use crate::task::patiently;

/// An export into a file: what was asked for, and how far it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExportJob {
    /// Its id.
    pub id: String,
    /// The campaign whose codes it writes.
    pub campaign: CampaignId,
    /// Which of them.
    pub wanted: Export,
    /// The file.
    pub file: String,
    /// How far it is: never undone.
    pub state: JobState,
    /// Codes that are written. Known at the end.
    pub rows: u64,
    /// Bytes that are written.
    pub bytes: u64,
    /// When it was asked for, by the database server's clock.
    pub created: SystemTime,
    /// When somebody first began.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An export that this process has to run.
///
/// Dropped, it is another process's after twenty seconds.
#[derive(Debug)]
pub struct RunningExport {
    owned: Owned,
    campaign: CampaignId,
    wanted: Export,
    file: String,
}

impl ExportJob {
    fn parse(document: &Document) -> Result<ExportJob> {
        let text = |field: &str| document.get_str(field).map_err(|_| corrupt(field));
        let date = |field: &str| document.get_datetime(field).ok().map(|date| date.to_system_time());
        Ok(ExportJob {
            id: text("_id")?.to_owned(),
            campaign: CampaignId::from_stored(text("campaign_id")?),
            wanted: wanted(document.get_document("filter").map_err(|_| corrupt("filter"))?)?,
            file: text("file")?.to_owned(),
            state: queue::state(document)?,
            rows: number(document, "rows"),
            bytes: number(document, "bytes"),
            created: date("created").ok_or_else(|| corrupt("created"))?,
            started: date("started"),
            ended: date("ended"),
            error: document.get_str("error").ok().map(str::to_owned),
        })
    }
}

/// An export as a job holds it.
fn filter(wanted: &Export) -> Document {
    let mut filter = Document::new();
    let texts = [
        ("type", wanted.code_type.as_ref().map(CodeType::as_str)),
        ("status", wanted.status.map(Status::as_str)),
        ("after", wanted.after.as_ref().map(Code::as_str)),
        ("reserve_id", wanted.reserve_id.as_ref().map(ReserveId::as_str)),
    ];
    filter.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    for (name, span) in
        [("saved", wanted.saved), ("reserved", wanted.reserved), ("assigned", wanted.assigned)]
    {
        let date = |moment: SystemTime| DateTime::from_system_time(moment);
        filter.insert(name, doc! { "since": span.since.map(date), "before": span.before.map(date) });
    }
    filter
}

fn wanted(filter: &Document) -> Result<Export> {
    let text = |name: &str| filter.get_str(name).ok();
    let span = |name: &str| {
        let date = |end: &str| filter.get_document(name).ok()?.get_datetime(end).ok().copied();
        Span { since: date("since").map(Into::into), before: date("before").map(Into::into) }
    };
    Ok(Export {
        code_type: text("type").map(CodeType::from_stored),
        status: text("status").map(Status::parse).transpose().map_err(|_| corrupt("status"))?,
        after: text("after").map(Code::from_stored),
        reserve_id: text("reserve_id")
            .map(ReserveId::parse)
            .transpose()
            .map_err(|_| corrupt("reserve_id"))?,
        saved: span("saved"),
        reserved: span("reserved"),
        assigned: span("assigned"),
    })
}

/// Puts an export into the queue.
pub(crate) async fn begin(
    store: &Store,
    campaign: &CampaignId,
    wanted: &Export,
    file: &str,
) -> Result<ExportJob> {
    let fields = doc! { "filter": filter(wanted) };
    ExportJob::parse(&queue::put(store, Kind::Export, campaign, file, fields).await?)
}

/// An export of a campaign.
pub(crate) async fn find(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ExportJob>> {
    queue::find(store, Kind::Export, campaign, id).await?.as_ref().map(ExportJob::parse).transpose()
}

/// The exports of a campaign, the newest first.
pub(crate) async fn list(store: &Store, campaign: &CampaignId) -> Result<Vec<ExportJob>> {
    queue::list(store, Kind::Export, campaign).await?.iter().map(ExportJob::parse).collect()
}

/// Asks for the end of an export. One that nobody has begun ends at once, others within seconds.
pub(crate) async fn cancel(store: &Store, campaign: &CampaignId, id: &str) -> Result<Option<ExportJob>> {
    queue::cancel(store, Kind::Export, campaign, id, Document::new()).await?;
    find(store, campaign, id).await
}

/// Makes this process the owner of the oldest export that has none.
pub(crate) async fn next(store: &Store) -> Result<Option<RunningExport>> {
    let Some((document, owned)) = queue::take(store, Kind::Export, Wanted::Any).await? else {
        return Ok(None);
    };
    let parsed = ExportJob::parse(&document);
    let ExportJob { campaign, wanted, file, .. } = owned.unless_corrupt(parsed).await?;
    Ok(Some(RunningExport { owned, campaign, wanted, file }))
}

/// For how long whoever writes a file may throw away what is there of it.
const GRACE: Duration = Duration::from_secs(5);

/// How it ended for this process.
#[derive(Debug, Clone)]
enum End {
    Completed,
    Failed(String),
    Cancelled,
    /// Another will do it from its beginning.
    GivenBack,
}

impl RunningExport {
    /// The id of the export.
    pub fn id(&self) -> &str {
        &self.owned.id
    }

    /// The name of the file, as it was asked for.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Runs it until it ends, and returns it as it stands then; also when another process has it, or `stop` has come:
    /// then the job waits for whoever is there next.
    ///
    /// `write` writes the codes into the file, adds to the number what bytes that makes, and answers when the file is
    /// there, or why it cannot be written. An error among the codes, as there is one when the job is cancelled or is to
    /// stop, tells it to leave nothing behind; for that it has 5 seconds, and is dropped then.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer at the end: the export is run again.
    pub async fn run<F>(
        self,
        write: impl FnOnce(BoxStream<'static, Result<StoredCode>>, Arc<AtomicU64>) -> F,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<ExportJob>>
    where
        F: Future<Output = std::result::Result<(), String>>,
    {
        let store = self.owned.store.clone();
        let (rows, broken) = (Arc::<AtomicU64>::default(), Arc::<OnceLock<End>>::default());
        let (counted, failed) = (Arc::clone(&rows), Arc::clone(&broken));
        let codes = export::export(store.clone(), self.campaign.clone(), self.wanted.clone());
        let codes = codes.inspect(move |code| match code {
            Ok(_) => drop(counted.fetch_add(1, Ordering::Relaxed)),
            // What the database has broken off is begun again.
            Err(error) => drop(failed.set(match error.kind() {
                ErrorKind::Unavailable | ErrorKind::Closed => End::GivenBack,
                _ => End::Failed(error.to_string()),
            })),
        });
        // An error in place of the next code: an end would look as if there were no more of them.
        let off = CancellationToken::new();
        let is_off = off.clone();
        let last = stream::once(async move { is_off.is_cancelled() });
        let last = last.filter_map(|off| future::ready(off.then_some(Err(Error::Closed))));
        let codes = codes.take_until(off.clone().cancelled_owned()).chain(last).boxed();
        let mut writing = pin!(write(codes, Arc::clone(&self.owned.bytes)));
        let called_off = async {
            tokio::select! {
                () = self.owned.called_off() => End::Cancelled,
                () = stop => End::GivenBack,
            }
        };
        let end = tokio::select! {
            written = &mut writing => match (broken.get(), written) {
                (Some(why), _) => why.clone(),
                (None, Ok(())) => End::Completed,
                (None, Err(reason)) => End::Failed(reason),
            },
            end = called_off => {
                off.cancel();
                match tokio::time::timeout(GRACE, writing).await {
                    // It had all codes already.
                    Ok(Ok(())) if broken.get().is_none() => End::Completed,
                    _ => end,
                }
            }
        };
        let rows = i64::try_from(rows.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        patiently(store.patience, || self.finish(&end, rows)).await?;
        find(&store, &self.campaign, self.id()).await
    }

    async fn finish(&self, end: &End, rows: i64) -> Result<bool> {
        // There is no file, unless it is whole.
        let mut fields = doc! { "ended": "$$NOW", "rows": 0_i64, "bytes": 0_i64 };
        let state = match end {
            End::GivenBack => return self.owned.give_back().await,
            End::Completed => {
                fields.extend(doc! { "rows": rows, "bytes": self.owned.bytes() });
                JobState::Completed
            }
            End::Cancelled => JobState::Cancelled,
            End::Failed(reason) => {
                fields.insert("error", literal(reason));
                JobState::Failed
            }
        };
        fields.insert("state", state.as_str());
        self.owned.set(fields).await
    }
}

impl ExportJob {
    /// For how long it ran, waiting for others included; None before its end.
    pub fn took(&self) -> Option<Duration> {
        self.ended?.duration_since(self.started?).ok()
    }
}
