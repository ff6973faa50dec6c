//! Clients that hang up in the middle: the host lives, and every code is accounted for.

use std::collections::HashSet;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};

use mongodb::bson::{Document, doc};
use serde_json::json;

use crate::client::{Api, code_of, csv, keys, until};

/// Sends bytes as they are and keeps the connection.
fn say(api: &Api, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, api.host.port())).expect("the host listens");
    let head = head.replace(":campaign", &api.campaign);
    let token = keys().supreme();
    let head = format!("{head}\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the host reads");
    stream.write_all(body).expect("the host reads");
    stream
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_whole_codes_and_can_be_repeated() {
    let api = Api::shared().await;
    let file = csv(30_000);
    // Cut in the middle of a row: `C29999` must not become `C299`.
    let half = &file.as_bytes()[..file.len() - 3];
    let head = format!("PUT /:campaign/codes?type=tm HTTP/1.1\r\nContent-Length: {}", file.len());
    drop(say(&api, &head, half));
    drop(say(
        &api,
        "PUT /:campaign/codes?type=tm HTTP/1.1\r\nTransfer-Encoding: chunked",
        b"ffff\r\nC00001\nC00",
    ));

    let whole: HashSet<String> = file.lines().map(str::to_owned).collect();
    let saved = api.upload("tm", file).await.data();
    assert_eq!(saved["count"]["in"], 30_000);
    let stored = api.stored().await;
    for code in &stored {
        assert!(whole.contains(code_of(code)), "a part of a row became a code: {code}");
    }
    assert_eq!(stored.len(), 30_000);
    assert_eq!(api.get("/heartbeat").await.status, 200);
}

#[tokio::test]
async fn a_reserve_whose_caller_hangs_up_leaves_each_code_free_or_held() {
    let api = Api::shared().await;
    api.upload("tm", csv(600)).await.data();
    let mut given = Vec::new();
    for round in 0..40 {
        let mut open = say(&api, "GET /:campaign/reserve?count=5&type=tm HTTP/1.1", b"");
        if round % 2 == 0 {
            // Half of a second request behind it.
            let _ = open.write_all(b"GET /");
        }
        drop(open);
        given.extend(api.reserve(2).await);
    }
    loop {
        let codes = api.reserve(50).await;
        if codes.is_empty() {
            break;
        }
        given.extend(codes);
    }

    assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len(), "none twice");
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 0, "reserved": 600, "assigned": 0 }));
    let stored = api.stored().await;
    assert!(stored.iter().all(|code| code.get_str("reserveId").is_ok()), "each is held under an id");
    assert!(given.len() >= 600 - 40 * 5, "the callers who hung up hold at most what they asked for");
}

#[tokio::test]
async fn a_put_whose_caller_hangs_up_can_be_repeated_under_its_id() {
    let api = Api::shared().await;
    api.upload("tm", csv(200)).await.data();
    let body = json!({ "type": "tm", "count": 5 });
    let text = body.to_string();
    let ids: Vec<String> = (0..10).map(|number| format!("{}-{number}", api.campaign)).collect();
    for id in &ids {
        let head = format!("PUT /:campaign/reservations/{id} HTTP/1.1\r\nContent-Length: {}", text.len());
        drop(say(&api, &head, text.as_bytes()));
    }
    let puts = ids.iter().map(|id| {
        let (api, body) = (&api, body.clone());
        async move { api.put(&format!("/:campaign/reservations/{id}"), body).await }
    });
    for answer in futures_util::future::join_all(puts).await {
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        assert_eq!(answer.json()["data"]["count"], 5);
    }
    let codes = api.db.collection::<Document>("codes");
    for id in &ids {
        until("each id holds its five codes and no more", async || {
            let held = doc! { "reserveId": id, "date.reserved": { "$ne": null } };
            codes.count_documents(held).await.expect("count") == 5
        })
        .await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_do_not_hurt_the_host() {
    let api = Api::shared().await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0"]
    {
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, api.host.port())).expect("the host listens");
        stream.write_all(bytes).expect("the host reads");
    }
    assert_eq!(api.get("/heartbeat").await.status, 200);
}
