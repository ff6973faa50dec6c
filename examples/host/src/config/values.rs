//! Values that may come from YAML or, as text, from the process environment.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A value as it should be written, or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Value(T),
    Text(String),
}

/// A number or a truth value.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err: Display>,
{
    match Written::deserialize(deserializer).map_err(|_| D::Error::custom("is of the wrong type"))? {
        Written::Value(value) => Ok(value),
        Written::Text(text) => text.trim().parse().map_err(D::Error::custom),
    }
}

/// A list, in the environment separated by commas.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Written::<Vec<String>>::deserialize(deserializer)
        .map_err(|_| D::Error::custom("must be a list of texts"))?
    {
        Written::Value(list) => Ok(list),
        Written::Text(text) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
    }
}

/// A duration such as `24h`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let milliseconds = value.as_millis();
        to.serialize_str(&match milliseconds % 1_000 {
            0 => format!("{}s", milliseconds / 1_000),
            _ => format!("{milliseconds}ms"),
        })
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let wrong = || D::Error::custom("must be a duration with its unit, such as 24h, 90m or 1500ms");
        let text = String::deserialize(from).map_err(|_| wrong())?;
        let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(span).map_err(|_| wrong())
    }
}
