//! What a platform does with the host: a real Prometheus scrapes it, rules and dashboards name what it measures, a real
//! collector gets its spans.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use code_service_tests::free_port;
use code_service_tests::supervised::Supervised;
use serde_json::Value;

use crate::client::{Api, until};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy")
}

/// The names of metrics in an expression of PromQL, as the host's families are called.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = ["http_", "code_service_", "mongodb_", "process_", "log_"];
    words
        .filter(move |word| ours.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
}

/// A host that has done everything that is measured.
async fn busy() -> Api {
    let pool = "watched/tm";
    let api =
        Api::start(|host| host.env("TITAN_METRICS__POOLS", pool).env("TITAN_METRICS__POOL_INTERVAL", "1s"))
            .await;
    api.upload("tm", "A1\nA2\nA3\n").await.data();
    let reserved = api.get("/:campaign/reserve?count=9&type=tm").await.data();
    assert_eq!(reserved["codes"].as_array().map(Vec::len), Some(3));
    until("the pool is counted", async || {
        api.get("/metrics").await.body.contains("code_service_pool_empty_in_seconds{campaign=\"watched\"")
    })
    .await;
    api
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let api = busy().await;
    let text = api.get("/metrics").await.body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    // The dashboards know this name, which Prometheus would not give to a counter.
    let complaints: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("http_request_count ")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(said.contains("http_request_count"), "promtool looks at all: {said:?}");
}

#[tokio::test]
async fn what_the_host_has_done_is_counted() {
    let api = busy().await;
    let text = api.get("/metrics").await.body;
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().expect("a number")
    };
    assert_eq!(value("code_service_codes_total{operation=\"inserted\"}"), 3.0);
    assert_eq!(value("code_service_codes_total{operation=\"reserved\"}"), 3.0);
    assert_eq!(value("code_service_codes_total{operation=\"assigned\"}"), 0.0);
    assert_eq!(value("code_service_short_answers_total"), 1.0);
    assert_eq!(value("code_service_claim_batch_codes_sum"), 3.0);
    assert_eq!(value("code_service_claim_conflicts_total"), 0.0);
    assert_eq!(value("code_service_available_codes{campaign=\"watched\",type=\"tm\"}"), 0.0);
    assert!(value("mongodb_command_duration_seconds_count{command=\"update\",outcome=\"ok\"}") >= 1.0);
    assert!(value("mongodb_connections") >= 1.0);
}

#[tokio::test]
async fn rules_and_dashboard_name_only_what_the_host_measures() {
    let api = busy().await;
    let text = api.get("/metrics").await.body;
    let measured: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let read = |name: &str| std::fs::read_to_string(deploy().join(name)).expect("it is there");
    let dashboard: Value = serde_json::from_str(&read("grafana/code-service.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut expressions: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("an expression").to_owned())
        .collect();
    assert!(expressions.len() > 15, "{}", expressions.len());
    // All of a rule's words: its text names no metrics.
    expressions.push(read("prometheus/alerts.yaml"));
    for expression in &expressions {
        for name in names(expression) {
            assert!(measured.contains(name), "{name} in {expression}");
        }
    }
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let folder = deploy().join("prometheus");
    for arguments in [&["check", "rules", "alerts.yaml"][..], &["test", "rules", "alerts.test.yaml"]] {
        let said = Command::new("promtool").args(arguments).current_dir(&folder).output().expect("installed");
        assert!(
            said.status.success(),
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
    }
}

#[tokio::test]
async fn prometheus_scrapes_the_host() {
    let api = busy().await;
    let folder = std::env::temp_dir().join(format!("{}-prometheus", api.campaign));
    std::fs::create_dir_all(&folder).expect("a writable temporary folder");
    let port = free_port();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut prometheus = Supervised::new(&command, Some(&folder));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  - job_name: code-service\n    \
         static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        deploy().join("prometheus/alerts.yaml").canonicalize().expect("it is there").display(),
        api.host.port()
    );
    std::fs::write(folder.join("prometheus.yml"), config).expect("ours");
    prometheus.start();
    let http = reqwest::Client::new();
    let asked = async |query: &str| -> Option<String> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let url = reqwest::Url::parse_with_params(&url, &[("query", query)]).ok()?;
        let answer = http.get(url).send().await.ok()?;
        let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    until("it has scraped", async || asked("up{job=\"code-service\"}").await.as_deref() == Some("1")).await;
    let reserved = "sum(code_service_codes_total{operation=\"reserved\"})";
    assert_eq!(asked(reserved).await.as_deref(), Some("3"));
}
