//! The types that the package declares.

use std::process::Command;

use code_service_tests::addon::runtimes;
use code_service_tests::programs::succeeds;
use code_service_tests::repository::root;
use code_service_tests::{Mongod, fresh_database};

use crate::install::{Node, installed};

/// Compiles this text as a user of the package would, and returns what the compiler says.
fn compiler_says(text: &str, name: &str) -> String {
    let folder = installed().parent().and_then(|modules| modules.parent()).expect("they lie in a folder");
    let file = folder.join(name);
    std::fs::write(&file, text).expect("can be written");
    let output = Command::new("node")
        .arg(runtimes().join("node_modules/typescript/bin/tsc"))
        .args(["--strict", "--noEmit", "--target", "es2020", "--module", "node16", "--types", "node"])
        .arg("--typeRoots")
        .arg(runtimes().join("node_modules/@types"))
        .arg(&file)
        .output()
        .expect("the compiler is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn they_fit_every_call_as_it_is_meant() {
    assert_eq!(compiler_says(include_str!("good.ts"), "good.ts"), "");
}

/// Each line of the file is wrong, and the compiler has to say so.
#[test]
fn they_refuse_calls_that_are_wrong() {
    let text = include_str!("bad.ts");
    let said = compiler_says(text, "bad.ts");
    let mut tried = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.ends_with("// wrong")) {
        tried += 1;
        assert!(said.contains(&format!("bad.ts({},", number + 1)), "nobody minds: {line}\n{said}");
    }
    assert!(tried > 10);
}

/// Methods, arguments, answers and words are declared as they are.
#[test]
fn they_say_what_there_is() {
    let said = succeeds(
        Node::V20
            .command()
            .arg(runtimes().join("fresh.js"))
            .arg(installed())
            .arg(Mongod::shared().uri_for(&fresh_database()))
            .arg(root().join("tests/vectors/errors.json")),
    );
    assert_eq!(said, "declared as it is\n");
}
