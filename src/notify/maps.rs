//! The mappings of a process, as `/proc/PID/maps` has them (proc_pid_maps(5)), and whether a mapped
//! file is the one at its path.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::image::FileId;
use crate::notify::caller::{Caller, Identity};
use crate::procfs::errno;
use crate::sys;

/// A file that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The address range.
    pub range: Range<u64>,
    /// Whether it is executable.
    pub code: bool,
    /// Device and inode, as the kernel reports them for mappings: on some file systems (overlayfs
    /// before Linux 6.8, btrfs) they differ from those of stat(2).
    pub id: FileId,
    /// Its path from the root, or the kernel's text for a mapping without a path.
    pub path: PathBuf,
}

/// The file mappings of a thread's process that `wanted` selects.
///
/// # Errors
/// EACCES for a process that the supervisor may not read; ESRCH for one that is gone.
pub fn of(
    caller: &Caller,
    identity: &Identity,
    wanted: impl Fn(&Mapping) -> bool,
) -> Result<Vec<Mapping>, Errno> {
    let path = format!("/proc/{}/maps", caller.tid);
    // The kernel checks the access at open(2) alone.
    let file = identity.with_caller_fsids(caller, || File::open(&path).map_err(errno))?;
    parse(file, wanted).map_err(errno)
}

/// Reads the mappings one line at a time, since a process may have very many. Anonymous memory has
/// neither device nor inode.
fn parse(text: impl Read, wanted: impl Fn(&Mapping) -> bool) -> std::io::Result<Vec<Mapping>> {
    let mut found = Vec::new();
    for text in BufReader::new(text).split(b'\n') {
        found.extend(line(&text?).filter(|mapping| mapping.id != NONE && wanted(mapping)));
    }
    Ok(found)
}

const NONE: FileId = FileId { device: 0, inode: 0 };

/// `7f0c000-7f0d000 r-xp 00001000 08:01 1234   /usr/lib/x.so`. The kernel writes a newline
/// in a name as `\012`, so that no name makes a line.
fn line(text: &[u8]) -> Option<Mapping> {
    let mut rest = text;
    let mut word = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        std::str::from_utf8(word).ok()
    };
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let rights = word()?;
    word()?;
    let (major, minor) = word()?.split_once(':')?;
    let inode = word()?.parse().ok()?;
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    Some(Mapping {
        range: number(start)?..number(end)?,
        code: rights.as_bytes().get(2) == Some(&b'x'),
        id: FileId { device: libc::makedev(number(major)? as u32, number(minor)? as u32), inode },
        path: OsString::from_vec(rest[blanks..].to_vec()).into(),
    })
}

/// The device and inode that statx(2) reports for a path, links followed.
///
/// # Errors
/// Every errno of statx(2).
pub fn known(path: &Path, caller: &Caller, identity: &Identity) -> Result<FileId, Errno> {
    let path = path.to_str().ok_or(Errno::ENOENT)?;
    let known = identity.with_caller_fsids(caller, || sys::files::stat_cached(path))?;
    Ok(FileId { device: known.device, inode: known.inode })
}

/// Whether the file at a path is this one, by the numbers of mappings. Where stat(2) reports
/// other numbers, the supervisor maps the file and reads its own mapping.
pub fn stands(path: &Path, id: FileId, caller: &Caller, identity: &Identity) -> bool {
    known(path, caller, identity) == Ok(id) || as_mapped(path, caller, identity) == Ok(id)
}

/// The numbers that the kernel reports for a mapping of the file at a path.
fn as_mapped(path: &Path, caller: &Caller, identity: &Identity) -> Result<FileId, Errno> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let open = || File::options().read(true).custom_flags(flags).open(path).map_err(errno);
    let file = identity.with_caller_creds(caller, open)?;
    sys::memory::while_mapped(&file, |address| {
        let own = File::open("/proc/self/maps").map_err(errno)?;
        let here = parse(own, |mapping| mapping.range.contains(&address)).map_err(errno)?;
        here.first().map(|mapping| mapping.id).ok_or(Errno::ENOENT)
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    #[test]
    fn lines_are_read_and_what_is_no_file_is_left_out() {
        let text = b"55d0-55e0 r--p 00000000 08:01 12                         /usr/bin/x\n\
            55e0-55f0 r-xp 00010000 103:02 12                        /usr/lib/a b\\012c.so (deleted)\n\
            7f00-7f10 r-xp 00000000 00:00 0                          [vdso]\n\
            7f10-7f20 rwxp 00000000 00:00 0 \n\
            7f20-7f30 rwxs 00000000 00:01 7                          /memfd:jit (deleted)\n\
            7f30-7f40 r-xs 00000000 00:01 9                          [anon_shmem:name]\n\
            no line at all\n";
        let found = parse(&text[..], |_| true).expect("lines");
        let mapped: Vec<_> =
            found.iter().map(|one| (one.code, one.id.inode, one.path.display().to_string())).collect();
        assert_eq!(
            mapped,
            [
                (false, 12, "/usr/bin/x".to_owned()),
                (true, 12, "/usr/lib/a b\\012c.so (deleted)".to_owned()),
                (true, 7, "/memfd:jit (deleted)".to_owned()),
                (true, 9, "[anon_shmem:name]".to_owned()),
            ]
        );
        assert_eq!(found[1].range, 0x55e0..0x55f0);
        assert_eq!(found[1].id.device, libc::makedev(0x103, 2));
    }

    #[test]
    fn this_test_has_mapped_what_stands_at_its_path() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let itself = std::env::current_exe().and_then(std::fs::canonicalize).expect("a test knows its path");
        let mapped = of(&me, &identity, |mapping| mapping.code).expect("own maps");
        let own = mapped.iter().find(|mapping| mapping.path == itself).expect("its code");
        assert!(stands(&itself, own.id, &me, &identity));
        assert_eq!(as_mapped(&itself, &me, &identity), Ok(own.id));
        let other = FileId { inode: own.id.inode + 1, ..own.id };
        assert!(!stands(&itself, other, &me, &identity));
        assert!(!stands(Path::new("/proc/nothing"), own.id, &me, &identity));
    }

    #[test]
    fn any_maps_are_read_or_left_out() {
        let seed = b"7f0c000-7f0d000 r-xp 00001000 08:01 1234   /usr/lib/x\\012.so\n00-01 rw-p 0 00:00 0 \n";
        crate::mutation::each(&[seed], |bytes| drop(parse(bytes, |_| true)));
    }
}
