//! The commands to copy, and what they must answer.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{CODES, KEY};

/// A line to copy, and what is checked of its answer.
struct Step {
    title: &'static str,
    line: String,
    expect: fn(&Value) -> bool,
}

/// What comes before the answer of a step in the output of the script.
const MARK: &str = "--- answer";

fn steps(base: &str, codes: &[String]) -> Vec<Step> {
    let step = |title, line: String, expect| Step { title, line, expect };
    vec![
        step(
            "a token",
            format!(
                "TOKEN=$(curl -s {base}/dev/token -d '{{\"userId\":\"me\",\"isSupreme\":true}}' | cut -d'\"' -f6)"
            ),
            |_| true,
        ),
        step(
            "who am I",
            format!("curl -s -H \"Authorization: Bearer $TOKEN\" {base}/dev/supremes"),
            |answer| answer["data"] == json!({ "isSupreme": true }),
        ),
        step(
            "upload",
            format!(
                "curl -s -H \"Authorization: Bearer $TOKEN\" {base}/demo/codes -d '{{\"fileKey\":\"{}\"}}'",
                KEY
            ),
            |answer| {
                let count = &answer["data"]["count"];
                let number = |name: &str| count[name].as_u64().unwrap_or_default();
                count["in"] == json!(CODES) && number("in") == number("inserted") + number("updated")
            },
        ),
        step(
            "count",
            format!("curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/demo/codes/count?type=tm'"),
            |answer| answer["data"]["available"].as_u64() >= Some(CODES as u64),
        ),
        step(
            "reserve",
            format!("curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/demo/reserve?count=10&type=tm'"),
            |answer| {
                answer["data"]["codes"].as_array().is_some_and(|codes| codes.len() == 10)
                    && answer["data"]["reserveId"].is_string()
            },
        ),
        step(
            "reserve under an id of your own: repeat it, and get the same codes",
            format!(
                "curl -s -H \"Authorization: Bearer $TOKEN\" -X PUT {base}/demo/reservations/order-$$ -d '{{\"type\":\"tm\",\"count\":2}}'"
            ),
            |answer| answer["data"]["count"] == json!(2),
        ),
        step(
            "assign",
            format!(
                "curl -s -H \"Authorization: Bearer $TOKEN\" {base}/demo/assign -d '{{\"codes\":[\"{}\"]}}'",
                codes[0]
            ),
            |answer| answer["data"]["count"] == json!({ "in": 1, "updated": 1 }),
        ),
        step(
            "release what the id holds",
            format!(
                "curl -s -H \"Authorization: Bearer $TOKEN\" {base}/demo/release -d \"{{\\\"codes\\\":$(curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/demo/reserve?count=3&type=tm' | python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)[\"data\"][\"codes\"]))')}}\""
            ),
            |answer| answer["data"]["count"] == json!({ "in": 3, "updated": 3 }),
        ),
        step(
            "count again",
            format!(
                "curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/demo/codes/count?type=tm&status=assigned'"
            ),
            |answer| answer["data"]["assigned"].as_u64() >= Some(1),
        ),
    ]
}

/// Prints the commands.
pub(crate) fn print(base: &str, codes: &[String]) {
    println!("\nCopy these into another terminal; Ctrl-C here stops everything.");
    for step in steps(base, codes) {
        println!("\n# {}\n{}", step.title, step.line);
    }
}

/// Runs the commands in one shell and checks every answer.
pub(crate) fn check(base: &str, codes: &[String]) -> Result<(), String> {
    let steps = steps(base, codes);
    let script: String = steps.iter().map(|step| format!("echo '{MARK}'\n{}\necho\n", step.line)).collect();
    let output = shell(&script).map_err(|e| format!("the demo needs sh and curl: {e}"))?;
    let mut answers = output.split(MARK).skip(1);
    for step in &steps {
        let answer = answers.next().unwrap_or_default().trim();
        println!("\n# {}\n{}\n{answer}", step.title, step.line);
        let parsed = serde_json::from_str(answer).unwrap_or_default();
        if !(step.expect)(&parsed) {
            return Err(format!("the demo failed at: {}", step.title));
        }
    }
    println!("\ndemo: {} commands, every answer as it must be", steps.len());
    Ok(())
}

fn shell(script: &str) -> std::io::Result<String> {
    let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    shell.stdin.take().expect("piped").write_all(script.as_bytes())?;
    let output = shell.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
