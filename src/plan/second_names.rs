//! Hard links: one file under two names in one file system. A file that no process inside may
//! change (a program, its loader and interpreter, a named library, the profile, the shim) may have
//! another name below a directory that the app may write. Landlock decides by inode, so that name
//! must have no right from the directory: it is searched for once, at the start, and excluded from
//! the grant.
//!
//! Afterwards no name is added: Landlock and the supervisor deny a link from a directory without
//! write access to one with it.
//!
//! Not searched for are other names of files below a directory of programs (`beneath`) or
//! libraries, since these are not listed one by one. And below `@elsewhere`, which is nearly every
//! file there is, only those of programs with a digest: reading all directories of an image takes
//! seconds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::error;
use super::file_groups::KERNELS;
use super::grants::Granted;
use super::{PlanError, ProgramTarget, mounts};
use crate::image::{FileId, FileInfo, FileKind, is_beneath, why};
use crate::profile::{FileEntry, FileGroup, Profile, Rights};

/// Collects the second names into `granted.second_names`, with notes in the plan.
pub(super) fn find(granted: &mut Granted<'_>, profile: &Profile) -> Result<(), PlanError> {
    let written = profile.files.iter().any(|entry| match entry {
        FileEntry::Path(rule) => rule.allow.contains(Rights::WRITE),
        FileEntry::Group(_) => false,
    });
    let searched = written || granted.programs.entries.iter().any(|entry| entry.sha256.is_some());
    let sought = sought(granted, searched)?;
    if sought.is_empty() {
        return Ok(());
    }
    let mounts = granted.host.mounts.clone();
    let points: HashSet<&Path> = mounts.iter().map(|mount| &*mount.point).collect();
    let device = |path: &Path| mounts::of(&mounts, path).map(|mount| mount.device.clone());
    let mut devices = BTreeSet::new();
    devices.extend(sought.values().map(|path| device(path)));
    let pinned = pinned(granted, &sought);
    for (index, entry) in profile.files.iter().enumerate() {
        let (root, sought) = match entry {
            FileEntry::Path(rule) if rule.allow.contains(Rights::WRITE) => (&*rule.path, &sought),
            FileEntry::Group(group) if group.what == FileGroup::Elsewhere && !pinned.is_empty() => {
                (Path::new("/"), &pinned)
            }
            _ => continue,
        };
        let pointer = format!("/files/{index}");
        let there = error::stat(granted.stat(root), root, &pointer)?;
        let Some(info) = there.filter(|info| info.kind == FileKind::Directory) else { continue };
        for part in mounts::parts(&mounts, &info.canonical) {
            if devices.contains(&device(part)) {
                walk(granted, part, &points, sought, &pointer);
            }
        }
    }
    Ok(())
}

/// The names of files whose content the profile requires by digest.
fn pinned(granted: &Granted<'_>, sought: &BTreeMap<FileId, PathBuf>) -> BTreeMap<FileId, PathBuf> {
    let entries = granted.programs.entries.iter().filter(|entry| entry.sha256.is_some());
    let files = entries.filter_map(|entry| match &entry.target {
        ProgramTarget::File(id) => Some((*id, sought.get(id)?.clone())),
        ProgramTarget::Beneath(_) => None,
    });
    let mut pinned = BTreeMap::new();
    pinned.extend(files);
    pinned
}

/// The files that no process inside may change and that have other names than those beside them:
/// these are found at once, and only `@elsewhere` could cover them and not the first one.
///
/// In a directory of programs or libraries nothing is granted, so names there need not be found,
/// unless the number of the others decides whether a directory is `searched` for them.
fn sought(granted: &mut Granted<'_>, searched: bool) -> Result<BTreeMap<FileId, PathBuf>, PlanError> {
    let executables = granted.programs.executables.iter().map(|executable| &executable.info);
    let directories = executables.chain(granted.programs.libraries.iter().map(|library| &library.info));
    let directories = directories.filter(|info| info.kind == FileKind::Directory);
    let directories: Vec<PathBuf> = directories.map(|info| info.canonical.clone()).collect();
    let mut infos: Vec<FileInfo> =
        granted.programs.executables.iter().map(|executable| executable.info.clone()).collect();
    infos.extend(granted.programs.libraries.iter().map(|library| library.info.clone()));
    for (_, path) in granted.host.guarded.iter().chain(&granted.programs.guarded) {
        infos.extend(error::stat(granted.files.stat(path), path, "")?);
    }
    let mut sought = BTreeMap::new();
    for info in infos {
        if info.kind != FileKind::Regular || info.links < 2 || sought.contains_key(&info.id) {
            continue;
        }
        let Some(directory) = info.canonical.parent() else { continue };
        if !searched && directories.iter().any(|protected| is_beneath(directory, protected)) {
            sought.insert(info.id, info.canonical.clone());
            continue;
        }
        // Where that directory cannot be listed, the names beside it are searched for as well.
        let names = granted.files.list(directory).unwrap_or_default();
        let is_it = |name: &Path| {
            let other = granted.files.stat_beside(&directory.join(name));
            matches!(other, Ok(Some(other)) if other.id == info.id)
        };
        let names =
            names.iter().filter(|(name, kind)| *kind == Some(FileKind::Regular) && is_it(Path::new(name)));
        let beside: Vec<PathBuf> = names.map(|(name, _)| directory.join(name)).collect();
        if (beside.len() as u64) < info.links {
            sought.insert(info.id, info.canonical.clone());
        }
        granted.second_names.extend(beside.into_iter().filter(|name| *name != info.canonical));
    }
    Ok(sought)
}

/// Searches one mount, from one of its directories on.
fn walk(
    granted: &mut Granted<'_>,
    root: &Path,
    points: &HashSet<&Path>,
    sought: &BTreeMap<FileId, PathBuf>,
    pointer: &str,
) {
    let mut ahead = vec![root.to_owned()];
    while let Some(directory) = ahead.pop() {
        let names = match granted.files.list(&directory) {
            Ok(names) => names,
            Err(error) => {
                granted.notes.push(format!(
                    "{pointer}: {} cannot be listed ({}), and a program may have another name there: it is left out",
                    directory.display(),
                    why(&error)
                ));
                granted.second_names.insert(directory);
                continue;
            }
        };
        for (name, kind) in names {
            let path = directory.join(name);
            if kind.is_none() || points.contains(&*path) || KERNELS.iter().any(|tree| path == Path::new(tree))
            {
                continue;
            }
            // A file without a stat is excluded from every grant, or is refused there.
            let Ok(Some(info)) = granted.files.stat_beside(&path) else { continue };
            if info.kind == FileKind::Directory {
                // In and around a directory of programs or libraries nothing may be changed.
                let executable = granted.programs.executables.iter().map(|executable| &executable.info);
                let libraries = granted.programs.libraries.iter().map(|library| &library.info);
                if !executable.chain(libraries).any(|other| other.canonical == path) {
                    ahead.push(path);
                }
                continue;
            }
            let Some(first) = sought.get(&info.id) else { continue };
            // A grant that covers the first name is refused for it.
            if *first != path && granted.second_names.insert(path.clone()) {
                granted.notes.push(format!(
                    "{pointer}: {} is another name of {}, which no process inside may change: it is left out, and what is new beside it is made by the supervisor",
                    path.display(),
                    first.display()
                ));
            }
        }
    }
}
