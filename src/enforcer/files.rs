//! Calls that open, make, move and remove files.
//!
//! Each path is read and resolved once. Where the profile grants the access and the kernel's own
//! rules allow it, the call continues; where it is granted and no rule of the kernel's can allow
//! it (a name that did not exist at the start), the supervisor [performs](super::perform) it on
//! what was resolved. The inode that a name's rights are for is defined in
//! [`policy::inode`](crate::policy::inode).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use caps::Capability;
use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::sys::stat::fstat;

use super::deferred_calls::leased;
use super::perform::PerformError;
use super::{Decision, Enforcer, unknown};
use crate::event::ViolationObject;
use crate::ids::Pid;
use crate::image::{FileId, FileKind};
use crate::notify::caller::{Caller, is_descriptor_table_full};
use crate::notify::capabilities::{self, Owned, has};
use crate::notify::resolve::{Found, Target};
use crate::notify::syscall_args::{AttributeArgs, ChangeArgs, NewAttribute, Open, PathArg, TreeChange};
use crate::notify::unreadable::UNREADABLE;
use crate::plan::WRITES;
use crate::plan::secrets::is_secret;
use crate::policy::Denial;
use crate::policy::call::Call;
use crate::policy::data::may_link;
use crate::policy::file::{FileUse, Ruling};
use crate::policy::inode::{KernelGain, Standing};
use crate::profile::{Rights, Watch};

/// The file of a process below /proc.
const ENVIRON: &str = "environ";

impl Enforcer {
    /// Decides an open. A path that cannot be resolved fails with the kernel's errno.
    pub(super) fn open(&mut self, call: &Call, caller: &Caller) -> Decision {
        let open = match Open::decode(call, &self.memory_of(caller)) {
            Ok(open) => open,
            Err(errno) => return unknown(errno),
        };
        // An openat2 is always notified, so a read that is refused is reported.
        let reads = open.flags & WRITES as i32 == 0 && call.name != Some("openat2");
        match self.decide_open(caller, &open, self.rules.never_continues(call)) {
            // Landlock refuses it.
            Decision::Deny(refusal) if reads && !self.reports_read(&open, &refusal) => Decision::Continue,
            decision => decision,
        }
    }

    /// Whether a refused read is reported: all, or those of secrets, by the name that was used or by
    /// where it leads.
    fn reports_read(&self, open: &Open, refusal: &Denial) -> bool {
        let leads = || match &refusal.object {
            ViolationObject::Path { path, .. } => is_secret(path) || path.ends_with(ENVIRON),
            _ => true,
        };
        self.audit || self.rules.policy().watch == Watch::Reads || is_secret(&open.at.path) || leads()
    }

    /// The environment of another process, which the kernel does not let the caller read: the supervisor's,
    /// or one of another user.
    fn environment_of_another(&self, caller: &Caller, found: &Found) -> Option<Decision> {
        let of = found.canonical.strip_prefix("/proc").ok().filter(|of| of.ends_with(ENVIRON))?;
        let process: i32 = of.iter().next()?.to_str()?.parse().ok()?;
        let owner = fstat(&found.target.as_ref()?.fd).ok()?.st_uid;
        let is_another_users = owner != caller.uids[3].as_raw() && !has(caller, Capability::CAP_SYS_PTRACE);
        let is_refused = process as u32 == self.rules.policy().supervisor || is_another_users;
        is_refused.then(|| Decision::Deny(self.rules.denied_without_hint(&found.canonical, Rights::READ)))
    }

    /// Whether a change of owner needs no capability, as that to one's own; nothing of
    /// another call.
    ///
    /// # Errors
    /// UNREADABLE; any other failure is the kernel's own.
    pub(super) fn may_change_owner(&self, call: &Call, caller: &Caller) -> Result<Option<bool>, Errno> {
        let Some(args) = AttributeArgs::decode(call) else { return Ok(None) };
        let NewAttribute::Owner { user, group } = args.attribute else { return Ok(None) };
        let stat = match self.resolver().attributes_of(&args, caller, &self.memory_of(caller)) {
            Ok(target) => fstat(&target.fd).ok(),
            Err(UNREADABLE) => return Err(UNREADABLE),
            Err(_) => None,
        };
        Ok(Some(
            stat.is_none_or(|stat| capabilities::chown(caller, Owned::from(&stat), user, group).is_none()),
        ))
    }

    fn decide_open(&self, caller: &Caller, open: &Open, never_continues: bool) -> Decision {
        /// Once more where something came to be at the name meanwhile.
        const TRIES: u32 = 3;
        let tries = (1..TRIES).find_map(|_| self.try_open(caller, open, never_continues));
        let last = || self.try_open(caller, open, never_continues);
        tries.or_else(last).unwrap_or(Decision::Fail(Errno::EAGAIN))
    }

    /// None where another file came to be at the name while one was to be made there.
    fn try_open(&self, caller: &Caller, open: &Open, never_continues: bool) -> Option<Decision> {
        let flags = open.flags;
        let fails = |errno| if never_continues { Decision::Fail(errno) } else { Decision::Continue };
        let found = match self.find(caller, &open.at, open.follows()) {
            Ok(found) if open.at.names_directory() && !is_directory(&found) => {
                return Some(fails(if found.target.is_some() { Errno::ENOTDIR } else { Errno::ENOENT }));
            }
            Ok(found) => found,
            Err(Errno::EACCES) if self.is_supervisors(&open.at) => {
                return Some(Decision::Deny(self.rules.denied_without_hint(&open.at.path, Rights::WRITE)));
            }
            Err(errno) => return Some(unknown(errno)),
        };
        let Some((needs, kernel)) = opening_needs(&found, flags) else {
            return Some(match &found.target {
                _ if flags & libc::O_PATH != 0 => Decision::Continue,
                None => fails(Errno::ENOENT),
                Some(_) if flags & libc::O_TMPFILE == libc::O_TMPFILE => fails(Errno::ENOTDIR),
                Some(_) if flags & libc::O_EXCL != 0 => fails(Errno::EEXIST),
                Some(_) => fails(Errno::EISDIR),
            });
        };
        // O_NOFOLLOW. What O_PATH opens, and what O_EXCL finds, is above.
        if found.target.as_ref().is_some_and(|target| link_text(target).is_some()) {
            let is_directory_wanted = flags & libc::O_DIRECTORY != 0;
            let errno = if is_directory_wanted { Errno::ENOTDIR } else { Errno::ELOOP };
            return Some(Decision::Fail(errno));
        }
        if let Some(denied) = self.environment_of_another(caller, &found) {
            return Some(denied);
        }
        if let Some(stream) = found.stream {
            return Some(self.open_stream(caller, found, stream, open, (needs, kernel)));
        }
        Some(match self.ruling_for(caller, &found, open, needs, kernel) {
            Ok(Ruling::Kernel) if !never_continues => Decision::Continue,
            Ok(Ruling::Perform) | Ok(Ruling::Refuse(_)) | Err(_) if self.reopens(caller, &found, open) => {
                self.reopen(caller, found, open)
            }
            // What the supervisor cannot do for the caller is left to Landlock, which has no rule
            // that allows it.
            Ok(Ruling::Kernel | Ruling::Perform) if open.resolve != 0 => Decision::Continue,
            Ok(Ruling::Kernel | Ruling::Perform)
                if found.magic && found.target.as_ref().is_none_or(is_special) =>
            {
                Decision::Continue
            }
            // To open a device or a pipe may wait, or do more.
            Ok(Ruling::Kernel) if found.target.as_ref().is_some_and(is_special) => Decision::Continue,
            // Nothing is truncated or made by an open that fails.
            Ok(Ruling::Kernel | Ruling::Perform)
                if (found.target.is_none() || flags & libc::O_TRUNC != 0)
                    && is_descriptor_table_full(caller.tid) =>
            {
                Decision::Fail(Errno::EMFILE)
            }
            Ok(Ruling::Kernel | Ruling::Perform) => match self.perform_open(&found, open, caller) {
                Ok(fd) => Decision::Opened(fd, flags & libc::O_CLOEXEC != 0),
                Err(PerformError::Kernel(Errno::EWOULDBLOCK)) if flags & libc::O_NONBLOCK == 0 => {
                    leased(found.target, flags)
                }
                Err(PerformError::Kernel(errno)) => Decision::Fail(errno),
                Err(PerformError::TargetChanged) => {
                    Decision::Deny(self.rules.denied_without_hint(&found.canonical, needs))
                }
                Err(PerformError::NameTaken) => return None,
            },
            Ok(Ruling::Refuse(refusal)) | Err(refusal) => Decision::Deny(refusal),
        })
    }

    pub(super) fn change(&mut self, call: &Call, caller: &Caller) -> Decision {
        match self.decide_change(call, caller) {
            Ok(decision) => decision,
            Err(errno) => unknown(errno),
        }
    }

    fn decide_change(&self, call: &Call, caller: &Caller) -> Result<Decision, Errno> {
        let args = ChangeArgs::decode(call, &self.memory_of(caller))?;
        let Some(ChangeArgs { change, at, to }) = args else { return Ok(Decision::Continue) };
        Ok(match (change, to) {
            (TreeChange::HardLink { flags }, Some(to)) if flags != 0 => {
                self.link_what_it_leads_to(caller, at, &to, flags)
            }
            (change, Some(to)) => self.two(caller, &at, &to, change),
            (change, None) => self.one(caller, &at, change),
        })
    }

    /// A change of one path.
    fn one(&self, caller: &Caller, at: &PathArg, change: TreeChange) -> Decision {
        let follow = matches!(change, TreeChange::Truncate { .. });
        let never_continues = follow && self.rules.policy().truncates;
        let fails = |errno| if never_continues { Decision::Fail(errno) } else { Decision::Continue };
        // No right makes a device.
        if matches!(change, TreeChange::MakeNode { mode } if matches!(mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK))
        {
            return Decision::Deny(self.rules.device(&at.path));
        }
        let makes_directory = matches!(change, TreeChange::MakeDirectory { .. });
        let found = match self.find(caller, at, follow) {
            // Only a directory may be named with a slash at the end.
            Ok(found) if at.names_directory() && !makes_directory && !is_directory(&found) => {
                return fails(Errno::ENOTDIR);
            }
            Ok(found) => found,
            Err(errno) => return unknown(errno),
        };
        let Some((needs, kernel)) = change.needs(&found) else {
            return fails(match &found.target {
                None => Errno::ENOENT,
                Some(_) if is_directory(&found) => Errno::EISDIR,
                Some(_) => Errno::EINVAL,
            });
        };
        let leaves = matches!(&change, TreeChange::MakeLink { text } if !may_link(text));
        let ruling = match leaves {
            true => self.ruling(&found, needs, kernel),
            false => self.ruling_in_data(&found, needs, kernel, caller),
        };
        match ruling {
            Ok(Ruling::Kernel) => Decision::Continue,
            Ok(Ruling::Perform) if found.magic && !never_continues => Decision::Continue,
            Ok(Ruling::Perform) => match change {
                TreeChange::Truncate { length } => match self.exceeds(&found, length, caller) {
                    Ok(false) => match self.perform(&found, &change, caller) {
                        Err(PerformError::Kernel(Errno::EWOULDBLOCK)) => leased(found.target, libc::O_WRONLY),
                        performed => self.done(&found, needs, performed),
                    },
                    Ok(true) => Decision::ExceedsFileSize,
                    Err(errno) => Decision::Fail(errno),
                },
                _ => self.done(&found, needs, self.perform(&found, &change, caller)),
            },
            Ok(Ruling::Refuse(refusal)) | Err(refusal) => Decision::Deny(refusal),
        }
    }

    fn done(&self, found: &Found, needs: Rights, result: Result<(), PerformError>) -> Decision {
        match result {
            Ok(()) => Decision::Value(0),
            Err(PerformError::Kernel(errno)) => Decision::Fail(errno),
            Err(PerformError::NameTaken) => Decision::Fail(Errno::EEXIST),
            Err(PerformError::TargetChanged) => {
                Decision::Deny(self.rules.denied_without_hint(&found.canonical, needs))
            }
        }
    }

    /// A rename or a hard link, from one path to another.
    fn two(&self, caller: &Caller, from: &PathArg, to: &PathArg, change: TreeChange) -> Decision {
        let find = |at: &PathArg| self.find(caller, at, false);
        let (old, new) = match find(from).and_then(|old| Ok((old, find(to)?))) {
            Ok(both) => both,
            Err(errno) => return unknown(errno),
        };
        if (from.names_directory() || to.names_directory()) && !is_directory(&old) {
            return Decision::Continue;
        }
        let Some((from, to)) = change.needs_of_two(&old, &new) else { return Decision::Continue };
        // What a directory holds would be moved along, and a link may lead elsewhere.
        let moves_alone = |found: &Found| !is_directory(found) && !leaves(found);
        let in_data = Some(caller).filter(|_| moves_alone(&old) && moves_alone(&new));
        if let Some(refusal) = self.gains(&old, &new, &change, in_data) {
            return Decision::Deny(refusal);
        }
        let ruling = |found: &Found, (needs, kernel)| match in_data {
            Some(caller) => self.ruling_in_data(found, needs, kernel, caller),
            None => self.ruling(found, needs, kernel),
        };
        let rulings = [ruling(&old, from), ruling(&new, to)];
        let mut perform = false;
        for ruling in rulings {
            match ruling {
                Ok(Ruling::Kernel) => {}
                Ok(Ruling::Perform) => perform = true,
                Ok(Ruling::Refuse(refusal)) | Err(refusal) => return Decision::Deny(refusal),
            }
        }
        // What the kernel refuses anyway, between two file systems, is left to it.
        let one_device = device_of(&old).is_some_and(|device| Some(device) == device_of(&new));
        if old.magic || new.magic || !(perform || one_device) {
            return Decision::Continue;
        }
        let gained = self.gained(&old, &new, &change);
        // What a directory holds would be moved along with its times.
        if gained == KernelGain::Rights || (gained == KernelGain::ExecuteAlone && in_data.is_none()) {
            let refusal = self.rules.denied_without_hint(&new.canonical, Rights::CREATE);
            return Decision::Deny(Box::new(Denial { errno: Errno::EXDEV, ..*refusal }));
        }
        // For the kernel a file that was made since the start has no rights but its directory's.
        let is_refused = !is_directory(&old) && self.gained_by_rules(&old, &new, &change);
        if !perform && gained == KernelGain::Nothing && !is_refused {
            return Decision::Continue;
        }
        self.done(&old, from.0.union(to.0), self.perform_on_two(&old, &new, &change, caller))
    }

    /// linkat(2) with flags: a name for what a link leads to (AT_SYMLINK_FOLLOW), or for
    /// what a descriptor is open on (AT_EMPTY_PATH). The supervisor cannot do it for the
    /// caller: the name has to be granted, and the kernel's rules decide.
    fn link_what_it_leads_to(&self, caller: &Caller, from: PathArg, to: &PathArg, flags: i32) -> Decision {
        let follow = from.path.as_os_str().is_empty() || flags & libc::AT_SYMLINK_FOLLOW != 0;
        let both = self.find(caller, &from.or_descriptor(), follow);
        let both = both.and_then(|old| Ok((old, self.find(caller, to, false)?)));
        match both {
            Ok((old, new)) => match self.gains(&old, &new, &TreeChange::HardLink { flags }, None) {
                Some(refusal) if new.target.is_none() => Decision::Deny(refusal),
                _ => self.new_name(&new, AccessFs::MakeReg.into(), None),
            },
            Err(errno) => unknown(errno),
        }
    }

    /// The policy's ruling on one resolved path. What has no path (a pipe below `/proc/self/fd`)
    /// is not mediated.
    pub(super) fn ruling(
        &self,
        found: &Found,
        needs: Rights,
        kernel: BitFlags<AccessFs>,
    ) -> Result<Ruling, Box<Denial>> {
        // A memfd seems to have a path, but Landlock does not restrict it.
        let memory = found.magic && found.canonical.as_os_str().as_bytes().starts_with(b"/memfd:");
        if needs.is_empty() || memory || !found.canonical.is_absolute() {
            return Ok(Ruling::Kernel);
        }
        let target = found.target.as_ref().map(|target| target.id);
        let (canonical, standing) = (found.canonical.clone(), self.standing(found));
        let ruling = self.rules.file(&FileUse { canonical, target, needs, kernel, standing, data: false });
        let makes = needs.contains(Rights::CREATE) && self.rules.tracks(&found.canonical);
        if makes && !self.rules.policy().performs && !matches!(ruling, Ruling::Refuse(_)) {
            self.memory.inodes.borrow_mut().expect(&found.canonical);
        }
        Ok(ruling)
    }

    /// The same, where the supervisor performs the call or narrows what the kernel grants: a change that
    /// no entry grants is granted in a directory of data below one of programs.
    pub(super) fn ruling_in_data(
        &self,
        found: &Found,
        needs: Rights,
        kernel: BitFlags<AccessFs>,
        caller: &Caller,
    ) -> Result<Ruling, Box<Denial>> {
        const CHANGES: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let refused = match self.ruling(found, needs, kernel) {
            Ok(Ruling::Refuse(refused)) if needs.intersects(CHANGES) => refused,
            ruling => return ruling,
        };
        if !self.is_in_data(found, needs.contains(Rights::CREATE), caller) {
            return Ok(Ruling::Refuse(refused));
        }
        let target = found.target.as_ref().map(|target| target.id);
        let (canonical, standing) = (found.canonical.clone(), Standing::ALL);
        Ok(self.rules.file(&FileUse { canonical, target, needs, kernel, standing, data: true }))
    }

    /// What is known of the inodes that a path led over.
    pub(super) fn standing(&self, found: &Found) -> Standing {
        let is_another = |path: &Path, id: FileId| found.above(path) != Ok(id);
        let movable = self.rules.movable_above(&found.canonical);
        let exchanged = movable.filter(|(path, id)| is_another(path, *id)).map(|(path, _)| path.into());
        let owned = match &found.target {
            _ if !self.rules.tracks(&found.canonical) => Rights::NONE,
            Some(target) => self.owned(&found.canonical, target),
            None => {
                self.memory.inodes.borrow_mut().gone(&found.canonical);
                Rights::NONE
            }
        };
        Standing { exchanged: exchanged.collect(), owned }
    }

    /// The rights of tracked names that are for this inode. An inode that the kernel was
    /// expected to make at a name is remembered from then on.
    fn owned(&self, name: &Path, target: &Target) -> Rights {
        let mut inodes = self.memory.inodes.borrow_mut();
        let owned = inodes.owned(target.id, &self.rules);
        if inodes.was_expected(name)
            && !owned.contains(self.rules.tracked_rights(name))
            && let Ok(fd) = target.fd.try_clone()
        {
            inodes.came(name, fd);
            return inodes.owned(target.id, &self.rules);
        }
        owned
    }

    /// The ruling on an open. A path below the caller's own `/proc/PID` is `/proc/self` in the
    /// plan, since no process exists when that is made.
    fn ruling_for(
        &self,
        caller: &Caller,
        found: &Found,
        open: &Open,
        needs: Rights,
        kernel: BitFlags<AccessFs>,
    ) -> Result<Ruling, Box<Denial>> {
        let own = own_process(&found.canonical, caller.tgid).filter(|own| self.rules.names_one(own));
        let Some(canonical) = own else {
            return match open.resolve {
                0 => self.ruling_in_data(found, needs, kernel, caller),
                _ => self.ruling(found, needs, kernel),
            };
        };
        let target = found.target.as_ref().map(|target| target.id);
        Ok(self.rules.file(&FileUse {
            canonical,
            target,
            needs,
            kernel,
            standing: Standing::ALL,
            data: false,
        }))
    }

    /// A unix socket that is bound to a path is a new name there. It cannot be made
    /// for the caller, so Landlock alone decides what is granted.
    pub(super) fn bind_path(&self, path: &[u8], caller: &Caller) -> Decision {
        let at = PathArg::here(OsStr::from_bytes(path).as_ref());
        let found = match self.find(caller, &at, false) {
            Ok(found) => found,
            Err(errno) => return unknown(errno),
        };
        self.new_name(&found, AccessFs::MakeSock.into(), Some(caller))
    }

    /// A name that cannot be made for the caller: refused where it is not granted, also by a directory
    /// of data, else the kernel's to decide.
    fn new_name(&self, found: &Found, kernel: BitFlags<AccessFs>, in_data: Option<&Caller>) -> Decision {
        if found.target.is_some() {
            return Decision::Continue;
        }
        let ruling = match in_data {
            Some(caller) => self.ruling_in_data(found, Rights::CREATE, kernel, caller),
            None => self.ruling(found, Rights::CREATE, kernel),
        };
        match ruling {
            Ok(Ruling::Refuse(refusal)) | Err(refusal) => Decision::Deny(refusal),
            Ok(_) => Decision::Continue,
        }
    }
}

/// `/proc/TGID/NAME` and `/proc/TGID/task/TID/NAME`, as `/proc/self/NAME`.
fn own_process(canonical: &Path, tgid: Pid) -> Option<PathBuf> {
    let within = canonical.strip_prefix(format!("/proc/{tgid}")).ok()?;
    let name = match within.strip_prefix("task") {
        Ok(thread) => thread.strip_prefix(thread.iter().next()?).ok()?,
        Err(_) => within,
    };
    Some(Path::new("/proc/self").join(name))
}

pub(super) fn is_directory(found: &Found) -> bool {
    found.target.as_ref().is_some_and(|target| target.kind == FileKind::Directory)
}

/// The text of a symbolic link; none of another file.
fn link_text(target: &Target) -> Option<OsString> {
    if target.kind != FileKind::Other {
        return None;
    }
    // Of another file it is EINVAL or ENOENT (readlink(2)).
    readlinkat(&target.fd, "").ok()
}

/// Whether the name is a symbolic link that leads out of its directory.
fn leaves(found: &Found) -> bool {
    found.target.as_ref().and_then(link_text).is_some_and(|text| !may_link(text.as_bytes()))
}

/// The file system on which the directory of a name lies.
fn device_of(found: &Found) -> Option<u64> {
    nix::sys::stat::fstat(&found.parent).ok().map(|stat| stat.st_dev)
}

/// Whether it is neither a regular file nor a directory.
fn is_special(target: &Target) -> bool {
    !matches!(target.kind, FileKind::Regular | FileKind::Directory)
}

/// The rights that an open needs; `None` where the kernel refuses it anyway, or
/// where nothing is opened.
fn opening_needs(found: &Found, flags: i32) -> Option<(Rights, BitFlags<AccessFs>)> {
    if flags & libc::O_PATH != 0 {
        return None;
    }
    let mut needs = Rights::NONE;
    let mut kernel = BitFlags::empty();
    let directory = found.target.as_ref().is_some_and(|target| target.kind == FileKind::Directory);
    let access = flags & libc::O_ACCMODE;
    if access != libc::O_WRONLY {
        needs = needs.union(if directory { Rights::LIST } else { Rights::READ });
        kernel |= if directory { AccessFs::ReadDir } else { AccessFs::ReadFile };
    }
    if access != libc::O_RDONLY {
        needs = needs.union(Rights::WRITE);
        kernel |= AccessFs::WriteFile;
    }
    if flags & libc::O_TRUNC != 0 {
        needs = needs.union(Rights::WRITE);
        kernel |= AccessFs::Truncate;
    }
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        // A file without a name, in this directory.
        return directory.then_some((needs.difference(Rights::READ), kernel));
    }
    match &found.target {
        None if flags & libc::O_CREAT == 0 => return None,
        None => {
            needs = needs.union(Rights::CREATE);
            kernel |= AccessFs::MakeReg;
        }
        Some(_) if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 => return None,
        Some(_) if directory && needs.intersects(Rights::WRITE) => return None,
        Some(_) => {}
    }
    Some((needs, kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_threads_are_its_own_and_no_others() {
        let own = |path: &str| own_process(Path::new(path), Pid::from_raw(7));
        assert_eq!(own("/proc/7/comm"), Some("/proc/self/comm".into()));
        assert_eq!(own("/proc/7/task/9/comm"), Some("/proc/self/comm".into()));
        assert_eq!(own("/proc/7/task/9/attr/current"), Some("/proc/self/attr/current".into()));
        for other in ["/proc/71/comm", "/proc/8/comm", "/proc/8/task/7/comm", "/proc/comm", "/proc/7/task"] {
            assert_eq!(own(other), None, "{other}");
        }
    }
}
