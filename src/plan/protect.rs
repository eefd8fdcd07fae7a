//! The files that no process inside may change, whatever a grant allows: programs, their loaders
//! and interpreters, the files from which their code may be mapped, the profile, the shim, the
//! event file, the links that lead to those; and other processes' memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error;
use super::file_groups::OWN_PROCESS;
use super::grants::Granted;
use super::links::NAMES;
use super::mounts;
use super::{FileGrant, PlanError, PlanFault, ProgramTarget};
use crate::image::{FileId, FileKind, is_beneath};
use crate::profile::Rights;

const CHANGES: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

/// The inodes to protect; an error where the profile itself grants a change of one.
pub(super) fn check(granted: &Granted<'_>) -> Result<Vec<(FileId, PathBuf)>, PlanError> {
    let mut protected = BTreeSet::new();
    for executable in &granted.programs.executables {
        let what = match executable.role {
            None => format!("the program of {}", executable.because),
            Some(role) => format!("the {} of {}", role.name(), executable.because),
        };
        refuse_change(granted, &executable.info.canonical, CHANGES, &what)?;
        protected.insert((executable.info.id, executable.info.canonical.clone()));
    }
    for (what, path) in granted.host.guarded.iter().chain(&granted.programs.guarded) {
        // A device has no content that could be changed; the app may use one such as /dev/full or
        // a terminal.
        if let Some(info) = error::stat(granted.files.stat(path), path, "")?
            && info.kind != FileKind::Device
        {
            refuse_change(granted, &info.canonical, CHANGES, what)?;
            protected.insert((info.id, info.canonical));
        }
    }
    for (what, name) in granted.host.links.iter().chain(&granted.programs.names) {
        // Only a file can be written; a link, or a path that does not exist, is only a name.
        let is_file = granted.files.read_link(name).is_none()
            && error::stat(granted.files.stat(name), name, "")?.is_some();
        refuse_change(granted, name, if is_file { CHANGES } else { NAMES }, what)?;
    }
    for entry in &granted.programs.entries {
        if let ProgramTarget::Beneath(directory) = &entry.target
            && !entry.from_image
        {
            let is_data = |part: &&Path| granted.data.iter().any(|data| is_beneath(part, &data.canonical));
            for part in mounts::parts(&granted.host.mounts, directory).filter(|part| !is_data(part)) {
                let others = mounts::other_names(&granted.host.mounts, part);
                for name in others.iter().map(PathBuf::as_path).chain([part]) {
                    let below = format!("below which every file is a program (/programs/{})", entry.index);
                    refuse_within(granted, name, &below)?;
                }
            }
        }
    }
    for library in &granted.programs.libraries {
        let what = format!("what code may be mapped from ({})", library.because);
        refuse_change(granted, &library.info.canonical, CHANGES, &what)?;
        if library.info.kind != FileKind::Directory {
            protected.insert((library.info.id, library.info.canonical.clone()));
            continue;
        }
        for part in mounts::parts(&granted.host.mounts, &library.info.canonical) {
            let others = mounts::other_names(&granted.host.mounts, part);
            for name in others.iter().map(PathBuf::as_path).chain([part]) {
                let below = format!("from which code may be mapped ({})", library.because);
                refuse_within(granted, name, &below)?;
            }
        }
    }
    refuse_proc(granted)?;
    refuse_second_names(granted, &protected)?;
    Ok(protected.into_iter().collect())
}

/// Whether a grant has one of these rights on the file at `path`.
fn changes(grant: &FileGrant, path: &Path, rights: Rights) -> bool {
    let covers = || is_beneath(path, &grant.path) && (!grant.exact || path == grant.path);
    grant.rights.intersects(rights) && covers() && !grant.except.iter().any(|except| is_beneath(path, except))
}

/// Refuses a change under any of the file's mounted names.
fn refuse_change(granted: &Granted<'_>, path: &Path, rights: Rights, what: &str) -> Result<(), PlanError> {
    refuse_change_of(granted, path, rights, what)?;
    let others = mounts::other_names(&granted.host.mounts, path);
    others.iter().try_for_each(|other| {
        let what = format!("{what}, `{}`, mounted twice", path.display());
        refuse_change_of(granted, other, rights, &what)
    })
}

fn refuse_change_of(granted: &Granted<'_>, path: &Path, rights: Rights, what: &str) -> Result<(), PlanError> {
    match granted.changing().find(|grant| changes(grant, path, rights)) {
        None => Ok(()),
        Some(grant) => Err(PlanError::at(
            &*grant.rule,
            PlanFault::Changeable {
                path: path.to_owned(),
                what: what.to_owned(),
                through: grant.path.clone(),
            },
        )),
    }
}

/// Refuses a write to another hard link of the file: rules belong to its inode.
fn refuse_second_names(
    granted: &Granted<'_>,
    protected: &BTreeSet<(FileId, PathBuf)>,
) -> Result<(), PlanError> {
    let first = |id: FileId| protected.range((id, PathBuf::new())..).next().filter(|(other, _)| *other == id);
    let writes = granted.changing().filter(|grant| grant.rights.contains(Rights::WRITE));
    let mut named = writes.filter_map(|grant| Some((grant, first(grant.id?)?)));
    match named.next() {
        None => Ok(()),
        Some((grant, (_, path))) => Err(PlanError::at(
            &*grant.rule,
            PlanFault::HardLink { path: grant.path.clone(), other: path.clone() },
        )),
    }
}

/// Nothing in or around a directory of programs or libraries may be changed, and no name created
/// near it: a new file there would be one of them.
///
/// What is data there (see [`data`](super::data)) holds no program.
fn refuse_within(granted: &Granted<'_>, directory: &Path, what: &str) -> Result<(), PlanError> {
    let is_data = |path: &Path| granted.data.iter().any(|data| is_beneath(path, &data.canonical));
    if is_data(directory) {
        return Ok(());
    }
    let meets = |path: &Path| is_beneath(path, directory) || is_beneath(directory, path);
    let bad = granted.changing().filter(|grant| !is_data(&grant.path)).find(|grant| {
        let names = grant.rights.intersects(NAMES);
        let inside = grant.rights.intersects(CHANGES) && is_beneath(&grant.path, directory);
        let beside = names && grant.exact && grant.path.parent().is_some_and(meets);
        inside || beside
    });
    match bad {
        None => Ok(()),
        Some(grant) => Err(PlanError::at(
            &*grant.rule,
            PlanFault::Within {
                path: grant.path.clone(),
                directory: directory.to_owned(),
                what: what.to_owned(),
            },
        )),
    }
}

/// Through `/proc/PID/mem` the memory of an allowed program could be written; the files of a process
/// about itself that `@runtime` grants write no memory.
fn refuse_proc(granted: &Granted<'_>) -> Result<(), PlanError> {
    let proc = Path::new("/proc");
    let own = |grant: &FileGrant| OWN_PROCESS.iter().any(|path| grant.path == Path::new(path));
    let writes = |grant: &FileGrant| {
        changes(grant, proc, CHANGES) || (grant.rights.intersects(CHANGES) && is_beneath(&grant.path, proc))
    };
    let bad = granted.grants.iter().find(|grant| writes(grant) && !own(grant));
    match bad {
        None => Ok(()),
        Some(grant) => Err(PlanError::at(&*grant.rule, PlanFault::Proc(grant.path.clone()))),
    }
}
