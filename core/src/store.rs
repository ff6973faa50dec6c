//! The collections with the concerns that the promise needs, and the driver's errors in our words.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, Timestamp, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind, WriteFailure};
use mongodb::options::{CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection, Database};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{Options, hosts};
use crate::task::{LONG, SHORT, Tasks, Within};

/// Sooner no other member can have been elected.
const SLOW: Duration = Duration::from_secs(1);

/// Handles to everything that the service keeps in the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// The codes, on the primary: whatever decides who gets a code.
    pub(crate) codes: Collection<Document>,
    /// The codes, as the connection string's read preference says: counts, look-ups of a code, exports.
    pub(crate) codes_to_read: Collection<Document>,
    /// The ledger of reserveIds that callers bring themselves.
    pub(crate) ledger: Collection<Document>,
    /// Work that outlives its process.
    pub(crate) jobs: Collection<Document>,
    /// What the batches of imports have done.
    pub(crate) batches: Collection<Document>,
    /// How long a reservation holds its codes.
    pub(crate) ttl: Duration,
    /// For how long a call waits while the database does not answer.
    pub(crate) patience: Duration,
    /// What is under way.
    pub(crate) tasks: Tasks,
    observer: Option<Observer>,
    pub(crate) database: Database,
}

impl Store {
    /// Connects, and checks that the server can keep the promise.
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let (client_options, database) = options.resolve().await?;
        let hosts = hosts(&client_options);
        // To find a server, and for its answer.
        let limit = client_options.server_selection_timeout.unwrap_or(LONG).saturating_add(SHORT);
        let client = Client::with_options(client_options)
            .map_err(|_| Error::invalid("uri", "holds options that disagree"))?;
        let database = client.database(&database);
        let on_primary = CollectionOptions::builder()
            .selection_criteria(primary())
            .read_concern(ReadConcern::majority())
            .build();
        let beside = |name: &str| {
            let name = format!("{}.{name}", options.collection);
            database.collection_with_options(&name, on_primary.clone())
        };
        let store = Store {
            codes: database.collection_with_options(&options.collection, on_primary.clone()),
            codes_to_read: database.collection(&options.collection),
            ledger: beside("reservations"),
            jobs: beside("jobs"),
            batches: beside("jobs.batches"),
            ttl: options.reservation_ttl,
            patience: options.patience,
            tasks: Tasks::default(),
            observer: options.observer.clone(),
            database,
        };
        let asked = async { Ok::<_, DriverError>((store.hello().await?, store.journals().await?)) };
        let (hello, journals) = asked.within(limit).await.map_err(|error| at_connect(error, &hosts))?;
        if hello.get_str("msg").ok() == Some("isdbgrid") {
            // It tells the time itself, and answers for servers that go on: nothing here would have a deadline.
            return Err(Error::invalid(
                "uri",
                format!("{hosts} is a mongos, and a sharded cluster is not supported: name a replica set"),
            ));
        }
        if hello.get_str("setName").is_err() {
            return Err(Error::invalid(
                "uri",
                format!(
                    "{hosts} is a standalone server, which cannot keep codes safe through a crash: \
                     start it with --replSet rs0 and run rs.initiate() on it once"
                ),
            ));
        }
        if journals == Some(false) {
            return Err(Error::invalid(
                "uri",
                format!(
                    "{hosts} confirms writes that are not in the journal yet, and could forget them: run \
                     conf = rs.conf(); conf.writeConcernMajorityJournalDefault = true; rs.reconfig(conf)"
                ),
            ));
        }
        Ok(store)
    }

    /// Tells whoever wants to know.
    pub(crate) fn saw(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.saw(&event);
        }
    }

    /// Whether a majority that has confirmed a write has it in its journals. None if the user may not know, who then
    /// has to trust whoever runs the database; and of what is no replica set.
    async fn journals(&self) -> mongodb::error::Result<Option<bool>> {
        let admin = self.database.client().database("admin");
        let config = admin.run_command(doc! { "replSetGetConfig": 1 }).selection_criteria(primary()).await;
        match config {
            Ok(reply) => {
                let config = reply.get_document("config");
                Ok(config.and_then(|config| config.get_bool("writeConcernMajorityJournalDefault")).ok())
            }
            Err(error) if matches!(*error.kind, DriverErrorKind::Command(_)) && !passing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The clock of the primary, with the driver's own error.
    pub(crate) async fn time(&self) -> mongodb::error::Result<DateTime> {
        let hello = self.hello().within(SHORT).await?;
        hello.get_datetime("localTime").copied().map_err(|_| DriverError::custom("no time in hello"))
    }

    async fn hello(&self) -> mongodb::error::Result<Document> {
        self.database.run_command(doc! { "hello": 1 }).selection_criteria(primary()).await
    }

    /// The clock of the primary.
    pub(crate) async fn server_time(&self) -> Result<DateTime> {
        self.moment().await.map(|moment| moment.time)
    }

    /// Now, on the primary.
    pub(crate) async fn moment(&self) -> Result<Moment> {
        self.moment_on(Some(primary())).await
    }

    /// Makes sure that what a server has said of codes that are not there is not old news.
    ///
    /// One that stood still and goes on answers as the primary that it was, until it hears of the new one. It can
    /// only do so long after it was `asked`; then a majority is asked whether it still is.
    pub(crate) async fn must_be_news(&self, asked: Instant) -> Result<()> {
        if asked.elapsed() < SLOW {
            return Ok(());
        }
        let nothing = self.ledger.find_one(doc! { "_id": "" }).read_concern(ReadConcern::linearizable());
        let answered = nothing.max_time(SHORT).within(SHORT).await;
        answered.map(|_| ()).map_err(|e| database_error("asking whether a server is primary", e))
    }

    /// Now, where the connection string's read preference says.
    pub(crate) async fn readable_moment(&self) -> Result<Moment> {
        self.moment_on(self.codes_to_read.selection_criteria().cloned()).await
    }

    async fn moment_on(&self, criteria: Option<SelectionCriteria>) -> Result<Moment> {
        let doing = "reading the server's time";
        let hello = self.read_command(doc! { "hello": 1 }, criteria, SHORT).await;
        let hello = hello.map_err(|e| database_error(doing, e))?;
        let (Ok(time), Ok(cluster_time)) =
            (hello.get_datetime("localTime"), hello.get_timestamp("operationTime"))
        else {
            let reason = "the server's hello has no time".to_owned();
            return Err(Error::Internal { reason, source: None });
        };
        let last = |name: &str| hello.get_document("lastWrite").ok()?.get_document(name).ok();
        // Until the majority has the last one, an earlier one may be on its way to be seen.
        let last_write = last("opTime").filter(|write| last("majorityOpTime") == Some(write)).cloned();
        Ok(Moment { time: *time, cluster_time, last_write })
    }

    /// A command that only reads. Sent again once, as the driver does with reads that it knows.
    pub(crate) async fn read_command(
        &self,
        command: Document,
        criteria: Option<SelectionCriteria>,
        limit: Duration,
    ) -> mongodb::error::Result<Document> {
        let send = || {
            let command = self.database.run_command(command.clone());
            match &criteria {
                Some(criteria) => command.selection_criteria(criteria.clone()),
                None => command,
            }
            .within(limit)
        };
        match send().await {
            Err(error) if passing(&error) && !never_sent(&error) => send().await,
            outcome => outcome,
        }
    }

    /// An `update` command, confirmed by a majority. Returns how many documents it has changed.
    pub(crate) async fn write(&self, doing: &str, command: Document, limit: Duration) -> Result<u64> {
        let reply = self.database.run_command(command).within(limit).await;
        let reply = reply.map_err(|e| database_error(doing, e))?;
        match reply.get_i32("nModified").map(u64::try_from) {
            Ok(Ok(modified)) if is_whole(&reply) => Ok(modified),
            _ => Err(write_error(doing, &reply)),
        }
    }
}

/// A moment of a server.
pub(crate) struct Moment {
    /// Its clock.
    pub(crate) time: DateTime,
    /// The time of the replica set, at which every member can be asked.
    pub(crate) cluster_time: Timestamp,
    /// The name of the last write to anything in the replica set, if everything before it can be read, too.
    pub(crate) last_write: Option<Document>,
}

fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

fn at_connect(error: DriverError, hosts: &str) -> Error {
    if matches!(*error.kind, DriverErrorKind::Authentication { .. }) {
        return Error::invalid(
            "uri",
            format!("MongoDB at {hosts} refuses its user and password (authSource?)"),
        );
    }
    let mut error = database_error("connecting", error);
    if let Error::Unavailable { reason, .. } = &mut error {
        *reason = format!("MongoDB at {hosts} cannot be reached, or has no primary");
    }
    error
}

/// What may be logged of a driver's error. Its own text is not kept: it repeats the server's, which can
/// quote codes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

pub(crate) fn cause(error: &DriverError) -> Option<Box<dyn std::error::Error + Send + Sync>> {
    let text = match error.kind.as_ref() {
        DriverErrorKind::Io(io) => format!("connection: {io}"),
        DriverErrorKind::ServerSelection { message, .. } => reasons(message),
        DriverErrorKind::ConnectionPoolCleared { .. } => "the connection pool was cleared".to_owned(),
        DriverErrorKind::DnsResolve { .. } => "a host name does not resolve".to_owned(),
        DriverErrorKind::Command(e) => format!("server error {} {}", e.code, e.code_name),
        DriverErrorKind::Write(WriteFailure::WriteConcernError(e)) => {
            format!("write concern error {} {}", e.code, e.code_name)
        }
        DriverErrorKind::Write(WriteFailure::WriteError(e)) => format!("write error {}", e.code),
        DriverErrorKind::InsertMany(e) => {
            let codes: BTreeSet<i32> = e.write_errors.iter().flatten().map(|e| e.code).collect();
            format!("write errors {codes:?}, write concern error: {}", e.write_concern_error.is_some())
        }
        _ => "an error inside the driver".to_owned(),
    };
    Some(Box::new(Cause(text)))
}

/// Why no server could be selected: what the connection to each one met, out of the driver's long description.
fn reasons(message: &str) -> String {
    let each = message.split("Error: Kind: ").skip(1).filter_map(|rest| rest.split(", labels").next());
    let each: BTreeSet<&str> = each.collect();
    if each.is_empty() { "no server fits".to_owned() } else { Vec::from_iter(each).join("; ") }
}

/// A driver's error in our words. `doing` says what failed: "counting codes".
pub(crate) fn database_error(doing: &str, error: DriverError) -> Error {
    let source = cause(&error);
    if matches!(*error.kind, DriverErrorKind::Shutdown) {
        Error::Closed
    } else if passing(&error) {
        Error::Unavailable { reason: "the database does not answer".to_owned(), source }
    } else if matches!(error.kind.as_ref(), DriverErrorKind::Command(command) if command.code == BAD_VALUE) {
        let reason = format!("the database refused {doing}: an index may be missing, verify the indexes");
        Error::Internal { reason, source }
    } else {
        Error::Internal { reason: format!("the database failed while {doing}"), source }
    }
}

/// Whether the answer to a write says that all of it was done, and is safe.
pub(crate) fn is_whole(reply: &Document) -> bool {
    !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError")
}

/// What speaks against that: an error of a statement, or that no majority has confirmed it, which goes away.
pub(crate) fn write_error(doing: &str, reply: &Document) -> Error {
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    match errors.first().and_then(|error| error.as_document()?.get_i32("code").ok()) {
        Some(code) if !PASSING.contains(&code) => Error::Internal {
            reason: format!("the database failed while {doing}"),
            source: Some(Box::new(Cause(format!("write error {code}")))),
        },
        code => {
            let what = code.map_or("write concern error".to_owned(), |code| format!("write error {code}"));
            Error::Unavailable {
                reason: "the database does not answer".to_owned(),
                source: Some(Box::new(Cause(what))),
            }
        }
    }
}

/// What the server answers when the index that a query names is not there.
const BAD_VALUE: i32 = 2;

/// Server errors that go away: no primary, stepping down, shutting down, time-outs, write concern not met; a cursor that
/// is not there any more, and a command or session that somebody has killed.
const PASSING: [i32; 26] = [
    6, 7, 24, 43, 50, 64, 89, 91, 100, 112, 133, 134, 175, 189, 237, 239, 246, 262, 9001, 10058, 10107,
    11600, 11601, 11602, 13435, 13436,
];

/// Whether a document is there already that was to be inserted, and nothing else is wrong.
pub(crate) fn is_duplicate(error: &DriverError) -> bool {
    const DUPLICATE_KEY: i32 = 11_000;
    match error.kind.as_ref() {
        DriverErrorKind::Write(WriteFailure::WriteError(e)) => e.code == DUPLICATE_KEY,
        DriverErrorKind::InsertMany(failed) => {
            let errors = failed.write_errors.as_deref().unwrap_or_default();
            failed.write_concern_error.is_none()
                && !errors.is_empty()
                && errors.iter().all(|e| e.code == DUPLICATE_KEY)
        }
        _ => false,
    }
}

/// Whether a collection is there already that was to be made.
pub(crate) fn exists_already(error: &DriverError) -> bool {
    const NAMESPACE_EXISTS: i32 = 48;
    matches!(error.kind.as_ref(), DriverErrorKind::Command(command) if command.code == NAMESPACE_EXISTS)
}

/// Whether the error is of the connection or the replica set's state, and not of what was asked.
pub(crate) fn passing(error: &DriverError) -> bool {
    if error.contains_label("RetryableWriteError") || error.contains_label("TransientTransactionError") {
        return true;
    }
    match error.kind.as_ref() {
        DriverErrorKind::Io(_)
        | DriverErrorKind::ServerSelection { .. }
        | DriverErrorKind::ConnectionPoolCleared { .. }
        | DriverErrorKind::DnsResolve { .. } => true,
        DriverErrorKind::Command(command) => PASSING.contains(&command.code),
        DriverErrorKind::InsertMany(insert) => {
            insert.write_concern_error.is_some()
                || insert.write_errors.iter().flatten().any(|e| PASSING.contains(&e.code))
        }
        DriverErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
        DriverErrorKind::Write(WriteFailure::WriteError(e)) => PASSING.contains(&e.code),
        _ => false,
    }
}

/// Whether a failed write certainly never reached a server. A cleared pool does not say so: the driver ends
/// connections that way that have sent their command and wait for its reply.
pub(crate) fn never_sent(error: &DriverError) -> bool {
    matches!(
        *error.kind,
        DriverErrorKind::ServerSelection { .. }
            | DriverErrorKind::DnsResolve { .. }
            | DriverErrorKind::Authentication { .. }
            | DriverErrorKind::Shutdown
    )
}
