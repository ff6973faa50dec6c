//! How to connect.

use std::mem::offset_of;
use std::time::Duration;

use code_service_core::Options;

use crate::boundary::{self, CodeServiceText, Out};
use crate::calls::{CodeService, Threads};
use crate::error::{CodeServiceError, CodeServiceStatus, Failure};

/// The version of the library that this header is of.
pub const CODE_SERVICE_VERSION_MAJOR: u32 = 0;
/// The version of the library that this header is of.
pub const CODE_SERVICE_VERSION_MINOR: u32 = 1;
/// The version of the library that this header is of.
pub const CODE_SERVICE_VERSION_PATCH: u32 = 0;

/// How `code_service_connect` reaches the database and treats reservations.
///
/// Set it up with `code_service_options_init`, and then what is to differ: zeros and empty texts stand for what is
/// usual. It may grow with later versions, at its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CodeServiceOptions {
    /// How many bytes it has in the caller's header.
    pub size: usize,
    /// MongoDB connection string of a replica set. Its write concern must be `majority` or left out.
    pub uri: CodeServiceText,
    /// The database; the one in the path of `uri` if left out.
    pub database: CodeServiceText,
    /// The collection of the codes; `codes` if left out.
    pub collection: CodeServiceText,
    /// How long a reservation holds its codes: 24 hours if 0; 1,000 to ten years.
    pub reservation_ttl_ms: u64,
    /// How long to look for a server before answering `unavailable`: 5,000 if 0, or what `uri` says.
    pub server_selection_timeout_ms: u64,
    /// How long a call waits for the database to come back once it has written something: 20,000 if 0; at least 5,000.
    pub patience_ms: u64,
    /// How often at most to look for codes that dead attempts under callers' reserve ids have left: 10,000 if 0.
    pub sweep_interval_ms: u64,
    /// How many threads carry calls out: as many as there are processors, up to 4, if 0. One more runs callbacks.
    pub threads: u32,
    /// Not used: 0.
    pub reserved: u32,
}

/// The size of the first version of the options, which is the least that a caller can have.
const FIRST_SIZE: usize = offset_of!(CodeServiceOptions, reserved) + size_of::<u32>();
/// More threads than any machine needs.
const MOST_THREADS: u32 = 1_024;

impl CodeServiceOptions {
    unsafe fn parse(&self) -> Result<(Options, usize), Failure> {
        let mut options = Options::new(boundary::text("uri", self.uri)?);
        options.database = boundary::optional_text("database", self.database)?;
        if let Some(collection) = boundary::optional_text("collection", self.collection)? {
            options.collection = collection;
        }
        let set = |option: &mut Duration, milliseconds: u64| {
            if milliseconds > 0 {
                *option = Duration::from_millis(milliseconds);
            }
        };
        set(&mut options.reservation_ttl, self.reservation_ttl_ms);
        set(&mut options.patience, self.patience_ms);
        set(&mut options.sweep_interval, self.sweep_interval_ms);
        options.server_selection_timeout = (self.server_selection_timeout_ms > 0)
            .then(|| Duration::from_millis(self.server_selection_timeout_ms));
        if self.reserved != 0 {
            return Err(Failure::invalid("reserved", "must be 0"));
        }
        if self.threads > MOST_THREADS {
            return Err(Failure::invalid("threads", "must be at most 1024"));
        }
        let usual = || std::thread::available_parallelism().map_or(1, |processors| processors.get().min(4));
        Ok((options, if self.threads == 0 { usual() } else { self.threads as usize }))
    }
}

/// The version of the library itself, as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn code_service_version() -> CodeServiceText {
    CodeServiceText::of(env!("CARGO_PKG_VERSION"))
}

/// Sets options to what is usual. `size` is `sizeof` of the caller's struct. Nothing happens to NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_options_init(options: *mut CodeServiceOptions, size: usize) {
    boundary::clear(options.cast(), size);
}

/// Connects to the database, checks that it is a replica set, and starts the threads of the service.
///
/// `service` gets the service, which the caller frees with `code_service_free`.
///
/// Errors: `invalid_argument` if an option is wrong, the server is a standalone one or a mongos, or refuses the
/// credentials; `unavailable` if no primary is found in time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_connect(
    options: *const CodeServiceOptions,
    service: *mut *mut CodeService,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let (options, workers) = parse(options)?;
        let out = Out::new("service", service)?;
        let threads = Threads::start(workers)?;
        let outcome = threads.wait(connect(options));
        out.put(boundary::give(connected(outcome, threads)?));
        Ok(())
    })
}

/// What the caller wants, and with how many threads.
pub(crate) unsafe fn parse(options: *const CodeServiceOptions) -> Result<(Options, usize), Failure> {
    // The size is there whatever else is.
    let size = boundary::get("options", options.cast::<usize>())?;
    boundary::grown("options", options, *size, FIRST_SIZE)?.parse()
}

pub(crate) async fn connect(options: Options) -> Result<code_service_core::CodeService, Failure> {
    code_service_core::CodeService::connect(options).await.map_err(Failure::of_options)
}

/// A service on these threads; they end if there is none.
pub(crate) fn connected(
    outcome: Result<code_service_core::CodeService, Failure>,
    threads: Threads,
) -> Result<CodeService, Failure> {
    match outcome {
        Ok(core) => Ok(CodeService::new(core, threads)),
        Err(failure) => {
            threads.abandon();
            Err(failure)
        }
    }
}
