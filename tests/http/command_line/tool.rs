//! The command line in both of its ways: on the database itself, and through a running host.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use code_service_tests::{Database, Host};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{stdout, succeeded};
use crate::client::{builder, keys, prepared};

/// A database with a host on it, for all tests here.
pub(super) struct Ground {
    pub(super) uri: String,
    pub(super) host: Host,
}

pub(super) async fn ground() -> &'static Ground {
    static GROUND: OnceCell<Ground> = OnceCell::const_new();
    let start = async || {
        let Database { uri, name: _, db: _ } = prepared().await;
        let host = builder(&uri).start();
        Ground { uri, host }
    };
    GROUND.get_or_init(start).await
}

/// Commands about one campaign, which no other test has.
pub(super) struct Tool {
    pub(super) campaign: String,
    env: Vec<(String, String)>,
}

/// One of either way.
pub(super) async fn tools() -> [Tool; 2] {
    let ground = ground().await;
    let url = ground.host.url("");
    [
        Tool::new("direct", &[("TITAN_MONGO__URI", &ground.uri)]),
        Tool::new("remote", &[("CODE_SERVICE_URL", &url), ("CODE_SERVICE_TOKEN", &keys().supreme())]),
    ]
}

/// The one that asks the host.
pub(super) async fn remote() -> Tool {
    let [_, remote] = tools().await;
    remote
}

impl Tool {
    pub(super) fn new(way: &str, env: &[(&str, &str)]) -> Tool {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let campaign = format!("{way} tour/{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Tool { campaign, env }
    }

    /// The same with other variables.
    pub(super) fn with(&self, env: &[(&str, &str)]) -> Tool {
        let mut tool = Tool { campaign: self.campaign.clone(), env: self.env.clone() };
        for (name, value) in env {
            tool.env.retain(|(known, _)| known != name);
            tool.env.push(((*name).to_owned(), (*value).to_owned()));
        }
        tool
    }

    /// The same without a variable.
    pub(super) fn without(&self, name: &str) -> Tool {
        let mut tool = self.with(&[]);
        tool.env.retain(|(known, _)| known != name);
        tool
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let env: Vec<(&str, &str)> =
            self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut command = Host::command(args, &env);
        command.args(["--campaign", &self.campaign]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the built host can be run")
    }

    /// Gives it something to read from standard input.
    pub(super) fn feed(&self, args: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the built host can be run");
        let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
        stdin.write_all(input.as_ref()).expect("the command reads");
        drop(stdin);
        child.wait_with_output().expect("our own child")
    }

    /// What a person sees of it at a terminal.
    pub(super) fn on_a_terminal(&self, args: &[&str]) -> Output {
        const TERMINAL: &str =
            "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        let command = self.command(args);
        let mut terminal = Command::new("python3");
        terminal.args(["-c", TERMINAL]).arg(command.get_program()).args(command.get_args());
        terminal.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(path) = std::env::var_os("PATH") {
            terminal.env("PATH", path);
        }
        terminal.env("TERM", "xterm").stdin(Stdio::null()).output().expect("python3 can be run")
    }

    /// Saves codes of type `tm`.
    pub(super) fn save(&self, codes: &[&str]) {
        succeeded(&self.feed(&["import", "-", "--type", "tm"], codes.join("\n")));
    }

    /// The JSON that it answers.
    #[track_caller]
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&succeeded(&output)).expect("one object")
    }

    /// What the campaign has: available, reserved, assigned.
    #[track_caller]
    pub(super) fn counts(&self) -> [u64; 3] {
        let counts = self.json(&["count", "--type", "tm"]);
        ["available", "reserved", "assigned"].map(|status| counts[status].as_u64().expect("a number"))
    }
}

/// The objects that it writes, one a line.
#[track_caller]
pub(super) fn objects(output: &Output) -> Vec<Value> {
    let lines = stdout(output);
    lines.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// A file that is gone when the test has ended.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// No file yet; the name is made unique.
    pub(super) fn new(name: &str) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-{name}", std::process::id());
        Scratch(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub(super) fn with(name: &str, content: impl AsRef<[u8]>) -> Scratch {
        let file = Scratch::new(name);
        std::fs::write(&file.0, content).expect("the target folder is writable");
        file
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    pub(super) fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("the file is there")
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// The file that stands for it until it is whole.
    pub(super) fn part(&self) -> Scratch {
        Scratch(PathBuf::from(format!("{}.part", self.path())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Many are never made.
        let _ = std::fs::remove_file(&self.0);
    }
}
