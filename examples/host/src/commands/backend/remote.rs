//! A running host, over its HTTP API.

mod lines;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use code_service::{CampaignId, Code, CodeType, Reserve, ReserveId};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use indicatif::ProgressBar;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::{
    Backend, Counts, Found, Held, HeldCode, How, ImportJob, Imports, Input, Rejected, Saved, Settled, Wish,
};
use crate::cli::Format;

/// The token, where no file has it.
const TOKEN: &str = "CODE_SERVICE_TOKEN";
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. A reserve waits for the database for twenty seconds, and a count may take a minute.
const ANSWER: Duration = Duration::from_secs(120);

/// A host, and the token that it is shown.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Client,
    url: Url,
}

/// Why there is no answer.
enum Trouble {
    /// Nothing was sent.
    Away,
    /// What was sent may have been done.
    Silent,
    /// The host answered with an error.
    Refused(Failure),
}

/// The envelope of a good reply.
#[derive(Deserialize)]
struct Good<T> {
    data: T,
}

/// The envelope of an error.
#[derive(Deserialize)]
struct Bad {
    error: BadBody,
}

#[derive(Deserialize)]
struct BadBody {
    message: String,
    payload: String,
}

impl Remote {
    pub(crate) fn new(url: &Url, token_file: Option<&Path>) -> Result<Self, Failure> {
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(Failure::usage("--url must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::usage(format!(
                "--url must hold no user and no password: put a token in {TOKEN}"
            )));
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer(token_file)?);
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            // A token is for the host that was named.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))?;
        Ok(Remote { client, url: url.clone() })
    }

    /// A request about a campaign. The parts of its path are encoded.
    fn request(
        &self,
        method: Method,
        campaign: &CampaignId,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = self.url.clone();
        // None that http or https begins with lacks a path.
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push(campaign.as_str()).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url)
    }

    /// Sends a request, and returns a good reply.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        let response =
            request.send().await.map_err(|e| if e.is_connect() { Trouble::Away } else { Trouble::Silent })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let is_known = |bad: &Bad| !bad.error.payload.is_empty();
        match response.json::<Bad>().await.ok().filter(is_known) {
            Some(Bad { error }) => {
                Err(Trouble::Refused(Failure::worded(&error.payload, &error.message, exit_of(status))))
            }
            // Of something between us and the host, which may have had the request all the same.
            None if status.is_server_error() => Err(Trouble::Silent),
            None => {
                let message = format!("{} answers {status}, and is no code-service", self.shown());
                Err(Trouble::Refused(Failure::new(Exit::Failed, message)))
            }
        }
    }

    /// Sends a request, and returns the data of its reply.
    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let body = response.bytes().await.map_err(|_| Trouble::Silent)?;
        let good: Good<T> =
            serde_json::from_slice(&body).map_err(|_| Trouble::Refused(self.unknown_answer()))?;
        Ok(good.data)
    }

    async fn get<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.call(request).await.map_err(|trouble| self.failure(trouble))
    }

    fn failure(&self, trouble: Trouble) -> Failure {
        let url = self.shown();
        match trouble {
            Trouble::Away => {
                Failure::worded("unavailable", &format!("{url} cannot be reached"), Exit::Unavailable)
            }
            Trouble::Silent => Failure::worded(
                "unavailable",
                &format!("{url} has not answered: the call can be repeated"),
                Exit::Unavailable,
            ),
            Trouble::Refused(failure) => failure,
        }
    }

    fn unknown_answer(&self) -> Failure {
        format!("{} answers what this version does not know", self.shown()).into()
    }

    /// The host, as it was named.
    fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// The exit code of a refusal whose word says nothing to a script.
fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

fn bearer(token_file: Option<&Path>) -> Result<HeaderValue, Failure> {
    let token = match token_file {
        Some(file) => std::fs::read_to_string(file).map_err(|e| Failure::file(file, &e))?,
        None => std::env::var(TOKEN).map_err(|_| {
            Failure::usage(format!("a host asks for a token: set {TOKEN}, or name a file with --token-file"))
        })?,
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| Failure::usage("the token holds what no token holds"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn none_if_not_found<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#[async_trait]
impl Backend for Remote {
    fn allowed_type(&self, name: &str) -> Result<CodeType, Failure> {
        Ok(CodeType::parse(name)?)
    }

    async fn count(&self, campaign: &CampaignId, code_type: &CodeType) -> Result<Counts, Failure> {
        let query = [("type", code_type.as_str())];
        self.get(self.request(Method::GET, campaign, &["codes", "count"], &query)).await
    }

    async fn find(&self, campaign: &CampaignId, code: &Code) -> Result<Option<Found>, Failure> {
        let request = self.request(Method::POST, campaign, &["find"], &[]);
        none_if_not_found(self.get(request.json(&json!({ "code": code.as_str() }))).await)
    }

    async fn reserve(&self, wish: Reserve, id: &ReserveId) -> Result<Held<String>, Failure> {
        let request = self.request(Method::PUT, &wish.campaign, &["reservations", id.as_str()], &[]);
        let body = json!({
            "type": wish.code_type.as_str(), "count": wish.count, "partial": wish.partial,
        });
        self.call(request.json(&body)).await.map_err(|trouble| match trouble {
            Trouble::Silent => Failure::unknown(id),
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
        none_if_not_found(self.get(self.request(Method::POST, campaign, &path, &[])).await)
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
        self.get(self.request(Method::POST, campaign, &[path], &[]).json(&body)).await
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
        let mut request = self.request(Method::PUT, campaign, &["codes"], &query).header(CONTENT_TYPE, media);
        if let Some(length) = file.length {
            request = request.header(CONTENT_LENGTH, length);
        }
        // However long it takes: the host ends what stands still.
        let response = self.send(request.body(Body::wrap_stream(file.bytes))).await;
        let read = async { response?.json::<Good<Saved>>().await.map_err(|_| Trouble::Silent) };
        read.await.map(|good| good.data).map_err(|trouble| self.failure(trouble))
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
        let request = self.request(Method::POST, campaign, &["codes"], &[]).header("prefer", "respond-async");
        self.get(request.json(&body)).await
    }

    async fn imports(&self, campaign: &CampaignId) -> Result<Imports, Failure> {
        self.get(self.request(Method::GET, campaign, &["imports"], &[])).await
    }

    async fn import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::GET, campaign, &["imports", id], &[])).await
    }

    async fn cancel_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::DELETE, campaign, &["imports", id], &[])).await
    }

    async fn undo_import(&self, campaign: &CampaignId, id: &str) -> Result<ImportJob, Failure> {
        self.get(self.request(Method::POST, campaign, &["imports", id, "undo"], &[])).await
    }

    async fn rejected(
        &self,
        campaign: &CampaignId,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Rejected, Failure>>, Failure> {
        let request = self.request(Method::GET, campaign, &["imports", id, "rejected"], &[]);
        let response = self.send(request.header(ACCEPT, "text/csv")).await.map_err(|t| self.failure(t))?;
        Ok(lines::rejected(self.clone(), response).boxed())
    }
}
