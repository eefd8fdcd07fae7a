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
        match Status::of(pid) {
            Ok(Some(status)) if status.lives() => {
                children.entry(status.parent).or_default().push(pid);
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

/// Kills every descendant, those too that are forked meanwhile: who has been killed
/// forks no more, so there is an end to new ones. Answers with how many there were.
pub fn kill_all(ancestor: i32) -> u64 {
    const ROUNDS: u32 = 100;
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        let Ok(all) = list(ancestor) else {
            signal_all(ancestor, libc::SIGKILL);
            break;
        };
        let new: Vec<i32> = all.into_iter().filter(|pid| !killed.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in &new {
            match signal::send(*pid, libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(pid, %errno, "could not be killed"),
            }
        }
        killed.extend(new);
    }
    killed.len() as u64
}

/// Whether a process is stopped, so that it needs CONT before it can heed TERM.
pub fn is_stopped(pid: i32) -> bool {
    matches!(Status::of(pid), Ok(Some(Status { state: 'T', .. })))
}

/// A process, as /proc/PID/stat has it (proc(5), fields 3, 4 and 20).
struct Status {
    state: char,
    parent: i32,
    threads: u32,
}

impl Status {
    fn of(pid: i32) -> Result<Option<Status>, Errno> {
        // The name before the rest may be any bytes.
        let stat = proc_text(pid, "stat")?;
        let fields: Option<Vec<&str>> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().collect());
        let field = |number: usize| fields.as_ref()?.get(number - 3).copied();
        let status = || {
            Some(Status {
                state: field(3)?.chars().next()?,
                parent: field(4)?.parse().ok()?,
                threads: field(20)?.parse().ok()?,
            })
        };
        Ok(status())
    }

    /// A process whose first thread has ended looks like a zombie, and lives on in
    /// its others.
    fn lives(&self) -> bool {
        match self.state {
            'Z' => self.threads > 1,
            state => state != 'X',
        }
    }
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
