//! A real S3 server, and a proxy in front of it that breaks what it answers.

mod proxy;

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::binary::target_folder;
use crate::host::Builder;
use crate::server::free_port;
use crate::supervised::{Supervised, wait_until};
pub use proxy::{Asked, Fault, S3Proxy};

/// From the start of the process to its port: it takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What [`with_keys`] lets a host sign with.
pub const ACCESS_KEY: &str = "AKIATESTENVIRONMENT";

/// Whose the objects are.
const OWNER: &str = "AWS4-HMAC-SHA256 Credential=AKIATESTOWNER/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A server with all that it was given. It takes any credentials, but asks for some, and it is Amazon's STS as well.
pub struct S3 {
    port: u16,
    // Ends with it.
    _process: Supervised,
}

impl S3 {
    /// The server that all tests of this process share, each with buckets of its own.
    ///
    /// # Panics
    /// When `make tools` has not installed it, or it does not listen.
    pub fn shared() -> &'static S3 {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(S3::start)
    }

    fn start() -> S3 {
        let packages = target_folder().expect("tests run in a target folder").join("tools/python");
        assert!(packages.join("moto").exists(), "no S3 server in {}: run make tools", packages.display());
        let port = free_port();
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", packages).args(["-m", "moto.server", "-H", "127.0.0.1", "-p"]);
        command.arg(port.to_string());
        let mut process = Supervised::new(&command, None);
        process.start();
        wait_until("the S3 server listens", PATIENCE, || {
            assert!(!process.ended(), "it ended: {:?}", process.stderr());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        S3 { port, _process: process }
    }

    /// The port that it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When the server refuses; so do the others.
    pub async fn make(&self, bucket: &str) {
        done(reqwest::Client::new().put(self.url(bucket))).await;
    }

    /// Puts an object into a bucket, in the place of one that was there; compressed with gzip, if the server shall say
    /// so.
    ///
    /// # Panics
    /// As [`S3::make`].
    pub async fn put(&self, bucket: &str, key: &str, content: impl Into<Vec<u8>>, gzip: bool) {
        let mut request = reqwest::Client::new().put(self.url(&format!("{bucket}/{key}")));
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        done(request.body(content.into())).await;
    }

    /// The object of this key, if there is one.
    ///
    /// # Panics
    /// As [`S3::make`], or if it is no text.
    pub async fn get(&self, bucket: &str, key: &str) -> Option<String> {
        let request = reqwest::Client::new().get(self.url(&format!("{bucket}/{key}")));
        let reply = request.header(AUTHORIZATION, OWNER).send().await.expect("the server answers");
        if reply.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(reply.status().is_success(), "{}", reply.status());
        Some(reply.text().await.expect("it comes whole"))
    }

    /// How many objects of the bucket are being written in parts, and are neither whole nor given up.
    ///
    /// # Panics
    /// As [`S3::make`].
    pub async fn uploads(&self, bucket: &str) -> usize {
        let reply = done(reqwest::Client::new().get(self.url(&format!("{bucket}?uploads")))).await;
        let list = reply.text().await.expect("it comes whole");
        assert!(list.contains("ListMultipartUploadsResult"), "{list}");
        list.matches("<Upload>").count()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

/// A host that reads from a bucket of the server, or of a proxy, at this address. It has no credentials yet.
#[must_use]
pub fn reads(host: Builder, bucket: &str, url: &str) -> Builder {
    host.env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", "")
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__BUCKET_NAME", bucket)
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__REGION", "us-east-1")
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__ENDPOINT", url)
}

/// Some credentials in its environment; [`S3`] takes any.
#[must_use]
pub fn with_keys(host: Builder) -> Builder {
    host.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "SECRETTEST")
}

async fn done(request: RequestBuilder) -> Response {
    let reply = request.header(AUTHORIZATION, OWNER).send().await.expect("the server answers");
    assert!(reply.status().is_success(), "{}", reply.status());
    reply
}
