//! `token`: a token for development.

use super::exit::Failure;
use super::output;
use crate::auth::Signer;
use crate::cli::Token;
use crate::config::Config;

pub(crate) fn run(config: &Config, arguments: &Token) -> Result<(), Failure> {
    let signer = Signer::new(&config.jwt)?.ok_or_else(|| {
        "no private key: set TITAN_JWT__PRIVATE_KEY, or TITAN_JWT__PRIVATE_KEY_FILE to the name of its file".to_owned()
    })?;
    output::line(signer.sign(&arguments.user_id, !arguments.not_supreme, arguments.expires_in)?)
}
