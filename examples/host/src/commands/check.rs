//! `check`: what is wrong in the database, and what was mended of it.

use code_service::{Check as Wish, CheckReport, Finding};
use serde_json::{Value, json};

use super::Configuration;
use super::exit::{Exit, Failure};
use super::output::{self, shown};
use crate::cli::Check;

pub(crate) async fn run(configuration: &Configuration, arguments: Check) -> Result<(), Failure> {
    let Check { campaign, repair, examples, json } = arguments;
    let (service, _) = configuration.connect().await?;
    let mut wish = Wish::default();
    (wish.campaign, wish.repair, wish.examples) = (campaign, repair, examples);
    let bar = output::bar_of_codes(None);
    let told = bar.clone();
    let progress = move |report: &CheckReport| {
        told.set_position(report.documents);
        told.set_message(format!("{} kinds of findings", report.findings.len()));
    };
    let checked = service.check_with_progress(wish, progress).await;
    bar.finish_and_clear();
    let report = checked?;
    if json {
        output::json(&in_json(&report))?
    } else {
        print(&report)?
    }
    if report.is_clean() {
        return Ok(());
    }
    let message = match repair {
        true => "the check has found what it cannot mend",
        false => "the check has found something",
    };
    Err(Failure::new(Exit::Found, message))
}

fn in_json(report: &CheckReport) -> Value {
    let finding = |found: &Finding| {
        json!({
            "kind": found.kind.as_str(),
            "count": found.count,
            "repaired": found.repaired,
            "information": found.kind.is_information(),
            "meaning": found.kind.meaning(),
            "repair": found.kind.repair(),
            "examples": found.examples.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "documents": report.documents,
        "entries": report.entries,
        "clean": report.is_clean(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// A table of all findings, and then each with what it means and where it is.
fn print(report: &CheckReport) -> Result<(), Failure> {
    output::numbers(&[("codes", report.documents), ("ledger", report.entries)])?;
    if report.findings.is_empty() {
        return output::line("nothing is wrong");
    }
    let rows = report.findings.iter().map(|found| {
        let weight = if found.kind.is_information() { "information" } else { "wrong" };
        let kind = found.kind.as_str().to_owned();
        vec![kind, found.count.to_string(), found.repaired.to_string(), weight.to_owned()]
    });
    output::line("")?;
    output::table(&["finding", "found", "repaired", ""], &[1, 2], rows.collect())?;
    for found in &report.findings {
        output::line(format_args!("\n{}: {}", found.kind.as_str(), found.kind.meaning()))?;
        if let Some(repair) = found.kind.repair() {
            output::line(format_args!("  --repair: {repair}"))?;
        }
        for example in &found.examples {
            output::line(format_args!("  {}", shown(&example.to_string())))?;
        }
    }
    Ok(())
}
