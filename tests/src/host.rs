//! Runs the real host program as a child process, for tests over HTTP.
//!
//! The program is built once per test process, in the profile of the test itself; `CODE_SERVICE_HOST` may
//! name a built one instead. A [`Host`] runs `code-service-host serve` on a port that the system picks, and
//! learns it from the host's own log line: `"logger":"code_service_host::serve"`, `"message":"listening"`, `"port":N`.
//! Like every process here it ends with the test process, however that ends.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::built;
use crate::server::free_port;
use crate::supervised::{Finished, Supervised, wait_until};

/// Names the host program to run, instead of building it.
pub const VARIABLE: &str = "CODE_SERVICE_HOST";

/// From the start of the process to its port. The host waits for its database in that time.
const UNTIL_LISTENING: Duration = Duration::from_secs(30);
/// How long a host may drain its requests after SIGTERM.
const UNTIL_STOPPED: Duration = Duration::from_secs(30);

/// A running host. Dropping it kills the process and waits for its end.
pub struct Host {
    process: Supervised,
    port: u16,
}

/// What a host shall run with.
#[derive(Debug, Clone)]
pub struct Builder {
    env: Vec<(OsString, OsString)>,
    prefix: Vec<OsString>,
    args: Vec<OsString>,
    program: Option<PathBuf>,
    directory: Option<PathBuf>,
    /// That of a host that does not tell its own.
    port: Option<u16>,
}

/// A host that ended, or said nothing, instead of listening.
#[derive(Debug, Clone)]
pub struct NotStarted {
    /// Its exit status and all that it wrote.
    pub said: Finished,
}

impl Host {
    /// A host in `local-dev` on a free port; everything else is the caller's to set.
    pub fn builder() -> Builder {
        let builder = Builder {
            env: Vec::new(),
            prefix: Vec::new(),
            args: Vec::new(),
            program: None,
            directory: None,
            port: None,
        };
        builder.env("NODE_ENV", "local-dev").env("TITAN_SERVICE__PORT", "0")
    }

    /// Runs the host program once with `args` and waits for its end, for the one-shot subcommands.
    ///
    /// Nothing kills it when the test process is killed: these commands end by themselves.
    ///
    /// # Panics
    /// When the program cannot be built or run.
    pub fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
        Host::command(args, env).output().expect("the built host can be run")
    }

    /// The host program with `args`, for those that a test wants to write to, or to end.
    ///
    /// # Panics
    /// When the program cannot be built.
    pub fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program());
        command.args(args);
        clean_env(&mut command);
        command.env("NODE_ENV", "local-dev").envs(env.iter().copied());
        command
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All lines that it wrote to standard output so far; the log is one JSON object per line.
    pub fn lines(&self) -> Vec<String> {
        self.process.stdout()
    }

    /// All lines that it wrote to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Waits up to 10 s for a log line that `fits`, and returns it. A line may come after the reply.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for_line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(what, Duration::from_secs(10), || {
            found = self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).find(&fits);
            found.is_some()
        });
        found.expect("waited until it was found")
    }

    /// Process id of the host.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal, by its name without `SIG`, and does not wait.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end and returns the exit status; 128 and more for a signal.
    ///
    /// # Panics
    /// When it still runs after 30 s.
    pub fn wait(&mut self) -> i32 {
        self.process.wait(UNTIL_STOPPED).unwrap_or_else(|| {
            panic!("the host still runs after {} s\n{}", UNTIL_STOPPED.as_secs(), self.lines().join("\n"))
        })
    }

    /// Asks it to end (SIGTERM), waits until it has drained, and returns its exit status.
    ///
    /// # Panics
    /// When it still runs after 30 s.
    pub fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// The most memory it has had resident so far, in KiB.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn peak_rss_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    /// The memory that it has resident, in KiB.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn memory_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the host runs");
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
        number.expect("Linux writes `VmRSS: N kB`")
    }
}

impl Builder {
    /// Sets a variable of its environment. Nothing named `TITAN_…` or `AWS_…` is inherited from the test process.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Builder {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Puts a command in front, such as `["nice"]`. It has to replace itself with the host.
    #[must_use]
    pub fn prefix<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Builder {
        self.prefix.extend(words.into_iter().map(|word| word.as_ref().into()));
        self
    }

    /// Adds an argument of `serve`.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Builder {
        self.args.push(word.as_ref().into());
        self
    }

    /// Writes nothing to the console, where this process would have to read every line.
    #[must_use]
    pub fn silent(mut self) -> Builder {
        let port = free_port();
        self.port = Some(port);
        self.env("TITAN_LOG__CONSOLE", "false").env("TITAN_SERVICE__PORT", port.to_string())
    }

    /// Runs this program instead of the one that is built here: an older host, or a stand-in.
    #[must_use]
    pub fn program(mut self, path: impl AsRef<Path>) -> Builder {
        self.program = Some(path.as_ref().into());
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Builder {
        self.directory = Some(directory.as_ref().into());
        self
    }

    /// Starts the host and returns once it listens.
    ///
    /// # Panics
    /// When it does not; the message holds all that it wrote.
    pub fn start(self) -> Host {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the host and returns once it listens.
    ///
    /// # Errors
    /// When it ends before that, or is silent for 30 s.
    ///
    /// # Panics
    /// When the program cannot be built.
    pub fn try_start(self) -> Result<Host, Box<NotStarted>> {
        let mut words = self.prefix;
        let program = self.program.unwrap_or_else(|| program().to_owned());
        words.extend([program.into(), "serve".into()]);
        words.extend(self.args);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        clean_env(&mut command);
        command.envs(self.env);
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let mut process = Supervised::new(&command, None);
        process.start();
        let port = match self.port {
            Some(port) => listens_on(&mut process, port).then_some(port),
            None => port_of(&mut process),
        };
        match port {
            Some(port) => Ok(Host { process, port }),
            None => Err(Box::new(NotStarted { said: process.finish() })),
        }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finished { status, stdout, stderr } = &self.said;
        let status = status.map_or("none".into(), |status| status.to_string());
        write!(
            f,
            "the host did not listen (exit status {status})\n{}\n{}",
            stdout.join("\n"),
            stderr.join("\n")
        )
    }
}

impl std::error::Error for NotStarted {}

/// Waits for the line that tells the port; `None` if the host ends or the time is over.
fn port_of(process: &mut Supervised) -> Option<u16> {
    let start = std::time::Instant::now();
    while start.elapsed() < UNTIL_LISTENING {
        let ended = process.ended();
        if let Some(port) = process.stdout().iter().find_map(|line| listening_port(line)) {
            return Some(port);
        }
        if ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Whether somebody listens there before the process ends or the time is over.
fn listens_on(process: &mut Supervised, port: u16) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < UNTIL_LISTENING && !process.ended() {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn listening_port(line: &str) -> Option<u16> {
    let line: Value = serde_json::from_str(line).ok()?;
    // The host's own, or that of examples/node.
    let loggers = ["code_service_host::serve", "server"];
    let is_it = line["message"] == "listening" && loggers.iter().any(|logger| line["logger"] == *logger);
    is_it.then(|| line["port"].as_u64()?.try_into().ok())?
}

/// Removes the variables that would steer the host by accident.
fn clean_env(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let of_the_tool = name == "CODE_SERVICE_URL" || name == "CODE_SERVICE_TOKEN";
        let steers = |prefix: &[u8]| name.as_encoded_bytes().starts_with(prefix);
        if name == "NODE_ENV" || of_the_tool || steers(b"TITAN_") || steers(b"AWS_") {
            command.env_remove(name);
        }
    }
}

/// The host program, found or built at first use.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || built::file_of("code-service-host");
    PROGRAM.get_or_init(|| std::env::var_os(VARIABLE).map_or_else(build, PathBuf::from))
}
