//! What a host writes: one JSON object per line, one line per request, and never a secret.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use code_service_tests::collector::Collector;
use code_service_tests::{Host, Mongod};
use mongodb::bson::{DateTime, doc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Api, CORRELATION, builder, create_indexes, keys, prepared, send};
use crate::traces::{request_with, traced};

/// Parses a line, and checks what every line must have.
#[track_caller]
fn parsed(line: &str) -> Value {
    let json: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let text = |field: &str| json[field].as_str().unwrap_or_else(|| panic!("no {field}: {line}"));
    let time = text("@timestamp");
    assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
    DateTime::parse_rfc3339_str(time).unwrap_or_else(|_| panic!("no time: {line}"));
    assert!(["error", "warn", "info", "debug", "trace"].contains(&text("level")), "{line}");
    assert!(!text("message").is_empty() && !text("logger").is_empty(), "{line}");
    assert!(json.get("correlation").is_some_and(|id| id.is_null() || id.is_string()), "{line}");
    json
}

fn of_request<'a>(line: &'a Value, id: &'a str) -> bool {
    line["correlation"] == id
}

/// Waits until the request's line is there: it may come after the reply.
fn access_line(host: &Host, id: &str) -> Value {
    host.wait_for_line("the access line is there", |line| {
        of_request(line, id) && line["logger"] == "code_service_host::access"
    })
}

async fn ask(api: &Api, method: Method, path: &str, id: &str) {
    send(api.request(method, path).header(CORRELATION, id)).await;
}

#[tokio::test]
async fn a_request_is_one_line_with_route_method_status_and_correlation() {
    let api = Api::shared().await;
    for (number, (method, path, route, status)) in [
        (Method::GET, "/:campaign/codes/count?type=tm", "/:campaignId/codes/count", 200),
        (Method::GET, "/v1/:campaign/codes/count?type=tm", "/:campaignId/codes/count", 200),
        (Method::GET, "/:campaign/reservations/secret", "/:campaignId/reservations/:reserveId", 404),
        (Method::POST, "/:campaign/assign", "/:campaignId/assign", 400),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("{}-{number}", api.campaign);
        ask(&api, method.clone(), path, &id).await;
        let line = access_line(&api.host, &id);
        assert_eq!((&line["route"], &line["status"]), (&json!(route), &json!(status)));
        assert_eq!(line["method"], method.as_str());
        assert!(line["milliseconds"].as_f64().is_some_and(|time| time > 0.0), "{line}");
        assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 20), "{line}");
        assert_eq!(line["user"], "tester");
        assert!(line["message"].as_str().expect("a text").contains(route));
    }
    let lines = api.host.lines();
    for number in 0..4 {
        let id = format!("{}-{number}", api.campaign);
        let lines = lines.iter().map(|line| parsed(line)).filter(|line| of_request(line, &id));
        assert_eq!(lines.count(), 1, "one line per request");
    }
}

#[tokio::test]
async fn a_refusal_outside_of_the_handlers_has_its_line_too() {
    let api = Api::shared().await;
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/:campaign/codes", 405),
        (Method::GET, "/dev/internalServerError", 500),
    ] {
        let id = format!("{}-{status}", api.campaign);
        ask(&api, method, path, &id).await;
        assert_eq!(access_line(&api.host, &id)["status"], status);
    }
}

#[tokio::test]
async fn probes_and_scrapes_leave_no_line() {
    let api = Api::shared().await;
    let id = format!("{}-probe", api.campaign);
    for path in ["/heartbeat", "/metrics", "/v1/heartbeat", "/v1/metrics"] {
        ask(&api, Method::GET, path, &id).await;
    }
    // Lines come in order: once a later request's line is there, theirs would be.
    let later = format!("{}-later", api.campaign);
    ask(&api, Method::GET, "/dev/auth", &later).await;
    access_line(&api.host, &later);
    let lines = api.host.lines();
    assert!(!lines.iter().any(|line| line.contains(&id)));
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_has_its_line_too() {
    let api = Api::start(|host| host).await;
    let id = format!("{}-gone", api.campaign);
    let head = format!(
        "PUT /tour/codes?type=tm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{CORRELATION}: {id}\r\n\
         Expect: 100-continue\r\nContent-Length: 6\r\n\r\n",
        keys().supreme()
    );
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, api.host.port())).expect("the host listens");
    stream.write_all(head.as_bytes()).expect("the host reads");
    // It asks for the body once the handler works on the request.
    stream.read_exact(&mut [0; 12]).expect("the host answers");
    drop(stream);
    let line = access_line(&api.host, &id);
    assert!([499, 400].contains(&line["status"].as_u64().expect("a number")), "{line}");
    assert_eq!(line["route"], "/:campaignId/codes");
}

#[tokio::test]
async fn a_warning_has_the_correlation_id_also_where_only_warnings_are_logged() {
    let mut server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let uri = format!("{}&serverSelectionTimeoutMS=1000", server.uri_for("test"));
    create_indexes(&uri).await;
    let host = builder(&uri).env("TITAN_LOG__LEVEL", "warn,code_service_host::serve=info").start();
    server.stop();
    let count = reqwest::Client::new().get(host.url("/tour/codes/count?type=tm")).header(CORRELATION, "one");
    let answer = count.bearer_auth(keys().supreme()).send().await.expect("the host answers");
    assert_eq!(answer.status(), 503);
    let line = host.wait_for_line("the warning is there", |line| line["level"] == "warn");
    assert_eq!(line["correlation"], "one");
    assert!(!host.lines().iter().any(|line| line.contains("access")));
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted() {
    let api = Api::start(|host| host.env("TITAN_LOG__FILE", "/dev/full")).await;
    ask(&api, Method::GET, "/dev/auth", "one").await;
    let metrics = api.get("/metrics").await.body;
    let lost = |sink: &str| -> u64 {
        let name = format!("log_lines_lost_total{{sink=\"{sink}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    };
    assert!(lost("file") >= 2, "what was listened to, and the request");
    assert_eq!(lost("console"), 0);
}

#[tokio::test]
async fn the_log_file_has_the_same_lines_as_the_console() {
    let test = prepared().await;
    let file = std::env::temp_dir().join(format!("{}.log", test.name));
    let mut host = builder(&test.uri).env("TITAN_LOG__FILE", &file).start();
    let url = host.url("/dev/auth");
    for _ in 0..20 {
        reqwest::get(&url).await.expect("the host answers");
    }
    assert_eq!(host.stop(), 0);
    let written = std::fs::read_to_string(&file).expect("the host made it");
    std::fs::remove_file(&file).expect("ours");
    let console = host.wait_for_all_lines(written.lines().count());
    let (mut written, mut console): (Vec<&str>, Vec<&str>) =
        (written.lines().collect(), console.iter().map(String::as_str).collect());
    // Two threads that log at once may come in another order in each.
    written.sort_unstable();
    console.sort_unstable();
    assert_eq!(written, console);
    assert!(written.len() > 20);
}

#[tokio::test]
async fn a_file_that_has_grown_is_renamed_and_no_line_is_lost() {
    let test = prepared().await;
    let folder = std::env::temp_dir().join(&test.name);
    std::fs::create_dir_all(&folder).expect("a writable temporary folder");
    let file = folder.join("titan.log");
    let host = builder(&test.uri).env("TITAN_LOG__FILE", &file).env("TITAN_LOG__MAX_BYTES", "4000");
    let mut host = host.env("TITAN_LOG__KEEP", "50").start();
    let url = host.url("/dev/auth");
    let calls = (0..80).map(async |number| {
        let call = reqwest::Client::new().get(&url).header(CORRELATION, format!("call-{number}"));
        call.send().await.expect("the host answers");
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(host.stop(), 0);
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("ours").map(|file| file.expect("ours").path()).collect();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("text")).collect::<Vec<_>>();
    std::fs::remove_dir_all(&folder).expect("ours");
    assert!(files.len() > 3, "{files:?}");
    assert!(texts.iter().all(|text| text.len() <= 4000), "none is larger than it may be");
    let lines: Vec<Value> = texts.iter().flat_map(|text| text.lines()).map(parsed).collect();
    for number in 0..80 {
        let id = format!("call-{number}");
        assert_eq!(lines.iter().filter(|line| of_request(line, &id)).count(), 1, "{id}");
    }
}

#[tokio::test]
async fn the_level_is_read_again_at_sighup() {
    let test = prepared().await;
    let folder = std::env::temp_dir().join(&test.name);
    std::fs::create_dir_all(&folder).expect("a writable temporary folder");
    let set = |level: &str| {
        let text =
            format!("titan: {{log: {{level: {level}, console: true}}, devEndpoints: {{enabled: true}}}}");
        std::fs::write(folder.join("default.yaml"), text).expect("ours");
    };
    std::fs::write(folder.join("local-dev.yaml"), "").expect("ours");
    set("info");
    let mut host = builder(&test.uri).arg("--config-dir").arg(&folder).start();
    let url = host.url("/dev/auth");
    let call = async |id: &str| {
        let call = reqwest::Client::new().get(&url).header(CORRELATION, id);
        call.send().await.expect("the host answers");
    };
    call("shown").await;
    access_line(&host, "shown");
    set("warn");
    host.signal("HUP");
    // Nothing tells that it was done but that nothing is told any more.
    let mut number = 0;
    crate::client::until("nothing is shown", async || {
        number += 1;
        let id = format!("hidden-{number}");
        call(&id).await;
        !host.lines().iter().any(|line| line.contains(&id))
    })
    .await;
    set("loud=very");
    host.signal("HUP");
    host.wait_for_line("it says why", |line| {
        line["message"].as_str().is_some_and(|text| text.contains("titan.log.level"))
    });
    set("info");
    host.signal("HUP");
    host.wait_for_line("it says so", |line| line["message"] == "the log's level was read again");
    call("again").await;
    access_line(&host, "again");
    std::fs::remove_dir_all(&folder).expect("ours");
}

trait AllLines {
    /// The lines of a host that has ended, once that many have come through the pipe.
    fn wait_for_all_lines(&self, count: usize) -> Vec<String>;
}

impl AllLines for Host {
    fn wait_for_all_lines(&self, count: usize) -> Vec<String> {
        let limit = std::time::Duration::from_secs(10);
        let what = "all lines came";
        code_service_tests::supervised::wait_until(what, limit, || self.lines().len() >= count);
        self.lines()
    }
}

#[tokio::test]
async fn the_console_can_be_turned_off() {
    let test = prepared().await;
    let file = std::env::temp_dir().join(format!("{}.log", test.name));
    let host = builder(&test.uri).env("TITAN_LOG__FILE", &file).env("TITAN_LOG__CONSOLE", "false");
    let Err(silent) = host.env("TITAN_JWT__PUBLIC_KEY", "no key").try_start() else { panic!("it started") };
    let written = std::fs::read_to_string(&file).expect("the host made it");
    std::fs::remove_file(&file).expect("ours");
    assert_eq!(silent.said.stdout, Vec::<String>::new());
    assert!(written.contains("titan.jwt.publicKey"), "{written}");
}

/// Runs everything that callers can do well or badly, with codes that can be found again.
async fn busy_run(api: &Api) {
    let codes = json!({ "codes": ["SECRETCODE-1", "SECRETCODE-2"] });
    let key = api.put_in_bucket("tm", "SECRETCODE-1\nSECRETCODE-2\nSECRETCODE-3\u{0}\n");
    api.post("/:campaign/codes", json!({ "fileKey": key })).await.data();
    api.upload("tm", "SECRETCODE-1\nSECRETCODE-4\nSECRETCODE-5\nSECRETCODE-6\u{0}\n").await.data();
    api.upload("vip", "SECRETCODE-1\n").await.error(400, "invalidType");
    api.reserve(2).await;
    api.put("/:campaign/reservations/mine", json!({ "type": "tm", "count": 1 })).await;
    api.put("/:campaign/reservations/mine", json!({ "type": "tm", "count": 2 }))
        .await
        .error(422, "reservation_mismatch");
    api.get("/:campaign/reservations/mine").await.data();
    api.post("/:campaign/assign", codes.clone()).await.data();
    api.post("/:campaign/release", codes.clone()).await.data();
    api.post("/:campaign/assign", json!({ "codes": ["SECRETCODE-1\u{0}"] }))
        .await
        .error(400, "invalid_argument");
    for body in ["{\"codes\":[\"SECRETCODE-1", "{\"SECRETCODE-1\":1}", "SECRETCODE-1"] {
        send(api.request(Method::POST, "/:campaign/assign").body(body)).await.error(400, "invalidBody");
    }
    for path in [
        "/SECRETCODE-1",
        "/SECRETCODE-1/codes/count?type=SECRETCODE-1",
        "/SECRETCODE-1%00/reserve?count=1&type=tm",
    ] {
        api.get(path).await;
    }
    let stranger = code_service_tests::Keys::generate().supreme();
    send(api.anonymous(Method::GET, "/dev/auth").bearer_auth(stranger)).await.error(401, "unauthorized");
    api.post("/dev/token", json!({ "userId": "SECRETCODE-1", "isSupreme": true })).await.data();
    api.get("/dev/internalServerError").await;
    // A stored code of a shape that no service writes must be told without its text.
    let broken = doc! { "_id": { "campaign_id": &api.campaign, "code": "SECRETCODE-9" }, "type": 7, "date": 7,
    "reserveId": "broken" };
    api.db.collection("codes").insert_one(broken).await.expect("insert");
    api.get("/:campaign/reservations/broken").await;
    api.get("/:campaign/codes/count?type=tm").await;
}

#[tokio::test]
async fn no_code_token_or_password_appears_in_any_line_span_or_metric() {
    let test = prepared().await;
    let password = "hunter2-password";
    let user = doc! { "createUser": "me", "pwd": password, "roles": ["dbOwner"] };
    test.db.run_command(user).await.expect("a new database");
    let uri = test.uri.replace("mongodb://", &format!("mongodb://me:{password}@"));
    let uri = format!("{uri}&authSource={}", test.name);
    let collector = Collector::start();
    let host = traced(builder(&uri).env("TITAN_LOG__LEVEL", "trace"), collector.port());
    let api = Api::of(host.env("OTEL_BSP_SCHEDULE_DELAY", "200").start(), test.db);
    busy_run(&api).await;
    let last = api.campaign.clone();
    ask(&api, Method::GET, "/dev/auth", &last).await;
    access_line(&api.host, &last);

    let lines = api.host.lines();
    assert!(lines.len() > 20, "{}", lines.len());
    lines.iter().for_each(|line| drop(parsed(line)));
    request_with(&collector, &last).await;
    let (spans, metrics) = (collector.said(), api.get("/metrics").await.body);
    for line in lines.iter().chain(&spans).map(String::as_str).chain(metrics.lines()) {
        for secret in ["SECRETCODE", password, "eyJ", "PRIVATE KEY", "PUBLIC KEY"] {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
    }
    assert_eq!(api.host.stderr(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_password_is_not_repeated() {
    let test = prepared().await;
    let uri = test.uri.replace("mongodb://", "mongodb://me:hunter2-password@");
    let Err(refused) = builder(&uri).env("TITAN_LOG__LEVEL", "trace").try_start() else {
        panic!("it started")
    };
    assert_eq!(refused.said.status, Some(1));
    assert_eq!(refused.said.stderr.len(), 1, "{refused}");
    assert!(refused.said.stderr[0].contains("password"), "{refused}");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    assert!(!refused.to_string().contains(&keys().private));
}

#[tokio::test]
async fn a_log_file_that_cannot_be_written_is_named_at_start() {
    let test = prepared().await;
    let Err(refused) = builder(&test.uri).env("TITAN_LOG__FILE", "/nowhere/titan.log").try_start() else {
        panic!("it started")
    };
    assert!(refused.said.stderr.join("").contains("titan.log.file"), "{refused}");
}
