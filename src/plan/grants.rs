//! A profile's grants on files, as they are collected: the grants by which the supervisor decides,
//! the kernel's rules, and where a rule is wider than its grant.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::error;
use super::links::{Links, Planted};
use super::programs::Programs;
use super::{FileGrant, Host, PathRule, PlanError, Widened};
use crate::image::{FileInfo, FileKind, ImageFiles};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Endpoint, Profile, Rights};

/// Every right of a file entry.
pub(super) const ALL: Rights =
    Rights::READ.union(Rights::WRITE).union(Rights::CREATE).union(Rights::REMOVE).union(Rights::IOCTL);

/// The grants of a profile's file entries and programs.
pub(super) struct Granted<'a> {
    pub files: &'a dyn ImageFiles,
    pub host: &'a Host,
    /// The executable files, which `@elsewhere` excludes.
    pub programs: &'a Programs,
    /// The paths that `@elsewhere` excludes; empty where the profile does not have it.
    pub outside: &'a BTreeSet<PathBuf>,
    /// What is data below directories of programs.
    pub data: &'a [FileInfo],
    /// The links that the app may have created.
    pub links: Links<'a>,
    /// The rights of this Landlock ABI; the kernel refuses others with EINVAL.
    pub handled: BitFlags<AccessFs>,
    /// The supervisor can install descriptors in the app (Linux 5.14).
    pub hands_over: bool,
    /// `unix:*`: new names may be sockets.
    pub unix: bool,
    /// Other names of files that no process inside may change, where a grant would let it.
    pub second_names: BTreeSet<PathBuf>,
    pub grants: Vec<FileGrant>,
    /// The indices of the grants that allow a change, see [`Granted::changing`].
    changing: OnceCell<Vec<usize>>,
    /// The indices by path, see [`in_order`].
    pub rules: BTreeMap<Vec<u8>, PathRule>,
    /// The directory of the last path without a link that the app may have created.
    real: OsString,
    pub widened: Vec<Widened>,
    pub notes: Vec<String>,
    /// The notes on links that were not followed for a path of the profile.
    pub not_followed: Vec<String>,
}

impl<'a> Granted<'a> {
    /// A collection without grants.
    ///
    /// # Errors
    /// As [`Links::of`].
    pub fn new(
        profile: &Profile,
        kernel: &Kernel,
        host: &'a Host,
        files: &'a dyn ImageFiles,
        programs: &'a Programs,
        outside: &'a BTreeSet<PathBuf>,
        data: &'a [FileInfo],
    ) -> Result<Granted<'a>, PlanError> {
        let mut network = profile.network.listen.iter().chain(&profile.network.connect);
        Ok(Granted {
            files,
            host,
            programs,
            outside,
            data,
            links: Links::of(profile, host, files, outside, data)?,
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

    /// The grants that allow a change, once all are collected: they are few, and are compared with
    /// each program.
    pub fn changing(&self) -> impl Iterator<Item = &FileGrant> {
        let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let at = self.changing.get_or_init(|| {
            let grants = self.grants.iter().enumerate();
            grants.filter(|(_, grant)| grant.rights.intersects(changes)).map(|(at, _)| at).collect()
        });
        at.iter().map(|at| &self.grants[*at])
    }

    /// Grants EXECUTE and READ on a program, a loader or an interpreter.
    pub fn program(&mut self, info: &FileInfo, pointer: &str) {
        let rights = match info.kind {
            FileKind::Directory => make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir}),
            _ => make_bitflags!(AccessFs::{Execute | ReadFile}),
        };
        self.rule(info, rights, pointer, false);
        self.policy(info, Rights::READ, pointer);
    }

    /// Entries of one directory follow each other: its links are checked once.
    pub fn stat(&mut self, path: &Path) -> io::Result<Option<FileInfo>> {
        if let Some(info) = self.links.found(path) {
            return Ok(Some(info.clone()));
        }
        let parent = path.parent();
        if parent.is_some_and(|parent| parent.as_os_str() == self.real) {
            return self.files.stat_beside(path);
        }
        let info = self.files.stat(path)?;
        if let (Some(info), Some(parent)) = (&info, parent)
            && info.canonical == path
        {
            self.real = parent.into();
        }
        Ok(info)
    }

    /// Grants exactly these rights on an existing file.
    pub fn there(&mut self, info: &FileInfo, rights: Rights, pointer: &str) {
        self.rule(info, on(info, rights), pointer, false);
        self.policy(info, rights, pointer);
    }

    /// The kernel's rule alone for a file that a walk has found: for the supervisor a wider grant
    /// covers it.
    pub fn walked(&mut self, info: &FileInfo, rights: Rights, pointer: &str) {
        self.rule(info, on(info, rights), pointer, true);
    }

    /// Grants a name, whatever file has it.
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

    /// The paths that exist.
    pub fn list(&mut self, paths: &[&str], rights: Rights, pointer: &str) -> Result<(), PlanError> {
        for path in paths.iter().map(Path::new) {
            let Some(info) = error::stat(self.files.stat(path), path, pointer)? else { continue };
            let by_link = info.canonical != path;
            match by_link.then(|| self.links.planted(path)).flatten() {
                None => self.there(&info, rights, pointer),
                Some(Planted { link, by, .. }) => self.notes.push(format!(
                    "{pointer}: {} leads over the link {}, which {by} lets the app make, so it is left out",
                    path.display(),
                    link.display()
                )),
            }
        }
        Ok(())
    }

    /// Records a rule that is wider than the profile.
    pub fn widen(&mut self, info: &FileInfo, rights: BitFlags<AccessFs>, pointer: &str, narrowed: bool) {
        let rights = rights & self.handled;
        if !rights.is_empty() {
            self.rule(info, rights, pointer, false);
            let path = info.canonical.clone();
            self.widened.push(Widened { path, rights, because: pointer.to_owned(), narrowed });
        }
    }

    /// Adds rights to the one rule of this path.
    fn rule(&mut self, info: &FileInfo, rights: BitFlags<AccessFs>, pointer: &str, walked: bool) {
        let rights = rights & self.handled;
        if rights.is_empty() {
            return;
        }
        let rule = self.rules.entry(in_order(&info.canonical)).or_insert_with(|| PathRule {
            path: info.canonical.clone(),
            id: info.id,
            rights: BitFlags::EMPTY,
            because: Vec::new(),
            walked,
        });
        rule.rights |= rights;
        rule.walked &= walked;
        // Entries are processed in order: this entry's last note is the last of all.
        if rule.because.last().is_none_or(|because| because != pointer) {
            rule.because.push(pointer.to_owned());
        }
    }

    fn policy(&mut self, info: &FileInfo, rights: Rights, pointer: &str) {
        let same = |grant: &&mut FileGrant| {
            grant.rule == pointer && grant.path == info.canonical && grant.except.is_empty()
        };
        // The grants of one entry are together, at the end.
        let mut own = self.grants.iter_mut().rev().take_while(|grant| grant.rule == pointer);
        match own.find(same) {
            Some(grant) => grant.rights = grant.rights.union(rights),
            None => self.grants.push(FileGrant {
                rule: pointer.to_owned(),
                path: info.canonical.clone(),
                id: Some(info.id),
                exact: info.kind != FileKind::Directory,
                rights,
                except: Vec::new(),
            }),
        }
    }
}

/// The Landlock rights that a domain of this ABI can handle. RESOLVE_UNIX (ABI 9) would refuse
/// what `unix:*` grants, and adds nothing without it.
pub(super) fn handled(abi: LandlockAbi) -> BitFlags<AccessFs> {
    use landlock::{ABI, Access};
    AccessFs::from_all(ABI::from(i32::from(abi.0))) & !BitFlags::from(AccessFs::ResolveUnix)
}

/// The kernel's rights for an existing directory, on it and below.
fn on_directory(rights: Rights) -> BitFlags<AccessFs> {
    let create = make_bitflags!(AccessFs::{MakeReg | MakeDir | MakeSym | MakeSock | MakeFifo | Refer});
    let remove = make_bitflags!(AccessFs::{RemoveFile | RemoveDir | Refer});
    let table = [
        (Rights::READ, AccessFs::ReadFile.into()),
        (Rights::LIST, AccessFs::ReadDir.into()),
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
fn on(info: &FileInfo, rights: Rights) -> BitFlags<AccessFs> {
    match info.kind {
        FileKind::Directory => on_directory(rights),
        _ => on_file(rights),
    }
}

/// A path's bytes in an order that sorts paths name by name: paths below a directory come before
/// its neighbours.
pub(super) fn in_order(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}
