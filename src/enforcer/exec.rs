//! execve and execveat: which file would run, and may this caller run it?

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::deferred_calls::{LeasedFile, open_now};
use super::{Decision, Enforcer, is_own_shortage, unknown};
use crate::event::ViolationObject;
use crate::image::digest::digest;
use crate::image::live::Live;
use crate::image::{Executable, FileKind, elf};
use crate::kernel::Arch;
use crate::notify::caller::{Caller, Memory};
use crate::notify::image;
use crate::notify::path_resolver::PathResolver;
use crate::notify::resolve::{self, Found, Target};
use crate::notify::settled::Settled;
use crate::notify::syscall_args::{self, PathArg};
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::args::Args;
use crate::policy::call::Call;
use crate::policy::program::{Called, ExecTarget};
use crate::policy::started::NotYet;
use crate::processes::proc_fs::LiveProcFs;
use crate::procfs::{errno, link_to};
use crate::profile::Rights;
use crate::sys;
use crate::tracer::Operation;

/// The file that an exec would execute.
struct ExecFile {
    target: ExecTarget,
    file: resolve::Target,
    args: Option<Args>,
}

/// Why the file could not be found.
enum Unfound {
    /// The kernel would execute no file, and return this errno.
    Kernel(Errno),
    /// The file cannot be read while it has a lease.
    LeasedFile(OwnedFd),
}

impl From<Errno> for Unfound {
    fn from(errno: Errno) -> Unfound {
        Unfound::Kernel(errno)
    }
}

/// What an exec would start, by the path and arguments in the caller's memory.
struct Expected {
    entry: Option<ProgramIndex>,
    object: ViolationObject,
    /// Its user may execute the file and not read it: the process will not be dumpable.
    unreadable: bool,
}

/// A path for an event, cut to its last 512 bytes: one for each thread of the app may be stored.
fn shown(path: PathBuf) -> PathBuf {
    const MOST: usize = 512;
    let bytes = path.as_os_str().as_bytes();
    match bytes.len().checked_sub(MOST) {
        None | Some(0) => path,
        Some(more) => OsString::from_vec([b"...", &bytes[more..]].concat()).into(),
    }
}

impl Enforcer {
    pub(super) fn exec(&mut self, call: &Call, caller: &Caller) -> Decision {
        if self.is_launch(caller) {
            // The supervisor's own child, with one thread and the supervisor's code: its exec was
            // checked before it was forked.
            self.memory.launched = true;
            self.begin_startup();
            self.memory.processes = 1;
            self.memory.programs.launches(self.app, self.entry, &LiveProcFs(&self.identity));
            return Decision::Continue;
        }
        self.memory.programs.calls_exec(caller, &LiveProcFs(&self.identity));
        let entry = self.program_entry(caller);
        let object = ViolationObject::Name { name: "unreadable".into() };
        let mut expected = Expected { entry: None, object, unreadable: false };
        match self.decide_exec(call, caller, entry, &mut expected) {
            // An exec that would fail may succeed where another thread changes the path.
            Decision::Continue if self.rules.checks() => {
                let Expected { entry: expected, object, .. } = expected;
                let is_file = entry.is_some_and(|entry| self.rules.is_file(entry));
                let image = || image::image(caller, &self.identity).map(|(_, path)| shown(path));
                let program = if is_file { None } else { image() };
                Decision::Trace(Operation::Exec { entry, expected, object, program })
            }
            Decision::Continue if expected.unreadable => {
                self.trace_first(Operation::BecomeUnreadable, caller)
            }
            decision => decision,
        }
    }

    /// Whether a caller may read a program, so that a process of its own that runs it is
    /// dumpable (fs/exec.c, would_dump).
    fn is_readable(&self, program: &Path, caller: &Caller) -> bool {
        let open = || std::fs::File::open(program).map_err(errno);
        !matches!(self.identity.with_caller_creds(caller, open), Err(Errno::EACCES | Errno::EPERM))
    }

    /// Whether the kernel would answer ENOEXEC for a file, since it is neither an ELF file nor begins
    /// with `#!`, and the app may read it and not change it.
    fn is_shell_text(&self, file: &resolve::Target, canonical: &Path) -> bool {
        const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let rights = self.rules.granted_at(canonical);
        let is_text = |file: File| {
            let mut head = [0; 4];
            let read = file.read_at(&mut head, 0).map_or(0, |read| read);
            !head[..read].starts_with(b"\x7fELF")
                && matches!(elf::executable(&file, Arch::THIS), Ok(Executable::Unknown))
        };
        rights.contains(Rights::READ) && !rights.intersects(CHANGING) && open_now(&file.fd).is_ok_and(is_text)
    }

    /// Decides an exec, and fills in what it would start.
    fn decide_exec(
        &mut self,
        call: &Call,
        caller: &Caller,
        entry: Option<ProgramIndex>,
        expected: &mut Expected,
    ) -> Decision {
        let identity = self.identity.clone();
        let cached = self.memory.memory_cache.get(caller);
        let memory = match cached {
            Some(file) => Memory::opened(&identity, caller, file),
            None => Memory::of(&identity, caller),
        };
        let exec = syscall_args::Exec::of(call);
        let path = match exec.path(&memory) {
            Ok(path) => path,
            Err(errno) => return unknown(errno),
        };
        let ExecFile { target, file, args } = match self.program(caller, &exec, path, &memory) {
            Ok(target) => target,
            // What the kernel refuses by itself is no violation, and its errno is
            // the one that a search along PATH expects: a directory of it may well
            // be closed to this caller.
            Err(Unfound::Kernel(errno)) => return unknown(errno),
            Err(Unfound::LeasedFile(file)) => return Decision::AwaitLease(LeasedFile::read(file)),
        };
        expected.object = ViolationObject::program(shown(target.named.clone()));
        // Saved and file-system id become the effective one.
        let [real, effective, ..] = caller.uids;
        let uids = Some([real, effective, effective, effective]);
        let cut = args.as_ref().is_some_and(|args| !args.is_whole());
        let called = Called { args: args.as_ref().map(|args| &args.list[..]), cut, uids };
        let next = match self.rules.exec(entry, &target, called) {
            Ok(next) => next,
            // The exec does not happen, and a shell then reads the file as its own script.
            Err(_) if self.is_shell_text(&file, &target.canonical) => {
                return Decision::Fail(Errno::ENOEXEC);
            }
            Err(refusal) => return Decision::Deny(refusal),
        };
        if let Some(refusal) = self.file_capabilities(&file) {
            return Decision::Deny(refusal);
        }
        if let Some(refusal) = self.too_many_besides(next, caller) {
            return Decision::Deny(refusal);
        }
        expected.entry = Some(next);
        if self.rules.instances(next).is_some() {
            self.memory.programs.expects(caller, next);
        }
        if !self.rules.checks() {
            let opened = PathBuf::from(link_to(&file.fd));
            expected.unreadable = file.mode & 0o444 != 0o444 && !self.is_readable(&opened, caller);
            // Where what was started is not verified, digest and environment are checked here.
            let content = match self.rules.digest(next).map(|_| open_now(&file.fd)) {
                Some(Err(Errno::EWOULDBLOCK)) => return Decision::AwaitLease(LeasedFile::read(file.fd)),
                content => content.and_then(Result::ok),
            };
            match self.rest(next, content, &exec, (caller, &memory)) {
                Ok(None) => {}
                Ok(Some(refusal)) => return Decision::Deny(refusal),
                Err(errno) => return unknown(errno),
            }
            let proc_fs = LiveProcFs(&self.identity);
            self.memory.programs.exec_continues(caller.tgid, entry.unwrap_or(next), next, &proc_fs);
            let args = args.filter(|_| self.writer.wants_all()).map(|args| args.shown());
            self.report_exec(next, &target.canonical, file.mode, args, caller);
        }
        Decision::Continue
    }

    /// The environment, and the content that the file has now.
    ///
    /// # Errors
    /// The environment cannot be read, or is larger than an exec takes.
    fn rest(
        &self,
        next: ProgramIndex,
        content: Option<File>,
        exec: &syscall_args::Exec,
        (caller, memory): (&Caller, &Memory),
    ) -> Result<Option<Box<Denial>>, Errno> {
        let settled = Settled::of(&self.rules, caller, &self.identity);
        let mut refused = Ok(None);
        syscall_args::each(memory, exec.environment, |variable| {
            if !self.inherited.iter().any(|inherited| inherited == variable) {
                refused = self.rules.variable_before_exec(next, variable, &settled);
            }
            matches!(refused, Ok(None))
        })?;
        // Every path was looked at.
        let refused = refused.map_err(|NotYet| Errno::EAGAIN)?;
        Ok(refused.or_else(|| {
            let wanted = self.rules.digest(next)?;
            let found = content.and_then(digest);
            (found.as_deref() != Some(wanted)).then(|| self.rules.other_content(next, found))
        }))
    }

    /// Denies a program that has file capabilities which are not in the bounding set. Those of a script have no
    /// effect, nor those of a file on a mount with nosuid.
    fn file_capabilities(&self, file: &Target) -> Option<Box<Denial>> {
        let link = CString::new(link_to(&file.fd)).ok()?;
        let refusal = self.rules.file_capabilities(sys::files::effective_file_capabilities(&link))?;
        let mut head = [0; 4];
        let is_elf =
            open_now(&file.fd).is_ok_and(|file| file.read_at(&mut head, 0).is_ok() && head == *b"\x7fELF");
        let is_nosuid = fstatvfs(&file.fd).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOSUID));
        (is_elf && !is_nosuid).then_some(refusal)
    }

    /// As many live processes of an entry as there may be, besides this one.
    fn too_many_besides(&mut self, entry: ProgramIndex, caller: &Caller) -> Option<Box<Denial>> {
        let most = self.rules.instances(entry)?;
        // Where they cannot be counted the exec is denied.
        let now = self.live(entry, Some(caller.tgid), most).unwrap_or(u32::MAX - 1);
        self.rules.too_many(entry, now)
    }

    /// What would be executed.
    ///
    /// # Errors
    /// What the kernel answers where there is nothing that it would execute.
    fn program(
        &mut self,
        caller: &Caller,
        exec: &syscall_args::Exec,
        path: PathBuf,
        memory: &Memory,
    ) -> Result<ExecFile, Unfound> {
        let (at, follow) = exec.file(&path);
        let (file, canonical) = self.resolver().file(caller, &at, follow)?;
        let file = file.ok_or(Errno::ENOENT)?;
        // A memfd that the supervisor sealed may not be executed: that is a denial by the profile,
        // and reported.
        let sealed = canonical.as_os_str().as_encoded_bytes().starts_with(b"/memfd:");
        if file.kind != FileKind::Regular || (file.mode & 0o111 == 0 && !sealed) {
            return Err(Errno::EACCES.into());
        }
        let loader = match self.is_loader(&file) {
            Err(Errno::EWOULDBLOCK) => return Err(Unfound::LeasedFile(file.fd)),
            loader => loader?,
        };
        let named = resolve::is_plain(&path) && !self.rules.roots_differ();
        let named = if named { path } else { canonical.clone() };
        let asks = self.rules.has_argument_rules() || (!self.rules.checks() && self.writer.wants_all());
        let args = asks.then(|| syscall_args::args(memory, exec.args, self.rules.arguments()));
        let args = match args.transpose() {
            Ok(args) => args,
            // The kernel's own copy is checked after the exec.
            Err(_) if self.rules.checks() => None,
            Err(errno) => return Err(errno.into()),
        };
        let of_image = !self.rules.asks_for_origin(&canonical) || {
            let stat = fstat(&file.fd)?;
            let changed = (stat.st_ctime, stat.st_ctime_nsec as u32);
            self.rules.policy().provenance.is_of_image(&canonical, changed, &Live)
        };
        let target = ExecTarget { id: file.id, canonical, named, loader, of_image };
        Ok(ExecFile { target, file, args })
    }

    /// Resolves a path with the caller's rights.
    pub(super) fn find(&self, caller: &Caller, at: &PathArg, follow: bool) -> Result<Found, Errno> {
        self.resolver().find(caller, at, follow)
    }

    pub(super) fn resolver(&self) -> PathResolver<'_> {
        PathResolver { identity: &self.identity, moves: self.rules.roots_differ() }
    }

    /// Whether a file below a directory of programs is an ELF loader. Remembered by
    /// inode: such directories cannot be written.
    ///
    /// It is read through the open descriptor: by its path another file might be read, or a FIFO
    /// that blocks the worker for ever.
    ///
    /// # Errors
    /// EWOULDBLOCK where it has a lease; EMFILE, ENFILE or ENOMEM.
    fn is_loader(&mut self, file: &resolve::Target) -> Result<bool, Errno> {
        const MANY: usize = 1024;
        if let Some(known) = self.memory.loaders.get(&file.id) {
            return Ok(*known);
        }
        let kind = open_now(&file.fd).and_then(|file| elf::executable(&file, Arch::THIS).map_err(errno));
        let loader = match kind {
            Ok(kind) => kind == Executable::Loader,
            Err(errno) if is_own_shortage(errno) || errno == Errno::EWOULDBLOCK => return Err(errno),
            // One that may be executed and not read: what loads others can be read.
            Err(_) => false,
        };
        if self.memory.loaders.len() >= MANY {
            self.memory.loaders.clear();
        }
        self.memory.loaders.insert(file.id, loader);
        Ok(loader)
    }
}
