//! `generate`: new codes into a campaign, and into a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use code_service::{Code, Generate as Wish, Strength};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use indicatif::ProgressBar;
use serde_json::json;

use super::backend::{Backend, Direct};
use super::exit::Failure;
use super::{Configuration, output};
use crate::cli::Generate;
use crate::reply::timestamp;

pub(crate) async fn run(configuration: &Configuration, arguments: Generate) -> Result<(), Failure> {
    let Generate { pattern, campaign, code_type, count, check_character, one_in, output, json } = arguments;
    let direct = Direct::connect(configuration).await?;
    let code_type = direct.allowed_type(&code_type)?;
    let pattern = if check_character { pattern.with_check_character() } else { pattern };
    let mut wish = Wish::new(pattern.clone(), count);
    wish.max_guess = 1.0 / one_in as f64;
    // Before anything is generated that could not be written.
    let (part, file) = output.as_deref().map(begin).transpose()?.unzip();
    let remove = |part: &Option<PathBuf>| {
        if let Some(part) = part {
            // It holds nothing, so nothing is lost with it.
            let _ = fs::remove_file(part);
        }
    };
    let generated = direct.service.generate(&campaign, &code_type, wish).await;
    let generated = generated.inspect_err(|_| remove(&part))?;
    let strength = generated.strength;
    let Strength { space, bits, .. } = strength;
    eprintln!("the pattern makes {space:.3e} codes ({bits:.1} bits); {}", hits(&strength));
    let bar = output::bar_of_codes(Some(count));
    let written = match file {
        Some(file) => {
            let mut writer = csv::Writer::from_writer(file);
            let written = write(generated.codes, &bar, |code| write_csv(&mut writer, code)).await;
            let kept = writer.into_inner().map_err(|e| io::Error::from(e.error().kind()));
            written.and(kept.and_then(|file| file.sync_all()).map_err(Failure::from))
        }
        None if json => {
            let mut writer = io::BufWriter::new(io::stdout());
            let written = write(generated.codes, &bar, |code| {
                serde_json::to_writer(&mut writer, &json!({ "code": code.as_str() }))?;
                writer.write_all(b"\n")
            });
            written.await.and(writer.flush().map_err(Failure::from))
        }
        None => {
            let mut writer = csv::Writer::from_writer(io::stdout());
            let written = write(generated.codes, &bar, |code| write_csv(&mut writer, code)).await;
            written.and(writer.flush().map_err(Failure::from))
        }
    };
    bar.finish_and_clear();
    written.map_err(|failure| {
        let codes = bar.position();
        if codes == 0 {
            remove(&part);
        }
        let rest = format!(
            "{codes} codes were generated, and more may be: `export --campaign {} --type {} --saved-since {}` has them",
            output::quoted(campaign.as_str()),
            output::quoted(code_type.as_str()),
            timestamp(generated.since),
        );
        Failure { message: format!("{}; {rest}", failure.message), ..failure }
    })?;
    if let (Some(output), Some(part)) = (&output, &part) {
        fs::rename(part, output).map_err(|e| Failure::file(output, &e))?;
    }
    let now = direct.service.strength(&campaign, &pattern).await;
    let Strength { guess, .. } = match now {
        Ok(now) => {
            if now != strength {
                eprintln!("the campaign has changed meanwhile: {}", hits(&now));
            }
            now
        }
        Err(error) => {
            eprintln!("whether the campaign has changed meanwhile is not known: {error}");
            strength
        }
    };
    match (json, output) {
        (true, _) => output::json(&json!({ "codes": count, "space": space, "bits": bits, "guess": guess })),
        (false, Some(_)) => output::numbers(&[("codes", count)]),
        (false, None) => Ok(()),
    }
}

/// Makes the file that stands for another one until it is whole. Lists of codes are kept: none is overwritten.
fn begin(output: &Path) -> Result<(PathBuf, File), Failure> {
    let part = output::part_of(output);
    let file = File::options().write(true).create_new(true).open(&part).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "{}: is there already: another generate is writing it, or was cut off, and then its codes are in the \
             campaign. Name another file, or rename or remove that one",
            part.display()
        )),
        _ => Failure::file(&part, &e),
    })?;
    // Not before: as long as the part is there no other generate makes the file.
    if output.exists() {
        fs::remove_file(&part).map_err(|e| Failure::file(&part, &e))?;
        return Err(Failure::usage(format!(
            "{}: is there already, and is not overwritten. Name another file, or rename or remove that one",
            output.display()
        )));
    }
    Ok((part, file))
}

/// How hard codes are to guess.
fn hits(Strength { codes, guess, .. }: &Strength) -> String {
    format!("with {codes} of them one guess in {:.0} hits", (1.0 / guess).max(1.0))
}

fn write_csv(writer: &mut csv::Writer<impl Write>, code: &Code) -> io::Result<()> {
    writer.write_record([code.as_str()]).map_err(output::csv_error)
}

/// Writes codes as they come; the bar has their number.
async fn write(
    mut codes: BoxStream<'static, code_service::Result<Code>>,
    bar: &ProgressBar,
    mut write: impl FnMut(&Code) -> io::Result<()>,
) -> Result<(), Failure> {
    while let Some(code) = codes.try_next().await? {
        // Counted first: it is in the campaign, whatever becomes of the file.
        bar.inc(1);
        write(&code)?;
    }
    Ok(())
}
