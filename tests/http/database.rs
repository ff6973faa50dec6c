//! A database that goes away while the host runs, and comes back.

use code_service_tests::proxy::Commands;
use code_service_tests::{Mongod, Proxy};
use mongodb::bson::{Bson, doc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Api, builder, create_indexes, send, until};

/// A host on a server of the test's own; it looks for a server for a second, not five.
async fn on(server: &Mongod) -> Api {
    let uri = format!("{}&serverSelectionTimeoutMS=1000", server.uri_for("test"));
    create_indexes(&uri).await;
    let client = mongodb::Client::with_uri_str(&uri).await.expect("our own connection string");
    Api::of(builder(&uri).start(), client.database("test"))
}

fn start() -> Mongod {
    Mongod::start()
}

/// One request of every kind that needs the database.
async fn all_requests(api: &Api) -> Vec<(&'static str, Answer)> {
    let codes = json!({ "codes": ["A1"] });
    let fenced = json!({ "codes": ["A1"], "reserveId": "mine" });
    let wish = json!({ "type": "tm", "count": 1 });
    let key = api.put_in_bucket("tm", "A1\nA2\n");
    let get = |path| api.request(Method::GET, path);
    let post = |path| api.request(Method::POST, path);
    let requests = [
        ("POST codes", post("/:campaign/codes").json(&json!({ "fileKey": key }))),
        ("PUT codes", api.request(Method::PUT, "/:campaign/codes?type=tm").body("A1\nA2\n")),
        ("reserve", get("/:campaign/reserve?count=1&type=tm")),
        ("count", get("/:campaign/codes/count?type=tm")),
        ("assign", post("/:campaign/assign").json(&codes)),
        ("assign with id", post("/:campaign/assign").json(&fenced)),
        ("release", post("/:campaign/release").json(&codes)),
        ("release with id", post("/:campaign/release").json(&fenced)),
        ("PUT reservation", api.request(Method::PUT, "/:campaign/reservations/mine").json(&wish)),
        ("GET reservation", get("/:campaign/reservations/mine")),
        ("recover", post("/:campaign/reservations/mine/recover")),
    ];
    let answers = requests.map(|(name, request)| async move { (name, send(request).await) });
    futures_util::future::join_all(answers).await
}

#[track_caller]
fn is_503(name: &str, answer: &Answer) {
    assert_eq!(answer.status, 503, "{name}: {}", answer.body);
    let payload = answer.json()["error"]["payload"].as_str().expect("a text").to_owned();
    assert!(["unavailable", "outcome_unknown"].contains(&payload.as_str()), "{name}: {payload}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{name}");
}

#[tokio::test]
async fn while_the_database_is_away_replies_are_503_and_afterwards_all_is_well_without_a_restart() {
    let mut server = start();
    let api = on(&server).await;
    api.save(&["A1", "A2", "A3", "A4", "A5"]).await;
    let pid = api.host.pid();

    server.stop();
    let (mut beats, answers) = (Vec::new(), all_requests(&api));
    tokio::pin!(answers);
    let answers = loop {
        // The probe must not wait behind requests that wait for the database.
        beats.push(send(api.anonymous(Method::GET, "/heartbeat")).await.status);
        let pause = std::time::Duration::from_millis(50);
        if let Ok(answers) = tokio::time::timeout(pause, &mut answers).await {
            break answers;
        }
    };
    assert!(beats.iter().all(|status| *status == 200) && beats.len() > 3, "{beats:?}");
    for (name, answer) in &answers {
        is_503(name, answer);
        for leak in ["127.0.0.1", "Connection refused", "Server selection", "Kind"] {
            assert!(!answer.body.contains(leak), "the driver's words are not for callers: {}", answer.body);
        }
    }
    assert_eq!(api.get("/metrics").await.status, 200);

    server.start_again();
    until("the host serves again", async || api.get("/:campaign/codes/count?type=tm").await.status == 200)
        .await;
    assert_eq!(api.reserve(1).await.len(), 1);
    for (name, answer) in all_requests(&api).await {
        assert!(answer.status < 500, "{name}: {}", answer.body);
    }
    assert_eq!(api.host.pid(), pid);
    assert!(api.host.stderr().is_empty(), "{:?}", api.host.stderr());
}

/// Lets the server close the connection instead of a reply to commands of the host.
async fn fail(api: &Api, mode: impl Into<Bson>, command: &str) {
    let how = doc! { "failCommands": [command], "appName": "code-service", "namespace": "test.codes",
    "closeConnection": true };
    let fail = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": how };
    api.db.client().database("admin").run_command(fail).await.expect("test commands are enabled");
}

async fn counts(api: &Api) -> Value {
    api.get("/:campaign/codes/count?type=tm").await.data()
}

#[tokio::test]
async fn a_reserve_whose_reply_is_lost_is_answered_all_the_same() {
    let server = start();
    let api = on(&server).await;
    api.save(&["A1", "A2"]).await;

    fail(&api, doc! { "times": 1 }, "update").await;
    let data = api.get("/:campaign/reserve?count=1&type=tm").await.data();
    let id = data["reserveId"].as_str().expect("a text");
    let held = api.get(&format!("/:campaign/reservations/{id}")).await.data();
    assert_eq!(held["codes"], json!([{ "code": data["codes"][0], "status": "reserved" }]));
    // The fail point closes before it runs the command: the service has sent another one.
    assert_eq!(counts(&api).await, json!({ "available": 1, "reserved": 1, "assigned": 0 }));
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_is_answered_all_the_same() {
    let server = start();
    let api = on(&server).await;
    api.save(&["A1", "A2"]).await;
    let wish = json!({ "type": "tm", "count": 2 });

    fail(&api, doc! { "times": 1 }, "update").await;
    let answer = api.put("/:campaign/reservations/mine", wish.clone()).await;
    assert_eq!((answer.status, &answer.json()["data"]["count"]), (201, &json!(2)), "{}", answer.body);
    let again = api.put("/:campaign/reservations/mine", wish).await;
    assert_eq!(again.data()["count"], 2);
    assert_eq!(counts(&api).await, json!({ "available": 0, "reserved": 2, "assigned": 0 }));
}

/// A host with a code reserved and many left, whose next reserve is carried out: but the reply is lost, and after
/// so many looks at the codes all others fail, so that nobody can tell.
async fn out_of_sight(server: &Mongod, looks: i32) -> (Api, Proxy) {
    let proxy = Proxy::start(server.port());
    create_indexes(&server.uri_for("test")).await;
    let client = mongodb::Client::with_uri_str(server.uri()).await.expect("our own connection string");
    let uri = format!("mongodb://127.0.0.1:{}/test?directConnection=true", proxy.port());
    let api = Api::of(builder(&uri).start(), client.database("test"));
    // So many that it looks for candidates once now, and need not again before its next reserve.
    let codes: Vec<String> = (0..300).map(|number| format!("A{number}")).collect();
    api.save(&codes.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(api.reserve(1).await.len(), 1);
    proxy.cut_replies(1, Commands::named("update").on("codes"));
    fail(&api, doc! { "skip": looks }, "find").await;
    (api, proxy)
}

/// The id that such a reserve's reply names.
#[track_caller]
fn id_to_recover(answer: &Answer) -> String {
    let error = answer.error(503, "outcome_unknown");
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    assert!(error["message"].as_str().expect("a text").contains("recover its reserveId"), "{error}");
    error["reserveId"].as_str().expect("an id to ask about").to_owned()
}

#[tokio::test]
async fn a_reserve_whose_outcome_cannot_be_found_out_says_which_id_to_recover() {
    let server = start();
    let (api, proxy) = out_of_sight(&server, 0).await;
    let answer = api.get("/:campaign/reserve?count=1&type=tm").await;
    assert_eq!(proxy.hits().cut_replies, 1);
    fail(&api, "off", "find").await;

    let id = id_to_recover(&answer);
    let held = api.recover(&id).await.data();
    assert_eq!((&held["reserveId"], &held["count"]), (&json!(id), &json!(1)));
    assert_eq!(held["codes"][0]["status"], "reserved");
    assert_eq!(counts(&api).await, json!({ "available": 298, "reserved": 2, "assigned": 0 }));
}

#[tokio::test]
async fn a_put_whose_outcome_cannot_be_found_out_holds_nothing_once_it_is_recovered() {
    let server = start();
    // Whether the id is in use already.
    let (api, proxy) = out_of_sight(&server, 1).await;
    let wish = json!({ "type": "tm", "count": 1 });
    let answer = api.put("/:campaign/reservations/mine", wish.clone()).await;
    assert_eq!(proxy.hits().cut_replies, 1);
    fail(&api, "off", "find").await;

    assert_eq!(id_to_recover(&answer), "mine");
    api.recover("mine").await.error(404, "not_found");
    assert_eq!(counts(&api).await, json!({ "available": 299, "reserved": 1, "assigned": 0 }));
    let again = api.put("/:campaign/reservations/mine", wish).await;
    assert_eq!((again.status, &again.json()["data"]["count"]), (201, &json!(1)), "{}", again.body);
}
