//! Which program each process is: the one whose exec made it, a script itself and not
//! its interpreter. Forks inherit it.
//!
//! A process is its pid and its start time. A fork has its parent's image and the
//! address at which that one's stack began, which no other exec was given: by these it
//! is told, whatever became of its parent.

use std::collections::HashMap;

use crate::ids::{Pid, StartTime};
use crate::image::FileId;
use crate::notify::caller::{Caller, Identity};
use crate::notify::image::{image, image_and_stack};
use crate::procfs::stat::started;

/// More processes than a container has: past it the dead are forgotten, and again once what
/// is left has doubled.
const MANY: usize = 4096;

/// A program by its file, and the applet that it was called as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// The file without links.
    pub path: String,
    /// Empty where the file is one program.
    pub applet: String,
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct Programs {
    members: HashMap<Pid, Member>,
    stacks: HashMap<(FileId, u64), Name>,
    /// So many members there may be before the dead are forgotten.
    room: usize,
}

#[derive(Debug)]
struct Member {
    started: StartTime,
    name: Name,
    /// An exec was let go on: what it becomes, and the image that this then has.
    next: Option<(Name, FileId)>,
    /// Its stack is remembered.
    placed: bool,
}

impl Programs {
    /// An exec was let go on that makes of this caller, which is `now`, `next`, with
    /// this image.
    pub fn executes(&mut self, caller: &Caller, now: Name, next: Name, image: FileId) {
        let Some(started) = started(caller.tgid) else { return };
        self.remember(caller.tgid, Member { started, name: now, next: Some((next, image)), placed: true });
    }

    fn remember(&mut self, pid: Pid, member: Member) {
        if self.members.len() >= self.room.max(MANY) {
            self.members.retain(|pid, member| self::started(*pid) == Some(member.started));
            self.room = 2 * self.members.len();
        }
        self.members.insert(pid, member);
    }

    /// The program that a caller is; its image where nothing else is known.
    pub fn of(&mut self, caller: &Caller, identity: &Identity) -> Name {
        let now = started(caller.tgid);
        if let Some(member) = self.members.get_mut(&caller.tgid).filter(|member| Some(member.started) == now)
        {
            if let Some((next, expected)) = member.next.take() {
                // One that cannot be looked at is taken at what it was let become.
                let is = image(caller, identity);
                if is.as_ref().is_none_or(|(id, _)| *id == expected) {
                    member.name = next;
                    member.placed = false;
                }
            }
            if !member.placed {
                member.placed = true;
                let look = || image_and_stack(caller, None);
                if let Ok((id, _, stack)) = identity.look_as_caller(caller, look) {
                    if self.stacks.len() >= MANY {
                        self.stacks.clear();
                    }
                    self.stacks.insert((id, stack), member.name.clone());
                }
            }
            return member.name.clone();
        }
        let name = self.inherited(caller, identity);
        if let Some(started) = now {
            self.remember(caller.tgid, Member { started, name: name.clone(), next: None, placed: true });
        }
        name
    }

    /// The program of one that was forked.
    fn inherited(&self, caller: &Caller, identity: &Identity) -> Name {
        let looked = identity.look_as_caller(caller, || image_and_stack(caller, None)).ok();
        if let Some(name) = looked.as_ref().and_then(|(id, _, stack)| self.stacks.get(&(*id, *stack))) {
            return name.clone();
        }
        let parent = self.members.get(&caller.ppid).filter(|_| caller.ppid > Pid::from_raw(1));
        match (parent, looked) {
            (Some(parent), None) => parent.name.clone(),
            (_, Some((_, path, _))) => {
                Name { path: path.to_string_lossy().into_owned(), applet: String::new() }
            }
            (None, None) => Name::default(),
        }
    }
}

/// Files whose one program is as many as it has names.
const MULTI_CALL: [&str; 6] = ["busybox", "busybox.static", "coreutils", "sbase-box", "toybox", "uutils"];

/// The name that a file of many programs was called by: the base name of the first
/// argument, or the second argument where that is its own. Empty for any other file.
pub fn applet(path: &str, args: &[String]) -> String {
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let own = base(path);
    if !MULTI_CALL.contains(&own.as_str()) {
        return String::new();
    }
    match args.first().map(|first| base(first)) {
        Some(first) if first == own => args.get(1).cloned().unwrap_or_default(),
        Some(first) => first.trim_start_matches('-').to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applet_is_what_a_file_of_many_programs_was_called() {
        let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        assert_eq!(applet("/bin/busybox", &args(&["/bin/ls", "-l"])), "ls");
        assert_eq!(applet("/bin/busybox", &args(&["-sh"])), "sh");
        assert_eq!(applet("/bin/busybox", &args(&["busybox", "cat", "x"])), "cat");
        assert_eq!(applet("/usr/bin/dash", &args(&["sh"])), "");
    }

    #[test]
    fn the_dead_are_forgotten() {
        let mut programs = Programs::default();
        for number in 0..3 * MANY as i32 {
            let member =
                Member { started: StartTime::default(), name: Name::default(), next: None, placed: true };
            programs.remember(Pid::from_raw(i32::MAX - number), member);
        }
        assert!(programs.members.len() <= MANY);
    }

    #[test]
    fn an_exec_that_failed_changes_nothing_and_one_that_succeeded_does() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let (own, _) = image(&me, &identity).expect("own image");
        let name = |path: &str| Name { path: path.to_owned(), applet: String::new() };
        let mut programs = Programs::default();
        assert!(programs.of(&me, &identity).path.starts_with('/'), "its image");
        programs.executes(
            &me,
            name("/old"),
            name("/new"),
            FileId { device: own.device, inode: own.inode + 1 },
        );
        assert_eq!(programs.of(&me, &identity), name("/old"));
        programs.executes(&me, name("/old"), name("/new"), own);
        assert_eq!(programs.of(&me, &identity), name("/new"));
        // A fork of it, whose parent is not known any more.
        programs.members.clear();
        assert_eq!(programs.of(&me, &identity), name("/new"));
    }
}
