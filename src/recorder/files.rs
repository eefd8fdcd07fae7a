//! Calls that open, create, rename, remove and change files, and the capabilities that they needed.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use caps::Capability;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::{CallObservations, Recorder, StandIn, result};
use crate::ids::Pid;
use crate::image::FileKind;
use crate::journal::observation::{Observation, What, unnamed};
use crate::notify::caller::Caller;
use crate::notify::capabilities::{self, Owned, READ, SEARCH, WRITE};
use crate::notify::reopen;
use crate::notify::resolve::{Found, Target};
use crate::notify::syscall_args::{AttributeArgs, ChangeArgs, NewAttribute, Open, PathArg, TreeChange};
use crate::policy::call::Call;

/// The predicted result of a call on a file.
#[derive(Default)]
pub(super) struct Prediction {
    pub(super) errno: Option<Errno>,
    pub(super) needs: Vec<Capability>,
}

impl Prediction {
    fn fails(errno: Errno) -> Prediction {
        Prediction { errno: Some(errno), needs: Vec::new() }
    }

    /// Adds the capabilities that the call needs.
    fn with(
        mut self,
        caller: &Caller,
        needs: impl IntoIterator<Item = Capability>,
        errno: Errno,
    ) -> Prediction {
        for capability in needs {
            if !capabilities::has(caller, capability) && self.errno.is_none() {
                self.errno = Some(errno);
            }
            if !self.needs.contains(&capability) {
                self.needs.push(capability);
            }
        }
        self
    }
}

impl Recorder {
    pub(super) fn open(&mut self, call: &Call, caller: &Caller) -> CallObservations {
        let Ok(open) = Open::decode(call, &self.memory_of(caller)) else {
            return CallObservations::default();
        };
        if open.flags & libc::O_PATH != 0 {
            return CallObservations::default();
        }
        let found = match self.resolver().find(caller, &open.at, open.follows()) {
            Ok(found) => found,
            Err(errno) => return CallObservations::of(self.unreached(caller, &open, errno)),
        };
        // The app has these whatever a profile grants.
        if let Some(stream) = found.stream.filter(|_| reopen::is_plain(&open)) {
            let app = Pid::from_raw(self.app.load(Ordering::Relaxed));
            let opened = reopen::open_stream(&self.identity, caller, app, stream, open.flags);
            let close = open.flags & libc::O_CLOEXEC != 0;
            let answer = opened.map_or_else(StandIn::Fails, |fd| StandIn::Opened(fd, close));
            return CallObservations { answer: Some(answer), ..CallObservations::default() };
        }
        if found.magic && reopen::is_already_open(&self.identity, caller, &found, &open) == Ok(true) {
            return CallObservations::default();
        }
        CallObservations::of(self.opened_file(call, caller, &found, &open))
    }

    fn opened_file(&mut self, call: &Call, caller: &Caller, found: &Found, open: &Open) -> Vec<Observation> {
        let (access, prediction) = opened(caller, found, open.flags);
        let Some(path) = text(&found.canonical) else { return unnamed(&found.canonical) };
        let what = What::Open {
            program: self.program(caller),
            of: self.mounts.of(&path),
            path,
            access: access.into_iter().map(Into::into).collect(),
            directory: is_directory(found.target.as_ref()),
        };
        self.with_capabilities(call, caller, what, prediction)
    }

    /// An open whose path does not resolve, with the path as the call names it.
    fn unreached(&mut self, caller: &Caller, open: &Open, errno: Errno) -> Vec<Observation> {
        let Some(path) = text(&open.at.path) else { return Vec::new() };
        let what = What::Open {
            program: self.program(caller),
            of: self.mounts.of(&path),
            path,
            access: words(open.flags).into_iter().map(Into::into).collect(),
            directory: false,
        };
        vec![Observation { what, result: result(Some(errno)) }]
    }

    pub(super) fn change(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let args = ChangeArgs::decode(call, &self.memory_of(caller));
        let Ok(Some(ChangeArgs { change, mut at, to })) = args else { return Vec::new() };
        if matches!(change, TreeChange::HardLink { .. }) {
            at = at.or_descriptor();
        }
        let find = |at: &PathArg, follow| self.resolver().find(caller, at, follow);
        let follow = matches!(change, TreeChange::Truncate { .. });
        let Ok(found) = find(&at, follow) else { return Vec::new() };
        let to = match to.as_ref().map(|to| find(to, false)) {
            Some(Err(_)) => return Vec::new(),
            Some(Ok(to)) => Some(to),
            None => None,
        };
        let makes_directory = matches!(change, TreeChange::MakeDirectory { .. });
        if at.names_directory() && !makes_directory && !is_directory(found.target.as_ref()) {
            return Vec::new();
        }
        let prediction = changed(caller, &change, &found, to.as_ref());
        let directory = makes_directory || is_directory(found.target.as_ref());
        let (op, path, to) =
            match names(word(&change), &found.canonical, to.as_ref().map(|to| &*to.canonical)) {
                Ok(names) => names,
                Err(unnamed) => return unnamed,
            };
        let of = self.mounts.of(&path);
        let what = What::Change { program: self.program(caller), op: op.into(), to, of, path, directory };
        self.with_capabilities(call, caller, what, prediction)
    }

    /// Changes of owner, mode and times: no file right governs them, but capabilities do.
    pub(super) fn owner(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let Some(args) = AttributeArgs::decode(call) else { return Vec::new() };
        let Ok(target) = self.resolver().attributes_of(&args, caller, &self.memory_of(caller)) else {
            return Vec::new();
        };
        let Ok(owned) = owned(&target.fd) else { return Vec::new() };
        let (op, needs): (_, Vec<Capability>) = match args.attribute {
            NewAttribute::Owner { user, group } => {
                ("chown", capabilities::chown(caller, owned, user, group).into_iter().collect())
            }
            NewAttribute::Mode(mode) => ("chmod", capabilities::chmod(caller, owned, mode)),
            NewAttribute::Times { given } => {
                ("utime", capabilities::times(caller, owned, given).into_iter().collect())
            }
        };
        let prediction = Prediction::default().with(caller, needs, Errno::EPERM);
        let Ok(path) = crate::procfs::path_of(&target.fd) else { return Vec::new() };
        let Some(path) = text(&path) else { return unnamed(&path) };
        let what = What::Change {
            program: self.program(caller),
            op: op.into(),
            of: self.mounts.of(&path),
            path,
            to: String::new(),
            directory: is_directory(Some(&target)),
        };
        self.with_capabilities(call, caller, what, prediction)
    }

    /// An ioctl on a device needs a right to the file.
    pub(super) fn device(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let file = PathArg::of_descriptor(call.args[0] as i32);
        let Ok(found) = self.resolver().find(caller, &file, true) else { return Vec::new() };
        let device = found.target.as_ref().is_some_and(|target| target.kind == FileKind::Device);
        let Some(path) = text(&found.canonical).filter(|_| device) else { return Vec::new() };
        let program = self.program(caller);
        let used = |path: String, access: Vec<&'static str>| {
            let access = access.into_iter().map(Into::into).collect();
            let of = self.mounts.of(&path);
            Observation::ok(What::Open { program: program.clone(), of, path, access, directory: false })
        };
        let mut all = vec![used(path, vec!["ioctl"])];
        // It opens the other end, whichever number that has (ioctl_tty(2)).
        if call.args[1] as u32 == TIOCGPTPEER {
            all.push(used("/dev/pts/0".to_owned(), words(call.args[2] as i32)));
        }
        all
    }

    /// The observation of a call, and those of the capabilities that it needed.
    fn with_capabilities(
        &mut self,
        call: &Call,
        caller: &Caller,
        what: What,
        mut prediction: Prediction,
    ) -> Vec<Observation> {
        if prediction.errno.is_none() {
            let path = match &what {
                What::Open { path, .. } | What::Change { path, .. } => path.clone(),
                _ => String::new(),
            };
            let more = search(caller, Path::new(&path));
            prediction = prediction.with(caller, more, Errno::EACCES);
        }
        let mut all = vec![Observation { what, result: result(prediction.errno) }];
        for capability in prediction.needs {
            all.push(self.needed(caller, call, capability));
        }
        all
    }
}

/// TIOCGPTPEER (asm-generic/ioctls.h).
const TIOCGPTPEER: u32 = 0x5441;

/// The journal's name for a change.
fn word(change: &TreeChange) -> &'static str {
    match change {
        TreeChange::MakeDirectory { .. } => "mkdir",
        TreeChange::MakeNode { .. } => "mknod",
        TreeChange::MakeLink { .. } => "symlink",
        TreeChange::Remove { .. } => "remove",
        TreeChange::Truncate { .. } => "truncate",
        TreeChange::Rename { .. } => "rename",
        TreeChange::HardLink { .. } => "link",
    }
}

/// The journal's names for the flags of an open.
fn words(flags: i32) -> Vec<&'static str> {
    let mut access = Vec::new();
    let mode = flags & libc::O_ACCMODE;
    if mode != libc::O_WRONLY {
        access.push("read");
    }
    if mode != libc::O_RDONLY || flags & libc::O_TRUNC != 0 {
        access.push("write");
    }
    access
}

/// The access of an open, and its predicted result.
fn opened(caller: &Caller, found: &Found, flags: i32) -> (Vec<&'static str>, Prediction) {
    let mut access = words(flags);
    let writes = access.contains(&"write");
    let directory = is_directory(found.target.as_ref());
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        // O_TMPFILE: a file without a name, in this directory.
        access.retain(|word| *word != "read");
        return (access, Prediction::default());
    }
    let Some(target) = &found.target else {
        if flags & libc::O_CREAT == 0 {
            return (access, Prediction::fails(Errno::ENOENT));
        }
        access.push("create");
        return (access, enters(caller, found));
    };
    let exclusive = libc::O_CREAT | libc::O_EXCL;
    if flags & exclusive == exclusive {
        return (access, Prediction::fails(Errno::EEXIST));
    }
    if directory && (writes || flags & libc::O_CREAT != 0) {
        return (access, Prediction::fails(Errno::EISDIR));
    }
    if flags & libc::O_DIRECTORY != 0 && !directory {
        return (access, Prediction::fails(Errno::ENOTDIR));
    }
    // A write to a device or pipe does not write to its file system.
    if writes && target.kind == FileKind::Regular && is_read_only(&target.fd) {
        return (access, Prediction::fails(Errno::EROFS));
    }
    let mut wanted = 0;
    if access.contains(&"read") {
        wanted |= READ;
    }
    if writes {
        wanted |= WRITE;
    }
    let Ok(owned) = owned(&target.fd) else { return (access, Prediction::default()) };
    let needs = capabilities::access(caller, owned, wanted, directory);
    (access, Prediction::default().with(caller, needs, Errno::EACCES))
}

/// Creating a name in a directory.
fn enters(caller: &Caller, found: &Found) -> Prediction {
    if is_read_only(&found.parent) {
        return Prediction::fails(Errno::EROFS);
    }
    let Ok(parent) = owned(&found.parent) else { return Prediction::default() };
    Prediction::default().with(
        caller,
        capabilities::access(caller, parent, WRITE | SEARCH, true),
        Errno::EACCES,
    )
}

/// Binding a socket to a name, or connecting to the socket there, for which it has to be writable (unix(7)).
pub(super) fn reaches_socket(caller: &Caller, found: &Found, binds: bool) -> Prediction {
    let prediction = match found.target.as_ref().and_then(|target| owned(&target.fd).ok()) {
        _ if binds => enters(caller, found),
        None => Prediction::default(),
        Some(socket) => {
            let needs = capabilities::access(caller, socket, WRITE, false);
            Prediction::default().with(caller, needs, Errno::EACCES)
        }
    };
    prediction.with(caller, search(caller, &found.canonical), Errno::EACCES)
}

/// Removing a name from its directory.
fn leaves(caller: &Caller, found: &Found, target: &Target) -> Prediction {
    let prediction = enters(caller, found);
    let (Ok(parent), Ok(file)) = (owned(&found.parent), owned(&target.fd)) else { return prediction };
    prediction.with(caller, capabilities::removal(caller, parent, file), Errno::EPERM)
}

/// The predicted result of a change of the file tree.
fn changed(caller: &Caller, change: &TreeChange, found: &Found, to: Option<&Found>) -> Prediction {
    let there = found.target.as_ref();
    match (change, there, to) {
        (
            TreeChange::MakeDirectory { .. } | TreeChange::MakeNode { .. } | TreeChange::MakeLink { .. },
            None,
            _,
        ) => enters(caller, found),
        (
            TreeChange::MakeDirectory { .. } | TreeChange::MakeNode { .. } | TreeChange::MakeLink { .. },
            Some(_),
            _,
        ) => Prediction::fails(Errno::EEXIST),
        (_, None, _) => Prediction::fails(Errno::ENOENT),
        (TreeChange::Remove { directory }, Some(target), _) => match (*directory, is_directory(there)) {
            (true, false) => Prediction::fails(Errno::ENOTDIR),
            (false, true) => Prediction::fails(Errno::EISDIR),
            _ => leaves(caller, found, target),
        },
        (TreeChange::Truncate { .. }, Some(target), _) => {
            if is_read_only(&target.fd) {
                return Prediction::fails(Errno::EROFS);
            }
            let Ok(file) = owned(&target.fd) else { return Prediction::default() };
            Prediction::default().with(
                caller,
                capabilities::access(caller, file, WRITE, false),
                Errno::EACCES,
            )
        }
        (TreeChange::HardLink { .. }, Some(_), Some(to)) => match &to.target {
            Some(_) => Prediction::fails(Errno::EEXIST),
            None => enters(caller, to),
        },
        (TreeChange::Rename { .. }, Some(target), Some(to)) => {
            let prediction = leaves(caller, found, target);
            let at = match &to.target {
                Some(replaced) => leaves(caller, to, replaced),
                None => enters(caller, to),
            };
            let errno = prediction.errno.or(at.errno);
            Prediction { errno, ..prediction }.with(caller, at.needs, Errno::EACCES)
        }
        _ => Prediction::default(),
    }
}

/// The capability that the caller needed to search the directories of a path, if any.
fn search(caller: &Caller, path: &Path) -> Option<Capability> {
    let can = [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH];
    if !can.into_iter().any(|capability| capabilities::has(caller, capability)) {
        return None;
    }
    path.ancestors().skip(1).find_map(|directory| {
        let stat = nix::sys::stat::stat(directory).ok()?;
        let owned = Owned::from(&stat);
        capabilities::access(caller, owned, SEARCH, true)
    })
}

fn owned(fd: impl AsFd) -> Result<Owned, Errno> {
    fstat(fd).map(|stat| Owned::from(&stat))
}

fn is_read_only(fd: impl AsFd) -> bool {
    fstatvfs(fd).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

fn is_directory(target: Option<&Target>) -> bool {
    target.is_some_and(|target| target.kind == FileKind::Directory)
}

/// The change and its paths: the one changed, and the other one of a rename or a link.
///
/// # Errors
/// The change has no path that a profile can name: the observations to record instead.
fn names(
    op: &'static str,
    from: &Path,
    to: Option<&Path>,
) -> Result<(&'static str, String, String), Vec<Observation>> {
    let other = match to {
        Some(to) => text(to).ok_or_else(|| unnamed(to))?,
        None => String::new(),
    };
    match text(from) {
        Some(from) => Ok((op, from, other)),
        // An O_TMPFILE file gets its first name.
        None if op == "link" && is_nameless(from) => Ok(("create", other, String::new())),
        None => Err(unnamed(from)),
    }
}

/// Whether the kernel's text is of a file without a name in its file system.
fn is_nameless(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b" (deleted)") && bytes.starts_with(b"/") && !bytes.starts_with(b"/memfd:")
}

/// A path as the journal writes it; `None` for a file without a path (a pipe of `/proc/self/fd`).
fn text(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let normal = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    let memory = text.starts_with("/memfd:") || text.ends_with(" (deleted)");
    (path.is_absolute() && normal && !memory)
        .then(|| path.components().collect::<PathBuf>().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_file_without_a_name_is_created_by_its_first() {
        let changed_names = |op, from: &str, to: &str| names(op, Path::new(from), Some(Path::new(to)));
        let made = Ok(("create", "/data/x".to_owned(), String::new()));
        assert_eq!(changed_names("link", "/data/#1234 (deleted)", "/data/x"), made);
        assert_eq!(
            changed_names("link", "/data/y", "/data/x"),
            Ok(("link", "/data/y".to_owned(), "/data/x".to_owned()))
        );
        assert_eq!(changed_names("link", "/memfd:x (deleted)", "/data/x"), Err(Vec::new()));
        assert_eq!(changed_names("link", "pipe:[7]", "/data/x"), Err(Vec::new()));
        assert_eq!(changed_names("rename", "/data/#1234 (deleted)", "/data/x"), Err(Vec::new()));
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_said() {
        let odd = Path::new(OsStr::from_bytes(b"/data/\xff/x"));
        let what = What::Gap {
            path: "/data".to_owned(),
            call: String::new(),
            why: "a name that is not UTF-8".to_owned(),
        };
        let said = vec![Observation::ok(what)];
        assert_eq!(unnamed(odd), said);
        assert_eq!(names("remove", odd, None), Err(said.clone()));
        assert_eq!(names("rename", Path::new("/data/x"), Some(odd)), Err(said));
        assert_eq!(unnamed(Path::new("/memfd:x (deleted)")), []);
        assert_eq!(unnamed(Path::new("pipe:[7]")), []);
    }
}
