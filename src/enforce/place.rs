//! The place that the shim was started in: ids, capabilities, limits, and the
//! files behind its descriptors.

use std::collections::BTreeSet;
use std::path::PathBuf;

use caps::{CapSet, CapsHashSet};
use nix::unistd::{getegid, geteuid, getgroups, getpid};

use crate::plan::Place;
use crate::profile::RunAs;
use crate::sys::process::hard_limit;

/// Looks at this process and says what a plan has to know of it.
///
/// # Errors
/// A sentence naming the call that failed.
pub fn here(
    command: Option<PathBuf>,
    guarded: Vec<(&'static str, PathBuf)>,
    embedded: bool,
) -> Result<Place, String> {
    let set = |which, name| caps::read(None, which).map_err(|error| format!("{name} capabilities: {error}"));
    let limit = |which, name| hard_limit(which).map_err(|errno| format!("limit {name}: {errno}"));
    Ok(Place {
        command,
        supervisor: getpid().as_raw() as u32,
        ids: RunAs {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
            groups: getgroups()
                .map_err(|errno| format!("groups: {errno}"))?
                .into_iter()
                .map(|group| group.as_raw())
                .collect(),
        },
        permitted: set(CapSet::Permitted, "permitted")?,
        bounding: bounding()?,
        hard_limits: [
            limit(libc::RLIMIT_NOFILE, "open files")?,
            limit(libc::RLIMIT_FSIZE, "file size")?,
            limit(libc::RLIMIT_CORE, "core")?,
        ],
        standard_files: standard_files(),
        guarded,
        embedded,
    })
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
