//! File entries against the image: what the supervisor decides by, what the kernel
//! is told, and where the kernel's word is wider than the profile's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::error::seen;
use super::file_groups::{DEVICES, NAMES, OWN_PROCESS, RUNTIME};
use super::grants::Granted;
use super::links::{NAMES as NAMING, Planted};
use super::programs::Programs;
use super::{FileGrant, Place, PlanError, elsewhere, exposed, second_names};
use crate::image::{FileInfo, FileKind, ImageFiles, is_beneath};
use crate::kernel::Kernel;
use crate::profile::{FileEntry, FileGroup, FileRule, Profile, Rights};

/// All of a profile's file entries, and what its programs bring.
///
/// # Errors
/// An entry that this image cannot have.
pub(super) fn find<'a>(
    profile: &Profile,
    kernel: &Kernel,
    place: &'a Place,
    files: &'a dyn ImageFiles,
    programs: &'a Programs,
    outside: &'a BTreeSet<PathBuf>,
) -> Result<Granted<'a>, PlanError> {
    let mut granted = Granted::new(profile, kernel, place, files, programs, outside)?;
    second_names::find(&mut granted, profile)?;
    for held in &programs.held {
        granted.program(&held.look, &held.because);
    }
    for library in &programs.libraries {
        granted.there(&library.look, Rights::READ, &library.because);
    }
    for (index, entry) in profile.files.iter().enumerate() {
        let pointer = format!("/files/{index}");
        match entry {
            FileEntry::Path(rule) => granted.entry(rule, &pointer)?,
            FileEntry::Group(group) => match group.what {
                FileGroup::Runtime => granted.runtime(&pointer)?,
                FileGroup::Names => granted.list(NAMES, Rights::READ, &pointer)?,
                FileGroup::Elsewhere => elsewhere::grant(&mut granted, &pointer)?,
            },
        }
    }
    exposed::withhold(&mut granted);
    granted.widened.sort_by(|a, b| (&a.path, &a.because).cmp(&(&b.path, &b.because)));
    Ok(granted)
}

impl Granted<'_> {
    /// One entry with a path.
    fn entry(&mut self, rule: &FileRule, pointer: &str) -> Result<(), PlanError> {
        let there = seen(self.stat(&rule.path), &rule.path, pointer)?;
        let by_link = there.as_ref().is_some_and(|look| look.canonical != rule.path);
        if let Some(planted) = by_link.then(|| self.links.planted(&rule.path)).flatten() {
            return self.not_followed(rule, &planted, pointer);
        }
        match there {
            Some(look) if look.kind == FileKind::Directory => self.directory(&look, rule.allow, pointer)?,
            Some(look) => {
                self.there(&look, rule.allow, pointer);
                if rule.allow.intersects(Rights::CREATE.union(Rights::REMOVE))
                    && let Some(parent) = self.parent(&look.canonical, pointer)?
                {
                    self.above(&parent, rule.allow, pointer);
                }
            }
            None => self.missing(rule, pointer)?,
        }
        Ok(())
    }

    /// A directory with all below it, but for second names of what no process may change:
    /// Landlock knows a file by its inode, and cannot take away what it gives above it.
    fn directory(&mut self, look: &FileInfo, rights: Rights, pointer: &str) -> Result<(), PlanError> {
        let below = |name: &&PathBuf| is_beneath(name, &look.canonical);
        let except: BTreeSet<PathBuf> = self.second_names.iter().filter(below).cloned().collect();
        if except.is_empty() || !rights.contains(Rights::WRITE) {
            self.there(look, rights, pointer);
            return Ok(());
        }
        elsewhere::split(self, &look.canonical, &except, rights, pointer)?;
        self.grants.push(FileGrant {
            rule: pointer.to_owned(),
            path: look.canonical.clone(),
            id: Some(look.id),
            exact: false,
            rights,
            except: except.into_iter().collect(),
        });
        Ok(())
    }

    /// A path that is not there: with `create`, the app may make it.
    fn missing(&mut self, rule: &FileRule, pointer: &str) -> Result<(), PlanError> {
        let path = rule.path.display();
        let parent = self.parent(&rule.path, pointer)?.filter(|look| look.kind == FileKind::Directory);
        let above = rule.path.parent().unwrap_or(&rule.path);
        let by_link = parent.as_ref().is_some_and(|look| look.canonical != above);
        if let Some(planted) = by_link.then(|| self.links.planted(above)).flatten() {
            return self.not_followed(rule, &Planted { last: false, ..planted }, pointer);
        }
        match (parent, rule.path.file_name()) {
            (Some(parent), Some(name)) if rule.allow.contains(Rights::CREATE) => {
                self.name(parent.canonical.join(name), rule.allow, pointer);
                self.above(&parent, rule.allow, pointer);
                Ok(())
            }
            _ if rule.optional => {
                self.notes
                    .push(format!("{pointer}: {path} is not there, and need not be: nothing is granted"));
                Ok(())
            }
            (None, _) if rule.allow.contains(Rights::CREATE) => Err(PlanError::at(
                pointer,
                format!(
                    "the directory of `{path}` is not there; make it in the image, or say `\"optional\": true`"
                ),
            )),
            _ => Err(PlanError::at(
                pointer,
                format!("`{path}` is not there; put it into the image, or say `\"optional\": true`"),
            )),
        }
    }

    /// Behind a link that the app may have made it is as if nothing stood at the path.
    fn not_followed(&mut self, rule: &FileRule, planted: &Planted, pointer: &str) -> Result<(), PlanError> {
        let Planted { link, by, end, last } = planted;
        let path = rule.path.display();
        let names = *last && rule.allow.intersects(NAMING);
        if !names && !rule.optional {
            return Err(PlanError::at(
                pointer,
                format!(
                    "`{path}` leads over the link `{}`, which {by} lets the app make; name what is meant, perhaps `{}`, or say `\"optional\": true`",
                    link.display(),
                    end.display()
                ),
            ));
        }
        let granted = if names { "the name alone is granted" } else { "nothing is granted" };
        let note = format!(
            "{pointer}: {path} leads over the link {}, which {by} lets the app make, so it is not followed: {granted}",
            link.display()
        );
        self.not_followed.push(note);
        if names
            && let Some(directory) = link.parent()
            && let Some(parent) = seen(self.files.stat(directory), directory, pointer)?
        {
            self.name(link.clone(), rule.allow, pointer);
            self.above(&parent, rule.allow, pointer);
        }
        Ok(())
    }

    /// What a file's own rule cannot hold: its name is made and taken away in its
    /// directory, and once made anew it is another inode. The supervisor does that
    /// for the app and the kernel gives nothing: with a right to make or remove
    /// names there, a neighbour could be moved to the one name, and then be written.
    /// Only sockets cannot be made for another. Where the supervisor cannot hand
    /// over files, the kernel is told the directory and the supervisor looks.
    fn above(&mut self, parent: &FileInfo, rights: Rights, pointer: &str) {
        let mut narrowed = BitFlags::EMPTY;
        if rights.contains(Rights::CREATE) {
            if self.unix {
                narrowed |= AccessFs::MakeSock;
            }
            if !self.hands_over {
                narrowed |= AccessFs::MakeReg;
            }
            if rights.contains(Rights::WRITE) && !self.hands_over {
                narrowed |= make_bitflags!(AccessFs::{WriteFile | Truncate});
            }
            if rights.contains(Rights::READ) {
                self.widen(parent, AccessFs::ReadFile.into(), pointer, false);
            }
        }
        if rights.contains(Rights::REMOVE) && !self.hands_over {
            narrowed |= AccessFs::RemoveFile;
        }
        self.widen(parent, narrowed, pointer, true);
    }

    fn parent(&self, path: &Path, pointer: &str) -> Result<Option<FileInfo>, PlanError> {
        path.parent().map_or(Ok(None), |parent| seen(self.files.stat(parent), parent, pointer))
    }

    /// `@runtime`: what is there of it.
    fn runtime(&mut self, pointer: &str) -> Result<(), PlanError> {
        self.list(RUNTIME, Rights::READ, pointer)?;
        self.list(DEVICES, Rights::READ.union(Rights::WRITE), pointer)?;
        self.list(&["/dev/tty"], Rights::READ.union(Rights::WRITE).union(Rights::IOCTL), pointer)?;
        for path in &self.place.standard_files {
            let Some(look) = seen(self.files.stat(path), path, pointer)? else { continue };
            let rights = match look.kind {
                FileKind::Directory => continue,
                _ if self.is_kept(&look, pointer)? => Rights::READ,
                FileKind::Device => Rights::READ.union(Rights::WRITE).union(Rights::IOCTL),
                _ => Rights::READ.union(Rights::WRITE),
            };
            self.there(&look, rights, pointer);
        }
        if let Some(look) = seen(self.files.stat(Path::new("/proc")), Path::new("/proc"), pointer)? {
            self.there(&look, Rights::READ, pointer);
            self.widen(&look, make_bitflags!(AccessFs::{ReadFile | ReadDir}), pointer, false);
            self.own_process(pointer);
        }
        Ok(())
    }

    /// The kernel's rules cannot name a process that is not there yet, so the
    /// supervisor opens these for the app, or lets it, where the kernel holds nothing.
    fn own_process(&mut self, pointer: &str) {
        if !self.hands_over && !self.handled.is_empty() {
            return;
        }
        self.grants.extend(OWN_PROCESS.iter().map(|path| FileGrant {
            rule: pointer.to_owned(),
            path: path.into(),
            id: None,
            exact: true,
            rights: Rights::WRITE,
            except: Vec::new(),
        }));
    }

    /// Whether a file that merely happens to be open on a standard descriptor is one
    /// that no process inside may change.
    fn is_kept(&self, look: &FileInfo, pointer: &str) -> Result<bool, PlanError> {
        for (_, guarded) in self.place.guarded.iter().chain(&self.programs.guarded) {
            if seen(self.files.stat(guarded), guarded, pointer)?.is_some_and(|other| other.id == look.id) {
                return Ok(true);
            }
        }
        let mut held = self.programs.held.iter().map(|held| &held.look);
        Ok(look.canonical.starts_with("/proc")
            || held.any(|other| other.id == look.id || is_beneath(&look.canonical, &other.canonical)))
    }
}
