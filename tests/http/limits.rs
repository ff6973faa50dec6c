//! What a host does with those who are slow, too many, or not wanted any more.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use code_service_tests::{Host, Mongod, fresh_database};

use crate::client::{Api, builder, create_indexes, csv, keys, prepared, until};

/// A host of the test's own with these settings.
async fn host(settings: &[(&str, &str)]) -> Host {
    let test = prepared().await;
    let set = settings.iter().fold(builder(&test.uri), |host, (name, value)| host.env(name, value));
    set.start()
}

/// A connection on which so much was said.
fn connection(host: &Host, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).expect("the host listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    stream.write_all(said.as_bytes()).expect("the host reads");
    stream
}

/// All that comes until the host closes the connection.
fn until_closed(mut stream: &TcpStream) -> String {
    let mut said = String::new();
    // A connection that is reset is closed, too.
    match stream.read_to_string(&mut said) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
        _ => said,
    }
}

/// The beginning of an upload, whose body is still to come.
fn upload(length: usize) -> String {
    let token = keys().supreme();
    format!(
        "PUT /tour/codes?type=tm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

const ASK: &str = "GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_head_that_does_not_end_closes_its_connection() {
    let host = host(&[("TITAN_SERVICE__HEAD_TIMEOUT", "1s")]).await;
    until_closed(&connection(&host, "GET /heartbeat HTT"));
    // Also the head of a second request.
    let mut second = connection(&host, ASK);
    let mut first = [0; 512];
    let size = second.read(&mut first).expect("the host answers");
    assert!(first[..size].starts_with(b"HTTP/1.1 200"));
    second.write_all(b"GET /hea").expect("the host reads");
    until_closed(&second);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_after_its_time_and_not_before() {
    let host = host(&[("TITAN_SERVICE__IDLE_TIMEOUT", "4s"), ("TITAN_SERVICE__HEAD_TIMEOUT", "1s")]).await;
    until_closed(&connection(&host, ""));
    let mut kept = connection(&host, ASK);
    let mut first = [0; 512];
    let size = kept.read(&mut first).expect("the host answers");
    assert!(first[..size].starts_with(b"HTTP/1.1 200"));
    // Longer than a head may take.
    std::thread::sleep(Duration::from_millis(1_500));
    kept.write_all(ASK.as_bytes()).expect("the host reads");
    let said = until_closed(&kept);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_refused_and_an_upload_that_is_slow_is_not() {
    let host = host(&[("TITAN_SERVICE__BODY_TIMEOUT", "2s"), ("TITAN_SERVICE__IDLE_TIMEOUT", "1s")]).await;
    let said = until_closed(&connection(&host, &format!("{}A1\n", upload(6))));
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    let mut slow = connection(&host, &upload(9));
    for row in ["A1\n", "A2\n", "A3\n"] {
        std::thread::sleep(Duration::from_millis(800));
        slow.write_all(row.as_bytes()).expect("the host reads");
    }
    let said = until_closed(&slow);
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"in\":3"), "{said}");
}

#[tokio::test]
async fn more_requests_than_may_be_are_told_to_come_again_and_probes_are_not() {
    let api = Api::start(|host| host.env("TITAN_SERVICE__MAX_REQUESTS", "1")).await;
    let mut long = connection(&api.host, &upload(6));
    let shown = async |line: &str| api.get("/metrics").await.body.lines().any(|shown| shown == line);
    until("the upload is there", async || shown("http_requests_in_flight 1").await).await;
    let refused = api.get("/:campaign/codes/count?type=tm").await;
    let seconds: u32 = refused.header("retry-after").parse().expect("a number");
    assert!((1..=3).contains(&seconds), "{seconds}");
    refused.error(503, "unavailable");
    assert_eq!(api.get("/heartbeat").await.status, 200);
    assert_eq!(api.get("/ready").await.status, 200);
    assert!(shown("http_requests_shed_total 1").await);
    long.write_all(b"A1\nA2\n").expect("the host reads");
    until("there is a place again", async || api.get("/:campaign/codes/count?type=tm").await.status == 200)
        .await;
}

#[tokio::test]
async fn an_upload_that_is_too_much_hears_so() {
    let api = Api::start(|host| host.env("TITAN_SERVICE__MAX_REQUESTS", "1")).await;
    let long = connection(&api.host, &upload(6));
    until("the upload is there", async || {
        api.get("/metrics").await.body.lines().any(|line| line == "http_requests_in_flight 1")
    })
    .await;
    // More than the system keeps for a reader who does not come.
    api.upload("tm", csv(1_000_000)).await.error(503, "unavailable");
    drop(long);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let host = host(&[]).await;
    let head = format!("GET /heartbeat HTTP/1.1\r\nHost: localhost\r\nLong: {}\r\n\r\n", "x".repeat(300_000));
    let said = until_closed(&connection(&host, &head));
    // What was sent behind it may keep the answer from arriving.
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
}

#[tokio::test]
async fn a_method_that_a_caller_has_invented_is_not_repeated() {
    let api = Api::start(|host| host).await;
    let method = "X".repeat(10_000);
    let said = until_closed(&connection(
        &api.host,
        &format!("{method} /tour/codes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ));
    assert!(said.starts_with("HTTP/1.1 405"), "{said}");
    api.host.wait_for_line("its line is there", |line| line["status"] == 405);
    assert!(!api.host.lines().iter().any(|line| line.contains("XXXX")));
}

#[tokio::test]
async fn a_long_reply_comes_compressed_to_whoever_takes_that() {
    let api = Api::shared().await;
    let request = api.request(reqwest::Method::GET, "/openapi.json").header("accept-encoding", "gzip");
    let answer = request.send().await.expect("the host answers");
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let (packed, whole) = (answer.bytes().await.expect("whole"), api.get("/openapi.json").await.body);
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < whole.len() / 2, "{}", packed.len());
}

#[tokio::test]
async fn more_connections_than_may_be_are_closed() {
    let host = host(&[("TITAN_SERVICE__MAX_CONNECTIONS", "2")]).await;
    let kept: Vec<TcpStream> = (0..2).map(|_| connection(&host, ASK)).collect();
    let mut byte = [0];
    for mut stream in &kept {
        stream.read_exact(&mut byte).expect("the host answers");
    }
    assert_eq!(until_closed(&connection(&host, "")), "");
    drop(kept);
    until("there is a place again", async || reqwest::get(host.url("/heartbeat")).await.is_ok()).await;
    let metrics = reqwest::get(host.url("/metrics")).await.expect("the host answers");
    let metrics = metrics.text().await.expect("text");
    let refused = metrics.lines().find_map(|line| line.strip_prefix("http_connections_refused_total "));
    assert!(refused.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count >= 1), "{refused:?}");
}

async fn status(host: &Host, path: &str) -> u16 {
    reqwest::get(host.url(path)).await.expect("the host answers").status().as_u16()
}

#[tokio::test]
async fn a_host_that_is_to_stop_is_not_ready_but_answers_until_it_does() {
    let mut host = host(&[("TITAN_SERVICE__STOP_DELAY", "20s")]).await;
    assert_eq!((status(&host, "/ready").await, status(&host, "/v1/ready").await), (200, 200));
    host.signal("TERM");
    until("it is not ready", async || status(&host, "/ready").await == 503).await;
    assert_eq!(status(&host, "/heartbeat").await, 200);
    // Asked again it does not wait for anything.
    host.signal("TERM");
    assert_eq!(host.wait(), 1);
}

#[tokio::test]
async fn a_host_without_its_database_lives_and_is_not_ready() {
    let mut server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let uri = server.uri_for(&fresh_database());
    create_indexes(&uri).await;
    let host = builder(&uri).start();
    assert_eq!(status(&host, "/ready").await, 200);
    server.stop();
    until("it is not ready", async || status(&host, "/ready").await == 503).await;
    assert_eq!(status(&host, "/heartbeat").await, 200);
    server.start_again();
    until("it is ready again", async || status(&host, "/ready").await == 200).await;
}
