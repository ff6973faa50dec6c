//! `assign` and `release`: codes out for good, or back into the pool.

use std::collections::HashSet;

use code_service::{CampaignId, Code, ReserveId};
use indicatif::ProgressBar;

use super::backend::{Backend, How, SETTLED_AT_ONCE, Settled};
use super::exit::{Exit, Failure};
use super::{Configuration, backend, codes, output};
use crate::cli::Settle;

pub(crate) async fn run(configuration: &Configuration, how: How, arguments: Settle) -> Result<(), Failure> {
    let Settle { common, reserve_id, codes } = arguments;
    let codes = codes::read(codes)?;
    let backend = backend::open(&common.through, configuration).await?;
    let mut sum = Settled::default();
    let bar = output::bar_of_codes(Some(codes.len() as u64));
    let settled = settle(&*backend, how, &common.campaign, &codes, reserve_id.as_ref(), &mut sum, &bar).await;
    bar.finish_and_clear();
    let done = sum.count.r#in;
    if let Err(failure) = settled {
        if done == 0 {
            return Err(failure);
        }
        print(&sum, common.json)?;
        let message = format!(
            "{}; {done} of {} codes were done, and more may be: repeating is safe",
            failure.message,
            codes.len()
        );
        return Err(Failure { message, ..failure });
    }
    print(&sum, common.json)?;
    if let Some(lost) = sum.lost {
        if lost.is_empty() {
            return Ok(());
        }
        let message = format!("{} codes are not held under the reserveId", lost.len());
        return Err(Failure::worded("lost", &message, Exit::Conflict));
    }
    let distinct = codes.iter().map(Code::as_str).collect::<HashSet<_>>().len() as u64;
    match distinct.saturating_sub(sum.count.updated) {
        0 => Ok(()),
        same => {
            let otherwise = match how {
                How::Assign => "they were assigned before",
                How::Release => "they were not reserved",
            };
            let message = format!(
                "{same} of {distinct} codes have not changed: the campaign lacks them, or {otherwise}; `find` shows which"
            );
            Err(Failure::new(Exit::Partly, message))
        }
    }
}

/// Settles the codes, some at once, and adds up what became of them as far as it comes.
async fn settle(
    backend: &dyn Backend,
    how: How,
    campaign: &CampaignId,
    codes: &[Code],
    id: Option<&ReserveId>,
    sum: &mut Settled,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    for some in codes.chunks(SETTLED_AT_ONCE) {
        let settled = backend.settle(how, campaign, some.to_vec(), id).await?;
        sum.count.r#in += settled.count.r#in;
        sum.count.updated += settled.count.updated;
        if let Some(lost) = settled.lost {
            sum.lost.get_or_insert_default().extend(lost);
        }
        bar.set_position(sum.count.r#in);
    }
    Ok(())
}

fn print(sum: &Settled, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(sum);
    }
    output::numbers(&[("in", sum.count.r#in), ("updated", sum.count.updated)])?;
    for lost in sum.lost.iter().flatten() {
        output::line(format_args!("{:<10} {lost}", "lost"))?;
    }
    Ok(())
}
