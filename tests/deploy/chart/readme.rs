//! The chart's README, whose table is made of the comments in values.yaml.

use super::helm::{chart, read};

const BEGIN: &str = "<!-- of values.yaml -->\n";
const END: &str = "<!-- end -->\n";

/// A row for every key: its path, what it is if nothing else is said, and the comment above it.
fn table(values: &str) -> String {
    let mut rows = String::from("| key | default | what it is |\n|---|---|---|\n");
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    for line in values.lines() {
        let content = line.trim_start();
        if let Some(text) = content.strip_prefix('#') {
            comment.push(text.trim());
            continue;
        }
        let Some((key, value)) = content.split_once(':') else {
            // What is above an empty line is about the file.
            comment.clear();
            continue;
        };
        path.truncate((line.len() - content.len()) / 2);
        path.push(key);
        let path = path.join(".");
        let value = value.trim();
        let value = if value.is_empty() { String::new() } else { format!("`{value}`") };
        rows += &format!("| `{path}` | {value} | {} |\n", comment.join(" "));
        comment.clear();
    }
    rows
}

#[test]
fn the_readme_says_what_values_yaml_says() {
    let file = chart().join("README.md");
    let readme = read(&file);
    let (before, rest) = readme.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where it ends");
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", table(&read(&chart().join("values.yaml"))));
    if std::env::var_os(super::UPDATE).is_some() {
        std::fs::write(&file, fresh).expect("writable");
    } else {
        assert!(readme == fresh, "README.md is not of this values.yaml: {}", super::HOW);
    }
}

#[test]
fn a_row_has_the_path_the_default_and_the_comment() {
    let values =
        "# The file.\n\n# Section.\na:\n  # One,\n  # and more.\n  b: 1\n  c: {d: e}\n# Last.\nf: \"\"\n";
    assert_eq!(
        table(values).lines().skip(2).collect::<Vec<_>>(),
        [
            "| `a` |  | Section. |",
            "| `a.b` | `1` | One, and more. |",
            "| `a.c` | `{d: e}` |  |",
            "| `f` | `\"\"` | Last. |",
        ]
    );
}
