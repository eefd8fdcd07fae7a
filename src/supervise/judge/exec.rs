//! execve and execveat: which file would run, and may this caller run it?

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Judge, Outcome, is_own_shortage, unknown};
use crate::event::Object;
use crate::image::{Executable, FileKind, elf};
use crate::kernel::Arch;
use crate::supervise::caller::{Caller, Memory, errno};
use crate::supervise::resolve::{self, Found};
use crate::supervise::verdict::call::Call;
use crate::supervise::verdict::program::Target;

/// The registers of an exec.
struct Asked {
    dirfd: i32,
    path: u64,
    args: u64,
    may_be_empty: bool,
    follow: bool,
}

impl Asked {
    fn of(call: &Call) -> Asked {
        let a = call.args;
        if call.name != Some("execveat") {
            let dirfd = libc::AT_FDCWD;
            return Asked { dirfd, path: a[0], args: a[1], may_be_empty: false, follow: true };
        }
        Asked {
            dirfd: a[0] as i32,
            path: a[1],
            args: a[2],
            may_be_empty: a[4] & libc::AT_EMPTY_PATH as u64 != 0,
            follow: a[4] & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
        }
    }
}

/// The file that an exec would execute.
struct Wanted {
    target: Target,
    mode: u32,
    args: Option<Vec<String>>,
}

/// What stands at a path, if anything does, and where that is.
type Reached = (Option<resolve::Target>, PathBuf);

/// A path that means the same to everyone: absolute, normal, and not of `/proc`.
fn is_plain(path: &Path) -> bool {
    let normal = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    path.is_absolute() && normal && !path.starts_with("/proc") && !path.starts_with("/dev")
}

/// The new program's arguments, as they stand in the caller's memory now: for the
/// event only.
fn arguments(memory: &Memory, mut pointer: u64) -> Vec<String> {
    const MOST: usize = 64;
    let mut args = Vec::new();
    while args.len() < MOST {
        match memory.number(pointer) {
            Ok(0) | Err(_) => break,
            Ok(text) => match memory.path(text) {
                Ok(bytes) => args.push(String::from_utf8_lossy(&bytes).into_owned()),
                Err(_) => break,
            },
        }
        pointer = pointer.wrapping_add(8);
    }
    args
}

impl Judge {
    pub(super) fn exec(&mut self, call: &Call, caller: &Caller) -> Outcome {
        if self.is_launch(caller) {
            // The supervisor's own child, one thread, running our code: its exec was
            // judged before it was forked.
            self.memory.launched = true;
            self.memory.processes = 1;
            self.memory.families.executes(self.app, self.entry, self.entry);
            return Outcome::Continue;
        }
        let identity = self.identity.clone();
        let memory = Memory::of(&identity, caller);
        let asked = Asked::of(call);
        let path = match memory.path(asked.path) {
            Ok(path) => PathBuf::from(OsString::from_vec(path)),
            Err(Errno::EACCES | Errno::EPERM) => return self.unreadable(call),
            // execveat(fd, NULL, …, AT_EMPTY_PATH) names the descriptor.
            Err(Errno::EFAULT) if asked.may_be_empty => PathBuf::new(),
            Err(errno) => return unknown(errno),
        };
        let found = match self.program(caller, &asked, path, &memory) {
            Ok(target) => target,
            // What the kernel refuses by itself is no violation, and its errno is
            // the one that a search along PATH expects: a directory of it may well
            // be closed to this caller.
            Err(errno) => return unknown(errno),
        };
        let Some(Wanted { target, mode, args }) = found else { return Outcome::Continue };
        let entry = self.memory.families.entry(caller, &self.identity, &self.rules);
        match self.rules.exec(entry, &target) {
            Ok(next) => {
                self.memory.families.executes(caller.tgid, entry.unwrap_or(next), next);
                self.report_exec(next, &target.canonical, mode, args, caller);
                Outcome::Continue
            }
            Err(refusal) => Outcome::Refuse(refusal),
        }
    }

    /// The caller's memory cannot be read, so neither can what it wants to run: a
    /// program that changed its user without an exec since. Refused.
    fn unreadable(&self, call: &Call) -> Outcome {
        let mut refusal = self.rules.unlisted(call);
        refusal.kind = crate::event::Kind::Program;
        refusal.errno = Errno::EACCES;
        refusal.rule = "/programs".into();
        refusal.want = None;
        refusal.object = Object::Name { name: "unreadable".into() };
        Outcome::Refuse(refusal)
    }

    /// What would be executed; `None` where the kernel refuses it anyway.
    fn program(
        &mut self,
        caller: &Caller,
        asked: &Asked,
        path: PathBuf,
        memory: &Memory,
    ) -> Result<Option<Wanted>, Errno> {
        let (file, canonical) = if path.as_os_str().is_empty() && asked.may_be_empty {
            self.descriptor(asked.dirfd, caller)?
        } else {
            self.file(caller, asked.dirfd, &path, asked.follow)?
        };
        let Some(file) = file else { return Ok(None) };
        if file.kind != FileKind::Regular || file.mode & 0o111 == 0 {
            return Ok(None);
        }
        let loader = self.is_loader(&file)?;
        let named = if is_plain(&path) { path } else { canonical.clone() };
        let args = self.scribe.wants_all().then(|| arguments(memory, asked.args));
        let target = Target { id: file.id, canonical, named, loader };
        Ok(Some(Wanted { target, mode: file.mode, args }))
    }

    fn descriptor(&self, fd: i32, caller: &Caller) -> Result<Reached, Errno> {
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        self.file(caller, libc::AT_FDCWD, &path, true)
    }

    /// What stands at a path: by one call where the path leads everybody to the
    /// same file, else name by name, which also tells why there is none.
    fn file(&self, caller: &Caller, dirfd: i32, path: &Path, follow: bool) -> Result<Reached, Errno> {
        if is_plain(path)
            && self.rules.access("chroot").is_none()
            && let Ok((target, canonical)) =
                self.identity.become_caller(caller, || resolve::at_once(path, follow))
        {
            return Ok((Some(target), canonical));
        }
        self.find(caller, dirfd, path, follow).map(|found| (found.target, found.canonical))
    }

    /// Resolves a path with the caller's rights.
    pub(super) fn find(
        &self,
        caller: &Caller,
        dirfd: i32,
        path: &Path,
        follow: bool,
    ) -> Result<Found, Errno> {
        let own;
        let root = if self.rules.access("chroot").is_some() {
            own = PathBuf::from(format!("/proc/{}/root", caller.tid));
            &own
        } else {
            Path::new("/")
        };
        let start = self.identity.look_as_caller(caller, || resolve::start(caller, dirfd, path, root))?;
        self.identity.become_caller(caller, || resolve::resolve(caller, start, path, follow, root))
    }

    /// Whether a file below a directory of programs is an ELF loader. Remembered by
    /// inode: such directories cannot be written.
    ///
    /// It is read through the descriptor that is held: by its name another file
    /// might be read for it, or a pipe that keeps the worker for ever.
    fn is_loader(&mut self, file: &resolve::Target) -> Result<bool, Errno> {
        const MANY: usize = 1024;
        if let Some(known) = self.memory.loaders.get(&file.id) {
            return Ok(*known);
        }
        let held = format!("/proc/self/fd/{}", file.fd.as_raw_fd());
        let kind = std::fs::File::open(held).and_then(|file| elf::executable(&file, Arch::THIS));
        let loader = match kind {
            Ok(kind) => kind == Executable::Loader,
            Err(error) => match errno(error) {
                own if is_own_shortage(own) => return Err(own),
                // One that may be executed and not read: what loads others can be read.
                _ => false,
            },
        };
        if self.memory.loaders.len() >= MANY {
            self.memory.loaders.clear();
        }
        self.memory.loaders.insert(file.id, loader);
        Ok(loader)
    }
}
