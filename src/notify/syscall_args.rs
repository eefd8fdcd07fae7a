//! What the registers of a call ask for: an exec, an open, a change of the tree. Where a
//! path or a flag is, the table of system calls says.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::notify::caller::Memory;
use crate::policy::args::{Args, Need};
use crate::policy::call::Call;
use crate::syscalls::{Arg, Attribute, Change, Handler};

/// The registers of a call that changes a file's owner, mode or times.
pub struct Owning {
    /// What is changed.
    pub attribute: Attribute,
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
        let Handler::Attribute(attribute) = call.handler() else { return None };
        let (dirfd, pointer) = match call.paths().next() {
            Some(path) => path,
            None => (call.argument(Arg::Fd)? as i32, 0),
        };
        let flags = call.argument(Arg::Flags).unwrap_or_default();
        let follow = call.name != Some("lchown") && flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0;
        Some(Owning { attribute, dirfd, pointer, follow })
    }
}

/// A change of the tree as it was asked for.
pub struct Changing {
    /// What is done.
    pub change: Change,
    /// The name that it is done to, and from where a relative one begins.
    pub at: (i32, PathBuf),
    /// The other one of two.
    pub to: Option<(i32, PathBuf)>,
    /// The mode of what is made; 0 of another change.
    pub mode: u32,
    /// AT_* or RENAME_* flags; 0 where the call has none.
    pub flags: u32,
    /// A file's new length.
    pub length: i64,
}

impl Changing {
    /// Of one of these calls; none of another.
    ///
    /// # Errors
    /// What reading the caller's memory answers.
    pub fn of(call: &Call, memory: &Memory) -> Result<Option<Changing>, Errno> {
        let Handler::Change(change) = call.handler() else { return Ok(None) };
        let mut paths = call.paths().map(|(dirfd, pointer)| Ok((dirfd, path_at(memory, pointer)?)));
        let Some(at) = paths.next().transpose()? else { return Ok(None) };
        let to = paths.next().transpose()?;
        let word = |kind| call.argument(kind).unwrap_or_default();
        let flags = match change {
            Change::RemoveDirectory => libc::AT_REMOVEDIR as u32,
            _ => word(Arg::Flags) as u32,
        };
        let (mode, length) = (word(Arg::Mode) as u32, word(Arg::Long) as i64);
        Ok(Some(Changing { change, at, to, mode, flags, length }))
    }

    /// Of a removal: a directory is removed.
    pub const fn removes_directory(&self) -> bool {
        self.flags & libc::AT_REMOVEDIR as u32 != 0
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
        let (dirfd, path) = call.paths().next().unwrap_or((libc::AT_FDCWD, 0));
        let mut lists = call.arguments(Arg::Pointer);
        let mut list = || lists.next().unwrap_or_default();
        let (args, environment) = (list(), list());
        let flags = call.argument(Arg::Flags).unwrap_or_default() as i32;
        Exec {
            dirfd,
            path,
            args,
            environment,
            may_be_empty: flags & libc::AT_EMPTY_PATH != 0,
            follow: flags & libc::AT_SYMLINK_NOFOLLOW == 0,
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
        const CREAT: u64 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;
        let (dirfd, path) = call.paths().next().ok_or(Errno::ENOSYS)?;
        let (flags, mode, resolve) = match (call.argument(Arg::Flags), call.argument(Arg::Pointer)) {
            (Some(flags), _) => (flags, call.argument(Arg::Mode).unwrap_or_default(), 0),
            // openat2's struct open_how.
            (None, Some(how)) => {
                let [flags, mode, resolve] = [0, 8, 16].map(|offset| memory.number(how.wrapping_add(offset)));
                (flags?, mode?, resolve?)
            }
            (None, None) => (CREAT, call.argument(Arg::Mode).unwrap_or_default(), 0),
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
    use crate::syscalls;

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

    /// Names tell which calls begin in a directory's descriptor: those in -at and -at2.
    #[test]
    fn every_call_of_paths_is_decoded_as_it_is_described() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let (texts, zeroes) = ([c"/first", c"/second"], [0_u64; 8]);
        let mut decoded = 0;
        for syscall in syscalls::all() {
            let mut unused = texts.iter();
            let mut args = [0; 6];
            for (at, kind) in syscall.args.iter().enumerate() {
                args[at] = match kind {
                    Arg::Path => unused.next().expect("one or two").as_ptr() as u64,
                    Arg::Pointer => zeroes.as_ptr() as u64,
                    Arg::Dirfd | Arg::Fd => 40 + at as u64,
                    Arg::Mode => 0o640,
                    Arg::Long => 4096,
                    _ => 0,
                };
            }
            let (name, call) = (syscall.name, Call { name: Some(syscall.name), number: 0, args });
            let relative = (name.ends_with("at") || name.ends_with("at2")) && name != "creat";
            let dirfd = |at| if relative { 40 + at } else { libc::AT_FDCWD };
            match syscall.handler {
                Handler::Exec => {
                    let exec = Exec::of(&call);
                    assert_eq!(exec.path(&memory).expect(name), Path::new("/first"), "{name}");
                    assert_eq!((exec.dirfd, exec.args), (dirfd(0), zeroes.as_ptr() as u64), "{name}");
                }
                Handler::Open => {
                    let (from, path, opening) = Opening::of(&call, &memory).expect(name);
                    assert_eq!((from, &*path), (dirfd(0), Path::new("/first")), "{name}");
                    // The mode of openat2 is in its structure.
                    assert_eq!(opening.mode, if name == "openat2" { 0 } else { 0o640 }, "{name}");
                }
                Handler::Change(change) => {
                    let asked = Changing::of(&call, &memory).expect(name).expect(name);
                    let at = dirfd(i32::from(change == Change::MakeLink));
                    assert_eq!((asked.change, asked.at), (change, (at, "/first".into())), "{name}");
                    let two = matches!(change, Change::Rename | Change::Link);
                    assert_eq!(asked.to, two.then(|| (dirfd(2), "/second".into())), "{name}");
                    let makes = matches!(change, Change::MakeDirectory | Change::MakeNode);
                    assert_eq!(asked.mode, if makes { 0o640 } else { 0 }, "{name}");
                    assert_eq!(asked.length, if change == Change::Truncate { 4096 } else { 0 }, "{name}");
                }
                Handler::Attribute(attribute) => {
                    let asked = Owning::of(&call).expect(name);
                    let by_descriptor = matches!(name, "fchown" | "fchmod");
                    let from = if by_descriptor { 40 } else { dirfd(0) };
                    assert_eq!((asked.attribute, asked.dirfd), (attribute, from), "{name}");
                    assert_eq!(asked.pointer == 0, by_descriptor, "{name}");
                    assert_eq!(asked.follow, name != "lchown", "{name}");
                }
                _ => continue,
            }
            decoded += 1;
        }
        assert!(decoded > 30, "{decoded}");
    }
}
