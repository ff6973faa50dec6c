//! What is answered, in the shape of the HTTP API.
//!
//! None of them has a `Debug` form: they hold codes.

use std::fmt;

use code_service::Status;
use serde::{Deserialize, Serialize};

/// Codes of a type by status.
#[derive(Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) available: u64,
    pub(crate) reserved: u64,
    pub(crate) assigned: u64,
}

impl Counts {
    pub(crate) fn of(&self, status: Status) -> u64 {
        match status {
            Status::Available => self.available,
            Status::Reserved => self.reserved,
            Status::Assigned => self.assigned,
        }
    }
}

/// A code with all that is known of it. Dates are RFC 3339.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    pub(crate) code: String,
    pub(crate) r#type: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) saved: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserved: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) assigned: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserve_id: Option<String>,
}

/// Codes that are held under an id.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held<T> {
    pub(crate) reserve_id: String,
    pub(crate) r#type: String,
    pub(crate) count: u64,
    pub(crate) codes: Vec<T>,
    pub(crate) reserved: String,
    pub(crate) expires: String,
}

/// One of them, with its status.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeldCode {
    pub(crate) code: String,
    pub(crate) status: String,
}

/// What became of codes that were assigned or released.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Settled {
    pub(crate) count: SettledCount,
    /// With a reserveId: the codes that are not held under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct SettledCount {
    pub(crate) r#in: u64,
    pub(crate) updated: u64,
}

/// What became of the rows of a file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) count: SavedCount,
    /// The first rejected rows; missing if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejected: Vec<Rejected>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SavedCount {
    pub(crate) r#in: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    #[serde(default)]
    pub(crate) rejected: u64,
}

/// A row that holds no valid code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rejected {
    pub(crate) row: u64,
    pub(crate) reason: String,
}

/// An import that a host runs.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportJob {
    pub(crate) id: String,
    pub(crate) campaign_id: String,
    pub(crate) r#type: String,
    pub(crate) file: String,
    pub(crate) dry_run: bool,
    pub(crate) state: JobState,
    pub(crate) r#in: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) rejected: u64,
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Rows a second.
    pub(crate) rate: u64,
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<Undone>,
}

/// What became of the codes that an import had inserted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Undone {
    pub(crate) removed: u64,
    pub(crate) kept: u64,
    pub(crate) saved_again: u64,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    Undoing,
    Undone,
}

impl JobState {
    /// Whether nobody works on it any more.
    pub(crate) fn has_ended(self) -> bool {
        match self {
            JobState::Queued | JobState::Running | JobState::Undoing => false,
            JobState::Completed | JobState::Failed | JobState::Cancelled | JobState::Undone => true,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The imports of a campaign.
#[derive(Deserialize)]
pub(crate) struct Imports {
    pub(crate) imports: Vec<ImportJob>,
}

/// An export into the bucket that a host runs.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExportJob {
    pub(crate) id: String,
    pub(crate) campaign_id: String,
    pub(crate) file: String,
    pub(crate) state: JobState,
    /// Codes that are written.
    pub(crate) out: u64,
    pub(crate) bytes: u64,
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The exports of a campaign into the bucket.
#[derive(Deserialize)]
pub(crate) struct Exports {
    pub(crate) exports: Vec<ExportJob>,
}

/// A job of either kind.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Job {
    Import(ImportJob),
    Export(ExportJob),
}

impl Job {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Job::Import(_) => "import",
            Job::Export(_) => "export",
        }
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            Job::Import(job) => &job.id,
            Job::Export(job) => &job.id,
        }
    }

    pub(crate) fn state(&self) -> JobState {
        match self {
            Job::Import(job) => job.state,
            Job::Export(job) => job.state,
        }
    }

    /// When it was asked for. Later ones are greater texts.
    pub(crate) fn created(&self) -> &str {
        match self {
            Job::Import(job) => &job.created,
            Job::Export(job) => &job.created,
        }
    }

    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Job::Import(job) => job.error.as_deref(),
            Job::Export(job) => job.error.as_deref(),
        }
    }
}

/// All jobs of a campaign.
#[derive(Serialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
}
