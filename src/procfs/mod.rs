//! Readers of `/proc` (proc(5)), one module for each file.

#![forbid(unsafe_code)]

pub mod fdinfo;
pub mod limits;
pub mod mountinfo;
pub mod net;
pub mod processes;
pub mod stat;
pub mod status;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;

use crate::ids::Tid;
use crate::sys;

/// The text of `/proc/TID/NAME`, in as few reads as it takes: the kernel makes it
/// whole at the first one.
///
/// # Errors
/// ENOENT or ESRCH for a thread that is gone.
pub fn read(tid: Tid, name: &str) -> Result<String, Errno> {
    const USUAL: usize = 4096;
    let mut file = File::open(format!("/proc/{tid}/{name}")).map_err(errno)?;
    let mut bytes = vec![0; USUAL];
    let mut filled = 0;
    loop {
        filled += file.read(&mut bytes[filled..]).map_err(errno)?;
        if filled < bytes.len() {
            bytes.truncate(filled);
            // A process may give itself a name of any bytes.
            return Ok(String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()));
        }
        bytes.resize(filled * 2, 0);
    }
}

/// The numbers among the names of a directory of /proc: its processes, the threads or the descriptors of one.
///
/// # Errors
/// Every errno of opendir(3) and readdir(3).
pub fn numbers(directory: &str) -> Result<Vec<i32>, Errno> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(errno)? {
        numbers.extend(entry.map_err(errno)?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// The text of a file, with `usual` bytes of room for the first read(2): where that is enough, the
/// kernel makes the text once.
fn read_to_end(path: &str, usual: usize) -> Result<Vec<u8>, Errno> {
    let mut file = File::open(path).map_err(errno)?;
    let mut bytes = vec![0; usual];
    let mut filled = 0;
    loop {
        match file.read(&mut bytes[filled..]).map_err(errno)? {
            0 => {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            more => filled += more,
        }
        if filled == bytes.len() {
            bytes.resize(filled * 2, 0);
        }
    }
}

/// The link of an open descriptor of this process, `/proc/self/fd/N`: a path that leads to its inode,
/// whatever has its name by now.
pub fn link_to(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The path of an open descriptor of this process, as its [link](link_to) has it.
///
/// # Errors
/// ENOENT where /proc is not mounted.
pub fn path_of(fd: &OwnedFd) -> Result<PathBuf, Errno> {
    nix::fcntl::readlink(link_to(fd).as_str()).map(PathBuf::from)
}

/// The errno of an I/O error; EIO where it has none.
pub fn errno(error: std::io::Error) -> Errno {
    sys::errno(&error)
}
