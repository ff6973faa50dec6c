//! What README, ARCHITECTURE and CONTRIBUTING say is true of this tree.

use std::collections::BTreeSet;
use std::process::Command;

use code_service_tests::repository::{files, read, root};
use code_service_tests::{Host, Keys, database};

/// The contents of the fenced blocks with this tag.
fn blocks(text: &str, tag: &str) -> Vec<String> {
    let opening = format!("```{tag}\n");
    text.split(&opening)
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split yields one").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_curl_commands_of_readme_answer_as_it_says() {
    let readme = read("README.md");
    let commands = blocks(&readme, "sh").into_iter().find(|block| block.contains("curl")).expect("a block");
    let database = database().await;
    let keys = Keys::generate();
    Host::run(&["create-indexes"], &[("TITAN_MONGO__URI", &database.uri)]);
    let host = Host::builder()
        .env("TITAN_MONGO__URI", &database.uri)
        .env("TITAN_JWT__PUBLIC_KEY", &keys.public)
        .env("TITAN_JWT__PRIVATE_KEY", &keys.private)
        .env("TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH", std::env::temp_dir())
        .start();
    let commands = commands.replace("localhost:8080", &format!("127.0.0.1:{}", host.port()));
    let output = Command::new("sh").args(["-euc", &commands]).output().expect("sh and curl are there");
    let answers: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an envelope"))
        .collect();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data: Vec<_> = answers.iter().map(|answer| &answer["data"]).collect();
    assert_eq!(data.len(), 6, "{answers:?}");
    assert_eq!(data[0]["count"]["inserted"], 3);
    assert_eq!(data[1]["codes"].as_array().map(Vec::len), Some(2));
    assert_eq!(data[2]["count"], 1);
    assert_eq!(data[3]["count"]["updated"], 1);
    assert_eq!(data[4]["count"]["updated"], 1);
    assert_eq!(data[5], &serde_json::json!({ "available": 1, "reserved": 1, "assigned": 1 }));
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = read("Makefile");
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let in_blocks = blocks(&text, "sh").into_iter().flat_map(|block| {
            block.lines().filter_map(|line| line.strip_prefix("make ")).map(str::to_owned).collect::<Vec<_>>()
        });
        let in_sentences = text.split("`make ").skip(1).map(str::to_owned);
        for named in in_blocks.chain(in_sentences) {
            let target: String = named.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(makefile.contains(&format!("\n{target}:")), "{page} names `make {target}`");
        }
    }
}

#[test]
fn every_subcommand_is_in_readme() {
    let help = Host::run(&["--help"], &[]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let readme = read("README.md");
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 3, "{commands}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(readme.contains(&format!("| `{name}")), "README has no row for `{name}`");
    }
}

/// The paths of the map, each from the root of the tree.
fn map() -> BTreeSet<String> {
    let architecture = read("ARCHITECTURE.md");
    let block = blocks(&architecture, "text").into_iter().next().expect("the map");
    let mut folder = String::new();
    let mut paths = BTreeSet::new();
    for line in block.lines() {
        let name = line.split_whitespace().next().expect("a map has no empty line");
        if line.starts_with(' ') {
            paths.insert(format!("{folder}{name}"));
        } else {
            folder = name.to_owned();
            paths.insert(name.to_owned());
        }
    }
    paths
}

#[test]
fn the_map_of_architecture_is_the_tree() {
    let map = map();
    for path in &map {
        assert!(root().join(path).exists(), "ARCHITECTURE names {path}");
    }
    for file in files() {
        let parts: Vec<&str> = file.split('/').collect();
        if let [top, _, ..] = parts[..] {
            let named = map.iter().any(|path| path.starts_with(&format!("{top}/")));
            assert!(named, "ARCHITECTURE does not name {top}/");
        }
        // The modules of core and host, and the suites of tests, each have their line.
        let line = match parts[..] {
            ["core", "src", module] => format!("core/src/{module}"),
            ["examples", "host", "src", module] => format!("examples/host/src/{module}"),
            ["tests", suite, _, ..] if suite != "src" => format!("tests/{suite}/"),
            _ => continue,
        };
        assert!(map.contains(&line), "ARCHITECTURE does not name {line}");
    }
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    for file in files().into_iter().filter(|file| file.ends_with(".rs")) {
        assert!(read(&file).starts_with("//! "), "{file} does not open with `//!`");
    }
}

#[test]
fn every_link_of_the_pages_leads_to_a_file_and_a_heading_in_it() {
    for page in files().into_iter().filter(|file| file.ends_with(".md")) {
        let folder = page.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for target in
            read(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            if target.starts_with("http") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { page.clone() } else { format!("{folder}{file}") };
            assert!(root().join(&file).exists(), "{page} links to {target}");
            let there = heading.is_empty() || headings(&file).contains(&heading.to_owned());
            assert!(there, "{page} links to {target}, and {file} has no such heading");
        }
    }
}

/// A page's headings as links name them.
fn headings(page: &str) -> Vec<String> {
    let name = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    read(page).lines().filter(|line| line.starts_with('#')).map(name).collect()
}
