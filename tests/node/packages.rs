//! The packages, made and installed by npm and run as a user would: with the addon as these tests build it, and as
//! `make node` makes them, which `make node-test` runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use code_service_tests::addon::runtimes;
use code_service_tests::programs::{npm_ci, succeeds};
use code_service_tests::repository::root;
use code_service_tests::{Mongod, binary, fresh_database};

use crate::install::{Node, installed};
use crate::{example_of, mocha_on, tempfile};

/// Where `make node` puts them.
fn made() -> PathBuf {
    let npm = binary::target_folder().expect("tests run in the target folder").join("npm");
    assert!(npm.is_dir(), "there is no {}: run make node", npm.display());
    npm
}

/// The same of the folders that these tests require.
fn packed() -> PathBuf {
    let modules = installed().parent().expect("node_modules");
    let folder = tempfile(&modules.join("../packed"));
    for package in ["code-service", "code-service-linux-x64-gnu"] {
        let mut command = Command::new("npm");
        succeeds(command.args(["pack", "--silent"]).arg(modules.join(package)).current_dir(&folder));
    }
    folder
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// An empty folder with the package, and that for this C library, installed by npm, which finds no others.
fn folder_for(packages: &Path, libc: &str) -> PathBuf {
    let folder = tempfile(&packages.join("installed").join(libc));
    std::fs::write(folder.join("package.json"), "{}").expect("can be written");
    let tarball = |package: &str| packages.join(format!("{package}-{}.tgz", version()));
    // npm refuses a package for another C library than its own.
    let force = (libc == "musl").then_some("--force");
    succeeds(
        Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--omit=optional"])
            .args(force)
            .args([tarball("code-service"), tarball(&format!("code-service-linux-x64-{libc}"))])
            .current_dir(&folder),
    );
    folder
}

/// The tarballs hold what runs, what one reads before, and nothing else.
fn must_be_complete(packages: &Path, platforms: &[&str]) {
    let listed = |package: &str| -> BTreeSet<String> {
        let tarball = packages.join(format!("{package}-{}.tgz", version()));
        let said = succeeds(Command::new("tar").arg("tzf").arg(tarball));
        said.lines().map(|line| line.trim_start_matches("package/").to_owned()).collect()
    };
    let every = ["LICENSE-APACHE", "LICENSE-MIT", "package.json"].map(str::to_owned);
    let names = ["README.md", "index.d.ts", "index.js", "index.mjs"].map(str::to_owned);
    let lib = std::fs::read_dir(root().join("bindings-node/lib")).expect("it is there");
    let lib = lib.map(|file| format!("lib/{}", file.expect("listed").file_name().to_string_lossy()));
    assert_eq!(listed("code-service"), every.clone().into_iter().chain(names).chain(lib).collect());
    for platform in platforms {
        let addon = format!("code-service.{platform}.node");
        assert_eq!(
            listed(&format!("code-service-{platform}")),
            every.clone().into_iter().chain([addon]).collect()
        );
    }
}

/// In this folder the example of the README runs on every runtime.
fn must_run_the_example(folder: &Path) {
    for node in [Node::V12, Node::V20, Node::V26] {
        let mut command = node.bare();
        let script = example_of("bindings-node/README.md", &Mongod::shared().uri_for(&fresh_database()));
        assert_eq!(succeeds(command.args(["--eval", &script]).current_dir(folder)), "2\n");
    }
}

#[test]
fn packed_and_installed_into_an_empty_folder_they_are_complete_and_run() {
    let packages = packed();
    must_be_complete(&packages, &["linux-x64-gnu"]);
    must_run_the_example(&folder_for(&packages, "gnu"));
}

#[test]
#[ignore = "needs make node"]
fn as_they_are_released_they_are_complete() {
    must_be_complete(&made(), &["linux-x64-gnu", "linux-x64-musl"]);
}

#[test]
#[ignore = "needs make node"]
fn the_addon_for_glibc_passes_its_tests_on_every_runtime() {
    let folder = folder_for(&made(), "gnu");
    must_run_the_example(&folder);
    for node in [Node::V12, Node::V20, Node::V26] {
        mocha_on(node.bare(), &folder.join("node_modules"), &format!("glibc, {node:?}"));
    }
}

/// The symbols of the C library that it asks for are all of 2.17 or before.
#[test]
#[ignore = "needs make node"]
fn the_addon_for_glibc_loads_on_old_distributions() {
    let addon = made().join("code-service-linux-x64-gnu/code-service.linux-x64-gnu.node");
    let said = succeeds(Command::new("readelf").args(["--wide", "--version-info"]).arg(addon));
    let mut versions: Vec<Vec<u32>> = said
        .split("Name: GLIBC_")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next())
        .map(|version| version.split('.').filter_map(|part| part.parse().ok()).collect())
        .collect();
    versions.sort();
    let newest = versions.last().expect("it asks for some");
    assert!(*newest <= vec![2, 17], "it asks for {newest:?}");
}

/// All of the addon's own tests, on a Node.js that runs on musl.
#[test]
#[ignore = "needs make node"]
fn the_addon_for_musl_passes_its_tests_on_musl() {
    let target = binary::target_folder().expect("tests run in the target folder");
    let node = succeeds(Command::new(root().join(".ci/musl-node")).arg(&target));
    let folder = folder_for(&made(), "musl");
    mocha_on(Command::new(node.trim()), &folder.join("node_modules"), "musl");
}

/// The example beside the package, as both lie in the repository.
#[test]
#[ignore = "needs make node"]
fn the_example_runs_as_its_page_says() {
    let folder = made().join("installed/example");
    let _ = std::fs::remove_dir_all(&folder);
    for part in ["bindings-node", "examples/node"] {
        let to = folder.join(part);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("can be made");
        succeeds(Command::new("cp").arg("-r").arg(root().join(part)).arg(&to));
    }
    let example = folder.join("examples/node");
    let _ = std::fs::remove_dir_all(example.join("node_modules"));
    npm_ci(&example);
    let mut command = Node::V12.bare();
    command.args(["src/server.js", "create-indexes"]).current_dir(&example);
    command.env("TITAN_MONGO__URI", Mongod::shared().uri_for(&fresh_database()));
    // Nobody logs in.
    succeeds(command.env("TITAN_JWT__PUBLIC_KEY", "none"));
}

/// What npm is told about the platforms, and what the loader asks for, are the same names.
#[test]
fn every_platform_of_the_manifest_is_one_that_the_loader_asks_for() {
    let manifest = std::fs::read_to_string(root().join("bindings-node/package.json")).expect("it is there");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("it is JSON");
    let platforms = manifest["optionalDependencies"].as_object().expect("an object");
    assert_eq!(platforms.len(), 7);
    assert!(platforms.values().all(|of| *of == manifest["version"] && *of == version()), "{platforms:?}");
    // Of the package as it is installed: there is no addon in its folder.
    let loader: &Path = &installed().join("lib/native.js");
    let script = format!(
        "const Module = require('module');
        const asked = [];
        const load = Module._load;
        Module._load = (name, ...rest) => {{
            if (name.startsWith('code-service-')) {{ asked.push(name); return {{}}; }}
            return load(name, ...rest);
        }};
        const as = (platform, arch, execPath) => {{
            for (const [name, value] of Object.entries({{ platform, arch, execPath }})) {{
                Object.defineProperty(process, name, {{ value }});
            }}
            delete require.cache[require.resolve({loader:?})];
            require({loader:?});
        }};
        const here = process.execPath;
        as('linux', 'x64', here);
        as('linux', 'arm64', here);
        as('darwin', 'x64', here);
        as('darwin', 'arm64', here);
        as('win32', 'x64', here);
        console.log(asked.join());"
    );
    let said = succeeds(Node::V12.command().args(["--eval", &script]).current_dir(runtimes()));
    let asked: Vec<&str> = said.trim().split(',').collect();
    assert_eq!(asked.len(), 5);
    for name in asked {
        assert!(platforms.contains_key(name), "{name} is not in the manifest");
    }
}
