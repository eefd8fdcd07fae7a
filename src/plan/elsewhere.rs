//! `@elsewhere`: everything that is there at start but the kernel's own trees and
//! programs. Landlock cannot subtract, so it is a walk: a directory that holds
//! what must stay out gives its other entries one by one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, make_bitflags};

use super::files::{ALL, Granted};
use super::programs::seen;
use super::{FileGrant, PlanError};
use crate::image::{FileKind, why};
use crate::profile::Rights;

/// The kernel's own trees.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// What an ordinary server needs of /dev nevertheless: shared memory and message
/// queues (sem_open, postgres, multiprocessing), and terminals of its own.
const DEVICES: [&str; 4] = ["/dev/shm", "/dev/mqueue", "/dev/pts", "/dev/ptmx"];

/// Grants it.
pub(super) fn grant(granted: &mut Granted<'_>, pointer: &str) -> Result<(), PlanError> {
    let outside = outside(granted, pointer)?;
    split(granted, Path::new("/"), &outside, ALL, pointer)?;
    granted.grants.push(FileGrant {
        rule: pointer.to_owned(),
        path: "/".into(),
        id: seen(granted.files.look(Path::new("/")), Path::new("/"), pointer)?.map(|root| root.id),
        exact: false,
        rights: ALL,
        except: outside.into_iter().collect(),
    });
    granted.list(&DEVICES, ALL, pointer)
}

/// Canonical paths that it does not reach.
fn outside(granted: &Granted<'_>, pointer: &str) -> Result<BTreeSet<PathBuf>, PlanError> {
    let mut outside = BTreeSet::new();
    outside.extend(KERNELS.iter().map(PathBuf::from));
    outside.extend(granted.programs.held.iter().map(|held| held.look.canonical.clone()));
    outside.extend(granted.programs.libraries.iter().map(|library| library.look.canonical.clone()));
    for (_, path) in &granted.place.guarded {
        if let Some(look) = seen(granted.files.look(path), path, pointer)? {
            outside.insert(look.canonical);
        }
    }
    outside.extend(granted.place.links.iter().map(|(_, link)| link.clone()));
    outside.extend(granted.second_names.iter().cloned());
    Ok(outside)
}

/// The entries of a directory that holds something of `outside`. The directory
/// itself gets no right to change it: a new name in it is made by the supervisor.
/// It may be listed and, but for `/`, its files read, so that the app can read
/// again what was made there; where it may be read at all.
pub(super) fn split(
    granted: &mut Granted<'_>,
    directory: &Path,
    outside: &BTreeSet<PathBuf>,
    rights: Rights,
    pointer: &str,
) -> Result<(), PlanError> {
    if rights.contains(Rights::READ)
        && let Some(look) = seen(granted.files.look(directory), directory, pointer)?
    {
        let widened = match directory.parent() {
            None => AccessFs::ReadDir.into(),
            Some(_) => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
        };
        granted.widen(&look, widened, pointer, false);
    }
    let names = granted.files.list(directory).map_err(|error| {
        PlanError::at(pointer, format!("cannot list `{}`: {}", directory.display(), why(&error)))
    })?;
    for (name, is_link) in names {
        let path = directory.join(name);
        if is_link || outside.contains(&path) {
            continue;
        }
        let holds = |other: &PathBuf| other.starts_with(&path);
        match granted.files.look_beside(&path) {
            Ok(Some(look)) if look.kind == FileKind::Directory && outside.iter().any(holds) => {
                split(granted, &path, outside, rights, pointer)?;
            }
            Ok(Some(look)) => granted.walked(&look, rights, pointer),
            Ok(None) => {}
            // A dead mount in a corner is no reason not to start.
            Err(error) => {
                granted.notes.push(format!("{pointer}: {} is left out: {}", path.display(), why(&error)))
            }
        }
    }
    Ok(())
}
