//! The images: what the Dockerfile copies is there, what it promises is so, and what the service's image would hold runs
//! by itself.
//!
//! No test builds an image: that needs an engine. What goes into it is made and run by `make host-static`.

mod dockerfile;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use code_service_tests::binary::target_folder;
use code_service_tests::repository::{files, read, root};
use code_service_tests::supervised::{Supervised, wait_until};
use code_service_tests::{Host, Keys, database, free_port, fresh_database};

use dockerfile::{Stage, ignored, stages};

/// Of all files of the service's image together.
const LIMIT: u64 = 25 << 20;

fn stage(name: &str) -> Stage {
    let all = stages(&read("examples/host/deploy/Dockerfile"));
    all.into_iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("no stage {name}"))
}

#[test]
fn everything_that_is_copied_is_in_the_repository_and_in_the_context() {
    let patterns = read(".dockerignore");
    let files = files();
    let mut copied = 0;
    for stage in stages(&read("examples/host/deploy/Dockerfile")) {
        for source in stage.sources_of_the_context() {
            let inside: Vec<&String> = files
                .iter()
                .filter(|file| **file == source || file.starts_with(&format!("{source}/")))
                .collect();
            assert!(!inside.is_empty(), "{source} is not in the repository");
            let kept = inside.iter().any(|file| !ignored(&patterns, file));
            assert!(kept, ".dockerignore keeps {source} out");
            copied += 1;
        }
    }
    assert!(copied > 6, "{copied}");
}

#[test]
fn nothing_that_was_built_or_is_a_secret_gets_into_the_context() {
    let patterns = read(".dockerignore");
    for file in [
        "target/release/code-service-host",
        "examples/host/features/node_modules/a.js",
        "examples/host/features/reports/junit.xml",
        "examples/host/deploy/terraform/prod.tfplan",
        "bindings-node/code-service.node",
        ".git/config",
        ".env",
        "README.md",
    ] {
        assert!(ignored(&patterns, file), "{file}");
    }
    for file in [
        "Cargo.lock",
        "core/src/lib.rs",
        "examples/host/features/package.json",
        "examples/host/deploy/static.sh",
    ] {
        assert!(!ignored(&patterns, file), "{file}");
    }
}

#[test]
fn every_member_of_the_workspace_is_copied() {
    let sources = stage("build").sources_of_the_context();
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    for member in members.expect("a workspace").split(',').map(|member| member.trim().trim_matches('"')) {
        let copied = sources.iter().any(|source| Path::new(member).starts_with(source));
        assert!(copied, "cargo looks for {member}");
    }
}

#[test]
fn versions_are_those_that_the_repository_is_built_with() {
    let toolchain = read("rust-toolchain.toml");
    let rust = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next());
    let image = format!("rust:{}-bookworm", rust.expect("a channel"));
    assert!(stage("build").base.ends_with(&image), "{image}");
    let linker = read(".ci/cross");
    let dockerfile = read("examples/host/deploy/Dockerfile");
    for package in ["cargo-zigbuild==", "ziglang=="] {
        let version = |text: &str| -> String {
            let rest = text.split(package).nth(1).expect("it is installed");
            rest.split_whitespace().next().expect("a version").to_owned()
        };
        assert_eq!(version(&dockerfile), version(&linker), "{package}");
    }
    let built = "examples/host/deploy/static.sh";
    assert!(dockerfile.contains(built) && read("Makefile").contains(built), "both build it in the same way");
}

#[test]
fn the_service_is_alone_in_its_image_and_is_not_root() {
    let service = stage("service");
    let last = stages(&read("examples/host/deploy/Dockerfile")).pop().expect("there are stages");
    assert_eq!(last.name, "service", "what is built when no target is named");
    assert_eq!(service.base, "scratch");
    let of = |word: &str| service.all(word).last().cloned().unwrap_or_default();
    assert_eq!(of("USER"), "65532:65532");
    assert_eq!(of("ENTRYPOINT"), "[\"/code-service-host\"]");
    assert_eq!(of("CMD"), "[\"serve\"]");
    assert_eq!((of("EXPOSE").as_str(), of("VOLUME").as_str()), ("8080", "/logs"));
    assert!(service.all("RUN").is_empty(), "there is nothing that could run");
    let mut held: Vec<String> = service.copies().into_iter().map(|copy| copy.to).collect();
    held.sort();
    assert_eq!(held, ["/code-service-host", "/etc/ssl/certs/ca-certificates.crt", "/logs"]);
}

#[test]
fn both_images_tell_version_and_revision() {
    for name in ["service", "features"] {
        let stage = stage(name);
        let labels = stage.all("LABEL").join(" ");
        for (label, argument) in [("version", "VERSION"), ("revision", "REVISION")] {
            let named = format!("org.opencontainers.image.{label}=\"${argument}\"");
            assert!(labels.contains(&named), "{name}: {named}");
            let begins = format!("{argument}=");
            assert!(stage.all("ARG").iter().any(|line| line.starts_with(&begins)), "{name}: ARG {argument}");
        }
        assert!(stage.all("ENTRYPOINT")[0].starts_with('['), "{name}: a shell would swallow SIGTERM");
        assert_eq!(stage.all("USER"), ["65532:65532"]);
    }
}

#[test]
fn a_linter_finds_nothing_wrong_with_the_dockerfile() {
    let linter = target_folder().expect("tests run in a target folder").join("tools/python/bin/hadolint");
    assert!(linter.exists(), "no {}: run make tools", linter.display());
    let said = Command::new(linter).arg(root().join("examples/host/deploy/Dockerfile")).output();
    let said = said.expect("it can be run");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// `make host-static`, which builds the program first. It takes root: who else may not change the root folder.
#[tokio::test]
#[ignore = "needs the static program, and root"]
async fn what_the_static_image_holds_is_small_and_runs_by_itself() {
    let target = target_folder().expect("tests run in a target folder");
    let program = target.join("static-host/x86_64-unknown-linux-musl/release/code-service-host");
    let image = std::env::temp_dir().join(format!("code-service-image-{}", fresh_database()));
    let test = database().await;
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &test.uri)]);
    let port = free_port();
    let mut command = Command::new("chroot");
    command.arg("--userspec=65532:65532").arg(&image).args(["/code-service-host", "serve"]);
    command.env("TITAN_MONGO__URI", &test.uri).env("TITAN_SERVICE__PORT", port.to_string());
    // As in a deployment: a bucket of S3, for which it needs the certificates, and a file of its log.
    command.env("TITAN_JWT__PUBLIC_KEY", Keys::generate().public).env("NODE_ENV", "prod");
    command.env("TITAN_TRACING__ENABLED", "false");
    let mut process = Supervised::new(&command, Some(&image));
    wait_until("there is a folder", Duration::from_secs(10), || image.exists());
    let mut size = 0;
    for copy in stage("service").copies() {
        let to = image.join(copy.to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("it is below the root")).expect("ours");
        let from = match copy.to.as_str() {
            "/logs" => {
                std::fs::create_dir(&to).expect("ours");
                chown(&to, Some(65532), Some(65532)).expect("this test runs as root");
                continue;
            }
            "/code-service-host" => program.clone(),
            file => file.into(),
        };
        size += std::fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }
    println!("the files of the image: {:.1} MiB", size as f64 / f64::from(1 << 20));
    let program = image.join("code-service-host");
    let executable = std::fs::metadata(&program).expect("copied").permissions().mode() & 0o001;
    assert_eq!(executable, 1, "anybody may run it");

    process.start();
    let url = format!("http://127.0.0.1:{port}/heartbeat");
    let start = std::time::Instant::now();
    while reqwest::get(&url).await.map(|reply| reply.status().as_u16()).ok() != Some(200) {
        assert!(start.elapsed() < Duration::from_secs(30) && !process.ended(), "{:?}", process.finish());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.signal("TERM");
    assert_eq!(process.wait(Duration::from_secs(30)), Some(0));
    assert!(image.join("logs/titan.log").exists(), "it has logged to the volume");
    assert!(size < LIMIT, "{size} bytes");
}
