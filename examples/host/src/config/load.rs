//! Reads the files of an environment and what the process environment changes in them.
//!
//! `TITAN_MONGO__URI` is the key `titan.mongo.uri`: `__` stands between levels, `_` between words. A secret
//! can be in a file instead: `TITAN_MONGO__URI_FILE` names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Config, Root};

/// Where a deployment runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    LocalDev,
    Docker,
    Dev,
    Qa,
    Preprod,
    Prod,
}

impl Environment {
    const ALL: [Environment; 6] = [
        Environment::LocalDev,
        Environment::Docker,
        Environment::Dev,
        Environment::Qa,
        Environment::Preprod,
        Environment::Prod,
    ];

    /// Its name, as in `NODE_ENV`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Environment::LocalDev => "local-dev",
            Environment::Docker => "docker",
            Environment::Dev => "dev",
            Environment::Qa => "qa",
            Environment::Preprod => "preprod",
            Environment::Prod => "prod",
        }
    }

    /// The environment that `NODE_ENV` names; without one a developer's machine.
    fn parse(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Environment::LocalDev) };
        Environment::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Environment::ALL.into_iter().map(Environment::name).collect();
            format!("NODE_ENV is {name:?}: it must be one of {}", names.join(", "))
        })
    }

    /// The file that is built in.
    fn built_in(self) -> &'static str {
        match self {
            Environment::LocalDev => include_str!("../../config/local-dev.yaml"),
            Environment::Docker => include_str!("../../config/docker.yaml"),
            Environment::Dev => include_str!("../../config/dev.yaml"),
            Environment::Qa => include_str!("../../config/qa.yaml"),
            Environment::Preprod => include_str!("../../config/preprod.yaml"),
            Environment::Prod => include_str!("../../config/prod.yaml"),
        }
    }
}

const BUILT_IN_DEFAULT: &str = include_str!("../../config/default.yaml");

/// Secrets, which may be in files.
const SECRETS: [&str; 6] = [
    "titan.mongo.uri",
    "titan.mongo.password",
    "titan.jwt.publicKey",
    "titan.jwt.previousPublicKey",
    "titan.jwt.privateKey",
    "titan.tracing.accessToken",
];

/// Each has metrics of its own, and a monitoring system bears only so many.
const MOST_POOLS: usize = 50;

/// What a configuration is read from.
#[derive(Clone)]
pub(crate) struct Source {
    /// The folder of `default.yaml` and the environments' files; None: the built-in ones.
    pub(crate) folder: Option<PathBuf>,
    /// The process environment.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Reads the configuration; an error is a sentence with the key's or file's name.
pub(crate) fn load(source: &Source) -> Result<(Environment, Config), String> {
    let environment = Environment::parse(source.variables.get("NODE_ENV").map(String::as_str))?;
    let mut tree = Value::Object(Map::new());
    match &source.folder {
        None => {
            merge(&mut tree, yaml("built-in default.yaml", BUILT_IN_DEFAULT)?);
            merge(&mut tree, yaml(environment.name(), environment.built_in())?);
        }
        Some(folder) => {
            for name in ["default", environment.name()] {
                let path = folder.join(format!("{name}.yaml"));
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                merge(&mut tree, yaml(&path.display().to_string(), &text)?);
            }
        }
    }
    let known = serde_json::to_value(Root::default()).expect("a configuration is plain data");
    for (variable, value) in &source.variables {
        if variable.starts_with("TITAN_") {
            set(&mut tree, &known, variable, value)?;
        }
    }
    let root: Root =
        serde_path_to_error::deserialize(tree).map_err(|e| format!("{}: {}", e.path(), e.inner()))?;
    check(environment, &root.titan)?;
    Ok((environment, root.titan))
}

fn check(environment: Environment, config: &Config) -> Result<(), String> {
    if environment == Environment::Prod && config.jwt.private_key.is_some() {
        return Err(
            "titan.jwt.privateKey must not be set in prod: there only the public key belongs".to_owned()
        );
    }
    if config.metrics.pools.len() > MOST_POOLS {
        return Err(format!("titan.metrics.pools must name at most {MOST_POOLS} pools"));
    }
    if config.metrics.pool_interval < Duration::from_secs(1) {
        return Err("titan.metrics.poolInterval must be at least 1s".to_owned());
    }
    if config.codes.types.is_empty() {
        return Err("titan.codes.types must name at least one type".to_owned());
    }
    Ok(())
}

fn yaml(name: &str, text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        // What follows the first line quotes the file, which may hold secrets.
        let error = error.to_string();
        format!("{name} is no YAML: {}", error.lines().next().unwrap_or_default())
    })
}

/// Puts `over` over `under`, key by key.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        // An empty section of a file changes nothing.
        (Value::Object(_), Value::Null) => {}
        (under, over) => *under = over,
    }
}

/// Sets the key that a variable stands for.
fn set(tree: &mut Value, known: &Value, variable: &str, value: &str) -> Result<(), String> {
    let unknown = || format!("the environment variable {variable} stands for no key of the configuration");
    if let Some(path) = resolve(known, variable) {
        // An empty variable is how a shell or a chart takes a value of the files away.
        put(tree, &path, (!value.is_empty()).then(|| Value::String(value.to_owned())));
        return Ok(());
    }
    let path = variable.strip_suffix("_FILE").and_then(|name| resolve(known, name)).ok_or_else(unknown)?;
    if !SECRETS.contains(&path.join(".").as_str()) {
        return Err(unknown());
    }
    let secret =
        std::fs::read_to_string(Path::new(value)).map_err(|e| format!("{variable}: {value}: {e}"))?;
    put(tree, &path, Some(Value::String(secret.trim_end().to_owned())));
    Ok(())
}

/// The keys on the way to what a variable stands for, spelled as in the files.
fn resolve(known: &Value, variable: &str) -> Option<Vec<String>> {
    // TITAN_MONGO__URI is short for TITAN__MONGO__URI.
    let levels = std::iter::once("titan").chain(variable.strip_prefix("TITAN_")?.split("__"));
    let mut here = known;
    let mut path = Vec::new();
    for level in levels {
        let word = level.replace('_', "");
        let (key, below) = here.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(&word))?;
        path.push(key.clone());
        here = below;
    }
    // A section is not a value.
    (!here.is_object()).then_some(path)
}

/// Sets the value at a path, or removes it.
fn put(tree: &mut Value, path: &[String], value: Option<Value>) {
    let (last, sections) = path.split_last().expect("a variable stands for a key");
    let mut here = tree;
    for section in sections {
        here = object(here).entry(section.clone()).or_insert(Value::Null);
    }
    match value {
        Some(value) => object(here).insert(last.clone(), value),
        None => object(here).remove(last),
    };
}

/// The section itself, made if a file left it empty.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made above")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<(Environment, Config), String> {
        let variables = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        load(&Source { folder: None, variables })
    }

    #[test]
    fn every_environment_has_a_file_that_is_understood() {
        for environment in Environment::ALL {
            let (found, _) = with(&[("NODE_ENV", environment.name())]).expect("a good file");
            assert_eq!(found, environment);
        }
        assert!(with(&[("NODE_ENV", "production")]).expect_err("unknown").contains("preprod"));
    }

    #[test]
    fn a_variable_sets_the_key_it_stands_for() {
        let (_, config) = with(&[
            ("TITAN_SERVICE__DNS_CACHE_TTL", "5"),
            ("TITAN_MONGO__HOST_URLS", "a, b"),
            ("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", "/tmp/x"),
            ("TITAN_CODES__RESERVATION_TTL", "90m"),
            ("TITAN_JWT__ALLOW_ANON", "false"),
            ("TITAN_MONGO__PASSWORD", "12345"),
            ("TITAN_LOG__FILE", ""),
        ])
        .expect("all known");
        assert_eq!(config.service.dns_cache_ttl, 5);
        assert_eq!(config.mongo.host_urls, ["a", "b"]);
        assert_eq!(config.aws.clients.scoring_bucket.local_path.as_deref(), Some("/tmp/x"));
        assert_eq!(config.codes.reservation_ttl, Duration::from_secs(5400));
        assert!(!config.jwt.allow_anon);
        assert_eq!(config.mongo.password.expect("set").reveal(), "12345");
        assert_eq!(config.log.file, None);
    }

    #[test]
    fn an_unknown_key_stops_the_start_with_its_name() {
        assert!(with(&[("TITAN_MONGO__URL", "x")]).expect_err("typo").contains("TITAN_MONGO__URL"));
        assert!(with(&[("TITAN_MONGO", "x")]).expect_err("a section").contains("TITAN_MONGO"));
        assert!(with(&[("TITAN_SERVICE__PORT_FILE", "x")]).expect_err("no secret").contains("PORT_FILE"));
        let folder = std::env::temp_dir().join(format!("code-service-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        std::fs::write(folder.join("default.yaml"), "titan: {service: {prot: 1}}").expect("writable");
        std::fs::write(folder.join("local-dev.yaml"), "").expect("writable");
        let error =
            load(&Source { folder: Some(folder.clone()), variables: BTreeMap::new() }).expect_err("typo");
        std::fs::remove_dir_all(&folder).expect("ours");
        assert!(error.contains("titan.service") && error.contains("prot"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_told_by_its_key() {
        let error = with(&[("TITAN_SERVICE__PORT", "many")]).expect_err("no number");
        assert!(error.starts_with("titan.service.port: "), "{error}");
        let error = with(&[("TITAN_CODES__RESERVATION_TTL", "24")]).expect_err("no unit");
        assert!(error.starts_with("titan.codes.reservationTtl: "), "{error}");
    }

    #[test]
    fn a_private_key_is_refused_in_prod() {
        let variables = [("NODE_ENV", "prod"), ("TITAN_JWT__PRIVATE_KEY", "x")];
        assert!(with(&variables).expect_err("refused").contains("titan.jwt.privateKey"));
    }

    #[test]
    fn a_secret_can_be_in_a_file_and_is_never_shown() {
        let file = std::env::temp_dir().join(format!("code-service-secret-{}", std::process::id()));
        std::fs::write(&file, "hunter2\n").expect("a writable temporary folder");
        let loaded = with(&[("TITAN_MONGO__PASSWORD_FILE", file.to_str().expect("UTF-8"))]);
        std::fs::remove_file(&file).expect("ours");
        let (_, config) = loaded.expect("readable");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.mongo.password.expect("set").reveal(), "hunter2");
    }
}
