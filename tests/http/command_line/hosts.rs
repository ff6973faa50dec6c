//! Asking a host: its address, the token, and what breaks on the way.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};

pub(super) mod relay;

use super::tool::{Scratch, Tool, ground, objects, remote, tools};
use super::{failed, failed_with, stderr, succeeded};
use crate::client::{csv, keys};
use relay::Relay;

#[tokio::test]
async fn the_token_is_in_a_file_or_in_the_environment() {
    let tool = remote().await;
    let file = Scratch::with("token", format!("{}\n", keys().supreme()));
    let args = ["count", "--type", "tm", "--token-file", file.path()];
    succeeded(&tool.without("CODE_SERVICE_TOKEN").run(&args));
    succeeded(&tool.with(&[("CODE_SERVICE_TOKEN", "another")]).run(&args));
    succeeded(&tool.run(&["count", "--type", "tm"]));
}

#[tokio::test]
async fn without_a_token_both_places_are_named() {
    let tool = remote().await.without("CODE_SERVICE_TOKEN");
    let said = failed_with(2, &tool.run(&["count", "--type", "tm"]));
    assert!(said.contains("CODE_SERVICE_TOKEN") && said.contains("--token-file"), "{said}");
    let said = failed(&tool.run(&["count", "--type", "tm", "--token-file", "nowhere"]));
    assert!(said.contains("nowhere"), "{said}");
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_not_shown() {
    let tool = remote().await.with(&[("CODE_SERVICE_TOKEN", "se\ncret")]);
    let said = failed_with(2, &tool.run(&["count", "--type", "tm"]));
    assert!(said.contains("token") && !said.contains("cret\n"), "{said}");
}

#[tokio::test]
async fn a_host_needs_no_configuration_and_no_database() {
    let tool = remote().await.with(&[("NODE_ENV", "nowhere"), ("TITAN_MONGO__URI", "nonsense")]);
    succeeded(&tool.run(&["count", "--type", "tm"]));
}

#[tokio::test]
async fn the_address_can_have_a_path_and_comes_before_the_environment() {
    let tool = remote().await.with(&[("CODE_SERVICE_URL", "http://127.0.0.1:9")]);
    for path in ["/v1", "/v1/", "/"] {
        let url = ground().await.host.url(path);
        succeeded(&tool.run(&["count", "--type", "tm", "--url", &url]));
    }
}

#[tokio::test]
async fn an_address_that_is_none_or_holds_a_password_is_refused() {
    let tool = remote().await;
    for url in ["ftp://host", "http://me:hunter2@host", "http://me:hunter2@[host", "me:hunter2@host", ""] {
        let said = failed_with(2, &tool.run(&["count", "--type", "tm", "--url", url]));
        assert!(said.contains("--url") && !said.contains("hunter2"), "{said}");
    }
    for url in ["127.0.0.1:8080", "localhost:8080", "me:hunter2@host"] {
        let said = failed_with(2, &tool.with(&[("CODE_SERVICE_URL", url)]).run(&["count", "--type", "tm"]));
        assert!(said.contains("http://") && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn without_an_address_the_database_is_asked_and_a_token_refused() {
    let [tool, _] = tools().await;
    succeeded(&tool.with(&[("CODE_SERVICE_URL", "")]).run(&["count", "--type", "tm"]));
    let said = failed_with(2, &tool.run(&["count", "--type", "tm", "--token-file", "token"]));
    assert!(said.contains("--token-file") && said.contains("--url"), "{said}");
    let said = failed(&Tool::new("nowhere", &[]).run(&["count", "--type", "tm"]));
    assert!(said.contains("TITAN_MONGO__URI") && said.contains("--url"), "{said}");
}

#[tokio::test]
async fn a_name_that_no_path_can_have_is_refused() {
    let mut tool = remote().await;
    for args in [&["recover", ".."][..], &["recover", "."], &["jobs", "show", ".."], &["jobs", "show", ""]] {
        let said = failed_with(2, &tool.run(args));
        assert!(said.contains("--url"), "{args:?}: {said}");
    }
    tool.campaign = "..".to_owned();
    for args in [&["count", "--type", "tm"][..], &["export"]] {
        failed_with(2, &tool.run(args));
    }
}

/// Something that answers every request with this status.
fn always(status: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            let mut reader = BufReader::new(caller);
            let mut line = String::new();
            // To the end of the head: nobody here sends a body that is worth reading.
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // A caller that has gone is not waited for.
            let _ = reader.into_inner().write_all(reply.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn the_status_of_something_else_is_told() {
    let tool = remote().await;
    for (status, code) in [
        ("501 Not Implemented", 1),
        ("405 Method Not Allowed", 1),
        ("401 Unauthorized", 10),
        ("502 Bad Gateway", 6),
        ("503 Service Unavailable", 6),
    ] {
        let said = failed_with(code, &tool.run(&["count", "--type", "tm", "--url", &always(status)]));
        assert!(said.contains(status), "{said}");
        assert_eq!(said.contains("can be repeated"), code == 6, "{said}");
    }
}

#[tokio::test]
async fn a_host_that_is_away_is_named() {
    let url = "http://127.0.0.1:9";
    let tool = remote().await.with(&[("CODE_SERVICE_URL", url)]);
    for args in [&["count", "--type", "tm"][..], &["export"], &["recover", "order"]] {
        let said = failed_with(6, &tool.run(args));
        assert!(said.contains(&format!("unavailable: {url} cannot be reached")), "{said}");
    }
    let said = failed_with(6, &tool.feed(&["import", "-", "--type", "tm"], "A1\n"));
    assert!(said.contains(url), "{said}");
    // Nothing was sent, so nothing can be held.
    failed_with_id(6, &tool.run(&["reserve", "--type", "tm", "--count", "1"]));
}

#[tokio::test]
async fn something_else_that_speaks_http_is_told_from_a_host() {
    let tool = remote().await;
    let url = ground().await.host.url("/docs");
    let said = failed(&tool.run(&["count", "--type", "tm", "--url", &url]));
    assert!(said.contains("notFound") || said.contains("is no code-service"), "{said}");
}

#[tokio::test]
async fn a_reserve_whose_answer_is_lost_ends_with_7_and_can_be_recovered() {
    let tool = remote().await;
    tool.save(&["A1", "A2"]);
    let relay = Relay::start(ground().await.host.port(), &[0]);
    let output = tool.run(&["reserve", "--type", "tm", "--count", "1", "--url", &relay.url()]);
    let id = failed_with_id(7, &output);
    assert!(stderr(&output).contains(&format!("recover its reserveId {id}")), "{output:?}");
    assert_eq!(tool.json(&["recover", &id])["count"], 1);
    assert_eq!(tool.counts(), [1, 1, 0]);
}

/// The id that a reserve tells before its one sentence.
#[track_caller]
fn failed_with_id(code: i32, output: &std::process::Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let said = stderr(output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    lines[0].strip_prefix("reserveId ").expect("the id").to_owned()
}

#[tokio::test]
async fn an_export_that_breaks_off_goes_on_where_it_was() {
    let tool = remote().await;
    succeeded(&tool.feed(&["import", "-", "--type", "tm"], csv(5_000)));
    let relay = Relay::start(ground().await.host.port(), &[20_000, 0, 100_000]);
    let output = tool.run(&["export", "--url", &relay.url()]);
    succeeded(&output);
    let objects = objects(&output);
    let codes: Vec<&str> = objects.iter().filter_map(|object| object["code"].as_str()).collect();
    let all = csv(5_000);
    assert_eq!(codes, all.lines().collect::<Vec<_>>());
    assert_eq!(relay.connections(), 4);
}

#[tokio::test]
async fn a_file_of_an_export_that_could_not_go_on_is_kept_and_can_be_finished() {
    let tool = remote().await;
    succeeded(&tool.feed(&["import", "-", "--type", "tm"], csv(2_000)));
    let file = Scratch::new("codes.csv");
    let _part = file.part();
    let cuts: Vec<usize> = [100_000].into_iter().chain([0; 8]).collect();
    let relay = Relay::start(ground().await.host.port(), &cuts);
    let said = failed_with(6, &tool.run(&["export", file.path(), "--url", &relay.url()]));
    assert!(said.contains("--continue"), "{said}");
    assert!(file.part().is_there() && !file.is_there());
    succeeded(&tool.run(&["export", file.path(), "--continue"]));
    let codes: Vec<String> =
        file.read().lines().skip(1).filter_map(|line| Some(line.split(',').next()?.to_owned())).collect();
    assert_eq!(codes, csv(2_000).lines().collect::<Vec<_>>());
}
