//! Devices that the engine passed in, and those of graphics processors.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::file_groups::{GPU, GPU_DEVICES};
use super::grants::Granted;
use super::{Host, PlanError, mounts};
use crate::image::{FileInfo, FileKind, ImageFiles, ListedName};
use crate::profile::Rights;

const DEV: &str = "/dev";

/// What a device is granted with.
const USE: Rights = Rights::READ.union(Rights::WRITE).union(Rights::IOCTL);

/// Grants the devices below /dev that are not those of every container: the engine passed them in.
///
/// An engine makes /dev for the container, on a tmpfs. A machine's own, or one with the devices of
/// memory, was not made for it, and nothing in it is granted.
pub(super) fn passed_in(granted: &mut Granted<'_>, pointer: &str) {
    const USUAL: [&str; 17] = [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "console", "shm", "mqueue", "fd",
        "stdin", "stdout", "stderr", "core", "log",
    ];
    const OF_A_MACHINE: [&str; 3] = ["mem", "kmem", "port"];
    const NEVER: [&str; 2] = ["kmsg", "initctl"];
    let is = |names: &[&str], name: &OsStr| names.iter().any(|other| name == *other);
    if !is_made_for_it(granted.host) {
        return;
    }
    let names = granted.files.list(Path::new(DEV)).unwrap_or_default();
    if names.iter().any(|(name, _)| is(&OF_A_MACHINE, name)) {
        return;
    }
    let others = |name: &OsStr| !is(&USUAL, name) && !is(&NEVER, name);
    for device in below(granted.files, names, others) {
        // The event file may be one.
        if granted.host.guarded.iter().any(|(_, path)| *path == device.canonical) {
            continue;
        }
        granted.there(&device, USE, pointer);
        granted.notes.push(format!(
            "{pointer}: {} was passed in by the engine, so the app may use it",
            device.canonical.display()
        ));
    }
}

/// Grants `@gpu`: the devices of CUDA, ROCm and DRM that are there, and what their libraries read.
pub(super) fn gpu(granted: &mut Granted<'_>, pointer: &str) -> Result<(), PlanError> {
    let is_one = |name: &OsStr| {
        name.as_encoded_bytes().starts_with(b"nvidia") || GPU_DEVICES.iter().any(|other| name == *other)
    };
    let names = granted.files.list(Path::new(DEV)).unwrap_or_default();
    for device in below(granted.files, names, is_one) {
        granted.there(&device, USE, pointer);
    }
    let buses = granted.files.list(Path::new("/sys/devices")).unwrap_or_default();
    let buses = buses.iter().filter_map(|(name, _)| name.to_str()).filter(|name| name.starts_with("pci"));
    let buses: Vec<String> = buses.map(|name| format!("/sys/devices/{name}")).collect();
    granted.list(&buses.iter().map(String::as_str).collect::<Vec<_>>(), Rights::READ, pointer)?;
    granted.list(GPU, Rights::READ, pointer)
}

fn is_made_for_it(host: &Host) -> bool {
    let dev = Path::new(DEV);
    let mount = mounts::of(&host.mounts, dev);
    mount.is_some_and(|mount| mount.point == dev && matches!(&*mount.kind, "tmpfs" | "ramfs"))
}

/// The devices among names of /dev, and those in directories of these names, sorted. Links lead to
/// what is there under its own name.
fn below(files: &dyn ImageFiles, names: Vec<ListedName>, wanted: impl Fn(&OsStr) -> bool) -> Vec<FileInfo> {
    /// Deep enough for /dev/bus/usb/001/002.
    const DEPTH: u32 = 4;
    const MOST: usize = 1024;
    let within = |directory: &Path, names: Vec<ListedName>| -> Vec<PathBuf> {
        let names = names.into_iter().filter(|(_, kind)| kind.is_some());
        names.map(|(name, _)| directory.join(name)).collect()
    };
    let names = names.into_iter().filter(|(name, _)| wanted(name)).collect();
    let mut ahead: Vec<(PathBuf, u32)> =
        within(Path::new(DEV), names).into_iter().map(|path| (path, DEPTH)).collect();
    let mut found = Vec::new();
    while let Some((path, depth)) = ahead.pop() {
        match files.stat_beside(&path) {
            Ok(Some(info)) if info.kind == FileKind::Device && found.len() < MOST => found.push(info),
            Ok(Some(info)) if info.kind == FileKind::Directory && depth > 0 => {
                let names = files.list(&path).unwrap_or_default();
                ahead.extend(within(&path, names).into_iter().map(|path| (path, depth - 1)));
            }
            _ => {}
        }
    }
    found.sort_by(|one, other| one.canonical.cmp(&other.canonical));
    found
}
