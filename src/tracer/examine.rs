//! The examiner: reads files of a stopped process, for a digest or to identify a loader or a
//! script, and the list of what a process has mapped as code. A thread of its own does it, so
//! that neither PID 1's duties nor other decisions wait for a disk, or for the lock of the
//! process's memory, which its threads may have locked. What was found is remembered by inode, time
//! of change and length of what is really mapped.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::call::{TracedCall, caller_after_exec};
use super::file_facts::{FileFacts, LONGEST};
use super::inspect;
use super::mailbox::{TracerMailbox, TracerMessage};
use crate::ids::Pid;
use crate::image::digest::digest;
use crate::image::live::Live;
use crate::image::{Executable, FileId, elf};
use crate::kernel::Arch;
use crate::notify::caller::{Caller, Identity};
use crate::notify::maps;
use crate::notify::settled::{Settled, shares_root};
use crate::plan::ProgramIndex;
use crate::plan::environment::named::NamedPath;
use crate::policy::PolicyEngine;
use crate::policy::libraries::Code;
use crate::policy::started::{FileContents, NotYet, Script, StartedProgram, Verdict};
use crate::policy::variables::{Places, Unsettled};
use crate::procfs::errno;

/// A stopped process that is to be checked.
pub enum ExaminerJob {
    /// What an exec has started.
    Exec {
        /// The stopped process.
        pid: Pid,
        /// The call of its exec.
        call: Arc<TracedCall>,
        /// What was read of the new program.
        started: Arc<StartedProgram>,
        /// Its arguments were cut, and have to be read again.
        cut: bool,
    },
    /// What the process of this call, which is this entry, has mapped as code.
    Mappings(Arc<TracedCall>, ProgramIndex),
}

/// Checks each job and sends the verdict to the tracer, until the tracer is gone.
pub fn run(
    jobs: &Receiver<ExaminerJob>,
    mailbox: &TracerMailbox,
    rules: &Arc<PolicyEngine>,
    found: &Mutex<FileFacts>,
    identity: &Identity,
) {
    while let Ok(job) = jobs.recv() {
        let (pid, id, verdict) = match job {
            ExaminerJob::Exec { pid, call, started, cut } => {
                let caller = caller_after_exec(pid, &call.caller);
                let files = StoppedFiles { pid, caller, rules, found, identity };
                let verdict = match whole(&started, cut, &files) {
                    Ok(started) => rules.started(call.entry(), &started, &files),
                    // It was killed, and its end is reported; or it cannot be read any more.
                    Err(_) => Ok(Verdict::Dies(rules.unreadable_program())),
                };
                // StoppedFiles never answers NotYet, so there is a verdict.
                let Ok(verdict) = verdict else { continue };
                (pid, call.id, inspect::within_count(verdict, &call, rules))
            }
            ExaminerJob::Mappings(call, entry) => {
                (call.pid(), call.id, mapped(&call.caller, entry, rules, found, identity))
            }
        };
        mailbox.send(TracerMessage::Examined { pid, id, verdict });
    }
}

/// What was started, with all of its stack that rules are about. The stack is read again for one
/// job at a time, since stacks may be large.
///
/// # Errors
/// As [`inspect::stack`]: the process cannot be read, or was killed.
fn whole<'a>(
    started: &'a StartedProgram,
    cut: bool,
    files: &StoppedFiles,
) -> Result<Cow<'a, StartedProgram>, Errno> {
    let started = Cow::Borrowed(started);
    if !cut {
        return Ok(started);
    }
    let initial_stack = inspect::stack(started.stack, &files.caller, files.identity, files.rules)?;
    Ok(Cow::Owned(StartedProgram { initial_stack, ..started.into_owned() }))
}

/// The verdict on all that the caller's process has mapped as code by now, by whichever thread
/// and wherever a sibling has moved it.
fn mapped(
    caller: &Caller,
    entry: ProgramIndex,
    rules: &PolicyEngine,
    found: &Mutex<FileFacts>,
    identity: &Identity,
) -> Verdict {
    let own = VerifiedFile::of(caller, identity);
    let all = match maps::of(caller, identity, |mapping| mapping.code && !own.is(mapping)) {
        Ok(all) => all,
        // It was killed, and runs nothing any more.
        Err(Errno::ESRCH) => return Verdict::Runs(entry),
        // A process that cannot be read any more hides something.
        Err(_) => return Verdict::Dies(rules.unlisted_code(entry, None)),
    };
    for mapping in all {
        let known = |path: &Path| {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.code.contains_key(&(entry, path.to_owned(), mapping.id))
        };
        // A file that was replaced or removed from outside since it was mapped stays what it was.
        if known(&mapping.path) || linked(&mapping.path).is_some_and(|path| known(&path)) {
            continue;
        }
        match rules.code(entry, &mapping.path, mapping.id) {
            Code::Allowed => {}
            Code::IfThere if maps::stands(&mapping.path, mapping.id, caller, identity) => {}
            Code::IfThere => return Verdict::Dies(rules.unlisted_code(entry, Some(&mapping.path))),
            Code::Refused(refusal) => return Verdict::Dies(refusal),
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        FileFacts::remember(&mut found.code, (entry, mapping.path, mapping.id), ());
    }
    Verdict::Runs(entry)
}

/// The path that a removed file had.
fn linked(path: &Path) -> Option<PathBuf> {
    let path = path.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    Some(OsStr::from_bytes(path).into())
}

/// The file that a process executed, whose exec was verified.
struct VerifiedFile {
    path: Option<PathBuf>,
    id: Option<FileId>,
}

impl VerifiedFile {
    fn of(caller: &Caller, identity: &Identity) -> VerifiedFile {
        let link = PathBuf::from(format!("/proc/{}/exe", caller.tid));
        let path = identity.with_caller_fsids(caller, || std::fs::read_link(&link).map_err(errno)).ok();
        VerifiedFile { path, id: maps::known(&link, caller, identity).ok() }
    }

    /// Whether a mapping is of this file: by its inode, or by its path, which no other file has
    /// meanwhile. A path with ` (deleted)` is not compared: another file may have that name.
    fn is(&self, mapping: &maps::Mapping) -> bool {
        self.id == Some(mapping.id)
            || (self.path.as_ref() == Some(&mapping.path) && linked(&mapping.path).is_none())
    }
}

/// The files of a stopped process.
struct StoppedFiles<'a> {
    pid: Pid,
    caller: Caller,
    rules: &'a PolicyEngine,
    found: &'a Mutex<FileFacts>,
    identity: &'a Identity,
}

impl StoppedFiles<'_> {
    /// Opens the executed file for reading: this inode, and no other that a process with the same
    /// pid executes by now.
    fn mapped(&self, started: &StartedProgram) -> Option<File> {
        let link = format!("/proc/{}/exe", self.pid);
        let file = self.identity.with_caller_fsids(&self.caller, || File::open(&link).map_err(errno)).ok()?;
        is_still(&file, started).then_some(file)
    }

    fn working_directory(&self) -> Option<PathBuf> {
        let link = format!("/proc/{}/cwd", self.pid);
        self.identity.with_caller_fsids(&self.caller, || std::fs::read_link(&link).map_err(errno)).ok()
    }
}

impl Places for StoppedFiles<'_> {
    fn settled(&self, named: NamedPath) -> Result<Result<(), Unsettled>, NotYet> {
        let settled = Settled::of(self.rules, &self.caller, self.identity).settled(named)?;
        // Under one root alone it is true of every process.
        if settled.is_ok() && named.path.len() <= LONGEST && !self.rules.roots_differ() {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            FileFacts::remember(&mut found.settled, (named.path.to_vec(), named.used), ());
        }
        Ok(settled)
    }
}

impl FileContents for StoppedFiles<'_> {
    fn is_loader(&self, started: &StartedProgram) -> Result<bool, NotYet> {
        let read = self.mapped(started).and_then(|file| elf::executable(&file, Arch::THIS).ok());
        // A file that cannot be read may be a loader. That is not remembered: the process may
        // have been killed meanwhile.
        let Some(kind) = read else { return Ok(true) };
        let loader = kind == Executable::Loader;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        FileFacts::remember(&mut found.loaders, (started.id, started.stamp), loader);
        Ok(loader)
    }

    fn script(&self, path: &[u8]) -> Result<Option<Script>, NotYet> {
        // Under another root its paths lead to other files than the supervisor's.
        let moves = self.rules.roots_differ();
        if moves && !shares_root(&self.caller, self.identity) {
            return Ok(None);
        }
        let from = if path.starts_with(b"/") { Some(PathBuf::from("/")) } else { self.working_directory() };
        let path_of = Path::new(OsStr::from_bytes(path));
        let settled = Settled::of(self.rules, &self.caller, self.identity);
        let script = from.and_then(|from| script(&from, path_of, &settled, 5));
        if let Some(script) =
            script.as_ref().filter(|_| path.starts_with(b"/") && path.len() <= LONGEST && !moves)
            && !self.rules.asks_for_origin(&script.canonical)
        {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            FileFacts::remember(&mut found.scripts, path.to_vec(), script.clone());
        }
        Ok(script)
    }

    fn digest(&self, started: &StartedProgram, script: Option<&Script>) -> Result<Option<String>, NotYet> {
        let file = match script {
            // Its path leads nowhere else, and no process inside may write to it.
            Some(script) => open(&script.canonical).filter(|(_, id)| *id == script.id).map(|(file, _)| file),
            None => self.mapped(started),
        };
        let mapped = file.as_ref().filter(|_| script.is_none()).and_then(|file| file.try_clone().ok());
        let digest = file.and_then(digest);
        // The digest of a file that was written to meanwhile is of no content that it had.
        let digest =
            digest.filter(|_| script.is_some() || mapped.is_some_and(|file| is_still(&file, started)));
        if let (Some(digest), None) = (&digest, script) {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            FileFacts::remember(&mut found.digests, (started.id, started.stamp), digest.clone());
        }
        Ok(digest)
    }
}

/// Whether this is the file that was started, unchanged since.
fn is_still(file: &File, started: &StartedProgram) -> bool {
    file.metadata().is_ok_and(|found| {
        let id = FileId { device: found.dev(), inode: found.ino() };
        let stamp = (found.ctime(), found.ctime_nsec() as u32, found.size());
        (id, stamp) == (started.id, started.stamp)
    })
}

/// Opens a regular file, and returns its inode too; the open does not block on a FIFO.
fn open(path: &Path) -> Option<(File, FileId)> {
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((file, FileId { device: metadata.dev(), inode: metadata.ino() }))
}

/// The script at a path, and how the kernel starts it: `deep` interpreters of it may be
/// scripts themselves.
fn script(from: &Path, path: &Path, settled: &Settled, deep: usize) -> Option<Script> {
    let canonical = settled.end(from, path).ok().filter(|end| end.there.is_some())?.path;
    let (file, id) = open(&canonical)?;
    let of_image = !settled.rules.asks_for_origin(&canonical) || {
        let found = file.metadata().ok()?;
        let changed = (found.ctime(), found.ctime_nsec() as u32);
        settled.rules.policy().provenance.is_of_image(&canonical, changed, &Live)
    };
    let Executable::Script(interpreter, argument) = elf::executable(&file, Arch::THIS).ok()? else {
        return None;
    };
    let own = [Some(interpreter.clone().into_os_string().into_vec()), argument.map(String::into_bytes)];
    let own = own.into_iter().flatten();
    match script_of(&interpreter, settled, deep) {
        InterpreterFile::Program(id_of_interpreter) => {
            Some(Script { id, canonical, lead: own.collect(), interpreter: id_of_interpreter, of_image })
        }
        InterpreterFile::Script(inner) => Some(Script {
            id,
            canonical,
            lead: inner.lead.into_iter().chain(own).collect(),
            interpreter: inner.interpreter,
            of_image,
        }),
        InterpreterFile::None => None,
    }
}

enum InterpreterFile {
    Program(FileId),
    Script(Script),
    None,
}

fn script_of(interpreter: &Path, settled: &Settled, deep: usize) -> InterpreterFile {
    if deep == 0 || !interpreter.is_absolute() {
        return InterpreterFile::None;
    }
    let root = Path::new("/");
    if let Some(inner) = script(root, interpreter, settled, deep - 1) {
        return InterpreterFile::Script(inner);
    }
    let program = std::fs::metadata(interpreter).ok();
    program.map_or(InterpreterFile::None, |found| {
        InterpreterFile::Program(FileId { device: found.dev(), inode: found.ino() })
    })
}
