//! Which program each process is: the one whose exec made it, a script itself and not
//! its interpreter. Forks inherit it.

use crate::ids::{Pid, Tid};
use crate::image::FileId;
use crate::notify::caller::Caller;
use crate::processes::proc_fs::ProcFs;
use crate::processes::table::{PendingExec, ProcessEntry, ProcessTable};

/// A program by its file and its applet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgramName {
    /// The canonical path.
    pub path: String,
    /// Empty where the file is no multi-call binary.
    pub applet: String,
}

/// The program of each process.
#[derive(Debug, Default)]
pub struct ProcessPrograms {
    table: ProcessTable<ProgramName>,
}

impl ProcessPrograms {
    /// Records that an exec of this caller's process, which runs `now`, continues. If it succeeds, the
    /// process runs `next` with this image.
    pub fn exec_continues(
        &mut self,
        caller: &Caller,
        now: ProgramName,
        next: ProgramName,
        image: FileId,
        proc_fs: &impl ProcFs,
    ) {
        let Some(started) = proc_fs.started(caller.tgid) else { return };
        let pending = PendingExec { program: next, image: Some(image) };
        self.table.set(caller.tgid, started, now.clone(), proc_fs);
        self.table.exec_continues(caller.tgid, started, now, pending, proc_fs);
    }

    /// A thread of another process, whose program is returned, has forked this one, which cannot be read.
    pub fn forked(&mut self, child: Pid, parent: Tid, proc_fs: &impl ProcFs) -> ProgramName {
        let parent = proc_fs.thread(parent).map_or(Pid::from_raw(parent.as_raw()), |parent| parent.tgid);
        let Some(name) = self.table.last_with(parent).cloned() else { return ProgramName::default() };
        if let Some(started) = proc_fs.started(child) {
            self.table.set(child, started, name.clone(), proc_fs);
        }
        name
    }

    /// Whether a caller's process is known. Unless `exactly`, one that had its pid before is taken for
    /// it: that costs no read of its stat.
    pub fn has(&self, caller: &Caller, exactly: bool, proc_fs: &impl ProcFs) -> bool {
        match self.table.last_with(caller.tgid) {
            Some(_) if exactly => {
                let started = proc_fs.started(caller.tgid);
                started.is_none_or(|started| self.table.get(caller.tgid, started).is_some())
            }
            known => known.is_some(),
        }
    }

    /// The program of a caller's process; its executable where no exec was observed.
    pub fn of(&mut self, caller: &Caller, proc_fs: &impl ProcFs) -> ProgramName {
        let Some(started) = proc_fs.started(caller.tgid) else { return self.inherited(caller, proc_fs) };
        let name = match self.table.get(caller.tgid, started) {
            Some(ProcessEntry { program, pending: None, .. }) => return program.clone(),
            Some(ProcessEntry { program, pending: Some(pending), .. }) => {
                // An image that cannot be read counts as that of the exec.
                let is = proc_fs.image_id(caller);
                let succeeded = is.is_none() || is == pending.image;
                let name = if succeeded { pending.program.clone() } else { program.clone() };
                if succeeded && let Some((_, stack)) = proc_fs.exec_stack(caller, None) {
                    self.table.add_stack(stack, name.clone(), proc_fs);
                }
                name
            }
            None => {
                self.settle_parent(caller, proc_fs);
                self.inherited(caller, proc_fs)
            }
        };
        self.table.set(caller.tgid, started, name.clone(), proc_fs);
        name
    }

    /// Finds out what the parent of a new process has become, where its exec has succeeded and none of its
    /// calls was seen since: a static program, or one of musl's.
    fn settle_parent(&mut self, caller: &Caller, proc_fs: &impl ProcFs) {
        let Some(started) = proc_fs.started(caller.ppid) else { return };
        let entry = self.table.get(caller.ppid, started);
        let Some(pending) = entry.and_then(|entry| entry.pending.as_ref()) else { return };
        let Some(parent) = proc_fs.thread(caller.ppid.first_thread()) else { return };
        if pending.image.is_some() && proc_fs.image_id(&parent) == pending.image {
            self.of(&parent, proc_fs);
        }
    }

    /// The program that a forked process inherits.
    fn inherited(&self, caller: &Caller, proc_fs: &impl ProcFs) -> ProgramName {
        let executed = proc_fs.exec_stack(caller, None);
        if let Some((_, stack)) = &executed
            && let Some(name) = self.table.with_stack(stack).last()
        {
            return name.clone();
        }
        let parent = self.table.last_with(caller.ppid).filter(|_| caller.ppid > Pid::from_raw(1));
        match (parent, executed) {
            (Some(parent), None) => parent.clone(),
            (_, Some((image, _))) => {
                ProgramName { path: image.path.to_string_lossy().into_owned(), applet: String::new() }
            }
            (None, None) => ProgramName::default(),
        }
    }
}

/// Multi-call binaries: the applet is the program.
const MULTI_CALL: [&str; 6] = ["busybox", "busybox.static", "coreutils", "sbase-box", "toybox", "uutils"];

/// The applet that a multi-call binary was called as: the base name of the first argument, or the
/// second argument where the first names the binary itself. Empty for any other file.
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
    use crate::processes::invented::{Invented, inode};

    #[test]
    fn an_applet_is_what_a_file_of_many_programs_was_called() {
        let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        assert_eq!(applet("/bin/busybox", &args(&["/bin/ls", "-l"])), "ls");
        assert_eq!(applet("/bin/busybox", &args(&["-sh"])), "sh");
        assert_eq!(applet("/bin/busybox", &args(&["busybox", "cat", "x"])), "cat");
        assert_eq!(applet("/usr/bin/dash", &args(&["sh"])), "");
    }

    #[test]
    fn an_exec_that_failed_changes_nothing_and_one_that_succeeded_does() {
        // pid, parent, start, inode, stack
        let before = Invented(vec![(10, 2, 1, 3, 16)]);
        let later = Invented(vec![(10, 2, 9, 3, 16)]);
        let after = Invented(vec![(10, 2, 1, 4, 32), (11, 10, 2, 4, 32), (12, 1, 3, 4, 48)]);
        let caller = |pid, proc_fs: &Invented| proc_fs.living_thread(Pid::from_raw(pid)).expect("it lives");
        let name = |path: &str| ProgramName { path: path.to_owned(), applet: String::new() };
        let mut programs = ProcessPrograms::default();
        let me = caller(10, &before);
        assert!(!programs.has(&me, false, &before) && !programs.has(&me, true, &before));
        assert_eq!(programs.of(&me, &before), name("/bin/3"), "its image");
        assert!(programs.has(&me, true, &before));
        assert!(programs.has(&me, false, &later) && !programs.has(&me, true, &later), "another with its pid");
        programs.exec_continues(&me, name("/old"), name("/new"), inode(4), &before);
        assert_eq!(programs.of(&me, &before), name("/old"));
        programs.exec_continues(&me, name("/old"), name("/new"), inode(4), &before);
        assert_eq!(programs.of(&me, &after), name("/new"));
        // Where no call of it was seen since, its fork finds it out.
        let mut unseen = ProcessPrograms::default();
        unseen.exec_continues(&me, name("/old"), name("/new"), inode(4), &before);
        assert_eq!(unseen.of(&caller(11, &after), &after), name("/new"));
        unseen.exec_continues(&me, name("/old"), name("/new"), inode(5), &before);
        assert_eq!(unseen.of(&caller(12, &after), &after), name("/bin/4"), "an exec that is not over");
        // A fork has the same stack; another process of the same file has not.
        assert_eq!(programs.of(&caller(11, &after), &after), name("/new"));
        assert_eq!(programs.of(&caller(12, &after), &after), name("/bin/4"));
    }
}
