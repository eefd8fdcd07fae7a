//! The links that the app may have created.
//!
//! A start resolves the profile's paths anew, and an earlier run of the same container or on the
//! same volume may have left links there, which are not trusted. So one rule applies to every path
//! that a profile grants: **a link is followed only where no entry lets the app create, move or
//! remove its name.** A path behind any other is treated as one that does not exist: with `create`
//! or `remove` on its last name the name itself is granted, an `optional` entry grants nothing, and
//! every other is an error. A file that is executed, mapped as code, or read by a start itself is
//! never reached over such a link: there the grant that lets the app change it is refused (see
//! [`protect`](super::protect)).
//!
//! The names that the app may create depend on the paths to which entries lead, and those on links.
//! Entries to which no link leads come first, the others in the profile's order; a link that was
//! followed and that a later entry lets the app change is an error. The app can change nothing
//! beyond the resulting grants, so that the next start grants no more.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error;
use super::file_groups::ELSEWHERE_DEVICES;
use super::{Host, PlanError, PlanFault, mounts};
use crate::image::{FileInfo, FileKind, ImageFiles};
use crate::profile::{FileEntry, FileGroup, Profile, Rights};

/// The rights by which names are created, moved and removed.
pub(super) const NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);

/// The paths at which a profile lets the app create, move or remove names, each with the JSON
/// Pointer of the entry.
pub(super) struct Links<'a> {
    files: &'a dyn ImageFiles,
    host: &'a Host,
    /// The paths of entries with `create` or `remove`.
    names: HashMap<OsString, String>,
    /// Directories below which any name may be created.
    below: HashMap<OsString, String>,
    /// The files that exist at these paths, where no link leads there.
    looks: HashMap<OsString, FileInfo>,
    /// `@elsewhere`, and the paths that it excludes.
    elsewhere: Option<(String, &'a BTreeSet<PathBuf>)>,
}

/// A link on a path that the app may have created.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planted {
    /// The path of the link itself.
    pub link: PathBuf,
    /// JSON Pointer of the entry that lets the app create it.
    pub by: String,
    /// The path to which it leads.
    pub end: PathBuf,
    /// It is the path's own last name, and no such link leads to its directory.
    pub last: bool,
}

/// An entry that lets names be created, while its path is resolved.
struct CreatableName {
    pointer: String,
    /// The links on the way to its directory.
    links: Vec<PathBuf>,
    /// Its name in that directory.
    own: PathBuf,
}

impl<'a> Links<'a> {
    /// `outside` has the paths that `@elsewhere` excludes, `data` those below them that it grants.
    pub fn of(
        profile: &Profile,
        host: &'a Host,
        files: &'a dyn ImageFiles,
        outside: &'a BTreeSet<PathBuf>,
        data: &[FileInfo],
    ) -> Result<Links<'a>, PlanError> {
        let mut links = Links {
            files,
            host,
            names: HashMap::with_capacity(profile.files.len()),
            below: HashMap::with_capacity(profile.files.len()),
            looks: HashMap::with_capacity(profile.files.len()),
            elsewhere: None,
        };
        let mut led = Vec::new();
        let mut last: Option<(&Path, Vec<PathBuf>, PathBuf)> = None;
        for (index, entry) in profile.files.iter().enumerate() {
            let pointer = || format!("/files/{index}");
            match entry {
                FileEntry::Path(rule) if rule.allow.intersects(NAMES) => {
                    let pointer = pointer();
                    let (parent, name) = apart(&rule.path);
                    // Entries of one directory follow each other.
                    let (_, to, end) = match last.take() {
                        Some(same) if same.0 == parent => last.insert(same),
                        _ => {
                            let trail = files.trail(parent);
                            last.insert((parent, trail.links, trail.end))
                        }
                    };
                    let entry = CreatableName { pointer, links: to.clone(), own: end.join(name) };
                    if entry.links.is_empty() { links.add(entry)? } else { led.push(entry) }
                }
                FileEntry::Group(group) if group.what == FileGroup::Elsewhere => {
                    let pointer = pointer();
                    let devices = ELSEWHERE_DEVICES.iter().map(|path| (path.into(), pointer.clone()));
                    links.below.extend(devices);
                    let data = data.iter().map(|info| (info.canonical.clone().into(), pointer.clone()));
                    links.below.extend(data);
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
                let by = by.to_owned();
                return Err(PlanError::at(pointer, PlanFault::ChangeableLink { link, by }));
            }
        }
        Ok(links)
    }

    fn add(&mut self, CreatableName { pointer, own, .. }: CreatableName) -> Result<(), PlanError> {
        let info = error::stat(self.files.stat_beside(&own), &own, &pointer)?;
        if let Some(info) = info.filter(|info| info.canonical == own) {
            if info.kind == FileKind::Directory {
                self.below.insert(own.clone().into(), pointer.clone());
            }
            self.looks.insert(own.clone().into(), info);
        }
        self.names.insert(own.into(), pointer);
        Ok(())
    }

    /// The file that exists at a name that an entry lets the app create, move or remove, where no
    /// link leads to it.
    pub fn found(&self, name: &Path) -> Option<&FileInfo> {
        self.looks.get(name.as_os_str())
    }

    /// The entry that lets the app create, move or remove this name, under any of the names that
    /// mounts give it. No link leads to its directory.
    pub fn by(&self, name: &Path) -> Option<&str> {
        let others = mounts::other_names(&self.host.mounts, name);
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

    /// The first link on a path that the app may have created.
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

/// A path as its directory and its name there; for the root both are the root.
fn apart(path: &Path) -> (&Path, &Path) {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, Path::new(name)),
        _ => (path, Path::new("")),
    }
}

#[cfg(test)]
pub(super) mod tests;
