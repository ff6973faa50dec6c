//! Where rejected rows go: into a file, or the first of them to standard error.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;

use crate::commands::backend::Rejected;
use crate::commands::exit::Failure;
use crate::commands::output::csv_error;

/// The most rejected rows that are listed on standard error.
const LISTED: usize = 1_000;

pub(super) enum Rejects {
    /// CSV, behind its header.
    File(PathBuf, Box<csv::Writer<File>>),
    Shown,
}

impl Rejects {
    /// Opens the file, before anything is saved of which it could not tell.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Rejects::Shown) };
        let begin = || -> io::Result<csv::Writer<File>> {
            let mut writer = csv::Writer::from_writer(File::create(&path)?);
            writer.write_record(["row", "reason"]).map_err(csv_error)?;
            writer.flush()?;
            Ok(writer)
        };
        match begin() {
            Ok(writer) => Ok(Rejects::File(path, Box::new(writer))),
            Err(error) => Err(Failure::file(&path, &error)),
        }
    }

    pub(super) fn is_file(&self) -> bool {
        match self {
            Rejects::File(..) => true,
            Rejects::Shown => false,
        }
    }

    pub(super) async fn take(
        self,
        mut rows: BoxStream<'static, Result<Rejected, Failure>>,
    ) -> Result<(), Failure> {
        match self {
            Rejects::File(path, mut writer) => {
                let failed = |e: io::Error| Failure::file(&path, &e);
                while let Some(Rejected { row, reason }) = rows.try_next().await? {
                    let written = writer.write_record([row.to_string().as_str(), reason.as_str()]);
                    written.map_err(|e| failed(csv_error(e)))?;
                }
                writer.flush().map_err(failed)
            }
            Rejects::Shown => {
                let mut left = LISTED;
                while let Some(Rejected { row, reason }) = rows.try_next().await? {
                    if left == 0 {
                        eprintln!("and more: --rejected writes all of them to a file");
                        break;
                    }
                    eprintln!("row {row}: the code {reason}");
                    left -= 1;
                }
                Ok(())
            }
        }
    }
}
