//! What the registers of a call ask for: an exec, an open.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::caller::Memory;
use super::verdict::call::Call;

/// The registers of a call that changes a file's owner, mode or times.
pub struct Owning {
    /// `chown`, `chmod` or `utime`.
    pub op: &'static str,
    /// From where a relative path begins.
    pub dirfd: i32,
    /// Where the path is; 0 where the descriptor itself is meant.
    pub pointer: u64,
    /// A link at the end is followed.
    pub follow: bool,
}

impl Owning {
    /// Of one of these calls; none of another.
    pub fn of(call: &Call) -> Option<Owning> {
        let a = call.args;
        let here = libc::AT_FDCWD;
        let follow = |flags: u64| flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0;
        let (op, dirfd, pointer, follow) = match call.name? {
            "chown" => ("chown", here, a[0], true),
            "lchown" => ("chown", here, a[0], false),
            "fchown" => ("chown", a[0] as i32, 0, true),
            "fchownat" => ("chown", a[0] as i32, a[1], follow(a[4])),
            "chmod" => ("chmod", here, a[0], true),
            "fchmod" => ("chmod", a[0] as i32, 0, true),
            "fchmodat" => ("chmod", a[0] as i32, a[1], true),
            "fchmodat2" => ("chmod", a[0] as i32, a[1], follow(a[3])),
            "utime" | "utimes" => ("utime", here, a[0], true),
            "futimesat" => ("utime", a[0] as i32, a[1], true),
            "utimensat" => ("utime", a[0] as i32, a[1], follow(a[3])),
            _ => return None,
        };
        Some(Owning { op, dirfd, pointer, follow })
    }
}

/// The registers of an exec.
pub struct Exec {
    /// From where a relative path begins.
    pub dirfd: i32,
    /// Where the path is.
    pub path: u64,
    /// Where the list of arguments is.
    pub args: u64,
    /// Where the environment is.
    pub environment: u64,
    /// An empty path names the descriptor.
    pub may_be_empty: bool,
    /// A link at the end is followed.
    pub follow: bool,
}

impl Exec {
    /// Of execve or execveat.
    pub fn of(call: &Call) -> Exec {
        let a = call.args;
        if call.name != Some("execveat") {
            let dirfd = libc::AT_FDCWD;
            return Exec {
                dirfd,
                path: a[0],
                args: a[1],
                environment: a[2],
                may_be_empty: false,
                follow: true,
            };
        }
        Exec {
            dirfd: a[0] as i32,
            path: a[1],
            args: a[2],
            environment: a[3],
            may_be_empty: a[4] & libc::AT_EMPTY_PATH as u64 != 0,
            follow: a[4] & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
        }
    }

    /// The path in the caller's memory.
    ///
    /// # Errors
    /// As [`Memory::path`]; EFAULT is no error where the descriptor is named.
    pub fn path(&self, memory: &Memory) -> Result<PathBuf, Errno> {
        match memory.path(self.path) {
            Ok(path) => Ok(PathBuf::from(OsString::from_vec(path))),
            // execveat(fd, NULL, …, AT_EMPTY_PATH) names the descriptor.
            Err(Errno::EFAULT) if self.may_be_empty => Ok(PathBuf::new()),
            Err(errno) => Err(errno),
        }
    }
}

/// An open as it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// O_* flags.
    pub flags: i32,
    /// The mode of a new file.
    pub mode: u32,
    /// openat2's `resolve`: what the supervisor does not imitate.
    pub resolve: u64,
}

impl Opening {
    /// Of open, openat, openat2 or creat, with the directory and the path.
    ///
    /// # Errors
    /// What reading the caller's memory answers.
    pub fn of(call: &Call, memory: &Memory) -> Result<(i32, PathBuf, Opening), Errno> {
        let args = call.args;
        let (dirfd, path, flags, mode, resolve) = match call.name {
            Some("open") => (libc::AT_FDCWD, args[0], args[1], args[2], 0),
            Some("creat") => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                (libc::AT_FDCWD, args[0], flags as u64, args[1], 0)
            }
            Some("openat2") => {
                let how = [0, 8, 16].map(|offset| memory.number(args[2].wrapping_add(offset)));
                let [flags, mode, resolve] = how;
                (args[0] as i32, args[1], flags?, mode?, resolve?)
            }
            _ => (args[0] as i32, args[1], args[2], args[3], 0),
        };
        let path = path_at(memory, path)?;
        Ok((dirfd, path, Opening { flags: flags as i32, mode: mode as u32, resolve }))
    }

    /// Whether a link at the end is followed. A slash at the end asks for a directory,
    /// through a link too.
    pub fn follows(self, path: &Path) -> bool {
        let exclusive = self.flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
        (self.flags & libc::O_NOFOLLOW == 0 && !exclusive) || asks_for_directory(path)
    }
}

/// A slash at the end of a path is kept to directories by the kernel.
pub fn asks_for_directory(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// A path in the caller's memory.
///
/// # Errors
/// As [`Memory::path`].
pub fn path_at(memory: &Memory, pointer: u64) -> Result<PathBuf, Errno> {
    Ok(PathBuf::from(OsStr::from_bytes(&memory.path(pointer)?)))
}

/// The strings that a list of addresses leads to, as they stand in the caller's memory
/// now; none where they are not all to be had.
pub fn strings(memory: &Memory, mut pointer: u64) -> Option<Vec<Vec<u8>>> {
    const MOST: usize = 4096;
    let mut strings = Vec::new();
    while strings.len() < MOST {
        match memory.number(pointer).ok()? {
            0 => return Some(strings),
            text => strings.push(memory.path(text).ok()?),
        }
        pointer = pointer.wrapping_add(8);
    }
    None
}
