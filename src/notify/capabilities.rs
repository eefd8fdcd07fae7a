//! The capability that a call needed to succeed, as the kernel decides it (capabilities(7)). Pure:
//! from the caller's status, the registers, and the file or process of the call.

use caps::Capability;
use nix::sys::stat::FileStat;

use crate::ids::{Gid, Uid};
use crate::notify::caller::Caller;
use crate::policy::call::{Call, takes_another_id};
use crate::syscalls::{Arg, Change, Handler, clone_flags};

/// Whether the caller has a capability in its effective set.
pub fn has(caller: &Caller, capability: Capability) -> bool {
    caller.effective & capability.bitmask() != 0
}

/// A file's owner, group and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// st_uid.
    pub user: Uid,
    /// st_gid.
    pub group: Gid,
    /// st_mode's permission bits.
    pub mode: u32,
}

impl From<&FileStat> for Owned {
    fn from(stat: &FileStat) -> Owned {
        Owned {
            user: Uid::from_raw(stat.st_uid),
            group: Gid::from_raw(stat.st_gid),
            mode: stat.st_mode & 0o7777,
        }
    }
}

/// Read permission, a bit of one octal digit of a mode.
pub const READ: u32 = 4;
/// Write permission, as [`READ`].
pub const WRITE: u32 = 2;
/// Search or execute permission, as [`READ`].
pub const SEARCH: u32 = 1;

const STICKY: u32 = 0o1000;
const SETGID: u32 = 0o2000;

impl Caller {
    fn is_in(&self, group: Gid) -> bool {
        self.gids[3] == group || self.groups.contains(&group)
    }

    fn owns(&self, file: Owned) -> bool {
        self.uids[3] == file.user
    }
}

/// Whether owner, group and mode alone grant the caller this access.
pub fn may(caller: &Caller, file: Owned, wanted: u32) -> bool {
    let shift = match () {
        () if caller.owns(file) => 6,
        () if caller.is_in(file.group) => 3,
        () => 0,
    };
    (file.mode >> shift) & wanted == wanted
}

/// The capability for an access that owner, group and mode do not grant. Reading a file and
/// searching a directory need one of two capabilities: the smaller where the caller has it.
pub fn access(caller: &Caller, file: Owned, wanted: u32, directory: bool) -> Option<Capability> {
    if may(caller, file, wanted) {
        return None;
    }
    let reads = wanted & WRITE == 0 && (directory || wanted & SEARCH == 0);
    let smaller = reads && has(caller, Capability::CAP_DAC_READ_SEARCH);
    Some(if smaller { Capability::CAP_DAC_READ_SEARCH } else { Capability::CAP_DAC_OVERRIDE })
}

/// The capability to remove a name from a sticky directory (restricted deletion flag).
pub fn removal(caller: &Caller, directory: Owned, file: Owned) -> Option<Capability> {
    let others = directory.mode & STICKY != 0 && !caller.owns(directory) && !caller.owns(file);
    others.then_some(Capability::CAP_FOWNER)
}

/// The capability for a change of owner; -1 leaves an id unchanged (chown_ok, chgrp_ok).
pub fn chown(caller: &Caller, file: Owned, user: Uid, group: Gid) -> Option<Capability> {
    let same_user = user.as_raw() == u32::MAX || (caller.owns(file) && user == file.user);
    let own_group =
        group.as_raw() == u32::MAX || (caller.owns(file) && (group == file.group || caller.is_in(group)));
    (!same_user || !own_group).then_some(Capability::CAP_CHOWN)
}

/// The capabilities for a change of mode.
pub fn chmod(caller: &Caller, file: Owned, mode: u32) -> Vec<Capability> {
    let mut needed = Vec::new();
    if !caller.owns(file) {
        needed.push(Capability::CAP_FOWNER);
    }
    if mode & SETGID != 0 && !caller.is_in(file.group) {
        needed.push(Capability::CAP_FSETID);
    }
    needed
}

/// The capability for a change of a file's times; `given` unless they are set to the current time.
pub fn times(caller: &Caller, file: Owned, given: bool) -> Option<Capability> {
    let now_at_least = !given && may(caller, file, WRITE);
    (!caller.owns(file) && !now_at_least).then_some(Capability::CAP_FOWNER)
}

/// The capability for a signal to this process.
pub fn kill(caller: &Caller, target: &Caller) -> Option<Capability> {
    let [real, effective, ..] = caller.uids;
    let [theirs, _, saved, _] = target.uids;
    let ok = [real, effective].iter().any(|uid| *uid == theirs || *uid == saved);
    (!ok && caller.tgid != target.tgid).then_some(Capability::CAP_KILL)
}

/// Whether the caller may not change a process's scheduling without a capability
/// (check_same_owner).
pub fn is_anothers(caller: &Caller, target: &Caller) -> bool {
    let [_, effective, ..] = caller.uids;
    let [theirs, own, ..] = target.uids;
    effective != theirs && effective != own
}

/// The capability to bind this port, where ports from `first` on need none.
pub fn bind(port: u16, first: u16) -> Option<Capability> {
    (port != 0 && port < first).then_some(Capability::CAP_NET_BIND_SERVICE)
}

/// The capability that a call needs by its registers alone.
pub fn by_registers(call: &Call, caller: &Caller) -> Option<Capability> {
    let a = call.args;
    let name = call.name?;
    let handler = call.handler();
    match name {
        _ if handler == Handler::SetUid => {
            takes_another_id(call, caller.uids.map(Uid::as_raw)).then_some(Capability::CAP_SETUID)
        }
        _ if handler == Handler::SetGid => {
            takes_another_id(call, caller.gids.map(Gid::as_raw)).then_some(Capability::CAP_SETGID)
        }
        "socket" => {
            let (family, kind) = (a[0] as i32, a[1] as i32 & 0xf);
            let raw = kind == libc::SOCK_RAW && matches!(family, libc::AF_INET | libc::AF_INET6);
            (raw || family == libc::AF_PACKET).then_some(Capability::CAP_NET_RAW)
        }
        "prctl" if matches!(a[0] as i32, libc::PR_CAPBSET_DROP | libc::PR_SET_SECUREBITS) => {
            Some(Capability::CAP_SETPCAP)
        }
        _ if handler == Handler::Change(Change::MakeNode) => {
            call.argument(Arg::Mode).is_some_and(is_device).then_some(Capability::CAP_MKNOD)
        }
        "sched_setscheduler" if is_real_time(a[1] as u32) => Some(Capability::CAP_SYS_NICE),
        // The creator of a user namespace may create the other namespaces in it.
        "unshare" | "clone" if a[0] & libc::CLONE_NEWUSER as u64 != 0 => None,
        "unshare" | "clone" => (a[0] & NAMESPACES != 0).then_some(Capability::CAP_SYS_ADMIN),
        // Each has its own rules, which depend on the file.
        _ if matches!(handler, Handler::Attribute(_)) => None,
        _ => crate::syscalls::privileged(name),
    }
}

/// The flags of unshare(2) and clone(2) for a new namespace.
const NAMESPACES: u64 = clone_flags::NAMESPACES | clone_flags::NEWTIME;

fn is_device(mode: u64) -> bool {
    matches!(mode as u32 & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
}

/// Whether it is SCHED_FIFO, SCHED_RR or SCHED_DEADLINE, whatever flags are set beside it.
pub const fn is_real_time(policy: u32) -> bool {
    matches!(policy & 0xff, 1 | 2 | 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    fn caller(uid: u32, gid: u32, groups: &[u32]) -> Caller {
        Caller {
            tgid: Pid::from_raw(7),
            uids: [Uid::from_raw(uid); 4],
            gids: [Gid::from_raw(gid); 4],
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
            ..Caller::default()
        }
    }

    const fn file(user: u32, group: u32, mode: u32) -> Owned {
        Owned { user: Uid::from_raw(user), group: Gid::from_raw(group), mode }
    }

    fn call(name: &'static str, args: [u64; 6]) -> Call {
        Call { name: Some(name), number: 0, args }
    }

    #[test]
    fn owner_group_and_mode_come_before_a_capability() {
        let web = caller(33, 33, &[7]);
        assert_eq!(access(&web, file(33, 0, 0o600), READ | WRITE, false), None);
        assert_eq!(access(&web, file(0, 7, 0o640), READ, false), None);
        assert_eq!(access(&web, file(0, 0, 0o644), READ, false), None);
        assert_eq!(access(&web, file(0, 0, 0o600), READ, false), Some(Capability::CAP_DAC_OVERRIDE));
        // For the owner the owner's bits count alone, whatever the others grant.
        assert_eq!(access(&web, file(33, 0, 0o077), READ, false), Some(Capability::CAP_DAC_OVERRIDE));
        let mut root = caller(0, 0, &[]);
        root.effective = Capability::CAP_DAC_READ_SEARCH.bitmask();
        assert_eq!(access(&root, file(33, 33, 0o600), READ, false), Some(Capability::CAP_DAC_READ_SEARCH));
        assert_eq!(access(&root, file(33, 33, 0o700), SEARCH, true), Some(Capability::CAP_DAC_READ_SEARCH));
        assert_eq!(access(&root, file(33, 33, 0o755), WRITE, true), Some(Capability::CAP_DAC_OVERRIDE));
        assert_eq!(removal(&web, file(0, 0, 0o1777), file(0, 0, 0o644)), Some(Capability::CAP_FOWNER));
        assert_eq!(removal(&web, file(0, 0, 0o1777), file(33, 0, 0o644)), None);
        assert_eq!(removal(&web, file(0, 0, 0o777), file(0, 0, 0o644)), None);
    }

    #[test]
    fn a_change_of_owner_needs_one_where_it_really_changes_or_the_file_is_anothers() {
        let root = caller(0, 0, &[4]);
        let own = file(0, 0, 0o644);
        let chown = |file, user, group| chown(&root, file, Uid::from_raw(user), Gid::from_raw(group));
        for (user, group, needed) in [
            (u32::MAX, u32::MAX, false),
            (0, 0, false),
            (u32::MAX, 4, false),
            (33, u32::MAX, true),
            (0, 33, true),
        ] {
            assert_eq!(chown(own, user, group).is_some(), needed, "{user} {group}");
        }
        // As in the kernel: setting the present owner is a change too.
        assert!(chown(file(33, 33, 0o644), 33, u32::MAX).is_some());
    }

    #[test]
    fn a_change_of_mode_or_of_times_needs_one_where_the_file_is_anothers() {
        let web = caller(33, 33, &[]);
        assert_eq!(chmod(&web, file(33, 33, 0o644), 0o600), []);
        assert_eq!(chmod(&web, file(0, 33, 0o644), 0o600), [Capability::CAP_FOWNER]);
        assert_eq!(chmod(&web, file(33, 0, 0o644), 0o2755), [Capability::CAP_FSETID]);
        assert_eq!(times(&web, file(0, 0, 0o666), false), None);
        assert_eq!(times(&web, file(0, 0, 0o666), true), Some(Capability::CAP_FOWNER));
        assert_eq!(times(&web, file(33, 0, 0o600), true), None);
    }

    #[test]
    fn a_signal_needs_one_where_no_id_is_the_others() {
        let root = caller(0, 0, &[]);
        let mut worker = caller(33, 33, &[]);
        worker.tgid = Pid::from_raw(9);
        assert_eq!(kill(&root, &worker), Some(Capability::CAP_KILL));
        worker.uids[2] = Uid::from_raw(0);
        assert_eq!(kill(&root, &worker), None, "its saved id");
        assert!(!is_anothers(&root, &root) && is_anothers(&caller(5, 5, &[]), &root));
        assert_eq!(kill(&root, &Caller { uids: [Uid::from_raw(5); 4], ..caller(0, 0, &[]) }), None, "itself");
    }

    #[test]
    fn registers_decide_the_rest() {
        let root = caller(0, 0, &[]);
        let needed = |name, args| by_registers(&call(name, args), &root);
        assert_eq!(needed("setuid", [33, 0, 0, 0, 0, 0]), Some(Capability::CAP_SETUID));
        assert_eq!(needed("setuid", [0; 6]), None);
        assert_eq!(needed("setresgid", [u64::MAX, 33, u64::MAX, 0, 0, 0]), Some(Capability::CAP_SETGID));
        assert_eq!(needed("setgroups", [0; 6]), Some(Capability::CAP_SETGID));
        assert_eq!(needed("socket", [2, 3, 1, 0, 0, 0]), Some(Capability::CAP_NET_RAW));
        assert_eq!(needed("socket", [16, 3, 0, 0, 0, 0]), None, "netlink");
        assert_eq!(needed("socket", [17, 2, 0, 0, 0, 0]), Some(Capability::CAP_NET_RAW));
        assert_eq!(needed("prctl", [24, 0, 0, 0, 0, 0]), Some(Capability::CAP_SETPCAP));
        let half = 0x1_0000_0018;
        assert_eq!(needed("prctl", [half, 0, 0, 0, 0, 0]), Some(Capability::CAP_SETPCAP), "an int");
        assert_eq!(needed("prctl", [15, 0, 0, 0, 0, 0]), None);
        assert_eq!(needed("mknod", [0, 0o020_666, 0, 0, 0, 0]), Some(Capability::CAP_MKNOD));
        assert_eq!(needed("mknod", [0, 0o010_666, 0, 0, 0, 0]), None);
        assert_eq!(
            needed("sched_setscheduler", [0, 0x4000_0001, 0, 0, 0, 0]),
            Some(Capability::CAP_SYS_NICE)
        );
        assert_eq!(needed("chroot", [0; 6]), Some(Capability::CAP_SYS_CHROOT));
        assert_eq!(needed("unshare", [0x2_0000, 0, 0, 0, 0, 0]), Some(Capability::CAP_SYS_ADMIN));
        assert_eq!(needed("unshare", [0x1002_0000, 0, 0, 0, 0, 0]), None);
        assert_eq!(needed("read", [0; 6]), None);
        assert_eq!(
            (bind(80, 1024), bind(80, 0), bind(0, 1024), bind(8080, 1024)),
            (Some(Capability::CAP_NET_BIND_SERVICE), None, None, None)
        );
    }
}
