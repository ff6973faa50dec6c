//! `import`: a file of codes into a campaign, with a progress bar on a terminal.

use std::io;
use std::path::Path;
use std::pin::Pin;

use code_service::{CampaignId, Rows, SaveReport};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::cli::Import;
use crate::config::Config;

/// How much of the file is read at once.
const CHUNK: usize = 64 * 1024;

pub(crate) async fn run(config: &Config, arguments: &Import) -> Result<(), String> {
    let campaign = CampaignId::parse(&arguments.campaign).map_err(|e| e.to_string())?;
    let code_type = super::allowed_type(config, &arguments.code_type)?;
    let (file, bytes) =
        open(&arguments.file).await.map_err(|e| format!("{}: {e}", arguments.file.display()))?;
    let service = super::connect(config, None).await?;
    let bar = progress_bar(bytes);
    let rows = Rows::csv(ReaderStream::with_capacity(bar.wrap_async_read(file), CHUNK));
    let saved = service.save(&campaign, &code_type, rows).await;
    bar.finish_and_clear();
    let report = saved.map_err(|e| super::sentence(&e))?;
    print(&report);
    Ok(())
}

type Input = Pin<Box<dyn AsyncRead + Send>>;

/// The file, and its length if it has one.
async fn open(path: &Path) -> io::Result<(Input, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::pin(tokio::io::stdin()), None));
    }
    let file = tokio::fs::File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
    }
    Ok((Box::pin(file), metadata.is_file().then_some(metadata.len())))
}

/// A bar on standard error; nothing is drawn where that is no terminal.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {bytes_per_sec}"),
    };
    bar.set_style(ProgressStyle::with_template(template).expect("a template of known keys"));
    bar
}

fn print(report: &SaveReport) {
    println!("{:<10} {:>12}", "in", report.rows);
    println!("{:<10} {:>12}", "inserted", report.inserted);
    println!("{:<10} {:>12}", "updated", report.updated);
    println!("{:<10} {:>12}", "rejected", report.rejected);
    for rejection in &report.rejections {
        eprintln!("row {}: the code {}", rejection.row, rejection.reason);
    }
    let unlisted = report.rejected - report.rejections.len() as u64;
    if unlisted > 0 {
        eprintln!("and {unlisted} more");
    }
}
