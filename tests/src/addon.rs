//! The Node.js addon, laid out as npm installs it.

use std::path::Path;
use std::process::Command;

use crate::built;

/// Builds the addon and puts the package, and that of this platform beside it, into `modules`, whatever was there.
///
/// # Panics
/// When it cannot be built or written.
pub fn install(modules: &Path) {
    let library = built::file_of("code_service_node");
    let _ = std::fs::remove_dir_all(modules);
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings-node/pack.js");
    let output = Command::new("node")
        .arg(pack)
        .arg(modules)
        .arg(format!("linux-x64-gnu={}", library.display()))
        .output()
        .expect("Node.js is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
