//! Which links the app may have made.
//!
//! A start resolves the profile's paths anew, and what an earlier run of the same
//! container or on the same volume left there is the app's word. So one rule holds for
//! every path of a profile that is granted: **a link is followed only where no entry lets
//! the app make, move or remove its name.** Behind any other it is as if nothing stood at
//! the path: with `create` or `remove` on its last name the name itself is granted, an
//! `optional` entry grants nothing, and every other is an error. What is executed, mapped
//! as code, or read by a start itself is never reached over such a link: there the grant
//! that lets the app change it is refused (see [`protect`](super::protect)).
//!
//! What the app may name depends on where entries lead, and that on links. Entries that no
//! link leads to come first, the others in the profile's order; a link that was followed
//! and turns out to be in the reach of a later one is an error. The app changes nothing
//! outside of what this yields, so that the next start yields no more.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::seen;
use super::file_groups::ELSEWHERE_DEVICES;
use super::{Place, PlanError, mounts};
use crate::image::{FileInfo, FileKind, ImageFiles};
use crate::profile::{FileEntry, FileGroup, Profile, Rights};

/// The rights with which names are made, moved and removed.
pub(super) const NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);

/// Where a profile lets the app make, move or remove names, each with the JSON Pointer of
/// the entry that does.
pub(super) struct Links<'a> {
    files: &'a dyn ImageFiles,
    place: &'a Place,
    /// Names that an entry with `create` or `remove` names itself.
    names: HashMap<OsString, String>,
    /// Directories below which any name may be made.
    below: HashMap<OsString, String>,
    /// What was found at them, where no link leads there.
    looks: HashMap<OsString, FileInfo>,
    /// `@elsewhere`, and the paths that it does not reach.
    elsewhere: Option<(String, &'a BTreeSet<PathBuf>)>,
}

/// A link on a path that the app may have made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planted {
    /// The path of the link itself.
    pub link: PathBuf,
    /// JSON Pointer of the entry that lets the app make it.
    pub by: String,
    /// Where the path leads over it.
    pub end: PathBuf,
    /// It is the path's own last name, and no such link leads to its directory.
    pub last: bool,
}

/// An entry that lets names be made, on its way to where it is.
struct Entry {
    pointer: String,
    /// The links that lead to its directory.
    links: Vec<PathBuf>,
    /// Its name in that directory.
    own: PathBuf,
}

impl<'a> Links<'a> {
    /// `outside` is what `@elsewhere` does not reach.
    pub fn of(
        profile: &Profile,
        place: &'a Place,
        files: &'a dyn ImageFiles,
        outside: &'a BTreeSet<PathBuf>,
    ) -> Result<Links<'a>, PlanError> {
        let mut links = Links {
            files,
            place,
            names: HashMap::with_capacity(profile.files.len()),
            below: HashMap::with_capacity(profile.files.len()),
            looks: HashMap::with_capacity(profile.files.len()),
            elsewhere: None,
        };
        let mut led = Vec::new();
        let mut last: Option<(&Path, Vec<PathBuf>, PathBuf)> = None;
        for (index, entry) in profile.files.iter().enumerate() {
            let pointer = format!("/files/{index}");
            match entry {
                FileEntry::Path(rule) if rule.allow.intersects(NAMES) => {
                    let (parent, name) = apart(&rule.path);
                    // Entries of one directory stand together.
                    let (_, to, end) = match last.take() {
                        Some(same) if same.0 == parent => last.insert(same),
                        _ => {
                            let trail = files.trail(parent);
                            last.insert((parent, trail.links, trail.end))
                        }
                    };
                    let entry = Entry { pointer, links: to.clone(), own: end.join(name) };
                    if entry.links.is_empty() { links.add(entry)? } else { led.push(entry) }
                }
                FileEntry::Group(group) if group.what == FileGroup::Elsewhere => {
                    let devices = ELSEWHERE_DEVICES.iter().map(|path| (path.into(), pointer.clone()));
                    links.below.extend(devices);
                    links.elsewhere = Some((pointer, outside));
                }
                _ => {}
            }
        }
        let mut followed = Vec::new();
        for mut entry in led {
            if entry.links.iter().all(|link| links.by(link).is_none()) {
                let to = std::mem::take(&mut entry.links);
                followed.extend(to.into_iter().map(|link| (entry.pointer.clone(), link)));
                links.add(entry)?;
            }
        }
        for (pointer, link) in followed {
            if let Some(by) = links.by(&link) {
                let text = format!(
                    "it leads over the link `{}`, which {by} lets the app change; name what it leads to",
                    link.display()
                );
                return Err(PlanError::at(pointer, text));
            }
        }
        Ok(links)
    }

    fn add(&mut self, Entry { pointer, own, .. }: Entry) -> Result<(), PlanError> {
        let look = seen(self.files.stat_beside(&own), &own, &pointer)?;
        if let Some(look) = look.filter(|look| look.canonical == own) {
            if look.kind == FileKind::Directory {
                self.below.insert(own.clone().into(), pointer.clone());
            }
            self.looks.insert(own.clone().into(), look);
        }
        self.names.insert(own.into(), pointer);
        Ok(())
    }

    /// What was found at a name that an entry lets the app make, move or remove, where no link
    /// leads to it.
    pub fn found(&self, name: &Path) -> Option<&FileInfo> {
        self.looks.get(name.as_os_str())
    }

    /// The entry that lets the app make, move or remove this name, under any of the names
    /// that mounts give it. No link leads to its directory.
    pub fn by(&self, name: &Path) -> Option<&str> {
        let others = mounts::other_names(&self.place.mounts, name);
        others.iter().map(PathBuf::as_path).chain([name]).find_map(|name| {
            let above = || name.ancestors().skip(1).find_map(|above| self.below.get(above.as_os_str()));
            let elsewhere = self
                .elsewhere
                .as_ref()
                .filter(|(_, outside)| !name.ancestors().any(|above| outside.contains(above)));
            let pointer =
                self.names.get(name.as_os_str()).or_else(above).or(elsewhere.map(|(pointer, _)| pointer));
            pointer.map(String::as_str)
        })
    }

    /// The first link on a path that the app may have made.
    pub fn planted(&self, path: &Path) -> Option<Planted> {
        let trail = self.files.trail(path);
        let (link, by) = trail.links.iter().find_map(|link| Some((link, self.by(link)?)))?;
        let (parent, name) = apart(path);
        Some(Planted {
            last: *link == self.files.trail(parent).end.join(name),
            link: link.clone(),
            by: by.to_owned(),
            end: trail.end,
        })
    }
}

/// A path as its directory and its name there; the root's is the root.
fn apart(path: &Path) -> (&Path, &Path) {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, Path::new(name)),
        _ => (path, Path::new("")),
    }
}

#[cfg(test)]
pub(super) mod tests;
