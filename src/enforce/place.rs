//! The place that the shim was started in: ids, capabilities, limits, and the
//! files behind its descriptors.

use std::collections::BTreeSet;
use std::path::PathBuf;

use caps::{CapSet, CapsHashSet};
use nix::unistd::{getegid, geteuid, getpgrp, getpid};

use crate::plan::Place;
use crate::profile::RunAs;
use crate::sys::credentials;
use crate::sys::process::hard_limit;

/// Looks at this process and says what a plan has to know of it.
///
/// # Errors
/// A sentence naming the call that failed.
pub fn here(
    command: Option<PathBuf>,
    guarded: Vec<(&'static str, PathBuf)>,
    links: Vec<(&'static str, PathBuf)>,
    embedded: bool,
) -> Result<Place, String> {
    proc_is_ours()?;
    let limit = |which, name| hard_limit(which).map_err(|errno| format!("limit {name}: {errno}"));
    Ok(Place {
        command,
        supervisor: getpid().as_raw() as u32,
        group: getpgrp().as_raw() as u32,
        ids: RunAs {
            user: geteuid(),
            group: getegid(),
            groups: credentials::groups().map_err(|errno| format!("groups: {errno}"))?,
        },
        permitted: permitted()?,
        bounding: bounding()?,
        hard_limits: [
            limit(libc::RLIMIT_NOFILE, "open files")?,
            limit(libc::RLIMIT_FSIZE, "file size")?,
            limit(libc::RLIMIT_CORE, "core")?,
        ],
        standard_files: standard_files(),
        guarded,
        event_socket: None,
        links,
        mounts: crate::plan::mounts::parse(
            &std::fs::read_to_string("/proc/self/mountinfo")
                .map_err(|error| format!("/proc/self/mountinfo: {}", crate::sys::errno(&error)))?,
        ),
        embedded,
    })
}

/// The supervisor looks at every caller in /proc, which has to be mounted, and to
/// show the pids of this namespace: in another's these are somebody else's.
fn proc_is_ours() -> Result<(), String> {
    match std::fs::read_link("/proc/self") {
        Ok(own) if own.as_os_str().to_str() == Some(&getpid().to_string()) => Ok(()),
        Ok(_) => Err("/proc is another pid namespace's; mount this one's own there".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err("/proc is not mounted, and without it nobody can be supervised; mount it, \
                 or take on the init alone with --mode off"
                .to_owned())
        }
        Err(error) => Err(format!(
            "/proc/self: {}; without it nobody can be supervised: mount /proc, or take on the init \
             alone with --mode off",
            crate::sys::errno(&error)
        )),
    }
}

fn permitted() -> Result<CapsHashSet, String> {
    let sets =
        crate::sys::credentials::capget().map_err(|errno| format!("permitted capabilities: {errno}"))?;
    Ok(caps::all().into_iter().filter(|one| sets.permitted & one.bitmask() != 0).collect())
}

fn bounding() -> Result<CapsHashSet, String> {
    caps::read(None, CapSet::Bounding).map_err(|error| format!("bounding capabilities: {error}"))
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
