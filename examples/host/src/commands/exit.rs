//! How a command ends: exit codes for scripts, and one sentence for people.

use std::io;
use std::process::ExitCode;

use code_service::{Error, ReserveId};

/// Exit codes. Scripts know them: their numbers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    NotEnough = 4,
    Conflict = 5,
    Unavailable = 6,
    Unknown = 7,
    Found = 8,
    Partly = 9,
    NotLetIn = 10,
    /// What a shell says of a command that Ctrl-C has ended.
    Interrupted = 130,
}

impl Exit {
    const ALL: [Exit; 12] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::NotFound,
        Exit::NotEnough,
        Exit::Conflict,
        Exit::Unavailable,
        Exit::Unknown,
        Exit::Found,
        Exit::Partly,
        Exit::NotLetIn,
        Exit::Interrupted,
    ];

    fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed: standard error says why",
            Exit::Usage => "the arguments are wrong",
            Exit::NotFound => "there is no such thing, or nothing is held",
            Exit::NotEnough => "fewer codes are available than were asked for; nothing is held",
            Exit::Conflict => "codes are lost, or the reserveId has expired or was used for something else",
            Exit::Unavailable => "the database or the host is away: try again",
            Exit::Unknown => "nobody knows whether codes are held: recover the reserveId",
            Exit::Found => "check has found something",
            Exit::Partly => "done but for some: rows were rejected, or codes have not changed",
            Exit::NotLetIn => {
                "the host does not take the token: it is wrong, has expired, or is of no supreme user"
            }
            Exit::Interrupted => "ended by Ctrl-C",
        }
    }

    /// All exit codes, as `--help` shows them.
    pub(crate) fn help() -> String {
        let lines = Exit::ALL.map(|exit| format!("\n  {:>3}  {}", exit as u8, exit.meaning()));
        format!("Exit codes:{}\n  143  ended by SIGTERM", lines.concat())
    }

    /// The exit code of an error by its word: that of the core, or a payload of the host.
    fn of(word: &str) -> Option<Exit> {
        Some(match word {
            "invalid_argument" | "invalidFileKey" => Exit::Usage,
            "not_found" | "fileNotFound" => Exit::NotFound,
            "not_enough_codes" => Exit::NotEnough,
            "reservation_mismatch" | "reservation_expired" => Exit::Conflict,
            "unavailable" | "closed" => Exit::Unavailable,
            "outcome_unknown" => Exit::Unknown,
            "corrupt_data" | "internal" => Exit::Failed,
            _ => return None,
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A sentence for standard error, without line breaks; empty if there is nothing to say.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    /// An error with its word, in whatever way it came here.
    pub(crate) fn worded(word: &str, message: &str, otherwise: Exit) -> Self {
        Failure::new(Exit::of(word).unwrap_or(otherwise), format!("{word}: {message}"))
    }

    /// Whether the same call can succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        self.exit == Exit::Unavailable
    }

    /// A reserve of which nobody has heard again.
    pub(crate) fn unknown(id: &ReserveId) -> Self {
        let message = format!("the outcome of the reserve is unknown: recover its reserveId {}", id.as_str());
        Failure::worded("outcome_unknown", &message, Exit::Unknown)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Failure::from(format!("{}: {error}", path.display()))
    }

    /// Codes cannot be written to standard output. A reader that has gone has had enough: nobody has failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::from(format!("standard output: {error}")),
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::new(Exit::Failed, message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        error.to_string().into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::OutcomeUnknown { reserve_id, .. } = &error {
            return Failure::unknown(reserve_id);
        }
        let message = match std::error::Error::source(&error) {
            Some(cause) => format!("{error} ({cause})"),
            None => error.to_string(),
        };
        Failure::worded(error.kind().as_str(), &message, Exit::Failed)
    }
}

#[cfg(test)]
mod tests {
    use code_service::ErrorKind;

    use super::*;

    #[test]
    fn exit_codes_are_told_in_their_order() {
        let numbers = Exit::ALL.map(|exit| exit as u8);
        assert!(numbers.is_sorted(), "{numbers:?}");
        for exit in Exit::ALL {
            assert!(Exit::help().contains(&format!("\n  {:>3}  {}", exit as u8, exit.meaning())));
        }
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let exits = ErrorKind::ALL.map(|kind| Exit::of(kind.as_str()).map(|exit| exit as u8));
        assert_eq!(exits, [2, 4, 5, 5, 6, 7, 6, 1, 1].map(Some));
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let gone = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((gone.exit, gone.message.as_str()), (Exit::Done, ""));
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).exit, Exit::Failed);
    }
}
