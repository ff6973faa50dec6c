//! Errors to the outside: few kinds, each tells the caller what to do.
//!
//! The word of a kind ([`ErrorKind::as_str`]) is the same in Rust, JavaScript, C and HTTP. Messages are for
//! people and may change; they hold no code and no credential. The [`source`](std::error::Error::source) of an
//! error says what the driver reported, without the server's text, which may quote codes: log it once.

use crate::ids::ReserveId;

/// What a caller of this crate gets instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument breaks a rule; the same call will always fail.
    #[error("{field}: {reason}")]
    InvalidArgument {
        /// The argument, by its name in the API: `campaignId`, `codes[3]`, `uri`.
        field: String,
        /// The rule it breaks.
        reason: String,
    },
    /// Fewer codes are available than an all-or-nothing reserve asked for; nothing was kept.
    #[error("not enough codes: wanted {wanted}, available {available}")]
    NotEnoughCodes {
        /// How many were asked for.
        wanted: u64,
        /// How many were available when the reserve gave up.
        available: u64,
    },
    /// The reserveId was used before with another campaign, type or count, or was made by a reserve without one.
    #[error("the reserveId was used before with another {field}")]
    ReservationMismatch {
        /// What differs: `campaignId`, `type`, `count`, or `call` for an id that no caller brought.
        field: &'static str,
    },
    /// The reservation of this reserveId has expired or was released whole; use a new reserveId.
    #[error("the reservation has expired or was released: reserve again with a new reserveId")]
    ReservationExpired,
    /// The database (or the source of an import) cannot be reached now; nothing is left half done that
    /// repeating the same call would not mend.
    #[error("{reason}")]
    Unavailable {
        /// What could not be reached.
        reason: String,
        /// What the driver or the reader reported, for the log.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The reserve's write was sent but no answer came: codes may be held under this id.
    #[error("the outcome of the reserve is unknown: recover its reserveId before reserving again")]
    OutcomeUnknown {
        /// Ask about this id with [`CodeService::recover`](crate::CodeService::recover).
        reserve_id: ReserveId,
        /// What the driver reported, for the log.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The service was closed, see [`CodeService::close`](crate::CodeService::close).
    #[error("the service is closed: connect again")]
    Closed,
    /// The database holds something that no version of the service writes.
    #[error("{what}")]
    CorruptData {
        /// Which thing is wrong, and where.
        what: String,
    },
    /// A fault of this crate or an answer of the database that it does not expect.
    #[error("{reason}")]
    Internal {
        /// What was being done.
        reason: String,
        /// What the driver reported, for the log.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// The kind of an [`Error`]: one word for every face of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the call.
    InvalidArgument,
    /// Ask for fewer codes, or save more.
    NotEnoughCodes,
    /// Use a new reserveId, or repeat the first call exactly.
    ReservationMismatch,
    /// Use a new reserveId.
    ReservationExpired,
    /// Back off and repeat the call.
    Unavailable,
    /// Recover the reserveId before doing anything else.
    OutcomeUnknown,
    /// Connect again.
    Closed,
    /// Tell the people who run the database.
    CorruptData,
    /// Tell the people who run the service.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::InvalidArgument,
        ErrorKind::NotEnoughCodes,
        ErrorKind::ReservationMismatch,
        ErrorKind::ReservationExpired,
        ErrorKind::Unavailable,
        ErrorKind::OutcomeUnknown,
        ErrorKind::Closed,
        ErrorKind::CorruptData,
        ErrorKind::Internal,
    ];

    /// The word for this kind in every face of the service.
    ///
    /// ```
    /// use code_service::ErrorKind;
    /// assert_eq!(ErrorKind::NotEnoughCodes.as_str(), "not_enough_codes");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::NotEnoughCodes => "not_enough_codes",
            ErrorKind::ReservationMismatch => "reservation_mismatch",
            ErrorKind::ReservationExpired => "reservation_expired",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::OutcomeUnknown => "outcome_unknown",
            ErrorKind::Closed => "closed",
            ErrorKind::CorruptData => "corrupt_data",
            ErrorKind::Internal => "internal",
        }
    }

    /// Whether repeating the same call later can succeed.
    pub fn retryable(self) -> bool {
        match self {
            ErrorKind::Unavailable | ErrorKind::OutcomeUnknown => true,
            ErrorKind::InvalidArgument
            | ErrorKind::NotEnoughCodes
            | ErrorKind::ReservationMismatch
            | ErrorKind::ReservationExpired
            | ErrorKind::Closed
            | ErrorKind::CorruptData
            | ErrorKind::Internal => false,
        }
    }
}

impl Error {
    /// Nothing is held, and the same call can succeed later.
    pub(crate) fn unavailable(reason: &str) -> Self {
        Error::Unavailable { reason: reason.to_owned(), source: None }
    }

    /// An attempt that took longer than its entry or its reservation lasts.
    pub(crate) fn held_up() -> Self {
        Error::unavailable("the attempt was held up for too long: try again")
    }

    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Error::NotEnoughCodes { .. } => ErrorKind::NotEnoughCodes,
            Error::ReservationMismatch { .. } => ErrorKind::ReservationMismatch,
            Error::ReservationExpired => ErrorKind::ReservationExpired,
            Error::Unavailable { .. } => ErrorKind::Unavailable,
            Error::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Error::Closed => ErrorKind::Closed,
            Error::CorruptData { .. } => ErrorKind::CorruptData,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::InvalidArgument { field: field.into(), reason: reason.into() }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
