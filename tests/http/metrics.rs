//! The metrics that the dashboards know, and what must never be in them.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::json;

use crate::client::{Api, keys, send};

const BUCKETS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// One line of values.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the text format, strictly; also the types by name.
#[track_caller]
fn parse(text: &str) -> (Vec<Sample>, BTreeMap<String, String>) {
    let (mut samples, mut types) = (Vec::new(), BTreeMap::new());
    assert!(text.ends_with('\n'), "the last line ends");
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("HELP"), Some(_), Some(_)) => {}
                (Some("TYPE"), Some(name), Some(kind)) => {
                    let before = types.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "a type is told once: {line}");
                }
                _ => panic!("no comment of the format: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        });
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        samples.push(Sample { name: name.to_owned(), labels: labels.collect(), value });
    }
    (samples, types)
}

async fn scraped(api: &Api) -> (Vec<Sample>, BTreeMap<String, String>) {
    parse(&api.get("/metrics").await.body)
}

fn labels(pairs: [(&str, &str); 3]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value_of(samples: &[Sample], name: &str, labels: &BTreeMap<String, String>) -> f64 {
    let found = samples.iter().find(|sample| sample.name == name && sample.labels == *labels);
    found.map_or(0.0, |sample| sample.value)
}

#[tokio::test]
async fn a_request_is_counted_by_route_method_and_status() {
    let api = Api::start(|host| host).await;
    api.get("/:campaign/codes/count?type=tm").await.data();
    api.get("/v1/:campaign/codes/count?type=tm").await.data();
    api.get("/:campaign/codes/count").await.error(400, "missingType");
    let (samples, types) = scraped(&api).await;
    assert_eq!(types["http_request_count"], "counter");
    let count = |status| {
        let labels = labels([("path", "/:campaignId/codes/count"), ("method", "GET"), ("status", status)]);
        value_of(&samples, "http_request_count", &labels)
    };
    assert_eq!((count("200"), count("400")), (2.0, 1.0));
}

#[tokio::test]
async fn the_time_of_a_request_is_in_a_histogram_with_the_known_buckets() {
    let api = Api::start(|host| host).await;
    api.get("/:campaign/codes/count?type=tm").await.data();
    api.get("/:campaign/codes/count?type=tm").await.data();
    let (samples, types) = scraped(&api).await;
    assert_eq!(types["http_response_duration_seconds"], "histogram");
    let labels = labels([("path", "/:campaignId/codes/count"), ("method", "GET"), ("status", "200")]);
    let buckets: Vec<(&str, f64)> = samples
        .iter()
        .filter(|sample| sample.name == "http_response_duration_seconds_bucket")
        .filter(|sample| labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value)))
        .map(|sample| (sample.labels["le"].as_str(), sample.value))
        .collect();
    assert_eq!(buckets.iter().map(|(le, _)| *le).collect::<Vec<_>>(), BUCKETS);
    assert!(buckets.is_sorted_by(|one, next| one.1 <= next.1), "each holds the ones before it");
    assert_eq!(buckets.last().expect("not empty").1, 2.0);
    assert_eq!(value_of(&samples, "http_response_duration_seconds_count", &labels), 2.0);
    let sum = value_of(&samples, "http_response_duration_seconds_sum", &labels);
    assert!(sum > 0.0 && sum < 60.0, "{sum} s");
}

#[tokio::test]
async fn the_process_is_described() {
    let api = Api::shared().await;
    let (samples, _) = scraped(&api).await;
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        let sample = samples.iter().find(|sample| sample.name == name);
        // A young process has not used a whole second yet.
        let least = if name == "process_cpu_seconds_total" { 0.0 } else { 1.0 };
        assert!(sample.is_some_and(|sample| sample.value >= least), "{name}");
    }
}

#[tokio::test]
async fn probes_and_scrapes_are_not_counted() {
    let api = Api::start(|host| host).await;
    for path in ["/heartbeat", "/metrics", "/v1/heartbeat", "/v1/metrics"] {
        api.get(path).await;
    }
    let (samples, _) = scraped(&api).await;
    assert!(!samples.iter().any(|sample| sample.labels.contains_key("path")));
}

/// Everything that a caller can think of, most of it wrong.
async fn storm(api: &Api) {
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "SECRETMETHOD"];
    let paths = [
        "/SECRETCAMPAIGN/codes",
        "/SECRETCAMPAIGN/codes?type=tm",
        "/SECRETCAMPAIGN/codes/count",
        "/SECRETCAMPAIGN/codes/count?type=tm&status=x",
        "/SECRETCAMPAIGN/codes/count?type=tm",
        "/SECRETCAMPAIGN/reserve?count=1&type=tm",
        "/SECRETCAMPAIGN/reserve?count=0&type=tm",
        "/SECRETCAMPAIGN/reservations/SECRETID",
        "/SECRETCAMPAIGN/reservations/SECRETID/recover",
        "/SECRETCAMPAIGN/assign",
        "/SECRETCAMPAIGN/release",
        "/SECRETCAMPAIGN%00/release",
        "/dev/auth",
        "/dev/supremes",
        "/dev/internalServerError",
        "/dev/token",
        "/dev/SECRETPATH",
        "/SECRETPATH",
        "/a/b/c/d/SECRETPATH",
        "/",
        "/heartbeat",
        "/metrics",
    ];
    let bodies = [
        json!({}),
        json!({ "codes": ["SECRETCODE"] }),
        json!({ "type": "tm", "count": 1 }),
        json!({ "type": "tm", "count": 2 }),
        json!({ "fileKey": "codes/SECRETCAMPAIGN/tm/SECRETFILE" }),
        json!({ "userId": "SECRETUSER", "isSupreme": true }),
        json!({ "codes": ["x".repeat(3000)] }),
    ];
    let plain = keys().sign(&json!({ "iss": "titan-lib", "exp": code_service_tests::keys::now() + 600 }));
    for prefix in ["", "/v1"] {
        for path in paths {
            let path = format!("{prefix}{path}");
            for method in methods {
                let method = Method::from_bytes(method.as_bytes()).expect("a legal method");
                for body in &bodies {
                    send(api.request(method.clone(), &path).json(body)).await;
                }
                send(api.request(method.clone(), &path).body("SECRETCODE\n")).await;
                for token in ["garbage", &plain] {
                    send(api.anonymous(method.clone(), &path).bearer_auth(token)).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_storm_of_all_kinds_of_requests_leaves_fewer_than_70_label_combinations_and_no_names() {
    let api = Api::start(|host| host.env("TITAN_SERVICE__BODY_LIMIT", "2000")).await;
    let wish = json!({ "type": "tm", "count": 1 });
    api.put("/SECRETCAMPAIGN/reservations/NONE", wish.clone()).await.error(409, "not_enough_codes");
    let csv = api.request(Method::PUT, "/SECRETCAMPAIGN/codes?type=tm").body("SECRET1\nSECRET2\nSECRET3\n");
    send(csv).await.data();
    storm(&api).await;

    let text = api.get("/metrics").await.body;
    assert!(!text.contains("SECRET") && !text.contains("garbage"), "a name is in the metrics");
    let (samples, _) = parse(&text);
    let counted = samples.iter().filter(|sample| sample.name == "http_request_count");
    let combinations: BTreeSet<_> = counted
        .map(|sample| {
            let names: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
            assert_eq!(names, ["method", "path", "status"]);
            sample.labels.values().cloned().collect::<Vec<_>>()
        })
        .collect();
    assert!(combinations.len() > 20, "the storm reached little: {combinations:?}");
    assert!(combinations.len() < 70, "{} combinations: {combinations:?}", combinations.len());
    let paths: BTreeSet<&str> = combinations.iter().map(|labels| labels[1].as_str()).collect();
    let expected = [
        "/:campaignId/assign",
        "/:campaignId/codes",
        "/:campaignId/codes/count",
        "/:campaignId/release",
        "/:campaignId/reservations/:reserveId",
        "/:campaignId/reservations/:reserveId/recover",
        "/:campaignId/reserve",
        "/dev/:endpoint",
        "unmatched",
    ];
    assert_eq!(paths, expected.into_iter().collect());
    let methods: BTreeSet<&str> = combinations.iter().map(|labels| labels[0].as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "other"].into_iter().collect());
}
