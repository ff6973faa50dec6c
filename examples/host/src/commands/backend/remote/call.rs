//! Calls to a host: what is sent, and what an answer says, or that there is none.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use code_service::CampaignId;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::super::exit::{Exit, Failure};

/// The token, where no file has it.
const TOKEN: &str = "CODE_SERVICE_TOKEN";
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. A reserve waits for the database for twenty seconds, and a count may take a minute.
pub(super) const ANSWER: Duration = Duration::from_secs(120);

/// A host, and the token that it is shown.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Client,
    url: Url,
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// Nothing was sent.
    Away,
    /// What was sent may have been done; the status is of something between us and the host.
    Silent(Option<StatusCode>),
    /// The host answered with an error, or there can be none.
    Refused(Failure),
}

/// The envelope of a good reply.
#[derive(Deserialize)]
pub(super) struct Good<T> {
    pub(super) data: T,
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
    pub(super) fn request(
        &self,
        method: Method,
        campaign: &CampaignId,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder, Failure> {
        // A path has no such parts, in whatever way they are written.
        if [campaign.as_str()].iter().chain(path).any(|part| ["", ".", ".."].contains(part)) {
            return Err(Failure::usage(
                "a name that is empty, . or .. cannot be asked for through a host: ask the database, without --url",
            ));
        }
        let mut url = self.url.clone();
        // None that http or https begins with lacks a path.
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push(campaign.as_str()).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client.request(method, url))
    }

    /// Sends a request, and returns a good reply. It may take for ever.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        let response = request
            .send()
            .await
            .map_err(|e| if e.is_connect() { Trouble::Away } else { Trouble::Silent(None) })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let is_known = |bad: &Bad| !bad.error.payload.is_empty();
        match response.json::<Bad>().await.ok().filter(is_known) {
            Some(Bad { error }) => {
                let message = format!("{}{}", error.message, advice(status));
                Err(Trouble::Refused(Failure::worded(&error.payload, &message, exit_of(status))))
            }
            // Of something between us and the host, which may have had the request all the same.
            None if status.is_server_error() && !is_final(status) => Err(Trouble::Silent(Some(status))),
            None => {
                let message = format!("{} answers {status}, and is no code-service", self.shown());
                let exit = if is_of_token(status) { Exit::NotLetIn } else { Exit::Failed };
                Err(Trouble::Refused(Failure::new(exit, message)))
            }
        }
    }

    /// Sends a request, and returns a reply of which at least the head has come in time.
    pub(super) async fn open(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        timeout(ANSWER, self.send(request)).await.map_err(|_| Trouble::Silent(None))?
    }

    /// Sends a request, and returns the data of its reply.
    pub(super) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let body = response.bytes().await.map_err(|_| Trouble::Silent(None))?;
        let good: Good<T> =
            serde_json::from_slice(&body).map_err(|_| Trouble::Refused(self.unknown_answer()))?;
        Ok(good.data)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.call(request).await.map_err(|trouble| self.failure(trouble))
    }

    pub(super) fn failure(&self, trouble: Trouble) -> Failure {
        let url = self.shown();
        let message = match trouble {
            Trouble::Away => format!("{url} cannot be reached"),
            Trouble::Silent(None) => format!("{url} has not answered: the call can be repeated"),
            Trouble::Silent(Some(status)) => format!("{url} answers {status}: the call can be repeated"),
            Trouble::Refused(failure) => return failure,
        };
        Failure::worded("unavailable", &message, Exit::Unavailable)
    }

    pub(super) fn unknown_answer(&self) -> Failure {
        format!("{} answers what this version does not know", self.shown()).into()
    }

    /// The host, as it was named.
    fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// What something comes to, as long as it moves: None if it stands still for so long.
pub(super) async fn while_it_moves<T>(
    work: impl Future<Output = T>,
    moved: &AtomicU64,
    still: Duration,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let before = moved.load(Ordering::Relaxed);
        match timeout(still, &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if moved.load(Ordering::Relaxed) == before => return None,
            Err(_) => {}
        }
    }
}

/// The exit code of a refusal whose word says nothing to a script.
fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Exit::Unavailable,
        status if is_of_token(status) => Exit::NotLetIn,
        _ => Exit::Failed,
    }
}

fn is_of_token(status: StatusCode) -> bool {
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status)
}

/// Whether it will be answered the next time, too.
fn is_final(status: StatusCode) -> bool {
    [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED].contains(&status)
}

/// What to do, where the host cannot know it.
fn advice(status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED => {
            format!(": get a new token, and put it into {TOKEN} or the file of --token-file")
        }
        StatusCode::FORBIDDEN => {
            format!(": put the token of such a user into {TOKEN} or the file of --token-file")
        }
        _ => String::new(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const STILL: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_stands_still_is_given_up() {
        let moved = AtomicU64::new(7);
        assert_eq!(while_it_moves(std::future::pending::<()>(), &moved, STILL).await, None);
    }

    #[tokio::test]
    async fn what_moves_is_waited_for() {
        let moved = Arc::new(AtomicU64::new(0));
        let mover = Arc::clone(&moved);
        let work = async move {
            for _ in 0..8 {
                tokio::time::sleep(STILL / 2).await;
                mover.fetch_add(1, Ordering::Relaxed);
            }
        };
        assert_eq!(while_it_moves(work, &moved, STILL * 2).await, Some(()));
    }
}
