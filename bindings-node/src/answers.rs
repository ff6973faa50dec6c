//! What calls answer, in the words of the HTTP API. Times are milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use code_service::{
    CampaignId, Code, CodeService, Counts, IndexProblem, Rejection, Reservation, ReservationState, ReserveId,
    SaveReport, SettleReport, StoredCode,
};
use serde::Serialize;

/// What a call answers.
pub(crate) trait Answer: Serialize {
    /// An item of its list.
    type Item: Serialize;

    /// The list that may hold up to 100,000 items, if it has one.
    fn list(&mut self) -> Option<&mut Vec<Self::Item>> {
        None
    }
}

impl<T: Answer> Answer for Option<T> {
    type Item = T::Item;

    fn list(&mut self) -> Option<&mut Vec<T::Item>> {
        self.as_mut()?.list()
    }
}

impl Answer for () {
    type Item = ();
}

impl<T: Serialize> Answer for Vec<T> {
    type Item = ();
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    r#in: u64,
    inserted: u64,
    updated: u64,
    rejected: u64,
    rejections: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    row: u64,
    reason: String,
}

impl Answer for Saved {
    type Item = ();
}

impl From<&SaveReport> for Saved {
    fn from(report: &SaveReport) -> Self {
        let rejected =
            |rejection: &Rejection| Rejected { row: rejection.row, reason: rejection.reason.to_string() };
        Saved {
            r#in: report.rows,
            inserted: report.inserted,
            updated: report.updated,
            rejected: report.rejected,
            rejections: report.rejections.iter().map(rejected).collect(),
        }
    }
}

/// How far a save has come, or that it has taken a piece of its rows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub(crate) enum Progress {
    Rows { r#in: u64, inserted: u64, updated: u64, rejected: u64 },
    Taken { taken: bool },
}

impl From<&SaveReport> for Progress {
    fn from(report: &SaveReport) -> Self {
        let &SaveReport { rows, inserted, updated, rejected, .. } = report;
        Progress::Rows { r#in: rows, inserted, updated, rejected }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reserved {
    reserve_id: String,
    codes: Vec<String>,
    reserved: u64,
    expires: u64,
    replayed: bool,
}

impl Answer for Reserved {
    type Item = String;

    fn list(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.codes)
    }
}

impl From<Reservation> for Reserved {
    fn from(reservation: Reservation) -> Self {
        Reserved {
            reserve_id: reservation.reserve_id.as_str().to_owned(),
            codes: texts(reservation.codes),
            reserved: milliseconds(reservation.reserved),
            expires: milliseconds(reservation.expires),
            replayed: reservation.replayed,
        }
    }
}

impl Reserved {
    /// Releases what nobody was told of.
    pub(crate) async fn give_back(self, service: CodeService, campaign: CampaignId) {
        if let (Ok(codes), Ok(id)) = (Code::parse_all(self.codes), ReserveId::parse(self.reserve_id)) {
            // What cannot be given back is available again when it expires.
            let _ = service.release(&campaign, codes, Some(&id)).await;
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Settled {
    r#in: u64,
    updated: u64,
    lost: Vec<String>,
}

impl Answer for Settled {
    type Item = String;

    fn list(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.lost)
    }
}

impl From<SettleReport> for Settled {
    fn from(report: SettleReport) -> Self {
        Settled { r#in: report.given, updated: report.updated, lost: texts(report.lost) }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    available: u64,
    reserved: u64,
    assigned: u64,
}

impl Answer for Counted {
    type Item = ();
}

impl From<Counts> for Counted {
    fn from(counts: Counts) -> Self {
        let Counts { available, reserved, assigned } = counts;
        Counted { available, reserved, assigned }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    code: String,
    r#type: String,
    status: &'static str,
    saved: Option<u64>,
    reserved: Option<u64>,
    assigned: Option<u64>,
    reserve_id: Option<String>,
}

impl Answer for Stored {
    type Item = ();
}

impl From<StoredCode> for Stored {
    fn from(stored: StoredCode) -> Self {
        Stored {
            code: stored.code.into_string(),
            r#type: stored.code_type.as_str().to_owned(),
            status: stored.status.as_str(),
            saved: stored.saved.map(milliseconds),
            reserved: stored.reserved.map(milliseconds),
            assigned: stored.assigned.map(milliseconds),
            reserve_id: stored.reserve_id.map(|id| id.as_str().to_owned()),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    reserve_id: String,
    campaign_id: String,
    r#type: String,
    codes: Vec<Stored>,
    reserved: u64,
    expires: u64,
}

impl Answer for Held {
    type Item = Stored;

    fn list(&mut self) -> Option<&mut Vec<Stored>> {
        Some(&mut self.codes)
    }
}

impl From<ReservationState> for Held {
    fn from(state: ReservationState) -> Self {
        Held {
            reserve_id: state.reserve_id.as_str().to_owned(),
            campaign_id: state.campaign.as_str().to_owned(),
            r#type: state.code_type.as_str().to_owned(),
            codes: state.codes.into_iter().map(Into::into).collect(),
            reserved: milliseconds(state.reserved),
            expires: milliseconds(state.expires),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct WrongIndex {
    collection: String,
    index: String,
    different: bool,
    message: String,
}

impl From<IndexProblem> for WrongIndex {
    fn from(problem: IndexProblem) -> Self {
        let message = problem.to_string();
        WrongIndex {
            collection: problem.collection,
            index: problem.index,
            different: problem.different,
            message,
        }
    }
}

fn texts(codes: Vec<Code>) -> Vec<String> {
    codes.into_iter().map(Code::into_string).collect()
}

/// A date before 1970 is no date of the service.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
