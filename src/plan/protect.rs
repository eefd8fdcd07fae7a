//! What nobody inside may change, whatever a grant says: programs, what is started
//! for them, what their code may be mapped from, the profile, the shim, the event file, the links that lead to those, and
//! other processes' memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::seen;
use super::file_groups::OWN_PROCESS;
use super::grants::Granted;
use super::links::NAMES;
use super::mounts;
use super::{FileGrant, PlanError, ProgramTarget};
use crate::image::{FileId, FileKind, is_beneath};
use crate::profile::Rights;

const CHANGES: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

/// The inodes to protect; an error where the profile itself grants a change of one.
pub(super) fn check(granted: &Granted<'_>) -> Result<Vec<(FileId, PathBuf)>, PlanError> {
    let mut protected = BTreeSet::new();
    for held in &granted.programs.held {
        let what = match held.role {
            None => format!("the program of {}", held.because),
            Some(role) => format!("the {} of {}", role.name(), held.because),
        };
        refuse_change(granted, &held.look.canonical, CHANGES, &what)?;
        protected.insert((held.look.id, held.look.canonical.clone()));
    }
    for (what, path) in granted.place.guarded.iter().chain(&granted.programs.guarded) {
        // A device keeps nothing that could be changed; of one, such as /dev/full or a
        // terminal, the app may have a part.
        if let Some(look) = seen(granted.files.stat(path), path, "")?
            && look.kind != FileKind::Device
        {
            refuse_change(granted, &look.canonical, CHANGES, what)?;
            protected.insert((look.id, look.canonical));
        }
    }
    for (what, name) in granted.place.links.iter().chain(&granted.programs.names) {
        // Only a file can be written; a link, or what is not there, is a name and no more.
        let is_file =
            granted.files.read_link(name).is_none() && seen(granted.files.stat(name), name, "")?.is_some();
        refuse_change(granted, name, if is_file { CHANGES } else { NAMES }, what)?;
    }
    for entry in &granted.programs.entries {
        if let ProgramTarget::Beneath(directory) = &entry.target {
            for part in mounts::parts(&granted.place.mounts, directory) {
                let others = mounts::other_names(&granted.place.mounts, part);
                for name in others.iter().map(PathBuf::as_path).chain([part]) {
                    let below = format!("below which every file is a program (/programs/{})", entry.index);
                    refuse_within(granted, name, &below)?;
                }
            }
        }
    }
    for library in &granted.programs.libraries {
        let what = format!("what code may be mapped from ({})", library.because);
        refuse_change(granted, &library.look.canonical, CHANGES, &what)?;
        if library.look.kind != FileKind::Directory {
            protected.insert((library.look.id, library.look.canonical.clone()));
            continue;
        }
        for part in mounts::parts(&granted.place.mounts, &library.look.canonical) {
            let others = mounts::other_names(&granted.place.mounts, part);
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

/// Whether a grant has one of these rights on what is at `path`.
fn changes(grant: &FileGrant, path: &Path, rights: Rights) -> bool {
    let covers = || is_beneath(path, &grant.path) && (!grant.exact || path == grant.path);
    grant.rights.intersects(rights) && covers() && !grant.except.iter().any(|except| is_beneath(path, except))
}

/// Under none of the names that it has.
fn refuse_change(granted: &Granted<'_>, path: &Path, rights: Rights, what: &str) -> Result<(), PlanError> {
    refuse_change_of(granted, path, rights, what)?;
    let others = mounts::other_names(&granted.place.mounts, path);
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
            format!(
                "it lets the app change `{}`, {what}, through `{}`; take write, create and remove away, or move one of them",
                path.display(),
                grant.path.display()
            ),
        )),
    }
}

/// A file is its inode: named by another of its names, it is the same.
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
            format!(
                "it lets the app change `{}`, which is the same file as `{}` (a hard link); take `write` away, or copy the file",
                grant.path.display(),
                path.display()
            ),
        )),
    }
}

/// Nothing in or around a directory of programs or libraries may be changed, and no name
/// made near it: what is new there would be one.
fn refuse_within(granted: &Granted<'_>, directory: &Path, what: &str) -> Result<(), PlanError> {
    let meets = |path: &Path| is_beneath(path, directory) || is_beneath(directory, path);
    let bad = granted.changing().find(|grant| {
        let names = grant.rights.intersects(NAMES);
        let inside = grant.rights.intersects(CHANGES) && is_beneath(&grant.path, directory);
        let beside = names && grant.exact && grant.path.parent().is_some_and(meets);
        inside || beside
    });
    match bad {
        None => Ok(()),
        Some(grant) => Err(PlanError::at(
            &*grant.rule,
            format!(
                "`{}` is in or around `{}`, {what}; move it to a directory of its own",
                grant.path.display(),
                directory.display()
            ),
        )),
    }
}

/// `/proc/PID/mem` of an allowed program could be patched; what a process says of
/// itself patches nothing.
fn refuse_proc(granted: &Granted<'_>) -> Result<(), PlanError> {
    let proc = Path::new("/proc");
    let own = |grant: &FileGrant| OWN_PROCESS.iter().any(|path| grant.path == Path::new(path));
    let bad = granted.grants.iter().filter(|grant| !own(grant)).find(|grant| {
        changes(grant, proc, CHANGES) || (grant.rights.intersects(CHANGES) && is_beneath(&grant.path, proc))
    });
    match bad {
        None => Ok(()),
        Some(grant) => Err(PlanError::at(
            &*grant.rule,
            format!(
                "`{}` lets the app write below /proc, and so into the memory of programs; grant `read` alone",
                grant.path.display()
            ),
        )),
    }
}
