//! open(2), openat(2), openat2(2) and creat(2).

use nix::errno::Errno;

use super::path::PathArg;
use crate::notify::caller::Memory;
use crate::policy::call::Call;

/// The arguments of an open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The file.
    pub at: PathArg,
    /// O_* flags.
    pub flags: i32,
    /// The mode of a new file, before the umask.
    pub mode: u32,
    /// openat2's `resolve` (RESOLVE_*), which the supervisor does not imitate.
    pub resolve: u64,
}

impl Open {
    /// Decodes open, openat, openat2 or creat.
    ///
    /// # Errors
    /// What reading the caller's memory answers.
    pub fn decode(call: &Call, memory: &Memory) -> Result<Open, Errno> {
        let args = call.args;
        let (dirfd, path, flags, mode, resolve) = match call.name {
            Some("open") => (libc::AT_FDCWD, args[0], args[1], args[2], 0),
            Some("creat") => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                (libc::AT_FDCWD, args[0], flags as u64, args[1], 0)
            }
            Some("openat2") => {
                // struct open_how: flags, mode, resolve.
                let how = [0, 8, 16].map(|offset| memory.number(args[2].wrapping_add(offset)));
                let [flags, mode, resolve] = how;
                (args[0] as i32, args[1], flags?, mode?, resolve?)
            }
            _ => (args[0] as i32, args[1], args[2], args[3], 0),
        };
        let at = PathArg::read(memory, dirfd, path)?;
        Ok(Open { at, flags: flags as i32, mode: mode as u32, resolve })
    }

    /// Whether a link at the end is followed. A slash at the end asks for a directory,
    /// through a link too.
    pub fn follows(&self) -> bool {
        let exclusive = self.flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
        (self.flags & libc::O_NOFOLLOW == 0 && !exclusive) || self.at.names_directory()
    }
}
