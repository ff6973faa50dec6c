//! Running an import: reading its file to the end, whatever breaks on the way.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mongodb::bson::{Bson, DateTime, Document, doc};
use tokio::sync::RwLock;

use super::ImportJob;
use super::batch::{Outcome, Work};
use super::records::{self, IN_FLIGHT};
use crate::error::{Error, ErrorKind, Result};
use crate::queue::{JobState, Owned, literal};
use crate::rows::{Row, Rows};
use crate::store::database_error;
use crate::task::{SHORT, Within, patiently};

/// The rows of one batch. It is part of what a record means: with another number, records of half done imports would
/// be of other rows.
const BATCH: usize = 5_000;
/// How often a file is opened again that broke off and gave nothing new meanwhile.
const OPENINGS: u32 = 8;
/// The first pause before that; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);

/// A file that was opened, as [`RunningImport::run`] reads it.
pub struct SourceFile {
    /// What tells this content of the file from any other, such as an ETag. It must be the same at every opening.
    pub version: Option<String>,
    /// Its bytes, if that is known.
    pub size: Option<u64>,
    /// Its rows, from the first. A source that fails with [`io::ErrorKind::InvalidData`] is not read again.
    pub rows: Rows,
    /// How many of its bytes were read, counted by whoever reads them.
    pub read: Arc<AtomicU64>,
}

/// Why a file cannot be read. The text is shown to whoever asked for the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It may be read a little later.
    Passing(String),
    /// It is not there, is another now, or may not be read.
    Final(String),
}

/// An import that this process has to run.
///
/// Dropped, it is another process's after twenty seconds.
#[derive(Debug)]
pub struct RunningImport {
    work: Arc<Work>,
    owned: Owned,
    file: String,
    undoing: bool,
    /// Whether an undoing has looked already that none of the codes is used, before it removed the first.
    looked: bool,
    /// The sessions of whoever had it before.
    left: Vec<Bson>,
    /// Whether those of this process are written down.
    announced: bool,
    version: Option<String>,
    /// How another process was about to end it.
    ending: Option<End>,
}

/// How it ended for this process.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Completed,
    Cancelled,
    Failed(String),
    /// It is another process's now.
    Lost,
    /// This process does not want to go on.
    GivenBack,
    Undone,
    /// It stays as it was before somebody wanted to undo it.
    NotUndone(String),
}

/// What is done with the batches of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Save,
    /// Counts those codes of the import that are used.
    Look,
    Remove,
}

/// Why a reading of the file ended early.
enum Stop {
    End(End),
    /// The file broke off.
    Broken(String),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

impl RunningImport {
    pub(super) fn new(document: &Document, job: ImportJob, owned: Owned) -> Self {
        owned.bytes.store(job.bytes, Ordering::Relaxed);
        let work = Work {
            store: owned.store.clone(),
            id: job.id,
            campaign: job.campaign,
            code_type: job.code_type,
            dry_run: job.dry_run,
            known: AtomicBool::new(false),
            marks: HashSet::new().into(),
            lost: owned.lost(),
            sessions: Vec::new().into(),
            crowd: RwLock::new(()),
        };
        RunningImport {
            work: Arc::new(work),
            owned,
            file: job.file,
            undoing: job.state == JobState::Undoing,
            looked: document.get_bool("looked").unwrap_or(false),
            left: document.get_array("sessions").cloned().unwrap_or_default(),
            announced: job.dry_run,
            version: document.get_str("version").ok().map(str::to_owned),
            ending: match (document.get_str("ending").ok(), document.get_str("error").ok()) {
                (None, _) => None,
                (Some(_), Some(reason)) => Some(End::Failed(reason.to_owned())),
                (Some(_), None) => Some(End::Cancelled),
            },
        }
    }

    /// The id of the import.
    pub fn id(&self) -> &str {
        &self.work.id
    }

    /// The name of the file, as it was asked for.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Runs it until it ends, and returns it as it stands then; also when another process has it, or `stop` has come:
    /// then the job waits for whoever is there next.
    ///
    /// `open` opens the file at its beginning. It is given the version that was there at the first opening, and
    /// answers [`Unreadable::Final`] if there is another now.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer at the end: the import is run again.
    pub async fn run<F>(
        mut self,
        open: impl Fn(Option<String>) -> F,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<ImportJob>>
    where
        F: Future<Output = std::result::Result<SourceFile, Unreadable>>,
    {
        let (store, id, campaign) =
            (self.work.store.clone(), self.work.id.clone(), self.work.campaign.clone());
        let (mut cancelled, undoing) = (self.owned.cancelled(), self.undoing);
        let end = {
            let work = self.until_it_ends(&open);
            tokio::select! {
                end = work => end,
                // Not only between two batches: a file may be silent for long.
                Ok(_) = cancelled.wait_for(|asked| *asked && !undoing) => End::Cancelled,
                () = stop => End::GivenBack,
            }
        };
        let ended = patiently(store.patience, || self.finish(&end)).await;
        ended?;
        super::find(&store, &campaign, &id).await
    }

    async fn until_it_ends<F>(&mut self, open: &impl Fn(Option<String>) -> F) -> End
    where
        F: Future<Output = std::result::Result<SourceFile, Unreadable>>,
    {
        self.end_what_was_left().await;
        if let Some(end) = self.ending.take() {
            return end;
        }
        if !self.undoing {
            return self.step(open, Step::Save).await.unwrap_or_else(|end| end);
        }
        let ended = async {
            if !self.looked {
                self.step(open, Step::Look).await?;
            }
            self.step(open, Step::Remove).await
        };
        match ended.await {
            Ok(_) => End::Undone,
            Err(End::Failed(reason)) => End::NotUndone(reason),
            Err(end) => end,
        }
    }

    /// Ends the transactions that a dead process has left open, on which batches would wait for a minute.
    async fn end_what_was_left(&mut self) {
        let sessions = std::mem::take(&mut self.left);
        if sessions.is_empty() {
            return;
        }
        let admin = self.work.store.database.client().database("admin");
        let ended = admin.run_command(doc! { "killSessions": sessions }).within(SHORT).await;
        if let Err(error) = ended {
            let error = database_error("ending transactions that were left open", error);
            tracing::info!("an import waits for what was left open: {error}");
        }
    }

    /// Reads the file, again and again if it breaks off, until all of its batches are done.
    async fn step<F>(
        &mut self,
        open: &impl Fn(Option<String>) -> F,
        step: Step,
    ) -> std::result::Result<End, End>
    where
        F: Future<Output = std::result::Result<SourceFile, Unreadable>>,
    {
        let (mut openings, mut furthest, mut pause) = (0, 0, PAUSE);
        loop {
            let broken = match self.read(open, step).await {
                Ok(()) => return Ok(End::Completed),
                Err(Stop::End(end)) => return Err(end),
                Err(Stop::Error(error)) if error.kind() == ErrorKind::Unavailable => {
                    // For as long as it takes: a job is not lost because the database is away.
                    openings = 0;
                    None
                }
                Err(Stop::Error(Error::Closed)) => return Err(End::GivenBack),
                Err(Stop::Error(error)) => return Err(End::Failed(error.to_string())),
                Err(Stop::Broken(reason)) => Some(reason),
            };
            if let Some(end) = self.asked() {
                return Err(end);
            }
            if let Some(reason) = broken {
                let came = self.owned.bytes.load(Ordering::Relaxed);
                if came > furthest {
                    (furthest, openings, pause) = (came, 0, PAUSE);
                }
                openings += 1;
                if openings == OPENINGS {
                    return Err(End::Failed(reason));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Reads the file once, from its beginning, and does what is not done yet.
    async fn read<F>(
        &mut self,
        open: &impl Fn(Option<String>) -> F,
        step: Step,
    ) -> std::result::Result<(), Stop>
    where
        F: Future<Output = std::result::Result<SourceFile, Unreadable>>,
    {
        let file = open(self.version.clone()).await.map_err(|unreadable| match unreadable {
            Unreadable::Passing(reason) => Stop::Broken(reason),
            Unreadable::Final(reason) => Stop::End(End::Failed(reason)),
        })?;
        self.keep_version(file.version, file.size).await?;
        let store = self.work.store.clone();
        let saved = records::numbers(&store, self.id()).await?;
        // In this order: places that another has taken to close the job may be among these records.
        let is_ours = match step {
            Step::Save | Step::Look => self.owned.is_ours().await?,
            Step::Remove => self.owned.set(doc! { "looked": true }).await?,
        };
        if !is_ours {
            return Err(Stop::End(End::Lost));
        }
        if !self.announced {
            let sessions = self.work.open_sessions().await?;
            if !self.owned.set(doc! { "sessions": literal(sessions) }).await? {
                return Err(Stop::End(End::Lost));
            }
            self.announced = true;
        }
        *self.work.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            saved.values().flatten().map(|mark| mark.timestamp_millis()).collect();
        let done = match step {
            Step::Save => HashMap::new(),
            Step::Look | Step::Remove => records::numbers(&store, &records::undo_of(self.id())).await?,
        };
        // Only what was saved is undone: what is behind that may not be readable.
        let marked = saved.iter().filter(|(_, mark)| mark.is_some()).map(|(n, _)| *n);
        let last = if step == Step::Save { i64::MAX } else { marked.max().unwrap_or(-1) };
        let mut batches = Batches { rows: file.rows, read: file.read, kept: Vec::new() };
        let mut running = FuturesUnordered::new();
        let mut read = Ok(());
        for n in 0..=last {
            let rows = match batches.next().await {
                Ok(rows) => rows,
                Err(error) => {
                    read = Err(broken(&error));
                    break;
                }
            };
            if step == Step::Save {
                // One that goes on reads again what another had read.
                self.owned.bytes.fetch_max(batches.read.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            if rows.is_empty() {
                break;
            }
            let mark = saved.get(&n).copied();
            let passed_over = match step {
                Step::Save => mark.is_some(),
                Step::Look | Step::Remove => done.contains_key(&n),
            };
            if passed_over {
                continue;
            }
            while running.len() >= IN_FLIGHT {
                self.took_note(running.next().await, step)?;
            }
            if let Some(end) = self.asked() {
                return Err(Stop::End(end));
            }
            let work = Arc::clone(&self.work);
            running
                .push(store.tasks.to_the_end(async move { one(&work, step, n, mark.flatten(), rows).await }));
        }
        while let Some(ended) = running.next().await {
            self.took_note(Some(ended), step)?;
        }
        read
    }

    /// What a batch that has ended means for the job.
    fn took_note(&self, ended: Option<Result<(Outcome, u64)>>, step: Step) -> std::result::Result<(), Stop> {
        match ended {
            None | Some(Ok((Outcome::Done, 0))) => Ok(()),
            Some(Ok((Outcome::Done, used))) if step == Step::Look => Err(Stop::End(End::Failed(format!(
                "at least {used} of its codes are reserved or assigned, or were"
            )))),
            Some(Ok((Outcome::Done, _))) => Ok(()),
            // Whoever else has the job is asked for before more is done.
            Some(Ok((Outcome::DoneBefore, _))) => Err(Stop::Error(Error::unavailable("another has begun"))),
            Some(Ok((Outcome::Lost, _))) => Err(Stop::End(End::Lost)),
            Some(Err(error)) => Err(Stop::Error(error)),
        }
    }

    fn asked(&self) -> Option<End> {
        if self.owned.is_lost() {
            return Some(End::Lost);
        }
        (!self.undoing && self.owned.is_cancelled()).then_some(End::Cancelled)
    }

    /// Remembers which file it is that is being read.
    async fn keep_version(
        &mut self,
        version: Option<String>,
        size: Option<u64>,
    ) -> std::result::Result<(), Stop> {
        if self.version.is_some() {
            return if self.version == version {
                Ok(())
            } else {
                Err(Stop::End(End::Failed("the file has changed since the import began".to_owned())))
            };
        }
        let mut fields = Document::new();
        if let Some(version) = &version {
            fields.insert("version", literal(version));
        }
        if let Some(size) = size {
            fields.insert("size", i64::try_from(size).unwrap_or(i64::MAX));
        }
        if fields.is_empty() {
            return Ok(());
        }
        if !self.owned.set(fields).await? {
            return Err(Stop::End(End::Lost));
        }
        self.version = version;
        Ok(())
    }

    /// Writes down how it ended.
    async fn finish(&self, end: &End) -> Result<()> {
        let store = &self.work.store;
        let state = match end {
            End::Lost => return Ok(()),
            End::GivenBack => return self.owned.give_back().await.map(drop),
            End::Undone => {
                return self.owned.let_go(doc! { "state": JobState::Undone.as_str() }).await.map(drop);
            }
            End::NotUndone(reason) => {
                let reason = match records::undone(store, self.id()).await?.removed {
                    0 => format!("nothing was removed: {reason}"),
                    removed => format!("only {removed} of its codes were removed: {reason}"),
                };
                let as_before = doc! { "state": "$before", "error": literal(reason) };
                return self.owned.let_go(as_before).await.map(drop);
            }
            End::Completed => JobState::Completed,
            End::Cancelled => JobState::Cancelled,
            End::Failed(_) => JobState::Failed,
        };
        if state != JobState::Completed {
            // Whoever finds places taken that hold nothing must know why, and not go on behind them.
            let mut ending = doc! { "ending": state.as_str() };
            if let End::Failed(reason) = end {
                ending.insert("error", literal(reason));
            }
            if !self.owned.set(ending).await? {
                return Ok(());
            }
            records::close(store, self.id()).await?;
        }
        let totals = records::totals(store, self.id()).await?;
        let fields = doc! {
            "state": state.as_str(), "ended": "$$NOW", "totals": literal(totals.document()),
            "bytes": self.owned.bytes(),
        };
        self.owned.let_go(fields).await.map(drop)
    }
}

async fn one(
    work: &Work,
    step: Step,
    n: i64,
    mark: Option<DateTime>,
    rows: Vec<Row>,
) -> Result<(Outcome, u64)> {
    match (step, mark) {
        (Step::Save, _) => Ok((work.save(n, rows).await?, 0)),
        (Step::Look, Some(mark)) => Ok((Outcome::Done, work.used(mark, rows).await?)),
        (Step::Remove, Some(mark)) => Ok((work.remove(n, mark, rows).await?, 0)),
        // A place that was only closed.
        (Step::Look | Step::Remove, None) => Ok((Outcome::Done, 0)),
    }
}

fn broken(error: &io::Error) -> Stop {
    if error.kind() == io::ErrorKind::InvalidData {
        Stop::End(End::Failed(error.to_string()))
    } else {
        Stop::Broken(error.to_string())
    }
}

/// Rows in batches of the same number, however they come.
struct Batches {
    rows: Rows,
    read: Arc<AtomicU64>,
    kept: Vec<Row>,
}

impl Batches {
    /// The next batch; a smaller one at the end, and none behind it.
    async fn next(&mut self) -> io::Result<Vec<Row>> {
        while self.kept.len() < BATCH {
            let more = self.rows.next_batch(BATCH).await?;
            if more.is_empty() {
                return Ok(std::mem::take(&mut self.kept));
            }
            self.kept.extend(more);
        }
        let behind = self.kept.split_off(BATCH);
        Ok(std::mem::replace(&mut self.kept, behind))
    }
}
