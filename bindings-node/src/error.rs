//! Errors to the outside: what `CodeServiceError` is made of.

use code_service::{Error, ErrorKind};
use serde::Serialize;

/// An error as JavaScript gets it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Failure(Box<Fields>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    code: &'static str,
    message: String,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserve_id: Option<String>,
    /// The argument that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
    /// What the driver reported, for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl Failure {
    fn new(kind: ErrorKind, message: String) -> Self {
        Failure(Box::new(Fields {
            code: kind.as_str(),
            message,
            retryable: kind.retryable(),
            reserve_id: None,
            argument: None,
            wanted: None,
            available: None,
            cause: None,
        }))
    }

    /// Why `connect` failed: its times are numbers of milliseconds here, and their names say so.
    pub(crate) fn of_options(error: Error) -> Self {
        let mut failure = Failure::from(error);
        if let Some(argument) = &mut failure.0.argument
            && ["reservationTtl", "patience", "sweepInterval"].contains(&argument.as_str())
        {
            failure.0.message = failure.0.message.replacen(argument.as_str(), &format!("{argument}MS"), 1);
            argument.push_str("MS");
        }
        failure
    }

    pub(crate) fn invalid(argument: &str, reason: &str) -> Self {
        let mut failure = Failure::new(ErrorKind::InvalidArgument, format!("{argument}: {reason}"));
        failure.0.argument = Some(argument.to_owned());
        failure
    }

    pub(crate) fn panic() -> Self {
        Failure::new(ErrorKind::Internal, "the operation panicked".to_owned())
    }

    pub(crate) fn closed() -> Self {
        Error::Closed.into()
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Failure::new(ErrorKind::Internal, format!("the addon has no method {method}"))
    }

    /// What `index.js` has sent is not what is known here: a fault of the package.
    pub(crate) fn not_understood(error: &serde_json::Error) -> Self {
        // Not the whole text: it may quote what was sent.
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::new(ErrorKind::Internal, format!("the addon does not understand its own call ({place})"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Failure::new(error.kind(), error.to_string());
        failure.0.cause = std::error::Error::source(&error).map(ToString::to_string);
        match error {
            Error::InvalidArgument { field, .. } => failure.0.argument = Some(field),
            Error::NotEnoughCodes { wanted, available } => {
                (failure.0.wanted, failure.0.available) = (Some(wanted), Some(available));
            }
            Error::OutcomeUnknown { reserve_id, .. } => {
                failure.0.reserve_id = Some(reserve_id.as_str().to_owned());
            }
            _ => {}
        }
        failure
    }
}
