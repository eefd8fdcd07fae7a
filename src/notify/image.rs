//! The file that a process runs, `/proc/PID/exe`.

use std::path::PathBuf;

use nix::errno::Errno;

use super::caller::{Caller, Identity};
use crate::image::FileId;
use crate::procfs::errno;
use crate::procfs::stat::Stat;

/// The device and inode of a process's executable.
pub fn image_id(caller: &Caller, identity: &Identity) -> Option<FileId> {
    identity.with_caller_fsids(caller, || file_id(&image_link(caller))).ok()
}

/// A process's executable, its path, and the start of its stack, read unless `stack` has it.
pub fn image_and_stack(caller: &Caller, stack: Option<u64>) -> Result<(FileId, PathBuf, u64), Errno> {
    let link = image_link(caller);
    let path = std::fs::read_link(&link).map_err(errno)?;
    let stack = stack.or_else(|| Stat::of(caller.tgid.first_thread()).ok()?.stack).ok_or(Errno::ESRCH)?;
    Ok((file_id(&link)?, path, stack))
}

/// A process's executable and its path.
pub fn image(caller: &Caller, identity: &Identity) -> Option<(FileId, PathBuf)> {
    let link = image_link(caller);
    let look = || Ok((file_id(&link)?, std::fs::read_link(&link).map_err(errno)?));
    identity.with_caller_fsids(caller, look).ok()
}

/// Uses the calling thread's id: the first thread of its process may have ended.
fn image_link(caller: &Caller) -> String {
    format!("/proc/{}/exe", caller.tid)
}

fn file_id(path: &str) -> Result<FileId, Errno> {
    let stat = nix::sys::stat::stat(path)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}
