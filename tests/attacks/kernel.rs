//! What the kernel offers beside the calls that an app needs: other views of the
//! system, ways out of the container, and what an argument can hide.

use crate::attack::{Attack, all_hold, attack};
use crate::site;
use crate::support::forbidden::{EITHER, ENOSYS, EPERM, first, seen, unseen};
use crate::support::{Place, in_each_place};

in_each_place!(views_and_ways_out_are_closed, an_argument_hides_nothing);

pub const WAYS: &[Attack] = &[
    attack(first("unshare?arg=mount", EPERM, "syscall", "unshare")).docker("EPERM"),
    attack(first("unshare?arg=net", EPERM, "syscall", "unshare")).docker("EPERM"),
    attack(first("unshare?arg=pid", EPERM, "syscall", "unshare")).docker("EPERM"),
    attack(first("pivot-root", EPERM, "syscall", "pivot_root")).docker("EPERM").namespace("EINVAL"),
    attack(first("open-tree", ENOSYS, "syscall", "open_tree")).docker("EPERM"),
    attack(first("move-mount", ENOSYS, "syscall", "move_mount")).docker("EPERM").namespace("EINVAL"),
    attack(first("mount-attributes", ENOSYS, "syscall", "mount_setattr")).docker("EPERM"),
    attack(first("add-key", EPERM, "syscall", "add_key")).docker("EPERM"),
    #[cfg(target_arch = "x86_64")]
    attack(first("modify-ldt", EPERM, "syscall", "modify_ldt")),
    // The last, since there is no /proc after it.
    attack(first("umount", EPERM, "syscall", "umount2")).docker("EPERM"),
];

fn views_and_ways_out_are_closed(place: Place) {
    all_hold(place, &site::profile(), WAYS);
}

/// The kernel takes the lower 32 bits of an int; so has any check that compares them.
pub const HIDDEN: &[Attack] = &[
    attack(seen("terminal-push-high", EPERM, "syscall", "ioctl")).docker("ENOTTY").namespace("ENOTTY"),
    attack(seen("terminal-speak", EPERM, "syscall", "ioctl")).docker("ENOTTY").namespace("ENOTTY"),
    attack(seen("terminal-speak-high", EPERM, "syscall", "ioctl")).docker("ENOTTY").namespace("ENOTTY"),
    attack(first("socket-high", EITHER, "network", "")),
    attack(first("limits-high", EPERM, "syscall", "prlimit64")),
    attack(first("clone-high", EPERM, "syscall", "clone")).docker("EPERM"),
    attack(unseen("clone3", ENOSYS)).docker("ENOSYS"),
    #[cfg(target_arch = "x86_64")]
    attack(unseen("i386", &["SIGSYS"])),
    #[cfg(target_arch = "x86_64")]
    attack(unseen("x32", &["SIGSYS"])).docker("ENOSYS").namespace("ENOSYS"),
];

fn an_argument_hides_nothing(place: Place) {
    all_hold(place, &site::profile(), HIDDEN);
}
