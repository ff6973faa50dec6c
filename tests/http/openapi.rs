//! The OpenAPI document, held against the host by schemathesis, and the page that shows it.

use std::process::Command;

use code_service_tests::binary::target_folder;
use serde_json::Value;

use crate::client::{Api, keys};

/// What schemathesis cannot know of our replies.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/http/schemathesis.toml");

#[tokio::test]
async fn the_document_names_every_route_and_what_is_configured() {
    let api = Api::start(|host| host.env("TITAN_CODES__TYPES", "tm,vip")).await;
    let document = api.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    let paths = document["paths"].as_object().expect("paths");
    let mut known: Vec<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().expect("methods").keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    known.sort();
    assert_eq!(
        known,
        [
            "delete /{campaignId}/exports/{exportId}",
            "delete /{campaignId}/imports/{importId}",
            "get /heartbeat",
            "get /metrics",
            "get /ready",
            "get /{campaignId}/codes",
            "get /{campaignId}/codes/count",
            "get /{campaignId}/exports",
            "get /{campaignId}/exports/{exportId}",
            "get /{campaignId}/imports",
            "get /{campaignId}/imports/{importId}",
            "get /{campaignId}/imports/{importId}/rejected",
            "get /{campaignId}/reservations/{reserveId}",
            "get /{campaignId}/reserve",
            "post /{campaignId}/assign",
            "post /{campaignId}/codes",
            "post /{campaignId}/exports",
            "post /{campaignId}/find",
            "post /{campaignId}/imports/{importId}/undo",
            "post /{campaignId}/release",
            "post /{campaignId}/reservations/{reserveId}/recover",
            "put /{campaignId}/codes",
            "put /{campaignId}/reservations/{reserveId}",
        ]
    );
    assert_eq!(document["components"]["schemas"]["CodeType"]["enum"], serde_json::json!(["tm", "vip"]));
}

/// Every `$ref` in there.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn whatever_the_document_refers_to_is_in_it() {
    let document = Api::shared().await.get("/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_page_needs_nothing_but_the_host() {
    let api = Api::shared().await;
    let page = api.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html"));
    let files = page.body.split(['"', '\'']).filter(|text| text.starts_with("./"));
    let files: Vec<&str> = files.map(|file| file.trim_start_matches("./")).collect();
    assert!(files.len() >= 4, "{}", page.body);
    for file in files {
        let found = api.get(&format!("/docs/{file}")).await;
        assert_eq!(found.status, 200, "{file}");
    }
    assert!(!page.body.contains("//unpkg") && !page.body.contains("https://cdn"), "{}", page.body);
    let starter = api.get("/docs/swagger-initializer.js").await.body;
    assert!(starter.contains("/openapi.json") && !starter.contains("petstore"), "{starter}");
}

#[tokio::test]
async fn a_campaign_may_be_called_docs() {
    let mut api = Api::shared().await;
    api.campaign = "docs".to_owned();
    let counts = api.get("/:campaign/codes/count?type=tm").await.data();
    assert_eq!(counts["available"], 0);
}

/// What schemathesis finds wrong, with every check on; how many cases it tried.
async fn tried(cases_per_operation: u32) -> u32 {
    let api = Api::start(|host| host.silent().env("TITAN_JWT__ALLOW_ANON", "false")).await;
    api.put_in_bucket("tm", "A1\n");
    let python = target_folder().expect("tests run in one").join("tools/python");
    let program = python.join("bin/st");
    assert!(program.exists(), "no {}: run make tools", program.display());
    let token = format!("Authorization: Bearer {}", keys().supreme());
    let url = api.host.url("/openapi.json");
    let cases = cases_per_operation.to_string();
    let said = tokio::task::spawn_blocking(move || {
        let mut schemathesis = Command::new(program);
        // It keeps what it has found in the folder where it runs.
        schemathesis.current_dir(env!("CARGO_TARGET_TMPDIR")).env("PYTHONPATH", python).args([
            "--config-file",
            CONFIG,
            "run",
            &url,
            "--checks",
            "all",
            "--header",
            &token,
        ]);
        // A job that was cancelled can still be looked up. What the command line says of checks wins over the file.
        schemathesis.args(["--exclude-checks", "use_after_free"]);
        schemathesis.args(["--max-examples", &cases, "--request-timeout", "30", "--no-color"]);
        schemathesis.args(["--continue-on-failure", "--seed", "1"]);
        schemathesis.output().expect("python3 can be run")
    });
    let said = said.await.expect("it ends");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    // `Test cases: 1234 generated, …`
    let generated = text.lines().find_map(|line| {
        let (before, _) = line.split_once(" generated")?;
        before.rsplit(' ').next()?.replace(',', "").parse().ok()
    });
    println!("{text}");
    generated.unwrap_or_else(|| panic!("it does not say how many: {text}"))
}

#[tokio::test]
async fn the_host_keeps_to_the_document() {
    assert!(tried(15).await > 300);
}

/// `make load`
#[tokio::test]
#[ignore = "takes minutes"]
async fn the_host_keeps_to_the_document_in_five_thousand_cases() {
    assert!(tried(550).await >= 5_000);
}

/// Every example of the document is there once; schemathesis sends them.
#[tokio::test]
async fn every_request_has_an_example() {
    let document = Api::shared().await.get("/openapi.json").await.json();
    let mut bodies = 0;
    for methods in document["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
            for (kind, body) in content {
                bodies += 1;
                let own = !body["example"].is_null();
                let name = body["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
                let schema = name.map_or(&Value::Null, |name| &document["components"]["schemas"][name]);
                let of_fields = schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
                assert!(own || of_fields, "{kind}: {body}");
            }
        }
    }
    assert_eq!(bodies, 6);
}
