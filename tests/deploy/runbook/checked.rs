//! Commands that are not run: whether what they name is there.

use std::collections::BTreeSet;

use code_service_tests::fresh_database;
use code_service_tests::repository::root;
use serde_json::{Value, json};

use crate::chart::helm::{ENVIRONMENTS, Release, chart};
use crate::terraform::Copy;

/// What follows a flag, behind a space or an equals sign, each time that it is there.
fn all<'a>(words: &'a [String], flag: &str) -> Vec<&'a str> {
    let behind = |place: usize| match words[place].strip_prefix(flag)?.strip_prefix('=') {
        Some(value) => Some(value),
        None if words[place] == flag => words.get(place + 1).map(String::as_str),
        None => None,
    };
    (0..words.len()).filter_map(behind).collect()
}

#[track_caller]
fn one<'a>(words: &'a [String], flag: &str) -> &'a str {
    let found = all(words, flag);
    assert_eq!(found.len(), 1, "{flag} of {words:?}");
    found[0]
}

/// The words that are no flags; a flag that is neither in `values`, which take one, nor in `switches` is refused.
#[track_caller]
fn rest<'a>(words: &'a [String], values: &[&str], switches: &[&str]) -> Vec<&'a str> {
    let mut rest = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        if !word.starts_with('-') {
            rest.push(word);
        } else if values.contains(&flag) {
            let value = value.or_else(|| words.next());
            assert!(value.is_some_and(|value| !value.is_empty()), "{flag} says nothing");
        } else {
            assert!(switches.contains(&word), "no test knows {word}");
        }
    }
    rest
}

const SETS: [&str; 5] = ["--namespace", "--values", "--set", "--set-string", "--set-json"];

/// Checks a command, and renders the release that it is about.
#[track_caller]
pub(super) fn helm(words: &[String]) -> String {
    let known = [&SETS[..], &["--timeout"]].concat();
    match rest(words, &known, &["--strict", "--install", "--wait", "--logs"])[..] {
        ["history", name] => {
            assert_eq!(rest(words, &["--namespace"], &[]).len(), 2);
            about(words, "prod", name);
        }
        ["rollback", name] => {
            assert_eq!(rest(words, &["--namespace", "--timeout"], &["--wait"]).len(), 2);
            about(words, "prod", name);
        }
        ["test", name] => {
            assert_eq!(rest(words, &["--namespace", "--timeout"], &["--logs"]).len(), 2);
            let environment = ENVIRONMENTS.into_iter().find(|it| Release::of(it).name == name);
            let release = about(words, environment.expect("a release"), name);
            assert!(!release.render().object(&release, "Pod/features").is_null(), "no features in {name}");
        }
        ["lint", folder] => {
            assert_eq!(rest(words, &["--values"], &["--strict"]).len(), 2);
            assert_eq!(Release::of(&environment(words, folder)).lint(), Vec::<String>::new());
        }
        ["template", name, folder] => {
            assert_eq!(rest(words, &SETS, &[]).len(), 3);
            return about(words, &environment(words, folder), name).with(set(words)).render().manifests();
        }
        ["upgrade", name, folder] => {
            assert_eq!(rest(words, &known, &["--install", "--wait"]).len(), 3);
            let minutes: u64 = one(words, "--timeout").trim_end_matches('m').parse().expect("so many m");
            // That of the job that Helm waits for.
            assert!(minutes * 60 > 1800, "{words:?}");
            return about(words, &environment(words, folder), name).with(set(words)).render().manifests();
        }
        _ => panic!("no test knows helm {words:?}"),
    }
    String::new()
}

/// The release that a command names.
#[track_caller]
fn about(words: &[String], environment: &str, name: &str) -> Release {
    let release = Release::of(environment);
    assert_eq!((name, one(words, "--namespace")), (&*release.name, &*release.namespace));
    release
}

/// The environment whose values a command gives to the chart.
#[track_caller]
fn environment(words: &[String], folder: &str) -> String {
    assert_eq!(root().join(folder).canonicalize().expect("it is there"), chart());
    let values = root().join(one(words, "--values")).canonicalize().expect("there are such values");
    assert_eq!(values.parent(), Some(&*chart().join("values")));
    values.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// What the flags that begin with `--set` set.
fn set(words: &[String]) -> Value {
    let mut values = json!({});
    for (flag, parse) in [
        ("--set", guessed as fn(&str) -> Value),
        ("--set-string", |text| json!(text)),
        ("--set-json", |text| serde_json::from_str(text).expect("JSON")),
    ] {
        for setting in all(words, flag) {
            let (path, value) = setting.split_once('=').expect("a path and a value");
            let place = path.split('.').fold(&mut values, |place, key| &mut place[key]);
            *place = parse(value);
        }
    }
    values
}

/// A number where it looks like one, as Helm has it.
fn guessed(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// Checks a command; the names of the Secrets that it is about, and the keys that it puts into them.
#[track_caller]
pub(super) fn kubectl(words: &[String]) -> Vec<(String, Option<String>)> {
    let release = Release::of("prod");
    let known = ["--namespace", "--from-file", "--container", "--tail", "--selector"];
    if rest(words, &known, &[])[..2] == ["label", "namespace"] {
        // It means something where the balancer sends to pods.
        let gate = "elbv2.k8s.aws/pod-readiness-gate-inject=enabled";
        assert_eq!(words[2..], [&*release.namespace, gate], "no test knows kubectl {words:?}");
        let ingress = release.render().object(&release, "Ingress");
        assert_eq!(ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/target-type"], "ip");
        return Vec::new();
    }
    assert_eq!((&*words[0], &*words[1]), ("--namespace", &*release.namespace));
    let words: Vec<&str> = words[2..].iter().map(String::as_str).collect();
    let rendered = release.render();
    let is_there = |kind: &str, name: &str| {
        let which = match name.strip_prefix(&release.name).expect("of the release") {
            "" => kind.to_owned(),
            word => format!("{kind}/{}", word.trim_start_matches('-')),
        };
        assert!(!rendered.object(&release, &which).is_null(), "no {kind} {name}");
    };
    match words[..] {
        ["create", "secret", "generic", name, ref files @ ..] => {
            let key = |file: &&str| {
                let key = file.strip_prefix("--from-file=")?.split_once('=')?.0;
                Some((name.to_owned(), Some(key.to_owned())))
            };
            return files.iter().map(|file| key(file).unwrap_or_else(|| panic!("{words:?}"))).collect();
        }
        ["delete", "secret", name] => return vec![(name.to_owned(), None)],
        ["rollout", "status", object] | ["logs", object] => match object.split_once('/') {
            Some(("deployment", name)) => is_there("Deployment", name),
            Some(("job", name)) => is_there("Job", name),
            other => panic!("{other:?}"),
        },
        ["logs", object, "--container", container, "--tail=100"] => {
            is_there("Deployment", object.trim_start_matches("deployment/"));
            let pod = &rendered.object(&release, "Deployment")["spec"]["template"]["spec"];
            let mut containers = pod["containers"].as_array().into_iter().flatten();
            assert!(containers.any(|it| it["name"] == container), "{container}");
        }
        ["get", "horizontalpodautoscaler", name] => is_there("HorizontalPodAutoscaler", name),
        ["get", "pods", "--selector", label] => {
            let (label, value) = label.split_once('=').expect("a label and its value");
            let pod = &rendered.object(&release, "Deployment")["spec"]["template"]["metadata"];
            assert_eq!(pod["labels"][label], value, "{label}");
        }
        _ => panic!("no test knows kubectl {words:?}"),
    }
    Vec::new()
}

/// Checks a command; the resources that it takes over, or that it would make.
#[track_caller]
pub(super) fn terraform(words: &[String]) -> Resources {
    let known = ["-chdir", "-backend-config", "-var-file", "-var", "-out"];
    rest(words, &known, &["-reconfigure"]);
    let folder = root().join(one(words, "-chdir"));
    let read =
        |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for file in all(words, "-var-file") {
        assert!(folder.join(file).exists(), "{file}");
    }
    for variable in all(words, "-var") {
        let (name, value) = variable.split_once('=').expect("a name and a value");
        assert!(read("variables.tf").contains(&format!("variable \"{name}\"")), "{name}");
        if name == "service_account" {
            assert_eq!(value, with_an_account_of_its_own(), "the pods run as another");
        }
    }
    let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    match words[..] {
        ["init", "-reconfigure", ref settings @ ..] => {
            let keys: Vec<&str> = settings.iter().filter_map(|it| it.split('=').nth(1)).collect();
            assert_eq!(keys, ["bucket", "key", "region", "use_lockfile"]);
            let versions = read("versions.tf");
            // The first that has use_lockfile.
            assert!(versions.contains("backend \"s3\" {}") && versions.contains("version = \">= 1.10\""));
        }
        ["plan", .., "-out=prod.tfplan"] => return Resources::Made(planned(&words)),
        ["apply", "prod.tfplan"] => {}
        ["import", file, address, id] => {
            let known = read(file.strip_prefix("-var-file=").expect("the environment"));
            let value = |name: &str| {
                let mut lines = known.lines().filter_map(|line| line.split_once('='));
                let value = lines.find(|(key, _)| key.trim() == name).expect("it is known").1;
                value.trim().trim_matches('"').to_owned()
            };
            // What the provider's documentation calls its import.
            let expected = match address.split('.').next().expect("a type") {
                "aws_iam_role" => value("role"),
                "aws_iam_role_policy" => value("role") + ":code-service",
                kind if kind.starts_with("aws_s3_bucket") => value("bucket"),
                kind if kind.starts_with("aws_ecr_") => "titan/code-service".to_owned(),
                kind => panic!("no test knows how {kind} is imported"),
            };
            assert_eq!(id, expected, "{address}");
            return Resources::TakenOver(address.to_owned());
        }
        _ => panic!("no test knows terraform {words:?}"),
    }
    Resources::None
}

pub(super) enum Resources {
    None,
    TakenOver(String),
    /// None where there is no Terraform.
    Made(Option<BTreeSet<String>>),
}

/// What a plan would make, where nothing is.
#[track_caller]
fn planned(words: &[&str]) -> Option<BTreeSet<String>> {
    let copy = Copy::shared()?;
    let state = format!("-state={}.tfstate", fresh_database());
    copy.succeed(&[words, &["-input=false", "-no-color", "-lock=false", &state]].concat());
    let plan: Value = serde_json::from_str(&copy.succeed(&["show", "-json", "prod.tfplan"])).expect("JSON");
    let resources = plan["planned_values"]["root_module"]["resources"].as_array().expect("some");
    Some(resources.iter().map(|it| it["address"].as_str().expect("one").to_owned()).collect())
}

/// The pods' service account, as namespace:name, where the chart makes it and gives it its role.
fn with_an_account_of_its_own() -> String {
    let release = Release::of("prod").with(json!({ "serviceAccount": { "create": true } }));
    let rendered = release.render();
    let account = &rendered.object(&release, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"];
    let made = &rendered.object(&release, "ServiceAccount")["metadata"];
    assert!(made["name"] == *account && made["annotations"]["eks.amazonaws.com/role-arn"].is_string());
    format!("{}:{}", release.namespace, account.as_str().expect("a name"))
}

#[track_caller]
pub(super) fn docker(words: &[String]) {
    let values = std::fs::read_to_string(chart().join("values.yaml")).expect("it is there");
    let is_ours = |image: &str| {
        let repository = image.rsplit_once(':').expect("a tag").0;
        assert!(values.contains(&format!("repository: {repository}\n")), "{repository}");
    };
    let features = |name: &str| {
        let file = root().join("examples/host/features").join(name);
        std::fs::read_to_string(file).expect("it is there")
    };
    if words[0] == "run" {
        let rest = rest(words, &["--env", "--profile"], &["--rm"]);
        let ["run", image] = rest[..] else { panic!("no test knows docker {words:?}") };
        is_ours(image);
        assert!(image.ends_with("-features"), "{image}");
        for variable in all(words, "--env") {
            let name = variable.split('=').next().expect("a name");
            assert!(features("README.md").contains(&format!("`{name}`")), "{name}");
        }
        let profile = one(words, "--profile");
        assert!(features("cucumber.js").contains(&format!(" as '{profile}' ")), "{profile}");
        return;
    }
    let known = ["--file", "--target", "--platform", "--build-arg", "--tag"];
    assert_eq!(rest(words, &known, &["--push"]), ["buildx", "build", "."], "no test knows docker {words:?}");
    let file = std::fs::read_to_string(root().join(one(words, "--file"))).expect("it is there");
    let target = one(words, "--target");
    assert!(file.contains(&format!(" AS {target}\n")), "no stage {target}");
    for argument in all(words, "--build-arg") {
        let name = argument.split('=').next().expect("a name");
        assert!(file.contains(&format!("\nARG {name}=")), "{name}");
    }
    is_ours(one(words, "--tag"));
}
