//! What a host is told at its start, and what it says when that is wrong.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use code_service_tests::host::{Builder, NotStarted};
use code_service_tests::{Host, Mongod, database};
use mongodb::bson::{Document, doc};

use crate::client::{Api, builder, keys, prepared};

/// A folder that is gone when the test has ended.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("{name}-{}", mongodb::bson::Uuid::new()));
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).expect("the temporary folder is writable");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The one line on standard error of a host that must not start.
#[track_caller]
fn complaint(host: Builder) -> String {
    match host.try_start() {
        Ok(_) => panic!("it started"),
        Err(refused) => sentence(&refused),
    }
}

#[track_caller]
fn sentence(refused: &NotStarted) -> String {
    assert_eq!(refused.said.status, Some(1), "{refused}");
    assert_eq!(refused.said.stderr.len(), 1, "one line: {refused}");
    let line = refused.said.stderr[0].clone();
    assert!(line.starts_with("code-service-host: "), "{line}");
    for noise in ["panicked", "backtrace", "RUST_BACKTRACE", "Error {", "Kind"] {
        assert!(!refused.to_string().contains(noise), "{refused}");
    }
    line
}

/// A host whose database nobody will reach: what is wrong is seen before.
fn nowhere() -> Builder {
    builder("mongodb://127.0.0.1:9/test?replicaSet=rs0")
}

#[test]
fn an_unknown_variable_stops_the_start_with_its_name() {
    for name in ["TITAN_SERVICE__PROT", "TITAN_NOWHERE", "TITAN_MONGO", "TITAN_SERVICE__PORT_FILE"] {
        let line = complaint(nowhere().env(name, "1"));
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn an_unknown_key_of_a_file_stops_the_start_with_its_name() {
    let folder = Folder::new("config");
    folder.write("default.yaml", "titan: {service: {port: 0}}");
    folder.write("local-dev.yaml", "titan: {mongo: {options: {dbNmae: x}}}");
    let line = complaint(nowhere().env("NODE_CONFIG_DIR", &folder.0));
    assert!(line.contains("titan.mongo.options") && line.contains("dbNmae"), "{line}");
}

#[test]
fn a_file_that_is_no_yaml_is_named_and_not_quoted() {
    let folder = Folder::new("config");
    folder.write("default.yaml", "titan: {mongo: {password: hunter2, hostUrls: [}");
    folder.write("local-dev.yaml", "");
    let Err(refused) = nowhere().env("NODE_CONFIG_DIR", &folder.0).try_start() else { panic!("it started") };
    assert!(refused.said.stderr.join("").contains("default.yaml"), "{refused}");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    sentence(&refused);
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new("config");
    folder.write("default.yaml", "");
    let line = complaint(nowhere().env("NODE_CONFIG_DIR", &folder.0));
    assert!(line.contains("local-dev.yaml"), "{line}");
}

#[test]
fn config_dir_can_be_said_on_the_command_line() {
    let folder = Folder::new("config");
    folder.write("default.yaml", "titan: {nonsense: 1}");
    folder.write("local-dev.yaml", "");
    let output = Host::run(&["serve", "--config-dir", text(&folder.0)], &[]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nonsense"), "{said}");
}

#[tokio::test]
async fn a_host_runs_with_a_folder_of_files_and_the_environment_over_them() {
    let test = prepared().await;
    let folder = Folder::new("config");
    folder.write("default.yaml", "titan:\n  service: {port: 1}\n  codes: {types: [gold, silver]}\n");
    folder.write("local-dev.yaml", "titan: {codes: {types: [bronze]}}");
    let api = Api::of(builder(&test.uri).env("NODE_CONFIG_DIR", &folder.0).start(), test.db);
    api.upload("bronze", "A1\n").await.data();
    api.upload("gold", "A1\n").await.error(400, "invalidType");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_by_its_key() {
    for (name, value, key) in [
        ("TITAN_SERVICE__PORT", "many", "titan.service.port"),
        ("TITAN_SERVICE__PORT", "70000", "titan.service.port"),
        ("TITAN_CODES__RESERVATION_TTL", "24", "titan.codes.reservationTtl"),
        ("TITAN_CODES__RESERVATION_TTL", "-1h", "titan.codes.reservationTtl"),
        ("TITAN_JWT__ALLOW_ANON", "perhaps", "titan.jwt.allowAnon"),
        ("TITAN_REPLIES__RESERVE", "list", "titan.replies.reserve"),
        ("TITAN_CODES__TYPES", ",", "titan.codes.types"),
    ] {
        let line = complaint(nowhere().env(name, value));
        assert!(line.contains(key), "{name}={value}: {line}");
    }
}

#[test]
fn a_level_of_the_log_that_does_not_exist_is_named_by_its_key() {
    let line = complaint(nowhere().env("TITAN_LOG__LEVEL", "loud=very"));
    assert!(line.contains("titan.log.level"), "{line}");
}

#[test]
fn a_missing_public_key_is_named_with_the_variable_to_set() {
    let line = complaint(nowhere().env("TITAN_JWT__PUBLIC_KEY", ""));
    assert!(line.contains("titan.jwt.publicKey") && line.contains("TITAN_JWT__PUBLIC_KEY"), "{line}");
}

#[test]
fn a_key_that_is_none_is_named_and_not_shown() {
    let line = complaint(nowhere().env("TITAN_JWT__PUBLIC_KEY", "hunter2"));
    assert!(line.contains("titan.jwt.publicKey") && !line.contains("hunter2"), "{line}");
    let line = complaint(nowhere().env("TITAN_JWT__PRIVATE_KEY", "hunter2"));
    assert!(line.contains("titan.jwt.privateKey") && !line.contains("hunter2"), "{line}");
}

#[test]
fn a_private_key_in_place_of_the_public_one_is_refused() {
    let line = complaint(nowhere().env("TITAN_JWT__PUBLIC_KEY", &keys().private));
    assert!(line.contains("titan.jwt.publicKey"), "{line}");
}

#[test]
fn a_missing_connection_string_is_named_with_the_variable_to_set() {
    let line = complaint(nowhere().env("TITAN_MONGO__URI", ""));
    assert!(line.contains("titan.mongo.uri") && line.contains("TITAN_MONGO__URI"), "{line}");
}

#[test]
fn a_wrong_node_env_is_told_with_the_right_ones() {
    let line = complaint(nowhere().env("NODE_ENV", "production"));
    assert!(line.contains("NODE_ENV") && line.contains("production") && line.contains("prod"), "{line}");
    assert!(line.contains("local-dev"), "{line}");
}

#[tokio::test]
async fn missing_indexes_are_named_with_the_command_that_mends_them() {
    let test = database().await;
    let line = complaint(builder(&test.uri));
    for word in ["_id.campaign_id_-1__id.code_1", "reserveId_-1", "create-indexes"] {
        assert!(line.contains(word), "{line}");
    }
    let output = Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &test.uri)]);
    assert!(output.status.success(), "{output:?}");
    builder(&test.uri).start();
}

#[tokio::test]
async fn a_missing_index_among_others_is_named() {
    let test = prepared().await;
    let codes = test.db.collection::<Document>("codes");
    codes.drop_index("reserveId_-1").await.expect("it was created");
    let line = complaint(builder(&test.uri));
    assert!(line.contains("reserveId_-1") && !line.contains("_id.code_1"), "{line}");
}

#[tokio::test]
async fn a_developer_can_start_without_an_index() {
    let test = prepared().await;
    let codes = test.db.collection::<Document>("codes");
    codes.drop_index("reserveId_-1").await.expect("it was created");
    let host = builder(&test.uri).arg("--unsafe-skip-index-check").start();
    host.wait_for_line("a warning that names the index", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "warn"
            && message.contains("--unsafe-skip-index-check")
            && message.contains("reserveId_-1")
    });
    let api = Api::of(host, test.db);
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200);
}

#[tokio::test]
async fn secrets_can_be_in_files() {
    let test = prepared().await;
    let folder = Folder::new("secrets");
    let file = |name: &str, text: &str| folder.write(name, &format!("{text}\n"));
    let host = Host::builder()
        .env("TITAN_MONGO__URI_FILE", file("uri", &test.uri))
        .env("TITAN_JWT__PUBLIC_KEY_FILE", file("public", &keys().public))
        .env("TITAN_JWT__PRIVATE_KEY_FILE", file("private", &keys().private))
        .env(crate::client::LOCAL_PATH, crate::client::bucket());
    let api = Api::of(host.start(), test.db);
    assert_eq!(api.get("/:campaign/codes/count?type=tm").await.status, 200);
    let wanted = serde_json::json!({ "userId": "me", "isSupreme": true });
    assert_eq!(api.post("/dev/token", wanted).await.status, 200);
}

#[tokio::test]
async fn a_host_runs_with_the_deployed_parts_of_a_connection_string() {
    let test = prepared().await;
    let user = doc! { "createUser": "me", "pwd": "p@ss/w:rd", "roles": ["dbOwner"] };
    test.db.run_command(user).await.expect("a new database");
    let folder = Folder::new("secrets");
    let host = builder("")
        .env("TITAN_MONGO__HOST_URLS", "127.0.0.1")
        .env("TITAN_MONGO__PORT", Mongod::shared().port().to_string())
        .env("TITAN_MONGO__USERNAME", "me")
        .env("TITAN_MONGO__PASSWORD_FILE", folder.write("password", "p@ss/w:rd\n"))
        .env("TITAN_MONGO__OPTIONS__REPLICA_SET", "rs0")
        .env("TITAN_MONGO__OPTIONS__DB_NAME", &test.name)
        .env("TITAN_MONGO__OPTIONS__AUTH_SOURCE", &test.name)
        .env("TITAN_MONGO__OPTIONS__READ_PREFERENCE", "NEAREST");
    let api = Api::of(host.start(), test.db);
    api.save(&["A1"]).await;
    assert_eq!(api.reserve(1).await, ["A1"]);
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let line = complaint(nowhere().env("TITAN_JWT__PUBLIC_KEY_FILE", "/nowhere/key.pem"));
    assert!(line.contains("TITAN_JWT__PUBLIC_KEY_FILE") && line.contains("/nowhere/key.pem"), "{line}");
}

#[tokio::test]
async fn a_key_may_be_on_one_line_with_written_line_breaks() {
    let test = prepared().await;
    let one_line = keys().public.trim_end().replace("\r\n", "\\n").replace('\n', "\\n");
    let api = Api::of(builder(&test.uri).env("TITAN_JWT__PUBLIC_KEY", one_line).start(), test.db);
    assert_eq!(api.get("/dev/supremes").await.status, 200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let api = Api::shared().await;
    let test = prepared().await;
    let port = api.host.port().to_string();
    let line = complaint(builder(&test.uri).env("TITAN_SERVICE__PORT", &port));
    assert!(line.contains(&port), "{line}");
}

#[tokio::test]
async fn a_reservation_lasts_as_long_as_configured() {
    let api = Api::start(|host| host.env("TITAN_CODES__RESERVATION_TTL", "90m")).await;
    api.save(&["A1"]).await;
    let wish = serde_json::json!({ "type": "tm", "count": 1 });
    let data = api.put("/:campaign/reservations/mine", wish).await.json()["data"].take();
    let time = |field: &str| {
        let text = data[field].as_str().expect("a text");
        mongodb::bson::DateTime::parse_rfc3339_str(text).expect("RFC 3339").timestamp_millis()
    };
    assert_eq!(time("expires") - time("reserved"), 90 * 60 * 1000);
}

#[test]
fn a_database_that_is_away_at_start_is_named_in_one_line_within_ten_seconds() {
    let start = Instant::now();
    let line = complaint(builder("mongodb://127.0.0.1:9/test?replicaSet=rs0").env("RUST_BACKTRACE", "1"));
    assert!(start.elapsed() < Duration::from_secs(10), "it took {} s", start.elapsed().as_secs());
    assert!(line.contains("127.0.0.1:9") && line.contains("MongoDB"), "{line}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder of plain letters")
}
