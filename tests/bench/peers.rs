//! The others: the deployed service's algorithms on the official Node.js driver, PostgreSQL, Redis.
//! Each is a real one that starts here, works on codes of its own, and is stopped and removed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use code_service_tests::fresh_database;
use code_service_tests::supervised::{Supervised, wait_until};
use serde_json::Value;

use crate::ground::{CodesFile, Ground};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The deployed service's upsert of all codes in the file; rows per second.
pub(crate) fn old_import(ground: &Ground, file: &CodesFile) -> f64 {
    let said = old("import.js", &[&ground.uri, file.path()]);
    number(&said, "rows") / number(&said, "seconds")
}

/// The deployed service's reserve of one code: codes per second, and the part of the calls that got none.
pub(crate) fn old_reserve(ground: &Ground, callers: usize, seconds: f64) -> (f64, f64) {
    let said = old("reserve.js", &[&ground.uri, &callers.to_string(), &seconds.to_string()]);
    // Where it gets nothing at all, as if it had got one: a ratio needs something.
    let codes = number(&said, "codes").max(1.0);
    (codes / number(&said, "seconds"), number(&said, "short") / number(&said, "calls"))
}

fn old(script: &str, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/old").join(script);
    let said = run(Command::new("node").arg(script).args(arguments));
    serde_json::from_str(&said).expect("a script of ours prints JSON")
}

fn number(said: &Value, name: &str) -> f64 {
    said[name].as_f64().expect("a number")
}

/// Codes that PostgreSQL and Redis start with.
const POOL: usize = 500_000;

/// PostgreSQL, where each caller locks and takes any free row and passes over those that others have locked:
/// codes per second.
pub(crate) fn postgres(callers: usize, seconds: usize) -> f64 {
    let folder = Folder::new();
    let server = |name: &str| {
        // The server refuses to run as root.
        let mut command = Command::new(if as_root() { "setpriv" } else { "env" });
        if as_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(postgres_programs().join(name)).arg("-D").arg(folder.0.join("data"));
        command
    };
    if as_root() {
        run(Command::new("chown").arg("postgres:postgres").arg(&folder.0));
    }
    run(server("initdb").args(["--auth=trust", "--username=postgres"]));
    let mut command = server("postgres");
    command.arg("-k").arg(&folder.0).args(["-h", "", "-N", &(callers + 10).to_string()]);
    command.args(["-c", "shared_buffers=1GB"]);
    let mut process = Supervised::new(&command, None);
    process.start();
    let client = |name: &str| {
        let mut command = Command::new(postgres_programs().join(name));
        command.arg("-h").arg(&folder.0).args(["-U", "postgres"]);
        command
    };
    wait_until("PostgreSQL answers", PATIENCE, || run_if(&mut client("pg_isready")).is_ok());
    let table = format!(
        "CREATE TABLE codes (campaign text, code text, type text, reserve_id uuid, reserved timestamptz,
             assigned timestamptz, PRIMARY KEY (campaign, code));
         INSERT INTO codes SELECT 'bench', 'CODE' || n, 'tm' FROM generate_series(1, {POOL}) n;
         CREATE INDEX free ON codes (campaign, type) WHERE reserved IS NULL AND assigned IS NULL;
         CREATE INDEX by_reserve_id ON codes (reserve_id);
         VACUUM ANALYZE codes"
    );
    for statement in table.split(';') {
        run(client("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-c", statement]));
    }
    let script = folder.0.join("reserve.sql");
    let reserve = "UPDATE codes SET reserve_id = gen_random_uuid(), reserved = now()
        WHERE (campaign, code) = (SELECT campaign, code FROM codes
            WHERE campaign = 'bench' AND type = 'tm' AND reserved IS NULL AND assigned IS NULL
            LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING code;";
    std::fs::write(&script, reserve.replace('\n', " ")).expect("our folder");
    let mut bench = client("pgbench");
    bench.args(["-n", "-M", "prepared", "-j", "2", "-c", &callers.to_string(), "-T", &seconds.to_string()]);
    let said = run(bench.arg("-f").arg(&script).arg("postgres"));
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench says no tps:\n{said}"))
}

/// The folder of the programs that Debian keeps out of the path.
fn postgres_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's postgresql is installed");
    let newest = versions.filter_map(|version| Some(version.ok()?.path())).max();
    newest.expect("Debian's postgresql is installed").join("bin")
}

fn as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Redis `SPOP` out of a set in memory, which keeps nothing through a crash: codes per second.
pub(crate) fn redis(callers: usize) -> f64 {
    let folder = Folder::new();
    let socket = folder.0.join("redis");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
    let mut process = Supervised::new(&command, None);
    process.start();
    let bench = |calls: usize| {
        let mut command = Command::new("redis-benchmark");
        command.arg("-s").arg(&socket).args(["--csv", "-n", &calls.to_string()]);
        command.args(["-c", &callers.to_string()]);
        command
    };
    wait_until("Redis answers", PATIENCE, || socket.exists());
    run(bench(2 * POOL).args(["-r", "1000000000", "-P", "100", "SADD", "pool", "CODE__rand_int__"]));
    let said = run(bench(POOL).args(["SPOP", "pool"]));
    // "test","rps",… and below it "SPOP pool","123.45",…
    let rate = said.lines().last().and_then(|line| line.split("\",\"").nth(1)?.parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark says no rate:\n{said}"))
}

/// A temporary folder. It is removed when this is dropped, after what runs in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("{}-peer", fresh_database()));
        std::fs::create_dir(&path).expect("a writable temporary folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> String {
    run_if(command).unwrap_or_else(|said| panic!("{command:?}: {said}"))
}

fn run_if(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
