//! What Linux tells of a process.

use std::path::Path;

/// Whether a process with this id runs. One that has ended and only waits to be collected does not.
pub fn is_running(pid: u32) -> bool {
    parent_of(pid).is_some()
}

/// The parent of a process that runs.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let (state, parent) = state_and_parent(format!("/proc/{pid}").as_ref())?;
    (!matches!(state, 'Z' | 'X')).then_some(parent)
}

/// Whether every thread of a process stands still after a SIGSTOP.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    // A thread that ended since then cannot move either.
    let stands = |thread: &Path| state_and_parent(thread).is_none_or(|(state, _)| state == 'T');
    threads.is_ok_and(|mut threads| threads.all(|thread| thread.is_ok_and(|thread| stands(&thread.path()))))
}

fn state_and_parent(folder: &Path) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name in brackets may hold anything, so the fields are those behind the last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
