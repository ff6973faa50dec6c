//! Values that are wrong: `helm lint` says so, and where.

use serde_json::{Value, json};

use super::helm::Release;

/// Lint's sentences about a release of this environment with these values.
fn said(environment: &str, values: &Value) -> String {
    Release::of(environment).with(values.clone()).lint().join("\n")
}

#[test]
fn a_wrong_value_fails_lint_with_a_sentence_that_names_it() {
    let wrong = [
        ("dev", json!({ "replicas": -1 }), "'/replicas': minimum: got -1, want 1"),
        ("dev", json!({ "replicas": "3" }), "'/replicas': got string, want integer"),
        (
            "dev",
            json!({ "environment": "production" }),
            "'/environment': value must be one of 'dev', 'qa', 'preprod', 'prod'",
        ),
        ("dev", json!({ "replicaCount": 3 }), "additional properties 'replicaCount' not allowed"),
        (
            "dev",
            json!({ "image": { "version": "1" } }),
            "'/image': additional properties 'version' not allowed",
        ),
        (
            "prod",
            json!({ "autoscaling": { "targetCPUUtilizationPercentage": 250 } }),
            "'/autoscaling/targetCPUUtilizationPercentage': maximum: got 250, want 100",
        ),
        (
            "prod",
            json!({ "disruptionBudget": { "maxUnavailablePercentage": 100 } }),
            "'/disruptionBudget/maxUnavailablePercentage': maximum: got 100, want 99",
        ),
        (
            "prod",
            json!({ "secrets": { "mongoPassword": { "name": null } } }),
            "'/secrets/mongoPassword': missing property 'name'",
        ),
        (
            "prod",
            json!({ "secrets": { "mongoPassword": { "name": "" } } }),
            "'/secrets/mongoPassword/name': '' does not match pattern",
        ),
        (
            "prod",
            json!({ "secrets": { "mongoPassword": null } }),
            "'/secrets': missing property 'mongoPassword'",
        ),
        (
            "prod",
            json!({ "secrets": { "jwtPublicKey": null } }),
            "'/secrets': missing property 'jwtPublicKey'",
        ),
        (
            "prod",
            json!({ "secrets": { "jwtPrivateKey": { "name": "keys", "key": "private.pem" } } }),
            "'/secrets/jwtPrivateKey': value must be 'left out: in prod only the public key belongs'",
        ),
        (
            "dev",
            json!({ "config": { "titan": { "mongo": { "password": "hunter2" } } } }),
            "'/config/titan/mongo/password': value must be 'set by secrets.mongoPassword, not here'",
        ),
        (
            "dev",
            json!({ "env": { "TITAN_MONGO__URI": "mongodb://me:hunter2@a" } }),
            "'/env/TITAN_MONGO__URI': value must be 'set by secrets.mongoUri, not here'",
        ),
        // The host reads these, too.
        (
            "dev",
            json!({ "env": { "TITAN_JWT__PRIVATEKEY": "hunter2" } }),
            "'/env/TITAN_JWT__PRIVATEKEY': value must be 'set by secrets.jwtPrivateKey, not here'",
        ),
        (
            "dev",
            json!({ "env": { "TITAN_MONGO__PASS_WORD": "hunter2" } }),
            "'/env/TITAN_MONGO__PASS_WORD': value must be 'set by secrets.mongoPassword, not here'",
        ),
        (
            "dev",
            json!({ "features": { "env": { "TITAN__tracing__Access_Token_": "hunter2" } } }),
            "'/features/env/TITAN__tracing__Access_Token_': value must be 'set by secrets.tracingAccessToken, not here'",
        ),
        (
            "dev",
            json!({ "env": { "AWS_SECRET_ACCESS_KEY": "hunter2" } }),
            "'/env/AWS_SECRET_ACCESS_KEY': value must be 'given by serviceAccount.roleArn, not here'",
        ),
        (
            "dev",
            json!({ "features": { "env": { "SUPREME_TOKEN": "hunter2" } } }),
            "'/features/env/SUPREME_TOKEN': value must be 'signed with secrets.jwtPrivateKey, not given here'",
        ),
        (
            "dev",
            json!({ "features": { "env": { "USER_TOKEN": "hunter2" } } }),
            "'/features/env/USER_TOKEN': value must be 'signed with secrets.jwtPrivateKey, not given here'",
        ),
        (
            "dev",
            json!({ "env": { "NODE_ENV": "prod" } }),
            "'/env/NODE_ENV': value must be 'set by environment, not here'",
        ),
        ("prod", json!({ "profile": "kube-dev" }), "'/profile': value must be 'kube-prod'"),
        ("dev", json!({ "product": { "code": "-prd" } }), "'/product/code': '-prd' does not match pattern"),
        (
            "dev",
            json!({ "cluster": { "name": format!("{}.{}", "a".repeat(32), "b".repeat(31)) } }),
            "'/cluster/name': maxLength: got 64, want 63",
        ),
        ("dev", json!({ "nodeSelector": { "disk": "a b" } }), "'/nodeSelector/disk': 'a b' does not match"),
        ("dev", json!({ "image": { "tag": "1.0-" } }), "'/image/tag': '1.0-' does not match pattern"),
        ("dev", json!({ "image": { "tag": "1." } }), "'/image/tag': '1.' does not match pattern"),
        ("dev", json!({ "product": { "serviceName": "fluentd" } }), "'/product/serviceName': 'not' failed"),
        (
            "dev",
            json!({ "product": { "serviceName": "a.b" } }),
            "'/product/serviceName': 'a.b' does not match",
        ),
        ("dev", json!({ "product": { "serviceName": "a".repeat(64) } }), "aaaa' does not match pattern"),
        ("dev", json!({ "ingress": { "host": "a..b" } }), "'/ingress/host': 'a..b' does not match pattern"),
        (
            "dev",
            json!({ "secrets": { "jwtPublicKey": { "name": "a..b" } } }),
            "'/secrets/jwtPublicKey/name': 'a..b' does not match pattern",
        ),
        (
            "prod",
            json!({ "serviceAccount": { "roleArn": "iam-kube-default" } }),
            "'/serviceAccount/roleArn': 'iam-kube-default' does not match pattern",
        ),
        (
            "prod",
            json!({ "ingress": { "certificateArn": "" } }),
            "'/ingress/certificateArn': '' does not match pattern",
        ),
        (
            "prod",
            json!({ "ingress": { "scheme": "public" } }),
            "'/ingress/scheme': value must be one of 'internal'",
        ),
        (
            "prod",
            json!({ "probes": { "liveness": { "path": "/ready" } } }),
            "'/probes/liveness/path': value must be '/heartbeat'",
        ),
        (
            "prod",
            json!({ "stop": { "delaySeconds": "15s" } }),
            "'/stop/delaySeconds': got string, want integer",
        ),
        ("prod", json!({ "service": { "port": 80 } }), "'/service/port': minimum: got 80, want 1,024"),
        (
            "prod",
            json!({ "resources": { "limits": { "memory": "3 GB" } } }),
            "'/resources/limits/memory': '3 GB' does not match pattern",
        ),
        // Half a byte.
        (
            "prod",
            json!({ "resources": { "requests": { "memory": "512m" } } }),
            "'/resources/requests/memory': '512m' does not match pattern",
        ),
        (
            "prod",
            json!({ "resources": { "requests": { "cpu": "1Gi" } } }),
            "'/resources/requests/cpu': '1Gi' does not match pattern",
        ),
        ("prod", json!({ "stop": { "lastSeconds": 8 } }), "'/stop/lastSeconds': minimum: got 8, want 9"),
    ];
    for (environment, values, sentence) in wrong {
        let said = said(environment, &values);
        assert!(said.contains(sentence), "{values}: {said:?}");
        // A password that was put in the wrong place is not in the build's log, too.
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// A schema cannot compare two values.
#[test]
fn values_that_do_not_go_together_are_not_rendered() {
    for (good, wrong, sentence) in [
        (
            json!({ "autoscaling": { "minReplicas": 12 } }),
            json!({ "autoscaling": { "minReplicas": 20 } }),
            "autoscaling.minReplicas is 20, more than autoscaling.maxReplicas, which is 12",
        ),
        // Of three pods 66 % are two, and 67 % are three.
        (
            json!({ "disruptionBudget": { "maxUnavailablePercentage": 34 } }),
            json!({ "disruptionBudget": { "maxUnavailablePercentage": 33 } }),
            "disruptionBudget.maxUnavailablePercentage is 33: of 3 pods, the fewest, 67 % must stay, which rounded up \
             are all, so no node could be drained; it must be at least 34",
        ),
        (
            json!({ "disruptionBudget": { "maxUnavailablePercentage": 25 }, "autoscaling": { "minReplicas": 4 } }),
            json!({ "disruptionBudget": { "maxUnavailablePercentage": 25 } }),
            "it must be at least 34",
        ),
        (
            json!({ "stop": { "delaySeconds": 100, "timeoutSeconds": 3500 } }),
            json!({ "stop": { "delaySeconds": 100, "timeoutSeconds": 3501 } }),
            "stop.delaySeconds and stop.timeoutSeconds are 3601 together, and the balancer waits for at most 3600",
        ),
        (
            json!({ "rollout": { "maxSurge": 0, "maxUnavailable": "25%" } }),
            json!({ "rollout": { "maxSurge": "0%", "maxUnavailable": 0 } }),
            "rollout.maxSurge and rollout.maxUnavailable are both 0",
        ),
    ] {
        let render = |values: &Value| Release::of("prod").with(values.clone()).try_render();
        assert_eq!(render(&good).err(), None, "{good}");
        let error = render(&wrong).expect_err(sentence);
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn what_only_looks_wrong_passes_lint() {
    for values in [
        json!({ "env": { "TITAN_MONGO__PASSWORD_FILE": "/secrets/mongoPassword" } }),
        json!({ "resources": { "requests": { "cpu": "0.5" }, "limits": { "cpu": 1.5 } } }),
        json!({ "image": { "tag": "1.0-rc.1" } }),
        json!({ "ingress": { "host": "codes.example.com" } }),
        json!({ "product": { "code": "1541" } }),
    ] {
        assert_eq!(said("prod", &values), "", "{values}");
    }
}

#[test]
fn whoever_has_a_connection_string_needs_no_password() {
    let uri = json!({ "secrets": { "mongoPassword": null, "mongoUri": { "name": "mongo", "key": "uri" } } });
    assert_eq!(said("prod", &uri), "");
}
