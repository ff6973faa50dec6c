//! The host itself, started with what a pod of the chart would give it.

use std::path::Path;

use code_service_tests::{Host, Keys, database};
use serde_json::Value;

use super::helm::{ENVIRONMENTS, Release, Rendered};

/// The files of a pod, in a folder that stands for its root.
fn lay_out(root: &Path, files: &Value, secrets: &[(&str, &str)]) {
    let write = |folder: &str, name: &str, text: &str| {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        std::fs::write(folder.join(name), text).expect("writable");
    };
    for (name, text) in files["data"].as_object().expect("files") {
        write("config", name, text.as_str().expect("a text"));
    }
    for (name, text) in secrets {
        write("secrets", name, text);
    }
    std::fs::create_dir_all(root.join("logs")).expect("writable");
}

/// A container's variables, with paths that begin at `root`.
fn variables(container: &Value, root: &Path) -> Vec<(String, String)> {
    let of = |variable: &Value, key: &str| variable[key].as_str().expect("a text").to_owned();
    let variables = container["env"].as_array().expect("variables").iter();
    let variables = variables.map(|variable| {
        let value = of(variable, "value");
        let is_path = value.starts_with('/');
        (of(variable, "name"), if is_path { format!("{}{value}", root.display()) } else { value })
    });
    variables.collect()
}

fn container(rendered: &Rendered, release: &Release, which: &str) -> Value {
    rendered.object(release, which)["spec"]["template"]["spec"]["containers"][0].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_starts_in_every_environment_with_what_the_chart_gives_it() {
    let keys = Keys::generate();
    for environment in ENVIRONMENTS {
        let database = database().await;
        let release = Release::of(environment);
        let rendered = release.render();
        let root =
            std::env::temp_dir().join(format!("code-service-pod-{environment}-{}", std::process::id()));
        let secrets =
            [("mongoPassword", "secret"), ("jwtPublicKey", &*keys.public), ("jwtPrivateKey", &*keys.private)];
        lay_out(&root, &rendered.object(&release, "ConfigMap"), &secrets);

        // The only thing that is not as there: the database.
        let ours = ("TITAN_MONGO__URI".to_owned(), database.uri.clone());
        let job = container(&rendered, &release, "Job/indexes");
        let mut given = variables(&job, &root);
        given.push(ours.clone());
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (&**name, &**value)).collect();
        let done = Host::run(&[job["args"][0].as_str().expect("a command")], &given);
        assert!(done.status.success(), "{environment}: {}", String::from_utf8_lossy(&done.stderr));

        let app = container(&rendered, &release, "Deployment");
        assert_eq!(app["args"], serde_json::json!(["serve"]));
        let given = variables(&app, &root).into_iter().chain([ours]);
        let host = given.fold(Host::builder(), |host, (name, value)| host.env(name, value));
        let host = host.env("TITAN_SERVICE__PORT", "0").start();
        let line = host.wait_for_line("it listens", |line| line["message"] == "listening");
        assert_eq!(line["environment"], environment);
        let log = std::fs::read_to_string(root.join("logs/titan.log")).expect("what the sidecar follows");
        assert!(log.contains("\"listening\""), "{log}");
        drop(host);
        std::fs::remove_dir_all(&root).expect("ours");
    }
}
