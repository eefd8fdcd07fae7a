//! open(2), openat(2), openat2(2) and creat(2).

use nix::errno::Errno;

use super::path::PathArg;
use crate::notify::caller::Memory;
use crate::policy::call::Call;
use crate::syscalls::Arg;

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
