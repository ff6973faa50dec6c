//! `export`: the codes of a campaign, into a file, to standard output or into the bucket.

mod part;
mod sink;
mod writer;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use code_service::{CampaignId, CodeType};
use futures_util::StreamExt;
use indicatif::ProgressBar;
use serde_json::json;

use super::backend::{self, Backend, Job, Wish};
use super::exit::Failure;
use super::{Configuration, jobs, output};
use crate::cli::{Common, Export, Format};
use crate::file;
use part::Part;
use sink::Sink;
use writer::Writer;

pub(crate) async fn run(configuration: &Configuration, arguments: Export) -> Result<(), Failure> {
    let Export {
        common,
        file,
        format,
        go_on,
        to_bucket,
        no_wait,
        code_type,
        status,
        reserve_id,
        after,
        spans,
    } = arguments;
    let file = file.filter(|file| file != Path::new("-"));
    if go_on && file.is_none() {
        return Err(Failure::usage("--continue goes on with a file: name it"));
    }
    if go_on && file.as_deref().is_some_and(is_packed) {
        return Err(Failure::usage(
            "--continue cannot go on with a file that is packed: begin again without it",
        ));
    }
    if no_wait && !to_bucket {
        return Err(Failure::usage("--no-wait is for exports into the bucket: --to-bucket"));
    }
    let format = format.unwrap_or_else(|| format_of(file.as_deref()));
    let backend = backend::open(&common.through, configuration).await?;
    let code_type = code_type.map(|name| backend.allowed_type(&name)).transpose()?;
    let wish = Wish { code_type, status, reserve_id, spans, after };
    match file {
        _ if to_bucket => into_bucket(&*backend, common, wish, format, no_wait).await,
        Some(file) => into_file(&*backend, common, wish, &file, format, go_on).await,
        None => to_stdout(&*backend, &common.campaign, wish, format).await,
    }
}

async fn to_stdout(
    backend: &dyn Backend,
    campaign: &CampaignId,
    wish: Wish,
    format: Format,
) -> Result<(), Failure> {
    // A bar and codes on one terminal would be in each other's way.
    let bar = if io::stdout().is_terminal() { ProgressBar::hidden() } else { output::bar_of_codes(None) };
    let mut writer = Writer::new(io::stdout(), format, true);
    let wrote = write(backend, campaign, wish, &mut writer, &bar, |e| Failure::output(&e)).await;
    // Also what came before a failure.
    wrote.and(writer.flush().map_err(|e| Failure::output(&e)))
}

async fn into_file(
    backend: &dyn Backend,
    common: Common,
    mut wish: Wish,
    file: &Path,
    format: Format,
    go_on: bool,
) -> Result<(), Failure> {
    let gzip = is_packed(file);
    let path = output::part_of(file);
    let failed = |e: io::Error| Failure::file(&path, &e);
    let held = sink::hold(&path).map_err(failed)?;
    let part = if go_on { Part::of(&path, format).map_err(failed)? } else { Part::default() };
    let bar = output::bar_of_codes(total(backend, &common.campaign, &wish).await);
    bar.set_position(part.codes);
    wish.after = part.after.or(wish.after);
    let sink = Sink::behind(held, part.length, gzip).map_err(failed)?;
    let mut writer = Writer::new(sink, format, part.length == 0);
    let wrote = write(backend, &common.campaign, wish, &mut writer, &bar, failed).await;
    let kept = writer.into_inner().and_then(Sink::finish).map_err(failed);
    bar.finish_and_clear();
    let codes = bar.position();
    let kept = wrote.and(kept).map_err(|failure| {
        let rest = if gzip {
            // Nobody can go on with it.
            let _ = std::fs::remove_file(&path);
            "begin again".to_owned()
        } else {
            format!("{codes} codes are in {}: go on with --continue", path.display())
        };
        Failure { message: format!("{}; {rest}", failure.message), ..failure }
    })?;
    std::fs::rename(&path, file).map_err(|e| Failure::file(file, &e))?;
    // Until here it was nobody else's.
    drop(kept);
    if common.json { output::json(&json!({ "codes": codes })) } else { output::numbers(&[("codes", codes)]) }
}

/// Has a host export into the bucket, and follows that.
async fn into_bucket(
    backend: &dyn Backend,
    common: Common,
    wish: Wish,
    format: Format,
    no_wait: bool,
) -> Result<(), Failure> {
    let job = backend.begin_export(&common.campaign, wish, format).await?;
    if no_wait {
        return jobs::begun(&Job::Export(job), common.json);
    }
    // Before anything is waited for: whoever ends this command can still follow it.
    eprintln!("export {}", job.id);
    let job = jobs::follow(backend, &common, &job.id).await?;
    jobs::print(&job, common.json)?;
    jobs::outcome(&job)
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
    let name = path.map(|path| path.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.strip_suffix(".gz").unwrap_or(&name).ends_with(".csv") { Format::Csv } else { Format::Ndjson }
}

fn is_packed(path: &Path) -> bool {
    file::Format::of(&path.to_string_lossy()).gzip
}
