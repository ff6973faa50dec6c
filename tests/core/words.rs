//! The table of error words that every face of the service shares.

use code_service::ErrorKind;
use serde_json::Value;

/// `tests/vectors/errors.json`; a word without `faces` is of all of them, the core included.
fn table() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/errors.json")).expect("it is JSON")
}

#[test]
fn the_words_of_the_core_are_those_of_the_table_in_its_order() {
    let table = table();
    let of_all = table.iter().filter(|row| row.get("faces").is_none());
    let words: Vec<_> = of_all.map(|row| row["code"].as_str().expect("a word")).collect();
    assert_eq!(words, ErrorKind::ALL.map(ErrorKind::as_str));
}

#[test]
fn what_can_be_repeated_is_what_the_table_says() {
    for kind in ErrorKind::ALL {
        let table = table();
        let row = table.iter().find(|row| row["code"] == kind.as_str()).expect("it is in the table");
        assert_eq!(row["retryable"], kind.retryable(), "{}", kind.as_str());
    }
}

#[test]
fn only_what_fails_at_the_server_has_a_status_of_the_server() {
    for row in table() {
        let status = row["http"].as_u64().expect("a status");
        let servers = ["unavailable", "outcome_unknown", "closed", "corrupt_data", "internal"];
        let is_servers = row["code"].as_str().is_some_and(|word| servers.contains(&word));
        assert_eq!(status >= 500, is_servers, "{row}");
        assert!((400..600).contains(&status), "{row}");
    }
}
