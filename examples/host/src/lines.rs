//! Codes as lines of a file or a reply: NDJSON or CSV.

use bytes::Bytes;
use code_service::{Rows, StoredCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::reply::timestamp;
use crate::routes::schema;

/// A code with all that is known of it. What does not apply is missing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KnownCode {
    code: schema::Code,
    r#type: String,
    /// `available`, `reserved` or `assigned`
    status: &'static str,
    /// When it was last saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    saved: Option<String>,
    /// When it was last reserved, if it was not released since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    reserved: Option<String>,
    /// When it was assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    assigned: Option<String>,
    /// Under which id it was reserved then.
    #[serde(skip_serializing_if = "Option::is_none")]
    reserve_id: Option<String>,
}

impl From<StoredCode> for KnownCode {
    fn from(stored: StoredCode) -> Self {
        // The deployed service leaves the id behind on codes that it releases.
        let id = stored.reserve_id.filter(|_| stored.reserved.is_some());
        KnownCode {
            code: stored.code.into(),
            r#type: stored.code_type.as_str().to_owned(),
            status: stored.status.as_str(),
            saved: stored.saved.map(timestamp),
            reserved: stored.reserved.map(timestamp),
            assigned: stored.assigned.map(timestamp),
            reserve_id: id.map(|id| id.as_str().to_owned()),
        }
    }
}

/// How codes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object per line.
    Ndjson,
    /// The same columns, behind their names.
    Csv,
}

impl Form {
    /// Its media type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Ndjson => "application/x-ndjson",
            Form::Csv => "text/csv",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Form::Ndjson => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// How names of files end.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
        }
    }

    /// That of a file of this name.
    pub(crate) fn of(file: &str) -> Self {
        if file.ends_with(".csv") { Form::Csv } else { Form::Ndjson }
    }

    /// What comes before the codes.
    pub(crate) fn head(self) -> Option<Bytes> {
        match self {
            Form::Ndjson => None,
            Form::Csv => Some(Bytes::from(Rows::COLUMNS.join(",") + "\n")),
        }
    }

    /// A line for each code.
    pub(crate) fn write(self, codes: impl Iterator<Item = KnownCode>) -> Vec<u8> {
        match self {
            Form::Ndjson => codes.fold(Vec::new(), |mut lines, code| {
                serde_json::to_writer(&mut lines, &code).expect("texts can be written to memory");
                lines.push(b'\n');
                lines
            }),
            Form::Csv => {
                let mut lines = csv::Writer::from_writer(Vec::new());
                for code in codes {
                    let optional = [&code.saved, &code.reserved, &code.assigned, &code.reserve_id];
                    let optional = optional.into_iter().map(|text| text.as_deref().unwrap_or_default());
                    let columns = [code.code.as_str(), &code.r#type, code.status].into_iter().chain(optional);
                    lines.write_record(columns).expect("memory takes any line");
                }
                lines.into_inner().expect("memory takes any line")
            }
        }
    }
}
