//! [`CodeService`]: the operations. None leaves a command half done, whatever becomes of the caller.

use std::sync::Arc;

use futures_util::Stream;

use crate::attempt::Means;
use crate::check::{self, Check, CheckReport};
use crate::claim::{Claims, Pool};
use crate::error::Result;
use crate::export::Export;
use crate::export_job::{ExportJob, RunningExport};
use crate::generate::{Generate, Generated};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::import::{Import, ImportJob, RunningImport};
use crate::indexes::IndexProblem;
use crate::ledger::Ledger;
use crate::lookup::{Counts, ReservationState};
use crate::observer::Event;
use crate::options::Options;
use crate::pattern::{Pattern, Strength};
use crate::queue::Wanted;
use crate::reserve::{Reservation, Reserve};
use crate::rows::Rows;
use crate::save::{Rejection, SaveReport};
use crate::settle::SettleReport;
use crate::status::StoredCode;
use crate::store::Store;
use crate::sweep::sweep_now_and_then;
use crate::task::SHORT;
use crate::{export, export_job, generate, import, indexes, lookup, reserve, save, settle};

/// The service on one collection of codes. Cheap to clone; every clone shares the connections.
#[derive(Debug, Clone)]
pub struct CodeService {
    store: Store,
    claims: Arc<Claims>,
    ledger: Arc<Ledger>,
}

impl CodeService {
    /// Connects to the database, checks that it is a replica set, and begins to look now and then for what dead
    /// attempts have left.
    ///
    /// # Errors
    /// - `invalid_argument` if an option is wrong, the server is a standalone one, a mongos, or of a replica set whose
    ///   majority confirms what is in no journal yet, or it refuses the credentials,
    /// - `unavailable`, with the hosts in its message, if no primary is found within
    ///   [`Options::server_selection_timeout`].
    pub async fn connect(options: Options) -> Result<Self> {
        let store = Store::open(&options).await?;
        let ledger = Arc::new(Ledger::new(store.clone()));
        tokio::spawn(sweep_now_and_then(Arc::downgrade(&ledger), options.sweep_interval));
        Ok(CodeService { claims: Arc::new(Claims::new(store.clone())), ledger, store })
    }

    /// Saves codes into a campaign: new ones are inserted, those that are there get the type and a new date
    /// of saving and keep everything else.
    ///
    /// Memory is bounded by the batches in flight, whatever the number of rows. Saving the same rows again is
    /// safe.
    ///
    /// ```no_run
    /// # use code_service::{CampaignId, CodeService, CodeType, Rows};
    /// # async fn run(service: CodeService, campaign: CampaignId, tm: CodeType) -> code_service::Result<()> {
    /// let report = service.save(&campaign, &tm, Rows::codes(["ABC-1", "ABC-1", ""])).await?;
    /// assert_eq!((report.rows, report.inserted, report.updated, report.rejected), (3, 1, 1, 1));
    /// assert_eq!(report.rejections[0].row, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `unavailable` if the database or the source of the rows fails: batches before that are saved; save the
    /// same rows again.
    pub async fn save(&self, campaign: &CampaignId, code_type: &CodeType, rows: Rows) -> Result<SaveReport> {
        self.save_with_progress(campaign, code_type, rows, |_| ()).await
    }

    /// Saves codes, and tells how far it has come after every few thousand: the rows that were read, and what of
    /// them is saved.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn save_with_progress(
        &self,
        campaign: &CampaignId,
        code_type: &CodeType,
        rows: Rows,
        progress: impl FnMut(&SaveReport) + Send + 'static,
    ) -> Result<SaveReport> {
        let (store, campaign, code_type) = (self.store.clone(), campaign.clone(), code_type.clone());
        self.to_the_end(async move {
            let report = save::save(&store, &campaign, &code_type, rows, progress).await?;
            store.saw(Event::Saved { inserted: report.inserted, updated: report.updated });
            Ok(report)
        })
        .await
    }

    /// Generates new codes by a pattern into a campaign.
    ///
    /// The codes are inserted while the stream is read, at most ten thousand ahead of it, and each comes when a
    /// majority of the replica set has it. All of them are new: where the campaign has a code already, of whatever
    /// type, that one stays as it is, and another is drawn. A stream that was read to its end has yielded exactly
    /// [`Generate::count`] codes, and the campaign has so many more. Memory does not depend on the number.
    ///
    /// One that is dropped, or ends with an error, stops; what was inserted stays, and up to ten thousand codes can be
    /// in the campaign that have not come. An [`export`](Self::export) has them all.
    ///
    /// ```no_run
    /// # use code_service::{CampaignId, CodeService, CodeType, Generate, Pattern};
    /// # use futures_util::TryStreamExt;
    /// # async fn run(service: CodeService, campaign: CampaignId, tm: CodeType) -> code_service::Result<()> {
    /// let pattern = Pattern::parse("TM-????-????-????")?.with_check_character();
    /// let mut generated = service.generate(&campaign, &tm, Generate::new(pattern, 100_000)).await?;
    /// eprintln!("one guess in {:.0} hits a code", 1.0 / generated.strength.guess);
    /// while let Some(code) = generated.codes.try_next().await? {
    ///     println!("{}", code.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `invalid_argument`, before anything is written: the field `pattern` if one guess would hit a code with a
    ///   higher probability than [`Generate::max_guess`], with what to add to it; `count` if it is 0; `maxGuess`,
    /// - `invalid_argument` in the stream: the field `pattern` if others save such codes meanwhile and it gets crowded,
    ///   with how many codes were generated, all of which have come,
    /// - `unavailable` if the database does not answer; in the stream, for longer than [`Options::patience`].
    pub async fn generate(
        &self,
        campaign: &CampaignId,
        code_type: &CodeType,
        wish: Generate,
    ) -> Result<Generated> {
        let pool = Pool { campaign: campaign.clone(), code_type: code_type.clone() };
        let store = self.store.clone();
        self.to_the_end(async move { generate::generate(store, pool, wish).await }).await
    }

    /// Says how hard it is to guess a code of a campaign that looks like a pattern, of whatever type and whoever saved
    /// it.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn strength(&self, campaign: &CampaignId, pattern: &Pattern) -> Result<Strength> {
        let (store, campaign, pattern) = (self.store.clone(), campaign.clone(), pattern.clone());
        self.to_the_end(async move { generate::strength(&store, &campaign, &pattern).await }).await
    }

    /// Reserves codes under one id.
    ///
    /// Without an id of the caller's every call is a new reservation. With one, the call is idempotent, from
    /// any process, at the same time or after a crash: the same id gives the same codes until they expire.
    /// While another attempt under the id is running, the call waits for it; if that attempt's process has died,
    /// for five seconds.
    ///
    /// ```no_run
    /// # use code_service::{CampaignId, CodeService, CodeType, Reserve, ReserveId};
    /// # async fn run(service: CodeService, campaign: CampaignId, tm: CodeType) -> code_service::Result<()> {
    /// let mut wish = Reserve::new(campaign, tm, 4);
    /// wish.reserve_id = Some(ReserveId::parse("order-4711")?);
    /// let first = service.reserve(wish.clone()).await?;
    /// let again = service.reserve(wish).await?;
    /// assert!(again.replayed && again.codes.len() == first.codes.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `invalid_argument` if the count is not 1 to [`MAX_RESERVE`](crate::MAX_RESERVE),
    /// - `not_enough_codes` if fewer are available and [`Reserve::partial`] is false; nothing is kept,
    /// - `reservation_mismatch` and `reservation_expired` for an id that was used before,
    /// - `outcome_unknown` if a write was sent and the database could not be asked for [`Options::patience`] what
    ///   became of it: codes may be held under the id it names, see [`CodeService::recover`],
    /// - `unavailable` if the database cannot be reached, or another call under the id has ended this one; this call
    ///   holds nothing.
    pub async fn reserve(&self, wish: Reserve) -> Result<Reservation> {
        let asked = u64::from(wish.count);
        let saw = move |store: &Store, reservation: &Reservation| {
            if !reservation.replayed {
                store.saw(Event::Reserved { asked, got: reservation.codes.len() as u64 });
            }
        };
        if wish.reserve_id.is_none() {
            // Dropped, it gives back what was claimed: under an id that nobody knows the codes would be lost
            // until they expire.
            return reserve::reserve(self.means(), wish).await.inspect(|got| saw(&self.store, got));
        }
        // Under the caller's own id the codes are theirs to ask for, whether or not they still wait.
        let service = self.clone();
        self.to_the_end(async move {
            reserve::reserve(service.means(), wish).await.inspect(|got| saw(&service.store, got))
        })
        .await
    }

    fn to_the_end<T, W>(&self, work: W) -> impl Future<Output = Result<T>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        self.store.tasks.to_the_end(work)
    }

    fn means(&self) -> Means<'_> {
        Means { store: &self.store, claims: &self.claims, ledger: &self.ledger }
    }

    /// Finds out what became of a reserve that ended with `outcome_unknown`, or whose answer never arrived.
    ///
    /// The answer is final for every attempt that had begun in the database: either these codes are held under the
    /// id, or nothing is and nothing of such an attempt will be, and the same wish can be reserved again. Of an id
    /// that the core made they can be fewer than the reserve asked for. If an attempt under the id is at work, in
    /// whatever process, the call waits for it; if one has died half way, what it took is given back. None also for
    /// an id that was never used or whose codes were all released.
    ///
    /// ```no_run
    /// # use code_service::{CodeService, Error, Reserve};
    /// # async fn run(service: CodeService, wish: Reserve) -> code_service::Result<()> {
    /// let codes = match service.reserve(wish).await {
    ///     Err(Error::OutcomeUnknown { reserve_id, .. }) => match service.recover(&reserve_id).await? {
    ///         Some(held) => held.codes.into_iter().map(|stored| stored.code).collect(),
    ///         None => Vec::new(),
    ///     },
    ///     answer => answer?.codes,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `unavailable` if the database does not answer: ask again.
    pub async fn recover(&self, id: &ReserveId) -> Result<Option<ReservationState>> {
        let (store, ledger, id) = (self.store.clone(), self.ledger.clone(), id.clone());
        self.to_the_end(async move { lookup::recover(&store, &ledger, &id).await }).await
    }

    /// Assigns codes for good, whether they are reserved or available.
    ///
    /// With the id of a reservation only codes that are still held under it are assigned, the others come
    /// back as lost. Codes that are assigned already are not counted and keep their date; those that were
    /// assigned under this very id are not lost, so the call can be repeated.
    ///
    /// # Errors
    /// `invalid_argument` if there are no codes; `unavailable` if the database does not answer: repeat the
    /// call.
    pub async fn assign(
        &self,
        campaign: &CampaignId,
        codes: Vec<Code>,
        reserve_id: Option<&ReserveId>,
    ) -> Result<SettleReport> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), reserve_id.cloned());
        self.to_the_end(async move {
            let report = settle::assign(&store, &campaign, codes, id.as_ref()).await?;
            store.saw(Event::Assigned(report.updated));
            Ok(report)
        })
        .await
    }

    /// Releases reserved codes into the pool.
    ///
    /// Codes that are available or assigned stay as they are. With the id of a reservation only codes that
    /// are still held under it are released, the others come back as lost.
    ///
    /// # Errors
    /// `invalid_argument` if there are no codes; `unavailable` if the database does not answer: repeat the
    /// call.
    pub async fn release(
        &self,
        campaign: &CampaignId,
        codes: Vec<Code>,
        reserve_id: Option<&ReserveId>,
    ) -> Result<SettleReport> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), reserve_id.cloned());
        self.to_the_end(async move {
            let report = settle::release(&store, &campaign, codes, id.as_ref()).await?;
            store.saw(Event::Released(report.updated));
            Ok(report)
        })
        .await
    }

    /// Counts the codes of one type by status.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn count(&self, campaign: &CampaignId, code_type: &CodeType) -> Result<Counts> {
        let (store, pool) =
            (self.store.clone(), Pool { campaign: campaign.clone(), code_type: code_type.clone() });
        self.to_the_end(async move { lookup::count(&store, &pool).await }).await
    }

    /// Looks one code up; None if the campaign does not have it.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn find(&self, campaign: &CampaignId, code: &Code) -> Result<Option<StoredCode>> {
        let (store, campaign, code) = (self.store.clone(), campaign.clone(), code.clone());
        self.to_the_end(async move { lookup::find(&store, &campaign, &code).await }).await
    }

    /// Looks a reservation up; None if no code was reserved under the id, or none is left. An attempt that is at
    /// work is not waited for: [`CodeService::recover`] does that.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn reservation(&self, id: &ReserveId) -> Result<Option<ReservationState>> {
        let (store, id) = (self.store.clone(), id.clone());
        self.to_the_end(async move { lookup::reservation(&store, &id).await }).await
    }

    /// Streams the codes of a campaign in the order of their bytes.
    ///
    /// Every code that is there from the beginning to the end of the stream comes once. One that is reserved
    /// meanwhile comes as it was before or after that, with a status by the database server's time when the
    /// export began. A stream may be read slowly, or be of millions of codes: it holds a few thousand of them.
    ///
    /// If the database goes away in the middle, or forgets the query, the stream asks again for what is behind the
    /// last code that came, for as long as [`Options::patience`]. To go on after an error, start again with
    /// [`Export::after`] set to that code.
    ///
    /// ```no_run
    /// # use code_service::{CampaignId, CodeService, Export, Status};
    /// # use futures_util::TryStreamExt;
    /// # async fn run(service: CodeService, campaign: CampaignId) -> code_service::Result<()> {
    /// let mut export = Export::default();
    /// export.status = Some(Status::Assigned);
    /// let mut codes = std::pin::pin!(service.export(&campaign, export));
    /// while let Some(stored) = codes.try_next().await? {
    ///     println!("{}", stored.code.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The stream ends with `unavailable` if the database does not answer, and with `corrupt_data` at a
    /// document that is no code.
    pub fn export(
        &self,
        campaign: &CampaignId,
        export: Export,
    ) -> impl Stream<Item = Result<StoredCode>> + Send + 'static + use<> {
        export::export(self.store.clone(), campaign.clone(), export)
    }

    /// Puts an import into the queue: a file of codes that some process will save, see [`next_import`](Self::next_import).
    ///
    /// The job outlives this process. It and its batches are kept for 90 days.
    ///
    /// # Errors
    /// `invalid_argument` with the field `file`; `unavailable` if the database does not answer: the import may have
    /// been queued.
    pub async fn begin_import(&self, import: Import) -> Result<ImportJob> {
        let store = self.store.clone();
        self.to_the_end(async move { import::begin(&store, import).await }).await
    }

    /// Looks an import up; None if the campaign has none of this id.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn import(&self, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), id.to_owned());
        self.to_the_end(async move { import::find(&store, &campaign, &id).await }).await
    }

    /// The imports of a campaign, the newest first, at most 1,000.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn imports(&self, campaign: &CampaignId) -> Result<Vec<ImportJob>> {
        let (store, campaign) = (self.store.clone(), campaign.clone());
        self.to_the_end(async move { import::list(&store, &campaign).await }).await
    }

    /// Asks for the end of an import, and returns it as it stands: one that waits is cancelled at once, one that runs
    /// within seconds, one that has ended stays as it is. What is saved stays saved.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn cancel_import(&self, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), id.to_owned());
        self.to_the_end(async move { import::cancel(&store, &campaign, &id).await }).await
    }

    /// Asks that the codes which an import has inserted are removed again, and returns it as it stands: whoever runs
    /// imports does it, and needs the same file for it.
    ///
    /// Nothing is removed if one of them is reserved or assigned, or was and was not released; those that are reserved
    /// while the others are being removed stay. What the import has updated keeps its new type and date.
    ///
    /// # Errors
    /// `invalid_argument` with the field `state` for an import that has not ended, and for a dry run; `unavailable` if
    /// the database does not answer.
    pub async fn undo_import(&self, campaign: &CampaignId, id: &str) -> Result<Option<ImportJob>> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), id.to_owned());
        self.to_the_end(async move { import::undo(&store, &campaign, &id).await }).await
    }

    /// Streams all rows that an import has rejected so far, in the order of the file.
    ///
    /// # Errors
    /// The stream ends with `unavailable` if the database does not answer.
    pub fn rejected_rows(&self, id: &str) -> impl Stream<Item = Result<Rejection>> + Send + 'static + use<> {
        import::rejected(&self.store, id)
    }

    /// Takes the oldest import that nobody runs, for this process to run; None if there is none.
    ///
    /// Ask every few seconds. An import whose process has died can be had twenty seconds later.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn next_import(&self) -> Result<Option<RunningImport>> {
        let store = self.store.clone();
        self.to_the_end(async move { import::next(&store, Wanted::Any).await }).await
    }

    /// The same for a process that is at work on another: only an import that somebody else has begun and does not run
    /// any more, so that it does not wait for the other's end.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn next_import_left_behind(&self) -> Result<Option<RunningImport>> {
        let store = self.store.clone();
        self.to_the_end(async move { import::next(&store, Wanted::Begun).await }).await
    }

    /// Puts an export into the queue: a file of codes that some process will write, see
    /// [`next_export`](Self::next_export). `file` is the name by which that process knows it: 1 to 1,024 bytes.
    ///
    /// # Errors
    /// `invalid_argument` with the field `file`; `unavailable` if the database does not answer: the export may have
    /// been queued.
    pub async fn begin_export(
        &self,
        campaign: &CampaignId,
        wanted: Export,
        file: impl Into<String>,
    ) -> Result<ExportJob> {
        let (store, campaign, file) = (self.store.clone(), campaign.clone(), file.into());
        self.to_the_end(async move { export_job::begin(&store, &campaign, &wanted, &file).await }).await
    }

    /// Looks an export that was queued up; None if the campaign has none of this id.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn export_job(&self, campaign: &CampaignId, id: &str) -> Result<Option<ExportJob>> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), id.to_owned());
        self.to_the_end(async move { export_job::find(&store, &campaign, &id).await }).await
    }

    /// The exports of a campaign that were queued, the newest first, at most 1,000.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn export_jobs(&self, campaign: &CampaignId) -> Result<Vec<ExportJob>> {
        let (store, campaign) = (self.store.clone(), campaign.clone());
        self.to_the_end(async move { export_job::list(&store, &campaign).await }).await
    }

    /// Asks for the end of an export that was queued, and returns it as it stands.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn cancel_export(&self, campaign: &CampaignId, id: &str) -> Result<Option<ExportJob>> {
        let (store, campaign, id) = (self.store.clone(), campaign.clone(), id.to_owned());
        self.to_the_end(async move { export_job::cancel(&store, &campaign, &id).await }).await
    }

    /// Takes the oldest export that nobody runs, for this process to run; None if there is none.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn next_export(&self) -> Result<Option<RunningExport>> {
        let store = self.store.clone();
        self.to_the_end(async move { export_job::next(&store).await }).await
    }

    /// Creates the indexes that are missing: three on the codes, two on the ledger, four for jobs.
    ///
    /// On a collection with millions of codes this takes minutes; run it before a deployment, not at the
    /// start of every process. An index that is there is left alone.
    ///
    /// # Errors
    /// `internal`, with the command that mends it, if an index of the same keys has other properties.
    pub async fn ensure_indexes(&self) -> Result<()> {
        let store = self.store.clone();
        self.to_the_end(async move { indexes::ensure(&store).await }).await
    }

    /// Says what is wrong with the indexes: nothing, if the list is empty.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn verify_indexes(&self) -> Result<Vec<IndexProblem>> {
        let store = self.store.clone();
        self.to_the_end(async move { indexes::verify(&store).await }).await
    }

    /// Checks whether what lies in the database is what the services write, and mends what is safe to mend if
    /// [`Check::repair`] is set.
    ///
    /// Others can work meanwhile: what they are changing is not found. On millions of codes it takes minutes, and is
    /// work for the primary. What is found a second time after a repair needs people; a check that is repeated finds
    /// nothing of what was mended.
    ///
    /// ```no_run
    /// # use code_service::{Check, CodeService};
    /// # async fn run(service: CodeService) -> code_service::Result<()> {
    /// let report = service.check(Check::default()).await?;
    /// for found in &report.findings {
    ///     println!("{} x {}: {}", found.count, found.kind.as_str(), found.kind.meaning());
    /// }
    /// assert!(report.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `unavailable` if the database does not answer: what was repaired stays so; check again.
    pub async fn check(&self, check: Check) -> Result<CheckReport> {
        self.check_with_progress(check, |_| ()).await
    }

    /// Checks, and tells what it has seen and found after every few thousand documents.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_with_progress(
        &self,
        check: Check,
        progress: impl FnMut(&CheckReport) + Send + 'static,
    ) -> Result<CheckReport> {
        let (store, ledger) = (self.store.clone(), self.ledger.clone());
        self.to_the_end(async move { check::check(&store, &ledger, check, progress).await }).await
    }

    /// Asks whether the database has a primary that answers.
    ///
    /// # Errors
    /// `unavailable` if there is none.
    pub async fn ping(&self) -> Result<()> {
        let store = self.store.clone();
        self.to_the_end(async move { store.server_time().await.map(drop) }).await
    }

    /// Lets what is under way end, for as long as a call waits for the database, and closes the connections. That is
    /// also what dropped calls have left: codes that they give back. Calls on this service and its clones that begin
    /// later are answered `closed`. Closing twice changes nothing.
    ///
    /// A service that is dropped with all its clones closes its connections, too, a little later.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(self.store.patience, self.store.tasks.ended()).await;
        let shutdown = self.store.database.client().clone().shutdown().immediate(true);
        // The driver takes leave of the server first, and waits for ever for one that is silent.
        let _ = tokio::time::timeout(SHORT, shutdown).await;
    }
}
