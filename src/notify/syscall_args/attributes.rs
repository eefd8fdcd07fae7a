//! Calls that change a file's owner, mode or times.

use nix::errno::Errno;

use super::path::PathArg;
use crate::ids::{Gid, Uid};
use crate::notify::caller::Memory;
use crate::policy::call::Call;
use crate::syscalls::{Arg, Attribute, Handler};

/// The attribute that is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewAttribute {
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
        /// Whether times are given; otherwise the current time is set.
        given: bool,
    },
}

/// The arguments of a call that changes a file's owner, mode or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeArgs {
    /// What is changed.
    pub attribute: NewAttribute,
    /// Whether a link at the end is followed.
    pub follow: bool,
    dirfd: i32,
    /// The address of the path; 0 for a call on the descriptor.
    pointer: u64,
}

impl AttributeArgs {
    /// Decodes one of these calls. `None` for any other.
    pub fn decode(call: &Call) -> Option<AttributeArgs> {
        let Handler::Attribute(kind) = call.handler() else { return None };
        let (dirfd, pointer) = match call.paths().next() {
            Some(path) => path,
            None => (call.argument(Arg::Fd)? as i32, 0),
        };
        let mut ids = call.ids();
        let attribute = match kind {
            Attribute::Owner => {
                NewAttribute::Owner { user: Uid::from_raw(ids.next()?), group: Gid::from_raw(ids.next()?) }
            }
            Attribute::Mode => NewAttribute::Mode(call.argument(Arg::Mode)? as u32),
            Attribute::Times => {
                NewAttribute::Times { given: call.argument(Arg::Pointer).is_some_and(|times| times != 0) }
            }
        };
        let flags = call.argument(Arg::Flags).unwrap_or_default();
        let follow = call.name != Some("lchown") && flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0;
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
        let owner = NewAttribute::Owner { user: Uid::from_raw(5), group: Gid::from_raw(u32::MAX) };
        let minus_one = u64::from(u32::MAX);
        let nofollow = libc::AT_SYMLINK_NOFOLLOW as u64;
        assert_eq!(attribute("chown", [8, 5, minus_one, 0, 0, 0]), Some((owner, true)));
        assert_eq!(attribute("lchown", [8, 5, minus_one, 0, 0, 0]), Some((owner, false)));
        assert_eq!(attribute("fchownat", [3, 8, 5, minus_one, nofollow, 0]), Some((owner, false)));
        assert_eq!(attribute("fchmod", [3, 0o640, 0, 0, 0, 0]), Some((NewAttribute::Mode(0o640), true)));
        assert_eq!(
            attribute("fchmodat2", [3, 8, 0o640, nofollow, 0, 0]),
            Some((NewAttribute::Mode(0o640), false))
        );
        assert_eq!(
            attribute("utimensat", [3, 8, 0, 0, 0, 0]),
            Some((NewAttribute::Times { given: false }, true))
        );
        assert_eq!(
            attribute("utimes", [8, 16, 0, 0, 0, 0]),
            Some((NewAttribute::Times { given: true }, true))
        );
        assert_eq!(attribute("rename", [0; 6]), None);
    }
}
