//! Replies that are lines without an end in sight: exports, which go on where they broke off, and rejected rows.

use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use code_service::CampaignId;
use futures_util::{Stream, TryStreamExt, stream};
use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::time::{sleep, timeout};
use tokio_util::io::StreamReader;

use super::super::super::exit::Failure;
use super::super::{Found, Rejected, Wish};
use super::call::{Remote, Trouble};
use crate::reply::timestamp;

/// How long a host may send nothing. It sends an empty line now and then while it finds nothing.
const SILENCE: Duration = Duration::from_secs(120);
/// How often an export is gone on with that has given nothing new meanwhile.
const TRIES: u32 = 8;
/// The first pause before that; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);

/// An export that goes on behind the last code that came when its reply breaks off.
pub(super) fn export(
    remote: Remote,
    campaign: CampaignId,
    wish: Wish,
) -> impl Stream<Item = Result<Found, Failure>> + Send {
    let export = Export { remote, campaign, wish, lines: None, has_begun: false, tries: 0 };
    stream::try_unfold(Box::new(export), |mut export| async move {
        Ok(export.next().await?.map(|found| (found, export)))
    })
}

struct Export {
    remote: Remote,
    campaign: CampaignId,
    wish: Wish,
    lines: Option<Lines>,
    has_begun: bool,
    /// How often it was gone on with since the last code came.
    tries: u32,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Found>, Failure> {
        loop {
            let trouble = match self.next_line().await {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => {
                    self.wish.after = Some(found.code.clone());
                    (self.has_begun, self.tries) = (true, 0);
                    return Ok(Some(found));
                }
                Err(trouble) => trouble,
            };
            self.lines = None;
            let failure = self.remote.failure(trouble);
            if !self.has_begun || !failure.is_passing() || self.tries == TRIES {
                return Err(failure);
            }
            sleep(PAUSE * 2_u32.pow(self.tries)).await;
            self.tries += 1;
        }
    }

    async fn next_line(&mut self) -> Result<Option<Found>, Trouble> {
        let lines = match &mut self.lines {
            Some(lines) => lines,
            None => {
                let opened = Lines::of(self.open().await?);
                self.lines.insert(opened)
            }
        };
        let Some(line) = lines.next().await.map_err(|_| Trouble::Silent(None))? else { return Ok(None) };
        let found = serde_json::from_slice(line);
        found.map(Some).map_err(|_| Trouble::Refused(self.remote.unknown_answer()))
    }

    async fn open(&mut self) -> Result<Response, Trouble> {
        let query = query(&self.wish);
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = self.remote.request(Method::GET, &self.campaign, &["codes"], &query);
        let request = request.map_err(Trouble::Refused)?;
        self.remote.open(request.header(ACCEPT, "application/x-ndjson")).await
    }
}

/// The lines of a reply that are not empty.
struct Lines {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
}

impl Lines {
    fn of(response: Response) -> Self {
        let bytes = response.bytes_stream().map_err(io::Error::other);
        Lines { reader: Box::pin(StreamReader::new(bytes)), line: Vec::new() }
    }

    /// None at the end of a reply that is whole.
    async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let read = self.reader.read_until(b'\n', &mut self.line);
            if timeout(SILENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                return Ok(None);
            }
            if self.line.pop() != Some(b'\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(&self.line));
            }
        }
    }
}

pub(super) fn query(wish: &Wish) -> Vec<(&'static str, String)> {
    let date = |date: Option<SystemTime>| date.map(timestamp);
    let spans = &wish.spans;
    [
        ("type", wish.code_type.as_ref().map(|code_type| code_type.as_str().to_owned())),
        ("status", wish.status.map(|status| status.as_str().to_owned())),
        ("reserveId", wish.reserve_id.as_ref().map(|id| id.as_str().to_owned())),
        ("savedSince", date(spans.saved_since)),
        ("savedBefore", date(spans.saved_before)),
        ("reservedSince", date(spans.reserved_since)),
        ("reservedBefore", date(spans.reserved_before)),
        ("assignedSince", date(spans.assigned_since)),
        ("assignedBefore", date(spans.assigned_before)),
        ("after", wish.after.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// The rows in a reply of CSV with a header.
pub(super) fn rejected(
    remote: Remote,
    response: Response,
) -> impl Stream<Item = Result<Rejected, Failure>> + Send {
    let lines = (remote, Lines::of(response), true);
    stream::try_unfold(lines, |(remote, mut lines, is_header)| async move {
        if is_header && lines.next().await.map_err(|_| remote.failure(Trouble::Silent(None)))?.is_none() {
            return Ok(None);
        }
        let line = lines.next().await.map_err(|_| remote.failure(Trouble::Silent(None)))?;
        let Some(line) = line else { return Ok(None) };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let row = reader.deserialize().next().and_then(Result::ok).ok_or_else(|| remote.unknown_answer())?;
        Ok(Some((row, (remote, lines, false))))
    })
}
