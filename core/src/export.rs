//! Exporting: all codes of a campaign, or some of them, in the order of their bytes, however many there are.
//!
//! The index `by_code` has them in that order, and a code never moves in it. So a query that goes through it meets
//! every code once, whatever others do meanwhile, and where one ends before its end (a failover, a cursor that was
//! killed, or forgotten because the reader was slow) another goes on behind the last code that it gave. It sees no
//! older state than the first: both are of one session, whose reads the driver keeps in order on all members.
//!
//! The database is asked by a task of its own, a batch ahead of whoever reads the codes.

use std::time::{Duration, Instant, SystemTime};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::Hint;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc::{self, Sender};
use tracing::Instrument;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::status::{Status, StoredCode};
use crate::store::{Store, database_error};
use crate::task::{LONG, Within};
use crate::{document, indexes};

/// Which codes of a campaign to export: those that fit everything that is set, all of them by default.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Export {
    /// Only codes of this type.
    pub code_type: Option<CodeType>,
    /// Only codes with this status, by the database server's time when the export begins.
    pub status: Option<Status>,
    /// Only codes behind this one, to go on where an export ended.
    pub after: Option<Code>,
    /// Only codes that were last reserved under this id, also if they are assigned now, or the reservation has expired.
    pub reserve_id: Option<ReserveId>,
    /// Only codes that were last saved in this time.
    pub saved: Span,
    /// Only codes that were last reserved in this time, and not released since.
    pub reserved: Span,
    /// Only codes that were assigned in this time.
    pub assigned: Span,
}

/// A span of time. One end, or both, may be open; with both open, a code fits that has no such date at all.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use code_service::Export;
///
/// let mut of_the_last_hour = Export::default();
/// of_the_last_hour.assigned.since = Some(SystemTime::now() - Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Span {
    /// At this moment or later.
    pub since: Option<SystemTime>,
    /// Earlier than this moment.
    pub before: Option<SystemTime>,
}

impl Span {
    fn of(&self, field: &str) -> Option<Document> {
        let mut range = doc! {};
        if let Some(since) = self.since {
            range.insert("$gte", first_date(since));
        }
        if let Some(before) = self.before {
            range.insert("$lt", first_date(before));
        }
        (!range.is_empty()).then(|| doc! { field: range })
    }
}

/// The first date that is not before a moment: dates have whole milliseconds.
fn first_date(moment: SystemTime) -> DateTime {
    let date = DateTime::from_system_time(moment);
    let is_before = date.to_system_time() < moment;
    if is_before { document::later(date, Duration::from_millis(1)) } else { date }
}

/// How many codes come from the database at once. Of so many batches, four are in memory at the most.
const BATCH: u32 = 5_000;
/// Batches that wait for whoever reads them.
const AHEAD: usize = 1;
/// Among how many codes the database looks at once for those that are wanted. However few they are, a command ends
/// long before it would be given up, and the next one begins behind it.
const SLICE: u64 = 50_000;
/// Before a query that has failed is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// Batches on their way to the reader. An empty one says that all have come: without it, the task has died.
type Batches = Sender<Result<Vec<StoredCode>>>;

/// The codes of a campaign in the order of their bytes.
pub(crate) fn export(
    store: Store,
    campaign: CampaignId,
    export: Export,
) -> impl Stream<Item = Result<StoredCode>> + Send + 'static {
    let begun = async move {
        let (batches, coming) = mpsc::channel(AHEAD);
        let work = async move {
            let last = read(store, campaign, export, &batches).await.map(|()| Vec::new());
            // Whoever has gone does not need it.
            let _ = batches.send(last).await;
        };
        tokio::spawn(work.in_current_span());
        stream::try_unfold(coming, async move |mut coming| match coming.recv().await {
            Some(batch) => Ok(Some(batch?).filter(|codes| !codes.is_empty()).map(|codes| (codes, coming))),
            None => {
                Err(Error::Internal { reason: "the export ended before its end".to_owned(), source: None })
            }
        })
    };
    let each = |codes: Vec<StoredCode>| stream::iter(codes.into_iter().map(Ok));
    stream::once(begun).flatten().map_ok(each).try_flatten()
}

/// Reads all codes, and begins again where the database has left off: not before it has answered once, because
/// a caller who has seen nothing yet can be told at once.
async fn read(store: Store, campaign: CampaignId, export: Export, batches: &Batches) -> Result<()> {
    let patience = store.patience;
    let mut reading = Reading::begin(store, campaign, export).await?;
    loop {
        match reading.go_on(batches).await {
            Err(error)
                if error.kind() == ErrorKind::Unavailable
                    && reading.answered.is_some_and(|then| then.elapsed() < patience) => {}
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// An export that is under way.
struct Reading {
    store: Store,
    session: ClientSession,
    campaign: CampaignId,
    /// What a code must be like, besides its place.
    wanted: Vec<Document>,
    /// The index that finds the codes.
    index: Document,
    /// Whether the database may have to look at very many codes to find one.
    is_sparse: bool,
    /// The place: behind this code.
    after: Option<Code>,
    reader: document::Reader,
    /// When the database has last answered, and that was taken.
    answered: Option<Instant>,
}

impl Reading {
    async fn begin(store: Store, campaign: CampaignId, export: Export) -> Result<Self> {
        let now = store.readable_moment().await?;
        let mut session = store.database.client().start_session().await.map_err(failed)?;
        session.advance_operation_time(now.cluster_time);
        let Export { code_type, status, after, reserve_id, saved, reserved, assigned } = export;
        let mut wanted: Vec<Document> = [
            code_type.map(|code_type| doc! { "type": code_type.as_str() }),
            status.map(|status| document::had_status(status, now.time, store.ttl)),
            saved.of("date.saved"),
            reserved.of("date.reserved"),
            assigned.of("date.assigned"),
        ]
        .into_iter()
        .flatten()
        .collect();
        // An id has few codes, which are sorted when they are found.
        let is_sparse = !wanted.is_empty() && reserve_id.is_none();
        let index = if reserve_id.is_some() { indexes::by_reserve_id() } else { indexes::by_code() };
        wanted.extend(reserve_id.map(|id| document::carrying(doc! {}, &id)));
        let reader = document::Reader::at(now.time, store.ttl);
        Ok(Reading { store, session, campaign, wanted, index, is_sparse, after, reader, answered: None })
    }

    /// Hands out all that is behind the place, and moves the place with it.
    async fn go_on(&mut self, batches: &Batches) -> Result<()> {
        loop {
            let end = if self.is_sparse { self.end_of_slice().await? } else { None };
            self.hand_out(end.as_ref(), batches).await?;
            match end {
                Some(end) => self.after = Some(end),
                None => return Ok(()),
            }
        }
    }

    /// The last code of the next slice, by the index alone; None if the rest is no longer than one.
    async fn end_of_slice(&mut self) -> Result<Option<Code>> {
        let last = self
            .store
            .codes_to_read
            .find_one(self.behind(None))
            .projection(doc! { "_id": 1 })
            .sort(indexes::by_code())
            .hint(Hint::Keys(indexes::by_code()))
            .skip(SLICE - 1)
            .session(&mut self.session)
            .within(LONG)
            .await
            .map_err(failed)?;
        last.as_ref().map(document::code).transpose()
    }

    /// Codes behind the place, up to an end.
    fn behind(&self, end: Option<&Code>) -> Document {
        let mut filter = doc! { "_id.campaign_id": self.campaign.as_str() };
        // What is no text is no code of this service: nobody gets it.
        let mut range = match &self.after {
            Some(after) => doc! { "$gt": after.as_str() },
            None => doc! { "$gte": "" },
        };
        if let Some(end) = end {
            range.insert("$lte", end.as_str());
        }
        filter.insert("_id.code", range);
        filter
    }

    /// Hands out what is wanted behind the place, up to an end.
    async fn hand_out(&mut self, end: Option<&Code>, batches: &Batches) -> Result<()> {
        let mut filter = self.behind(end);
        if !self.wanted.is_empty() {
            filter.insert("$and", self.wanted.clone());
        }
        let find = self
            .store
            .codes_to_read
            .find(filter)
            .sort(indexes::by_code())
            .hint(Hint::Keys(self.index.clone()))
            .allow_disk_use(true)
            .batch_size(BATCH)
            .session(&mut self.session);
        let mut cursor = find.batch().within(LONG).await.map_err(failed)?;
        loop {
            let next = cursor.stream(&mut self.session).try_next().within(LONG).await;
            let next = next.map_err(failed)?;
            self.answered = Some(Instant::now());
            let Some(batch) = next else { break };
            let mut codes = Vec::with_capacity(BATCH as usize);
            let outcome = self.read(&batch, &mut codes);
            if let Some(last) = codes.last() {
                self.after = Some(last.code.clone());
                // Nobody hears it: the reader has gone.
                batches.send(Ok(codes)).await.map_err(|_| Error::Closed)?;
            }
            outcome?;
            // However long that has taken.
            self.answered = Some(Instant::now());
        }
        // Also where nothing is found that could be sent.
        if batches.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Reads the documents of a batch, up to the first that is no code.
    fn read(&mut self, batch: &RawBatch, codes: &mut Vec<StoredCode>) -> Result<()> {
        for document in batch.doc_slices().map_err(failed)? {
            let document = document.map_err(|e| failed(e.into()))?;
            let document =
                document.as_document().ok_or_else(|| failed(DriverError::custom("no document")))?;
            codes.push(self.reader.read(document)?);
        }
        Ok(())
    }
}

fn failed(error: DriverError) -> Error {
    database_error("exporting codes", error)
}
