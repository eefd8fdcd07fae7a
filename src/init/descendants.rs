//! Signals to the supervisor's descendants. Other processes of a shared pid namespace, and those
//! that `docker exec` started, are not among them.

use std::collections::BTreeSet;

use nix::errno::Errno;

use crate::ids::Pid;
use crate::procfs;
use crate::procfs::processes::{ListedProcess, all, list};
use crate::sys::signal;

/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);
/// For kill(2): every process of the pid namespace but the caller.
const EVERY_PROCESS: Pid = Pid::from_raw(-1);

/// Sends SIGTERM to every descendant, then SIGCONT, so that stopped ones handle it. Where they
/// cannot be listed, the first process of a pid namespace signals all processes of it.
pub fn terminate(ancestor: Pid) {
    match list(ancestor) {
        Ok(descendants) => terminate_each(&descendants),
        Err(_) if ancestor == INIT => terminate_each(&[EVERY_PROCESS]),
        Err(errno) => tracing::warn!(%errno, "SIGTERM could not be sent to every descendant"),
    }
}

/// Sends SIGTERM and SIGCONT to the descendants that have left the session of `app` or lost
/// their parent, and to their own descendants. The others are left to the app.
pub fn terminate_detached(ancestor: Pid, app: Pid) {
    let Ok(all) = all(ancestor) else { return };
    let session = all.iter().find(|seen| seen.pid == app).map(|seen| seen.session);
    let is_detached =
        |seen: &&ListedProcess| seen.lives() && (seen.parent == ancestor || session != Some(seen.session));
    // The descendants of a detached process are detached too.
    let mut detached: Vec<Pid> = all.iter().filter(is_detached).map(|seen| seen.pid).collect();
    detached.retain(|pid| *pid != app);
    let mut at = 0;
    while let Some(pid) = detached.get(at).copied() {
        let own =
            all.iter().filter(|seen| seen.parent == pid && seen.lives() && !detached.contains(&seen.pid));
        let own: Vec<Pid> = own.map(|seen| seen.pid).collect();
        detached.extend(own);
        at += 1;
    }
    terminate_each(&detached);
}

fn terminate_each(pids: &[Pid]) {
    for number in [libc::SIGTERM, libc::SIGCONT] {
        for pid in pids {
            match signal::send(pid.as_raw(), number) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(%pid, %errno, "SIGTERM or SIGCONT could not be sent"),
            }
        }
    }
}

/// Kills every descendant, those too that are forked meanwhile: a killed process forks no more,
/// so the rounds end. Process groups come first, since the kernel kills a group as a whole, and
/// so reaches processes that fork faster than they can be listed. Returns how many there were.
pub fn kill_all(ancestor: Pid, app: Pid) -> u64 {
    const ROUNDS: u32 = 100;
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS {
        let Ok(all) = all(ancestor) else {
            if ancestor == INIT
                && let Err(errno) = signal::send(EVERY_PROCESS.as_raw(), libc::SIGKILL)
                && errno != Errno::ESRCH
            {
                tracing::warn!(%errno, "the descendants could not be killed");
            }
            break;
        };
        let new: Vec<&ListedProcess> =
            all.iter().filter(|seen| seen.lives() && !killed.contains(&seen.pid)).collect();
        if new.is_empty() {
            break;
        }
        // Only groups that a descendant leads: another group may have other processes in it.
        let ours = |group: i32| group == app.as_raw() || all.iter().any(|seen| seen.pid.as_raw() == group);
        let mut groups = BTreeSet::new();
        groups.extend(new.iter().map(|seen| seen.group));
        let groups = groups.into_iter().filter(|group| ours(*group)).map(|group| -group);
        for pid in groups.chain(new.iter().map(|seen| seen.pid.as_raw())) {
            match signal::send(pid, libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(%pid, %errno, "could not be killed"),
            }
        }
        let new: Vec<Pid> = new.iter().map(|seen| seen.pid).collect();
        killed.extend(new);
    }
    killed.len() as u64
}

/// The troubles of the descendants of `ancestor`, a line each: zombies that their living parent
/// has not reaped, and processes in uninterruptible sleep.
pub fn troubles(ancestor: Pid, all: &[ListedProcess]) -> Vec<String> {
    let name = |pid: Pid| all.iter().find(|seen| seen.pid == pid).map_or("?", |seen| &seen.name);
    let trouble = |seen: &ListedProcess| match seen.state {
        _ if seen.state == 'Z' && !seen.lives() && seen.parent != ancestor => Some(format!(
            "{} ({}) is a zombie: its parent {} ({}) has not reaped it",
            seen.pid,
            seen.name,
            seen.parent,
            name(seen.parent)
        )),
        'D' => {
            let place = procfs::read(seen.pid.first_thread(), "wchan").unwrap_or_default();
            let place = if matches!(&*place, "" | "0") { "the kernel" } else { &place };
            Some(format!("{} ({}) is in uninterruptible sleep (D) in {place}", seen.pid, seen.name))
        }
        _ => None,
    };
    all.iter().filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_reported_with_the_parent_that_has_not_reaped_it() {
        let all = [
            ListedProcess::invented(7, "app", 'S', 1),
            ListedProcess::invented(8, "worker", 'Z', 7),
            ListedProcess::invented(9, "orphan", 'Z', 1),
        ];
        assert_eq!(troubles(INIT, &all), ["8 (worker) is a zombie: its parent 7 (app) has not reaped it"]);
        let stuck = troubles(INIT, &[ListedProcess::invented(i32::MAX, "dd", 'D', 1)]);
        assert_eq!(stuck, ["2147483647 (dd) is in uninterruptible sleep (D) in the kernel"]);
    }
}
