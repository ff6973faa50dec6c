//! A running host, over its HTTP API.

mod call;
mod lines;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use code_service::{CampaignId, Code, CodeType, Reserve, ReserveId};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use indicatif::ProgressBar;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::{
    Backend, Counts, ExportJob, Exports, Found, Held, HeldCode, How, ImportJob, Imports, Input, Rejected,
    Saved, Settled, Wish, or_none,
};
use crate::cli::Format;
pub(crate) use call::Remote;
use call::{ANSWER, Good, Trouble, while_it_moves};

#[async_trait]
impl Backend for Remote {
    fn allowed_type(&self, name: &str) -> Result<CodeType, Failure> {
        Ok(CodeType::parse(name)?)
    }

    async fn count(&self, campaign: &CampaignId, code_type: &CodeType) -> Result<Counts, Failure> {
        let query = [("type", code_type.as_str())];
        self.get(self.request(Method::GET, campaign, &["codes", "count"], &query)?).await
    }

    async fn find(&self, campaign: &CampaignId, code: &Code) -> Result<Option<Found>, Failure> {
        let request = self.request(Method::POST, campaign, &["find"], &[])?;
        or_none(self.get(request.json(&json!({ "code": code.as_str() }))).await)
    }

    async fn reserve(&self, wish: Reserve, id: &ReserveId) -> Result<Held<String>, Failure> {
        let request = self.request(Method::PUT, &wish.campaign, &["reservations", id.as_str()], &[])?;
        let body = json!({
            "type": wish.code_type.as_str(), "count": wish.count, "partial": wish.partial,
        });
        self.call(request.json(&body)).await.map_err(|trouble| match trouble {
            Trouble::Silent(_) => Failure::unknown(id),
            Trouble::Refused(failure) if failure.exit == Exit::Unknown => Failure::unknown(id),
            trouble => self.failure(trouble),
        })
    }

    async fn recover(
        &self,
        campaign: &CampaignId,
        id: &ReserveId,
    ) -> Result<Option<Held<HeldCode>>, Failure> {
        let path = ["reservations", id.as_str(), "recover"];
        or_none(self.get(self.request(Method::POST, campaign, &path, &[])?).await)
    }

    async fn settle(
        &self,
        how: How,
        campaign: &CampaignId,
        codes: Vec<Code>,
        id: Option<&ReserveId>,
    ) -> Result<Settled, Failure> {
        let path = match how {
            How::Assign => "assign",
            How::Release => "release",
        };
        let mut body = json!({ "codes": codes.iter().map(Code::as_str).collect::<Vec<_>>() });
        if let Some(id) = id {
            body["reserveId"] = json!(id.as_str());
        }
        self.get(self.request(Method::POST, campaign, &[path], &[])?.json(&body)).await
    }

    fn export(&self, campaign: &CampaignId, wish: Wish) -> BoxStream<'static, Result<Found, Failure>> {
        lines::export(self.clone(), campaign.clone(), wish).boxed()
    }

    async fn save(
        &self,
        campaign: &CampaignId,
        code_type: &CodeType,
        file: Input,
        _: &ProgressBar,
    ) -> Result<Saved, Failure> {
        let media = match file.format {
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
        };
        let query = [("type", code_type.as_str())];
        let mut request =
            self.request(Method::PUT, campaign, &["codes"], &query)?.header(CONTENT_TYPE, media);
        if let Some(length) = file.length {
            request = request.header(CONTENT_LENGTH, length);
        }
        let taken = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&taken);
        let bytes = file.bytes.inspect(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        // However long it takes, if only it goes on: a host that stands still takes nothing.
        let sent = async {
            let response = self.send(request.body(Body::wrap_stream(bytes))).await?;
            response.json::<Good<Saved>>().await.map_err(|_| Trouble::Silent(None))
        };
        let sent = while_it_moves(sent, &taken, ANSWER).await.unwrap_or(Err(Trouble::Silent(None)));
        sent.map(|good| good.data).map_err(|trouble| self.failure(trouble))
    }

    fn asks_for_length(&self) -> bool {
        true
    }

    async fn begin_import(
        &self,
        campaign: &CampaignId,
        bucket_key: &str,
        dry_run: bool,
    ) -> Result<ImportJob, Failure> {
        let mut body = json!({ "fileKey": bucket_key });
        if dry_run {
            body["dryRun"] = json!(true);
        }
        let request =
            self.request(Method::POST, campaign, &["codes"], &[])?.header("prefer", "respond-async");
        self.get(request.json(&body)).await
    }

    async fn imports(&self, campaign: &CampaignId) -> Result<Imports, Failure> {
        self.get(self.request(Method::GET, campaign, &["imports"], &[])?).await
    }

    async fn import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::GET, campaign, &["imports", id], &[])?).await
    }

    async fn cancel_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::DELETE, campaign, &["imports", id], &[])?).await
    }

    async fn undo_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::POST, campaign, &["imports", id, "undo"], &[])?).await
    }

    async fn rejected(
        &self,
        campaign: &CampaignId,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Rejected, Failure>>, Failure> {
        let request = self.request(Method::GET, campaign, &["imports", id, "rejected"], &[])?;
        let response = self.open(request.header(ACCEPT, "text/csv")).await.map_err(|t| self.failure(t))?;
        Ok(lines::rejected(self.clone(), response).boxed())
    }

    async fn begin_export(
        &self,
        campaign: &CampaignId,
        wish: Wish,
        format: Format,
    ) -> Result<ExportJob, Failure> {
        let mut query = lines::query(&wish);
        let format = match format {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
        };
        query.push(("format", format.to_owned()));
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.get(self.request(Method::POST, campaign, &["exports"], &query)?).await
    }

    async fn exports(&self, campaign: &CampaignId) -> Result<Exports, Failure> {
        self.get(self.request(Method::GET, campaign, &["exports"], &[])?).await
    }

    async fn export_job(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure> {
        self.get(self.request(Method::GET, campaign, &["exports", id], &[])?).await
    }

    async fn cancel_export(&self, campaign: &CampaignId, id: &str) -> Result<ExportJob, Failure> {
        self.get(self.request(Method::DELETE, campaign, &["exports", id], &[])?).await
    }
}
