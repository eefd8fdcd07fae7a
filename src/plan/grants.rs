//! What a profile grants on files, as it is collected: the grants that the supervisor decides
//! by, the rules that the kernel gets, and where a rule is wider than its grant.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::error::seen;
use super::links::{Links, Planted};
use super::programs::Programs;
use super::{FileGrant, PathRule, Place, PlanError, Widened};
use crate::image::{FileInfo, FileKind, ImageFiles};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Endpoint, Profile, Rights};

/// Every right of a file entry.
pub(super) const ALL: Rights =
    Rights::READ.union(Rights::WRITE).union(Rights::CREATE).union(Rights::REMOVE).union(Rights::IOCTL);

/// What the file entries and the programs of a profile come to.
pub(super) struct Granted<'a> {
    pub files: &'a dyn ImageFiles,
    pub place: &'a Place,
    /// What is executable: `@elsewhere` must not reach it.
    pub programs: &'a Programs,
    /// What `@elsewhere` does not reach; nothing where the profile does not have it.
    pub outside: &'a BTreeSet<PathBuf>,
    /// The links that the app may have made.
    pub links: Links<'a>,
    /// Rights that the kernel knows; others would be refused by it.
    pub handled: BitFlags<AccessFs>,
    /// The supervisor can hand over files that it opened.
    pub hands_over: bool,
    /// `unix:*`: new names may be sockets.
    pub unix: bool,
    /// Other names of files that no process inside may change, where a grant would let it.
    pub second_names: BTreeSet<PathBuf>,
    pub grants: Vec<FileGrant>,
    /// Those of them that change something, see [`Granted::changing`].
    changing: OnceCell<Vec<usize>>,
    /// By path, see [`in_order`].
    pub rules: BTreeMap<Vec<u8>, PathRule>,
    /// The directory of the last path that no link was part of.
    real: OsString,
    pub widened: Vec<Widened>,
    pub notes: Vec<String>,
    /// Of the notes those on links that were not followed for a path of the profile.
    pub not_followed: Vec<String>,
}

impl<'a> Granted<'a> {
    /// Nothing granted yet.
    ///
    /// # Errors
    /// As [`Links::of`].
    pub fn new(
        profile: &Profile,
        kernel: &Kernel,
        place: &'a Place,
        files: &'a dyn ImageFiles,
        programs: &'a Programs,
        outside: &'a BTreeSet<PathBuf>,
    ) -> Result<Granted<'a>, PlanError> {
        let mut network = profile.network.listen.iter().chain(&profile.network.connect);
        Ok(Granted {
            files,
            place,
            programs,
            outside,
            links: Links::of(profile, place, files, outside)?,
            handled: handled(kernel.landlock),
            hands_over: kernel.notify.as_ref().is_ok_and(|notify| notify.addfd_send),
            unix: network.any(|entry| entry.what == Endpoint::UnixAny),
            second_names: BTreeSet::new(),
            grants: Vec::new(),
            changing: OnceCell::new(),
            rules: BTreeMap::new(),
            real: OsString::new(),
            widened: Vec::new(),
            notes: Vec::new(),
            not_followed: Vec::new(),
        })
    }

    /// The grants that change something, once all are there: they are few, and are asked for
    /// each program.
    pub fn changing(&self) -> impl Iterator<Item = &FileGrant> {
        let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let at = self.changing.get_or_init(|| {
            let grants = self.grants.iter().enumerate();
            grants.filter(|(_, grant)| grant.rights.intersects(changes)).map(|(at, _)| at).collect()
        });
        at.iter().map(|at| &self.grants[*at])
    }

    /// A program, a loader or an interpreter: to be executed, and read.
    pub fn program(&mut self, look: &FileInfo, pointer: &str) {
        let rights = match look.kind {
            FileKind::Directory => make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir}),
            _ => make_bitflags!(AccessFs::{Execute | ReadFile}),
        };
        self.rule(look, rights, pointer, false);
        self.policy(look, Rights::READ, pointer);
    }

    /// Entries of one directory stand together: that no link leads there is seen once.
    pub fn stat(&mut self, path: &Path) -> io::Result<Option<FileInfo>> {
        if let Some(look) = self.links.found(path) {
            return Ok(Some(look.clone()));
        }
        let parent = path.parent();
        if parent.is_some_and(|parent| parent.as_os_str() == self.real) {
            return self.files.stat_beside(path);
        }
        let look = self.files.stat(path)?;
        if let (Some(look), Some(parent)) = (&look, parent)
            && look.canonical == path
        {
            self.real = parent.into();
        }
        Ok(look)
    }

    /// What is there, with exactly these rights.
    pub fn there(&mut self, look: &FileInfo, rights: Rights, pointer: &str) {
        self.rule(look, on(look, rights), pointer, false);
        self.policy(look, rights, pointer);
    }

    /// The kernel's rule alone for what a walk has found: a wider grant says it to the
    /// supervisor.
    pub fn walked(&mut self, look: &FileInfo, rights: Rights, pointer: &str) {
        self.rule(look, on(look, rights), pointer, true);
    }

    /// A grant of one name, whatever file has it.
    pub fn name(&mut self, path: PathBuf, rights: Rights, pointer: &str) {
        self.grants.push(FileGrant {
            rule: pointer.to_owned(),
            path,
            id: None,
            exact: true,
            rights,
            except: Vec::new(),
        });
    }

    /// Those of these paths that are there.
    pub fn list(&mut self, paths: &[&str], rights: Rights, pointer: &str) -> Result<(), PlanError> {
        for path in paths.iter().map(Path::new) {
            let Some(look) = seen(self.files.stat(path), path, pointer)? else { continue };
            let by_link = look.canonical != path;
            match by_link.then(|| self.links.planted(path)).flatten() {
                None => self.there(&look, rights, pointer),
                Some(Planted { link, by, .. }) => self.notes.push(format!(
                    "{pointer}: {} leads over the link {}, which {by} lets the app make, so it is left out",
                    path.display(),
                    link.display()
                )),
            }
        }
        Ok(())
    }

    /// A rule that is wider than the profile.
    pub fn widen(&mut self, look: &FileInfo, rights: BitFlags<AccessFs>, pointer: &str, narrowed: bool) {
        let rights = rights & self.handled;
        if !rights.is_empty() {
            self.rule(look, rights, pointer, false);
            let path = look.canonical.clone();
            self.widened.push(Widened { path, rights, because: pointer.to_owned(), narrowed });
        }
    }

    /// Adds to the one rule of this path.
    fn rule(&mut self, look: &FileInfo, rights: BitFlags<AccessFs>, pointer: &str, walked: bool) {
        let rights = rights & self.handled;
        if rights.is_empty() {
            return;
        }
        let rule = self.rules.entry(in_order(&look.canonical)).or_insert_with(|| PathRule {
            path: look.canonical.clone(),
            id: look.id,
            rights: BitFlags::EMPTY,
            because: Vec::new(),
            walked,
        });
        rule.rights |= rights;
        rule.walked &= walked;
        // Entries come one after the other: what this one has said was said last.
        if rule.because.last().is_none_or(|because| because != pointer) {
            rule.because.push(pointer.to_owned());
        }
    }

    fn policy(&mut self, look: &FileInfo, rights: Rights, pointer: &str) {
        let same = |grant: &&mut FileGrant| {
            grant.rule == pointer && grant.path == look.canonical && grant.except.is_empty()
        };
        // What one entry grants stands together, at the end.
        let mut own = self.grants.iter_mut().rev().take_while(|grant| grant.rule == pointer);
        match own.find(same) {
            Some(grant) => grant.rights = grant.rights.union(rights),
            None => self.grants.push(FileGrant {
                rule: pointer.to_owned(),
                path: look.canonical.clone(),
                id: Some(look.id),
                exact: look.kind != FileKind::Directory,
                rights,
                except: Vec::new(),
            }),
        }
    }
}

/// Rights to the kernel that a domain of this level can handle. RESOLVE_UNIX
/// (level 9) would refuse what `unix:*` grants, and says nothing without it.
pub(super) fn handled(abi: LandlockAbi) -> BitFlags<AccessFs> {
    use landlock::{ABI, Access};
    AccessFs::from_all(ABI::from(i32::from(abi.0))) & !BitFlags::from(AccessFs::ResolveUnix)
}

/// The kernel's rights for an existing directory, on it and below.
fn on_directory(rights: Rights) -> BitFlags<AccessFs> {
    let create = make_bitflags!(AccessFs::{MakeReg | MakeDir | MakeSym | MakeSock | MakeFifo | Refer});
    let remove = make_bitflags!(AccessFs::{RemoveFile | RemoveDir | Refer});
    let table = [
        (Rights::READ, make_bitflags!(AccessFs::{ReadFile | ReadDir})),
        (Rights::CREATE, create),
        (Rights::REMOVE, remove),
    ];
    let of = |(right, flags): (Rights, BitFlags<AccessFs>)| rights.contains(right).then_some(flags);
    table.into_iter().filter_map(of).fold(on_file(rights), |all, flags| all | flags)
}

/// The kernel's rights for one file: the others are EINVAL there.
fn on_file(rights: Rights) -> BitFlags<AccessFs> {
    let table = [
        (Rights::READ, make_bitflags!(AccessFs::{ReadFile})),
        (Rights::WRITE, make_bitflags!(AccessFs::{WriteFile | Truncate})),
        (Rights::IOCTL, make_bitflags!(AccessFs::{IoctlDev})),
    ];
    let of = |(right, flags): (Rights, BitFlags<AccessFs>)| rights.contains(right).then_some(flags);
    table.into_iter().filter_map(of).fold(BitFlags::EMPTY, |all, flags| all | flags)
}

/// The kernel's rights for what is there.
fn on(look: &FileInfo, rights: Rights) -> BitFlags<AccessFs> {
    match look.kind {
        FileKind::Directory => on_directory(rights),
        _ => on_file(rights),
    }
}

/// A path's bytes so that they sort as paths do, name by name: what is below a
/// directory comes before its neighbours.
pub(super) fn in_order(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}
