//! Data below directories of programs: what the engine mounted there.
//!
//! Whatever is mounted below `/usr` or `/opt` when the container starts, and may be written, is no
//! part of the image: it is data. `@elsewhere` lets the app change it, and nothing runs from it.
//! Landlock cannot take the EXECUTE right of the directory above away, so the post-exec
//! verification does: where that is not available, the mount stays closed.

use std::path::{Path, PathBuf};

use super::error;
use super::grants::Granted;
use super::programs::Programs;
use super::{Host, PlanError, ProgramTarget, mounts};
use crate::image::{FileInfo, FileKind, ImageFiles, is_beneath};
use crate::kernel::Kernel;
use crate::profile::{FileEntry, FileGroup, Profile, Rights};

/// Mounts below directories of programs.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    /// Those that are data.
    pub data: Vec<FileInfo>,
    /// Mount points below which nothing runs: those, and read-only ones that may be written through
    /// another mount.
    pub never_run: Vec<PathBuf>,
}

/// Finds both. A mount at a place where programs or libraries belong stays closed, and so does one
/// that holds COMMAND or the directory that it starts in: it is the app itself.
pub(super) fn mounted(
    programs: &Programs,
    host: &Host,
    kernel: &Kernel,
    files: &dyn ImageFiles,
) -> Result<Mounted, PlanError> {
    let mut found = Mounted::default();
    if kernel.trace.is_err() || kernel.notify.is_err() {
        return Ok(found);
    }
    let directories: Vec<&Path> = programs
        .entries
        .iter()
        .filter_map(|entry| match &entry.target {
            ProgramTarget::Beneath(directory) if !entry.from_image => Some(directory.as_path()),
            _ => None,
        })
        .collect();
    let below = |point: &Path| {
        directories.iter().any(|directory| point != *directory && is_beneath(point, directory))
    };
    for mount in host.mounts.iter().filter(|mount| below(&mount.point)) {
        if mount.read_only {
            if mounts::written_elsewhere(&host.mounts, mount) {
                found.never_run.push(mount.point.clone());
            }
            continue;
        }
        if belongs_to_code(&mount.point) || is_of_the_kernel(&mount.kind) {
            continue;
        }
        let there = error::stat(files.stat(&mount.point), &mount.point, "")?;
        let Some(info) = there.filter(|info| info.kind == FileKind::Directory) else { continue };
        if info.canonical != mount.point || holds_what_must_stay(&info.canonical, programs, host, files)? {
            continue;
        }
        if !found.data.iter().any(|known| known.id == info.id) {
            found.never_run.push(mount.point.clone());
            found.data.push(info);
        }
    }
    Ok(found)
}

/// Lets sockets be made below directories of programs: the supervisor cannot bind one for a process,
/// so the kernel has to grant what the supervisor narrows to directories of data.
pub(super) fn sockets(granted: &mut Granted<'_>, profile: &Profile, programs: &Programs) {
    let is_elsewhere =
        |entry: &FileEntry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Elsewhere);
    let Some(index) = profile.files.iter().position(is_elsewhere) else { return };
    for executable in programs.executables.iter().filter(|file| file.info.kind == FileKind::Directory) {
        granted.above(&executable.info, Rights::CREATE, &format!("/files/{index}"));
    }
}

/// Whether a directory below /usr or /opt has its place where programs, libraries and modules
/// belong, or is one of the directories that hold those.
pub fn belongs_to_code(path: &Path) -> bool {
    const TOPS: [&str; 6] = ["/usr", "/usr/local", "/usr/share", "/usr/local/share", "/opt", "/"];
    const CODE: [&str; 9] = [
        "bin",
        "sbin",
        "games",
        "include",
        "site-packages",
        "dist-packages",
        "node_modules",
        "modules",
        "jre",
    ];
    TOPS.iter().any(|top| path == Path::new(top))
        || path
            .iter()
            .filter_map(|name| name.to_str())
            .any(|name| CODE.contains(&name) || name.starts_with("lib"))
        || path.iter().any(|name| name.to_str().is_none())
}

/// Kinds of file systems that show the kernel's own state.
fn is_of_the_kernel(kind: &str) -> bool {
    ["proc", "sysfs", "devtmpfs", "devpts", "mqueue", "debugfs", "tracefs", "securityfs", "bpf"]
        .contains(&kind)
        || kind.starts_with("cgroup")
}

/// Whether COMMAND, a listed program or library, the directory in which the app starts, or a file
/// that no process inside may change lies there.
fn holds_what_must_stay(
    directory: &Path,
    programs: &Programs,
    host: &Host,
    files: &dyn ImageFiles,
) -> Result<bool, PlanError> {
    let executables = programs.executables.iter().map(|executable| &executable.info.canonical);
    let mut known = executables.chain(programs.libraries.iter().map(|library| &library.info.canonical));
    if known.any(|path| is_beneath(path, directory)) {
        return Ok(true);
    }
    let names = host.links.iter().chain(&programs.names).map(|(_, name)| name);
    if names.chain(&host.working_directory).any(|name| is_beneath(name, directory)) {
        return Ok(true);
    }
    let guarded = host.guarded.iter().chain(&programs.guarded).map(|(_, path)| path);
    for path in guarded.chain(&host.command) {
        let there = error::stat(files.stat(path), path, "")?;
        if is_beneath(path, directory) || there.is_some_and(|info| is_beneath(&info.canonical, directory)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
