//! The runbook: its commands are run as far as that is possible here, and it knows every alert.

mod checked;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use code_service_tests::{Database, Host, Keys, database, fresh_database};
use serde_json::Value;

use checked::{Resources, docker, helm, kubectl, terraform};

/// For variables that the runbook leaves to its reader.
const VARIABLES: &[(&str, &str)] = &[
    ("STATE_BUCKET", "states"),
    ("NODE_ROLE", "arn:aws:iam::889199535989:role/nodes"),
    ("OIDC_PROVIDER", "arn:aws:iam::889199535989:oidc-provider/oidc.example.com/id/A"),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The lines of all blocks of commands; each is one.
fn commands() -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in read("RUNBOOK.md").lines().map(str::trim) {
        if let Some(tag) = line.strip_prefix("```") {
            inside = tag == "sh";
        } else if inside {
            found.push(line.to_owned());
        }
    }
    found
}

/// The words of a command, as a shell sees them.
fn words(line: &str) -> Vec<String> {
    let split = format!("set -- {line}\nprintf '%s\\0' \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-euc", &split]).envs(VARIABLES.iter().copied()).env("BASE_URL", "").env("TOKEN", "");
    let said = shell.output().expect("every system has sh");
    assert!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).expect("text");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// What a command calls: its first word that sets no variable.
fn program(line: &str) -> &str {
    line.split(' ').find(|word| !word.contains('=')).expect("a command calls something")
}

#[test]
fn commands_that_need_an_account_a_cluster_or_an_engine_name_what_is_there() {
    let mut rendered = String::new();
    let mut secrets = BTreeSet::new();
    let mut taken_over = BTreeSet::new();
    let mut made = Vec::new();
    for line in commands() {
        let words = words(&line);
        match program(&line) {
            "helm" => rendered.push_str(&helm(&words[1..])),
            "kubectl" => secrets.extend(kubectl(&words[1..])),
            "terraform" => match terraform(&words[1..]) {
                Resources::TakenOver(one) => assert!(taken_over.insert(one), "{line}: for a second time"),
                Resources::Made(some) => made.extend(some),
                Resources::None => {}
            },
            "docker" => docker(&words[1..]),
            // The other test runs them.
            "code-service-host" | "curl" | "openssl" => {}
            other => panic!("no test knows {other}: {line}"),
        }
    }
    let names: BTreeSet<&str> = secrets.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let rendered = rendered.replace('"', "");
    for secret in names {
        assert!(rendered.contains(&format!("name: {secret}\n")), "no release reads the Secret {secret}");
    }
    // And every Secret that is read is made, with all that is read of it.
    for environment in ["dev", "prod"] {
        let values: Value =
            serde_saphyr::from_str(&read(&format!("chart/values/{environment}.yaml"))).expect("YAML");
        for secret in values["secrets"].as_object().expect("some").values() {
            let text = |key: &str| secret[key].as_str().expect("a text").to_owned();
            assert!(secrets.contains(&(text("name"), Some(text("key")))), "nobody makes {secret}");
        }
    }
    // What a plan would make without knowing that it is there is all taken over.
    for made in made {
        assert_eq!(taken_over, made);
    }
    assert_eq!(taken_over.len(), 12, "{taken_over:?}");
}

type Check = fn(&[String]);

#[test]
fn commands_that_nobody_knows_are_refused() {
    const FOLDER: &str = "-chdir=examples/host/deploy/terraform";
    const CHART: &str = "examples/host/deploy/chart --values examples/host/deploy/chart/values/prod.yaml";
    const IMAGE: &str = "889199535989.dkr.ecr.us-east-1.amazonaws.com/titan/code-service:1";
    let plan = format!("{FOLDER} plan -var-file=environments/prod.tfvars");
    let checks: [(Check, Vec<(String, &str)>); 4] = [
        (
            |words| drop(helm(words)),
            vec![
                ("--namespace prd1541 uninstall vf-code-srvc".into(), "uninstall"),
                ("--namespace prd1541 rollback vf-code-srvc --force".into(), "knows --force"),
                ("--namespace prd1541 rollback vf-code-srvc --install".into(), "knows --install"),
                ("--namespace prd1541 history of-others".into(), "of-others"),
                ("--namespace prd1541 test vf-code-srvc".into(), "no features"),
                (format!("upgrade vf-code-srvc {CHART} --namespace prd1541 --timeout 5m"), "5m"),
                (format!("template vf-code-srvc {CHART} --namespace prd1541 --wait"), "knows --wait"),
                (format!("lint --stirct {CHART}"), "knows --stirct"),
            ],
        ),
        (
            |words| drop(kubectl(words)),
            vec![
                (
                    "label namespace prd1541 elbv2.k8s.aws/pod-readiness-gate-inject=disabled".into(),
                    "=disabled",
                ),
                ("label namespace prd1541 --overwrite a=b".into(), "knows --overwrite"),
                ("--namespace prd1541 delete deployment vf-code-srvc".into(), "deployment"),
                ("--namespace prd1541 create secret generic one --from-literal=a=b".into(), "--from-literal"),
                ("--namespace prd1541 get pods --selecter a=b".into(), "knows --selecter"),
                ("--namespace prd1541 get pods --selector a=b".into(), "a"),
            ],
        ),
        (
            |words| drop(terraform(words)),
            vec![
                (format!("{FOLDER} destroy"), "destroy"),
                (format!("{FOLDER} apply -auto-approve prod.tfplan"), "knows -auto-approve"),
                (format!("{FOLDER} init -reconfigure -backend-config=bucket=states"), "use_lockfile"),
                (
                    format!("{FOLDER} import -var-file=environments/prod.tfvars aws_iam_role.pods[0] others"),
                    "others",
                ),
                (format!("{plan} -var=service_account=prd1541:default -out=prod.tfplan"), "run as another"),
                (format!("{plan} -destory -out=prod.tfplan"), "knows -destory"),
            ],
        ),
        (
            docker,
            vec![
                ("push .".into(), "push"),
                (format!("run --privileged --profile post-deploy {IMAGE}-features"), "knows --privileged"),
                (format!("run --rm --profile other {IMAGE}-features"), "other"),
                (format!("run --rm --env NOBODY=1 --profile post-deploy {IMAGE}-features"), "NOBODY"),
                (format!("buildx build --target service --tag {IMAGE} --pull ."), "knows --pull"),
            ],
        ),
    ];
    for (check, refused) in checks {
        for (line, why) in refused {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let ended = std::panic::catch_unwind(|| check(&words));
            let said = ended.expect_err(&line);
            let said = said.downcast_ref::<String>().expect("a sentence with the words in it");
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}

/// Somewhere to run commands, with the files that the runbook says are there.
struct Place {
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    fn new(test: &Database) -> Place {
        let folder = std::env::temp_dir().join(format!("code-service-runbook-{}", fresh_database()));
        std::fs::create_dir_all(folder.join("bin")).expect("a writable temporary folder");
        std::fs::create_dir_all(folder.join("codes/summer/tm")).expect("ours");
        for file in ["codes.csv", "codes/summer/tm/codes.csv"] {
            std::fs::write(folder.join(file), "code\nA1\nA2\nA3\n").expect("ours");
        }
        std::fs::write(folder.join("password.txt"), "unused: the database of a test asks for none")
            .expect("ours");
        let path = std::env::var("PATH").expect("there is one");
        let path = format!("{}:{path}", folder.join("bin").display());
        Place { folder, variables: vec![("PATH", path), ("TITAN_MONGO__URI", test.uri.clone())] }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn run(&self, line: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-euc", line]).current_dir(&self.folder).envs(self.variables.iter().cloned());
        let said = command.output().expect("every system has sh");
        assert!(said.status.success(), "{line}\n{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("text")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn commands_about_codes_and_keys_do_what_the_runbook_says() {
    let test = database().await;
    let old = Keys::generate();
    let mut place = Place::new(&test);
    let lines = commands();
    for line in lines.iter().filter(|line| program(line) == "openssl") {
        place.run(line);
    }
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &test.uri)]);
    // In the middle of a rotation: the new key came out of the commands.
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &test.uri)
        .env("TITAN_JWT__PUBLIC_KEY_FILE", place.file("public.pem"))
        .env("TITAN_JWT__PREVIOUS_PUBLIC_KEY", &old.public)
        .env("TITAN_JWT__PREVIOUS_UNTIL", "2999-01-01T00:00:00Z")
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", &place.folder)
        .start();
    let program_file = std::fs::read_link(format!("/proc/{}/exe", host.pid())).expect("the host runs");
    symlink(program_file, place.file("bin/code-service-host")).expect("ours");
    let token = Host::run(&["token"], &[("TITAN_JWT__PRIVATE_KEY_FILE", &place.file("private.pem"))]);
    let token = String::from_utf8(token.stdout).expect("text");
    place.variables.extend([("BASE_URL", host.url("")), ("TOKEN", token.trim().to_owned())]);

    let mut answers = Vec::new();
    for line in lines.iter().filter(|line| ["curl", "code-service-host"].contains(&program(line))) {
        answers.push(place.run(line));
    }
    let said = answers.join("\n");
    for part in [
        "the indexes are in place",
        "\"inserted\":3",
        "\"available\":3",
        "\"state\":\"queued\"",
        "\"imports\":[{",
        // Imported again, past the service.
        "updated               3",
        "# TYPE http_request_count counter",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let exported = std::fs::read_to_string(place.file("codes.ndjson")).expect("it was exported");
    assert_eq!(exported.lines().count(), 3, "{exported}");
    let count = host.url("/summer/codes/count?type=tm");
    let reply = reqwest::Client::new().get(count).bearer_auth(old.supreme()).send().await;
    assert_eq!(reply.expect("it answers").status(), 200, "a token of the old key is still good");
}

#[test]
fn every_alert_has_its_heading_and_no_other_has() {
    let rules = read("prometheus/alerts.yaml");
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let runbook = read("RUNBOOK.md");
    let chapter = runbook.split("\n## Alerts\n").nth(1).expect("a chapter about alerts");
    let headings: BTreeSet<&str> = chapter.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert!(alerts.len() > 4, "{alerts:?}");
    assert_eq!(headings, alerts);
}
