//! The supervisor's descendants: whom the container's end is for. Others in a
//! shared pid namespace, and what `docker exec` started, are none of ours.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::caller::{errno, proc_text};
use crate::sys::signal;

/// How many processes descend from `ancestor` now, threads and zombies not counted.
///
/// # Errors
/// As [`list`]: nobody is no answer where nobody could be looked at.
pub fn count(ancestor: i32) -> Result<u32, Errno> {
    Ok(list(ancestor)?.len() as u32)
}

/// Every living descendant of `ancestor`, lowest pid first.
///
/// # Errors
/// /proc is not mounted, or descriptors or memory have run out.
pub fn list(ancestor: i32) -> Result<Vec<i32>, Errno> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        match parent(pid) {
            Ok(Some((parent, state))) if !matches!(state, 'Z' | 'X') => {
                children.entry(parent).or_default().push(pid);
            }
            // It ended meanwhile, or is not shown to us.
            Ok(_) | Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
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
    Ok(found)
}

/// Sends a signal to every descendant. Where they cannot be found, the first process
/// of a pid namespace reaches everyone at once.
pub fn signal_all(ancestor: i32, number: i32) {
    let descendants = match list(ancestor) {
        Ok(descendants) => descendants,
        Err(_) if ancestor == 1 => vec![-1],
        Err(errno) => {
            tracing::warn!(%errno, "not everyone could be told to end");
            return;
        }
    };
    for pid in descendants {
        match signal::send(pid, number) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => tracing::warn!(pid, %errno, "could not be told to end"),
        }
    }
}

/// Whether a process is stopped, so that it needs CONT before it can heed TERM.
pub fn is_stopped(pid: i32) -> bool {
    matches!(parent(pid), Ok(Some((_, 'T'))))
}

/// A process's parent and state (proc(5), fields 4 and 3). The name before them may
/// be any bytes.
fn parent(pid: i32) -> Result<Option<(i32, char)>, Errno> {
    let stat = proc_text(pid, "stat")?;
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace());
    Ok(after_name.and_then(|mut rest| {
        let state = rest.next()?.chars().next()?;
        Some((rest.next()?.parse().ok()?, state))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_and_its_end_too() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let me = std::process::id() as i32;
        assert!(list(me).expect("/proc").contains(&(child.id() as i32)));
        assert!(!is_stopped(child.id() as i32));
        signal::send(child.id() as i32, libc::SIGKILL).expect("it is ours");
        child.wait().expect("reaped");
        assert!(!list(me).expect("/proc").contains(&(child.id() as i32)));
    }

    #[test]
    fn a_name_that_is_no_text_hides_nobody() {
        // The name is the file's, by which it was started.
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff)sleep");
        let link = std::env::temp_dir().join(format!("remit-{}", std::process::id())).join(name);
        let directory = link.parent().expect("in a directory");
        std::fs::create_dir_all(directory).expect("a directory");
        std::os::unix::fs::symlink("/bin/sleep", &link).expect("a link");
        let mut child = std::process::Command::new(&link).arg("60").spawn().expect("a child");
        let found = list(std::process::id() as i32).expect("/proc");
        std::fs::remove_dir_all(directory).expect("cleaned up");
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert!(found.contains(&(child.id() as i32)));
    }
}
