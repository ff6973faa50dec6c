//! Child processes that cannot outlive the test process.
//!
//! A test process may end at any time: an assertion, a closed terminal, a SIGKILL from CI. Nothing in the
//! test process can tidy up after a SIGKILL, so a small `sh` script stands between it and the program:
//! it reads orders from a pipe that only the test process holds, and when that pipe closes, for whatever
//! reason, it kills the program by its pid, waits for it, and removes its folder.
//!
//! A program may end unasked and its pid be given to another process. A signal goes only to a process whose
//! parent is the script, so it never hits a stranger.
//!
//! Linux only: it looks into `/proc`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use crate::proc::is_running;
use crate::proc::parent_of;

/// How long the script may take for one order: only the machine's load can make it slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the script's own lines begin with; every other line of its output is the program's.
const MARK: &str = "supervisor: ";

/// A closed pipe is not allowed to end the script early (`trap : PIPE`), because it has to tidy up first.
/// The program's stdin is empty, so that it can never hold our pipe.
const SCRIPT: &str = r#"
folder=$1
shift
child=
is_ours() {
    while read -r name value; do
        if [ "$name" = PPid: ]; then [ "$value" = $$ ]; return; fi
    done <"/proc/$child/status"
    return 1
} 2>/dev/null
send() {
    if [ -n "$child" ] && is_ours; then kill -s "$1" "$child"; fi
}
end() {
    trap '' HUP INT TERM
    send KILL
    wait
    if [ -n "$folder" ]; then rm -rf "$folder"; fi
    exit 0
}
trap end HUP INT TERM
trap : PIPE
if [ -n "$folder" ]; then mkdir -p "$folder"; fi
while read -r order word; do
    case $order in
    start)
        "$@" </dev/null &
        child=$!
        echo "supervisor: pid $child"
        ;;
    signal)
        send "$word"
        ;;
    wait)
        wait "$child"
        status=$?
        child=
        printf '\nsupervisor: exit %s\n' "$status"
        ;;
    esac
done
end
"#;

/// One program under the eyes of the script. Dropping it kills the program and removes its folder.
pub struct Supervised {
    script: Child,
    orders: Option<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    readers: Vec<JoinHandle<()>>,
    pid: Option<u32>,
}

/// What came out of the script so far.
#[derive(Default)]
struct Heard {
    stdout: Vec<String>,
    stderr: Vec<String>,
    pid: Option<u32>,
    exit: Option<i32>,
}

/// All that a program said until its end.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit status as a shell counts it: 128 and more for a signal. `None` if it was never started.
    pub status: Option<i32>,
    /// Lines of its standard output.
    pub stdout: Vec<String>,
    /// Lines of its standard error.
    pub stderr: Vec<String>,
}

impl Supervised {
    /// Prepares `command` (program, arguments, environment, working directory) without starting it.
    ///
    /// `folder`, if any, is made now and removed with everything in it at the end.
    pub fn new(command: &Command, folder: Option<&Path>) -> Supervised {
        let mut script = Command::new("sh");
        script.args(["-c", SCRIPT, "sh"]);
        script.arg(folder.map_or_else(|| "".as_ref(), Path::as_os_str));
        script.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            script.current_dir(directory);
        }
        // A group of its own: a Ctrl-C in the terminal reaches the tests, not the script.
        script.process_group(0);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut script = script.spawn().expect("every system has sh");

        let heard = Arc::new(Mutex::new(Heard::default()));
        let stdout = script.stdout.take().expect("stdout was asked for as a pipe");
        let stderr = script.stderr.take().expect("stderr was asked for as a pipe");
        let readers = vec![
            read_lines(stdout, &heard, Heard::out),
            read_lines(stderr, &heard, |heard, line| heard.stderr.push(line)),
        ];
        Supervised { orders: script.stdin.take(), script, heard, readers, pid: None }
    }

    /// Starts the program, also a second time once it has ended.
    pub fn start(&mut self) {
        assert!(self.pid.is_none(), "the program is already running");
        {
            let mut heard = lock(&self.heard);
            heard.pid = None;
            heard.exit = None;
        }
        self.order("start");
        let heard = Arc::clone(&self.heard);
        wait_until("the script starts the program", PATIENCE, || lock(&heard).pid.is_some());
        self.pid = lock(&self.heard).pid;
    }

    /// The program's process id.
    ///
    /// # Panics
    /// When it is not started, or ended and collected.
    pub fn pid(&self) -> u32 {
        self.pid.expect("the program is running")
    }

    /// Whether the program has ended (or was never started).
    pub fn ended(&self) -> bool {
        self.pid.is_none_or(|pid| parent_of(pid) != Some(self.script.id()))
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&mut self, name: &str) {
        if self.pid.is_some() {
            self.order(&format!("signal {name}"));
        }
    }

    /// Kills the program (SIGKILL), keeps its folder, and returns once it is gone.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.collect();
    }

    /// Waits for the end of the program and returns its status; `None` if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        poll(limit, || self.ended()).then(|| self.collect()).flatten()
    }

    /// What the program wrote to standard output so far, line by line.
    pub fn stdout(&self) -> Vec<String> {
        lock(&self.heard).stdout.clone()
    }

    /// What the program wrote to standard error so far, line by line.
    pub fn stderr(&self) -> Vec<String> {
        lock(&self.heard).stderr.clone()
    }

    /// Ends everything and returns all that was said, with no line missing.
    pub fn finish(mut self) -> Finished {
        self.kill();
        self.end_script();
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader only moves lines");
        }
        let heard = lock(&self.heard);
        Finished { status: heard.exit, stdout: heard.stdout.clone(), stderr: heard.stderr.clone() }
    }

    /// Lets the script collect the ended program, which sets the pid free.
    fn collect(&mut self) -> Option<i32> {
        if self.pid.take().is_some() {
            self.order("wait");
            let heard = Arc::clone(&self.heard);
            wait_until("the script collects the program", PATIENCE, || lock(&heard).exit.is_some());
        }
        lock(&self.heard).exit
    }

    fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("the pipe stays open until the end");
        writeln!(orders, "{order}").expect("the script reads its orders until the pipe closes");
    }

    fn end_script(&mut self) {
        // Closing the pipe is the order to end. Once the script is gone, so are program and folder.
        drop(self.orders.take());
        self.script.wait().expect("the script is our own child");
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.end_script();
    }
}

impl Heard {
    /// Takes a line of standard output: the script's word or the program's.
    fn out(&mut self, line: String) {
        let word = line.strip_prefix(MARK).and_then(|said| said.split_once(' '));
        match word {
            Some(("pid", pid)) => self.pid = pid.parse().ok(),
            Some(("exit", status)) => self.exit = status.parse().ok(),
            Some(_) | None => self.stdout.push(line),
        }
    }
}

/// Moves every line of `from` into `heard`, on a thread of its own until the other end closes.
fn read_lines(
    from: impl Read + Send + 'static,
    heard: &Arc<Mutex<Heard>>,
    take: impl Fn(&mut Heard, String) + Send + 'static,
) -> JoinHandle<()> {
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if !text.is_empty() {
                take(&mut lock(&heard), text.to_owned());
            }
            line.clear();
        }
    })
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().expect("nobody panics while holding the lines")
}

/// Asks `done` again and again until it says yes.
///
/// # Panics
/// When it has not after `limit`; the message names `what` was waited for.
pub fn wait_until(what: &str, limit: Duration, done: impl FnMut() -> bool) {
    assert!(poll(limit, done), "waited {} s in vain until {what}", limit.as_secs());
}

fn poll(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
