//! Calls that change a file's owner, mode or times.

use nix::errno::Errno;

use super::path::PathArg;
use crate::ids::{Gid, Uid};
use crate::notify::caller::Memory;
use crate::policy::call::Call;

/// What of a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// chown(2): the ids, of which -1 leaves one as it is.
    Owner {
        /// The user.
        user: Uid,
        /// The group.
        group: Gid,
    },
    /// chmod(2): the permission bits.
    Mode(u32),
    /// utime(2).
    Times {
        /// Times are given; else it is the current time.
        given: bool,
    },
}

/// The arguments of a call that changes a file's owner, mode or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeArgs {
    /// What is changed.
    pub attribute: Attribute,
    /// A link at the end is followed.
    pub follow: bool,
    dirfd: i32,
    /// Where the path is; 0 where the descriptor itself is meant.
    pointer: u64,
}

impl AttributeArgs {
    /// Decodes one of these calls. `None` for any other.
    pub fn decode(call: &Call) -> Option<AttributeArgs> {
        let a = call.args;
        let here = libc::AT_FDCWD;
        let fd = a[0] as i32;
        let follow = |flags: u64| flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0;
        let owner = |user: u64, group: u64| Attribute::Owner {
            user: Uid::from_raw(user as u32),
            group: Gid::from_raw(group as u32),
        };
        let mode = |mode: u64| Attribute::Mode(mode as u32);
        let times = |pointer: u64| Attribute::Times { given: pointer != 0 };
        let (attribute, dirfd, pointer, follow) = match call.name? {
            "chown" => (owner(a[1], a[2]), here, a[0], true),
            "lchown" => (owner(a[1], a[2]), here, a[0], false),
            "fchown" => (owner(a[1], a[2]), fd, 0, true),
            "fchownat" => (owner(a[2], a[3]), fd, a[1], follow(a[4])),
            "chmod" => (mode(a[1]), here, a[0], true),
            "fchmod" => (mode(a[1]), fd, 0, true),
            "fchmodat" => (mode(a[2]), fd, a[1], true),
            "fchmodat2" => (mode(a[2]), fd, a[1], follow(a[3])),
            "utime" | "utimes" => (times(a[1]), here, a[0], true),
            "futimesat" => (times(a[2]), fd, a[1], true),
            "utimensat" => (times(a[2]), fd, a[1], follow(a[3])),
            _ => return None,
        };
        Some(AttributeArgs { attribute, follow, dirfd, pointer })
    }

    /// The file: its path, or the descriptor where there is no path or an empty one; and
    /// whether a link at its end is followed.
    ///
    /// # Errors
    /// As [`Memory::path`].
    pub fn file(&self, memory: &Memory) -> Result<(PathArg, bool), Errno> {
        if self.pointer == 0 {
            return Ok((PathArg::of_descriptor(self.dirfd), true));
        }
        let at = PathArg::read(memory, self.dirfd, self.pointer)?;
        let follow = self.follow || at.path.as_os_str().is_empty();
        Ok((at.or_descriptor(), follow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_values_in_its_own_registers() {
        let decode = |name, args| AttributeArgs::decode(&Call { name: Some(name), number: 1, args });
        let attribute = |name, args| decode(name, args).map(|args| (args.attribute, args.follow));
        let owner = Attribute::Owner { user: Uid::from_raw(5), group: Gid::from_raw(u32::MAX) };
        let minus_one = u64::from(u32::MAX);
        let nofollow = libc::AT_SYMLINK_NOFOLLOW as u64;
        assert_eq!(attribute("chown", [8, 5, minus_one, 0, 0, 0]), Some((owner, true)));
        assert_eq!(attribute("lchown", [8, 5, minus_one, 0, 0, 0]), Some((owner, false)));
        assert_eq!(attribute("fchownat", [3, 8, 5, minus_one, nofollow, 0]), Some((owner, false)));
        assert_eq!(attribute("fchmod", [3, 0o640, 0, 0, 0, 0]), Some((Attribute::Mode(0o640), true)));
        assert_eq!(
            attribute("fchmodat2", [3, 8, 0o640, nofollow, 0, 0]),
            Some((Attribute::Mode(0o640), false))
        );
        assert_eq!(
            attribute("utimensat", [3, 8, 0, 0, 0, 0]),
            Some((Attribute::Times { given: false }, true))
        );
        assert_eq!(attribute("utimes", [8, 16, 0, 0, 0, 0]), Some((Attribute::Times { given: true }, true)));
        assert_eq!(attribute("rename", [0; 6]), None);
    }
}
