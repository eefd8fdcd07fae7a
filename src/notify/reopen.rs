//! Opens of what is open already, by a magic link: the app's standard streams at `/proc/1/fd`,
//! where the supervisor is PID 1, and the caller's own descriptors at `/proc/self/fd`,
//! `/dev/fd` and `/dev/stdout`.
//!
//! Such an open follows no path, so no rule on a path says whether it may be made. What the caller
//! holds it can use without an open, so one with no more access gives it nothing.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl, open, openat};
use nix::sys::stat::Mode;

use crate::ids::Pid;
use crate::image::FileKind;
use crate::notify::caller::{Caller, Identity};
use crate::notify::handed::HandedItem;
use crate::notify::resolve::{Found, Target};
use crate::notify::stream::{Stream, process_of};
use crate::notify::syscall_args::Open;
use crate::procfs::fdinfo::{self, OpenFile};
use crate::procfs::{link_to, path_of};

/// Whether an open has no more access than the caller's descriptor that its path names, or than
/// the app's own standard stream.
///
/// # Errors
/// UNREADABLE where the descriptor cannot be read.
pub fn is_already_open(
    identity: &Identity,
    caller: &Caller,
    found: &Found,
    open: &Open,
) -> Result<bool, Errno> {
    let Some(target) = found.target.as_ref().filter(|_| found.magic && is_plain(open)) else {
        return Ok(false);
    };
    if Stream::ALL.into_iter().any(|stream| is_stream(stream, target, open)) {
        return Ok(true);
    }
    // Of a device there may be less that the descriptor can do: ioctl(2). Truncation is more than
    // writing.
    if target.kind != FileKind::Regular || open.flags & libc::O_TRUNC != 0 {
        return Ok(false);
    }
    let Some(number) = own_number(found, caller)? else { return Ok(false) };
    let mode = descriptor_mode(identity, caller, number, target)?;
    Ok(mode.is_some_and(|mode| covers(mode, open.flags)))
}

/// Opens one of the app's standard streams for the caller, as the kernel would by the magic link
/// of a process that shows it: the caller has to be let into `/proc/PID/fd` of the app, and by the
/// mode of the file.
///
/// # Errors
/// As open(2).
pub fn open_stream(
    identity: &Identity,
    caller: &Caller,
    app: Pid,
    stream: Stream,
    flags: i32,
) -> Result<OwnedFd, Errno> {
    identity.with_caller_creds(caller, || {
        let entered = format!("/proc/{app}/fd/.");
        drop(open(entered.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?);
        open_link(&stream.path(), flags)
    })
}

/// Opens the caller's own file once more.
///
/// # Errors
/// As open(2).
pub fn reopen(identity: &Identity, caller: &Caller, target: &Target, flags: i32) -> Result<OwnedFd, Errno> {
    let path = link_to(&target.fd);
    identity.with_caller_creds(caller, || open_link(&path, flags))
}

/// Whether an open of a stream needs no more access than the stream has. A pipe has no
/// other file that could be reached.
pub fn is_stream(stream: Stream, target: &Target, open: &Open) -> bool {
    let is_it = |(mode, id)| id == target.id && covers(mode, open.flags);
    stream.mode_and_file().is_ok_and(is_it)
}

/// Whether an open only opens: nothing in it asks for another kind of resolution.
pub fn is_plain(open: &Open) -> bool {
    open.resolve == 0 && open.follows() && !open.at.names_directory() && open.flags & libc::O_PATH == 0
}

/// Without waiting: the file may have a lease, a FIFO no reader. And a terminal does not become
/// the supervisor's. What asks for a new file has no effect on a link of this kind.
fn open_link(path: &str, flags: i32) -> Result<OwnedFd, Errno> {
    let requested = OFlag::from_bits_retain(flags);
    let ignored = OFlag::O_CREAT | OFlag::O_EXCL;
    let ours = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let fd = openat(AT_FDCWD, path, (requested - ignored) | ours, Mode::empty())?;
    set_status_flags(&fd, requested)?;
    Ok(fd)
}

/// Gives a file that the supervisor opened the status flags that the caller asked for (F_SETFL).
///
/// # Errors
/// As fcntl(2).
pub fn set_status_flags(fd: &OwnedFd, requested: OFlag) -> Result<(), Errno> {
    let settable = OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_DIRECT | OFlag::O_NOATIME;
    fcntl(fd, FcntlArg::F_SETFL(requested & settable)).map(drop)
}

/// Whether an access mode has all that an open needs; O_TRUNC writes.
fn covers(mode: i32, flags: i32) -> bool {
    let reads = |flags: i32| flags & libc::O_ACCMODE != libc::O_WRONLY;
    let writes = |flags: i32| flags & libc::O_ACCMODE != libc::O_RDONLY;
    (!reads(flags) || reads(mode)) && (!(writes(flags) || flags & libc::O_TRUNC != 0) || writes(mode))
}

/// The number of the caller's own descriptor that a magic link stands for.
fn own_number(found: &Found, caller: &Caller) -> Result<Option<i32>, Errno> {
    let own = process_of(&path_of(&found.parent)?) == Some((caller.tgid, true));
    Ok(found.name.to_str().filter(|_| own).and_then(|name| name.parse().ok()))
}

/// The access mode of the caller's descriptor, where it is open on this file. Number, file and mode
/// are read of one open file, so no other thread can exchange one of them.
fn descriptor_mode(
    identity: &Identity,
    caller: &Caller,
    number: i32,
    target: &Target,
) -> Result<Option<i32>, Errno> {
    let of_ours = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", target.fd.as_raw_fd()));
    let path = format!("/proc/{}/fdinfo/{number}", caller.tid);
    let of_caller = identity.with_caller_fsids(caller, || Ok(std::fs::read_to_string(&path).ok()))?;
    let of_caller = match (of_caller, &caller.handed) {
        (Some(text), _) => fdinfo::open_file(&text),
        (None, None) => return Err(crate::notify::unreadable::UNREADABLE),
        (None, Some(handed)) => {
            let fd = handed.descriptor(HandedItem::Descriptor(number))?;
            let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
            text.ok().and_then(|text| fdinfo::open_file(&text))
        }
    };
    let of_ours = of_ours.ok().and_then(|text| fdinfo::open_file(&text));
    let (Some(ours), Some(theirs)) = (of_ours, of_caller) else { return Ok(None) };
    let OpenFile { flags, mount, inode } = theirs;
    let is_same = (mount, inode) == (ours.mount, ours.inode);
    Ok((is_same && flags & libc::O_PATH == 0).then_some(flags & libc::O_ACCMODE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::syscall_args::PathArg;

    #[test]
    fn no_open_has_more_access_than_the_descriptor() {
        let (r, w, rw) = (libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR);
        for (mode, wanted, is_covered) in [
            (r, r, true),
            (r, w, false),
            (r, rw, false),
            (r, libc::O_TRUNC, false),
            (w, w, true),
            (w, w | libc::O_TRUNC | libc::O_CREAT, true),
            (w, r, false),
            (w, rw, false),
            (rw, rw | libc::O_TRUNC, true),
            (rw, libc::O_TRUNC, true),
        ] {
            assert_eq!(covers(mode, wanted), is_covered, "{mode:o} {wanted:o}");
        }
    }

    #[test]
    fn a_descriptor_has_its_own_mode_on_its_own_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let reads = std::fs::File::open(file.path()).expect("it is there");
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let path = file.path().to_str().expect("UTF-8");
        let fd = open(path, OFlag::O_PATH, Mode::empty()).expect("it is there");
        let target = crate::notify::resolve::target(fd).expect("it has a status");
        let of = |number| descriptor_mode(&identity, &me, number, &target).expect("read");
        assert_eq!(of(reads.as_raw_fd()), Some(libc::O_RDONLY));
        assert_eq!(of(file.as_file().as_raw_fd()), Some(libc::O_RDWR));
        assert_eq!(of(target.fd.as_raw_fd()), None, "O_PATH holds nothing");
        let other = tempfile::tempfile().expect("a file");
        assert_eq!(of(other.as_raw_fd()), None, "another file");
    }

    #[test]
    fn only_a_link_that_is_followed_is_reopened() {
        let reopens = |path: &str, flags, resolve| {
            let at = PathArg::here(path.as_ref());
            is_plain(&Open { at, flags, mode: 0, resolve })
        };
        assert!(reopens("/dev/stdout", libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0));
        assert!(!reopens("/dev/stdout/", libc::O_WRONLY, 0));
        assert!(!reopens("/dev/stdout", libc::O_WRONLY | libc::O_NOFOLLOW, 0));
        assert!(!reopens("/dev/stdout", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0));
        assert!(!reopens("/dev/stdout", libc::O_WRONLY, 2));
    }
}
