//! Processes by `/proc/PID/stat` and `/proc/PID/status` (proc_pid_stat(5)), and the descendants
//! of one.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::{errno, read};
use crate::ids::{Pid, StartTime, Tid};

/// How many processes descend from `ancestor` now, threads and zombies not counted.
///
/// # Errors
/// As [`list`]: nobody is no answer where nobody could be looked at.
pub fn count(ancestor: Pid) -> Result<u32, Errno> {
    Ok(list(ancestor)?.len() as u32)
}

/// Every living descendant of `ancestor`, lowest pid first.
///
/// # Errors
/// As [`all`].
pub fn list(ancestor: Pid) -> Result<Vec<Pid>, Errno> {
    Ok(all(ancestor)?.into_iter().filter(Seen::lives).map(|seen| seen.pid).collect())
}

/// Every descendant of `ancestor`, the dead that nobody has waited for too, lowest pid
/// first.
///
/// # Errors
/// /proc is not mounted or shows no `ancestor`, or descriptors or memory have run out.
pub fn all(ancestor: Pid) -> Result<Vec<Seen>, Errno> {
    let mut seen: BTreeMap<Pid, Seen> = BTreeMap::new();
    // In an image without it the directory may be there all the same, and be empty.
    read(ancestor.first_thread(), "stat")?;
    for entry in std::fs::read_dir("/proc").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw) else { continue };
        seen.extend(Seen::now(pid)?.map(|seen| (pid, seen)));
    }
    follow(&mut seen, Seen::now)?;
    let mut children: BTreeMap<Pid, Vec<Seen>> = BTreeMap::new();
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

/// A process whose parent has ended while all were read is another's child by now: an
/// ancestor's, which was read before or lives no more either.
fn follow(
    seen: &mut BTreeMap<Pid, Seen>,
    now: impl Fn(Pid) -> Result<Option<Seen>, Errno>,
) -> Result<(), Errno> {
    /// More ancestors than end one after the other in the meantime.
    const TIMES: u32 = 32;
    for _ in 0..TIMES {
        let is_lost = |one: &&Seen| one.parent != Pid::default() && !seen.contains_key(&one.parent);
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
        // A parent that is not shown to us stays one.
        if !moved {
            break;
        }
    }
    Ok(())
}

/// Whether a thread has ended and only waits to be buried, or is gone.
pub fn is_dead(pid: Pid, tid: Tid) -> bool {
    let stat = read(pid.first_thread(), &format!("task/{tid}/stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

/// Who traces a thread; `None` for one that nobody traces or that is gone.
pub fn tracer(tid: Tid) -> Option<Tid> {
    ThreadStatus::of(tid)?.tracer
}

/// A thread in its process, as `/proc/TID/status` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadStatus {
    /// Its process.
    pub process: Pid,
    /// The parent of its process; none that is in the supervisor's pid namespace.
    pub parent: Option<Pid>,
    /// The thread that traces it.
    pub tracer: Option<Tid>,
}

impl ThreadStatus {
    /// `None` for a thread that is gone.
    pub fn of(tid: Tid) -> Option<ThreadStatus> {
        let text = read(tid, "status").ok()?;
        Some(ThreadStatus {
            process: Pid::from_raw(number(&text, "Tgid")?),
            parent: number(&text, "PPid").map(Pid::from_raw),
            tracer: number(&text, "TracerPid").map(Tid::from_raw),
        })
    }
}

/// Whether this is no child of `parent`, but a thread or somebody else's child; not where
/// that cannot be found out.
pub fn is_no_child(tid: Tid, parent: Pid) -> bool {
    read(tid, "status").is_ok_and(|text| {
        number(&text, "Tgid").is_some_and(|tgid| tgid != tid.as_raw())
            || number(&text, "PPid") != Some(parent.as_raw())
    })
}

/// A number of /proc/PID/status, where it is not 0.
fn number(text: &str, key: &str) -> Option<i32> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().parse().ok().filter(|number| *number != 0)
}

/// Whether a process is stopped, so that it needs CONT before it can heed TERM. One that
/// is traced is `t`.
pub fn is_stopped(pid: Pid) -> bool {
    matches!(Seen::of(pid), Ok(Some(Seen { state: 'T' | 't', .. })))
}

/// A process, as /proc/PID/stat has it (proc(5), fields 1 to 6 and 20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: Pid,
    /// The name of its first thread.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z` and others.
    pub state: char,
    /// Who has to wait for it.
    pub parent: Pid,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// How many threads it has.
    pub threads: u32,
}

impl Seen {
    /// # Errors
    /// As for any look into /proc.
    fn of(pid: Pid) -> Result<Option<Seen>, Errno> {
        let stat = read(pid.first_thread(), "stat")?;
        Ok(Seen::parse(pid, &stat))
    }

    /// As it is now; none where it has ended, or is not shown to us.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    fn now(pid: Pid) -> Result<Option<Seen>, Errno> {
        let seen = match Seen::of(pid) {
            // In an exec another thread takes the number of the first, which seems to have
            // ended in just that moment.
            Ok(Some(seen)) if !seen.lives() => Seen::of(pid),
            seen => seen,
        };
        match seen {
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
            seen => seen,
        }
    }

    fn parse(pid: Pid, stat: &str) -> Option<Seen> {
        // The name before the rest may be any bytes.
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Seen {
            pid,
            name: name.split_once('(')?.1.to_owned(),
            state: field(3)?.chars().next()?,
            parent: Pid::from_raw(field(4)?.parse().ok()?),
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
        })
    }

    /// A process whose first thread has ended looks like a zombie, and lives on in
    /// its others.
    pub fn lives(&self) -> bool {
        match self.state {
            'Z' => self.threads > 1,
            state => state != 'X',
        }
    }
}

/// What /proc/PID/stat says of a process (proc(5)).
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// When it started, in clock ticks since boot: field 22.
    pub started: StartTime,
    /// Where its stack began at its exec: field 28, which is 0 for one that may not be
    /// looked into.
    pub stack: Option<u64>,
}

/// Reads these fields; none for a process that is gone.
pub fn stat(pid: Pid) -> Option<Stat> {
    let text = read(pid.first_thread(), "stat").ok()?;
    // The name, in parentheses, may hold anything; the rest, from field 3 on, may not.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let started = StartTime::from_raw(fields.nth(22 - 3)?.parse().ok()?);
    let stack = fields.nth(28 - 23).and_then(|field| field.parse().ok()).filter(|stack| *stack != 0);
    Some(Stat { started, stack })
}

/// When a process started, in clock ticks since boot.
pub fn started(pid: Pid) -> Option<StartTime> {
    stat(pid).map(|stat| stat.started)
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
    fn a_name_that_is_no_text_hides_nobody() {
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

    fn seen(pid: i32, name: &str, state: char, parent: i32) -> Seen {
        Seen {
            pid: Pid::from_raw(pid),
            name: name.to_owned(),
            state,
            parent: Pid::from_raw(parent),
            group: pid,
            session: 1,
            threads: 1,
        }
    }

    #[test]
    fn the_child_of_one_that_ended_meanwhile_is_an_ancestors() {
        let mut all: BTreeMap<Pid, Seen> =
            [seen(1, "init", 'S', 0), seen(7, "child", 'S', 9), seen(8, "gone", 'S', 9)]
                .map(|one| (one.pid, one))
                .into();
        let now = |pid| Ok((pid == Pid::from_raw(7)).then(|| seen(7, "child", 'S', 1)));
        follow(&mut all, now).expect("read");
        assert_eq!(
            all.values().map(|one| (one.pid.as_raw(), one.parent.as_raw())).collect::<Vec<_>>(),
            [(1, 0), (7, 1)]
        );
    }

    #[test]
    fn a_name_with_a_bracket_is_read_whole() {
        let stat = "12 (a) b (c) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 2 0 100";
        let read = Seen::parse(Pid::from_raw(12), stat).expect("it has all fields");
        assert_eq!(
            (&*read.name, read.parent.as_raw(), read.group, read.session, read.threads),
            ("a) b (c", 3, 4, 5, 2)
        );
        assert_eq!(Seen::parse(Pid::from_raw(12), "12 (a) S 3"), None);
    }

    #[test]
    fn any_stat_is_read_or_refused() {
        crate::mutation::each(
            &[b"7 (a) b) S 1 7 7 0 -1 4194560 10 0 2 0 5 6 0 0 20 0 3 0 4711 1000 100"],
            |bytes| drop(Seen::parse(Pid::from_raw(7), &String::from_utf8_lossy(bytes))),
        );
    }
}
