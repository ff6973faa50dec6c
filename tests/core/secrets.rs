//! What an error, a log or a debug print may show: never a code, never the driver's words.

use std::error::Error as _;
use std::io;

use code_service::{Code, CodeService, Error, Options, Rows};
use futures_util::{TryStreamExt, stream};
use mongodb::bson::doc;

use crate::support::*;

/// A code that no error may show.
const SECRET: &str = "SECRET-4711";

/// All that a log could make of an error: its text, its debug form, and those of its sources.
fn everything(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    text
}

fn assert_silent(error: &Error) {
    let text = everything(error);
    assert!(!text.contains(SECRET), "{text}");
    for word in ["E11000", "dup key", "Error { kind", "WriteError", "CommandError", "errmsg"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

/// A ground whose server refuses every document but those of a rule that none keeps.
async fn refusing_ground() -> Ground {
    let ground = Ground::new(0).await;
    ground.save(vec![SECRET.to_owned()]).await;
    let rule = doc! { "collMod": "codes", "validator": { "never": true } };
    ground.test.db.run_command(rule).await.expect("a rule can be set");
    ground
}

#[tokio::test]
async fn a_code_that_cannot_be_parsed_is_told_by_its_place() {
    let error = Code::parse_all([format!("{SECRET}\n")]).expect_err("a control character");
    assert_silent(&error);
    assert!(error.to_string().starts_with("codes[0]: "), "{error}");
}

#[tokio::test]
async fn a_save_that_the_server_refuses_shows_no_code() {
    let ground = refusing_ground().await;
    for rows in [vec![format!("{SECRET}-NEW")], vec![SECRET.to_owned()], vec![SECRET.into(), "B".into()]] {
        let error = ground.service.save(&campaign(), &tm(), Rows::codes(rows)).await.expect_err("refused");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn a_reserve_that_the_server_refuses_shows_no_code() {
    let ground = refusing_ground().await;
    assert_silent(&ground.reserve(1).await.expect_err("refused"));
    assert_silent(&ground.service.reserve(wish_under("mine", 1)).await.expect_err("refused"));
}

#[tokio::test]
async fn an_assign_or_release_that_the_server_refuses_shows_no_code() {
    let ground = Ground::new(0).await;
    ground.save(vec![SECRET.to_owned()]).await;
    ground.reserve(1).await.expect("available");
    let rule = doc! { "collMod": "codes", "validator": { "never": true } };
    ground.test.db.run_command(rule).await.expect("a rule can be set");
    let assigned = ground.service.assign(&campaign(), codes([SECRET]), None).await;
    assert_silent(&assigned.expect_err("refused"));
    let released = ground.service.release(&campaign(), codes([SECRET]), None).await;
    assert_silent(&released.expect_err("refused"));
}

#[tokio::test]
async fn a_stored_thing_that_is_no_code_is_not_shown() {
    let ground = Ground::new(0).await;
    ground.insert(SECRET, doc! { "date": { "saved": SECRET } }).await;
    assert_silent(&ground.service.find(&campaign(), &code(SECRET)).await.expect_err("no type"));
    let export = ground.service.export(&campaign(), code_service::Export::default());
    assert_silent(&export.try_collect::<Vec<_>>().await.expect_err("no type"));
}

#[tokio::test]
async fn an_upload_that_breaks_off_shows_no_code() {
    let ground = Ground::new(0).await;
    let broken = stream::iter([Ok(format!("{SECRET}\n")), Err(io::Error::other("the line is cut"))]);
    let error = ground.service.save(&campaign(), &tm(), Rows::csv(broken)).await.expect_err("it broke");
    assert_silent(&error);
    assert!(everything(&error).contains("the line is cut"), "what the source said is for the log");
}

#[tokio::test]
async fn too_few_codes_are_told_in_numbers_only() {
    let ground = Ground::new(0).await;
    ground.save(vec![SECRET.to_owned()]).await;
    let error = ground.reserve(2).await.expect_err("there is one");
    assert_silent(&error);
    assert_eq!(error.to_string(), "not enough codes: wanted 2, available 1");
}

#[tokio::test]
async fn a_debug_print_of_an_answer_shows_no_code() {
    let ground = Ground::new(0).await;
    ground.save(vec![SECRET.to_owned()]).await;
    let reservation = ground.reserve(1).await.expect("available");
    let id = &reservation.reserve_id;
    let stored = ground.find(SECRET).await;
    let seen = ground.service.reservation(id).await.expect("looks up").expect("it is there");
    let report = ground.service.assign(&campaign(), codes([SECRET, "OTHER"]), Some(id)).await;
    let mut export = code_service::Export::default();
    export.after = Some(code(SECRET));
    let text = format!("{reservation:?} {stored:?} {seen:?} {report:?} {export:?}");
    assert!(!text.contains(SECRET) && !text.contains("OTHER"), "{text}");
}

#[tokio::test]
async fn a_debug_print_of_the_service_shows_no_password() {
    let ground = Ground::new(0).await;
    let uri = ground.test.uri.replace("mongodb://", "mongodb://me:hunter2@");
    assert!(!format!("{:?}", Options::new(&uri)).contains("hunter2"));
    let mut options = Options::new(format!("{uri}&authMechanism=PLAIN"));
    options.server_selection_timeout = Some(std::time::Duration::from_millis(200));
    let error = CodeService::connect(options).await.expect_err("there is no such user");
    assert!(!everything(&error).contains("hunter2"), "{error:?}");
    // With a password that is accepted it would stand in the client's options.
    assert!(!format!("{:?}", ground.service).contains("password"), "{:?}", ground.service);
}
