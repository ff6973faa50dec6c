//! The infrastructure: what is known of the environments stands in their files, and what Terraform would make of them is
//! private, and allows no more than it must.
//!
//! The plans are made by the real provider, with credentials that are none: nothing is asked of Amazon. Where Terraform is
//! not installed these tests say so and pass: no registry that this repository is built from has it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use code_service_tests::fresh_database;
use serde_json::{Value, json};

use crate::chart::helm::ENVIRONMENTS;

/// Below this folder a mirror of providers may be, for machines that reach no registry of theirs.
const ADDED: &str = "/opt";
/// The configuration without a state elsewhere and without an account.
const OFFLINE: &str = r#"
terraform {
  backend "local" {}
}
provider "aws" {
  access_key                  = "none"
  secret_key                  = "none"
  allowed_account_ids         = null
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
"#;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy/terraform")
}

/// The value of a line of an environment's file.
fn known(environment: &str, name: &str) -> Option<String> {
    let file = source().join(format!("environments/{environment}.tfvars"));
    let text = std::fs::read_to_string(file).expect("every environment has a file");
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let value = lines.find_map(|(key, value)| (key.trim() == name).then(|| value.trim()))?;
    Some(value.trim_matches('"').to_owned())
}

#[test]
fn the_environments_have_the_names_that_are_known_of_them() {
    let (prod, dev) = ("889199535989", "343550350117");
    let (prod_bucket, dev_bucket) =
        ("prd2011.prod1.us-east-1.vf-scoring.tmaws", "prd2011.dev1.us-east-1.vf-scoring.tmaws");
    let (prod_role, dev_role) =
        ("prd1541.titan.us-east-1.prod1.iam-kube-default", "prd1541.titan.us-east-1.dev1.iam-kube-default");
    let shared = "arn:aws:acm:us-east-1:234212695392:certificate/182d62fa-7cd8-4625-b6b5-86a2d4bea0dd";
    let own = "arn:aws:acm:us-east-1:667096744268:certificate/763fdb83-0bc0-4398-8687-8245469626d8";
    for (environment, name, value) in [
        ("prod", "account", Some(prod)),
        ("prod", "bucket", Some(prod_bucket)),
        ("prod", "role", Some(prod_role)),
        ("prod", "host", Some("vf-code-srvc.vf.prod9.us-east-1.tktm.io")),
        ("prod", "certificate_arn", Some(own)),
        ("preprod", "account", Some(prod)),
        ("preprod", "bucket", Some(prod_bucket)),
        ("preprod", "role", Some(prod_role)),
        ("preprod", "host", Some("vf-code-srvc.vf.preprod9.us-east-1.tktm.io")),
        ("preprod", "certificate_arn", Some(shared)),
        ("dev", "account", Some(dev)),
        ("dev", "bucket", Some(dev_bucket)),
        ("dev", "role", Some(dev_role)),
        ("dev", "host", Some("vf-code-srvc-dev.vf.nonprod9.us-east-1.tktm.io")),
        ("dev", "certificate_arn", Some(shared)),
        ("qa", "account", Some(dev)),
        ("qa", "bucket", Some(dev_bucket)),
        ("qa", "role", Some(dev_role)),
        ("qa", "host", Some("vf-code-srvc-qa.vf.nonprod9.us-east-1.tktm.io")),
        ("qa", "certificate_arn", None),
    ] {
        assert_eq!(known(environment, name).as_deref(), value, "{name} of {environment}");
    }
}

#[test]
fn what_environments_share_is_made_by_one_of_them() {
    for shared in ["bucket", "role"] {
        let mut owners: Vec<(String, &str)> = ENVIRONMENTS
            .iter()
            .filter(|environment| known(environment, "owns_shared").as_deref() == Some("true"))
            .map(|environment| (known(environment, shared).expect("it has one"), *environment))
            .collect();
        owners.sort();
        owners.dedup_by(|one, other| one.0 == other.0);
        assert_eq!(owners.iter().map(|owner| owner.1).collect::<Vec<_>>(), ["dev", "prod"], "{shared}");
    }
    let makes = |environment: &&str| known(environment, "owns_registry").as_deref() == Some("true");
    assert_eq!(ENVIRONMENTS.iter().filter(|it| makes(it)).count(), 1, "one registry for all");
}

#[test]
fn every_account_that_is_known_of_may_pull_images() {
    let digits = |text: &str| {
        let numbers = text.split(|letter: char| !letter.is_ascii_digit()).filter(|number| number.len() == 12);
        numbers.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let registry = known("prod", "account").expect("one");
    let mut accounts = BTreeSet::new();
    for environment in ENVIRONMENTS {
        for name in ["account", "certificate_arn"] {
            accounts.extend(known(environment, name).iter().flat_map(|value| digits(value)));
        }
    }
    assert!(accounts.remove(&registry), "those of the registry need no permission");
    assert_eq!(digits(&known("prod", "pull_accounts").expect("a list")), accounts);
}

#[test]
fn every_statement_of_a_policy_is_explained() {
    let page = std::fs::read_to_string(source().join("README.md")).expect("it is there");
    assert!(page.lines().count() <= 30, "it is short");
    let text = ["bucket.tf", "role.tf", "registry.tf"]
        .map(|file| std::fs::read_to_string(source().join(file)).expect("it is there"))
        .concat();
    let named = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "Sid").then(|| value.trim().trim_matches('"').to_owned())
    };
    let statements: BTreeSet<String> = text.lines().filter_map(named).collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), statements);
}

/// A folder with the provider in it, as `terraform providers mirror` lays it out.
fn mirror() -> Option<PathBuf> {
    let folders = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let has_it = |folder: &PathBuf| folders(folder).iter().any(|host| host.join("hashicorp/aws").is_dir());
    folders(Path::new(ADDED)).into_iter().find(has_it)
}

/// A copy of the configuration that asks nobody.
pub(super) struct Copy {
    folder: PathBuf,
    mirror: bool,
}

impl Copy {
    /// The one of this process, ready to plan; None where there is no Terraform or no provider.
    pub(super) fn shared() -> Option<&'static Copy> {
        static SHARED: OnceLock<Option<Copy>> = OnceLock::new();
        let copy = SHARED.get_or_init(|| {
            Command::new("terraform").arg("version").output().ok()?;
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("terraform");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(folder.join("environments")).expect("the target folder is writable");
            for from in ["", "environments"] {
                for file in std::fs::read_dir(source().join(from)).expect("it is there") {
                    let file = file.expect("it is there").path();
                    let is_ours = file.extension().is_some_and(|end| end == "tf" || end == "tfvars");
                    if is_ours {
                        let name = file.file_name().expect("a file");
                        std::fs::copy(&file, folder.join(from).join(name)).expect("copied");
                    }
                }
            }
            let mirror = mirror();
            if let Some(mirror) = &mirror {
                let mirror = mirror.display();
                let installation =
                    format!("provider_installation {{\n  filesystem_mirror {{ path = \"{mirror}\" }}\n}}\n");
                std::fs::write(folder.join("terraform.rc"), installation).expect("ours");
            }
            std::fs::write(folder.join("offline_override.tf"), OFFLINE).expect("ours");
            let copy = Copy { folder, mirror: mirror.is_some() };
            let (ready, said) = copy.run(&["init", "-input=false", "-no-color"]);
            // Terraform is there, and neither a mirror nor its registry.
            let alone = said.contains("Failed to query available provider packages");
            assert!(ready || alone, "{said}");
            ready.then_some(copy)
        });
        if copy.is_none() {
            println!("skipped: there is no terraform, or no provider for it");
        }
        copy.as_ref()
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(&self.folder);
        if self.mirror {
            command.env("TF_CLI_CONFIG_FILE", self.folder.join("terraform.rc"));
        }
        let said = command.output().expect("it was found before");
        let text = [said.stdout, said.stderr].concat();
        (said.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(super) fn succeed(&self, arguments: &[&str]) -> String {
        let (done, said) = self.run(arguments);
        assert!(done, "terraform {}\n{said}", arguments.join(" "));
        said
    }

    /// What would be made for an environment.
    fn plan(&self, environment: &str, more: &[&str]) -> Value {
        let file = format!("-var-file=environments/{environment}.tfvars");
        let plan = fresh_database();
        let out = format!("-out={plan}");
        let state = format!("-state={plan}.tfstate");
        let fixed = ["plan", "-input=false", "-no-color", "-lock=false", &state, &file, &out];
        self.succeed(&[&fixed[..], more].concat());
        let shown = self.succeed(&["show", "-json", &plan]);
        serde_json::from_str(&shown).expect("JSON")
    }
}

const NODES: &str = r#"-var=node_role_arns=["arn:aws:iam::343550350117:role/nodes"]"#;
const CLUSTER: &str =
    r#"-var=oidc_provider_arns=["arn:aws:iam::343550350117:oidc-provider/oidc.example.com/id/A"]"#;

/// The only resource of a type, if there is one.
fn resource<'a>(plan: &'a Value, kind: &str) -> &'a Value {
    let resources = plan["planned_values"]["root_module"]["resources"].as_array();
    let mut of_kind = resources.into_iter().flatten().filter(|resource| resource["type"] == kind);
    let found = of_kind.next().map_or(&Value::Null, |resource| &resource["values"]);
    assert!(of_kind.next().is_none(), "several {kind}");
    found
}

fn policy(plan: &Value, kind: &str, name: &str) -> Vec<Value> {
    let text = resource(plan, kind)[name].as_str().unwrap_or_else(|| panic!("no {name} in {kind}"));
    let policy: Value = serde_json::from_str(text).expect("JSON");
    policy["Statement"].as_array().expect("statements").clone()
}

#[test]
fn the_configuration_is_formatted_and_valid() {
    let Some(copy) = Copy::shared() else { return };
    let (formatted, said) = copy.run(&["fmt", "-check", "-recursive", "-diff", "."]);
    assert!(formatted, "{said}");
    copy.succeed(&["validate", "-no-color"]);
}

#[test]
fn prod_makes_a_bucket_that_is_private_encrypted_versioned_and_asked_over_tls() {
    let Some(copy) = Copy::shared() else { return };
    let plan = copy.plan("prod", &[NODES]);
    let bucket = "prd2011.prod1.us-east-1.vf-scoring.tmaws";
    assert_eq!(resource(&plan, "aws_s3_bucket")["bucket"], bucket);
    let block = resource(&plan, "aws_s3_bucket_public_access_block");
    for way in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] {
        assert_eq!(block[way], true, "{way}");
    }
    let encryption = resource(&plan, "aws_s3_bucket_server_side_encryption_configuration");
    assert_eq!(
        encryption["rule"][0]["apply_server_side_encryption_by_default"][0]["sse_algorithm"],
        "AES256"
    );
    let versioning = resource(&plan, "aws_s3_bucket_versioning");
    assert_eq!(versioning["versioning_configuration"][0]["status"], "Enabled");
    let statements = policy(&plan, "aws_s3_bucket_policy", "policy");
    assert_eq!(statements.len(), 1);
    assert_eq!((&statements[0]["Effect"], &statements[0]["Action"]), (&json!("Deny"), &json!("s3:*")));
    assert_eq!(statements[0]["Condition"], json!({ "Bool": { "aws:SecureTransport": "false" } }));

    // And the registry, for all environments.
    let images = resource(&plan, "aws_ecr_repository");
    assert_eq!(images["name"], "titan/code-service");
    assert_eq!(images["image_tag_mutability"], "IMMUTABLE");
    assert_eq!(images["image_scanning_configuration"][0]["scan_on_push"], true);
    let pulls = policy(&plan, "aws_ecr_repository_policy", "policy");
    let pulling = ["343550350117", "667096744268", "234212695392"]
        .map(|account| format!("arn:aws:iam::{account}:root"));
    assert_eq!(pulls[0]["Principal"]["AWS"], json!(pulling));
    // Only tags are counted: an image for two platforms has several parts without one.
    let kept: Value =
        serde_json::from_str(resource(&plan, "aws_ecr_lifecycle_policy")["policy"].as_str().expect("rules"))
            .expect("JSON");
    let counting = kept["rules"].as_array().expect("rules").iter().map(|rule| &rule["selection"]);
    let mut counting = counting.filter(|selection| selection["countType"] == "imageCountMoreThan");
    assert!(counting.clone().count() == 2 && counting.all(|it| it["tagStatus"] == "tagged"), "{kept}");
    let outputs = &plan["planned_values"]["outputs"];
    let registry = "889199535989.dkr.ecr.us-east-1.amazonaws.com/titan/code-service";
    assert_eq!(outputs["repository_url"]["value"], registry);
    let role = "arn:aws:iam::889199535989:role/prd1541.titan.us-east-1.prod1.iam-kube-default";
    assert_eq!(outputs["role_arn"]["value"], role);
    // The pods of prod read files of codes, and may do nothing else.
    let rights = policy(&plan, "aws_iam_role_policy", "policy");
    assert_eq!(rights.len(), 1);
    assert_eq!(rights[0]["Action"], json!(["s3:GetObject"]));
    assert_eq!(rights[0]["Resource"], json!(format!("arn:aws:s3:::{bucket}/codes/*")));
}

#[test]
fn the_role_is_taken_by_one_service_account_or_by_nodes_and_writes_only_for_the_features() {
    let Some(copy) = Copy::shared() else { return };
    let zone = ["-var=zone_id=Z1", "-var=load_balancer=internal-1.elb.amazonaws.com"];
    let plan = copy.plan("dev", &[CLUSTER, NODES, zone[0], zone[1]]);
    let trust = policy(&plan, "aws_iam_role", "assume_role_policy");
    assert_eq!(trust.len(), 2);
    assert_eq!(
        trust[0]["Condition"],
        json!({ "StringEquals": {
            "oidc.example.com/id/A:sub": "system:serviceaccount:prd1541:default",
            "oidc.example.com/id/A:aud": "sts.amazonaws.com"
        } })
    );
    assert_eq!(trust[1]["Principal"], json!({ "AWS": "arn:aws:iam::343550350117:role/nodes" }));
    let rights = policy(&plan, "aws_iam_role_policy", "policy");
    assert_eq!(rights.len(), 2);
    assert_eq!(
        rights[1]["Resource"],
        "arn:aws:s3:::prd2011.dev1.us-east-1.vf-scoring.tmaws/codes/features-*"
    );
    let record = resource(&plan, "aws_route53_record");
    assert_eq!((&record["type"], &record["ttl"]), (&json!("CNAME"), &json!(60)));
    assert_eq!(record["name"], "vf-code-srvc-dev.vf.nonprod9.us-east-1.tktm.io");
    assert_eq!(record["records"], json!(["internal-1.elb.amazonaws.com"]));
    // The registry is prod's.
    assert!(resource(&plan, "aws_ecr_repository").is_null());
}

#[test]
fn a_role_that_nobody_could_take_is_refused_with_a_sentence_that_helps() {
    let Some(copy) = Copy::shared() else { return };
    let (done, said) =
        copy.run(&["plan", "-input=false", "-no-color", "-lock=false", "-var-file=environments/dev.tfvars"]);
    assert!(!done && said.contains("set oidc_provider_arns (IRSA) or node_role_arns"), "{said}");
}

#[test]
fn an_environment_that_shares_makes_nothing_of_its_own() {
    let Some(copy) = Copy::shared() else { return };
    for environment in ["qa", "preprod"] {
        let plan = copy.plan(environment, &[]);
        assert!(plan["planned_values"]["root_module"]["resources"].is_null(), "{environment}");
        assert_eq!(
            plan["planned_values"]["outputs"]["host"]["value"],
            *known(environment, "host").expect("one")
        );
    }
}
