//! The libraries that runs loaded. A journal has the digest of each program and none of a library:
//! hashing them would delay the app, so their content comes of the image in which the runs were made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::{InputFault, OtherContent};
use super::fact::{Did, Fact, Mount, Seen};
use super::observations::Observations;
use super::runs::Runs;
use crate::journal::observation::Phase;

/// Whether a file of this name holds code that programs load.
fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.ends_with(".so") || name.contains(".so.")
}

/// The libraries and loaders of the image that runs used.
pub fn used_libraries(observations: &Observations) -> BTreeSet<String> {
    observations.unsorted().filter_map(|(fact, _)| library(fact)).map(str::to_owned).collect()
}

fn library(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::Loader { loader, .. } => Some(loader),
        Fact::File { path, did: Did::Read, mount: Mount::Image } if is_library(path) => Some(path),
        _ => None,
    }
}

/// The files whose digests [`add_digests`] needs of an image.
pub fn to_hash(observations: &Observations) -> BTreeSet<PathBuf> {
    let programs = observations.unsorted().filter_map(|(fact, _)| match fact {
        Fact::Digest { path, .. } => Some(path.clone()),
        _ => None,
    });
    programs.chain(used_libraries(observations)).map(PathBuf::from).collect()
}

/// Adds the digests of the libraries that these runs loaded, by those of the image's files. Returns
/// the libraries that it does not have.
///
/// # Errors
/// A program of such a run has another content in the image, so its libraries may be others as well.
pub fn add_digests(
    observations: &mut Observations,
    runs: &BTreeSet<String>,
    image: &str,
    digests: &BTreeMap<PathBuf, String>,
) -> Result<BTreeSet<String>, InputFault> {
    let names: Vec<String> = observations.runs().iter().map(|run| run.run.clone()).collect();
    let of_these = |seen: &Runs| seen.iter().filter(|run| runs.contains(&names[*run])).collect::<Runs>();
    let (mut found, mut missing) = (Vec::new(), BTreeSet::new());
    for (fact, seen) in observations.facts() {
        let seen = Seen {
            startup: of_these(&seen.startup),
            serving: of_these(&seen.serving),
            examples: BTreeSet::new(),
        };
        let Some(first) = seen.runs().iter().next() else { continue };
        match (fact, library(fact)) {
            (Fact::Digest { path, sha256 }, _) => {
                let there = digests.get(Path::new(path));
                if let Some(there) = there.filter(|there| *there != sha256) {
                    return Err(InputFault::OtherImage(OtherContent {
                        run: names[first].clone(),
                        path: path.clone(),
                        executed: sha256.clone(),
                        image: image.to_owned(),
                        found: there.clone(),
                    }));
                }
            }
            (_, Some(path)) => match digests.get(Path::new(path)) {
                Some(sha256) => found.push((path.to_owned(), sha256.clone(), seen)),
                None => drop(missing.insert(path.to_owned())),
            },
            _ => {}
        }
    }
    for (path, sha256, seen) in found {
        for (runs, phase) in [(&seen.startup, Phase::Startup), (&seen.serving, Phase::Serving)] {
            for run in runs.iter() {
                let fact = Fact::Digest { path: path.clone(), sha256: sha256.clone() };
                observations.add(fact, run, phase, None);
            }
        }
    }
    Ok(missing)
}
