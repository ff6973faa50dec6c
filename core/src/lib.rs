//! Unique presale codes over MongoDB: save, reserve, assign, release and count them, and never give the same
//! code to two callers.
//!
//! A *campaign* owns *codes*; every code has a *type*. Callers *reserve* codes of a type: the codes are then
//! held under a *reserveId* until they are *assigned* for good, *released*, or until the reservation expires
//! (24 hours unless set), when they are *available* again by themselves. Several processes, and the
//! Node.js service that this crate replaces, can work on one collection at the same time.
//!
//! ```no_run
//! use code_service::{CampaignId, CodeService, CodeType, Options, Reserve, Rows};
//!
//! # async fn run() -> code_service::Result<()> {
//! let service = CodeService::connect(Options::new("mongodb://localhost:27017/demo?replicaSet=rs0")).await?;
//! service.ensure_indexes().await?;
//!
//! let campaign = CampaignId::parse("summer-tour")?;
//! let tm = CodeType::parse("tm")?;
//! let saved = service.save(&campaign, &tm, Rows::codes(["ABC-1", "ABC-2", "ABC-3"])).await?;
//! assert_eq!(saved.rows, saved.inserted + saved.updated + saved.rejected);
//!
//! let reservation = service.reserve(Reserve::new(campaign.clone(), tm.clone(), 2)).await?;
//! assert_eq!(reservation.codes.len(), 2);
//! let id = &reservation.reserve_id;
//! let report = service.assign(&campaign, reservation.codes.clone(), Some(id)).await?;
//! assert_eq!((report.updated, report.lost.len()), (2, 0));
//!
//! assert_eq!(service.count(&campaign, &tm).await?.available, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - A code is held by one reservation at a time. The database decides who gets it, in one guarded update;
//!   only what that update (or a look on the primary) confirms is returned.
//! - A reserve gets no fewer codes than it asks for while that many are available. It never waits for others to
//!   come.
//! - Time is the database server's. The clock of the machine that this crate runs on decides nothing.
//! - An assigned code stays assigned, with its first date.
//! - Every write is acknowledged by a majority of the replica set, with its journal, before it counts.
//!
//! # What it needs
//! MongoDB 5.0 or newer as a replica set, a tokio runtime with time and I/O, and the three indexes on the
//! codes that [`CodeService::ensure_indexes`] creates. [`CodeService::check`] looks whether all that lies there is
//! as it should be.
//!
//! A call can be dropped at any point: every command that it has begun runs to its end in a task of its own.
//! What a dropped [`reserve`](CodeService::reserve) without an id of the caller's got is given back, unless the
//! runtime ends first; other calls run to their own end.
//!
//! # Errors
//! Every method answers with the one [`Error`]; its [`kind`](Error::kind) says what to do.
//!
//! | kind | what to do |
//! |---|---|
//! | `invalid_argument` | fix the call |
//! | `not_enough_codes` | ask for fewer, or save more |
//! | `reservation_mismatch` | repeat the first call exactly, or use a new reserveId |
//! | `reservation_expired` | use a new reserveId |
//! | `unavailable` | back off and repeat the call |
//! | `outcome_unknown` | ask [`CodeService::recover`] about the reserveId |
//! | `corrupt_data` | tell the people who run the database |
//! | `internal` | tell the people who run the service |
#![forbid(unsafe_code)]

mod attempt;
mod check;
mod claim;
mod document;
mod error;
mod export;
mod export_job;
mod generate;
mod ids;
mod import;
mod indexes;
mod joined;
mod ledger;
mod lookup;
mod mutant;
mod observer;
mod options;
mod pattern;
mod queue;
mod reserve;
mod rows;
mod save;
mod service;
mod settle;
mod status;
mod store;
mod sweep;
mod task;

pub use check::{Check, CheckReport, Example, Finding, FindingKind};
pub use error::{Error, ErrorKind, Result};
pub use export::{Export, Span};
pub use export_job::{ExportJob, RunningExport};
pub use generate::{Generate, Generated};
pub use ids::{CampaignId, Code, CodeType, InvalidText, MAX_ID_BYTES, MAX_TYPE_BYTES, ReserveId};
pub use import::{Import, ImportJob, ImportUndo, RunningImport, SourceFile, Unreadable};
pub use indexes::IndexProblem;
pub use lookup::{Counts, ReservationState};
pub use observer::{Event, Observer};
pub use options::Options;
pub use pattern::{Pattern, Strength};
pub use queue::JobState;
pub use reserve::{MAX_RESERVE, Reservation, Reserve};
pub use rows::Rows;
pub use save::{MAX_REJECTIONS, Rejection, SaveReport};
pub use service::CodeService;
pub use settle::SettleReport;
pub use status::{Status, StoredCode};
