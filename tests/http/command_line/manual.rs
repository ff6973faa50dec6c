//! What the tool says of itself: help, completions, the manual page, and the examples in them.

use std::process::{Command, Output};

use code_service_tests::Host;

use super::succeeded;
use super::tool::Scratch;
use crate::client::{keys, prepared};

/// Every subcommand, and arguments that its help must name.
const COMMANDS: &[(&str, &[&str])] = &[
    ("serve", &["--config-dir", "--unsafe-skip-index-check"]),
    ("create-indexes", &["--config-dir"]),
    ("config", &["--config-dir"]),
    ("token", &["--user-id", "--not-supreme", "--expires-in"]),
    ("import", &["[FILE]", "--type", "--format", "--rejected", "--bucket-key", "--dry-run", "--no-wait"]),
    ("jobs", &["list", "show", "follow", "cancel", "undo", "rejected"]),
    (
        "export",
        &["[FILE]", "--campaign", "--format", "--continue", "--to-bucket", "--no-wait", "--after", "--url"],
    ),
    ("count", &["--campaign", "--type", "--status", "--url", "--token-file", "--json"]),
    ("find", &["[CODE]", "--codes-file", "--url", "--json"]),
    ("reserve", &["--campaign", "--type", "--count", "--partial", "--reserve-id", "--url"]),
    ("assign", &["[CODE]", "--codes-file", "--reserve-id", "--url"]),
    ("release", &["[CODE]", "--codes-file", "--reserve-id", "--url"]),
    ("recover", &["<ID>", "--campaign", "--url"]),
    ("check", &["--campaign", "--repair", "--examples", "--json"]),
    ("generate", &["<PATTERN>", "--count", "--check-character", "--one-in", "--output"]),
    ("completions", &["<SHELL>", "bash"]),
    ("man", &["--config-dir"]),
];

fn help(command: &str) -> String {
    succeeded(&Host::run(&[command, "--help"], &[]))
}

#[test]
fn help_names_every_subcommand_and_how_it_is_configured() {
    let help = succeeded(&Host::run(&["--help"], &[]));
    let words = ["--config-dir", "NODE_ENV", "TITAN_MONGO__URI", "CODE_SERVICE_URL", "CODE_SERVICE_TOKEN"];
    for word in words {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let listed = listed.lines().filter_map(|line| line.split_whitespace().next());
    let mut listed: Vec<&str> = listed.filter(|name| *name != "help").collect();
    let mut known: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn help_tells_every_exit_code() {
    let help = succeeded(&Host::run(&["--help"], &[]));
    let codes = help.split("Exit codes:\n").nth(1).expect("they are told");
    let codes: Vec<&str> = codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "130", "143"]);
}

#[test]
fn every_subcommand_explains_itself_and_its_arguments() {
    for (command, arguments) in COMMANDS {
        let help = help(command);
        for argument in *arguments {
            assert!(help.contains(argument), "{argument} is not in the help of {command}: {help}");
        }
    }
}

#[test]
fn no_subcommand_takes_a_token_as_an_argument() {
    for (command, _) in COMMANDS {
        let help = help(command);
        let token =
            help.split_whitespace().find(|word| word.starts_with("--token") && *word != "--token-file");
        assert_eq!(
            token.map(|word| word.trim_end_matches([';', ',', '.'])).filter(|w| *w != "--token-file"),
            None
        );
    }
}

#[test]
fn help_has_colours_only_for_those_who_want_them() {
    let coloured = |env: &[(&str, &str)]| succeeded(&Host::run(&["--help"], env)).contains('\u{1b}');
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&[]));
}

#[test]
fn completions_are_scripts_that_know_every_subcommand() {
    let script = succeeded(&Host::run(&["completions", "bash"], &[]));
    let file = Scratch::with("completions.bash", &script);
    let checked = Command::new("bash").args(["-n", file.path()]).output().expect("bash is there");
    assert!(checked.status.success(), "{checked:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeded(&Host::run(&["completions", shell], &[]));
        for (command, _) in COMMANDS {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn the_manual_page_has_every_subcommand_with_its_arguments() {
    let page = succeeded(&Host::run(&["man"], &[])).replace("\\-", "-");
    assert!(page.contains(".TH code-service-host 1"), "{page}");
    for (command, arguments) in COMMANDS {
        let heading = format!(".SH \"CODE-SERVICE-HOST {}\"", command.to_uppercase());
        let section = page.split(&heading).nth(1).unwrap_or_else(|| panic!("no {heading} in {page}"));
        for argument in arguments.iter().filter(|argument| argument.starts_with("--")) {
            assert!(section.contains(argument), "{argument} is not in the page of {command}");
        }
    }
}

/// What a real bash offers behind these words.
fn offered(before: &[&str], word: &str) -> Vec<String> {
    let script = succeeded(&Host::run(&["completions", "bash"], &[]));
    let lines = "
        eval \"$SCRIPT\"
        function=$(complete -p code-service-host | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
        COMP_WORDS=(code-service-host \"$@\") COMP_CWORD=$#
        \"$function\" code-service-host \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", lines, "bash"]).args(before).arg(word).env("SCRIPT", script);
    let offered = succeeded(&bash.output().expect("bash is there"));
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_values_and_arguments() {
    let jobs = offered(&["jobs"], "");
    for job in ["list", "show", "follow", "cancel", "undo", "rejected"] {
        assert!(jobs.iter().any(|offered| offered == job), "no {job} in {jobs:?}");
    }
    assert_eq!(offered(&["count", "--status"], ""), ["available", "reserved", "assigned"]);
    assert_eq!(offered(&["import"], "--rej"), ["--rejected"]);
    assert_eq!(offered(&["jobs", "list"], "--js"), ["--json"]);
    assert_eq!(offered(&[], "create-"), ["create-indexes"]);
}

#[test]
fn the_signs_of_a_pattern_are_told_in_words() {
    let words = help("generate").split_whitespace().collect::<Vec<_>>().join(" ");
    for told in
        ["A number in braces repeats the one before it", "a backslash takes the next character as it is"]
    {
        assert!(words.contains(told), "{words}");
    }
}

#[test]
fn the_manual_page_has_each_section_once_and_names_no_page_that_is_not_there() {
    let page = succeeded(&Host::run(&["man"], &[])).replace("\\-", "-");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "CONFIGURATION", "OUTPUT", "\"EXIT CODES\""]
    {
        let times = page.lines().filter(|line| *line == format!(".SH {section}")).count();
        assert_eq!(times, 1, "{section} in {page}");
    }
    assert!(!page.contains("EXTRA"), "{page}");
    assert!(!page.contains("(1)"), "{page}");
    assert!(page.contains("NODE_CONFIG_DIR"), "{page}");
}

/// The commands under `Example:` or `Examples:`, each on one line.
fn examples(help: &str) -> Vec<String> {
    let Some(examples) = help.split("\nExample").nth(1) else { return Vec::new() };
    let lines = examples.lines().skip(1).take_while(|line| line.starts_with("  "));
    let joined = lines.map(str::trim).collect::<Vec<_>>().join("\n").replace("|\n", "| ");
    joined.lines().map(str::to_owned).collect()
}

/// Runs lines in a shell, in a folder and on a database of their own.
async fn run_lines(lines: &str) -> Output {
    let test = prepared().await;
    let folder = Scratch::new("examples").path().to_owned();
    std::fs::create_dir_all(format!("{folder}/.local/share/bash-completion/completions"))
        .expect("the target folder is writable");
    let env = [("TITAN_MONGO__URI", test.uri.as_str()), ("TITAN_JWT__PRIVATE_KEY", keys().private.as_str())];
    let program = Host::command(&[], &env);
    let mut shell = Command::new("bash");
    let function = "code-service-host() { \"$PROGRAM\" \"$@\"; }";
    shell.args(["-euo", "pipefail", "-c", &format!("{function}\n{lines}")]);
    shell.env("PROGRAM", program.get_program()).env("HOME", &folder).current_dir(&folder);
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("bash is there");
    std::fs::remove_dir_all(&folder).expect("ours");
    output
}

/// What the examples speak of.
const SETUP: &str = "
    printf 'A1\\nB2\\n' | tee codes.csv > codes.txt
    code-service-host import codes.csv --campaign summer --type tm > setup.txt
    code-service-host reserve --campaign summer --type tm --count 2 --reserve-id order-4711 > setup.txt 2>&1
";

#[tokio::test]
async fn every_example_works() {
    let mut run = 0;
    for (command, _) in COMMANDS {
        for line in examples(&help(command)) {
            let output = run_lines(&format!("{SETUP}\n{line}")).await;
            assert!(output.status.success(), "{line}: {output:?}");
            run += 1;
        }
    }
    assert!(run > 12, "only {run} examples were found");
}

#[tokio::test]
async fn the_commands_of_readme_work() {
    let readme = code_service_tests::repository::read("README.md");
    let mut blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.starts_with("code-service-host ")).expect("the command line's");
    let output =
        run_lines(&format!("printf 'A1\\nB2\\nC3\\n' | gzip > codes.csv.gz\n{block}\ncat assigned.csv"))
            .await;
    let said = succeeded(&output);
    assert_eq!(said.lines().filter(|line| line.contains(",tm,assigned,")).count(), 2, "{said}");
}
