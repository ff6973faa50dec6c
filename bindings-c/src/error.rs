//! Errors to the outside: a status for every function, and an object that says more.

use std::error::Error as _;

use code_service_core::{Error, ErrorKind};

use crate::boundary::{self, CodeServiceText};

/// What a function of this library answers. All but `CODE_SERVICE_STATUS_OK` are errors, with the same words in every
/// face of the service (`code_service_error_code`). Numbers are never used for anything else later.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeServiceStatus {
    /// It was done.
    Ok = 0,
    /// `invalid_argument`: fix the call; `code_service_error_argument` names what is wrong, as all faces of the
    /// service name it: `reserveId` is `reserve_id`.
    InvalidArgument = 10,
    /// `not_enough_codes`: ask for fewer codes, or save more.
    NotEnoughCodes = 20,
    /// `reservation_mismatch`: use a new reserve id, or repeat the first call exactly.
    ReservationMismatch = 30,
    /// `reservation_expired`: use a new reserve id.
    ReservationExpired = 40,
    /// `unavailable`: back off and repeat the call.
    Unavailable = 50,
    /// `outcome_unknown`: recover the reserve id of the error before doing anything else.
    OutcomeUnknown = 60,
    /// `closed`: connect again.
    Closed = 70,
    /// `cancelled`: the call was given up; what of it had reached the database may be done all the same. Of this face
    /// alone.
    Cancelled = 80,
    /// `corrupt_data`: tell the people who run the database.
    CorruptData = 90,
    /// `internal`: tell the people who run the service.
    Internal = 100,
}

impl From<ErrorKind> for CodeServiceStatus {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => CodeServiceStatus::InvalidArgument,
            ErrorKind::NotEnoughCodes => CodeServiceStatus::NotEnoughCodes,
            ErrorKind::ReservationMismatch => CodeServiceStatus::ReservationMismatch,
            ErrorKind::ReservationExpired => CodeServiceStatus::ReservationExpired,
            ErrorKind::Unavailable => CodeServiceStatus::Unavailable,
            ErrorKind::OutcomeUnknown => CodeServiceStatus::OutcomeUnknown,
            ErrorKind::Closed => CodeServiceStatus::Closed,
            ErrorKind::CorruptData => CodeServiceStatus::CorruptData,
            ErrorKind::Internal => CodeServiceStatus::Internal,
        }
    }
}

/// Why a call failed, on its way to C.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<CodeServiceError>);

/// What is known of an error. Free it with `code_service_error_free`.
#[derive(Debug, Clone)]
pub struct CodeServiceError {
    status: CodeServiceStatus,
    code: &'static str,
    message: String,
    retryable: bool,
    reserve_id: String,
    argument: String,
    wanted: u64,
    available: u64,
    cause: String,
}

impl Failure {
    fn new(status: CodeServiceStatus, code: &'static str, message: String) -> Self {
        Failure(Box::new(CodeServiceError {
            status,
            code,
            message,
            retryable: false,
            reserve_id: String::new(),
            argument: String::new(),
            wanted: 0,
            available: 0,
            cause: String::new(),
        }))
    }

    fn of_kind(kind: ErrorKind, message: String) -> Self {
        Failure::new(kind.into(), kind.as_str(), message)
    }

    pub(crate) fn invalid(argument: &str, reason: &str) -> Self {
        let mut failure = Failure::of_kind(ErrorKind::InvalidArgument, format!("{argument}: {reason}"));
        failure.0.argument = argument.to_owned();
        failure
    }

    /// The same of an item of the list that it named.
    pub(crate) fn at(mut self, name: &str, place: usize) -> Self {
        let item = format!("{name}[{place}]");
        self.0.message = self.0.message.replacen(name, &item, 1);
        self.0.argument = item;
        self
    }

    pub(crate) fn panic() -> Self {
        Failure::of_kind(ErrorKind::Internal, "the operation panicked".to_owned())
    }

    pub(crate) fn cancelled() -> Self {
        Failure::new(CodeServiceStatus::Cancelled, "cancelled", "the call was cancelled".to_owned())
    }

    pub(crate) fn internal(reason: &str) -> Self {
        Failure::of_kind(ErrorKind::Internal, reason.to_owned())
    }

    /// Why `code_service_connect` failed: the fields of its options have names of their own.
    pub(crate) fn of_options(error: Error) -> Self {
        let mut failure = Failure::from(error);
        let name = match failure.0.argument.as_str() {
            "reservationTtl" => "reservation_ttl_ms",
            "patience" => "patience_ms",
            "sweepInterval" => "sweep_interval_ms",
            _ => return failure,
        };
        failure.0.message = failure.0.message.replacen(&failure.0.argument, name, 1);
        failure.0.argument = name.to_owned();
        failure
    }

    pub(crate) fn status(&self) -> CodeServiceStatus {
        self.0.status
    }
}

impl From<Failure> for CodeServiceError {
    fn from(failure: Failure) -> Self {
        *failure.0
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Failure::of_kind(error.kind(), error.to_string());
        failure.0.retryable = error.kind().retryable();
        failure.0.cause = error.source().map(ToString::to_string).unwrap_or_default();
        match error {
            Error::InvalidArgument { field, .. } => failure.0.argument = field,
            Error::NotEnoughCodes { wanted, available } => {
                (failure.0.wanted, failure.0.available) = (wanted, available);
            }
            Error::OutcomeUnknown { reserve_id, .. } => failure.0.reserve_id = reserve_id.as_str().to_owned(),
            _ => {}
        }
        failure
    }
}

/// Reads something of an error; without one, `otherwise`.
unsafe fn of<T>(
    error: *const CodeServiceError,
    otherwise: T,
    read: impl FnOnce(&CodeServiceError) -> T,
) -> T {
    // SAFETY: null, or an error that is alive.
    match unsafe { boundary::get_optional(error) } {
        Some(error) => read(error),
        None => otherwise,
    }
}

/// The status that the function has returned; `CODE_SERVICE_STATUS_OK` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_status(error: *const CodeServiceError) -> CodeServiceStatus {
    of(error, CodeServiceStatus::Ok, |error| error.status)
}

/// The word for the kind of error, such as `not_enough_codes`: the same in every face of the service.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_code(error: *const CodeServiceError) -> CodeServiceText {
    of(error, CodeServiceText::NONE, |error| CodeServiceText::of(error.code))
}

/// What was wrong, with which value, and what to do, for people. Never holds a code or a password. Not for programs:
/// it changes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_message(error: *const CodeServiceError) -> CodeServiceText {
    of(error, CodeServiceText::NONE, |error| CodeServiceText::of(&error.message))
}

/// Whether the same call can succeed later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_retryable(error: *const CodeServiceError) -> bool {
    of(error, false, |error| error.retryable)
}

/// The reserve id to recover, of `CODE_SERVICE_STATUS_OUTCOME_UNKNOWN`; empty otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_reserve_id(error: *const CodeServiceError) -> CodeServiceText {
    of(error, CodeServiceText::NONE, |error| CodeServiceText::of(&error.reserve_id))
}

/// The argument that is wrong, of `CODE_SERVICE_STATUS_INVALID_ARGUMENT`; empty otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_argument(error: *const CodeServiceError) -> CodeServiceText {
    of(error, CodeServiceText::NONE, |error| CodeServiceText::of(&error.argument))
}

/// How many codes were asked for, of `CODE_SERVICE_STATUS_NOT_ENOUGH_CODES`; 0 otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_wanted(error: *const CodeServiceError) -> u64 {
    of(error, 0, |error| error.wanted)
}

/// How many codes were available then; 0 otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_available(error: *const CodeServiceError) -> u64 {
    of(error, 0, |error| error.available)
}

/// What the database or the connection to it reported, for a log; may be empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_cause(error: *const CodeServiceError) -> CodeServiceText {
    of(error, CodeServiceText::NONE, |error| CodeServiceText::of(&error.cause))
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_error_free(error: *mut CodeServiceError) {
    drop(boundary::take(error));
}
