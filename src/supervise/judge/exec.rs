//! execve and execveat: which file would run, and may this caller run it?

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::later::{Leased, open_now};
use super::{Judge, Outcome, is_own_shortage, unknown};
use crate::event::Object;
use crate::image::{Executable, FileKind, elf};
use crate::kernel::Arch;
use crate::supervise::asked;
use crate::supervise::caller::{Caller, Memory, errno};
use crate::supervise::families;
use crate::supervise::reach::{Reach, Reached};
use crate::supervise::resolve::{self, Found};
use crate::supervise::trace::What;
use crate::supervise::trace::examine;
use crate::supervise::verdict::Refusal;
use crate::supervise::verdict::call::Call;
use crate::supervise::verdict::program::{Called, Target};

/// The file that an exec would execute.
struct Wanted {
    target: Target,
    file: resolve::Target,
    args: Option<Vec<Vec<u8>>>,
}

/// Why it is not known which file that is.
enum Unfound {
    /// There is none that the kernel would execute.
    Kernel(Errno),
    /// It cannot be read while it has a lease.
    Leased(OwnedFd),
}

impl From<Errno> for Unfound {
    fn from(errno: Errno) -> Unfound {
        Unfound::Kernel(errno)
    }
}

/// What would come of an exec, by what the caller's memory says.
struct Expected {
    entry: Option<usize>,
    object: Object,
}

impl Judge {
    pub(super) fn exec(&mut self, call: &Call, caller: &Caller) -> Outcome {
        if self.is_launch(caller) {
            // The supervisor's own child, one thread, running our code: its exec was
            // judged before it was forked.
            self.memory.launched = true;
            self.begin_startup();
            self.memory.processes = 1;
            self.memory.families.launches(self.app, self.entry);
            return Outcome::Continue;
        }
        self.memory.families.calls_exec(caller, &self.identity);
        let entry = self.memory.families.entry(caller, &self.identity, &self.rules);
        let mut expected = Expected { entry: None, object: Object::Name { name: "unreadable".into() } };
        match self.judge_exec(call, caller, entry, &mut expected) {
            // What fails by itself might not, if another thread helps.
            Outcome::Continue if self.tracer.is_some() => {
                let Expected { entry: expected, object } = expected;
                let is_file = entry.is_some_and(|entry| self.rules.is_file(entry));
                let image = || families::image(caller, &self.identity).map(|(_, path)| path);
                let program = if is_file { None } else { image() };
                Outcome::Watch(What::Exec { entry, expected, object, program })
            }
            outcome => outcome,
        }
    }

    /// What is to be done, and what would come of it.
    fn judge_exec(
        &mut self,
        call: &Call,
        caller: &Caller,
        entry: Option<usize>,
        expected: &mut Expected,
    ) -> Outcome {
        let identity = self.identity.clone();
        let kept = self.memory.kept.of(caller);
        // What is kept is of this image, so only what was allowed goes on: what would
        // fail is failed here, and may then be tried again along PATH.
        let fail = if kept.is_some() { Outcome::Fail } else { unknown };
        let memory = match kept {
            Some(file) => Memory::kept(&identity, caller, file),
            None => Memory::of(&identity, caller),
        };
        let asked = asked::Exec::of(call);
        let path = match asked.path(&memory) {
            Ok(path) => path,
            // One that was seized before it changed its user can be looked at afterwards;
            // any other cannot be seized, and is refused there.
            Err(Errno::EACCES | Errno::EPERM) if self.tracer.is_some() => return Outcome::Continue,
            Err(Errno::EACCES | Errno::EPERM) => return self.unreadable(call),
            Err(errno) => return fail(errno),
        };
        let Wanted { target, file, args } = match self.program(caller, &asked, path, &memory) {
            Ok(target) => target,
            // What the kernel refuses by itself is no violation, and its errno is
            // the one that a search along PATH expects: a directory of it may well
            // be closed to this caller.
            Err(Unfound::Kernel(errno)) => return fail(errno),
            Err(Unfound::Leased(file)) => return Outcome::Wait(Leased::read(file)),
        };
        expected.object = Object::program(&target.named);
        let uids = Some([caller.uids[0], caller.uids[1], caller.uids[1]]);
        let next = match self.rules.exec(entry, &target, Called { args: args.as_deref(), uids }) {
            Ok(next) => next,
            Err(refusal) => return Outcome::Refuse(refusal),
        };
        if let Some(refusal) = self.too_many_besides(next, caller) {
            return Outcome::Refuse(refusal);
        }
        expected.entry = Some(next);
        if self.tracer.is_none() {
            // All the rest, where nobody looks at what was started.
            let content = match self.rules.digest(next).map(|_| open_now(&file.fd)) {
                Some(Err(Errno::EWOULDBLOCK)) => return Outcome::Wait(Leased::read(file.fd)),
                content => content.and_then(Result::ok),
            };
            if let Some(refusal) = self.rest(next, content, &asked, &memory) {
                return Outcome::Refuse(refusal);
            }
            self.memory.families.executes(caller.tgid, entry.unwrap_or(next), next);
            let args = args
                .filter(|_| self.scribe.wants_all())
                .map(|args| args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect());
            self.report_exec(next, &target.canonical, file.mode, args, caller);
        } else if self.rules.instances(next).is_some() {
            self.memory.families.expects(caller.tgid, next);
        }
        Outcome::Continue
    }

    /// The environment, and the content that the file has now.
    fn rest(
        &self,
        next: usize,
        content: Option<File>,
        asked: &asked::Exec,
        memory: &Memory,
    ) -> Option<Box<Refusal>> {
        let mut environment = asked::strings(memory, asked.environment).unwrap_or_default();
        environment.retain(|variable| !self.inherited.contains(variable));
        self.rules.variable(&environment).or_else(|| {
            let wanted = self.rules.digest(next)?;
            let found = content.and_then(examine::digest);
            (found.as_deref() != Some(wanted)).then(|| self.rules.other_content(next, found))
        })
    }

    /// As many live processes of an entry as there may be, besides this one.
    fn too_many_besides(&mut self, entry: usize, caller: &Caller) -> Option<Box<Refusal>> {
        self.rules.instances(entry)?;
        let now = self.live(entry, caller, caller.tgid).map_or(u32::MAX - 1, |(now, _)| now);
        self.rules.too_many(entry, now)
    }

    /// One more by a fork.
    pub(super) fn too_many_by_fork(&mut self, entry: usize, caller: &Caller) -> Option<Box<Refusal>> {
        self.rules.instances(entry)?;
        let (now, live) = self.live(entry, caller, 0).unwrap_or((u32::MAX - 1, Vec::new()));
        let refusal = self.rules.too_many(entry, now);
        if refusal.is_none() {
            self.memory.families.forks(caller, entry, live);
        }
        refusal
    }

    /// How many of an entry live or are on their way, without one; and who lives.
    fn live(&mut self, entry: usize, caller: &Caller, but: i32) -> Option<(u32, Vec<i32>)> {
        let live = super::super::descendants::list(std::process::id() as i32);
        // Who cannot be counted is not let go on.
        let live = live.inspect_err(|errno| tracing::error!(%errno, "processes cannot be counted")).ok()?;
        // Those first: one that happens meanwhile counts twice rather than never.
        let families = &mut self.memory.families;
        let more = families.on_their_way(entry, caller.tid, &live);
        Some((families.live(&live, entry, but, &self.identity, &self.rules) + more, live))
    }

    /// The caller's memory cannot be read, so neither can what it wants to run: a
    /// program that made itself undumpable, or a child of one that changed its user
    /// without an exec since. Refused.
    fn unreadable(&self, call: &Call) -> Outcome {
        let mut refusal = self.rules.unlisted(call);
        refusal.kind = crate::event::Kind::Program;
        refusal.errno = Errno::EACCES;
        refusal.rule = "/programs".into();
        refusal.want = None;
        refusal.object = Object::Name { name: "unreadable".into() };
        Outcome::Refuse(refusal)
    }

    /// What would be executed.
    ///
    /// # Errors
    /// What the kernel answers where there is nothing that it would execute.
    fn program(
        &mut self,
        caller: &Caller,
        asked: &asked::Exec,
        path: PathBuf,
        memory: &Memory,
    ) -> Result<Wanted, Unfound> {
        let (file, canonical) = if path.as_os_str().is_empty() && asked.may_be_empty {
            self.descriptor(asked.dirfd, caller)?
        } else {
            self.file(caller, asked.dirfd, &path, asked.follow)?
        };
        let file = file.ok_or(Errno::ENOENT)?;
        // Of what the supervisor made and sealed, nobody may execute anything: that is
        // this profile's refusal, and seen.
        let sealed = canonical.as_os_str().as_encoded_bytes().starts_with(b"/memfd:");
        if file.kind != FileKind::Regular || (file.mode & 0o111 == 0 && !sealed) {
            return Err(Errno::EACCES.into());
        }
        let loader = match self.is_loader(&file) {
            Err(Errno::EWOULDBLOCK) => return Err(Unfound::Leased(file.fd)),
            loader => loader?,
        };
        let named = if resolve::is_plain(&path) { path } else { canonical.clone() };
        let asks = self.rules.asks_for_arguments() || (self.tracer.is_none() && self.scribe.wants_all());
        let args = if asks { asked::strings(memory, asked.args) } else { None };
        let target = Target { id: file.id, canonical, named, loader };
        Ok(Wanted { target, file, args })
    }

    fn descriptor(&self, fd: i32, caller: &Caller) -> Result<Reached, Errno> {
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        self.file(caller, libc::AT_FDCWD, &path, true)
    }

    /// What stands at a path.
    fn file(&self, caller: &Caller, dirfd: i32, path: &Path, follow: bool) -> Result<Reached, Errno> {
        self.reach().file(caller, dirfd, path, follow)
    }

    /// Resolves a path with the caller's rights.
    pub(super) fn find(
        &self,
        caller: &Caller,
        dirfd: i32,
        path: &Path,
        follow: bool,
    ) -> Result<Found, Errno> {
        self.reach().find(caller, dirfd, path, follow)
    }

    pub(super) fn reach(&self) -> Reach<'_> {
        Reach { identity: &self.identity, moves: self.rules.access("chroot").is_some() }
    }

    /// Whether a file below a directory of programs is an ELF loader. Remembered by
    /// inode: such directories cannot be written.
    ///
    /// It is read through the descriptor that is held: by its name another file
    /// might be read for it, or a pipe that keeps the worker for ever.
    ///
    /// # Errors
    /// EWOULDBLOCK where it has a lease; what the supervisor lacks.
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
