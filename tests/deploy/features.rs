//! The features of examples/host: scenarios that a current Node.js runs against any URL. The host and examples/node
//! pass them, and a service that does not do what they say fails them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use code_service_tests::host::Builder;
use code_service_tests::programs::{npm_ci, succeeds};
use code_service_tests::repository::root;
use code_service_tests::{Host, Keys, Mongod, addon, binary, free_port, fresh_database, keys};
use serde_json::json;

/// A folder of this test's own, which is empty at first.
struct Folder(PathBuf);

/// How cucumber ended, what it said, and what it reported.
struct Run {
    passed: bool,
    said: String,
    report: Option<Report>,
}

/// Scenarios by how they ended, as an XML parser reads the JUnit report.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    scenarios: u32,
    failed: u32,
    skipped: u32,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let target = binary::target_folder().expect("tests run in the target folder");
        let folder = target.join("tmp/features").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the target folder is writable");
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs the features with these variables, none inherited, and these arguments.
    fn run(&self, env: &[(&str, &str)], arguments: &[&str]) -> Run {
        let mut command = Command::new("node_modules/.bin/cucumber-js");
        // Nothing here is between us and the service: what fails once is a fault.
        command.args(["--retry", "0"]).args(arguments).current_dir(features()).env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(env.iter().copied()).env("REPORTS", self.path("reports"));
        let output = command.output().expect("npm has installed it");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        Run { passed: output.status.success(), said, report: self.report() }
    }

    fn report(&self) -> Option<Report> {
        const SCRIPT: &str = "import sys, xml.etree.ElementTree as tree
cases = tree.parse(sys.argv[1]).getroot().findall('testcase')
ended = lambda how: sum(case.find(how) is not None for case in cases)
print(len(cases), ended('failure') + ended('error'), ended('skipped'))";
        let file = self.path("reports/junit.xml");
        if std::fs::metadata(&file).ok()?.len() == 0 {
            return None;
        }
        let said = succeeds(Command::new("python3").args(["-c", SCRIPT, &file]));
        let numbers: Vec<u32> = said.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        Some(Report { scenarios: numbers[0], failed: numbers[1], skipped: numbers[2] })
    }

    /// A host, or another program, whose bucket is in this folder, with its private key beside it.
    fn service(&self, keys: &Keys, change: impl FnOnce(Builder) -> Builder) -> Host {
        std::fs::write(self.path("private.pem"), &keys.private).expect("the target folder is writable");
        let uri = Mongod::shared().uri_for(&fresh_database());
        let made = Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &uri)]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let builder = Host::builder()
            .env("TITAN_MONGO__URI", uri)
            .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
            .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", self.path("bucket"));
        change(builder).start()
    }
}

impl Run {
    /// Every scenario passed, at least so many of them.
    #[track_caller]
    fn passes(&self, what: &str, at_least: u32) {
        assert!(self.passed, "{what}\n{}", self.said);
        let Report { scenarios, failed, skipped } = self.report.as_ref().expect("a report is written");
        assert_eq!((*failed, *skipped), (0, 0), "{what}\n{}", self.said);
        assert!(*scenarios >= at_least, "{what}: only {scenarios}\n{}", self.said);
        let summary = self.said.lines().find(|line| line.contains(" scenarios ("));
        println!("{what}: {}", summary.expect("cucumber says how many there were"));
    }
}

/// The folder of the features, with what they need.
fn features() -> &'static Path {
    static FEATURES: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = root().join("examples/host/features");
        npm_ci(&folder);
        folder
    });
    &FEATURES
}

#[test]
fn the_host_passes() {
    let (folder, keys) = (Folder::new("host"), Keys::generate());
    let host = folder.service(&keys, |host| host.env("TITAN_JWT__PRIVATE_KEY", &keys.private));
    let run = folder.run(
        &[
            ("BASE_URL", &host.url("")),
            ("JWT_PRIVATE_KEY_FILE", &folder.path("private.pem")),
            ("BUCKET_PATH", &folder.path("bucket")),
        ],
        &[],
    );
    run.passes("the host", 180);
    assert!(std::fs::metadata(folder.path("reports/report.html")).is_ok_and(|file| file.len() > 100_000));
}

#[test]
fn the_host_makes_the_tokens_where_none_are_given() {
    let (folder, keys) = (Folder::new("dev-token"), Keys::generate());
    let host = folder.service(&keys, |host| host.env("TITAN_JWT__PRIVATE_KEY", &keys.private));
    let run = folder.run(&[("BASE_URL", &host.url(""))], &["--tags", "@count or @supremes"]);
    run.passes("the host, with tokens of its own", 25);
}

#[test]
fn a_host_as_in_production_passes_what_is_run_after_a_deployment() {
    let (folder, keys) = (Folder::new("post-deploy"), Keys::generate());
    let host = folder.service(&keys, |host| {
        host.env("TITAN_DEV_ENDPOINTS__ENABLED", "false").env("TITAN_JWT__ALLOW_ANON", "false")
    });
    let mut claims = keys::claims();
    claims["isSupreme"] = json!(false);
    let run = folder.run(
        &[
            ("BASE_URL", &host.url("")),
            ("SUPREME_TOKEN", &keys.supreme()),
            ("USER_TOKEN", &keys.sign(&claims)),
            ("BUCKET_PATH", &folder.path("bucket")),
            ("DEV_ENDPOINTS", "false"),
            ("ALLOW_ANON", "false"),
        ],
        &["--profile", "post-deploy"],
    );
    run.passes("a host as in production", 150);
}

#[test]
fn reservations_of_the_host_expire() {
    let (folder, keys) = (Folder::new("expiry"), Keys::generate());
    let host = folder.service(&keys, |host| host.env("TITAN_CODES__RESERVATION_TTL", "4s"));
    let run = folder.run(
        &[
            ("BASE_URL", &host.url("")),
            ("JWT_PRIVATE_KEY_FILE", &folder.path("private.pem")),
            ("RESERVATION_TTL", "4"),
        ],
        &["--profile", "expiry"],
    );
    run.passes("a host whose reservations expire", 3);
}

#[test]
fn the_node_example_passes_on_node_12() {
    let (folder, keys) = (Folder::new("node"), Keys::generate());
    let modules = folder.0.join("node_modules");
    addon::install(&modules);
    let program = addon::example(&modules, &folder.0.join("example"));
    let example = |ttl: &'static str| {
        folder.service(&keys, |host| {
            let host = host.program(&program).env("TITAN_CODES__RESERVATION_TTL", ttl);
            host.env("TITAN_JWT__PRIVATE_KEY", &keys.private)
        })
    };
    let [key, bucket] = ["private.pem", "bucket"].map(|name| folder.path(name));

    let service = example("24h");
    let url = service.url("");
    let env = [("BASE_URL", &*url), ("JWT_PRIVATE_KEY_FILE", &key), ("BUCKET_PATH", &bucket)];
    // It does not describe itself.
    folder.run(&env, &["--tags", "not @openapi"]).passes("examples/node", 180);

    let service = example("4s");
    let url = service.url("");
    let env = [("BASE_URL", &*url), ("JWT_PRIVATE_KEY_FILE", &key), ("RESERVATION_TTL", "4")];
    folder.run(&env, &["--profile", "expiry"]).passes("examples/node whose reservations expire", 3);
}

#[test]
fn a_service_that_is_not_there_fails_them_within_the_deadline_and_they_say_why() {
    let (folder, start) = (Folder::new("not-there"), Instant::now());
    features();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let run = folder.run(&[("BASE_URL", &nobody), ("READY_TIMEOUT", "2")], &[]);
    assert!(!run.passed);
    let why = format!("{nobody} is not ready after 2 s: GET /heartbeat: ECONNREFUSED");
    assert!(run.said.contains(&why), "{}", run.said);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_service_that_reserves_otherwise_fails_them() {
    let (folder, keys) = (Folder::new("otherwise"), Keys::generate());
    let host = folder.service(&keys, |host| host.env("TITAN_REPLIES__RESERVE", "array"));
    let run = folder.run(
        &[("BASE_URL", &host.url("")), ("JWT_PRIVATE_KEY_FILE", &folder.path("private.pem"))],
        &["--tags", "@reserve and not @slow"],
    );
    assert!(!run.passed, "{}", run.said);
    let failed = "Scenario: Codes are given with the id that they are held under";
    assert!(run.said.contains(failed), "{}", run.said);
    // Those under an id of the caller's own have nothing to do with it.
    let report = run.report.expect("a report is written");
    assert!(report.failed >= 5 && report.scenarios > report.failed, "{report:?}");
}
