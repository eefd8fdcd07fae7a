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
/// As [`all`].
pub fn list(ancestor: i32) -> Result<Vec<i32>, Errno> {
    Ok(all(ancestor)?.into_iter().filter(Seen::lives).map(|seen| seen.pid).collect())
}

/// Every descendant of `ancestor`, the dead that nobody has waited for too, lowest pid
/// first.
///
/// # Errors
/// /proc is not mounted or shows no `ancestor`, or descriptors or memory have run out.
pub fn all(ancestor: i32) -> Result<Vec<Seen>, Errno> {
    let mut seen: BTreeMap<i32, Seen> = BTreeMap::new();
    // In an image without it the directory may be there all the same, and be empty.
    proc_text(ancestor, "stat")?;
    for entry in std::fs::read_dir("/proc").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        seen.extend(Seen::now(pid)?.map(|seen| (pid, seen)));
    }
    follow(&mut seen, Seen::now)?;
    let mut children: BTreeMap<i32, Vec<Seen>> = BTreeMap::new();
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
    seen: &mut BTreeMap<i32, Seen>,
    now: impl Fn(i32) -> Result<Option<Seen>, Errno>,
) -> Result<(), Errno> {
    /// More ancestors than end one after the other in the meantime.
    const TIMES: u32 = 32;
    for _ in 0..TIMES {
        let is_lost = |one: &&Seen| one.parent != 0 && !seen.contains_key(&one.parent);
        let lost: Vec<(i32, i32)> = seen.values().filter(is_lost).map(|one| (one.pid, one.parent)).collect();
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

/// Tells every descendant to end, and one that is stopped to go on for it. Where they
/// cannot be found, the first process of a pid namespace reaches everyone at once.
pub fn terminate(ancestor: i32) {
    match list(ancestor) {
        Ok(descendants) => terminate_each(&descendants),
        Err(_) if ancestor == 1 => terminate_each(&[-1]),
        Err(errno) => tracing::warn!(%errno, "not everyone could be told to end"),
    }
}

/// Tells those to end who have left the session of `app`, or have lost their parent:
/// who waits for the app to tell them is not among these.
pub fn terminate_detached(ancestor: i32, app: i32) {
    let Ok(all) = all(ancestor) else { return };
    let session = all.iter().find(|seen| seen.pid == app).map(|seen| seen.session);
    let detached = |seen: &&Seen| seen.lives() && (seen.parent == ancestor || session != Some(seen.session));
    // With one that is detached go its own.
    let mut told: Vec<i32> = all.iter().filter(detached).map(|seen| seen.pid).collect();
    told.retain(|pid| *pid != app);
    let mut at = 0;
    while let Some(pid) = told.get(at).copied() {
        let own = all.iter().filter(|seen| seen.parent == pid && seen.lives() && !told.contains(&seen.pid));
        let own: Vec<i32> = own.map(|seen| seen.pid).collect();
        told.extend(own);
        at += 1;
    }
    terminate_each(&told);
}

fn terminate_each(pids: &[i32]) {
    for number in [libc::SIGTERM, libc::SIGCONT] {
        for pid in pids {
            match signal::send(*pid, number) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(pid, %errno, "could not be told to end"),
            }
        }
    }
}

/// Kills every descendant, those too that are forked meanwhile: who has been killed
/// forks no more, so there is an end to new ones. Groups come first, which the kernel
/// kills as a whole: who forks faster than anybody can look is only so reached. Answers
/// with how many there were.
pub fn kill_all(ancestor: i32, app: i32) -> u64 {
    const ROUNDS: u32 = 100;
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        let Ok(all) = all(ancestor) else {
            if ancestor == 1
                && let Err(errno) = signal::send(-1, libc::SIGKILL)
                && errno != Errno::ESRCH
            {
                tracing::warn!(%errno, "not everyone could be killed");
            }
            break;
        };
        let new: Vec<&Seen> = all.iter().filter(|seen| seen.lives() && !killed.contains(&seen.pid)).collect();
        if new.is_empty() {
            break;
        }
        // Those alone that a descendant has made: any other may have strangers in it.
        let ours = |group: i32| group == app || all.iter().any(|seen| seen.pid == group);
        let groups: std::collections::BTreeSet<i32> = new.iter().map(|seen| seen.group).collect();
        let groups = groups.into_iter().filter(|group| ours(*group)).map(|group| -group);
        for pid in groups.chain(new.iter().map(|seen| seen.pid)) {
            match signal::send(pid, libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(pid, %errno, "could not be killed"),
            }
        }
        let new: Vec<i32> = new.iter().map(|seen| seen.pid).collect();
        killed.extend(new);
    }
    killed.len() as u64
}

/// Whether a thread has ended and only waits to be buried, or is gone.
pub fn is_dead(pid: i32, tid: i32) -> bool {
    let stat = proc_text(pid, &format!("task/{tid}/stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

/// Who traces a thread; `None` for one that nobody traces or that is gone.
pub fn tracer(tid: i32) -> Option<i32> {
    number(&proc_text(tid, "status").ok()?, "TracerPid")
}

/// Whether this is no child of `parent`, but a thread or somebody else's child; not where
/// that cannot be found out.
pub fn is_no_child(pid: i32, parent: i32) -> bool {
    proc_text(pid, "status").is_ok_and(|text| {
        number(&text, "Tgid").is_some_and(|tgid| tgid != pid) || number(&text, "PPid") != Some(parent)
    })
}

/// A number of /proc/PID/status, where it is not 0.
fn number(text: &str, key: &str) -> Option<i32> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().parse().ok().filter(|number| *number != 0)
}

/// Whether a process is stopped, so that it needs CONT before it can heed TERM. One that
/// is traced is `t`.
pub fn is_stopped(pid: i32) -> bool {
    matches!(Seen::of(pid), Ok(Some(Seen { state: 'T' | 't', .. })))
}

/// A process, as /proc/PID/stat has it (proc(5), fields 1 to 6 and 20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: i32,
    /// The name of its first thread.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z` and others.
    pub state: char,
    /// Who has to wait for it.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    threads: u32,
}

impl Seen {
    /// # Errors
    /// As for any look into /proc.
    fn of(pid: i32) -> Result<Option<Seen>, Errno> {
        let stat = proc_text(pid, "stat")?;
        Ok(Seen::parse(pid, &stat))
    }

    /// As it is now; none where it has ended, or is not shown to us.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    fn now(pid: i32) -> Result<Option<Seen>, Errno> {
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

    fn parse(pid: i32, stat: &str) -> Option<Seen> {
        // The name before the rest may be any bytes.
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Seen {
            pid,
            name: name.split_once('(')?.1.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
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

/// What is wrong with the descendants of `ancestor`, a line each: the dead for whom
/// their living parent has not waited, and those whom the kernel holds.
pub fn troubles(ancestor: i32, all: &[Seen]) -> Vec<String> {
    let name = |pid: i32| all.iter().find(|seen| seen.pid == pid).map_or("?", |seen| &seen.name);
    let trouble = |seen: &Seen| match seen.state {
        _ if seen.state == 'Z' && !seen.lives() && seen.parent != ancestor => Some(format!(
            "{} ({}) is a zombie: its parent {} ({}) owes the wait",
            seen.pid,
            seen.name,
            seen.parent,
            name(seen.parent)
        )),
        'D' => {
            let place = proc_text(seen.pid, "wchan").unwrap_or_default();
            let place = if matches!(&*place, "" | "0") { "the kernel" } else { &place };
            Some(format!("{} ({}) is stuck in {place} (D), where no signal reaches it", seen.pid, seen.name))
        }
        _ => None,
    };
    all.iter().filter_map(trouble).collect()
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

    fn seen(pid: i32, name: &str, state: char, parent: i32) -> Seen {
        Seen { pid, name: name.to_owned(), state, parent, group: pid, session: 1, threads: 1 }
    }

    #[test]
    fn the_child_of_one_that_ended_meanwhile_is_an_ancestors() {
        let mut all: BTreeMap<i32, Seen> =
            [seen(1, "init", 'S', 0), seen(7, "child", 'S', 9), seen(8, "gone", 'S', 9)]
                .map(|one| (one.pid, one))
                .into();
        let now = |pid| Ok((pid == 7).then(|| seen(7, "child", 'S', 1)));
        follow(&mut all, now).expect("read");
        assert_eq!(all.values().map(|one| (one.pid, one.parent)).collect::<Vec<_>>(), [(1, 0), (7, 1)]);
    }

    #[test]
    fn a_zombie_is_told_with_the_parent_that_owes_its_wait() {
        let all = [seen(7, "app", 'S', 1), seen(8, "worker", 'Z', 7), seen(9, "orphan", 'Z', 1)];
        assert_eq!(troubles(1, &all), ["8 (worker) is a zombie: its parent 7 (app) owes the wait"]);
        let stuck = troubles(1, &[seen(i32::MAX, "dd", 'D', 1)]);
        assert_eq!(stuck, ["2147483647 (dd) is stuck in the kernel (D), where no signal reaches it"]);
    }

    #[test]
    fn a_name_with_a_bracket_is_read_whole() {
        let stat = "12 (a) b (c) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 2 0 100";
        let read = Seen::parse(12, stat).expect("it has all fields");
        assert_eq!(
            (&*read.name, read.parent, read.group, read.session, read.threads),
            ("a) b (c", 3, 4, 5, 2)
        );
        assert_eq!(Seen::parse(12, "12 (a) S 3"), None);
    }

    #[test]
    fn any_stat_is_read_or_refused() {
        crate::mutation::each(
            &[b"7 (a) b) S 1 7 7 0 -1 4194560 10 0 2 0 5 6 0 0 20 0 3 0 4711 1000 100"],
            |bytes| drop(Seen::parse(7, &String::from_utf8_lossy(bytes))),
        );
    }
}
