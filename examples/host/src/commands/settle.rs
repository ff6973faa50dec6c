//! `assign` and `release`: codes out for good, or back into the pool.

use super::backend::{How, SETTLED_AT_ONCE, Settled};
use super::exit::{Exit, Failure};
use super::{Configuration, backend, codes, output};
use crate::cli::Settle;

pub(crate) async fn run(configuration: &Configuration, how: How, arguments: Settle) -> Result<(), Failure> {
    let Settle { common, reserve_id, codes } = arguments;
    let codes = codes::read(codes)?;
    let backend = backend::open(&common.through, configuration).await?;
    let mut whole = Settled::default();
    for some in codes.chunks(SETTLED_AT_ONCE) {
        let settled = backend.settle(how, &common.campaign, some.to_vec(), reserve_id.as_ref()).await?;
        whole.count.r#in += settled.count.r#in;
        whole.count.updated += settled.count.updated;
        if let Some(lost) = settled.lost {
            whole.lost.get_or_insert_default().extend(lost);
        }
    }
    if common.json {
        output::json(&whole)?;
    } else {
        output::numbers(&[("in", whole.count.r#in), ("updated", whole.count.updated)])?;
        for lost in whole.lost.iter().flatten() {
            output::line(format_args!("{:<10} {lost}", "lost"))?;
        }
    }
    match whole.lost.map_or(0, |lost| lost.len()) {
        0 => Ok(()),
        lost => {
            let message = format!("{lost} codes are not held under the reserveId");
            Err(Failure::worded("lost", &message, Exit::Conflict))
        }
    }
}
