//! The environment that the shim was started in: ids, capabilities, limits, and the files that
//! its descriptors are open on.

use std::collections::BTreeSet;
use std::path::PathBuf;

use caps::{CapSet, CapsHashSet};
use nix::unistd::{getegid, geteuid, getpgrp, getpid};

use super::births;
use super::error::Error;
use crate::plan::{Births, Host};
use crate::procfs::mountinfo;
use crate::profile::RunAs;
use crate::sys::process::hard_limit;
use crate::sys::{CallError, credentials, errno};

/// Reads what a plan has to know of this process.
///
/// # Errors
/// The call that failed, or what is wrong with /proc.
pub fn here(
    command: Option<PathBuf>,
    guarded: Vec<(&'static str, PathBuf)>,
    links: Vec<(&'static str, PathBuf)>,
    embedded: bool,
) -> Result<Host, Error> {
    proc_is_ours()?;
    let mounts = mountinfo::read().map_err(|errno| Error::Read { path: "/proc/self/mountinfo", errno })?;
    let births = if embedded { births::read(&mounts, command.as_deref()) } else { Births::default() };
    let limit = |which, name| hard_limit(which).map_err(CallError::of(name));
    Ok(Host {
        command,
        supervisor: getpid().as_raw() as u32,
        group: getpgrp().as_raw() as u32,
        ids: RunAs {
            user: geteuid(),
            group: getegid(),
            groups: credentials::groups().map_err(CallError::of("groups"))?,
        },
        permitted: permitted()?,
        bounding: bounding()?,
        hard_limits: [
            limit(libc::RLIMIT_NOFILE, "limit open files")?,
            limit(libc::RLIMIT_FSIZE, "limit file size")?,
            limit(libc::RLIMIT_CORE, "limit core")?,
        ],
        standard_files: standard_files(),
        guarded,
        event_socket: None,
        links,
        working_directory: std::env::current_dir().ok(),
        births,
        mounts,
        embedded,
    })
}

/// The supervisor reads every caller's files in /proc. It has to be mounted, and to show the pids
/// of this pid namespace: in another's the same pids are other processes.
fn proc_is_ours() -> Result<(), Error> {
    match std::fs::read_link("/proc/self") {
        Ok(own) if own.as_os_str().to_str() == Some(&getpid().to_string()) => Ok(()),
        Ok(_) => Err(Error::ForeignProc),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NoProc),
        Err(error) => Err(Error::Proc(errno(&error))),
    }
}

fn permitted() -> Result<CapsHashSet, Error> {
    let sets = credentials::capget().map_err(CallError::of("permitted capabilities"))?;
    Ok(caps::all().into_iter().filter(|one| sets.permitted & one.bitmask() != 0).collect())
}

fn bounding() -> Result<CapsHashSet, Error> {
    caps::read(None, CapSet::Bounding).map_err(Error::Bounding)
}

/// The files that descriptors 0–2 are open on, where those have a path: opening
/// `/dev/stdout` has to work, and is an open of that file.
fn standard_files() -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    files.extend(
        (0..3)
            .filter_map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok())
            .filter(|path| path.is_absolute() && path.exists()),
    );
    files.into_iter().collect()
}
