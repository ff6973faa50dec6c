//! The sidecar's configuration: every line that a host logs is passed on once, while the file is renamed.
//!
//! A real Fluentd runs it where one is installed. No registry that this repository is built from has one, so elsewhere
//! a small follower does, which takes its settings from the same file and keeps to the same rules.

mod follower;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use code_service_tests::supervised::{Supervised, wait_until};
use code_service_tests::{Database, Host, Keys, database, fresh_database};
use serde_json::Value;

use follower::Follower;
use settings::read;

/// A wave of calls fills no file, so that at most one is renamed in it.
const WAVE: usize = 12;
const WAVES: usize = 8;
const MAX_BYTES: u64 = 6_000;
const PATIENCE: Duration = Duration::from_secs(30);
const VARIABLES: &[(&str, &str)] = &[("ENVIRONMENT", "qa"), ("HOSTNAME", "pod-1")];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy")
}

fn configuration() -> String {
    std::fs::read_to_string(deploy().join("fluentd/fluent.conf")).expect("it is there")
}

/// Whoever passes lines on.
enum Sidecar {
    Fluentd(Supervised),
    Ours(Follower),
}

impl Sidecar {
    /// With the configuration as it is, but for the volume, which is this folder.
    fn start(logs: &Path) -> Sidecar {
        let text = configuration().replace("/logs/", &format!("{}/", logs.display()));
        if Command::new("fluentd").arg("--version").output().is_err() {
            return Sidecar::Ours(Follower::start(&read(&text), VARIABLES));
        }
        let file = logs.join("fluent.conf");
        std::fs::write(&file, text).expect("ours");
        let mut command = Command::new("fluentd");
        command.arg("--no-supervisor").arg("-q").arg("-c").arg(&file);
        command.envs(VARIABLES.iter().copied());
        let mut process = Supervised::new(&command, None);
        process.start();
        Sidecar::Fluentd(process)
    }

    /// The records that it has passed on.
    fn records(&self) -> Vec<Value> {
        match self {
            Sidecar::Fluentd(process) => {
                // Its own words are no JSON.
                process.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
            }
            Sidecar::Ours(follower) => follower.records(),
        }
    }

    /// Asks it to end, and takes what it has passed on.
    fn stop(mut self) -> Vec<Value> {
        match &mut self {
            Sidecar::Fluentd(process) => {
                process.signal("TERM");
                process.wait(PATIENCE).expect("it ends");
            }
            Sidecar::Ours(follower) => follower.stop(),
        }
        match self {
            Sidecar::Fluentd(process) => {
                let said = process.finish().stdout;
                said.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
            }
            Sidecar::Ours(follower) => follower.records(),
        }
    }
}

async fn logging(test: &Database, file: &Path) -> Host {
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &test.uri)]);
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &test.uri)
        .env("TITAN_JWT__PUBLIC_KEY", &Keys::generate().public)
        .env("TITAN_LOG__FILE", file)
        .env("TITAN_LOG__MAX_BYTES", MAX_BYTES.to_string());
    host.start()
}

async fn call(host: &Host, id: &str) {
    let call = reqwest::Client::new().get(host.url("/dev/auth")).header("x-titan-correlation-id", id);
    call.send().await.expect("the host answers");
}

fn number_of(records: &[Value], id: &str) -> usize {
    records.iter().filter(|record| record["correlation"] == id).count()
}

#[tokio::test]
async fn every_line_is_passed_on_once_while_files_are_renamed_and_the_sidecar_is_started_again() {
    let test = database().await;
    let logs = std::env::temp_dir().join(format!("code-service-logs-{}", fresh_database()));
    std::fs::create_dir_all(&logs).expect("a writable temporary folder");
    let mut host = logging(&test, &logs.join("titan.log")).await;
    // It had something to say before anybody followed.
    let mut sidecar = Sidecar::start(&logs);
    let mut records: Vec<Value> = Vec::new();
    for wave in 0..WAVES {
        for number in 0..WAVE {
            call(&host, &format!("call-{wave}-{number}")).await;
        }
        let last = format!("call-{wave}-{}", WAVE - 1);
        wait_until("the wave is passed on", PATIENCE, || number_of(&sidecar.records(), &last) > 0);
        if wave == WAVES / 2 {
            // What is in a file that is renamed while nobody follows it stays there: this one has room.
            let mut number = WAVE;
            while std::fs::metadata(logs.join("titan.log")).expect("the host writes it").len() > MAX_BYTES / 2
            {
                call(&host, &format!("call-{wave}-{number}")).await;
                number += 1;
            }
            records.extend(sidecar.stop());
            call(&host, "call-unfollowed").await;
            sidecar = Sidecar::start(&logs);
            let again = "what was written meanwhile is passed on";
            wait_until(again, PATIENCE, || number_of(&sidecar.records(), "call-unfollowed") > 0);
        }
    }
    assert_eq!(host.stop(), 0);
    // What it said last is there when the sidecar is asked to end right after it, as in a pod.
    records.extend(sidecar.stop());

    let renamed = ["titan.log.1", "titan.log.2", "titan.log.3"].map(|name| logs.join(name).exists());
    std::fs::remove_dir_all(&logs).expect("ours");
    assert_eq!(renamed, [true; 3], "more files were renamed than are kept");
    let mut passed: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        let id = record["correlation"].as_str().map_or_else(|| record["message"].to_string(), str::to_owned);
        *passed.entry(id).or_default() += 1;
        let names = ["service", "environment", "product", "pod"].map(|name| record[name].as_str());
        assert_eq!(names, ["code-srvc", "qa", "prd1541", "pod-1"].map(Some), "{record}");
        assert!(record["@timestamp"].is_string() && record["level"].is_string(), "{record}");
    }
    let mut wanted: Vec<String> =
        (0..WAVES).flat_map(|wave| (0..WAVE).map(move |number| format!("call-{wave}-{number}"))).collect();
    wanted.extend(["call-unfollowed", "\"listening\"", "\"stopping\""].map(str::to_owned));
    for id in wanted {
        assert_eq!(passed.get(&id), Some(&1), "{id}");
    }
}

#[test]
fn the_file_that_is_followed_is_the_one_that_the_host_writes() {
    let config = read(&configuration());
    let tail = config.child("source");
    let host = std::fs::read_to_string(deploy().join("../config/default.yaml")).expect("it is there");
    let path = tail.value("path");
    assert!(host.contains(&format!("file: {path}\n")), "the host writes another file than {path}");
    // A pattern would match renamed files, too, and pass their lines on again.
    assert!(!path.contains('*'), "{path}");
    assert_eq!(tail.value("read_from_head"), "true");
    let renamed = |name: &str| {
        let rest = name.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let buffer = config.all("match").find(|section| section.argument == "titan").expect("a way out");
    for name in [tail.value("pos_file"), buffer.child("buffer").value("path")] {
        assert!(name.starts_with("/logs/"), "{name} is not on the volume");
        assert!(!renamed(name), "the host renames its file to {name}");
    }
}

#[test]
fn what_is_written_on_the_volume_fits_it() {
    let config = read(&configuration());
    let buffer = config.all("match").find(|section| section.argument == "titan").expect("a way out");
    let buffer = buffer.child("buffer");
    let mebibytes = |text: &str| text.trim_end_matches('m').parse::<u64>().expect("so many m");
    // The host's own: titan.log.maxBytes and titan.log.keep.
    let files = 4 * 100;
    assert!(mebibytes(buffer.value("total_limit_size")) + files < 1024);
    // Full means wait, not throw away; and what cannot be sent is tried for ever.
    assert_eq!(buffer.value("overflow_action"), "block");
    assert_eq!(buffer.value("retry_forever"), "true");
}
