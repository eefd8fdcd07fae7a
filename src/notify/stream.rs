//! Magic links: the process that one is of, and the app's standard streams.

use std::ffi::OsStr;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::fstat;

use crate::ids::Pid;
use crate::image::FileId;
use crate::sys::descriptors::standard;

/// One of the app's standard streams, by its number. The supervisor was started with the same
/// three, and keeps them open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(i32);

impl Stream {
    /// The three.
    pub const ALL: [Stream; 3] = [Stream(0), Stream(1), Stream(2)];

    /// The stream that a name in `/proc/PID/fd` stands for.
    pub fn named(name: &str) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| name == stream.0.to_string())
    }

    /// Its access mode, and the file that it is open on.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn mode_and_file(self) -> Result<(i32, FileId), Errno> {
        let fd = standard(self.0).ok_or(Errno::EBADF)?;
        let stat = fstat(fd)?;
        let mode = fcntl(fd, FcntlArg::F_GETFL)? & libc::O_ACCMODE;
        Ok((mode, FileId { device: stat.st_dev, inode: stat.st_ino }))
    }

    /// A path that leads to it.
    pub fn path(self) -> String {
        format!("/proc/self/fd/{}", self.0)
    }
}

/// A magic link, by the directory that has it: the process, and whether it is one of `fd`.
pub fn process_of(directory: &Path) -> Option<(Pid, bool)> {
    let mut names = directory.components().rev().map(Component::as_os_str);
    let number = |name: &OsStr| name.to_str()?.parse().ok();
    let last = names.next()?;
    let (is_fd, id) = match last.to_str()? {
        kind @ ("fd" | "ns" | "map_files") => (kind == "fd", number(names.next()?)?),
        _ => (false, number(last)?),
    };
    // `/proc/PID/task/TID`.
    let process = match names.next()?.to_str()? {
        "task" => number(names.next()?)?,
        _ => id,
    };
    Some((Pid::from_raw(process), is_fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_link_is_of_the_process_whose_directory_has_it() {
        let of = |path: &str| process_of(Path::new(path)).map(|(pid, is_fd)| (pid.as_raw(), is_fd));
        assert_eq!(of("/proc/1/fd"), Some((1, true)));
        assert_eq!(of("/srv/jail/proc/1/fd"), Some((1, true)));
        assert_eq!(of("/proc/1/task/9/fd"), Some((1, true)));
        assert_eq!(of("/proc/1"), Some((1, false)));
        assert_eq!(of("/proc/1/task/9"), Some((1, false)));
        assert_eq!(of("/proc/1/ns"), Some((1, false)));
        assert_eq!(of("/proc/1/map_files"), Some((1, false)));
        assert_eq!(of("/proc"), None);
    }

    #[test]
    fn only_the_first_three_descriptors_are_streams() {
        assert_eq!(Stream::named("2"), Some(Stream(2)));
        for other in ["3", "01", "-1", "", "self"] {
            assert_eq!(Stream::named(other), None, "{other}");
        }
        assert!(Stream::ALL.into_iter().all(|stream| stream.mode_and_file().is_ok()));
    }
}
