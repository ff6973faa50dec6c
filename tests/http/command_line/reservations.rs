//! `count`, `reserve`, `recover`, `assign` and `release`.

use code_service_tests::Keys;
use code_service_tests::keys::claims;
use serde_json::json;

use super::tool::{Scratch, objects, tools};
use super::{failed_with, number, stderr, stdout, succeeded};
use crate::client::{keys, texts};

#[tokio::test]
async fn count_prints_all_statuses_or_one() {
    for tool in tools().await {
        tool.save(&["A1", "A2", "A3"]);
        succeeded(&tool.run(&["reserve", "--type", "tm", "--count", "1"]));
        let table = succeeded(&tool.run(&["count", "--type", "tm"]));
        assert_eq!(["available", "reserved", "assigned"].map(|word| number(&table, word)), [2, 1, 0]);
        assert_eq!(succeeded(&tool.run(&["count", "--type", "tm", "--status", "reserved"])), "1\n");
        assert_eq!(
            tool.json(&["count", "--type", "tm"]),
            json!({"available": 2, "reserved": 1, "assigned": 0})
        );
        assert_eq!(tool.json(&["count", "--type", "tm", "--status", "available"]), json!({"available": 2}));
    }
}

#[tokio::test]
async fn reserve_prints_its_codes_one_a_line_and_the_id_beside_them() {
    for tool in tools().await {
        tool.save(&["A1", "A2", "A3"]);
        let output = tool.run(&["reserve", "--type", "tm", "--count", "2"]);
        let codes = succeeded(&output);
        assert_eq!(codes.lines().count(), 2, "{codes}");
        let said = stderr(&output);
        let id = said.lines().next().and_then(|line| line.strip_prefix("reserveId ")).expect("the id");
        let held = tool.json(&["recover", id]);
        let mut held: Vec<&str> = held["codes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|held| held["code"].as_str())
            .collect();
        let mut codes: Vec<&str> = codes.lines().collect();
        held.sort_unstable();
        codes.sort_unstable();
        assert_eq!(held, codes);
    }
}

#[tokio::test]
async fn reserve_can_be_repeated_under_an_id() {
    for tool in tools().await {
        tool.save(&["A1", "A2", "A3"]);
        let id = format!("order {}", tool.campaign);
        let args = ["reserve", "--type", "tm", "--count", "2", "--reserve-id", &id];
        let first = tool.json(&args);
        assert_eq!((&first["reserveId"], &first["count"]), (&json!(id), &json!(2)));
        let sorted = |mut codes: Vec<String>| {
            codes.sort_unstable();
            codes
        };
        assert_eq!(sorted(texts(&tool.json(&args)["codes"])), sorted(texts(&first["codes"])));
        assert_eq!(tool.counts(), [1, 2, 0]);
    }
}

#[tokio::test]
async fn too_few_codes_end_a_reserve_with_4_unless_it_is_partial() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let args = ["reserve", "--type", "tm", "--count", "3", "--reserve-id"];
        let [first, second] = ["first", "second"].map(|name| format!("{name} {}", tool.campaign));
        let said = failed_with(4, &tool.run(&[&args[..], &[&first]].concat()));
        assert!(said.contains("not_enough_codes: not enough codes: wanted 3, available 2"), "{said}");
        assert_eq!(tool.counts(), [2, 0, 0]);
        let codes = succeeded(&tool.run(&[&args[..], &[&second, "--partial"]].concat()));
        assert_eq!(codes.lines().count(), 2);
    }
}

#[tokio::test]
async fn another_wish_under_an_id_ends_with_5() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let id = format!("order {}", tool.campaign);
        let reserve = |count| tool.run(&["reserve", "--type", "tm", "--reserve-id", &id, "--count", count]);
        succeeded(&reserve("1"));
        let said = failed_with(5, &reserve("2"));
        assert!(said.contains("reservation_mismatch: ") && said.contains("count"), "{said}");
        let codes = stdout(&reserve("1"));
        succeeded(&tool.run(&["release", codes.trim()]));
        let said = failed_with(5, &reserve("1"));
        assert!(said.contains("reservation_expired: "), "{said}");
    }
}

#[tokio::test]
async fn recover_lists_what_is_held_and_ends_with_3_if_nothing_is() {
    for tool in tools().await {
        let said = failed_with(3, &tool.run(&["recover", "nobody's"]));
        assert!(said.contains("not_found: "), "{said}");
        tool.save(&["A1"]);
        let id = format!("order {}", tool.campaign);
        succeeded(&tool.run(&["reserve", "--type", "tm", "--count", "1", "--reserve-id", &id]));
        let table = succeeded(&tool.run(&["recover", &id]));
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [["code", "status"], ["A1", "reserved"]]);
        let held = tool.json(&["recover", &id]);
        assert_eq!(held["codes"], json!([{"code": "A1", "status": "reserved"}]));
    }
}

#[tokio::test]
async fn assign_and_release_take_arguments_a_file_or_standard_input() {
    for tool in tools().await {
        tool.save(&["A1", "A2", "A3", "\"A,4\""]);
        succeeded(&tool.run(&["reserve", "--type", "tm", "--count", "4"]));
        let table = succeeded(&tool.run(&["release", "A1", "A1"]));
        assert_eq!(["in", "updated"].map(|word| number(&table, word)), [2, 1]);
        let file = Scratch::with("codes.csv", "code,type\nA2,tm\n\n\"A,4\",tm\n");
        let settled = tool.json(&["assign", "--codes-file", file.path()]);
        assert_eq!(settled, json!({"count": {"in": 2, "updated": 2}}));
        let output = tool.feed(&["assign", "--codes-file", "-", "--json"], "A3\n");
        assert_eq!(objects(&output), [json!({"count": {"in": 1, "updated": 1}})]);
        assert_eq!(tool.counts(), [1, 0, 3]);
    }
}

#[tokio::test]
async fn codes_that_are_not_held_under_the_id_are_listed_and_end_with_5() {
    for tool in tools().await {
        tool.save(&["A1", "A2"]);
        let id = format!("order {}", tool.campaign);
        let reserved = stdout(&tool.run(&["reserve", "--type", "tm", "--count", "1", "--reserve-id", &id]));
        let other = if reserved.trim() == "A1" { "A2" } else { "A1" };
        for command in ["release", "assign"] {
            let output = tool.run(&[command, "--reserve-id", &id, reserved.trim(), other]);
            let said = failed_with(5, &output);
            assert!(said.contains("lost: ") && !said.contains(other), "{said}");
            let table = stdout(&output);
            let lost: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("lost")).collect();
            assert!(lost.iter().any(|lost| lost.trim() == other), "{table}");
        }
    }
}

#[tokio::test]
async fn more_codes_than_one_call_takes_are_settled_all_the_same() {
    for tool in tools().await {
        let codes: String = (0..20_001).map(|number| format!("C{number}\n")).collect();
        succeeded(&tool.feed(&["import", "-", "--type", "tm"], &codes));
        let output = tool.feed(&["assign", "--codes-file", "-", "--json"], &codes);
        assert_eq!(objects(&output), [json!({"count": {"in": 20_001, "updated": 20_001}})]);
        assert_eq!(tool.counts(), [0, 0, 20_001]);
    }
}

#[tokio::test]
async fn on_a_terminal_a_bar_shows_how_far_it_is() {
    let codes: String = (0..30_000).map(|number| format!("C{number}\n")).collect();
    let file = Scratch::with("many.csv", codes);
    for tool in tools().await {
        for (args, what) in [
            (&["import", file.path(), "--type", "tm"][..], "KiB"),
            (&["assign", "--codes-file", file.path()], "of 30,000 codes"),
        ] {
            let seen = succeeded(&tool.on_a_terminal(args));
            let bar = seen.split('\r').find(|line| line.contains(what) && line.contains('%'));
            let bar = bar.unwrap_or_else(|| panic!("{args:?}: {seen:?}"));
            assert!(bar.contains("/s") && bar.contains(" left"), "{args:?}: {bar:?}");
            assert!(seen.lines().any(|line| line.ends_with(" 30000")), "{args:?}: {seen:?}");
        }
        let piped = tool.run(&["assign", "--codes-file", file.path(), "--json"]);
        assert!(!stdout(&piped).contains('%') && !stderr(&piped).contains('%'), "{piped:?}");
    }
}

#[tokio::test]
async fn codes_that_are_wrong_or_missing_are_told_without_showing_them() {
    for tool in tools().await {
        let output = tool.feed(&["assign", "--codes-file", "-"], "GOOD\nSECRET\u{7}\n");
        let said = failed_with(2, &output);
        assert!(said.contains("codes[1]: holds a control character") && !said.contains("SECRET"), "{said}");
        let said = failed_with(2, &tool.feed(&["release", "--codes-file", "-"], ""));
        assert!(said.contains("codes"), "{said}");
        for args in [&["assign"][..], &["assign", "A1", "--codes-file", "x"]] {
            assert_eq!(tool.run(args).status.code(), Some(2), "{args:?}");
        }
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_by_the_host() {
    let [_, tool] = tools().await;
    let strange = Keys::generate().supreme();
    let said =
        failed_with(10, &tool.with(&[("CODE_SERVICE_TOKEN", &strange)]).run(&["count", "--type", "tm"]));
    assert!(said.contains("unauthorized") && said.contains("--token-file"), "{said}");
    assert!(!said.contains(&strange), "{said}");
    let mut claims = claims();
    claims["isSupreme"] = json!(false);
    let plain = keys().sign(&claims);
    let said = failed_with(10, &tool.with(&[("CODE_SERVICE_TOKEN", &plain)]).run(&["count", "--type", "tm"]));
    assert!(said.contains("supremeUserRequired") && said.contains("CODE_SERVICE_TOKEN"), "{said}");
}
