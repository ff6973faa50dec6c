//! A database that goes away while the host runs, and comes back.

use code_service_tests::Mongod;
use mongodb::bson::doc;
use reqwest::Method;
use serde_json::json;

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

/// The server takes the next command of this kind and closes the connection instead of a reply.
async fn lose_the_reply(api: &Api, command: &str) {
    let admin = api.db.client().database("admin");
    let fail = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 },
    "data": { "failCommands": [command], "closeConnection": true } };
    admin.run_command(fail).await.expect("test commands are enabled");
}

#[tokio::test]
async fn a_reserve_whose_reply_is_lost_says_under_which_id_to_look() {
    let server = start();
    let api = on(&server).await;
    api.save(&["A1", "A2"]).await;

    lose_the_reply(&api, "update").await;
    let answer = api.get("/:campaign/reserve?count=1&type=tm").await;
    let error = answer.error(503, "outcome_unknown");
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    let id = error["reserveId"].as_str().expect("an id to ask about");
    // The fail point closes before it runs the command: nothing is held under the id.
    assert_eq!(api.get(&format!("/:campaign/reservations/{id}")).await.status, 404);
    assert_eq!(api.reserve(2).await.len(), 2);
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_gives_the_codes_when_it_is_repeated() {
    let server = start();
    let api = on(&server).await;
    api.save(&["A1", "A2"]).await;
    let wish = json!({ "type": "tm", "count": 2 });

    lose_the_reply(&api, "update").await;
    let answer = api.put("/:campaign/reservations/mine", wish.clone()).await;
    assert_eq!(answer.error(503, "outcome_unknown")["reserveId"], "mine");
    let again = api.put("/:campaign/reservations/mine", wish).await;
    assert!([200, 201].contains(&again.status), "{}", again.body);
    assert_eq!(again.json()["data"]["count"], 2);
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts, json!({ "available": 0, "reserved": 2, "assigned": 0 }));
}
