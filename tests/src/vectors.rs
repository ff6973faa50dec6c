//! `tests/vectors`: what every face of the service answers alike.

use serde::Deserialize;
use serde_json::Value;

/// Calls that are made one after another in a fresh database.
#[derive(Deserialize)]
pub struct Case {
    /// What it shows, for whoever reads that it failed.
    pub name: String,
    /// The calls.
    pub steps: Vec<Step>,
}

/// A call, and what it must answer: something, or an error.
#[derive(Deserialize)]
pub struct Step {
    /// Its name, as all faces have it.
    pub call: String,
    /// Its arguments, with the names of the HTTP API.
    pub args: Value,
    /// What it answers.
    #[serde(default)]
    pub answers: Value,
    /// Or what is wrong.
    pub error: Option<Value>,
}

/// Those of `calls.json`.
///
/// # Panics
/// If the file is not what this reads.
pub fn calls() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../vectors/calls.json")).expect("it is JSON");
    assert!(cases.len() > 20, "there are more");
    cases
}

/// The words for errors, of `errors.json`. A word without `faces` is of all of them.
///
/// # Panics
/// If the file is not what this reads.
pub fn errors() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/errors.json")).expect("it is JSON")
}

/// The words that every face has.
///
/// # Panics
/// If the file is not what this reads.
pub fn words_of_all() -> Vec<String> {
    let of_all = errors().into_iter().filter(|row| row.get("faces").is_none());
    of_all.map(|row| row["code"].as_str().expect("a word").to_owned()).collect()
}

/// Of an answer what the table speaks of. Codes come in no order.
pub fn shown(said: &Value, expected: &Value) -> Value {
    match (said, expected) {
        (Value::Array(said), Value::Array(expected)) => {
            let mut sorted = said.clone();
            sorted.sort_by_key(|item| item.get("code").unwrap_or(item).to_string());
            let rest = sorted.len().saturating_sub(expected.len());
            let pairs = sorted.iter().zip(expected).map(|(said, expected)| shown(said, expected));
            pairs.chain(std::iter::repeat_n(Value::Null, rest)).collect()
        }
        (Value::Object(said), Value::Object(expected)) => expected
            .iter()
            .map(|(name, expected)| (name.clone(), shown(said.get(name).unwrap_or(&Value::Null), expected)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => said.clone(),
    }
}
