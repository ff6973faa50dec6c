//! The table of error words that every face of the service shares.

use code_service::ErrorKind;
use code_service_tests::vectors;

#[test]
fn the_words_of_the_core_are_those_of_the_table_in_its_order() {
    assert_eq!(vectors::words_of_all(), ErrorKind::ALL.map(ErrorKind::as_str));
}

#[test]
fn what_can_be_repeated_is_what_the_table_says() {
    for kind in ErrorKind::ALL {
        let table = vectors::errors();
        let row = table.iter().find(|row| row["code"] == kind.as_str()).expect("it is in the table");
        assert_eq!(row["retryable"], kind.retryable(), "{}", kind.as_str());
    }
}

#[test]
fn only_what_fails_at_the_server_has_a_status_of_the_server() {
    for row in vectors::errors() {
        let status = row["http"].as_u64().expect("a status");
        let servers = ["unavailable", "outcome_unknown", "closed", "corrupt_data", "internal"];
        let is_servers = row["code"].as_str().is_some_and(|word| servers.contains(&word));
        assert_eq!(status >= 500, is_servers, "{row}");
        assert!((400..600).contains(&status), "{row}");
    }
}
