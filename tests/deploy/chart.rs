//! The chart, rendered and linted by real Helm, and held against what Kubernetes knows.

mod facts;
pub(crate) mod helm;
mod host;
mod readme;
mod refused;

use std::path::{Path, PathBuf};

use helm::{ENVIRONMENTS, Release, chart, read, unknown_to_kubernetes};
use serde_json::{Value, json};

/// With this variable tests write what they would compare.
const UPDATE: &str = "UPDATE_GOLDEN";
const HOW: &str =
    "if it should be so, UPDATE_GOLDEN=1 cargo test --workspace --test deploy chart:: writes it";

fn golden(environment: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/golden/{environment}.yaml"))
}

#[test]
fn every_environment_renders_what_is_checked_in() {
    for environment in ENVIRONMENTS {
        let file = golden(environment);
        let manifests = Release::of(environment).render().manifests();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&file, manifests).expect("writable");
            continue;
        }
        let known = read(&file);
        let differs = known.lines().zip(manifests.lines()).find(|(a, b)| a != b);
        assert!(known == manifests, "{}: first {differs:?}; {HOW}", file.display());
    }
}

#[test]
fn two_renders_are_the_same() {
    for environment in ENVIRONMENTS {
        let release = Release::of(environment);
        assert_eq!(release.render(), release.render(), "{environment}");
    }
}

#[test]
fn kubernetes_knows_every_field() {
    for environment in ENVIRONMENTS {
        let manifests = Release::of(environment).render().manifests();
        assert_eq!(unknown_to_kubernetes(environment, &manifests), [""; 0], "{environment}");
    }
}

#[test]
fn kubernetes_knows_every_field_of_what_no_environment_has() {
    let tolerations = json!([{ "key": "codes", "operator": "Exists", "effect": "NoSchedule" }]);
    let prod = |values: Value| Release::of("prod").with(values);
    for (name, release, there) in [
        ("bare", Release::bare(), "name: bare"),
        ("no-sidecar", prod(json!({ "fluentd": { "enabled": false } })), "TITAN_LOG__FILE"),
        ("pull-secrets", prod(json!({ "image": { "pullSecrets": ["registry"] } })), "imagePullSecrets"),
        ("selector", prod(json!({ "nodeSelector": { "disk": "ssd" } })), "nodeSelector"),
        ("tolerations", prod(json!({ "tolerations": tolerations })), "tolerations"),
        (
            "features",
            Release::of("dev").with(json!({ "image": { "pullSecrets": ["registry"] } })),
            "kind: Pod",
        ),
        ("processors", prod(json!({ "resources": { "requests": { "cpu": 0.5 } } })), "cpu: 0.5"),
    ] {
        let manifests = release.render().manifests();
        assert!(manifests.contains(there), "{name}: {manifests}");
        assert_eq!(unknown_to_kubernetes(name, &manifests), [""; 0], "{name}");
    }
}

/// A ServiceMonitor is not Kubernetes' own, so its fields are held against those that the operator has.
#[test]
fn kubernetes_and_the_operator_know_every_field_with_a_service_monitor() {
    let release = Release::of("prod").with(json!({ "metrics": { "serviceMonitor": { "enabled": true } } }));
    let rendered = release.render();
    let mut complaints = unknown_to_kubernetes("monitor", &rendered.manifests());
    complaints.retain(|line| !line.contains("Couldn't find schema for kind ServiceMonitor"));
    assert_eq!(complaints, [""; 0]);
    let spec = rendered.object(&release, "ServiceMonitor")["spec"].take();
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&spec), ["endpoints", "selector"]);
    assert_eq!(keys(&spec["selector"]), ["matchLabels"]);
    assert_eq!(keys(&spec["endpoints"][0]), ["interval", "path", "port", "relabelings"]);
    assert_eq!(keys(&spec["endpoints"][0]["relabelings"][0]), ["replacement", "targetLabel"]);
}

#[test]
fn kubernetes_would_not_let_a_wrong_field_pass() {
    let manifests =
        Release::of("dev").render().manifests().replace("terminationGracePeriodSeconds", "gracePeriod");
    let complaints = unknown_to_kubernetes("wrong", &manifests);
    assert!(complaints.iter().any(|line| line.contains("gracePeriod")), "{complaints:?}");
}

#[test]
fn lint_finds_nothing_wrong() {
    assert_eq!(Release::bare().lint(), [""; 0]);
    for environment in ENVIRONMENTS {
        assert_eq!(Release::of(environment).lint(), [""; 0], "{environment}");
    }
}

#[test]
fn the_chart_carries_the_files_of_host_and_sidecar_as_they_are() {
    let deploy = chart().parent().expect("a folder").to_owned();
    let same = |ours: &str, theirs: &str| {
        let (ours, theirs) = (chart().join("files").join(ours), deploy.join(theirs));
        assert!(read(&ours) == read(&theirs), "{} must be a copy of {}", ours.display(), theirs.display());
    };
    same("fluent.conf", "fluentd/fluent.conf");
    for name in ["default"].into_iter().chain(ENVIRONMENTS) {
        same(&format!("config/{name}.yaml"), &format!("../config/{name}.yaml"));
    }
}

#[test]
fn the_chart_is_of_the_version_of_the_host() {
    let chart: Value = serde_saphyr::from_str(&read(&chart().join("Chart.yaml"))).expect("YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// Every pod of these manifests, with the name of what makes it.
fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let spec = |object: &Value| match object["kind"].as_str() {
        Some("Pod") => Some("/spec"),
        Some("Deployment" | "Job") => Some("/spec/template/spec"),
        _ => None,
    };
    let pods = objects.iter().filter_map(|object| {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        Some((name, object.pointer(spec(object)?).expect("a pod")))
    });
    pods.collect()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = [&pod["initContainers"], &pod["containers"]];
    lists.into_iter().filter_map(Value::as_array).flatten()
}

#[test]
fn every_pod_keeps_to_the_restricted_standard_and_to_its_own_files() {
    let objects = Release::of("dev").render().objects();
    let pods = pods(&objects);
    assert_eq!(pods.len(), 3, "deployment, job and features");
    for (name, pod) in pods {
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_eq!(security["runAsUser"], 65532, "{name}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        for container in containers(pod) {
            let security = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            });
            assert_eq!(container["securityContext"], security, "{name}");
            for amount in ["/requests/cpu", "/requests/memory", "/limits/cpu", "/limits/memory"] {
                assert!(container["resources"].pointer(amount).is_some(), "{name}: {amount}");
            }
        }
    }
}

/// Where these manifests hold a secret: a Secret itself, a key, or a value under a name that promises one.
fn secrets(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        let text = object.to_string().to_lowercase();
        let is_secret = object["kind"] == "Secret";
        // The host's files are texts within a text.
        let words = ["private key-----", "password\":", "password:"];
        if is_secret || words.iter().any(|words| text.contains(words)) {
            found.push(name);
        }
    }
    for (name, pod) in pods(objects) {
        for variable in containers(pod).filter_map(|container| container["env"].as_array()).flatten() {
            let variable_name = variable["name"].as_str().expect("a name");
            let plain = variable_name.to_uppercase().replace('_', "");
            let promises = ["PASSWORD", "TOKEN", "KEY", "URI"].iter().any(|word| plain.contains(word));
            if promises && !variable_name.ends_with("_FILE") && !variable["value"].is_null() {
                found.push(format!("{name}: {variable_name}"));
            }
        }
    }
    found
}

#[test]
fn no_manifest_holds_a_secret() {
    for environment in ENVIRONMENTS {
        assert_eq!(secrets(&Release::of(environment).render().objects()), [""; 0], "{environment}");
    }
}

#[test]
fn a_secret_in_a_manifest_would_be_found() {
    let pod = |variable: Value| json!({ "kind": "Pod", "metadata": {}, "spec": { "containers": [{ "env": [variable] }] } });
    let variable = |name: &str| pod(json!({ "name": name, "value": "hunter2" }));
    for object in [
        variable("TITAN_MONGO__PASSWORD"),
        variable("TITAN_MONGO__PASS_WORD"),
        variable("TITAN_MONGO__uri"),
        variable("USER_TOKEN"),
        variable("TITAN_JWT__PRIVATE_KEY"),
        json!({ "kind": "Secret" }),
        json!({ "kind": "ConfigMap", "data": { "prod.yaml": "titan:\n  mongo:\n    password: hunter2\n" } }),
    ] {
        assert_eq!(secrets(std::slice::from_ref(&object)).len(), 1, "{object}");
    }
    assert_eq!(secrets(&[variable("TITAN_MONGO__PASSWORD_FILE"), variable("TITAN_LOG__LEVEL")]), [""; 0]);
}

#[test]
fn no_pod_is_told_of_services_in_variables() {
    let objects = Release::of("dev").render().objects();
    let pods = pods(&objects);
    assert_eq!(pods.len(), 3, "deployment, job and features");
    for (name, pod) in pods {
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
    }
}

/// The value of every label, wherever it stands.
fn labels(of: &Value) -> Vec<&Value> {
    match of {
        Value::Object(keys) => {
            let is_labels = |key: &str| ["labels", "matchLabels", "selector"].contains(&key);
            let values = keys.iter().flat_map(|(key, value)| match value {
                Value::Object(labels) if is_labels(key) && !labels.contains_key("matchLabels") => {
                    labels.values().collect()
                }
                value => labels(value),
            });
            values.collect()
        }
        Value::Array(items) => items.iter().flat_map(labels).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_label_that_looks_like_a_number_is_a_text() {
    let mut release = Release::of("dev").with(json!({
        "product": { "code": "1541", "inventoryCode": "1e3" },
        "cluster": { "name": "9", "accountType": "true" },
        "image": { "tag": "7" },
    }));
    release.name = "5".to_owned();
    let objects = Value::from(release.render().objects());
    let labels = labels(&objects);
    for label in ["1541", "1e3", "9", "true", "7", "5"] {
        assert!(labels.iter().any(|found| **found == label), "{label}: {labels:?}");
    }
    assert!(labels.iter().all(|label| label.is_string()), "{labels:?}");
}

#[test]
fn whoever_may_go_at_once_the_last_pod_stays() {
    let release = Release::of("prod");
    let budget = release.render().object(&release, "PodDisruptionBudget");
    let percentage = budget["spec"]["minAvailable"].as_str().and_then(|text| text.strip_suffix('%'));
    let percentage: u32 = percentage.expect("a percentage").parse().expect("a number");
    // Kubernetes rounds up.
    let may_go = |pods: u32| pods - (pods * percentage).div_ceil(100);
    assert_eq!((may_go(3), may_go(4), may_go(8), may_go(12)), (2, 3, 6, 9));
    assert!((1..=12).all(|pods| may_go(pods) < pods));
}

#[test]
fn one_pod_has_no_budget_that_would_block_every_drain() {
    for (pods, budget) in [(1, false), (2, true)] {
        let release = Release::of("dev").with(json!({ "replicas": pods }));
        let there = !release.render().object(&release, "PodDisruptionBudget").is_null();
        assert_eq!(there, budget, "{pods}");
    }
}

/// Of a release with these values: the host's variables by name, and its pod.
fn told(values: Value) -> (Value, Value) {
    let release = Release::of("prod").with(values);
    let deployment = release.render().object(&release, "Deployment");
    let pod = deployment["spec"]["template"]["spec"].clone();
    let variables = pod["containers"][0]["env"].as_array().expect("variables").iter();
    let variables = variables.map(|v| (v["name"].as_str().expect("a name").to_owned(), v["value"].clone()));
    (variables.collect::<serde_json::Map<_, _>>().into(), pod)
}

#[test]
fn a_pod_is_given_the_time_that_host_and_sidecar_take_to_end() {
    for (values, delay, timeout, grace) in [
        (json!({}), "15s", "25s", 64),
        (json!({ "stop": { "delaySeconds": 5, "timeoutSeconds": 55 } }), "5s", "55s", 84),
    ] {
        let (variables, pod) = told(values);
        assert_eq!(variables["TITAN_SERVICE__STOP_DELAY"], delay);
        assert_eq!(variables["TITAN_SERVICE__STOP_TIMEOUT"], timeout);
        assert_eq!(pod["terminationGracePeriodSeconds"], grace);
    }
}

#[test]
fn the_host_keeps_idle_connections_longer_than_the_balancer() {
    let (variables, _) = told(json!({ "ingress": { "idleTimeoutSeconds": 120 } }));
    assert_eq!(variables["TITAN_SERVICE__IDLE_TIMEOUT"], "135s");
}

#[test]
fn the_sidecar_follows_the_file_that_the_host_writes() {
    let (variables, _) = told(json!({}));
    let file = variables["TITAN_LOG__FILE"].as_str().expect("a text");
    assert!(read(&chart().join("files/fluent.conf")).contains(&format!("\n  path {file}\n")), "{file}");
}

#[test]
fn without_the_sidecar_nothing_is_written_to_a_file() {
    let (variables, pod) = told(json!({ "fluentd": { "enabled": false } }));
    assert_eq!(variables["TITAN_LOG__FILE"], "");
    assert_eq!(pod["initContainers"], Value::Null);
    assert!(!pod.to_string().contains("/logs"), "{pod}");
}

#[test]
fn variables_of_a_deployment_go_before_the_chart_s() {
    let (variables, _) = told(json!({ "env": { "TITAN_LOG__LEVEL": "debug", "profile": "other" } }));
    assert_eq!((&variables["TITAN_LOG__LEVEL"], &variables["profile"]), (&json!("debug"), &json!("other")));
}

/// Helm reads numbers as floats, and writes large ones as 1e+06.
#[test]
fn whole_numbers_stay_whole() {
    let values = json!({
        "metrics": { "systemMetricInterval": 1_000_000 },
        "env": { "TITAN_LOG__MAX_BYTES": 104_857_600, "HALF": 0.5, "BOTH": true },
        "fluentd": { "env": { "LIMIT": 20_000_000 } },
    });
    let (variables, pod) = told(values);
    assert_eq!(variables["TITAN_METRICS__SYSTEM_METRIC_INTERVAL"], "1000000");
    assert_eq!(variables["TITAN_LOG__MAX_BYTES"], "104857600");
    assert_eq!((&variables["HALF"], &variables["BOTH"]), (&json!("0.5"), &json!("true")));
    let sidecar = pod["initContainers"][0]["env"].as_array().expect("variables");
    assert!(sidecar.contains(&json!({ "name": "LIMIT", "value": "20000000" })), "{sidecar:?}");
    let release = Release::of("prod").with(json!({ "createIndexes": { "timeoutSeconds": 1_000_000 } }));
    let job = release.render().object(&release, "Job/indexes");
    assert_eq!(job["spec"]["activeDeadlineSeconds"].as_u64(), Some(1_000_000));
}

#[test]
fn where_kube2iam_gives_the_role_the_host_asks_for_it_the_older_way() {
    let name = "AWS_IMDSV1_FALLBACK";
    assert_eq!(told(json!({})).0[name], "true");
    for other in [json!({ "kube2iam": false }), json!({ "roleArn": "" })] {
        let (variables, _) = told(json!({ "serviceAccount": other }));
        assert_eq!(variables[name], Value::Null, "{other}");
    }
}

#[test]
fn a_new_pod_is_healthy_to_the_balancer_while_the_old_one_still_answers() {
    for environment in ENVIRONMENTS {
        let release = Release::of(environment);
        let rendered = release.render();
        let annotations = rendered.object(&release, "Ingress")["metadata"]["annotations"].take();
        let number = |name: &str| -> u64 {
            let text = annotations[format!("alb.ingress.kubernetes.io/{name}")].as_str().expect(name);
            text.parse().expect("a number")
        };
        let interval = number("healthcheck-interval-seconds");
        // What the balancer itself wants.
        assert!(number("healthcheck-timeout-seconds") < interval && interval >= 5, "{annotations}");
        let app = rendered.object(&release, "Deployment")["spec"]["template"]["spec"]["containers"][0].take();
        let variables = app["env"].as_array().expect("variables");
        let delay = variables.iter().find(|variable| variable["name"] == "TITAN_SERVICE__STOP_DELAY");
        let delay = delay.and_then(|delay| delay["value"].as_str()?.strip_suffix('s')).expect("seconds");
        let delay: u64 = delay.parse().expect("a number");
        assert!(number("healthy-threshold-count") * interval <= delay, "{environment}: {delay}");
    }
}

#[test]
fn the_command_of_an_environment_waits_longer_than_the_job_may_take() {
    for environment in ENVIRONMENTS {
        let release = Release::of(environment);
        let job = release.render().object(&release, "Job/indexes");
        let most = job["spec"]["activeDeadlineSeconds"].as_u64().expect("a number");
        let text = read(&chart().join(format!("values/{environment}.yaml")));
        let (_, timeout) = text.lines().next().expect("a line").split_once("--timeout ").expect("a timeout");
        let minutes: u64 = timeout.strip_suffix('m').expect("minutes").parse().expect("a number");
        assert!(minutes * 60 > most, "{environment}: {minutes} minutes");
    }
}

#[test]
fn what_is_configured_goes_over_the_environment_s_file_and_makes_new_pods() {
    let plain = Release::of("prod");
    let other = plain
        .clone()
        .with(json!({ "config": { "titan": { "mongo": { "options": { "maxPoolSize": 50 } } } } }));
    let (before, after) = (plain.render(), other.render());
    for name in ["ConfigMap", "ConfigMap/indexes"] {
        let file = &after.object(&other, name)["data"]["prod.yaml"];
        let file: Value = serde_saphyr::from_str(file.as_str().expect("a text")).expect("YAML");
        let options = &file["titan"]["mongo"]["options"];
        assert_eq!((&options["maxPoolSize"], &options["dbName"]), (&json!(50), &json!("prod")));
    }
    let sum = |rendered: &helm::Rendered| {
        let deployment = rendered.object(&plain, "Deployment");
        deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    assert!(sum(&before).is_string() && sum(&before) != sum(&after));
}

#[test]
fn a_service_account_that_the_chart_creates_has_the_role() {
    let release = Release::of("prod").with(json!({ "serviceAccount": { "create": true } }));
    let rendered = release.render();
    let account = rendered.object(&release, "ServiceAccount");
    let role = "arn:aws:iam::889199535989:role/prd1541.titan.us-east-1.prod1.iam-kube-default";
    assert_eq!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], role);
    let pod = |which: &str| {
        rendered.object(&release, which)["spec"]["template"]["spec"]["serviceAccountName"].clone()
    };
    assert_eq!(pod("Deployment"), release.name);
    // The job runs before the account is there.
    assert_eq!(pod("Job/indexes"), "default");
    assert_eq!(unknown_to_kubernetes("account", &rendered.manifests()), [""; 0]);
}

#[test]
fn the_job_brings_what_it_needs_and_runs_before_anything_is_touched() {
    let release = Release::of("prod");
    let rendered = release.render();
    let (job, files) =
        (rendered.object(&release, "Job/indexes"), rendered.object(&release, "ConfigMap/indexes"));
    let hook =
        |object: &Value, what: &str| object["metadata"]["annotations"][format!("helm.sh/{what}")].clone();
    for object in [&job, &files] {
        assert_eq!(hook(object, "hook"), "pre-install,pre-upgrade");
    }
    let weight = |object: &Value| {
        hook(object, "hook-weight").as_str().expect("a text").parse::<i32>().expect("a number")
    };
    assert!(weight(&files) < weight(&job), "its files come first");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["configMap"]["name"], files["metadata"]["name"]);
    assert_eq!(files["data"], rendered.object(&release, "ConfigMap")["data"]);
    // It signs nothing and checks nobody.
    assert!(!job.to_string().contains("jwt"), "{job}");
    let selected = &rendered.object(&release, "Service")["spec"]["selector"];
    assert_ne!(
        job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
        selected["app.kubernetes.io/name"]
    );
}

#[test]
fn prometheus_operator_names_the_job_as_the_alert_rules_do() {
    let release = Release::of("prod").with(json!({ "metrics": { "serviceMonitor": { "enabled": true } } }));
    let monitor = release.render().object(&release, "ServiceMonitor");
    let job = monitor["spec"]["endpoints"][0]["relabelings"][0]["replacement"].as_str().expect("a name");
    let rules = read(&chart().join("../prometheus/alerts.yaml"));
    assert!(rules.contains(&format!("job=\"{job}\"")), "{job}");
}

#[test]
fn the_notes_say_where_it_answers_and_which_secrets_must_be_there() {
    let rendered = Release::of("prod").render();
    let notes = rendered.notes();
    for words in [
        "https://vf-code-srvc.vf.prod9.us-east-1.tktm.io/heartbeat",
        "code-service-jwt, key public.pem",
        "label namespace prd1541 elbv2.k8s.aws/pod-readiness-gate-inject=enabled",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    let bare = Release::bare().render();
    assert!(bare.notes().contains("port-forward service/bare 8080"));
    // No balancer, no label.
    assert!(!bare.notes().contains("readiness-gate"));
}
