//! `titan.mongo`: a connection string, or the deployed service's parts of one.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Secret, values};

/// How to reach the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Mongo {
    /// A whole connection string; of the other keys only `options.dbName` then counts, if it names no database.
    pub(crate) uri: Option<Secret>,
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) port: u16,
    /// The hosts of the replica set, with or without a port.
    #[serde(deserialize_with = "values::list")]
    pub(crate) host_urls: Vec<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) options: MongoOptions,
}

impl Default for Mongo {
    fn default() -> Self {
        Mongo {
            uri: None,
            port: 27017,
            host_urls: Vec::new(),
            username: None,
            password: None,
            options: MongoOptions::default(),
        }
    }
}

/// `titan.mongo.options`: what means something here, and what the deployed driver knew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct MongoOptions {
    pub(crate) replica_set: Option<String>,
    pub(crate) db_name: Option<String>,
    pub(crate) auth_source: Option<String>,
    pub(crate) read_preference: Option<String>,
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) ssl: bool,
    /// The same as `ssl`.
    #[serde(deserialize_with = "values::parsed")]
    pub(crate) tls: bool,
    pub(crate) pool_size: Value,
    pub(crate) max_pool_size: Value,
    #[serde(rename = "connectTimeoutMS")]
    pub(crate) connect_timeout_ms: Value,
    #[serde(rename = "serverSelectionTimeoutMS")]
    pub(crate) server_selection_timeout_ms: Value,
    pub(crate) use_new_url_parser: Value,
    pub(crate) use_unified_topology: Value,
    #[serde(rename = "socketTimeoutMS")]
    pub(crate) socket_timeout_ms: Value,
    pub(crate) auto_reconnect: Value,
    pub(crate) reconnect_tries: Value,
    pub(crate) reconnect_interval: Value,
    pub(crate) keep_alive: Value,
    pub(crate) retry_writes: Value,
}

impl Mongo {
    /// The connection string; an error is a sentence that names the key to set.
    pub(crate) fn connection_string(&self) -> Result<String, String> {
        if let Some(uri) = &self.uri {
            return Ok(uri.reveal());
        }
        if self.host_urls.is_empty() {
            return Err("set titan.mongo.uri (TITAN_MONGO__URI), or titan.mongo.hostUrls".to_owned());
        }
        let hosts: Vec<String> = self.host_urls.iter().map(|host| self.with_port(host)).collect();
        let user = match (&self.username, &self.password) {
            (Some(name), Some(password)) => format!("{}:{}@", encode(name), encode(&password.reveal())),
            (Some(_), None) => {
                return Err(
                    "titan.mongo.username is set, titan.mongo.password (TITAN_MONGO__PASSWORD, or its file \
                            in TITAN_MONGO__PASSWORD_FILE) is not"
                        .to_owned(),
                );
            }
            (None, _) => String::new(),
        };
        let query: Vec<String> =
            self.query().into_iter().map(|(key, value)| format!("{key}={}", encode(&value))).collect();
        let database = self.options.db_name.as_deref().unwrap_or_default();
        Ok(format!("mongodb://{user}{}/{}?{}", hosts.join(","), encode(database), query.join("&")))
    }

    /// The database, where the connection string does not name one in its path.
    pub(crate) fn database(&self) -> Option<String> {
        let named_by_uri = self.uri.as_ref().is_some_and(|uri| {
            let uri = uri.reveal();
            let hosts_and_path =
                uri.split("://").nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
            hosts_and_path.split_once('/').is_some_and(|(_, path)| !path.is_empty())
        });
        if named_by_uri { None } else { self.options.db_name.clone() }
    }

    fn with_port(&self, host: &str) -> String {
        // A colon inside brackets belongs to an IPv6 address.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if has_port { host.to_owned() } else { format!("{host}:{}", self.port) }
    }

    fn query(&self) -> BTreeMap<&'static str, String> {
        let options = &self.options;
        let number =
            |value: &Value| value.as_u64().map(|n| n.to_string()).or(value.as_str().map(str::to_owned));
        let pool = number(&options.max_pool_size).or(number(&options.pool_size));
        let texts = [
            ("replicaSet", options.replica_set.clone()),
            ("authSource", options.auth_source.clone()),
            ("readPreference", options.read_preference.as_deref().map(read_preference)),
            ("tls", (options.ssl || options.tls).then(|| "true".to_owned())),
            ("maxPoolSize", pool),
            ("connectTimeoutMS", number(&options.connect_timeout_ms)),
            ("serverSelectionTimeoutMS", number(&options.server_selection_timeout_ms)),
        ];
        texts.into_iter().filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_empty())?))).collect()
    }

    /// Keys that are set and have no meaning here.
    pub(crate) fn ignored(&self) -> Vec<&'static str> {
        let options = &self.options;
        let keys = [
            ("useNewUrlParser", &options.use_new_url_parser),
            ("useUnifiedTopology", &options.use_unified_topology),
            ("socketTimeoutMS", &options.socket_timeout_ms),
            ("autoReconnect", &options.auto_reconnect),
            ("reconnectTries", &options.reconnect_tries),
            ("reconnectInterval", &options.reconnect_interval),
            ("keepAlive", &options.keep_alive),
            ("retryWrites", &options.retry_writes),
        ];
        keys.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key).collect()
    }
}

/// Deployments write `NEAREST`, connection strings `nearest`.
fn read_preference(name: &str) -> String {
    let known = ["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"];
    known.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name).to_owned()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mongo(yaml: &str) -> Mongo {
        serde_saphyr::from_str(yaml).expect("good YAML")
    }

    #[test]
    fn the_deployed_parts_make_a_connection_string() {
        let mongo = mongo(
            "{hostUrls: [a.example, 'b.example:27018', '[::1]'], username: me, password: 'p@ss/w', options: {replicaSet: rs, \
             dbName: prod, authSource: admin, readPreference: NEAREST, ssl: true, poolSize: 20, useNewUrlParser: true}}",
        );
        assert_eq!(
            mongo.connection_string().expect("complete"),
            "mongodb://me:p%40ss%2Fw@a.example:27017,b.example:27018,[::1]:27017/prod\
             ?authSource=admin&maxPoolSize=20&readPreference=nearest&replicaSet=rs&tls=true"
        );
        assert_eq!(mongo.ignored(), ["useNewUrlParser"]);
    }

    #[test]
    fn the_path_of_a_connection_string_goes_before_db_name() {
        let database = |uri: &str| mongo(&format!("{{uri: '{uri}', options: {{dbName: prod}}}}")).database();
        assert_eq!(database("mongodb://a,b/staging?replicaSet=rs"), None);
        assert_eq!(database("mongodb://a,b/?replicaSet=rs").as_deref(), Some("prod"));
        assert_eq!(database("mongodb://a").as_deref(), Some("prod"));
    }

    #[test]
    fn a_password_of_digits_is_a_text_and_keeps_its_backslashes() {
        assert_eq!(mongo("{password: 12345678}").password.expect("set").reveal(), "12345678");
        assert_eq!(mongo("{password: 'a\\nb'}").password.expect("set").reveal(), "a\\nb");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(Mongo::default().connection_string().expect_err("no host").contains("titan.mongo.uri"));
        let error = mongo("{hostUrls: [a], username: me}").connection_string().expect_err("no password");
        assert!(error.contains("titan.mongo.password"));
    }
}
