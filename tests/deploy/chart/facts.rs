//! Every number and name of the deployed service that a manifest states, row by row.
//!
//! A row says where the fact stands, by a path of words: first what it is in (`app` is the host's container, `sidecar`
//! fluentd's, `pod` the pod of both, `config` the host's files put together, anything else the kind of an object), then
//! keys, and `[name]` for the item of a list that is called so. `-` means that there is nothing.

use serde_json::{Value, json};

use super::helm::{ENVIRONMENTS, Release, Rendered};

/// Environments, where it stands, what it is.
type Row = (&'static str, &'static str, &'static str);

const ALL: &str = "dev qa preprod prod";
const NON_PROD: &str = "dev qa";
const PROD: &str = "preprod prod";

/// What is known of the deployed service.
const KNOWN: &[Row] = &[
    // Images.
    (ALL, "app image", "889199535989.dkr.ecr.us-east-1.amazonaws.com/titan/code-service:0.1.0"),
    (
        NON_PROD,
        "Pod/features spec containers [features] image",
        "889199535989.dkr.ecr.us-east-1.amazonaws.com/titan/code-service:0.1.0-features",
    ),
    // The release.
    (ALL, "release namespace", "prd1541"),
    ("prod", "release name", "vf-code-srvc"),
    ("preprod", "release name", "vf-code-srvc"),
    ("dev", "release name", "vf-code-srvc-dev"),
    ("qa", "release name", "vf-code-srvc-qa"),
    (ALL, "Service spec ports [http] port", "8080"),
    (ALL, "app ports [http] containerPort", "8080"),
    (ALL, "app env [TITAN_SERVICE__PORT] value", "8080"),
    // Pods.
    ("prod", "HorizontalPodAutoscaler spec minReplicas", "3"),
    ("prod", "HorizontalPodAutoscaler spec maxReplicas", "12"),
    ("prod", "HorizontalPodAutoscaler spec metrics 0 containerResource target averageUtilization", "25"),
    ("prod", "HorizontalPodAutoscaler spec metrics 0 containerResource name", "cpu"),
    ("prod", "HorizontalPodAutoscaler spec metrics 0 containerResource container", "code-srvc"),
    ("prod", "Deployment spec replicas", "-"),
    // 75 % may be unavailable.
    ("prod", "PodDisruptionBudget spec minAvailable", "25%"),
    ("prod", "app resources requests cpu", "500m"),
    ("prod", "app resources limits cpu", "2"),
    ("prod", "app resources requests memory", "1Gi"),
    ("prod", "app resources limits memory", "3Gi"),
    ("dev", "Deployment spec replicas", "1"),
    ("dev", "HorizontalPodAutoscaler", "-"),
    ("dev", "app resources requests cpu", "500m"),
    ("dev", "app resources limits cpu", "500m"),
    ("dev", "app resources requests memory", "512Mi"),
    ("dev", "app resources limits memory", "1Gi"),
    // Probes.
    (ALL, "app livenessProbe httpGet path", "/heartbeat"),
    (ALL, "app livenessProbe initialDelaySeconds", "30"),
    (ALL, "app livenessProbe timeoutSeconds", "5"),
    (ALL, "app livenessProbe periodSeconds", "10"),
    (ALL, "app readinessProbe httpGet path", "/heartbeat"),
    (ALL, "app readinessProbe initialDelaySeconds", "30"),
    (ALL, "app readinessProbe timeoutSeconds", "5"),
    (ALL, "app readinessProbe periodSeconds", "10"),
    // The database.
    ("prod", "config mongo options replicaSet", "VF-prod-shard-0"),
    ("prod", "config mongo hostUrls 0", "vf-prod-shard-00-00-z84pk.mongodb.net"),
    ("prod", "config mongo hostUrls 1", "vf-prod-shard-00-01-z84pk.mongodb.net"),
    ("prod", "config mongo hostUrls 2", "vf-prod-shard-00-02-z84pk.mongodb.net"),
    ("prod", "config mongo hostUrls 3", "-"),
    ("prod", "config mongo options dbName", "prod"),
    ("prod", "config mongo username", "signup-api"),
    (NON_PROD, "config mongo options replicaSet", "NonProd0-shard-0"),
    (NON_PROD, "config mongo hostUrls 0", "nonprod0-shard-00-00-iottj.mongodb.net"),
    (NON_PROD, "config mongo hostUrls 1", "nonprod0-shard-00-01-iottj.mongodb.net"),
    (NON_PROD, "config mongo hostUrls 2", "nonprod0-shard-00-02-iottj.mongodb.net"),
    (NON_PROD, "config mongo hostUrls 3", "-"),
    (NON_PROD, "config mongo options dbName", "dev"),
    (NON_PROD, "config mongo username", "nonprod-user1"),
    (ALL, "config mongo port", "27017"),
    (ALL, "config mongo options readPreference", "nearest"),
    (ALL, "config mongo options ssl", "true"),
    (ALL, "config mongo options authSource", "admin"),
    // The bucket.
    ("prod", "config aws clients scoringBucket bucketName", "prd2011.prod1.us-east-1.vf-scoring.tmaws"),
    ("dev", "config aws clients scoringBucket bucketName", "prd2011.dev1.us-east-1.vf-scoring.tmaws"),
    (ALL, "config aws clients scoringBucket region", "us-east-1"),
    // The ingress.
    ("prod", "Ingress spec rules 0 host", "vf-code-srvc.vf.prod9.us-east-1.tktm.io"),
    ("preprod", "Ingress spec rules 0 host", "vf-code-srvc.vf.preprod9.us-east-1.tktm.io"),
    ("dev", "Ingress spec rules 0 host", "vf-code-srvc-dev.vf.nonprod9.us-east-1.tktm.io"),
    ("qa", "Ingress spec rules 0 host", "vf-code-srvc-qa.vf.nonprod9.us-east-1.tktm.io"),
    (ALL, "Ingress metadata annotations alb.ingress.kubernetes.io/scheme", "internal"),
    (
        "prod",
        "Ingress metadata annotations alb.ingress.kubernetes.io/certificate-arn",
        "arn:aws:acm:us-east-1:667096744268:certificate/763fdb83-0bc0-4398-8687-8245469626d8",
    ),
    (
        "dev preprod",
        "Ingress metadata annotations alb.ingress.kubernetes.io/certificate-arn",
        "arn:aws:acm:us-east-1:234212695392:certificate/182d62fa-7cd8-4625-b6b5-86a2d4bea0dd",
    ),
    (ALL, "Ingress metadata annotations alb.ingress.kubernetes.io/listen-ports", "[{\"HTTPS\": 443}]"),
    (ALL, "Ingress metadata annotations alb.ingress.kubernetes.io/success-codes", "200"),
    (
        ALL,
        "Ingress metadata annotations alb.ingress.kubernetes.io/load-balancer-attributes",
        "idle_timeout.timeout_seconds=60",
    ),
    (ALL, "Ingress spec rules 0 http paths 0 backend service port name", "http"),
    (ALL, "config service dnsCacheTTL", "60000"),
    // The identity.
    (ALL, "pod serviceAccountName", "default"),
    (
        "prod",
        "Deployment spec template metadata annotations iam.amazonaws.com/role",
        "arn:aws:iam::889199535989:role/prd1541.titan.us-east-1.prod1.iam-kube-default",
    ),
    (
        "dev",
        "Deployment spec template metadata annotations iam.amazonaws.com/role",
        "arn:aws:iam::343550350117:role/prd1541.titan.us-east-1.dev1.iam-kube-default",
    ),
    // Tokens.
    (ALL, "app env [TITAN_JWT__PUBLIC_KEY_FILE] value", "/secrets/jwtPublicKey"),
    ("prod", "app env [TITAN_JWT__PRIVATE_KEY_FILE]", "-"),
    (NON_PROD, "app env [TITAN_JWT__PRIVATE_KEY_FILE] value", "/secrets/jwtPrivateKey"),
    (ALL, "config jwt allowAnon", "true"),
    // Variables.
    ("dev", "app env [NODE_ENV] value", "dev"),
    ("preprod", "app env [NODE_ENV] value", "preprod"),
    ("prod", "app env [NODE_ENV] value", "prod"),
    ("dev", "app env [ENVIRONMENT] value", "dev"),
    ("qa", "app env [ENVIRONMENT] value", "qa"),
    ("preprod", "app env [ENVIRONMENT] value", "preprod"),
    ("prod", "app env [ENVIRONMENT] value", "prod"),
    (ALL, "app env [AWS_REGION] value", "us-east-1"),
    (ALL, "app env [domain] value", "tktm.io"),
    ("dev", "app env [profile] value", "kube-dev"),
    ("prod", "app env [profile] value", "kube-prod"),
    (ALL, "app env [DOCKER_IMAGE_TAG] value", "0.1.0"),
    // Whose it is.
    (ALL, "Deployment metadata labels product-code", "prd1541"),
    (ALL, "Deployment metadata labels inventory-code", "vf-code-srvc"),
    (ALL, "Deployment spec template metadata labels inventory-code", "vf-code-srvc"),
    (ALL, "app name", "code-srvc"),
    // The sidecar.
    (ALL, "sidecar image", "tmhub.io/tm-waiting-room/fluentd:master-3454331"),
    (ALL, "sidecar resources requests cpu", "100m"),
    (ALL, "sidecar resources limits cpu", "100m"),
    (ALL, "sidecar resources requests memory", "500Mi"),
    (ALL, "sidecar resources limits memory", "500Mi"),
    (ALL, "app env [TITAN_LOG__FILE] value", "/logs/titan.log"),
    (ALL, "app volumeMounts [logs] mountPath", "/logs"),
    (ALL, "sidecar volumeMounts [logs] mountPath", "/logs"),
    // The clusters.
    (NON_PROD, "Deployment metadata labels cluster", "nonprod9.us-east-1"),
    ("preprod", "Deployment metadata labels cluster", "preprod9.us-east-1"),
    ("prod", "Deployment metadata labels cluster", "prod9.us-east-1"),
    (NON_PROD, "Deployment metadata labels account-type", "tm-nonprod"),
    (PROD, "Deployment metadata labels account-type", "tm-prod"),
    // Traces and metrics.
    (ALL, "config tracing collectorHost", "lightstep.prd1737.svc.cluster.local"),
    (ALL, "config tracing collectorPort", "8080"),
    (ALL, "config tracing encryption", "none"),
    (ALL, "app env [TITAN_TRACING__PRODUCT_CODE] value", "prd1541"),
    (ALL, "app env [TITAN_TRACING__SERVICE_NAME] value", "code-srvc"),
    (ALL, "Deployment spec template metadata annotations prometheus.io/path", "/metrics"),
    (ALL, "Deployment spec template metadata annotations prometheus.io/scrape", "true"),
    (ALL, "Deployment spec template metadata annotations prometheus.io/port", "8080"),
    (ALL, "app env [TITAN_METRICS__SYSTEM_METRIC_INTERVAL] value", "10000"),
];

/// What is not known and was taken from the environment that is nearest; the values' files say why.
const TAKEN: &[Row] = &[
    ("qa", "Deployment spec replicas", "1"),
    ("qa", "app resources requests cpu", "500m"),
    ("qa", "app resources limits cpu", "500m"),
    ("qa", "app resources requests memory", "512Mi"),
    ("qa", "app resources limits memory", "1Gi"),
    (
        "qa",
        "Ingress metadata annotations alb.ingress.kubernetes.io/certificate-arn",
        "arn:aws:acm:us-east-1:234212695392:certificate/182d62fa-7cd8-4625-b6b5-86a2d4bea0dd",
    ),
    (
        "qa",
        "Deployment spec template metadata annotations iam.amazonaws.com/role",
        "arn:aws:iam::343550350117:role/prd1541.titan.us-east-1.dev1.iam-kube-default",
    ),
    ("qa", "config aws clients scoringBucket bucketName", "prd2011.dev1.us-east-1.vf-scoring.tmaws"),
    ("qa", "app env [NODE_ENV] value", "qa"),
    ("qa", "app env [profile] value", "kube-dev"),
    ("preprod", "HorizontalPodAutoscaler spec minReplicas", "3"),
    ("preprod", "HorizontalPodAutoscaler spec maxReplicas", "12"),
    ("preprod", "HorizontalPodAutoscaler spec metrics 0 containerResource name", "cpu"),
    ("preprod", "HorizontalPodAutoscaler spec metrics 0 containerResource target averageUtilization", "25"),
    ("preprod", "PodDisruptionBudget spec minAvailable", "25%"),
    ("preprod", "app resources requests cpu", "500m"),
    ("preprod", "app resources limits cpu", "2"),
    ("preprod", "app resources requests memory", "1Gi"),
    ("preprod", "app resources limits memory", "3Gi"),
    (
        "preprod",
        "Deployment spec template metadata annotations iam.amazonaws.com/role",
        "arn:aws:iam::889199535989:role/prd1541.titan.us-east-1.prod1.iam-kube-default",
    ),
    ("preprod", "config mongo options replicaSet", "VF-prod-shard-0"),
    ("preprod", "config mongo hostUrls 0", "vf-prod-shard-00-00-z84pk.mongodb.net"),
    ("preprod", "config mongo hostUrls 1", "vf-prod-shard-00-01-z84pk.mongodb.net"),
    ("preprod", "config mongo hostUrls 2", "vf-prod-shard-00-02-z84pk.mongodb.net"),
    ("preprod", "config mongo hostUrls 3", "-"),
    ("preprod", "config mongo options dbName", "prod"),
    ("preprod", "config mongo username", "signup-api"),
    ("preprod", "config aws clients scoringBucket bucketName", "prd2011.prod1.us-east-1.vf-scoring.tmaws"),
    ("preprod", "app env [TITAN_JWT__PRIVATE_KEY_FILE]", "-"),
    ("preprod", "app env [profile] value", "kube-prod"),
];

/// A release and what it came to.
struct Stated {
    release: Release,
    rendered: Rendered,
}

impl Stated {
    /// What stands there, as a text.
    fn at(&self, path: &str) -> String {
        let mut words = path.split(' ');
        let mut here = self.place(words.next().expect("split yields one"));
        for word in words {
            here = match (word.strip_prefix('[').and_then(|word| word.strip_suffix(']')), here) {
                (Some(name), Value::Array(items)) => {
                    items.into_iter().find(|item| item["name"] == name).unwrap_or_default()
                }
                (None, Value::Array(items)) => {
                    let place: usize = word.parse().expect("the place in a list");
                    items.into_iter().nth(place).unwrap_or_default()
                }
                (None, mut here) => here[word].take(),
                (Some(_), _) => Value::Null,
            };
        }
        match here {
            Value::Null => "-".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    fn place(&self, word: &str) -> Value {
        let pod = || self.object("Deployment")["spec"]["template"]["spec"].take();
        match word {
            "release" => json!({ "name": self.release.name, "namespace": self.release.namespace }),
            "pod" => pod(),
            "app" => pod()["containers"][0].take(),
            "sidecar" => pod()["initContainers"][0].take(),
            "config" => self.config(),
            kind => self.object(kind),
        }
    }

    fn object(&self, which: &str) -> Value {
        self.rendered.object(&self.release, which)
    }

    /// What the host makes of its two files.
    fn config(&self) -> Value {
        let mut files = self.object("ConfigMap")["data"].take();
        let environment = self.at("app env [NODE_ENV] value");
        let mut file = |name: &str| -> Value {
            let text = files[format!("{name}.yaml")].take();
            serde_saphyr::from_str(text.as_str().expect("a text")).expect("YAML")
        };
        let mut config = file("default");
        merge(&mut config, file(&environment));
        config["titan"].take()
    }
}

fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            over.into_iter().for_each(|(key, value)| merge(under.entry(key).or_insert(Value::Null), value));
        }
        (under, over) => *under = over,
    }
}

/// The rows that do not hold.
fn wrong(rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    for environment in ENVIRONMENTS {
        let release = Release::of(environment);
        let stated = Stated { rendered: release.render(), release };
        for (environments, path, expected) in rows {
            if environments.split(' ').any(|one| one == environment) {
                let found = stated.at(path);
                if found != *expected {
                    wrong.push(format!("{environment}: {path} is {found}, not {expected}"));
                }
            }
        }
    }
    wrong
}

#[test]
fn every_fact_of_the_deployed_service_is_in_the_manifests() {
    assert!(KNOWN.len() > 100, "{}", KNOWN.len());
    assert_eq!(wrong(KNOWN), [""; 0]);
}

#[test]
fn what_was_taken_from_another_environment_is_in_the_manifests() {
    assert_eq!(wrong(TAKEN), [""; 0]);
}

#[test]
fn a_row_that_does_not_hold_is_found() {
    let rows = [("prod", "app resources limits memory", "4Gi"), ("prod", "Ingress spec nothing here", "x")];
    assert_eq!(wrong(&rows).len(), 2);
}
