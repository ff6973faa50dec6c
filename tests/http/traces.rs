//! Spans, as a real collector gets them.

use code_service_tests::collector::{Collector, Span};
use code_service_tests::free_port;
use code_service_tests::host::Builder;
use reqwest::Method;
use serde_json::json;

use crate::client::{Api, CORRELATION, builder, prepared, send, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A host whose spans go to that port of this machine.
pub(crate) fn traced(host: Builder, port: u16) -> Builder {
    host.env("TITAN_TRACING__ENABLED", "true")
        .env("TITAN_TRACING__COLLECTOR_HOST", "127.0.0.1")
        .env("TITAN_TRACING__COLLECTOR_PORT", port.to_string())
}

async fn traced_by(collector: &Collector) -> Api {
    // Sooner than after five seconds.
    Api::start(|host| traced(host, collector.port()).env("OTEL_BSP_SCHEDULE_DELAY", "200")).await
}

/// The span of a request, once the collector has it.
pub(crate) async fn request_with(collector: &Collector, correlation: &str) -> Span {
    let wanted = format!("Str({correlation})");
    let is_it =
        |span: &Span| span.kind == "SPAN_KIND_SERVER" && span.attributes.get("correlation") == Some(&wanted);
    let find = || collector.spans().into_iter().find(is_it);
    until("the span is there", async || find().is_some()).await;
    find().expect("seen")
}

#[tokio::test]
async fn a_request_is_a_span_with_a_child_for_each_command_to_the_database() {
    let collector = Collector::start();
    let api = traced_by(&collector).await;
    api.save(&["A1", "A2"]).await;
    let reserve = api.request(Method::GET, "/:campaign/reserve?count=2&type=tm").header(CORRELATION, "one");
    send(reserve).await.data();
    let span = request_with(&collector, "one").await;
    assert_eq!((span.name.as_str(), span.kind.as_str()), ("GET /:campaignId/reserve", "SPAN_KIND_SERVER"));
    assert_eq!(span.attributes["http.response.status_code"], "Int(200)");
    assert_eq!(span.resource["service.name"], "Str(code-srvc)");
    assert_eq!(span.resource["product.code"], "Str(prd1541)");
    assert_eq!(span.resource["deployment.environment.name"], "Str(local-dev)");
    let children = || {
        let all = collector
            .spans()
            .into_iter()
            .filter(|child| child.trace == span.trace && child.parent == span.id);
        all.collect::<Vec<Span>>()
    };
    until("the commands are there", async || {
        let names: Vec<String> = children().into_iter().map(|child| child.name).collect();
        ["mongodb update", "mongodb find"].iter().all(|name| names.iter().any(|known| known == name))
    })
    .await;
    let child = children().into_iter().find(|child| child.name == "mongodb update").expect("seen");
    assert_eq!(child.kind, "SPAN_KIND_CLIENT");
    assert_eq!(child.attributes["db.system.name"], "Str(mongodb)");
    assert_eq!(child.attributes["db.operation.name"], "Str(update)");
}

#[tokio::test]
async fn commands_of_every_operation_are_in_the_trace_of_its_request_under_its_correlation_id() {
    let collector = Collector::start();
    let api = traced_by(&collector).await;
    let (body, codes) = (json!({ "type": "tm", "count": 1 }), json!({ "codes": ["A1"] }));
    let wish = |method, path| api.request(method, path);
    for (id, request, commands) in [
        (
            "save",
            wish(Method::PUT, "/:campaign/codes?type=tm").header("content-type", "text/csv").body("A1\nA2\n"),
            &["insert"][..],
        ),
        // The entry, the codes, and the grant.
        ("put", wish(Method::PUT, "/:campaign/reservations/mine").json(&body), &["insert", "find", "update"]),
        ("assign", wish(Method::POST, "/:campaign/assign").json(&codes), &["update"]),
        ("count", wish(Method::GET, "/:campaign/codes/count?type=tm"), &["aggregate"]),
    ] {
        let answer = send(request.header(CORRELATION, id)).await;
        assert!([200, 201].contains(&answer.status), "{id}: {}", answer.body);
        for command in commands {
            let (name, correlation) = (format!("mongodb {command}"), format!("Str({id})"));
            until(&format!("{command} of {id} is there"), async || {
                collector
                    .spans()
                    .iter()
                    .any(|span| span.name == name && span.attributes.get("correlation") == Some(&correlation))
            })
            .await;
        }
    }
}

#[tokio::test]
async fn an_upload_from_the_bucket_has_a_span_for_the_bucket() {
    let collector = Collector::start();
    let api = traced_by(&collector).await;
    let key = api.put_in_bucket("tm", "A1\nA2\n");
    let upload = api.request(Method::POST, "/:campaign/codes").json(&json!({ "fileKey": key }));
    send(upload.header(CORRELATION, "upload")).await.data();
    let span = request_with(&collector, "upload").await;
    until("the bucket's span is there", async || {
        collector.spans().iter().any(|child| child.name == "bucket read" && child.parent == span.id)
    })
    .await;
}

#[tokio::test]
async fn a_trace_that_a_caller_has_begun_goes_on() {
    let collector = Collector::start();
    let api = traced_by(&collector).await;
    let kinds: [(&str, Vec<(&str, String)>); 4] = [
        ("w3c", vec![("traceparent", format!("00-{TRACE}-{PARENT}-01"))]),
        ("b3", vec![("b3", format!("{TRACE}-{PARENT}-1"))]),
        (
            "b3-many",
            vec![
                ("x-b3-traceid", TRACE.to_owned()),
                ("x-b3-spanid", PARENT.to_owned()),
                ("x-b3-sampled", "1".to_owned()),
            ],
        ),
        (
            "ot",
            vec![
                ("ot-tracer-traceid", TRACE[16..].to_owned()),
                ("ot-tracer-spanid", PARENT.to_owned()),
                ("ot-tracer-sampled", "true".to_owned()),
            ],
        ),
    ];
    for (correlation, headers) in kinds {
        let request = api.request(Method::GET, "/dev/auth").header(CORRELATION, correlation);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        send(request).await.data();
        let span = request_with(&collector, correlation).await;
        assert_eq!(span.parent, PARENT, "{correlation}");
        assert!(span.trace.ends_with(&TRACE[16..]), "{correlation}: {}", span.trace);
    }
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_host_ends() {
    let collector = Collector::start();
    let test = prepared().await;
    let mut host = traced(builder(&test.uri), collector.port()).start();
    let request = reqwest::Client::new().get(host.url("/dev/auth")).header(CORRELATION, "last");
    assert_eq!(request.send().await.expect("the host answers").status(), 200);
    assert_eq!(host.stop(), 0);
    request_with(&collector, "last").await;
}

#[tokio::test]
async fn without_its_collector_a_host_works_and_ends_in_time() {
    let test = prepared().await;
    let mut host = traced(builder(&test.uri), free_port()).start();
    for _ in 0..50 {
        let answer = reqwest::get(host.url("/dev/auth")).await.expect("the host answers");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(host.stop(), 0);
}
