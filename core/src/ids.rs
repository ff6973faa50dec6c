//! The four names that identify things, each checked once where it enters.
//!
//! Below the edge a [`CampaignId`], [`CodeType`], [`Code`] or [`ReserveId`] is known to be fit for the
//! database and is never checked again.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The longest campaign id, code or reserveId, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The longest type, in bytes.
pub const MAX_TYPE_BYTES: usize = 64;

/// The rule that all four share. Returns what is wrong, never the value: it may be a code.
pub(crate) fn check(text: &str, max_bytes: usize) -> std::result::Result<(), InvalidText> {
    if text.is_empty() {
        Err(InvalidText::Empty)
    } else if text.len() > max_bytes {
        Err(InvalidText::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(InvalidText::Control)
    } else {
        Ok(())
    }
}

/// Why a text cannot be a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidText {
    /// It is empty.
    Empty,
    /// It is longer than 256 bytes (a type: 64).
    TooLong,
    /// It holds a control character.
    Control,
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// A line of NDJSON holds none.
    NotJson,
    /// A quote of CSV that begins with it goes on in the next line: what it hides is in no other row.
    OpenQuote,
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidText::Empty => "is empty",
            InvalidText::TooLong => "is too long: at most 256 bytes (a type: 64)",
            InvalidText::Control => "holds a control character",
            InvalidText::NotUtf8 => "is not UTF-8",
            InvalidText::NotJson => "is neither a JSON text nor the text `code` of a JSON object",
            InvalidText::OpenQuote => "opens a quote that is not closed in its line, and hides what follows",
        })
    }
}

/// The campaign that owns codes: 1 to 256 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignId(Arc<str>);

/// The type of a code, such as `tm` or `external`: 1 to 64 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeType(Arc<str>);

/// One code: 1 to 256 bytes of UTF-8 without control characters, unique inside its campaign.
///
/// A code is worth money to whoever reads it: its `Debug` form is `Code(..)`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(Arc<str>);

/// The name of a reservation: 1 to 256 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReserveId(Arc<str>);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

impl CampaignId {
    /// Checks a campaign id.
    ///
    /// ```
    /// use code_service::CampaignId;
    /// assert_eq!(CampaignId::parse("summer-tour")?.as_str(), "summer-tour");
    /// assert!(CampaignId::parse("").is_err());
    /// # Ok::<(), code_service::Error>(())
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` with the field `campaignId`.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text, MAX_ID_BYTES).map_err(|e| Error::invalid("campaignId", e.to_string()))?;
        Ok(CampaignId(text.into()))
    }

    /// A campaign id as the database holds it.
    pub(crate) fn from_stored(text: &str) -> Self {
        CampaignId(text.into())
    }

    /// The campaign id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CodeType {
    /// Checks a type.
    ///
    /// # Errors
    /// `invalid_argument` with the field `type`.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text, MAX_TYPE_BYTES).map_err(|e| Error::invalid("type", e.to_string()))?;
        Ok(CodeType(text.into()))
    }

    /// A type as the database holds it.
    pub(crate) fn from_stored(text: &str) -> Self {
        CodeType(text.into())
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Code {
    /// Checks a code.
    ///
    /// # Errors
    /// What is wrong with the text; the caller knows which of its codes it was (see [`Code::parse_all`]).
    pub fn parse(text: impl Into<String>) -> std::result::Result<Self, InvalidText> {
        let text = text.into();
        check(&text, MAX_ID_BYTES)?;
        Ok(Code(text.into()))
    }

    /// Checks a list of codes, as [`assign`](crate::CodeService::assign) and
    /// [`release`](crate::CodeService::release) take them.
    ///
    /// # Errors
    /// `invalid_argument` with the field `codes[i]` of the first code that is wrong.
    pub fn parse_all(texts: impl IntoIterator<Item = impl Into<String>>) -> Result<Vec<Self>> {
        texts
            .into_iter()
            .enumerate()
            .map(|(i, text)| {
                Code::parse(text).map_err(|e| Error::invalid(format!("codes[{i}]"), e.to_string()))
            })
            .collect()
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The code as text of its own.
    pub fn into_string(self) -> String {
        self.0.as_ref().to_owned()
    }

    /// A code as the database holds it: other services may have stored what [`Code::parse`] refuses.
    pub(crate) fn from_stored(text: &str) -> Self {
        Code(text.into())
    }
}

impl ReserveId {
    /// Checks a reserveId.
    ///
    /// # Errors
    /// `invalid_argument` with the field `reserveId`.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text, MAX_ID_BYTES).map_err(|e| Error::invalid("reserveId", e.to_string()))?;
        Ok(ReserveId(text.into()))
    }

    /// Makes a new random one (UUID v4).
    pub fn random() -> Self {
        // From the generator of the process: uuid's own asks the system for every one.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text: &str = id.hyphenated().encode_lower(&mut text);
        ReserveId(text.into())
    }

    /// The reserveId as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_one_to_256_bytes_is_a_code() {
        assert!(Code::parse("A").is_ok());
        assert!(Code::parse("x".repeat(256)).is_ok());
        assert_eq!(Code::parse("x".repeat(257)), Err(InvalidText::TooLong));
        assert_eq!(Code::parse("é".repeat(129)), Err(InvalidText::TooLong));
        assert_eq!(Code::parse(""), Err(InvalidText::Empty));
    }

    #[test]
    fn control_characters_are_refused_everywhere() {
        for bad in ["a\0b", "a\nb", "\u{7f}", "a\u{85}"] {
            assert_eq!(Code::parse(bad), Err(InvalidText::Control));
            assert!(CampaignId::parse(bad).is_err());
            assert!(CodeType::parse(bad).is_err());
            assert!(ReserveId::parse(bad).is_err());
        }
    }

    #[test]
    fn an_error_names_the_field_and_not_the_value() {
        let error = Code::parse_all(["GOOD", "SECRET\0"]).expect_err("the second holds NUL");
        assert_eq!(error.to_string(), "codes[1]: holds a control character");
    }

    #[test]
    fn debug_does_not_show_a_code() {
        assert_eq!(format!("{:?}", Code::parse("SECRET").expect("valid")), "Code(..)");
    }
}
