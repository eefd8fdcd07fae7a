//! Which program entry each process is: by its image where that leaves one, else
//! kept from the execs that were allowed and inherited by forks.
//!
//! A process is its pid and its start time, so that a number taken over by another
//! is not mistaken.

use std::collections::HashMap;
use std::path::PathBuf;

use nix::errno::Errno;

use super::caller::{Caller, Identity, errno, proc_text};
use super::verdict::Rulebook;
use crate::image::FileId;

/// More processes than a container has: past it the dead are forgotten.
const MANY: usize = 4096;

/// What is remembered of the processes.
#[derive(Debug, Default)]
pub struct Families(HashMap<i32, Member>);

#[derive(Clone, Copy, Debug)]
struct Member {
    started: u64,
    entry: usize,
    /// An exec was let go on; whether it succeeded, the image tells.
    next: Option<usize>,
}

impl Families {
    /// An exec by this process, which is `entry` until it succeeds, was let go on.
    pub fn executes(&mut self, pid: i32, entry: usize, next: usize) {
        let Some(started) = started(pid) else { return };
        match self.0.get_mut(&pid).filter(|member| member.started == started) {
            Some(member) => member.next = Some(next),
            None => self.remember(pid, Member { started, entry, next: Some(next) }),
        }
    }

    fn remember(&mut self, pid: i32, member: Member) {
        if self.0.len() >= MANY {
            self.0.retain(|pid, member| self::started(*pid) == Some(member.started));
        }
        self.0.insert(pid, member);
    }

    /// The entry that a process is; `None` when it cannot be told.
    pub fn entry(&mut self, caller: &Caller, identity: &Identity, rules: &Rulebook) -> Option<usize> {
        self.lookup(caller.tgid, Some(caller), identity, rules, 0)
    }

    fn lookup(
        &mut self,
        pid: i32,
        known: Option<&Caller>,
        identity: &Identity,
        rules: &Rulebook,
        depth: u32,
    ) -> Option<usize> {
        const DEEPEST: u32 = 64;
        let caller = || known.cloned().or_else(|| Caller::of(pid).ok());
        if rules.images_tell()
            && let Some(entry) = image_id(&caller()?, identity).and_then(|id| rules.entry_of_image(id))
        {
            return Some(entry);
        }
        let started = started(pid)?;
        if let Some(member) = self.0.get_mut(&pid).filter(|member| member.started == started) {
            let Some(next) = member.next else { return Some(member.entry) };
            // One that cannot be looked at is taken at what it was allowed.
            let caller = caller()?;
            if image(&caller, identity).is_none_or(|(id, path)| rules.runs_as(next, id, &path)) {
                member.entry = next;
            }
            member.next = None;
            return Some(member.entry);
        }
        let caller = caller()?;
        let supervisor = rules.policy().supervisor as i32;
        let parent = (caller.ppid > 1 && caller.ppid != supervisor && depth < DEEPEST)
            .then(|| self.lookup(caller.ppid, None, identity, rules, depth + 1))
            .flatten();
        let entry = match image(&caller, identity) {
            None => parent?,
            // A fork runs what its parent does; an orphan is known by its image.
            Some((id, path)) => match parent.filter(|entry| rules.runs_as(*entry, id, &path)) {
                Some(entry) => entry,
                None => match rules.running(id, &path)[..] {
                    [only] => only,
                    _ => return None,
                },
            },
        };
        self.remember(pid, Member { started, entry, next: None });
        Some(entry)
    }

    /// The programs of the processes above this one and below the supervisor,
    /// nearest first.
    pub fn ancestors(&mut self, caller: &Caller, identity: &Identity, rules: &Rulebook) -> Vec<PathBuf> {
        const FURTHEST: usize = 16;
        let supervisor = rules.policy().supervisor as i32;
        let mut programs = Vec::new();
        let mut pid = caller.ppid;
        while pid > 1 && pid != supervisor && programs.len() < FURTHEST {
            let Ok(parent) = Caller::of(pid) else { break };
            let entry = self.lookup(pid, Some(&parent), identity, rules, 0);
            programs.extend(program(entry, &parent, identity, rules));
            pid = parent.ppid;
        }
        programs
    }
}

/// What a process is called in events: the path of its entry, or its image where
/// the entry is a whole directory or not known.
pub fn program(
    entry: Option<usize>,
    caller: &Caller,
    identity: &Identity,
    rules: &Rulebook,
) -> Option<PathBuf> {
    match entry.filter(|entry| rules.is_file(*entry)) {
        Some(entry) => Some(rules.program_path(entry).to_owned()),
        None => image(caller, identity).map(|(_, path)| path),
    }
}

/// The file that a process runs.
fn image_id(caller: &Caller, identity: &Identity) -> Option<FileId> {
    identity.look_as_caller(caller, || file_id(&image_link(caller))).ok()
}

/// The file that a process runs, and its path.
pub fn image(caller: &Caller, identity: &Identity) -> Option<(FileId, PathBuf)> {
    let link = image_link(caller);
    let look = || Ok((file_id(&link)?, std::fs::read_link(&link).map_err(errno)?));
    identity.look_as_caller(caller, look).ok()
}

fn image_link(caller: &Caller) -> String {
    format!("/proc/{}/exe", caller.tgid)
}

fn file_id(path: &str) -> Result<FileId, Errno> {
    let stat = nix::sys::stat::stat(path)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}

/// When a process started, in clock ticks since boot (proc(5), field 22).
fn started(pid: i32) -> Option<u64> {
    let stat = proc_text(pid, "stat").ok()?;
    // The name, in parentheses, may hold anything; the rest may not.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_taken_over_by_another_process_is_another_member() {
        let me = std::process::id() as i32;
        let now = started(me).expect("own start time");
        let mut families = Families::default();
        families.remember(me, Member { started: now - 1, entry: 3, next: None });

        families.executes(me, 0, 1);
        let member = families.0[&me];
        assert_eq!((member.started, member.entry, member.next), (now, 0, Some(1)));
        families.executes(me, 2, 3);
        let member = families.0[&me];
        assert_eq!((member.entry, member.next), (0, Some(3)), "what is known of it stays");
    }
}
