//! The end of a host: what was begun is finished.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::client::{builder, keys, prepared};

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
