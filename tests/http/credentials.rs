//! Who the host is to S3: keys of the environment are told with the files (s3.rs), and here are the roles of pods.

use code_service_tests::host::Builder;
use code_service_tests::s3::{Asked, Fault, S3, S3Proxy};
use serde_json::json;

use crate::client::{Api, csv};
use crate::s3::{Bucket, refusal};

/// Moto tells services apart by the signature, and this one is asked for credentials without any.
const STS: &str = "Authorization: AWS4-HMAC-SHA256 \
                   Credential=AKIATESTSTS/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0\r\n";
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

/// Saves a file on such a host; how the bucket was asked for it.
async fn saved(change: impl FnOnce(Builder) -> Builder) -> Asked {
    let bucket = Bucket::new().await;
    let api = Api::start(|host| change(bucket.of(host))).await;
    let key = bucket.put(&api, "a.csv", csv(3)).await;
    for inserted in [3, 0] {
        assert_eq!(api.save_from(&key).await.data()["count"]["inserted"], inserted);
    }
    let asked = bucket.proxy.asked();
    assert_eq!(asked[0].access_key(), asked[1].access_key());
    asked[0].clone()
}

/// A metadata server that gives the credentials of a role, once, behind this answer to who asks for a token.
fn metadata_server(token: Fault) -> S3Proxy {
    let credentials = json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": "AKIATESTROLE",
        "SecretAccessKey": "SECRETTEST",
        "Token": "SECRETTEST-SESSION",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Expiration": "2099-01-01T00:00:00Z",
    });
    // Nothing is behind it.
    let server = S3Proxy::start(0);
    let role = Fault::Answer(200, "a-role".to_owned());
    server.faults([token, role, Fault::Answer(200, credentials.to_string())], refusal(500));
    server
}

fn assert_is_the_role(asked: &Asked) {
    assert_eq!(asked.access_key(), "AKIATESTROLE");
    assert_eq!(asked.header("x-amz-security-token"), "SECRETTEST-SESSION");
}

#[tokio::test]
async fn a_pod_with_a_web_identity_becomes_its_role() {
    let server = tokio::task::spawn_blocking(S3::shared).await.expect("the server starts");
    let sts = S3Proxy::start_with(server.port(), STS);
    let token =
        std::env::temp_dir().join(format!("code-service-web-identity-{}", mongodb::bson::Uuid::new()));
    std::fs::write(&token, "eyJ-of-the-pod").expect("the folder is writable");
    let asked = saved(|host| {
        host.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
            .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/a-role")
            .env("AWS_ENDPOINT_URL_STS", sts.url())
    })
    .await;
    std::fs::remove_file(&token).expect("it was written");
    let [exchange] = &sts.asked()[..] else { panic!("once: {:?}", sts.asked()) };
    assert!(exchange.path().contains("WebIdentityToken=eyJ-of-the-pod"), "{exchange:?}");
    assert!(exchange.path().contains("Action=AssumeRoleWithWebIdentity"), "{exchange:?}");
    let given = |name: &str| {
        let (_, behind) = exchange.answer.split_once(&format!("<{name}>")).expect(name);
        behind.split('<').next().expect("split yields one").to_owned()
    };
    assert_eq!(asked.access_key(), given("AccessKeyId"));
    assert_eq!(asked.header("x-amz-security-token"), given("SessionToken"));
}

#[tokio::test]
async fn where_kube2iam_knows_no_tokens_the_role_comes_the_older_way() {
    // The variable is the chart's.
    let metadata = metadata_server(refusal(403));
    let asked =
        saved(|host| host.env("AWS_METADATA_ENDPOINT", metadata.url()).env("AWS_IMDSV1_FALLBACK", "true"));
    assert_is_the_role(&asked.await);
    let asked = metadata.asked();
    let lines: Vec<&str> =
        asked.iter().map(|asked| asked.line.strip_suffix(" HTTP/1.1").expect("1.1")).collect();
    assert_eq!(lines, ["PUT /latest/api/token", &format!("GET {ROLE}"), &format!("GET {ROLE}a-role")]);
    assert!(asked.iter().all(|asked| asked.header("x-aws-ec2-metadata-token").is_empty()));
}

#[tokio::test]
async fn a_metadata_server_that_knows_tokens_is_asked_with_one() {
    let metadata = metadata_server(Fault::Answer(200, "SECRETTEST-METADATA".to_owned()));
    assert_is_the_role(&saved(|host| host.env("AWS_METADATA_ENDPOINT", metadata.url())).await);
    let asked = metadata.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1..].iter().all(|asked| asked.header("x-aws-ec2-metadata-token") == "SECRETTEST-METADATA"));
}

#[tokio::test]
async fn without_credentials_the_bucket_is_away_and_not_the_file() {
    let bucket = Bucket::new().await;
    for status in [403, 404, 500] {
        let metadata = S3Proxy::start(0);
        metadata.faults([], refusal(status));
        let api = Api::start(|host| {
            bucket
                .of(host)
                .env("AWS_METADATA_ENDPOINT", metadata.url())
                .env("AWS_IMDSV1_FALLBACK", "true")
                .env("TITAN_IMPORTS__PATIENCE", "1s")
        });
        let api = api.await;
        let key = bucket.put(&api, "a.csv", csv(1)).await;
        let answer = api.save_from(&key).await;
        assert!(!answer.body.contains("S3ERRORBODY"), "{}", answer.body);
        answer.error(503, "unavailable");
        assert!(metadata.asked().len() > 1, "it was asked again");
        api.host.wait_for_line("it is told who refused", |line| {
            line["status"] == status && line["host"] == "127.0.0.1"
        });
    }
    assert!(bucket.proxy.asked().is_empty());
}
