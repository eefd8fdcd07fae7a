//! Refusals without an event: the rows of [`Quiet`] against a call.

use nix::errno::Errno;

use super::call::Call;
use crate::filter::may_hold;
use crate::syscalls::{Quiet, Width, width};

impl Call {
    /// The errno of a refusal that is no violation; `None` where it is one.
    pub fn quiet(&self) -> Option<Errno> {
        let name = self.name?;
        // Bits that the kernel ignores make no other call of it.
        let read = |arg: u8| match (width(name, arg), self.args[usize::from(arg)]) {
            (Some(Width::Bits32), value) => value & 0xffff_ffff,
            (_, value) => value,
        };
        let args = [0, 1, 2, 3, 4, 5].map(read);
        let is_it = |row: &&Quiet| {
            row.call == name && row.conditions().all(|condition| may_hold(name, &condition, &args))
        };
        Quiet::all().iter().find(is_it).map(|row| row.errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::number;

    fn quiet(name: &'static str, args: &[u64]) -> Option<Errno> {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let number = number(crate::kernel::Arch::THIS, name).expect("it is there");
        Call { name: Some(name), number, args: all }.quiet()
    }

    #[test]
    fn what_libraries_try_is_no_violation() {
        const CLOEXEC: u64 = 0o2_000_000;
        for (args, errno) in [
            ([2, 1 | CLOEXEC, 262], Errno::EPROTONOSUPPORT),
            ([10, 1, 262], Errno::EPROTONOSUPPORT),
            ([2, 5, 132], Errno::EPROTONOSUPPORT),
            ([16, 3 | CLOEXEC, 9], Errno::EINVAL),
            ([40, 1, 0], Errno::EAFNOSUPPORT),
            ([38, 5, 0], Errno::EAFNOSUPPORT),
            ([29, 3, 1], Errno::EAFNOSUPPORT),
            ([0, 1, 0], Errno::EAFNOSUPPORT),
            ([u64::MAX, 1, 0], Errno::EAFNOSUPPORT),
        ] {
            assert_eq!(quiet("socket", &args), Some(errno), "{args:?}");
        }
        assert_eq!(quiet("io_uring_setup", &[8, 0x7fff]), Some(Errno::ENOSYS));
    }

    #[test]
    fn every_other_refusal_is_one() {
        const HIGH: u64 = 1 << 32;
        for args in [
            [2, 1, 0],
            [2, 2, 17],
            [2, 3, 1],
            [10, 3, 58],
            [2, 2, 1],
            [1, 1, 0],
            [16, 3, 0],
            [16, 3, 12],
            [17, 3, 0x300],
            [15, 3, 2],
            [44, 3, 0],
            // The kernel reads 32 bits of each.
            [HIGH | 2, 3, 1],
            [HIGH | 17, 3, 0],
            [HIGH | 1, 1, 0],
        ] {
            assert_eq!(quiet("socket", &args), None, "{args:?}");
        }
        for call in ["io_uring_enter", "io_uring_register", "socketpair", "keyctl", "unshare", "bpf"] {
            assert_eq!(quiet(call, &[40, 1, 262]), None, "{call}");
        }
    }
}
