//! Releases as real Helm renders them, and what Kubernetes thinks of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use code_service_tests::binary::target_folder;
use serde_json::{Value, json};

/// The environments, each with its file in the chart's `values`.
pub(crate) const ENVIRONMENTS: [&str; 4] = ["dev", "qa", "preprod", "prod"];

pub(crate) fn chart() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/host/deploy/chart");
    path.canonicalize().expect("the chart is there")
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Python with what `.ci/python` has installed.
fn python() -> Command {
    let packages = target_folder().expect("tests run in one").join("tools/python");
    assert!(packages.join("helm_python").exists(), "no Helm in {}: run make tools", packages.display());
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages);
    python
}

/// A release that could be installed.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) namespace: String,
    files: Vec<PathBuf>,
    values: Value,
}

impl Release {
    /// That of an environment, by the command in the first line of its values.
    pub(crate) fn of(environment: &str) -> Release {
        let file = chart().join(format!("values/{environment}.yaml"));
        let text = read(&file);
        let command = text.lines().next().expect("a line").split_whitespace();
        let words: Vec<&str> = command.collect();
        let after = |word: &str| {
            let place = words.iter().position(|w| *w == word).unwrap_or_else(|| panic!("{words:?}"));
            words[place + 1].to_owned()
        };
        assert_eq!(after("--values"), format!("values/{environment}.yaml"));
        Release {
            name: after("--install"),
            namespace: after("--namespace"),
            files: vec![file],
            values: json!({}),
        }
    }

    /// One with nothing but the chart's own values.
    pub(crate) fn bare() -> Release {
        Release {
            name: "bare".to_owned(),
            namespace: "default".to_owned(),
            files: Vec::new(),
            values: json!({}),
        }
    }

    /// The same with other values, as by `--set-json`.
    pub(crate) fn with(mut self, values: Value) -> Release {
        self.values = values;
        self
    }

    /// Everything that Helm would send to Kubernetes, and the notes; an error is Helm's sentence.
    pub(crate) fn try_render(&self) -> Result<Rendered, String> {
        let mut answer = self.ask("render");
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        let files: BTreeMap<String, String> =
            serde_json::from_value(answer["files"].take()).expect("texts by path");
        Ok(Rendered(files))
    }

    pub(crate) fn render(&self) -> Rendered {
        self.try_render().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// What `helm lint --strict` complains about.
    pub(crate) fn lint(&self) -> Vec<String> {
        serde_json::from_value(self.ask("lint")["errors"].take()).expect("sentences")
    }

    fn ask(&self, what: &str) -> Value {
        let asked = json!({
            "do": what, "files": self.files, "values": self.values, "name": self.name, "namespace": self.namespace,
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/helm.py");
        let mut helm = python()
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 can be run");
        let request = json!({ "chart": chart(), "asked": [asked] });
        let mut input = helm.stdin.take().expect("piped");
        input.write_all(request.to_string().as_bytes()).expect("it reads");
        drop(input);
        let said = helm.wait_with_output().expect("it ends");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice::<Value>(&said.stdout).expect("JSON")[0].take()
    }
}

/// A rendered release: texts by the template's path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendered(BTreeMap<String, String>);

impl Rendered {
    /// The manifests in one file, as `helm template` prints them, but sorted by their template.
    pub(crate) fn manifests(&self) -> String {
        let mut all = String::new();
        for (path, text) in self.0.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            if !text.trim().is_empty() {
                writeln!(all, "---\n# Source: {path}\n{}", text.trim()).expect("a text can be written to");
            }
        }
        all
    }

    pub(crate) fn notes(&self) -> &str {
        let notes = self.0.iter().find(|(path, _)| path.ends_with("NOTES.txt"));
        notes.map(|(_, text)| text.as_str()).expect("the chart has notes")
    }

    pub(crate) fn objects(&self) -> Vec<Value> {
        serde_saphyr::from_multiple(&self.manifests()).expect("YAML")
    }

    /// The object of this kind, or Null; with `kind/word` the one whose name ends with `-word`, and without it the one
    /// that is named like the release.
    pub(crate) fn object(&self, release: &Release, which: &str) -> Value {
        let (kind, word) = which.split_once('/').unwrap_or((which, ""));
        let name = if word.is_empty() { release.name.clone() } else { format!("{}-{word}", release.name) };
        let is_it = |object: &Value| object["kind"] == kind && object["metadata"]["name"] == *name;
        self.objects().into_iter().find(is_it).unwrap_or_default()
    }
}

/// What Kubernetes does not know in these manifests, by its oldest and newest schemas that the chart is for.
pub(crate) fn unknown_to_kubernetes(name: &str, manifests: &str) -> Vec<String> {
    let file = std::env::temp_dir().join(format!("{name}-{}.yaml", std::process::id()));
    std::fs::write(&file, manifests).expect("a writable temporary folder");
    let said = python()
        .args(["-m", "kubernetes_validate", "--strict", "-k", "1.29", "-k", "1.37"])
        .arg(&file)
        .output()
        .expect("python3 can be run");
    std::fs::remove_file(&file).expect("ours");
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("INFO"), "it looks at all: {text}");
    text.lines().filter(|line| !line.starts_with("INFO ")).map(str::to_owned).collect()
}
