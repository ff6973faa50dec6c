//! `export`: the codes of a campaign, into a file or to standard output.

mod part;
mod writer;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use code_service::{CampaignId, CodeType};
use futures_util::StreamExt;
use indicatif::ProgressBar;
use serde_json::json;

use super::backend::{self, Backend, Wish};
use super::exit::Failure;
use super::{Configuration, output};
use crate::cli::{Export, Format};
use part::Part;
use writer::Writer;

pub(crate) async fn run(configuration: &Configuration, arguments: Export) -> Result<(), Failure> {
    let Export { common, file, format, go_on, code_type, status, reserve_id, after, spans } = arguments;
    let file = file.filter(|file| file != Path::new("-"));
    let format = format.unwrap_or_else(|| format_of(file.as_deref()));
    let backend = backend::open(&common.through, configuration).await?;
    let code_type = code_type.map(|name| backend.allowed_type(&name)).transpose()?;
    let mut wish = Wish { code_type, status, reserve_id, spans, after };
    let Some(file) = file else {
        // A bar and codes on one terminal would be in each other's way.
        let bar = if io::stdout().is_terminal() { ProgressBar::hidden() } else { output::bar_of_codes(None) };
        let mut writer = Writer::new(io::stdout(), format, true);
        let wrote =
            write(&*backend, &common.campaign, wish, &mut writer, &bar, |e| Failure::output(&e)).await;
        // Also what came before a failure.
        return wrote.and(writer.flush().map_err(|e| Failure::output(&e)));
    };
    let path = output::part_of(&file);
    let failed = |e: io::Error| Failure::file(&path, &e);
    let part = if go_on { Part::of(&path, format).map_err(failed)? } else { Part::default() };
    let bar = output::bar_of_codes(total(&*backend, &common.campaign, &wish).await);
    bar.set_position(part.codes);
    wish.after = part.after.or(wish.after);
    let mut writer = Writer::new(open(&path, part.length).map_err(failed)?, format, part.length == 0);
    let wrote = write(&*backend, &common.campaign, wish, &mut writer, &bar, failed).await;
    let kept = writer.into_inner().and_then(|file| file.sync_all()).map_err(failed);
    bar.finish_and_clear();
    let codes = bar.position();
    wrote.and(kept).map_err(|failure| Failure {
        message: format!(
            "{}; {codes} codes are in {}: go on with --continue",
            failure.message,
            path.display()
        ),
        ..failure
    })?;
    std::fs::rename(&path, &file).map_err(|e| Failure::file(&file, &e))?;
    if common.json { output::json(&json!({ "codes": codes })) } else { output::numbers(&[("codes", codes)]) }
}

/// Writes all codes; the bar has their number.
async fn write(
    backend: &dyn Backend,
    campaign: &CampaignId,
    wish: Wish,
    writer: &mut Writer<impl Write>,
    bar: &ProgressBar,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut codes = backend.export(campaign, wish);
    while let Some(found) = codes.next().await {
        writer.write(&found?).map_err(&failed)?;
        bar.inc(1);
    }
    writer.flush().map_err(failed)
}

/// How many codes there will be, where somebody sees it and a count tells.
async fn total(backend: &dyn Backend, campaign: &CampaignId, wish: &Wish) -> Option<u64> {
    let code_type: &CodeType = wish.code_type.as_ref()?;
    let is_whole = wish.reserve_id.is_none() && wish.after.is_none() && wish.spans.are_open();
    if !is_whole || !io::stderr().is_terminal() {
        return None;
    }
    let counts = backend.count(campaign, code_type).await.ok()?;
    Some(match wish.status {
        Some(status) => counts.of(status),
        None => counts.available + counts.reserved + counts.assigned,
    })
}

fn format_of(path: Option<&Path>) -> Format {
    let is_csv =
        path.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if is_csv { Format::Csv } else { Format::Ndjson }
}

/// A file that is written on behind so many bytes.
fn open(path: &Path, length: u64) -> io::Result<File> {
    let mut file = File::options().create(true).write(true).truncate(false).open(path)?;
    file.set_len(length)?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    Ok(file)
}
