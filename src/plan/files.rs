//! File entries against the image: what the supervisor decides by, what the kernel
//! is told, and where the kernel's word is wider than the profile's.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::error::seen;
use super::links::{Links, NAMES as NAMING, Planted};
use super::programs::Programs;
use super::{FileGrant, PathRule, Place, PlanError, Widened, elsewhere, exposed, second_names};
use crate::image::{FileKind, Files, Look, is_beneath};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Endpoint, FileEntry, FileGroup, FileRule, Profile, Rights};

/// Every right of a file entry.
pub(super) const ALL: Rights =
    Rights::READ.union(Rights::WRITE).union(Rights::CREATE).union(Rights::REMOVE).union(Rights::IOCTL);

/// What the file entries and the programs of a profile come to.
pub(super) struct Granted<'a> {
    pub files: &'a dyn Files,
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
    /// Other names of files that nobody inside may change, where a grant would let it.
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
fn on(look: &Look, rights: Rights) -> BitFlags<AccessFs> {
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

impl<'a> Granted<'a> {
    /// All of a profile's file entries, and what its programs bring.
    pub fn find(
        profile: &Profile,
        kernel: &Kernel,
        place: &'a Place,
        files: &'a dyn Files,
        programs: &'a Programs,
        outside: &'a BTreeSet<PathBuf>,
    ) -> Result<Granted<'a>, PlanError> {
        let mut network = profile.network.listen.iter().chain(&profile.network.connect);
        let mut granted = Granted {
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
        };
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
    fn program(&mut self, look: &Look, pointer: &str) {
        let rights = match look.kind {
            FileKind::Directory => make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir}),
            _ => make_bitflags!(AccessFs::{Execute | ReadFile}),
        };
        self.rule(look, rights, pointer, false);
        self.policy(look, Rights::READ, pointer);
    }

    /// One entry with a path.
    fn entry(&mut self, rule: &FileRule, pointer: &str) -> Result<(), PlanError> {
        let there = seen(self.look(&rule.path), &rule.path, pointer)?;
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

    /// Entries of one directory stand together: that no link leads there is seen once.
    fn look(&mut self, path: &Path) -> io::Result<Option<Look>> {
        if let Some(look) = self.links.found(path) {
            return Ok(Some(look.clone()));
        }
        let parent = path.parent();
        if parent.is_some_and(|parent| parent.as_os_str() == self.real) {
            return self.files.look_beside(path);
        }
        let look = self.files.look(path)?;
        if let (Some(look), Some(parent)) = (&look, parent)
            && look.canonical == path
        {
            self.real = parent.into();
        }
        Ok(look)
    }

    /// A directory with all below it, but for second names of what nobody may change:
    /// Landlock knows a file by its inode, and cannot take away what it gives above it.
    fn directory(&mut self, look: &Look, rights: Rights, pointer: &str) -> Result<(), PlanError> {
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

    /// What is there, with exactly these rights.
    fn there(&mut self, look: &Look, rights: Rights, pointer: &str) {
        self.rule(look, on(look, rights), pointer, false);
        self.policy(look, rights, pointer);
    }

    /// The kernel's rule alone for what a walk has found: a wider grant says it to the
    /// supervisor.
    pub fn walked(&mut self, look: &Look, rights: Rights, pointer: &str) {
        self.rule(look, on(look, rights), pointer, true);
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
            && let Some(parent) = seen(self.files.look(directory), directory, pointer)?
        {
            self.name(link.clone(), rule.allow, pointer);
            self.above(&parent, rule.allow, pointer);
        }
        Ok(())
    }

    /// A grant of one name, whatever stands there.
    fn name(&mut self, path: PathBuf, rights: Rights, pointer: &str) {
        self.grants.push(FileGrant {
            rule: pointer.to_owned(),
            path,
            id: None,
            exact: true,
            rights,
            except: Vec::new(),
        });
    }

    /// What a file's own rule cannot hold: its name is made and taken away in its
    /// directory, and once made anew it is another inode. The supervisor does that
    /// for the app and the kernel gives nothing: with a right to make or remove
    /// names there, a neighbour could be moved to the one name, and then be written.
    /// Only sockets cannot be made for another. Where the supervisor cannot hand
    /// over files, the kernel is told the directory and the supervisor looks.
    fn above(&mut self, parent: &Look, rights: Rights, pointer: &str) {
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

    /// A rule that is wider than the profile.
    pub fn widen(&mut self, look: &Look, rights: BitFlags<AccessFs>, pointer: &str, narrowed: bool) {
        let rights = rights & self.handled;
        if !rights.is_empty() {
            self.rule(look, rights, pointer, false);
            let path = look.canonical.clone();
            self.widened.push(Widened { path, rights, because: pointer.to_owned(), narrowed });
        }
    }

    /// Adds to the one rule of this path.
    fn rule(&mut self, look: &Look, rights: BitFlags<AccessFs>, pointer: &str, walked: bool) {
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

    fn policy(&mut self, look: &Look, rights: Rights, pointer: &str) {
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

    fn parent(&self, path: &Path, pointer: &str) -> Result<Option<Look>, PlanError> {
        path.parent().map_or(Ok(None), |parent| seen(self.files.look(parent), parent, pointer))
    }

    /// `@runtime`: what is there of it.
    fn runtime(&mut self, pointer: &str) -> Result<(), PlanError> {
        self.list(RUNTIME, Rights::READ, pointer)?;
        self.list(DEVICES, Rights::READ.union(Rights::WRITE), pointer)?;
        self.list(&["/dev/tty"], Rights::READ.union(Rights::WRITE).union(Rights::IOCTL), pointer)?;
        for path in &self.place.standard_files {
            let Some(look) = seen(self.files.look(path), path, pointer)? else { continue };
            let rights = match look.kind {
                FileKind::Directory => continue,
                _ if self.is_kept(&look, pointer)? => Rights::READ,
                FileKind::Device => Rights::READ.union(Rights::WRITE).union(Rights::IOCTL),
                _ => Rights::READ.union(Rights::WRITE),
            };
            self.there(&look, rights, pointer);
        }
        if let Some(look) = seen(self.files.look(Path::new("/proc")), Path::new("/proc"), pointer)? {
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
    /// that nobody inside may change.
    fn is_kept(&self, look: &Look, pointer: &str) -> Result<bool, PlanError> {
        for (_, guarded) in self.place.guarded.iter().chain(&self.programs.guarded) {
            if seen(self.files.look(guarded), guarded, pointer)?.is_some_and(|other| other.id == look.id) {
                return Ok(true);
            }
        }
        let mut held = self.programs.held.iter().map(|held| &held.look);
        Ok(look.canonical.starts_with("/proc")
            || held.any(|other| other.id == look.id || is_beneath(&look.canonical, &other.canonical)))
    }

    /// Those of these paths that are there.
    pub fn list(&mut self, paths: &[&str], rights: Rights, pointer: &str) -> Result<(), PlanError> {
        for path in paths.iter().map(Path::new) {
            let Some(look) = seen(self.files.look(path), path, pointer)? else { continue };
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
}

/// `@runtime`, for reading: libraries and how they are found (glibc's cache and
/// preload list, musl's path), locale and time zone, and the two corners of /sys
/// that malloc and Go's runtime look at for processors and huge pages.
pub(crate) const RUNTIME: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/timezone",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
];

/// `@runtime`, for reading and writing.
pub(crate) const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// `@runtime`, for writing: what a process may say of itself and nobody else. `comm`
/// is the name of one of its threads, as PR_SET_NAME sets it (glibc's
/// pthread_setname_np of another thread writes it), `coredump_filter` what a core
/// dump of it would hold (every JVM writes it when it starts). `self` is whoever asks.
pub(super) const OWN_PROCESS: [&str; 2] = ["/proc/self/comm", "/proc/self/coredump_filter"];

/// `@names`, for reading.
pub(crate) const NAMES: &[&str] = &[
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/services",
    "/etc/protocols",
];
