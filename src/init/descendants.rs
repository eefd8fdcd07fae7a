//! Ends the supervisor's descendants. Other processes of a shared pid namespace, and what
//! `docker exec` started, are not among them.

use nix::errno::Errno;

use crate::ids::Pid;
use crate::procfs;
use crate::procfs::processes::{Seen, all, list};
use crate::sys::signal;

/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);
/// To kill(2): every process but the caller, in the namespace that it is the first of.
const EVERY_PROCESS: Pid = Pid::from_raw(-1);

/// Tells every descendant to end, and one that is stopped to go on for it. Where they
/// cannot be found, the first process of a pid namespace reaches everyone at once.
pub fn terminate(ancestor: Pid) {
    match list(ancestor) {
        Ok(descendants) => terminate_each(&descendants),
        Err(_) if ancestor == INIT => terminate_each(&[EVERY_PROCESS]),
        Err(errno) => tracing::warn!(%errno, "not everyone could be told to end"),
    }
}

/// Tells those to end who have left the session of `app`, or have lost their parent:
/// who waits for the app to tell them is not among these.
pub fn terminate_detached(ancestor: Pid, app: Pid) {
    let Ok(all) = all(ancestor) else { return };
    let session = all.iter().find(|seen| seen.pid == app).map(|seen| seen.session);
    let detached = |seen: &&Seen| seen.lives() && (seen.parent == ancestor || session != Some(seen.session));
    // With one that is detached go its own.
    let mut told: Vec<Pid> = all.iter().filter(detached).map(|seen| seen.pid).collect();
    told.retain(|pid| *pid != app);
    let mut at = 0;
    while let Some(pid) = told.get(at).copied() {
        let own = all.iter().filter(|seen| seen.parent == pid && seen.lives() && !told.contains(&seen.pid));
        let own: Vec<Pid> = own.map(|seen| seen.pid).collect();
        told.extend(own);
        at += 1;
    }
    terminate_each(&told);
}

fn terminate_each(pids: &[Pid]) {
    for number in [libc::SIGTERM, libc::SIGCONT] {
        for pid in pids {
            match signal::send(pid.as_raw(), number) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(%pid, %errno, "could not be told to end"),
            }
        }
    }
}

/// Kills every descendant, those too that are forked meanwhile: who has been killed
/// forks no more, so there is an end to new ones. Groups come first, which the kernel
/// kills as a whole: who forks faster than anybody can look is only so reached. Answers
/// with how many there were.
pub fn kill_all(ancestor: Pid, app: Pid) -> u64 {
    const ROUNDS: u32 = 100;
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        let Ok(all) = all(ancestor) else {
            if ancestor == INIT
                && let Err(errno) = signal::send(EVERY_PROCESS.as_raw(), libc::SIGKILL)
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
        let ours = |group: i32| group == app.as_raw() || all.iter().any(|seen| seen.pid.as_raw() == group);
        let groups: std::collections::BTreeSet<i32> = new.iter().map(|seen| seen.group).collect();
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

/// What is wrong with the descendants of `ancestor`, a line each: the dead for whom
/// their living parent has not waited, and those whom the kernel holds.
pub fn troubles(ancestor: Pid, all: &[Seen]) -> Vec<String> {
    let name = |pid: Pid| all.iter().find(|seen| seen.pid == pid).map_or("?", |seen| &seen.name);
    let trouble = |seen: &Seen| match seen.state {
        _ if seen.state == 'Z' && !seen.lives() && seen.parent != ancestor => Some(format!(
            "{} ({}) is a zombie: its parent {} ({}) owes the wait",
            seen.pid,
            seen.name,
            seen.parent,
            name(seen.parent)
        )),
        'D' => {
            let place = procfs::read(seen.pid.first_thread(), "wchan").unwrap_or_default();
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
    fn a_zombie_is_told_with_the_parent_that_owes_its_wait() {
        let all = [seen(7, "app", 'S', 1), seen(8, "worker", 'Z', 7), seen(9, "orphan", 'Z', 1)];
        assert_eq!(troubles(INIT, &all), ["8 (worker) is a zombie: its parent 7 (app) owes the wait"]);
        let stuck = troubles(INIT, &[seen(i32::MAX, "dd", 'D', 1)]);
        assert_eq!(stuck, ["2147483647 (dd) is stuck in the kernel (D), where no signal reaches it"]);
    }
}
