//! Flags of clone(2) (linux/sched.h).

/// CLONE_THREAD: the child is a thread.
pub const THREAD: u64 = 0x1_0000;

/// CLONE_NEWTIME, which is in clone's signal bits: only clone3 and unshare have it.
pub const NEWTIME: u64 = 0x80;

/// The flags for a new namespace: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET.
pub const EACH_NAMESPACE: [u64; 7] =
    [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// All of [`EACH_NAMESPACE`].
pub const NAMESPACES: u64 = 0x7e02_0000;

/// [`NAMESPACES`], and CLONE_UNTRACED, which no program needs and which would hide a child from a
/// process that traces its parent.
pub const NAMESPACES_UNTRACED: u64 = NAMESPACES | 0x80_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::constants;

    #[test]
    fn they_are_the_kernels() {
        let named = |name: &str| constants::value(name).unwrap_or_else(|| panic!("{name} has no value"));
        assert_eq!(THREAD, named("CLONE_THREAD"));
        assert_eq!(NEWTIME, named("CLONE_NEWTIME"));
        let names = ["NS", "CGROUP", "UTS", "IPC", "USER", "PID", "NET"];
        assert_eq!(EACH_NAMESPACE, names.map(|name| named(&format!("CLONE_NEW{name}"))));
        assert_eq!(NAMESPACES, EACH_NAMESPACE.iter().fold(0, |all, one| all | one));
        assert_eq!(NAMESPACES_UNTRACED, NAMESPACES | named("CLONE_UNTRACED"));
    }
}
