//! Calls that make, remove, rename, link and truncate files.

use nix::errno::Errno;

use super::path::PathArg;
use crate::notify::caller::Memory;
use crate::policy::call::Call;

/// A change of the file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// mkdir(2), with the mode before the umask.
    MakeDirectory {
        /// The permission bits.
        mode: u32,
    },
    /// mknod(2).
    MakeNode {
        /// The type (S_IFMT) and the permission bits before the umask.
        mode: u32,
    },
    /// symlink(2).
    MakeLink {
        /// The text of the link.
        text: Vec<u8>,
    },
    /// unlink(2) and rmdir(2).
    Remove {
        /// A directory is removed, as by rmdir(2) and AT_REMOVEDIR.
        directory: bool,
    },
    /// truncate(2).
    Truncate {
        /// The new length in bytes.
        length: i64,
    },
    /// rename(2) and renameat2(2).
    Rename {
        /// RENAME_* flags.
        flags: u32,
    },
    /// link(2) and linkat(2).
    HardLink {
        /// AT_SYMLINK_FOLLOW and AT_EMPTY_PATH.
        flags: i32,
    },
}

/// The arguments of a call that changes the file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeArgs {
    /// The change.
    pub change: Change,
    /// The path that is changed; of a rename and a link the old one.
    pub at: PathArg,
    /// The new path of a rename and a link.
    pub to: Option<PathArg>,
}

impl ChangeArgs {
    /// Decodes one of these calls. `None` for any other.
    ///
    /// # Errors
    /// What reading the caller's memory answers.
    pub fn decode(call: &Call, memory: &Memory) -> Result<Option<ChangeArgs>, Errno> {
        let a = call.args;
        let here = libc::AT_FDCWD;
        let fd = |register: u64| register as i32;
        let one = |dirfd, pointer, change| {
            Ok(Some(ChangeArgs { change, at: PathArg::read(memory, dirfd, pointer)?, to: None }))
        };
        let link = |dirfd, pointer, text| {
            let at = PathArg::read(memory, dirfd, pointer)?;
            Ok(Some(ChangeArgs { change: Change::MakeLink { text: memory.path(text)? }, at, to: None }))
        };
        let two = |(old_dirfd, old), (new_dirfd, new), change| {
            let at = PathArg::read(memory, old_dirfd, old)?;
            Ok(Some(ChangeArgs { change, at, to: Some(PathArg::read(memory, new_dirfd, new)?) }))
        };
        match call.name.unwrap_or_default() {
            "mkdir" => one(here, a[0], Change::MakeDirectory { mode: a[1] as u32 }),
            "mkdirat" => one(fd(a[0]), a[1], Change::MakeDirectory { mode: a[2] as u32 }),
            "mknod" => one(here, a[0], Change::MakeNode { mode: a[1] as u32 }),
            "mknodat" => one(fd(a[0]), a[1], Change::MakeNode { mode: a[2] as u32 }),
            "symlink" => link(here, a[1], a[0]),
            "symlinkat" => link(fd(a[1]), a[2], a[0]),
            "rmdir" => one(here, a[0], Change::Remove { directory: true }),
            "unlink" => one(here, a[0], Change::Remove { directory: false }),
            "unlinkat" => {
                let directory = a[2] & libc::AT_REMOVEDIR as u64 != 0;
                one(fd(a[0]), a[1], Change::Remove { directory })
            }
            "truncate" => one(here, a[0], Change::Truncate { length: a[1] as i64 }),
            "rename" => two((here, a[0]), (here, a[1]), Change::Rename { flags: 0 }),
            "renameat" => two((fd(a[0]), a[1]), (fd(a[2]), a[3]), Change::Rename { flags: 0 }),
            "renameat2" => two((fd(a[0]), a[1]), (fd(a[2]), a[3]), Change::Rename { flags: a[4] as u32 }),
            "link" => two((here, a[0]), (here, a[1]), Change::HardLink { flags: 0 }),
            "linkat" => two((fd(a[0]), a[1]), (fd(a[2]), a[3]), Change::HardLink { flags: a[4] as i32 }),
            _ => Ok(None),
        }
    }
}

impl Change {
    /// Whether it exchanges two names (RENAME_EXCHANGE).
    pub fn is_exchange(&self) -> bool {
        matches!(self, Change::Rename { flags } if flags & libc::RENAME_EXCHANGE != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::{Caller, Identity};

    #[test]
    fn the_older_calls_and_those_with_descriptors_are_decoded_alike() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let (old, new) = (b"old\0".as_ptr() as u64, b"new\0".as_ptr() as u64);
        let here = libc::AT_FDCWD as u64;
        let decode = |name, args: &[u64]| {
            let mut all = [0; 6];
            all[..args.len()].copy_from_slice(args);
            ChangeArgs::decode(&Call { name: Some(name), number: 1, args: all }, &memory)
        };
        let pairs: [(&str, &[u64], &str, &[u64]); 7] = [
            ("mkdir", &[old, 0o755], "mkdirat", &[here, old, 0o755]),
            ("mknod", &[old, 0o10644], "mknodat", &[here, old, 0o10644]),
            ("symlink", &[new, old], "symlinkat", &[new, here, old]),
            ("unlink", &[old], "unlinkat", &[here, old, 0]),
            ("rmdir", &[old], "unlinkat", &[here, old, libc::AT_REMOVEDIR as u64]),
            ("rename", &[old, new], "renameat2", &[here, old, here, new, 0]),
            ("link", &[old, new], "linkat", &[here, old, here, new, 0]),
        ];
        for (older, older_args, newer, newer_args) in pairs {
            let decoded = decode(older, older_args).expect("read").expect("a change");
            assert_eq!(decoded.at, PathArg { dirfd: libc::AT_FDCWD, path: "old".into() }, "{older}");
            assert_eq!(decode(newer, newer_args), Ok(Some(decoded)), "{newer}");
        }
        let link = decode("symlink", &[new, old]).expect("read").expect("a change");
        assert_eq!(link.change, Change::MakeLink { text: b"new".to_vec() });
        assert_eq!(decode("mkdir", &[8, 0]), Err(Errno::EFAULT));
        assert_eq!(decode("open", &[old]), Ok(None));
    }
}
