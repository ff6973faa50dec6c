//! `generate`: new codes into a campaign, and into a file.

use std::fs::File;
use std::io::{self, Write};
use std::time::SystemTime;

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
    let mut wish = Wish::new(pattern, count);
    wish.max_guess = 1.0 / one_in as f64;
    let part = output.as_deref().map(output::part_of);
    // Before anything is generated that could not be written.
    let file = match &part {
        Some(part) => Some(File::create(part).map_err(|e| Failure::file(part, &e))?),
        None => None,
    };
    let since = timestamp(SystemTime::now());
    let generated = direct.service.generate(&campaign, &code_type, wish).await;
    if let (Err(_), Some(part)) = (&generated, &part) {
        // Nothing was generated, so it holds nothing.
        let _ = std::fs::remove_file(part);
    }
    let generated = generated?;
    tell(&generated.strength);
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
        let rest =
            format!("{codes} codes were generated, and more may be: `export --saved-since {since}` has them");
        Failure { message: format!("{}; {rest}", failure.message), ..failure }
    })?;
    let (Some(output), Some(part)) = (output, part) else { return Ok(()) };
    std::fs::rename(&part, &output).map_err(|e| Failure::file(&output, &e))?;
    let Strength { space, bits, guess, .. } = generated.strength;
    match json {
        true => output::json(&json!({ "codes": count, "space": space, "bits": bits, "guess": guess })),
        false => output::numbers(&[("codes", count)]),
    }
}

/// Says how hard the codes are to guess.
fn tell(strength: &Strength) {
    let Strength { codes, space, bits, guess } = strength;
    let one_in = 1.0 / guess;
    eprintln!(
        "the pattern makes {space:.3e} codes ({bits:.1} bits); with {codes} of them one guess in {one_in:.0} hits"
    );
}

fn write_csv(writer: &mut csv::Writer<impl Write>, code: &Code) -> io::Result<()> {
    Ok(writer.write_record([code.as_str()])?)
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
