//! The runtimes, and the package laid out as npm installs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use code_service_tests::addon::{self, runtimes};
use code_service_tests::binary;

/// A runtime that the addon has to load on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// 12.14.0: that of the deployed services.
    V12,
    V20,
    /// The newest with long-term support.
    V26,
}

impl Node {
    /// This runtime.
    pub(crate) fn bare(self) -> Command {
        let folder = match self {
            Node::V12 => "node-12",
            Node::V20 => "node-20",
            Node::V26 => "node-26",
        };
        Command::new(runtimes().join("node_modules").join(folder).join("bin/node"))
    }

    /// This runtime, which finds the package by its name wherever it runs.
    pub(crate) fn command(self) -> Command {
        let mut command = self.bare();
        command.env("NODE_PATH", installed().parent().expect("node_modules"));
        command
    }
}

/// The folder of the package, beside that of this platform's addon.
pub(crate) fn installed() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
        let target = binary::target_folder().expect("tests run in the target folder").join("tmp/node");
        let _ = std::fs::remove_dir_all(&target);
        let modules = target.join("node_modules");
        addon::install(&modules);
        modules.join("code-service")
    });
    &INSTALLED
}
