//! The threads of the addon: one set for the process, whatever loads it how often.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// Starts with the first use. Nothing ends it: what runs on it never touches JavaScript but through a function
/// that Node.js itself invalidates when its environment ends.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    // JavaScript has a thread of its own.
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread()
        .worker_threads((processors / 2).clamp(1, 4))
        .thread_name("code-service")
        .enable_all()
        .build()
        .expect("the process can start threads")
});

pub(crate) fn get() -> &'static Runtime {
    &RUNTIME
}
