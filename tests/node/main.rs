//! The Node.js addon, as npm would install it, on real runtimes and a real MongoDB.

mod contract;
mod install;
mod packages;
mod types;

use std::path::{Path, PathBuf};
use std::process::Command;

use code_service_tests::addon::runtimes;
use code_service_tests::programs::succeeds;
use code_service_tests::repository::root;
use code_service_tests::{Mongod, fresh_database};

use crate::install::{Node, installed};

/// Runs the addon's own tests.
fn mocha(node: Node) {
    let modules = installed().parent().expect("node_modules");
    let said = mocha_on(node.bare(), modules, &format!("{node:?}"));
    // Node.js 12 lacks AbortController, and an addon as it is released a way to make it panic.
    let may_wait = if node == Node::V12 { 4 } else { 0 } + u32::from(!cfg!(debug_assertions));
    assert_eq!(number_before(" pending", &said).unwrap_or(0), may_wait, "{said}");
}

/// The same on any runtime, with the package in this folder, and returns what they say.
fn mocha_on(mut runtime: Command, modules: &Path, name: &str) -> String {
    let server = Mongod::shared();
    // Beside the package, where a user's would be; others run them at the same time.
    let folder = modules.join("..").join(format!("test-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    succeeds(Command::new("cp").arg("-r").arg(root().join("bindings-node/test")).arg(&folder));
    let files = std::fs::read_dir(&folder).expect("it was made");
    let mut files: Vec<_> = files.map(|file| file.expect("listed").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(".test.js"));
    files.sort();
    runtime
        .arg(runtimes().join("mocha.js"))
        .args(files)
        .env("CODE_SERVICE_TEST_URI", server.uri_for("%s"))
        .env("CODE_SERVICE_TEST_VECTORS", root().join("tests/vectors"));
    let said = succeeds(&mut runtime);
    println!("{name}: {} tests", number_before(" passing", &said).expect("mocha says how many passed"));
    said
}

fn number_before(word: &str, said: &str) -> Option<u32> {
    said.lines().find_map(|line| line.trim().split_once(word)?.0.parse().ok())
}

/// The example of a README as a script that prints how many codes it got, in a database that has some.
fn example_of(page: &str, uri: &str) -> String {
    let text = std::fs::read_to_string(root().join(page)).expect("it is there");
    let example = text.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let example = example.replace("mongodb://localhost:27017/demo?replicaSet=rs0", uri);
    assert!(example.contains(uri));
    // Node.js 12 goes on after a rejection that nobody handles. And the example of a page may leave its service open.
    format!(
        "(async () => {{
            const before = await require('code-service').CodeService.connect({{ uri: '{uri}' }});
            await before.ensureIndexes();
            await before.save({{ campaignId: 'summer', type: 'tm', codes: ['A1', 'B2', 'C3'] }});
            await before.close();
            {example}
            console.log(codes.length);
        }})().catch((error) => {{ console.error(error); process.exit(1); }});"
    )
}

#[test]
fn its_tests_pass_on_node_12() {
    mocha(Node::V12);
}

#[test]
fn its_tests_pass_on_node_20() {
    mocha(Node::V20);
}

#[test]
fn its_tests_pass_on_the_newest_lts() {
    mocha(Node::V26);
}

#[test]
fn it_is_imported_by_name_as_a_module() {
    for node in [Node::V20, Node::V26] {
        let script = "import { CodeService, CodeServiceError } from 'code-service';
            console.log(typeof CodeService.connect, CodeServiceError.name);";
        let said =
            succeeds(node.command().args(["--input-type=module", "--eval", script]).current_dir(installed()));
        assert_eq!(said, "function CodeServiceError\n");
    }
}

#[test]
fn the_examples_of_the_pages_run() {
    for page in ["README.md", "bindings-node/README.md"] {
        let script = example_of(page, &Mongod::shared().uri_for(&fresh_database()));
        let said = succeeds(Node::V12.command().args(["--eval", &script]).current_dir(installed()));
        assert_eq!(said, "2\n", "{page}");
    }
}

#[test]
fn without_an_addon_for_the_platform_it_says_what_it_looked_for() {
    // Not below a folder that has them.
    let alone = tempfile(&installed().join("../../../node-alone"));
    succeeds(Command::new("cp").arg("-r").arg(installed()).arg(alone.join("code-service")));
    let mut command = Node::V12.command();
    command.args(["--eval", "require('./code-service')"]).current_dir(&alone).env_remove("NODE_PATH");
    let output = command.output();
    let said = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
    assert!(said.contains("v12.14.0 on linux (x64) needs the package code-service-linux-x64-gnu"), "{said}");
    assert!(said.contains("optional dependencies"), "{said}");
}

/// What its memory was after each twentieth of so many reserves, in MiB.
fn memory_over(reserves: u32) -> Vec<f64> {
    let uri = Mongod::shared().uri_for(&fresh_database());
    let mut command = Node::V20.command();
    command.arg("--expose-gc").arg(runtimes().join("leak.js")).args([uri, reserves.to_string()]);
    let said: serde_json::Value = serde_json::from_str(&succeeds(&mut command)).expect("JSON");
    println!("{said}");
    assert_eq!(said["reserved"], reserves);
    said["resident"].as_array().expect("a list").iter().map(|look| look.as_f64().expect("a number")).collect()
}

fn must_not_grow(memory: &[f64]) {
    // What the engine and the connections take comes with the first calls.
    let (early, late) = (memory[4..8].iter().sum::<f64>() / 4.0, memory[16..].iter().sum::<f64>() / 4.0);
    assert!(late < early + 8.0, "it grows: {memory:?}");
}

#[test]
fn its_memory_does_not_grow_over_reserves() {
    must_not_grow(&memory_over(200_000));
}

#[test]
#[ignore = "takes half an hour and more"]
fn its_memory_does_not_grow_over_ten_million_reserves() {
    must_not_grow(&memory_over(10_000_000));
}

/// An empty folder there.
fn tempfile(folder: &Path) -> PathBuf {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("can be made");
    folder.to_owned()
}
