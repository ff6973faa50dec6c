//! The Node.js addon, laid out as npm installs it, the runtimes that it is tested on, and the example that uses it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::built;
use crate::programs::{npm_ci, succeeds};

/// Builds the addon and puts the package, and that of this platform beside it, into `modules`, whatever was there.
///
/// # Panics
/// When it cannot be built or written.
pub fn install(modules: &Path) {
    let library = built::file_of("code_service_node");
    let _ = std::fs::remove_dir_all(modules);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings-node/pack.js");
    let mut pack = Command::new("node");
    pack.arg(script).arg(modules).arg(format!("linux-x64-gnu={}", library.display()));
    succeeds(&mut pack);
}

/// The folder whose `node_modules` holds the runtimes: `node-12`, which is 12.14.0, and others.
///
/// # Panics
/// When npm cannot install them.
pub fn runtimes() -> &'static Path {
    static RUNTIMES: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        npm_ci(&folder);
        folder
    });
    &RUNTIMES
}

/// `examples/node` on Node.js 12.14.0, as a program that takes the host's arguments. It is laid out in `folder`, whatever
/// was there, and finds the addon in `modules`.
///
/// # Panics
/// When npm cannot install what it needs, or it cannot be written.
pub fn example(modules: &Path, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/node");
    let _ = std::fs::remove_dir_all(folder);
    succeeds(Command::new("cp").arg("-r").arg(source).arg(folder));
    let _ = std::fs::remove_dir_all(folder.join("node_modules"));
    npm_ci(folder);
    // npm links the package of this repository, which has no addon in it.
    std::fs::remove_file(folder.join("node_modules/code-service")).expect("npm has made the link");

    let program = folder.join("code-service-example");
    let script = format!(
        "#!/bin/sh\nexport NODE_PATH={}\nexec {} {} \"$@\"\n",
        modules.display(),
        runtimes().join("node_modules/node-12/bin/node").display(),
        folder.join("src/server.js").display(),
    );
    std::fs::write(&program, script).expect("its folder is writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    program
}
