//! The calls of `tests/vectors/calls.json`, made by a program in C.

use std::io::Write;
use std::process::{Command, Stdio};

use code_service_tests::vectors::{self, shown};
use serde_json::{Value, json};

use crate::{Linked, ours, stocked};

#[tokio::test]
async fn every_call_answers_as_the_table_says() {
    let program = ours("vectors.c", Linked::Shared, &["-ljansson"]);
    for case in vectors::calls() {
        let uri = stocked(&[]).await;
        let mut child = Command::new(&program)
            .arg(uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was compiled");
        let mut input = child.stdin.take().expect("piped");
        for step in &case.steps {
            let line = json!({ "call": step.call, "args": step.args });
            writeln!(input, "{line}").expect("it reads");
        }
        drop(input);
        let output = child.wait_with_output().expect("our own child");
        assert!(output.status.success(), "{}", case.name);
        let said = String::from_utf8(output.stdout).expect("text");
        let answers: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(answers.len(), case.steps.len(), "{}", case.name);
        for (said, step) in answers.iter().zip(case.steps) {
            let expected = match step.error {
                Some(error) => json!({ "error": error }),
                None => json!({ "answers": step.answers }),
            };
            assert_eq!(shown(said, &expected), expected, "{}: {}", case.name, step.call);
        }
    }
}
