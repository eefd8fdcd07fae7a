//! Calls that make, remove, rename, link and truncate files.

use nix::errno::Errno;

use super::path::PathArg;
use crate::notify::caller::Memory;
use crate::policy::call::Call;
use crate::syscalls::{Arg, Change, Handler};

/// A change of the file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeChange {
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
    pub change: TreeChange,
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
        let Handler::Change(kind) = call.handler() else { return Ok(None) };
        let mut paths = call.paths().map(|(dirfd, pointer)| PathArg::read(memory, dirfd, pointer));
        let Some(at) = paths.next().transpose()? else { return Ok(None) };
        let to = paths.next().transpose()?;
        let argument = |kind| call.argument(kind).unwrap_or_default();
        let (mode, flags) = (argument(Arg::Mode) as u32, argument(Arg::Flags) as u32);
        let change = match kind {
            Change::MakeDirectory => TreeChange::MakeDirectory { mode },
            Change::MakeNode => TreeChange::MakeNode { mode },
            Change::MakeLink => TreeChange::MakeLink { text: memory.path(call.args[0])? },
            Change::Remove => TreeChange::Remove { directory: flags & libc::AT_REMOVEDIR as u32 != 0 },
            Change::RemoveDirectory => TreeChange::Remove { directory: true },
            Change::Truncate => TreeChange::Truncate { length: argument(Arg::Long) as i64 },
            Change::Rename => TreeChange::Rename { flags },
            Change::Link => TreeChange::HardLink { flags: flags as i32 },
        };
        Ok(Some(ChangeArgs { change, at, to }))
    }
}

impl TreeChange {
    /// Whether it exchanges two names (RENAME_EXCHANGE).
    pub fn is_exchange(&self) -> bool {
        matches!(self, TreeChange::Rename { flags } if flags & libc::RENAME_EXCHANGE != 0)
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
        let (old, new) = (c"old".as_ptr() as u64, c"new".as_ptr() as u64);
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
            assert_eq!(decoded.at, PathArg::here("old".as_ref()), "{older}");
            assert_eq!(decode(newer, newer_args), Ok(Some(decoded)), "{newer}");
        }
        let link = decode("symlink", &[new, old]).expect("read").expect("a change");
        assert_eq!(link.change, TreeChange::MakeLink { text: b"new".to_vec() });
        assert_eq!(decode("mkdir", &[8, 0]), Err(Errno::EFAULT));
        assert_eq!(decode("open", &[old]), Ok(None));
    }
}
