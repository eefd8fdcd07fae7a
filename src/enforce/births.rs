//! When the container was made: read where the engine left it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::image::{Time, is_beneath};
use crate::plan::Births;
use crate::procfs::mountinfo::MountInfo;
use crate::sys::files::birth;

/// The files that engines make for a container and mount one by one.
const OF_THE_ENGINE: [(&str, &std::ffi::CStr); 3] = [
    ("/etc/hostname", c"/etc/hostname"),
    ("/etc/hosts", c"/etc/hosts"),
    ("/etc/resolv.conf", c"/etc/resolv.conf"),
];

/// Reads what shows when the container was made.
pub fn read(mounts: &[MountInfo], command: Option<&Path>) -> Births {
    let Some(root) = mounts.iter().rev().find(|mount| mount.point == Path::new("/")) else {
        return Births::default();
    };
    let is_overlay = root.kind == "overlay";
    let made = if is_overlay { birth(c"/") } else { None };
    let mounted =
        |path: &str| mounts.iter().any(|mount| mount.point == Path::new(path) && mount.device != root.device);
    let files = || OF_THE_ENGINE.iter().filter(|(path, _)| mounted(path));
    let engine = if made.is_some() { None } else { files().filter_map(|(_, path)| birth(path)).min() };
    let start = if is_overlay || files().next().is_some() || !is_a_machine() { None } else { now() };
    let executable = std::fs::read_link("/proc/self/exe").ok();
    let witnesses = command.into_iter().chain(executable.as_deref());
    Births {
        root: made,
        engine,
        start,
        witnesses: witnesses.filter_map(|path| changed(path, mounts)).collect(),
    }
}

/// When a file last changed, if it lies on the root file system.
fn changed(path: &Path, mounts: &[MountInfo]) -> Option<Time> {
    let path = std::fs::canonicalize(path).ok()?;
    let above = mounts.iter().filter(|mount| is_beneath(&path, &mount.point));
    let nearest = above.max_by_key(|mount| mount.point.as_os_str().len())?;
    let found = std::fs::metadata(&path).ok().filter(|_| nearest.point == Path::new("/"))?;
    Some((found.ctime(), found.ctime_nsec() as u32))
}

/// Whether this is the machine's first pid namespace, and so no container that could be started
/// again (PROC_PID_INIT_INO, linux/proc_ns.h).
fn is_a_machine() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"))
}

fn now() -> Option<Time> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some((i64::try_from(now.as_secs()).ok()?, now.subsec_nanos()))
}
