//! What the registers of a call ask for: an exec, an open.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::notify::caller::Memory;
use crate::policy::args::{Args, Need};
use crate::policy::call::Call;

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

/// The longest string that an exec takes (MAX_ARG_STRLEN, with its end).
const LONGEST: usize = 128 << 10;
/// More strings than are read of any list, one by one: each takes a call.
const MOST: usize = 1 << 14;

/// The first strings that a list of addresses leads to, as they stand in the caller's memory
/// now.
///
/// # Errors
/// As [`Memory::bytes`]; E2BIG as execve(2) has it.
pub fn args(memory: &Memory, pointer: u64, need: Need) -> Result<Args, Errno> {
    let mut args = Args::default();
    each(memory, pointer, |text| {
        args.take(need, text);
        args.is_whole()
    })?;
    Ok(args)
}

/// Gives every string that a list of addresses leads to, as they stand in the caller's memory
/// now, for as long as `more` says so.
///
/// # Errors
/// As [`Memory::bytes`]; E2BIG for strings, or so many of them, as an exec does not take or
/// as would hold up all other decisions.
pub fn each(memory: &Memory, pointer: u64, mut more: impl FnMut(&[u8]) -> bool) -> Result<(), Errno> {
    /// Three quarters of 8 MiB (fs/exec.c, bprm_stack_limits).
    const BYTES: usize = 6 << 20;
    const WORD: usize = size_of::<u64>();
    const WORDS: usize = 64 * WORD;
    if pointer == 0 {
        // Linux takes that for an empty list.
        return Ok(());
    }
    let mut bytes = 0;
    let mut words = Vec::new();
    for count in 0..MOST {
        if (count * WORD).is_multiple_of(WORDS) {
            words = memory.bytes(pointer.wrapping_add((count * WORD) as u64), WORDS)?;
        }
        let at = words.get(count * WORD % WORDS..).and_then(<[u8]>::first_chunk).ok_or(Errno::EFAULT)?;
        let text = match u64::from_le_bytes(*at) {
            0 => return Ok(()),
            address => memory.text(address, LONGEST)?,
        };
        bytes += text.len() + WORD;
        if !more(&text) {
            return Ok(());
        }
        if bytes > BYTES {
            break;
        }
    }
    Err(Errno::E2BIG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::{Caller, Identity};

    #[test]
    fn a_list_is_read_as_far_as_it_is_needed_and_no_further_than_is_quick() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let (short, long) = (b"a\0", [vec![b'x'; LONGEST - 1], vec![0]].concat());
        let list = |texts: &[&[u8]]| -> Vec<u64> {
            texts.iter().map(|text| text.as_ptr() as u64).chain([0]).collect()
        };
        let need = Need { strings: 3, bytes: LONGEST - 1 };
        let read = |list: &[u64]| args(&memory, list.as_ptr() as u64, need);
        let whole = read(&list(&[short, short])).expect("read");
        assert_eq!((whole.list.len(), whole.is_whole(), whole.shown()), (2, true, vec!["a".into(); 2]));
        let many = read(&list(&vec![&short[..]; 600_000])).expect("read");
        assert_eq!((many.list.len(), many.shown().len()), (3, 4));
        let large = read(&list(&[short, &long])).expect("read");
        assert_eq!((large.list.len(), large.cut.map(|text| text.len())), (1, Some(2048)));
        assert_eq!(args(&memory, 0, need), Ok(Args::default()));
        assert_eq!(read(&[8]), Err(Errno::EFAULT));

        let all = |list: &[u64]| each(&memory, list.as_ptr() as u64, |_| true);
        assert_eq!(all(&list(&vec![&short[..]; MOST - 1])), Ok(()));
        assert_eq!(all(&list(&vec![&short[..]; MOST])), Err(Errno::E2BIG));
        assert_eq!(all(&list(&[&long[..]; 50])), Err(Errno::E2BIG));
    }
}
