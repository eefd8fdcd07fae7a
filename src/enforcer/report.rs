//! Reports denials and execs as events: the process, the object, and the hint that would allow
//! it.

use std::path::{Path, PathBuf};

use super::Enforcer;
use crate::event::{ActionTaken, ErrnoName, Event, ExecEvent, ExecutablePath, Process, Violation, hint};
use crate::ids::Tid;
use crate::notify::caller::Caller;
use crate::notify::image::image;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::processes::proc_fs::LiveProcFs;
use crate::profile;

impl Enforcer {
    /// The action of an event for a call that the kernel refuses by itself.
    pub(super) fn action_by_kernel(&self) -> ActionTaken {
        if self.audit { ActionTaken::Observed } else { ActionTaken::Denied }
    }

    pub(super) fn report(&mut self, refusal: &Denial, caller: &Caller, action: ActionTaken) {
        let process = self.process(caller);
        self.report_of(refusal, caller, process, action);
    }

    /// Reports a denial to a process that may run another program by now: `program` is the one
    /// that called.
    pub(super) fn report_by(
        &mut self,
        refusal: &Denial,
        caller: &Caller,
        program: Option<PathBuf>,
        action: ActionTaken,
    ) {
        let process = Process {
            pid: caller.tgid.as_raw() as u32,
            parent_pid: Some(caller.ppid.as_raw() as u32),
            uid: Some(caller.uids[1].as_raw()),
            executable: program.map(|path| ExecutablePath { path }),
            args: None,
        };
        self.report_of(refusal, caller, process, action);
    }

    fn report_of(&mut self, refusal: &Denial, caller: &Caller, process: Process, action: ActionTaken) {
        let document = || self.memory.document.get_or_init(|| profile::value(&self.document));
        let hint = refusal.want.as_ref().map(|want| hint(document(), want)).unwrap_or_default();
        let event = Violation {
            kind: refusal.kind,
            action,
            // A process that is killed after its exec gets no errno.
            errno: (action != ActionTaken::Killed || !self.rules.checks())
                .then_some(ErrnoName(refusal.errno)),
            object: refusal.object.clone(),
            rule: refusal.rule.clone(),
            summary: None,
            process,
            ancestors: self.ancestors(caller),
            hint,
        };
        self.writer.record(Event::Violation(Box::new(event)));
    }

    /// Reports an exec that continues. Its set-id bits have no effect with no_new_privs, which is
    /// reported at every level.
    pub(super) fn report_exec(
        &mut self,
        entry: ProgramIndex,
        canonical: &Path,
        mode: u32,
        args: Option<Vec<String>>,
        caller: &Caller,
    ) {
        const BITS: [(u32, &str); 2] = [(libc::S_ISUID, "set-user-id"), (libc::S_ISGID, "set-group-id")];
        let voided: Vec<_> = BITS.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, name)| *name).collect();
        if voided.is_empty() && !self.writer.wants_all() {
            return;
        }
        let path = if self.rules.is_file(entry) { self.rules.program_path(entry) } else { canonical };
        let executable = Some(ExecutablePath { path: path.to_owned() });
        let own = self.process(caller);
        let process = Process { executable, args: args.or(own.args.clone()), ..own };
        let ancestors = self.ancestors(caller);
        self.writer.record(Event::Exec(ExecEvent {
            action: ActionTaken::Allowed,
            process,
            ancestors,
            voided,
        }));
    }

    fn process(&mut self, caller: &Caller) -> Process {
        let entry = self.program_entry(caller);
        let path = self.program_path(entry, caller);
        Process {
            pid: caller.tgid.as_raw() as u32,
            parent_pid: Some(caller.ppid.as_raw() as u32),
            uid: Some(caller.uids[1].as_raw()),
            executable: path.map(|path| ExecutablePath { path }),
            args: arguments(caller.tid),
        }
    }

    fn ancestors(&mut self, caller: &Caller) -> Vec<std::path::PathBuf> {
        let proc_fs = LiveProcFs(&self.identity);
        let ancestors = self.memory.programs.ancestors(caller, &proc_fs, &*self.rules);
        ancestors.into_iter().filter_map(|(caller, entry)| self.program_path(entry, &caller)).collect()
    }

    /// The path of a process's program in events: that of its entry, or of its executable where
    /// the entry is a directory or not known.
    fn program_path(&self, entry: Option<ProgramIndex>, caller: &Caller) -> Option<PathBuf> {
        match entry.filter(|entry| self.rules.is_file(*entry)) {
            Some(entry) => Some(self.rules.program_path(entry).to_owned()),
            None => image(caller, &self.identity).map(|(_, path)| path),
        }
    }
}

/// A process's arguments, at most 4096 bytes of `/proc/TID/cmdline`. The process may have
/// written anything there.
pub fn arguments(tid: Tid) -> Option<Vec<String>> {
    use std::io::Read;
    const MOST: u64 = 4096;
    let file = std::fs::File::open(format!("/proc/{tid}/cmdline")).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(words(&bytes))
}

/// The arguments that `cmdline` holds. A server that has written its title over them
/// (redis, postgres, nginx) leaves the rest of the place as NULs: those are none.
fn words(cmdline: &[u8]) -> Vec<String> {
    let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let words = cmdline[..end].split(|byte| *byte == 0);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn what_a_title_leaves_behind_is_no_argument() {
        assert_eq!(words(b"sh\0-c\0\0true\0"), ["sh", "-c", "", "true"]);
        assert_eq!(words(b"redis-server *:6379\0\0\0\0"), ["redis-server *:6379"]);
        assert_eq!(words(b"cut off in the mid"), ["cut off in the mid"]);
        assert_eq!(words(b""), [""]);
    }
}
