//! `reserve`: codes to standard output, their reservation to standard error.

use code_service::{Reserve as Wish, ReserveId};

use super::exit::Failure;
use super::{Configuration, backend, output};
use crate::cli::Reserve;

pub(crate) async fn run(configuration: &Configuration, arguments: Reserve) -> Result<(), Failure> {
    let Reserve { common, code_type, count, partial, reserve_id } = arguments;
    let backend = backend::open(&common.through, configuration).await?;
    let mut wish = Wish::new(common.campaign, backend.allowed_type(&code_type)?, count);
    wish.partial = partial;
    let id = reserve_id.unwrap_or_else(|| {
        let id = ReserveId::random();
        // Before anything can be held under it: whoever ends this command can still recover it.
        eprintln!("reserveId {}", id.as_str());
        id
    });
    let held = backend.reserve(wish, &id).await?;
    if common.json {
        return output::json(&held);
    }
    eprintln!("{} of {count} codes are held until {}", held.count, held.expires);
    output::line(held.codes.join("\n"))
}
