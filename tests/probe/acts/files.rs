//! Opening, making, changing and removing files.

use std::os::fd::AsRawFd;

use super::{Result, argument, done};
use crate::syscall::{call, open, own, path};

/// `write PATH`, `rename FROM TO`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("read", |arguments| opened(arguments, libc::O_RDONLY)),
    ("write", |arguments| opened(arguments, libc::O_WRONLY)),
    ("append", |arguments| opened(arguments, libc::O_WRONLY | libc::O_APPEND)),
    ("create", |arguments| opened(arguments, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)),
    ("open-legacy-create", creat),
    ("openat2-write", |arguments| openat2(arguments, libc::O_WRONLY)),
    ("openat2-read", |arguments| openat2(arguments, libc::O_RDONLY)),
    ("openat2-path", |arguments| openat2(arguments, libc::O_PATH)),
    ("openat2-truncate", |arguments| openat2(arguments, libc::O_RDONLY | libc::O_TRUNC)),
    ("truncate", truncate),
    ("truncate-descriptor", truncate_descriptor),
    // The file is not opened for writing, and emptied.
    ("open-truncate", |arguments| opened(arguments, libc::O_RDONLY | libc::O_TRUNC)),
    ("unlink", |arguments| at("unlinkat", libc::SYS_unlinkat, &[argument(arguments, 0, "/etc/passwd")], 0)),
    ("mkdir", |arguments| at("mkdirat", libc::SYS_mkdirat, &[argument(arguments, 0, "/made")], 0o755)),
    ("rename", rename),
    ("link", link),
    ("link-descriptor", link_descriptor),
    ("symlink", symlink),
    ("mknod", mknod),
    ("chmod", |arguments| {
        at("fchmodat", libc::SYS_fchmodat, &[argument(arguments, 0, "/etc/passwd")], 0o666)
    }),
    ("own-memory", own_memory),
    ("open-by-handle", open_by_handle),
];

const HERE: usize = libc::AT_FDCWD as usize;

fn opened(arguments: &[String], flags: i32) -> Result {
    open("openat", argument(arguments, 0, "/etc/passwd"), flags, 0o644)?;
    done()
}

fn creat(arguments: &[String]) -> Result {
    let name = path(argument(arguments, 0, "/created"));
    #[cfg(target_arch = "x86_64")]
    let fd = call("creat", libc::SYS_creat, &[name.as_ptr() as usize, 0o644])?;
    #[cfg(not(target_arch = "x86_64"))]
    let fd = call("openat", libc::SYS_openat, &[HERE, name.as_ptr() as usize, 0o1101, 0o644])?;
    drop(own(fd));
    done()
}

fn openat2(arguments: &[String], flags: i32) -> Result {
    let name = path(argument(arguments, 0, "/etc/passwd"));
    // struct open_how: flags, mode, resolve.
    let how: [u64; 3] = [(flags | libc::O_CLOEXEC) as u64, 0, 0];
    let fd = call(
        "openat2",
        libc::SYS_openat2,
        &[HERE, name.as_ptr() as usize, how.as_ptr() as usize, size_of_val(&how)],
    )?;
    drop(own(fd));
    done()
}

fn truncate(arguments: &[String]) -> Result {
    let name = path(argument(arguments, 0, "/etc/passwd"));
    call("truncate", libc::SYS_truncate, &[name.as_ptr() as usize, 0])?;
    done()
}

/// By the magic link of a descriptor that is open for reading.
fn truncate_descriptor(arguments: &[String]) -> Result {
    let file = open("openat", argument(arguments, 0, "/etc/passwd"), libc::O_RDONLY, 0)?;
    let name = path(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    call("truncate", libc::SYS_truncate, &[name.as_ptr() as usize, 0])?;
    done()
}

fn rename(arguments: &[String]) -> Result {
    let (from, to) =
        (path(argument(arguments, 0, "/etc/passwd")), path(argument(arguments, 1, "/etc/renamed")));
    call("renameat2", libc::SYS_renameat2, &[HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, 0])?;
    done()
}

fn link(arguments: &[String]) -> Result {
    let (from, to) =
        (path(argument(arguments, 0, "/etc/passwd")), path(argument(arguments, 1, "/etc/linked")));
    call("linkat", libc::SYS_linkat, &[HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, 0])?;
    done()
}

/// A second name for a file that is open already.
fn link_descriptor(arguments: &[String]) -> Result {
    let file = open("openat", argument(arguments, 0, "/etc/passwd"), libc::O_RDONLY, 0)?;
    let from = path(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    let to = path(argument(arguments, 1, "/etc/linked"));
    let follow = libc::AT_SYMLINK_FOLLOW as usize;
    call("linkat", libc::SYS_linkat, &[HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, follow])?;
    done()
}

fn symlink(arguments: &[String]) -> Result {
    let (target, name) =
        (path(argument(arguments, 1, "/etc/passwd")), path(argument(arguments, 0, "/etc/symlinked")));
    call("symlinkat", libc::SYS_symlinkat, &[target.as_ptr() as usize, HERE, name.as_ptr() as usize])?;
    done()
}

fn mknod(arguments: &[String]) -> Result {
    let name = path(argument(arguments, 0, "/tmp/device"));
    // The twin of /dev/mem, which a device cgroup keeps shut in any case.
    let device = libc::makedev(1, 1) as usize;
    call(
        "mknodat",
        libc::SYS_mknodat,
        &[HERE, name.as_ptr() as usize, (libc::S_IFCHR | 0o600) as usize, device],
    )?;
    done()
}

fn at(step: &'static str, number: libc::c_long, names: &[&str], last: usize) -> Result {
    let name = path(names[0]);
    call(step, number, &[HERE, name.as_ptr() as usize, last])?;
    done()
}

/// Patching one's own code through /proc goes past the page protection.
fn own_memory(_: &[String]) -> Result {
    open("openat", "/proc/self/mem", libc::O_RDWR, 0)?;
    done()
}

/// The way out of old containers known as 'shocker'.
fn open_by_handle(_: &[String]) -> Result {
    let root = open("open a folder", "/tmp", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    // struct file_handle: 8 bytes, type 1 (FILEID_INO32_GEN), inode 2, generation 0.
    let handle: [u32; 4] = [8, 1, 2, 0];
    let fd = call(
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        &[root.as_raw_fd() as usize, handle.as_ptr() as usize, 0],
    )?;
    drop(own(fd));
    done()
}
