//! Processes, and the descendants of one.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::stat::Stat;
use super::status::ThreadStatus;
use super::{numbers, read};
use crate::ids::{Pid, Tid};

/// How many processes descend from `ancestor` now, threads and zombies not counted.
///
/// # Errors
/// As [`list`]: an empty list is not an answer where none could be read.
pub fn count(ancestor: Pid) -> Result<u32, Errno> {
    Ok(list(ancestor)?.len() as u32)
}

/// Every living descendant of `ancestor`, lowest pid first.
///
/// # Errors
/// As [`all`]: /proc cannot be read.
pub fn list(ancestor: Pid) -> Result<Vec<Pid>, Errno> {
    Ok(all(ancestor)?.into_iter().filter(ListedProcess::lives).map(|seen| seen.pid).collect())
}

/// Every descendant of `ancestor`, zombies included, lowest pid
/// first.
///
/// # Errors
/// /proc is not mounted or shows no `ancestor`, or descriptors or memory have run out.
pub fn all(ancestor: Pid) -> Result<Vec<ListedProcess>, Errno> {
    let mut seen: BTreeMap<Pid, ListedProcess> = BTreeMap::new();
    // Where it is not mounted, /proc may be an empty directory of the image.
    read(ancestor.first_thread(), "stat")?;
    for pid in numbers("/proc")?.into_iter().map(Pid::from_raw) {
        seen.extend(ListedProcess::now(pid)?.map(|seen| (pid, seen)));
    }
    follow(&mut seen, ListedProcess::now)?;
    let mut children: BTreeMap<Pid, Vec<ListedProcess>> = BTreeMap::new();
    for (_, seen) in seen {
        children.entry(seen.parent).or_default().push(seen);
    }
    let mut found = BTreeMap::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        let own = children.remove(&pid).unwrap_or_default();
        open.extend(own.iter().map(|seen| seen.pid));
        found.extend(own.into_iter().map(|seen| (seen.pid, seen)));
    }
    Ok(found.into_values().collect())
}

/// Reads those processes again whose parent ended while all were read: each is the child of an
/// ancestor by now.
fn follow(
    seen: &mut BTreeMap<Pid, ListedProcess>,
    now: impl Fn(Pid) -> Result<Option<ListedProcess>, Errno>,
) -> Result<(), Errno> {
    /// More ancestors than end one after the other in the meantime.
    const TIMES: u32 = 32;
    for _ in 0..TIMES {
        let is_lost = |one: &&ListedProcess| one.parent != Pid::default() && !seen.contains_key(&one.parent);
        let lost: Vec<(Pid, Pid)> = seen.values().filter(is_lost).map(|one| (one.pid, one.parent)).collect();
        let mut moved = false;
        for (pid, parent) in lost {
            match now(pid)? {
                Some(again) => {
                    moved |= again.parent != parent;
                    seen.insert(pid, again);
                }
                None => drop(seen.remove(&pid)),
            }
        }
        // A parent outside the pid namespace is not shown and does not change.
        if !moved {
            break;
        }
    }
    Ok(())
}

/// Whether a thread has ended and waits to be reaped, or is gone.
pub fn is_dead(pid: Pid, tid: Tid) -> bool {
    Stat::of_thread(pid, tid).map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
}

/// The thread that traces a thread; `None` for one that is not traced, or is gone.
pub fn tracer(tid: Tid) -> Option<Tid> {
    ThreadStatus::of(tid).ok()?.tracer
}

/// Whether this is not a child of `parent`, but a thread or another process's child; false where
/// that cannot be read.
pub fn is_no_child(tid: Tid, parent: Pid) -> bool {
    ThreadStatus::of(tid).is_ok_and(|status| status.tgid.first_thread() != tid || status.parent != parent)
}

/// Whether a process is stopped (`T`, or `t` where it is traced), so that it needs SIGCONT before
/// it can handle SIGTERM.
pub fn is_stopped(pid: Pid) -> bool {
    Stat::of(pid.first_thread()).is_ok_and(|stat| matches!(stat.state, 'T' | 't'))
}

/// Whether the parent of a process waits in vfork(2) for its exec or end: then both have the same memory, and
/// what makes one of them unreadable makes the other. A thread that waits so is in state D, and both have
/// address spaces of the same size.
pub fn is_vfork_parent(parent: Pid, child: Pid) -> bool {
    let size = |pid: Pid| ThreadStatus::of(pid.first_thread()).ok()?.size;
    let waits = |tid: Tid| Stat::of_thread(parent, tid).is_ok_and(|stat| stat.state == 'D');
    size(child).is_some_and(|own| size(parent) == Some(own))
        && threads(parent).is_ok_and(|tids| tids.into_iter().any(waits))
}

/// The threads of a process.
///
/// # Errors
/// ESRCH where it is gone; every errno of opendir(3).
pub fn threads(pid: Pid) -> Result<Vec<Tid>, Errno> {
    match numbers(&format!("/proc/{pid}/task")) {
        Ok(tids) => Ok(tids.into_iter().map(Tid::from_raw).collect()),
        Err(Errno::ENOENT) => Err(Errno::ESRCH),
        Err(errno) => Err(errno),
    }
}

/// A process, as `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedProcess {
    /// Its pid.
    pub pid: Pid,
    /// The name of its first thread.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z` and others.
    pub state: char,
    /// Its parent, which has to reap it.
    pub parent: Pid,
    /// The id of its process group.
    pub group: i32,
    /// Its session id.
    pub session: i32,
    /// How many threads it has.
    pub threads: u32,
}

impl ListedProcess {
    /// A process of one thread, in a group of its own, for tests.
    #[cfg(test)]
    pub(crate) fn invented(pid: i32, name: &str, state: char, parent: i32) -> ListedProcess {
        ListedProcess {
            pid: Pid::from_raw(pid),
            name: name.to_owned(),
            state,
            parent: Pid::from_raw(parent),
            group: pid,
            session: 1,
            threads: 1,
        }
    }

    /// The process, by its first thread.
    ///
    /// # Errors
    /// As [`Stat::of`]: the process is gone.
    fn of(pid: Pid) -> Result<ListedProcess, Errno> {
        let Stat { name, state, parent, group, session, threads, .. } = Stat::of(pid.first_thread())?;
        Ok(ListedProcess { pid, name, state, parent, group, session, threads })
    }

    /// As it is now; none where it has ended, or /proc does not show it.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    fn now(pid: Pid) -> Result<Option<ListedProcess>, Errno> {
        let seen = match ListedProcess::of(pid) {
            // In an exec another thread takes the tid of the first, which seems to have ended in
            // that moment.
            Ok(seen) if !seen.lives() => ListedProcess::of(pid),
            seen => seen,
        };
        match seen {
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
            seen => seen.map(Some),
        }
    }

    /// Whether it has a thread that has not ended. A process whose first thread alone has ended
    /// is shown as a zombie.
    pub fn lives(&self) -> bool {
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
        let me = Pid::own();
        assert!(list(me).expect("/proc").contains(&Pid::from_raw(child.id() as i32)));
        assert!(!is_stopped(Pid::from_raw(child.id() as i32)));
        crate::sys::signal::send(child.id() as i32, libc::SIGKILL).expect("it is ours");
        child.wait().expect("reaped");
        assert!(!list(me).expect("/proc").contains(&Pid::from_raw(child.id() as i32)));
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_process() {
        // The name is the file's, by which it was started.
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff)sleep");
        let link = std::env::temp_dir().join(format!("remit-{}", std::process::id())).join(name);
        let directory = link.parent().expect("in a directory");
        std::fs::create_dir_all(directory).expect("a directory");
        std::os::unix::fs::symlink("/bin/sleep", &link).expect("a link");
        let mut child = std::process::Command::new(&link).arg("60").spawn().expect("a child");
        let found = list(Pid::own()).expect("/proc");
        std::fs::remove_dir_all(directory).expect("cleaned up");
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert!(found.contains(&Pid::from_raw(child.id() as i32)));
    }

    #[test]
    fn the_child_of_one_that_ended_meanwhile_is_an_ancestors() {
        let mut all: BTreeMap<Pid, ListedProcess> = [
            ListedProcess::invented(1, "init", 'S', 0),
            ListedProcess::invented(7, "child", 'S', 9),
            ListedProcess::invented(8, "gone", 'S', 9),
        ]
        .map(|one| (one.pid, one))
        .into();
        let now = |pid| Ok((pid == Pid::from_raw(7)).then(|| ListedProcess::invented(7, "child", 'S', 1)));
        follow(&mut all, now).expect("read");
        assert_eq!(
            all.values().map(|one| (one.pid.as_raw(), one.parent.as_raw())).collect::<Vec<_>>(),
            [(1, 0), (7, 1)]
        );
    }
}
