//! `@elsewhere`: every file that exists at start except the kernel's own trees and programs.
//! Landlock cannot subtract, so it is a walk: of a directory that contains an excluded file, the
//! other entries are granted one by one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, make_bitflags};

use super::error;
use super::file_groups::{ELSEWHERE_DEVICES, KERNELS, LIBRARIES};
use super::grants::{ALL, Granted};
use super::programs::Programs;
use super::{FileGrant, Host, PlanError, PlanFault, devices};
use crate::image::{FileKind, ImageFiles, is_beneath, why};
use crate::profile::Rights;

/// Grants `@elsewhere` to the entry at `pointer`.
pub(super) fn grant(granted: &mut Granted<'_>, pointer: &str) -> Result<(), PlanError> {
    let mut outside = granted.outside.clone();
    outside.extend(granted.second_names.iter().cloned());
    split(granted, Path::new("/"), &outside, ALL, pointer)?;
    granted.grants.push(FileGrant {
        rule: pointer.to_owned(),
        path: "/".into(),
        id: error::stat(granted.files.stat(Path::new("/")), Path::new("/"), pointer)?.map(|root| root.id),
        exact: false,
        rights: ALL,
        except: outside.into_iter().collect(),
    });
    for info in granted.data {
        granted.there(info, ALL, pointer);
        granted.notes.push(format!(
            "{pointer}: {} is a mount of its own below a directory of programs: it is data, and nothing runs from it",
            info.canonical.display()
        ));
    }
    devices::passed_in(granted, pointer);
    log_socket(granted, pointer)?;
    granted.list(&ELSEWHERE_DEVICES, ALL, pointer)
}

/// Grants the name of the socket of syslog(3), which a syslogd makes again at each start.
fn log_socket(granted: &mut Granted<'_>, pointer: &str) -> Result<(), PlanError> {
    const DEV: &str = "/dev";
    let Some(dev) = error::stat(granted.files.stat(Path::new(DEV)), Path::new(DEV), pointer)? else {
        return Ok(());
    };
    let is_there = dev.kind == FileKind::Directory && dev.canonical == Path::new(DEV);
    if granted.unix && granted.hands_over && is_there {
        let rights = Rights::CREATE.union(Rights::REMOVE);
        granted.name(Path::new(DEV).join("log"), rights, pointer);
        granted.above(&dev, rights, pointer);
    }
    Ok(())
}

/// Canonical paths that it excludes: files that no process inside may change, and the directories
/// from which the loader maps libraries by itself.
pub(super) fn outside(
    programs: &Programs,
    host: &Host,
    files: &dyn ImageFiles,
) -> Result<BTreeSet<PathBuf>, PlanError> {
    let mut outside = BTreeSet::new();
    outside.extend(KERNELS.iter().map(PathBuf::from));
    outside.extend(programs.executables.iter().map(|executable| executable.info.canonical.clone()));
    outside.extend(programs.libraries.iter().map(|library| library.info.canonical.clone()));
    for path in host.guarded.iter().chain(&programs.guarded).map(|(_, path)| path) {
        if let Some(info) = error::stat(files.stat(path), path, "")? {
            outside.insert(info.canonical);
        }
    }
    outside.extend(host.links.iter().chain(&programs.names).map(|(_, name)| name.clone()));
    if programs.dynamic {
        outside.extend(LIBRARIES.iter().map(|path| files.trail(Path::new(path)).end));
    }
    Ok(outside)
}

/// Those of the excluded paths that lie below a directory of programs.
pub(super) fn reserved(outside: &BTreeSet<PathBuf>, programs: &Programs) -> Vec<PathBuf> {
    let directories = programs.executables.iter().map(|executable| &executable.info);
    let is_within = |path: &PathBuf| {
        let mut within = directories.clone().filter(|info| info.kind == FileKind::Directory);
        within.any(|info| *path != info.canonical && is_beneath(path, &info.canonical))
    };
    outside.iter().filter(|path| is_within(path)).cloned().collect()
}

/// The entries of a directory that contains an excluded path. The directory itself gets no right
/// to change it: the supervisor creates new names in it. It may be listed and, except for `/`, its
/// files read, so that the app can read what was created there; where it may be read at all.
pub(super) fn split(
    granted: &mut Granted<'_>,
    directory: &Path,
    outside: &BTreeSet<PathBuf>,
    rights: Rights,
    pointer: &str,
) -> Result<(), PlanError> {
    if rights.contains(Rights::READ)
        && let Some(info) = error::stat(granted.files.stat(directory), directory, pointer)?
    {
        let widened = match directory.parent() {
            None => AccessFs::ReadDir.into(),
            Some(_) => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
        };
        granted.widen(&info, widened, pointer, false);
    }
    let names = granted
        .files
        .list(directory)
        .map_err(|error| PlanError::at(pointer, PlanFault::List(directory.to_owned(), error)))?;
    let inside = inside(directory, outside);
    for (name, kind) in names {
        let excluded = inside.get(name.as_os_str());
        if kind.is_none() || excluded.is_some_and(|itself| *itself) {
            continue;
        }
        let path = directory.join(&name);
        match granted.files.stat_beside(&path) {
            Ok(Some(info)) if info.kind == FileKind::Directory && excluded.is_some() => {
                split(granted, &path, outside, rights, pointer)?;
            }
            Ok(Some(info)) => granted.walked(&info, rights, pointer),
            Ok(None) => {}
            // A stale mount somewhere is no reason not to start.
            Err(error) => {
                granted.notes.push(format!("{pointer}: {} is left out: {}", path.display(), why(&error)))
            }
        }
    }
    Ok(())
}

/// The names in a directory that lead to excluded paths, and whether each is one itself.
fn inside<'o>(directory: &Path, outside: &'o BTreeSet<PathBuf>) -> HashMap<&'o OsStr, bool> {
    let mut inside = HashMap::new();
    // Paths below a directory come right after it.
    let below = outside.range::<Path, _>((Bound::Included(directory), Bound::Unbounded));
    for path in below.take_while(|path| path.starts_with(directory)) {
        let mut names = path.iter().skip(directory.iter().count());
        if let Some(name) = names.next() {
            let itself = inside.entry(name).or_insert(false);
            *itself |= names.next().is_none();
        }
    }
    inside
}
