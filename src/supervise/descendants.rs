//! The supervisor's descendants: whom the container's end is for. Others in a
//! shared pid namespace, and what `docker exec` started, are none of ours.

use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::sys::signal;

/// How many processes descend from `ancestor` now, threads and zombies not counted.
pub fn count(ancestor: i32) -> u32 {
    list(ancestor).len() as u32
}

/// Every living descendant of `ancestor`, lowest pid first.
pub fn list(ancestor: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some((parent, state)) = parent(pid)
            && !matches!(state, 'Z' | 'X')
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        let own = children.remove(&pid).unwrap_or_default();
        found.extend(&own);
        open.extend(own);
    }
    found.sort_unstable();
    found
}

/// Sends a signal to every descendant. Without /proc, the first process of a pid
/// namespace reaches everyone at once.
pub fn signal_all(ancestor: i32, number: i32) {
    if !std::path::Path::new("/proc/self").exists() {
        if ancestor == 1
            && let Err(errno) = signal::send(-1, number)
            && errno != Errno::ESRCH
        {
            tracing::warn!(%errno, "not everyone could be told to end");
        }
        return;
    }
    for pid in list(ancestor) {
        match signal::send(pid, number) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => tracing::warn!(pid, %errno, "could not be told to end"),
        }
    }
}

/// Whether a process is stopped, so that it needs CONT before it can heed TERM.
pub fn is_stopped(pid: i32) -> bool {
    parent(pid).is_some_and(|(_, state)| state == 'T')
}

/// A process's parent and state (proc(5), fields 4 and 3).
fn parent(pid: i32) -> Option<(i32, char)> {
    let stat = super::caller::proc_text(pid, "stat").ok()?;
    let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = rest.next()?.chars().next()?;
    Some((rest.next()?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_and_its_end_too() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let me = std::process::id() as i32;
        assert!(list(me).contains(&(child.id() as i32)));
        assert!(!is_stopped(child.id() as i32));
        signal::send(child.id() as i32, libc::SIGKILL).expect("it is ours");
        child.wait().expect("reaped");
        assert!(!list(me).contains(&(child.id() as i32)));
    }
}
