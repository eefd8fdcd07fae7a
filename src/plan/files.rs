//! File entries against the image: the grants by which the supervisor decides, the rules for the
//! kernel, and where a rule is wider than the profile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::error;
use super::file_groups::{DEVICES, NAMES, OWN_PROCESS, RUNTIME};
use super::grants::Granted;
use super::links::{NAMES as NAMING, Planted};
use super::programs::Programs;
use super::{FileGrant, Host, PlanError, PlanFault, devices, elsewhere, exposed, second_names};
use crate::image::{FileInfo, FileKind, ImageFiles, is_beneath};
use crate::kernel::Kernel;
use crate::profile::{FileEntry, FileGroup, FileRule, Profile, Rights};

/// The grants of a profile's file entries and of its programs.
///
/// # Errors
/// An entry that cannot be applied to this image.
pub(super) fn find<'a>(
    profile: &Profile,
    kernel: &Kernel,
    host: &'a Host,
    files: &'a dyn ImageFiles,
    programs: &'a Programs,
    outside: &'a BTreeSet<PathBuf>,
    data: &'a [FileInfo],
) -> Result<Granted<'a>, PlanError> {
    let mut granted = Granted::new(profile, kernel, host, files, programs, outside, data)?;
    second_names::find(&mut granted, profile)?;
    for executable in &programs.executables {
        granted.program(&executable.info, &executable.because);
    }
    for (tree, pointer) in &programs.trees {
        granted.program(tree, pointer);
    }
    for library in &programs.libraries {
        granted.there(&library.info, Rights::READ, &library.because);
    }
    for (index, entry) in profile.files.iter().enumerate() {
        let pointer = format!("/files/{index}");
        match entry {
            FileEntry::Path(rule) => granted.entry(rule, &pointer)?,
            FileEntry::Group(group) => match group.what {
                FileGroup::Runtime => granted.runtime(&pointer)?,
                FileGroup::Names => granted.list(NAMES, Rights::READ, &pointer)?,
                FileGroup::Gpu => devices::gpu(&mut granted, &pointer)?,
                FileGroup::Elsewhere => elsewhere::grant(&mut granted, &pointer)?,
            },
        }
    }
    exposed::withhold(&mut granted);
    Ok(granted)
}

impl Granted<'_> {
    /// One entry with a path.
    fn entry(&mut self, rule: &FileRule, pointer: &str) -> Result<(), PlanError> {
        let there = error::stat(self.stat(&rule.path), &rule.path, pointer)?;
        let by_link = there.as_ref().is_some_and(|info| info.canonical != rule.path);
        if let Some(planted) = by_link.then(|| self.links.planted(&rule.path)).flatten() {
            return self.not_followed(rule, &planted, pointer);
        }
        match there {
            Some(info) if info.kind == FileKind::Directory => self.directory(&info, rule.allow, pointer)?,
            Some(info) => {
                if rule.allow == Rights::LIST {
                    let path = rule.path.display();
                    self.notes
                        .push(format!("{pointer}: {path} is no directory: `list` grants nothing on it"));
                }
                self.there(&info, rule.allow, pointer);
                if rule.allow.intersects(Rights::CREATE.union(Rights::REMOVE))
                    && let Some(parent) = self.parent(&info.canonical, pointer)?
                {
                    self.above(&parent, rule.allow, pointer);
                }
            }
            None => self.missing(rule, pointer)?,
        }
        Ok(())
    }

    /// A directory with all below it, except for second names of files that no process may change:
    /// Landlock decides by inode, and cannot remove a right that a rule above grants.
    fn directory(&mut self, info: &FileInfo, rights: Rights, pointer: &str) -> Result<(), PlanError> {
        let below = |name: &&PathBuf| is_beneath(name, &info.canonical);
        let mut except = BTreeSet::new();
        except.extend(self.second_names.iter().filter(below).cloned());
        if except.is_empty() || !rights.contains(Rights::WRITE) {
            self.there(info, rights, pointer);
            return Ok(());
        }
        elsewhere::split(self, &info.canonical, &except, rights, pointer)?;
        self.grants.push(FileGrant {
            rule: pointer.to_owned(),
            path: info.canonical.clone(),
            id: Some(info.id),
            exact: false,
            rights,
            except: except.into_iter().collect(),
        });
        Ok(())
    }

    /// A path that does not exist: with `create`, the app may create it.
    fn missing(&mut self, rule: &FileRule, pointer: &str) -> Result<(), PlanError> {
        let path = rule.path.display();
        let parent = self.parent(&rule.path, pointer)?.filter(|info| info.kind == FileKind::Directory);
        let above = rule.path.parent().unwrap_or(&rule.path);
        let by_link = parent.as_ref().is_some_and(|info| info.canonical != above);
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
            (None, _) if rule.allow.contains(Rights::CREATE) => {
                Err(PlanError::at(pointer, PlanFault::NoDirectory(rule.path.clone())))
            }
            _ => Err(PlanError::at(pointer, PlanFault::Missing(rule.path.clone()))),
        }
    }

    /// A path behind a link that the app may have created is treated as one that does not exist.
    fn not_followed(&mut self, rule: &FileRule, planted: &Planted, pointer: &str) -> Result<(), PlanError> {
        let Planted { link, by, end, last } = planted;
        let path = rule.path.display();
        let names = *last && rule.allow.intersects(NAMING);
        if !names && !rule.optional {
            let (path, link) = (rule.path.clone(), link.clone());
            let fault = PlanFault::CreatableLink { path, link, by: by.clone(), end: end.clone() };
            return Err(PlanError::at(pointer, fault));
        }
        let granted = if names { "the name alone is granted" } else { "nothing is granted" };
        let note = format!(
            "{pointer}: {path} leads over the link {}, which {by} lets the app make, so it is not followed: {granted}",
            link.display()
        );
        self.not_followed.push(note);
        if names
            && let Some(directory) = link.parent()
            && let Some(parent) = error::stat(self.files.stat(directory), directory, pointer)?
        {
            self.name(link.clone(), rule.allow, pointer);
            self.above(&parent, rule.allow, pointer);
        }
        Ok(())
    }

    /// The rights that a file's own rule cannot express: its name is created and removed in its
    /// directory, and once created again it is another inode. The supervisor does that for the app,
    /// and the kernel gets no such right: with a right to create or remove names there, a neighbour
    /// could be moved to the one name, and then be written. Only sockets cannot be created for another
    /// process. Where the supervisor cannot install files in the app, the kernel's rule is on the
    /// directory and the supervisor checks the name.
    pub(super) fn above(&mut self, parent: &FileInfo, rights: Rights, pointer: &str) {
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
        path.parent().map_or(Ok(None), |parent| error::stat(self.files.stat(parent), parent, pointer))
    }

    /// The paths of `@runtime` that exist.
    fn runtime(&mut self, pointer: &str) -> Result<(), PlanError> {
        self.list(RUNTIME, Rights::READ, pointer)?;
        self.list(DEVICES, Rights::READ.union(Rights::WRITE), pointer)?;
        self.list(&["/dev/tty"], Rights::READ.union(Rights::WRITE).union(Rights::IOCTL), pointer)?;
        for path in &self.host.standard_files {
            let Some(info) = error::stat(self.files.stat(path), path, pointer)? else { continue };
            let rights = match info.kind {
                FileKind::Directory => continue,
                _ if self.is_protected(&info, pointer)? => Rights::READ,
                FileKind::Device => Rights::READ.union(Rights::WRITE).union(Rights::IOCTL),
                _ => Rights::READ.union(Rights::WRITE),
            };
            self.there(&info, rights, pointer);
        }
        if let Some(info) = error::stat(self.files.stat(Path::new("/proc")), Path::new("/proc"), pointer)? {
            self.there(&info, Rights::READ, pointer);
            self.widen(&info, make_bitflags!(AccessFs::{ReadFile | ReadDir}), pointer, false);
            self.own_process(pointer);
        }
        Ok(())
    }

    /// Landlock cannot name a process that does not exist yet, so the supervisor opens these files for
    /// the app, or lets it open them, where no domain is in force.
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

    /// Whether a file that is open on a standard descriptor is one that no process inside may change.
    fn is_protected(&self, info: &FileInfo, pointer: &str) -> Result<bool, PlanError> {
        for (_, guarded) in self.host.guarded.iter().chain(&self.programs.guarded) {
            if error::stat(self.files.stat(guarded), guarded, pointer)?
                .is_some_and(|other| other.id == info.id)
            {
                return Ok(true);
            }
        }
        let mut executable = self.programs.executables.iter().map(|executable| &executable.info);
        Ok(info.canonical.starts_with("/proc")
            || executable.any(|other| other.id == info.id || is_beneath(&info.canonical, &other.canonical)))
    }
}
