//! The end of a host: what was begun is finished.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use code_service::ReserveId;
use code_service_tests::caller::{Caller, get};
use code_service_tests::{Mongod, free_port};
use futures_util::future::join_all;
use mongodb::bson::Document;
use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::client::{Api, builder, create_indexes, csv, keys, prepared, until};

#[tokio::test]
async fn a_host_that_is_asked_to_stop_ends_with_success() {
    for signal in ["TERM", "INT"] {
        let test = prepared().await;
        let mut host = builder(&test.uri).start();
        host.signal(signal);
        assert_eq!(host.wait(), 0, "{signal}");
        host.wait_for_line("it says that it stops", |line| line["message"] == "stopping");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_keep_the_host() {
    let test = prepared().await;
    let mut host = builder(&test.uri).start();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).expect("the host listens");
    stream.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the host reads");
    let mut first = [0; 512];
    let size = stream.read(&mut first).expect("the host answers");
    assert!(first[..size].starts_with(b"HTTP/1.1 200"), "and the connection stays open");
    assert_eq!(host.stop(), 0);
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_host_ends() {
    let test = prepared().await;
    let mut host = builder(&test.uri).start();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).expect("the host listens");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    let token = keys().supreme();
    write!(
        writer,
        "PUT /tour/codes?type=tm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Expect: 100-continue\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"
    )
    .expect("the host reads");
    // It asks for the body once the handler works on the request.
    let mut line = String::new();
    reader.read_line(&mut line).expect("the host answers");
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");

    host.signal("TERM");
    host.wait_for_line("it stops", |line| line["message"] == "stopping");
    writer.write_all(b"A1\nA2\n").expect("the host reads");
    let mut reply = String::new();
    reader.read_to_string(&mut reply).expect("the host answers");
    assert!(reply.contains("HTTP/1.1 200") && reply.contains("\"inserted\":2"), "{reply}");
    assert_eq!(host.wait(), 0);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_not_waited_for() {
    let test = prepared().await;
    let mut host = builder(&test.uri).env("TITAN_SERVICE__STOP_TIMEOUT", "300ms").start();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).expect("the host listens");
    write!(
        stream,
        "PUT /tour/codes?type=tm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Expect: 100-continue\r\nContent-Length: 6\r\n\r\n",
        keys().supreme()
    )
    .expect("the host reads");
    stream.read_exact(&mut [0; 12]).expect("the handler works on it");
    assert_eq!(host.stop(), 0);
    host.wait_for_line("it says so", |line| line["message"] == "stopped with requests still running");
}

#[test]
fn a_host_that_is_asked_to_stop_while_it_starts_does() {
    // Nobody listens there, and it tries for 30 s.
    let uri = format!("mongodb://127.0.0.1:{}/test?replicaSet=rs0", free_port());
    let stopped = builder(&uri).prefix(["timeout", "--preserve-status", "3"]).try_start();
    let Err(stopped) = stopped else { panic!("it started") };
    assert_eq!(stopped.said.status, Some(0), "{stopped}");
    assert!(stopped.said.stdout.iter().any(|line| line.contains("stopping")), "{stopped}");
}

#[tokio::test]
async fn what_callers_who_went_away_would_have_got_is_given_back_before_the_host_ends() {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let uri = server.uri_for("test");
    create_indexes(&uri).await;
    let client = mongodb::Client::with_uri_str(server.uri()).await.expect("our own connection string");
    let updated = async || {
        let status =
            client.database("admin").run_command(doc! { "serverStatus": 1 }).await.expect("a server");
        let documents = status.get_document("metrics").and_then(|metrics| metrics.get_document("document"));
        documents.and_then(|documents| documents.get_i64("updated")).expect("counted")
    };
    for _ in 0..5 {
        let mut api = Api::of(builder(&uri).start(), client.database("test"));
        api.upload("tm", csv(2_000)).await.data();
        // Whoever wants to take one waits for the end of this.
        let mut other = client.start_session().await.expect("starts");
        other.start_transaction().await.expect("starts");
        let codes = client.database("test").collection::<Document>("codes");
        let all = codes.update_many(doc! {}, doc! { "$set": { "other": true } }).session(&mut other);
        all.await.expect("nobody else is there");
        let before = updated().await;
        let ask = get(&format!("/{}/reserve?count=10&type=tm", api.campaign), &keys().supreme());
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, api.host.port())).expect("it listens");
        let mut callers: Vec<TcpStream> = (0..32).map(connect).collect();
        for caller in &mut callers {
            caller.write_all(ask.as_bytes()).expect("the host reads");
        }
        let in_flight = async |number: usize| {
            let line = format!("http_requests_in_flight {number}");
            api.get("/metrics").await.body.lines().any(|shown| shown == line)
        };
        until("all of them are there", async || in_flight(32).await).await;
        drop(callers);
        until("none of them is", async || in_flight(0).await).await;
        let host = Arc::get_mut(&mut api.host).expect("nobody else has it");
        host.signal("TERM");
        host.wait_for_line("it stops", |line| line["message"] == "stopping");
        other.abort_transaction().await.expect("aborts");
        assert_eq!(host.wait(), 0);
        let reserved = api.stored().await.iter().filter(|code| code.contains_key("reserveId")).count();
        assert_eq!(reserved, 0, "held for nobody");
        if updated().await >= before + 20 {
            return;
        }
        // The database had given up on those that waited.
    }
    panic!("none was ever taken, and went back");
}

/// A `PUT` under a new id, as bytes.
fn reserve_under(id: &str) -> String {
    let body = json!({ "type": "tm", "count": 2 }).to_string();
    format!(
        "PUT /tour/reservations/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        keys().supreme(),
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_reserves_and_an_import_loses_nothing() {
    let test = prepared().await;
    let mut host = builder(&test.uri).env("TITAN_LOG__CONSOLE", "true").start();
    let port = host.port();
    let http = reqwest::Client::new();
    let upload = |codes: String| {
        let url = host.url("/tour/codes?type=tm");
        http.put(url).bearer_auth(keys().supreme()).header("content-type", "text/csv").body(codes).send()
    };
    let codes =
        |prefix: &str, number: usize| (0..number).map(|n| format!("{prefix}{n:06}\n")).collect::<String>();
    assert_eq!(upload(codes("A", 20_000)).await.expect("the host answers").status(), 200);

    // Callers who go on until they are sent away, and remember what they were told.
    let answered = Arc::<AtomicUsize>::default();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let mut told: Vec<(String, Option<u16>)> = Vec::new();
                let Ok(mut caller) = Caller::connect(port).await else { return told };
                loop {
                    let id = ReserveId::random().as_str().to_owned();
                    let status = caller.call(&reserve_under(&id)).await.ok();
                    told.push((id, status));
                    if status != Some(201) {
                        return told;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let import = tokio::spawn(upload(codes("B", 60_000)));
    let stored = test.db.collection::<Document>("codes");
    let imported = doc! { "_id.campaign_id": "tour", "_id.code": { "$gte": "B" } };
    until("both are under way", async || {
        let imports = stored.find_one(imported.clone()).await.expect("find").is_some();
        imports && answered.load(Ordering::Relaxed) > 64
    })
    .await;
    host.signal("TERM");
    assert_eq!(host.wait(), 0);
    let told: Vec<(String, Option<u16>)> =
        join_all(callers).await.into_iter().flat_map(|told| told.expect("no panic")).collect();
    let import = import.await.expect("no panic").expect("what was begun is answered");
    assert_eq!(import.status(), 200, "an import that has begun ends");
    let saved = stored.count_documents(imported).await.expect("count");
    assert_eq!(saved, 60_000);

    // Whatever was acknowledged is there; whatever was not can be found out.
    let api = Api::of(builder(&test.uri).start(), test.db.clone());
    let acknowledged = told.iter().filter(|(_, status)| *status == Some(201)).count();
    assert!(acknowledged > 64, "{acknowledged} reserves were under way");
    let mut held = 0;
    for (id, status) in &told {
        let found: Value = {
            let path = format!("/tour/reservations/{id}/recover");
            let answer = api.post(&path, json!({})).await;
            match (answer.status, status) {
                (200, _) => answer.data(),
                (404, None | Some(409 | 503)) => continue,
                (code, _) => panic!("{id} was told {status:?} and is {code}: {}", answer.body),
            }
        };
        let codes = found["codes"].as_array().expect("a list").len();
        assert_eq!(codes, 2, "all or nothing");
        held += codes as u64;
    }
    let reserved =
        stored.count_documents(doc! { "date.reserved": { "$type": "date" } }).await.expect("count");
    assert_eq!(reserved, held, "no code is held for nobody");
}
