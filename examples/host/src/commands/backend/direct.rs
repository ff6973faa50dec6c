//! The configured database, through the crate `code-service`.

use std::time::SystemTime;

use async_trait::async_trait;
use code_service::{
    CampaignId, Code, CodeService, CodeType, Export, Import, Reserve, ReserveId, Rows, StoredCode,
};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use indicatif::{HumanCount, ProgressBar};

use super::super::Configuration;
use super::super::exit::{Exit, Failure};
use super::answers::{SettledCount, Undone};
use super::{
    Backend, Counts, ExportJob, Exports, Found, Held, HeldCode, How, ImportJob, Imports, Input, JobState,
    Rejected, Saved, SavedCount, Settled, Wish,
};
use crate::cli::Format;
use crate::lines::Form;
use crate::reply::timestamp;
use crate::routes::type_in_key;

/// The database, and the types that are allowed in it.
pub(crate) struct Direct {
    pub(crate) service: CodeService,
    types: Vec<String>,
}

impl Direct {
    pub(crate) async fn connect(configuration: &Configuration) -> Result<Self, Failure> {
        let (service, config) = configuration.connect().await?;
        Ok(Direct { service, types: config.codes.types })
    }
}

#[async_trait]
impl Backend for Direct {
    fn allowed_type(&self, name: &str) -> Result<CodeType, Failure> {
        if !self.types.iter().any(|allowed| allowed == name) {
            let types = self.types.join(", ");
            return Err(Failure::worded(
                "invalidType",
                &format!("the type must be one of {types}"),
                Exit::Usage,
            ));
        }
        Ok(CodeType::parse(name)?)
    }

    async fn count(&self, campaign: &CampaignId, code_type: &CodeType) -> Result<Counts, Failure> {
        let counts = self.service.count(campaign, code_type).await?;
        Ok(Counts { available: counts.available, reserved: counts.reserved, assigned: counts.assigned })
    }

    async fn find(&self, campaign: &CampaignId, code: &Code) -> Result<Option<Found>, Failure> {
        Ok(self.service.find(campaign, code).await?.map(Found::from))
    }

    async fn reserve(&self, mut wish: Reserve, id: &ReserveId) -> Result<Held<String>, Failure> {
        wish.reserve_id = Some(id.clone());
        let reservation = self.service.reserve(wish).await?;
        Ok(Held {
            reserve_id: reservation.reserve_id.as_str().to_owned(),
            r#type: reservation.code_type.as_str().to_owned(),
            count: reservation.codes.len() as u64,
            codes: reservation.codes.into_iter().map(Code::into_string).collect(),
            reserved: timestamp(reservation.reserved),
            expires: timestamp(reservation.expires),
        })
    }

    async fn recover(
        &self,
        campaign: &CampaignId,
        id: &ReserveId,
    ) -> Result<Option<Held<HeldCode>>, Failure> {
        let found = self.service.recover(id).await?.filter(|found| found.campaign == *campaign);
        Ok(found.map(|found| Held {
            reserve_id: found.reserve_id.as_str().to_owned(),
            r#type: found.code_type.as_str().to_owned(),
            count: found.codes.len() as u64,
            codes: found
                .codes
                .into_iter()
                .map(|stored| HeldCode {
                    code: stored.code.into_string(),
                    status: stored.status.as_str().to_owned(),
                })
                .collect(),
            reserved: timestamp(found.reserved),
            expires: timestamp(found.expires),
        }))
    }

    async fn settle(
        &self,
        how: How,
        campaign: &CampaignId,
        codes: Vec<Code>,
        id: Option<&ReserveId>,
    ) -> Result<Settled, Failure> {
        let report = match how {
            How::Assign => self.service.assign(campaign, codes, id).await?,
            How::Release => self.service.release(campaign, codes, id).await?,
        };
        let lost = report.lost.into_iter().map(Code::into_string).collect();
        let count = SettledCount { r#in: report.given, updated: report.updated };
        Ok(Settled { count, lost: id.map(|_| lost) })
    }

    fn export(&self, campaign: &CampaignId, wish: Wish) -> BoxStream<'static, Result<Found, Failure>> {
        match export(wish) {
            Ok(export) => self.service.export(campaign, export).map_ok(Found::from).err_into().boxed(),
            Err(failure) => stream::iter([Err(failure)]).boxed(),
        }
    }

    async fn save(
        &self,
        campaign: &CampaignId,
        code_type: &CodeType,
        file: Input,
        bar: &ProgressBar,
    ) -> Result<Saved, Failure> {
        let rows = match file.format {
            Format::Csv => Rows::csv(file.bytes),
            Format::Ndjson => Rows::ndjson(file.bytes),
        };
        let bar = bar.clone();
        let progress = move |report: &code_service::SaveReport| {
            bar.set_message(format!("{} rows", HumanCount(report.rows)));
        };
        let report = self.service.save_with_progress(campaign, code_type, rows, progress).await?;
        let rejected = report.rejections.iter();
        Ok(Saved {
            count: SavedCount {
                r#in: report.rows,
                inserted: report.inserted,
                updated: report.updated,
                rejected: report.rejected,
            },
            rejected: rejected.copied().map(Rejected::from).collect(),
        })
    }

    fn asks_for_length(&self) -> bool {
        false
    }

    async fn begin_import(
        &self,
        campaign: &CampaignId,
        bucket_key: &str,
        dry_run: bool,
    ) -> Result<ImportJob, Failure> {
        let code_type = type_in_key(bucket_key, campaign).ok_or_else(|| {
            let message = "the key must be codes/{campaignId}/{type}/{file}, with the campaign that is named";
            Failure::worded("invalidFileKey", message, Exit::Usage)
        })?;
        let mut import = Import::new(campaign.clone(), self.allowed_type(code_type)?, bucket_key);
        import.dry_run = dry_run;
        Ok(self.service.begin_import(import).await?.into())
    }

    async fn imports(&self, campaign: &CampaignId) -> Result<Imports, Failure> {
        let jobs = self.service.imports(campaign).await?;
        Ok(Imports { imports: jobs.into_iter().map(ImportJob::from).collect() })
    }

    async fn import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        known(self.service.import(campaign, id).await?)
    }

    async fn cancel_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        known(self.service.cancel_import(campaign, id).await?)
    }

    async fn undo_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        known(self.service.undo_import(campaign, id).await?)
    }

    async fn rejected(
        &self,
        campaign: &CampaignId,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Rejected, Failure>>, Failure> {
        known(self.service.import(campaign, id).await?)?;
        Ok(self.service.rejected_rows(id).map_ok(Rejected::from).err_into().boxed())
    }

    async fn begin_export(
        &self,
        campaign: &CampaignId,
        wish: Wish,
        format: Format,
    ) -> Result<ExportJob, Failure> {
        let form = match format {
            Format::Csv => Form::Csv,
            Format::Ndjson => Form::Ndjson,
        };
        // As a host names it.
        let file = format!("exports/{}/{}.{}", campaign.as_str(), uuid::Uuid::new_v4(), form.ending());
        Ok(self.service.begin_export(campaign, export(wish)?, file).await?.into())
    }

    async fn exports(&self, campaign: &CampaignId) -> Result<Exports, Failure> {
        let jobs = self.service.export_jobs(campaign).await?;
        Ok(Exports { exports: jobs.into_iter().map(ExportJob::from).collect() })
    }

    async fn export_job(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure> {
        known_export(self.service.export_job(campaign, id).await?)
    }

    async fn cancel_export(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure> {
        known_export(self.service.cancel_export(campaign, id).await?)
    }
}

fn known_export(job: Option<code_service::ExportJob>) -> Result<ExportJob, Failure> {
    job.map(ExportJob::from)
        .ok_or_else(|| Failure::worded("not_found", "the campaign has no export of this id", Exit::NotFound))
}

fn known(job: Option<code_service::ImportJob>) -> Result<ImportJob, Failure> {
    job.map(ImportJob::from)
        .ok_or_else(|| Failure::worded("not_found", "the campaign has no import of this id", Exit::NotFound))
}

fn export(wish: Wish) -> Result<Export, Failure> {
    let after = wish.after.map(Code::parse).transpose();
    let mut export = Export::default();
    export.code_type = wish.code_type;
    export.status = wish.status;
    export.reserve_id = wish.reserve_id;
    let spans = wish.spans;
    (export.saved.since, export.saved.before) = (spans.saved_since, spans.saved_before);
    (export.reserved.since, export.reserved.before) = (spans.reserved_since, spans.reserved_before);
    (export.assigned.since, export.assigned.before) = (spans.assigned_since, spans.assigned_before);
    export.after =
        after.map_err(|e| Failure::worded("invalid_argument", &format!("after: {e}"), Exit::Usage))?;
    Ok(export)
}

impl From<StoredCode> for Found {
    fn from(stored: StoredCode) -> Self {
        let date = |date: Option<SystemTime>| date.map(timestamp);
        // The deployed service leaves the id behind on codes that it releases.
        let id = stored.reserve_id.filter(|_| stored.reserved.is_some());
        Found {
            code: stored.code.into_string(),
            r#type: stored.code_type.as_str().to_owned(),
            status: stored.status.as_str().to_owned(),
            saved: date(stored.saved),
            reserved: date(stored.reserved),
            assigned: date(stored.assigned),
            reserve_id: id.map(|id| id.as_str().to_owned()),
        }
    }
}

impl From<code_service::Rejection> for Rejected {
    fn from(rejection: code_service::Rejection) -> Self {
        Rejected { row: rejection.row, reason: rejection.reason.to_string() }
    }
}

impl From<code_service::ImportJob> for ImportJob {
    fn from(job: code_service::ImportJob) -> Self {
        ImportJob {
            rate: job.rate().round() as u64,
            campaign_id: job.campaign.as_str().to_owned(),
            r#type: job.code_type.as_str().to_owned(),
            state: job.state.into(),
            created: timestamp(job.created),
            started: job.started.map(timestamp),
            ended: job.ended.map(timestamp),
            undo: job.undo.map(|undo| Undone {
                removed: undo.removed,
                kept: undo.kept,
                saved_again: undo.saved_again,
            }),
            id: job.id,
            file: job.file,
            dry_run: job.dry_run,
            r#in: job.rows,
            inserted: job.inserted,
            updated: job.updated,
            rejected: job.rejected,
            bytes: job.bytes,
            size: job.size,
            error: job.error,
        }
    }
}

impl From<code_service::ExportJob> for ExportJob {
    fn from(job: code_service::ExportJob) -> Self {
        ExportJob {
            campaign_id: job.campaign.as_str().to_owned(),
            state: job.state.into(),
            out: job.rows,
            bytes: job.bytes,
            created: timestamp(job.created),
            started: job.started.map(timestamp),
            ended: job.ended.map(timestamp),
            id: job.id,
            file: job.file,
            error: job.error,
        }
    }
}

impl From<code_service::JobState> for JobState {
    fn from(state: code_service::JobState) -> Self {
        match state {
            code_service::JobState::Queued => JobState::Queued,
            code_service::JobState::Running => JobState::Running,
            code_service::JobState::Completed => JobState::Completed,
            code_service::JobState::Failed => JobState::Failed,
            code_service::JobState::Cancelled => JobState::Cancelled,
            code_service::JobState::Undoing => JobState::Undoing,
            code_service::JobState::Undone => JobState::Undone,
        }
    }
}
