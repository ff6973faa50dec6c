//! `GET /:campaignId/codes`: what comes, in which form, and what becomes of an export that is cut short.

use std::time::Duration;

use code_service_tests::Mongod;
use code_service_tests::host::Builder;
use futures_util::{StreamExt, TryStreamExt};
use mongodb::bson::{DateTime, Document, doc};
use reqwest::{Method, Response, Version};
use serde_json::{Value, json};

use crate::client::{Answer, Api, builder, create_indexes, send, until};

/// More than the system keeps for a reader who does not come.
const MANY: usize = 100_000;

/// Inserts codes past the service, `A000000` and so on; `rest` says what a code has besides its `_id`.
async fn insert(api: &Api, count: usize, rest: impl Fn(usize) -> Document) {
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(10_000) {
        let documents = numbers.iter().map(|number| {
            let id = doc! { "campaign_id": &api.campaign, "code": name(*number) };
            let mut document = doc! { "_id": id };
            document.extend(rest(*number));
            document
        });
        api.db.collection("codes").insert_many(documents).await.expect("insert");
    }
}

fn free(_: usize) -> Document {
    doc! { "type": "tm", "date": { "saved": at(0) } }
}

fn name(number: usize) -> String {
    format!("A{number:06}")
}

fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(name).collect()
}

/// A moment: 2025-06-15T15:06:40Z, and so many seconds.
fn at(second: i64) -> DateTime {
    DateTime::from_millis(1_750_000_000_000 + 1000 * second)
}

async fn accepting(api: &Api, accept: &str, query: &str) -> Answer {
    send(api.request(Method::GET, &format!("/:campaign/codes?{query}")).header("accept", accept)).await
}

/// The objects of an NDJSON reply.
#[track_caller]
fn objects(body: &str) -> Vec<Value> {
    body.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The codes of an NDJSON reply.
#[track_caller]
fn codes(body: &str) -> Vec<String> {
    objects(body).iter().map(|object| object["code"].as_str().expect("a text").to_owned()).collect()
}

async fn exported(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/:campaign/codes?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    codes(&answer.body)
}

/// A reply of which nothing was read yet.
async fn begun(api: &Api) -> Response {
    api.request(Method::GET, "/:campaign/codes").send().await.expect("the host answers")
}

/// Two of each status: one that fits most filters, and one that fits few.
async fn six_codes(api: &Api) {
    insert(api, 6, |number| {
        let second = number as i64;
        let mut date = doc! { "saved": at(second) };
        if number >= 2 {
            date.insert("reserved", DateTime::from_millis(DateTime::now().timestamp_millis() - 1000));
        }
        if number >= 4 {
            date.insert("assigned", at(second));
        }
        let code_type = if number % 2 == 0 { "tm" } else { "external" };
        doc! { "type": code_type, "date": date, "reserveId": format!("id-{}", number / 2) }
    })
    .await;
}

#[tokio::test]
async fn each_line_is_a_code_with_all_that_is_known_of_it() {
    let api = Api::shared().await;
    insert(&api, 2, |number| match number {
        0 => doc! { "type": "external", "date": { "saved": at(1), "reserved": at(2) }, "reserveId": "mine" },
        _ => doc! { "type": "tm", "date": { "saved": at(3), "reserved": null }, "reserveId": "old" },
    })
    .await;
    let answer = api.get("/:campaign/codes").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(
        objects(&answer.body),
        [
            json!({
                "code": "A000000", "type": "external", "status": "available", "reserveId": "mine",
                "saved": "2025-06-15T15:06:41.000Z", "reserved": "2025-06-15T15:06:42.000Z",
            }),
            json!({ "code": "A000001", "type": "tm", "status": "available", "saved": "2025-06-15T15:06:43.000Z" }),
        ]
    );
    assert!(answer.body.ends_with('\n'));
    assert_eq!(api.get("/v1/:campaign/codes").await.body, answer.body);
}

#[tokio::test]
async fn csv_has_the_same_columns_behind_their_names() {
    let api = Api::shared().await;
    insert(&api, 2, |number| match number {
        0 => doc! { "type": "tm", "date": { "saved": at(0), "reserved": at(1) }, "reserveId": "a,b" },
        _ => free(1),
    })
    .await;
    let answer = accepting(&api, "text/csv", "").await;
    assert!(answer.header("content-type").starts_with("text/csv"), "{}", answer.header("content-type"));
    assert_eq!(
        answer.body,
        "code,type,status,saved,reserved,assigned,reserveId\n\
         A000000,tm,available,2025-06-15T15:06:40.000Z,2025-06-15T15:06:41.000Z,,\"a,b\"\n\
         A000001,tm,available,2025-06-15T15:06:40.000Z,,,\n"
    );
}

#[tokio::test]
async fn csv_quotes_what_must_be_and_nothing_else() {
    let api = Api::shared().await;
    for code in ["=1+1", "@A", "a b", "a\"b", "a,b", "é"] {
        let document =
            doc! { "_id": { "campaign_id": &api.campaign, "code": code }, "type": "tm", "date": {} };
        api.db.collection("codes").insert_one(document).await.expect("insert");
    }
    let body = accepting(&api, "text/csv", "").await.body;
    let lines: Vec<&str> =
        body.lines().skip(1).map(|line| line.trim_end_matches(",tm,available,,,,")).collect();
    assert_eq!(lines, ["=1+1", "@A", "a b", "\"a\"\"b\"", "\"a,b\"", "é"]);
}

#[tokio::test]
async fn what_was_exported_can_be_saved_again() {
    let api = Api::shared().await;
    api.save(&["A1", "B,2", "C\"3"]).await;
    api.reserve(1).await;
    for accept in ["text/csv", "application/x-ndjson"] {
        let file = accepting(&api, accept, "").await.body;
        let request = api.request(Method::PUT, "/:campaign/codes?type=tm").header("content-type", accept);
        let saved = send(request.body(file)).await.data();
        assert_eq!(saved["count"], json!({ "in": 3, "inserted": 0, "updated": 3 }), "{accept}");
    }
}

#[tokio::test]
async fn a_campaign_without_codes_is_an_empty_export() {
    let api = Api::shared().await;
    let answer = api.get("/:campaign/codes").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let answer = accepting(&api, "text/csv", "").await;
    assert_eq!(answer.body, "code,type,status,saved,reserved,assigned,reserveId\n");
}

#[tokio::test]
async fn the_form_is_the_one_that_the_caller_likes_best() {
    let api = Api::shared().await;
    for (accept, form) in [
        ("*/*", "application/x-ndjson"),
        ("application/*", "application/x-ndjson"),
        ("Application/X-NDJSON", "application/x-ndjson"),
        ("text/*", "text/csv"),
        ("text/html, text/csv;q=0.9, */*;q=0.1", "text/csv"),
        ("text/csv;q=0.5, application/x-ndjson; q=0.8", "application/x-ndjson"),
        ("application/x-ndjson;q=0, */*", "text/csv"),
    ] {
        let answer = accepting(&api, accept, "").await;
        assert!(
            answer.header("content-type").starts_with(form),
            "{accept}: {}",
            answer.header("content-type")
        );
    }
    for accept in ["application/json", "text/html", "text/csv;q=0"] {
        accepting(&api, accept, "").await.error(406, "notAcceptable");
    }
}

#[tokio::test]
async fn every_filter_keeps_what_fits_it() {
    let api = Api::shared().await;
    six_codes(&api).await;
    let second = |second: i64| at(second).try_to_rfc3339_string().expect("a year of four digits");
    let hour_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_600_000);
    let hour_ago = hour_ago.try_to_rfc3339_string().expect("a year of four digits");
    for (query, expected) in [
        ("".to_owned(), vec![0, 1, 2, 3, 4, 5]),
        ("type=tm".to_owned(), vec![0, 2, 4]),
        ("status=available".to_owned(), vec![0, 1]),
        ("status=reserved".to_owned(), vec![2, 3]),
        ("status=assigned".to_owned(), vec![4, 5]),
        ("reserveId=id-1".to_owned(), vec![2, 3]),
        // What is not reserved carries no id.
        ("reserveId=id-0".to_owned(), vec![]),
        (format!("savedSince={}", second(2)), vec![2, 3, 4, 5]),
        (format!("savedBefore={}", second(2)), vec![0, 1]),
        (format!("savedSince={}&savedBefore={}", second(1), second(3)), vec![1, 2]),
        ("savedSince=2025-06-15T17:06:42%2B02:00".to_owned(), vec![2, 3, 4, 5]),
        (format!("reservedSince={hour_ago}"), vec![2, 3, 4, 5]),
        (format!("reservedBefore={hour_ago}"), vec![]),
        (format!("assignedSince={}", second(5)), vec![5]),
        (format!("assignedBefore={}", second(5)), vec![4]),
        ("after=A000003".to_owned(), vec![4, 5]),
        ("type=tm&status=assigned&reserveId=id-2&after=A000001".to_owned(), vec![4]),
    ] {
        assert_eq!(exported(&api, &query).await, names(expected), "{query}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_query_is_said() {
    let api = Api::quiet().await;
    let get = |query: &str| api.request(Method::GET, &format!("/:campaign/codes?{query}"));
    api.refused(get("type=nope"), 400, "invalidType").await;
    api.refused(get("status=gone"), 400, "invalidStatus").await;
    let long = "x".repeat(257);
    for (query, field) in [
        (format!("reserveId={long}"), "reserveId"),
        (format!("after={long}"), "after"),
        ("savedSince=yesterday".to_owned(), "savedSince"),
        ("savedBefore=2025-06-15".to_owned(), "savedBefore"),
        ("reservedSince=2025-06-15T12:00:00".to_owned(), "reservedSince"),
        // A + that is not escaped is a space.
        ("reservedBefore=2025-06-15T12:00:00+02:00".to_owned(), "reservedBefore"),
        ("assignedSince=1750000000".to_owned(), "assignedSince"),
        ("assignedBefore=x".to_owned(), "assignedBefore"),
        ("savedsince=2025-06-15T12:00:00Z".to_owned(), "savedsince"),
        ("after=A&after=B".to_owned(), "after"),
        // Of a script whose variable is not set.
        ("type=tm&reserveId=".to_owned(), "reserveId"),
    ] {
        assert_eq!(api.refused(get(&query), 400, "invalid_argument").await["field"], field, "{query}");
    }
}

#[tokio::test]
async fn over_http_1_0_where_nobody_could_tell_that_it_was_cut_there_is_no_export() {
    let api = Api::quiet().await;
    let request = api.request(Method::GET, "/:campaign/codes").version(Version::HTTP_10);
    send(request).await.error(505, "httpVersion");
}

#[tokio::test]
async fn what_has_no_text_for_a_code_is_passed_over() {
    let api = Api::shared().await;
    insert(&api, 3, free).await;
    for code in [mongodb::bson::Bson::Null, 7.into()] {
        let document =
            doc! { "_id": { "campaign_id": &api.campaign, "code": code }, "type": "tm", "date": {} };
        api.db.collection("codes").insert_one(document).await.expect("insert");
    }
    assert_eq!(exported(&api, "").await, names(0..3));
    assert_eq!(exported(&api, "type=tm").await, names(0..3));
}

#[tokio::test]
async fn who_is_not_supreme_gets_no_codes() {
    let api = Api::quiet().await;
    let request = api.anonymous(Method::GET, "/:campaign/codes");
    api.refused(request, 403, "supremeUserRequired").await;
}

#[tokio::test]
async fn the_methods_of_the_path_are_named() {
    let answer = send(Api::quiet().await.request(Method::DELETE, "/seeded/codes")).await;
    let mut allowed: Vec<&str> = answer.header("allow").split(',').collect();
    allowed.sort();
    assert_eq!((answer.status, allowed), (405, vec!["GET", "HEAD", "POST", "PUT"]));
}

#[tokio::test]
async fn an_export_that_was_cut_goes_on_behind_its_last_code() {
    let api = Api::start(|host| host).await;
    insert(&api, 2_000, free).await;
    let whole = exported(&api, "").await;
    assert!(whole == names(0..2_000));
    let rest = exported(&api, &format!("after={}", whole[776])).await;
    assert!(rest == whole[777..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_exact_while_others_reserve() {
    let api = Api::start(|host| host).await;
    insert(&api, 20_000, free).await;
    let reserve = async {
        let mut reserved = 0;
        while reserved < 5_000 {
            reserved += api.reserve(250).await.len();
        }
    };
    let export = async {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(exported(&api, "").await);
        }
        all
    };
    let (_, all) = tokio::join!(reserve, export);
    assert!(all.iter().all(|found| *found == names(0..20_000)));
    assert_eq!(exported(&api, "status=reserved").await.len(), 5_000);
}

#[tokio::test]
async fn whoever_takes_gzip_gets_it() {
    let api = Api::shared().await;
    insert(&api, 1_000, free).await;
    let request = api.request(Method::GET, "/:campaign/codes");
    let packed = request.header("accept-encoding", "gzip").send().await.expect("the host answers");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.expect("whole");
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < 20_000, "{}", packed.len());
}

#[tokio::test]
async fn an_export_of_any_length_takes_little_memory() {
    const CODES: usize = 300_000;
    const MOST_KIB: u64 = 48 << 10;
    let api = Api::start(|host| host).await;
    insert(&api, CODES, free).await;
    // Whatever a first export needs.
    exported(&api, "after=A299000").await;
    let before = api.host.peak_rss_kib();
    let (mut lines, mut bytes) = (0, begun(&api).await.bytes_stream());
    while let Some(piece) = bytes.try_next().await.expect("whole") {
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, CODES);
    let grown = api.host.peak_rss_kib() - before;
    assert!(grown < MOST_KIB, "{grown} KiB");
}

/// The cursors on the codes that nobody waits for at this moment.
async fn open_cursors(api: &Api) -> Vec<i64> {
    let stages = [
        doc! { "$currentOp": { "idleCursors": true } },
        doc! { "$match": { "type": "idleCursor", "ns": format!("{}.codes", api.db.name()) } },
    ];
    let found = api.db.client().database("admin").aggregate(stages).await.expect("the server says so");
    let found: Vec<Document> = found.try_collect().await.expect("the server says so");
    let id = |found: &Document| found.get_document("cursor").expect("a cursor").get_i64("cursorId");
    found.iter().map(|found| id(found).expect("an id")).collect()
}

/// How the export ended that the host has logged.
fn outcome(api: &Api) -> Value {
    api.host.wait_for_line("its end is there", |line| line["message"] == "an export has ended")
}

#[tokio::test]
async fn an_export_whose_caller_goes_away_lets_go_of_its_cursor() {
    let api = Api::start(|host| host).await;
    insert(&api, MANY, free).await;
    let reply = begun(&api).await;
    until("the export waits for its reader", async || open_cursors(&api).await.len() == 1).await;
    drop(reply);
    until("the cursor is closed", async || open_cursors(&api).await.is_empty()).await;
    assert_eq!(outcome(&api)["outcome"], "left");
}

#[tokio::test]
async fn the_end_of_an_export_is_in_the_log_and_no_code_is() {
    let api = Api::start(|host| host).await;
    insert(&api, 3, free).await;
    let request =
        api.request(Method::GET, "/:campaign/codes?after=A000000").header("x-titan-correlation-id", "c-1");
    assert_eq!(send(request).await.body.lines().count(), 2);
    let line = outcome(&api);
    assert_eq!(
        (&line["outcome"], &line["codes"], &line["correlation"]),
        (&json!("whole"), &json!(2), &json!("c-1"))
    );
    assert!(!api.host.lines().iter().any(|line| line.contains("A00000")));
}

#[tokio::test]
async fn more_exports_than_may_be_are_told_to_come_again() {
    let api = Api::start(|host| host).await;
    insert(&api, MANY, free).await;
    let mut replies = Vec::new();
    for _ in 0..4 {
        replies.push(begun(&api).await);
    }
    let refused = api.get("/:campaign/codes").await;
    refused.header("retry-after").parse::<u32>().expect("a number");
    refused.error(503, "unavailable");
    // Others are not held up by exports.
    assert_eq!(api.reserve(1).await.len(), 1);
    drop(replies.pop());
    until("there is a place again", async || api.get("/:campaign/codes?after=B").await.status == 200).await;
}

/// A host on a server of the test's own.
pub(crate) async fn on_a_server() -> (Api, Mongod) {
    on_a_server_with(|host| host).await
}

/// The same with another host.
pub(crate) async fn on_a_server_with(change: impl FnOnce(Builder) -> Builder) -> (Api, Mongod) {
    let server = tokio::task::spawn_blocking(Mongod::start).await.expect("starts");
    let uri = format!("{}&serverSelectionTimeoutMS=1000", server.uri_for("test"));
    create_indexes(&uri).await;
    let client = mongodb::Client::with_uri_str(&uri).await.expect("our own connection string");
    (Api::of(change(builder(&uri)).start(), client.database("test")), server)
}

#[tokio::test]
async fn an_export_whose_database_goes_away_and_stays_away_is_visibly_cut() {
    let (api, mut server) = on_a_server().await;
    insert(&api, MANY, free).await;
    let mut bytes = begun(&api).await.bytes_stream();
    bytes.next().await.expect("it has begun").expect("it has begun");
    server.stop();
    let end = bytes.try_for_each(|_| async { Ok(()) }).await;
    end.expect_err("it is not whole");
    assert_eq!(outcome(&api)["outcome"], "failed");
    api.get("/:campaign/codes").await.error(503, "unavailable");
}

#[tokio::test]
async fn an_export_whose_cursor_is_killed_is_whole_all_the_same() {
    let api = Api::start(|host| host).await;
    insert(&api, MANY, free).await;
    let reply = begun(&api).await;
    let mut open = Vec::new();
    until("it has a cursor", async || {
        open = open_cursors(&api).await;
        !open.is_empty()
    })
    .await;
    let kill = doc! { "killCursors": "codes", "cursors": open };
    let killed = api.db.run_command(kill).await.expect("kills");
    assert_eq!(killed.get_array("cursorsKilled").expect("a list").len(), 1);
    assert!(codes(&reply.text().await.expect("whole")) == names(0..MANY));
}

#[tokio::test]
async fn a_search_that_finds_nothing_for_long_is_not_silent() {
    const LONG: Duration = Duration::from_secs(28);
    let (api, _server) = on_a_server().await;
    insert(&api, 1, free).await;
    let how = doc! {
        "failCommands": ["find"], "appName": "code-service", "namespace": "test.codes",
        "blockConnection": true, "blockTimeMS": LONG.as_millis() as i32,
    };
    let fail = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": how };
    api.db.client().database("admin").run_command(fail).await.expect("test commands are enabled");
    let body = begun(&api).await.text().await.expect("whole");
    let empty = body.lines().take_while(|line| line.is_empty()).count();
    assert_eq!((empty, codes(body.trim_start())), (1, names([0])), "{body}");
}
