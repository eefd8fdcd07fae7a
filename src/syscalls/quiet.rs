//! Refusals without an event: a program asks whether there is a thing, and goes on without it.
//!
//! A row is for what ordinary programs try at each start, and of which Docker's own filter or a
//! kernel without the feature says no as well. Its errno is the one that libraries take for "not
//! there". The row adds no right: it is read only where the profile refuses the call, and a
//! profile that lists the call still allows it.

use nix::errno::Errno;

use super::Condition;
use super::groups::Check;

/// One row: a call with these registers is refused with this errno, and no event.
#[derive(Debug)]
pub struct Quiet {
    /// The call.
    pub call: &'static str,
    /// The conditions on its registers, all of which are true; none: whatever they are.
    when: &'static [Check],
    /// The errno.
    pub errno: Errno,
    /// What is asked for, and why that is no violation: for the documentation alone.
    #[cfg(test)]
    about: [&'static str; 2],
}

impl Quiet {
    /// Every row.
    pub fn all() -> &'static [Quiet] {
        ROWS
    }

    /// The conditions on the registers.
    pub fn conditions(&self) -> impl Iterator<Item = Condition> + use<> {
        self.when.iter().map(|check| check.condition())
    }
}

const fn refused(call: &'static str, when: &'static [Check], errno: Errno) -> Quiet {
    Quiet {
        call,
        when,
        errno,
        #[cfg(test)]
        about: [""; 2],
    }
}

impl Quiet {
    /// What is asked for, and why a refusal is no violation.
    #[cfg(test)]
    const fn for_asking(self, what: &'static str, why: &'static str) -> Quiet {
        Quiet { about: [what, why], ..self }
    }

    /// The words are not in the binaries.
    #[cfg(not(test))]
    const fn for_asking(self, _: &'static str, _: &'static str) -> Quiet {
        self
    }
}

#[rustfmt::skip]
const ROWS: &[Quiet] = &[
    refused("socket", &[Check::In(0, INTERNET), Check::In(2, &[262])], Errno::EPROTONOSUPPORT)
        .for_asking("MPTCP", "Go asks for it at each listener, and falls back to TCP; Landlock's rules on ports do not see it"),
    refused("socket", &[Check::In(0, INTERNET), Check::In(2, &[132])], Errno::EPROTONOSUPPORT)
        .for_asking("SCTP", "coturn, Erlang and others try it; few hosts have it"),
    refused("socket", &[Check::In(0, &[16]), Check::In(2, &[9])], Errno::EINVAL)
        .for_asking("NETLINK_AUDIT", "PAM, su, groupadd, sshd and cron go on without the audit log for this errno alone"),
    refused("socket", &[Check::In(0, &[40])], Errno::EAFNOSUPPORT)
        .for_asking("AF_VSOCK", "it leads to the hypervisor and to other machines on it; Docker refuses it"),
    refused("socket", &[Check::In(0, &[38])], Errno::EAFNOSUPPORT)
        .for_asking("AF_ALG", "cryptography in the kernel; OpenSSL and others have their own; Docker refuses it"),
    refused("socket", &[Check::NotIn(0, KNOWN)], Errno::EAFNOSUPPORT)
        .for_asking("another address family, but for AF_PACKET, AF_KEY and AF_XDP", "no entry of `network` names it, and most hosts do not have it"),
    refused("io_uring_setup", &[], Errno::ENOSYS)
        .for_asking("io_uring", "libuv (Node), MariaDB and others ask at each start, and fall back; Docker refuses it"),
];

/// AF_INET and AF_INET6.
const INTERNET: &[u64] = &[2, 10];
/// Families that entries of `network` are about (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK), and those
/// by which a process reads and writes the network itself (AF_KEY, AF_PACKET, AF_XDP): that is an
/// event.
const KNOWN: &[u64] = &[1, 2, 10, 15, 16, 17, 44];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls;

    #[test]
    fn every_row_is_about_a_call_and_registers_of_known_width() {
        for row in Quiet::all() {
            assert!(syscalls::find(row.call).is_some(), "{row:?}");
            for condition in row.conditions() {
                assert!(syscalls::width(row.call, condition.arg).is_some(), "{row:?}");
            }
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let rows: String = Quiet::all()
            .iter()
            .map(|row| format!("| `{}`: {} | {:?} | {} |\n", row.call, row.about[0], row.errno, row.about[1]))
            .collect();
        let table = format!("| refused without an event | errno | since |\n|---|---|---|\n{rows}");
        let documented = include_str!("../../docs/guarantees.md").contains(&table);
        assert!(documented, "put into docs/guarantees.md:\n{table}");
    }
}
