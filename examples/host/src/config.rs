//! The configuration: one YAML file per environment, the process environment and secret files over it.
//!
//! The keys are those of the deployed service, so its files carry over. Everything is under `titan`. An
//! unknown key, in a file or in the environment, stops the start with its name.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod load;
mod mongo;
mod values;

pub(crate) use load::{Environment, Source, load};
pub(crate) use mongo::Mongo;

/// The root of a configuration file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    pub(crate) titan: Config,
}

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) service: Service,
    pub(crate) mongo: Mongo,
    pub(crate) aws: Aws,
    pub(crate) jwt: Jwt,
    pub(crate) log: Log,
    pub(crate) tracing: Tracing,
    pub(crate) metrics: Metrics,
    pub(crate) dev_endpoints: DevEndpoints,
    pub(crate) codes: Codes,
    pub(crate) imports: Imports,
    pub(crate) replies: Replies,
}

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Service {
    /// The port to listen on; 0 takes any free one.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) port: u16,
    /// How long outgoing HTTP clients keep a resolved name, in milliseconds.
    #[serde(rename = "dnsCacheTTL", deserialize_with = "values::parsed")]
    pub(crate) dns_cache_ttl: u64,
    /// The longest JSON body, in bytes.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) body_limit: usize,
    /// The longest CSV body, in bytes; one that comes without its length must keep to `body_limit`.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) upload_limit: u64,
    /// Connections at once; more are closed.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) max_connections: usize,
    /// Requests at once; more are answered 503. Probes and scrapes are not counted.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) max_requests: usize,
    /// How long a connection may be silent between two requests. Longer than the balancer's 60 s.
    #[serde(with = "values::duration")]
    pub(crate) idle_timeout: Duration,
    /// How long the head of a request may take.
    #[serde(with = "values::duration")]
    pub(crate) head_timeout: Duration,
    /// How long a body may be silent, and how long a caller may read nothing of its reply.
    #[serde(with = "values::duration")]
    pub(crate) body_timeout: Duration,
    /// How long the host goes on after SIGTERM, while it is not ready any more, before it takes no new connections.
    #[serde(with = "values::duration")]
    pub(crate) stop_delay: Duration,
    /// How long requests may go on after that. With the delay, 3 s for work that nobody waits for, 5 s for the last
    /// spans and 1 s for threads it has to stay below the grace of the platform, which is 30 s unless configured.
    #[serde(with = "values::duration")]
    pub(crate) stop_timeout: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Service {
            port: 8080,
            dns_cache_ttl: 60_000,
            body_limit: 16 << 20,
            upload_limit: 1 << 30,
            max_connections: 20_000,
            max_requests: 512,
            idle_timeout: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            stop_delay: Duration::ZERO,
            stop_timeout: Duration::from_secs(15),
        }
    }
}

/// Amazon's services.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Aws {
    pub(crate) clients: Clients,
}

/// The clients of Amazon's services.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Clients {
    pub(crate) scoring_bucket: Bucket,
}

/// The bucket that uploads come from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Bucket {
    pub(crate) bucket_name: Option<String>,
    pub(crate) region: Option<String>,
    /// Another S3 server than Amazon's.
    pub(crate) endpoint: Option<String>,
    /// A folder instead of S3.
    pub(crate) local_path: Option<String>,
}

/// Who may call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Jwt {
    /// RSA public key in PEM that tokens are checked with.
    pub(crate) public_key: Option<Secret>,
    /// The `kid` of the tokens that this key signs; None: any.
    pub(crate) key_id: Option<String>,
    /// The key before that one, whose tokens are good for a while when keys change.
    pub(crate) previous_public_key: Option<Secret>,
    /// The `kid` of its tokens; None: any.
    pub(crate) previous_key_id: Option<String>,
    /// Until when, such as `2026-11-30T00:00:00Z`; None: as long as it is configured.
    pub(crate) previous_until: Option<String>,
    /// RSA private key in PEM that `/dev/token` and `token` sign with. Refused in prod.
    pub(crate) private_key: Option<Secret>,
    /// The issuer that tokens must name.
    pub(crate) issuer: String,
    /// The audience that tokens must name; None: any.
    pub(crate) audience: Option<String>,
    /// Whether a request without a token goes on as an anonymous user.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) allow_anon: bool,
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt {
            public_key: None,
            key_id: None,
            previous_public_key: None,
            previous_key_id: None,
            previous_until: None,
            private_key: None,
            issuer: "titan-lib".to_owned(),
            audience: None,
            allow_anon: true,
        }
    }
}

/// What is logged, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,code_service=debug`.
    pub(crate) level: String,
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) console: bool,
    /// A file that lines are appended to; None or empty: no file.
    pub(crate) file: Option<String>,
    /// The size in bytes at which the file is renamed to `….1`, and a new one begun; 0: never.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) max_bytes: u64,
    /// How many renamed files are kept; at least one.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) keep: u32,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), console: true, file: None, max_bytes: 100 << 20, keep: 3 }
    }
}

/// Where spans go, over OTLP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Tracing {
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) enabled: bool,
    /// None: spans go nowhere.
    pub(crate) collector_host: Option<String>,
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) collector_port: u16,
    /// `none` or `tls`.
    pub(crate) encryption: Option<String>,
    /// Sent as LightStep wants it.
    pub(crate) access_token: Option<Secret>,
    pub(crate) product_code: String,
    pub(crate) service_name: String,
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing {
            enabled: true,
            collector_host: None,
            collector_port: 4318,
            encryption: None,
            access_token: None,
            product_code: "prd1541".to_owned(),
            service_name: "code-srvc".to_owned(),
        }
    }
}

/// What is measured beside requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// How often the process looks at itself, in milliseconds.
    #[serde(deserialize_with = "values::parsed")]
    system_metric_interval: u64,
    /// Pools whose available codes are counted, as `campaign/type`. Each is a query to the database every
    /// `pool_interval`, and two metrics: few are meant.
    #[serde(deserialize_with = "values::list")]
    pub(crate) pools: Vec<String>,
    #[serde(with = "values::duration")]
    pub(crate) pool_interval: Duration,
}

impl Metrics {
    pub(crate) fn system_metric_interval(&self) -> Duration {
        Duration::from_millis(self.system_metric_interval.max(100))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { system_metric_interval: 10_000, pools: Vec::new(), pool_interval: Duration::from_secs(30) }
    }
}

/// The routes under `/dev`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct DevEndpoints {
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) enabled: bool,
}

/// The rules for codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Codes {
    /// How long a reservation holds its codes, such as `24h` or `90m`.
    #[serde(with = "values::duration")]
    pub(crate) reservation_ttl: Duration,
    /// The types that codes may have.
    #[serde(deserialize_with = "values::list")]
    pub(crate) types: Vec<String>,
}

impl Default for Codes {
    fn default() -> Self {
        Codes {
            reservation_ttl: Duration::from_secs(24 * 60 * 60),
            types: vec!["tm".to_owned(), "external".to_owned()],
        }
    }
}

/// Files of the bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Imports {
    /// Larger files, in bytes, are imported after the reply: within the balancer's 60 s they might not be. A file that
    /// is compressed is taken for eight times as large.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) async_bytes: u64,
    /// Whether this host runs imports and exports that were queued, at whichever host; it needs the bucket for that.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) run: bool,
    /// How long a connection to the bucket may be silent before another is made, which goes on behind what has come.
    #[serde(with = "values::duration")]
    pub(crate) silence: Duration,
    /// How long an import goes on trying while nothing comes from the bucket. Then it begins anew, a few times, and
    /// fails after eight times as long. A caller that waits for its file is answered 503 after 15 s, or this if it is
    /// less: well within the balancer's 60 s.
    #[serde(with = "values::duration")]
    pub(crate) patience: Duration,
}

impl Default for Imports {
    fn default() -> Self {
        Imports {
            async_bytes: 16 << 20,
            run: true,
            silence: Duration::from_secs(10),
            patience: Duration::from_secs(120),
        }
    }
}

/// How replies look where public descriptions of the deployed service disagree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Replies {
    pub(crate) reserve: ReserveReply,
}

/// The data of a reply to `GET /:campaignId/reserve`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ReserveReply {
    /// `{"codes":[…],"reserveId":"…"}`
    #[default]
    Object,
    /// The bare list of codes.
    Array,
}

/// Text that must not be shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> String {
        self.0.clone()
    }

    /// A key in PEM; a `\n` that was written as two characters is a line break.
    pub(crate) fn pem(&self) -> String {
        self.0.replace("\\n", "\n")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not serde's own complaint about a wrong type: it quotes the value.
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Secret(text)),
            Value::Number(digits) => Ok(Secret(digits.to_string())),
            _ => Err(serde::de::Error::custom("must be a text")),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
