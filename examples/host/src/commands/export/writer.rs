//! Codes as lines of NDJSON or CSV.

use std::io::{self, BufWriter, Write};

use crate::cli::Format;
use crate::commands::backend::Found;
use crate::commands::output::csv_error;

/// The columns of CSV, and the names in NDJSON.
pub(super) const COLUMNS: [&str; 7] =
    ["code", "type", "status", "saved", "reserved", "assigned", "reserveId"];

/// How much is written at once.
const BUFFER: usize = 256 << 10;

/// Writes codes to whatever takes bytes.
pub(super) enum Writer<W: Write> {
    Ndjson(BufWriter<W>),
    Csv { writer: Box<csv::Writer<W>>, header: bool },
}

impl<W: Write> Writer<W> {
    /// `header`: CSV begins with one.
    pub(super) fn new(inner: W, format: Format, header: bool) -> Self {
        match format {
            Format::Ndjson => Writer::Ndjson(BufWriter::with_capacity(BUFFER, inner)),
            Format::Csv => {
                let writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(inner);
                Writer::Csv { writer: Box::new(writer), header }
            }
        }
    }

    pub(super) fn write(&mut self, found: &Found) -> io::Result<()> {
        match self {
            Writer::Ndjson(writer) => {
                serde_json::to_writer(&mut *writer, found)?;
                writer.write_all(b"\n")
            }
            Writer::Csv { writer, header } => {
                if std::mem::take(header) {
                    writer.write_record(COLUMNS).map_err(csv_error)?;
                }
                let Found { code, r#type, status, saved, reserved, assigned, reserve_id } = found;
                let written = writer.write_record([
                    code.as_str(),
                    r#type,
                    status,
                    saved.as_deref().unwrap_or_default(),
                    reserved.as_deref().unwrap_or_default(),
                    assigned.as_deref().unwrap_or_default(),
                    reserve_id.as_deref().unwrap_or_default(),
                ]);
                written.map_err(csv_error)
            }
        }
    }

    /// Writes out what waits to be, and the header of CSV that has no codes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::Ndjson(writer) => writer.flush(),
            Writer::Csv { writer, header } => {
                if std::mem::take(header) {
                    writer.write_record(COLUMNS).map_err(csv_error)?;
                }
                writer.flush()
            }
        }
    }

    pub(super) fn into_inner(mut self) -> io::Result<W> {
        self.flush()?;
        match self {
            Writer::Ndjson(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error),
            Writer::Csv { writer, .. } => writer.into_inner().map_err(|e| io::Error::from(e.error().kind())),
        }
    }
}
