//! Profiles whose `syscalls` are exact: what the launch needs beside what is listed, and what a
//! program that is started has to have listed.

use std::collections::BTreeSet;

use super::conditions::Alternatives;
use super::error::{PlanError, PlanFault};
use crate::kernel::Arch;
use crate::syscalls::{Condition, Test, clone_flags, groups};

/// Calls of the launch between the filter and the first instruction of COMMAND: it closes its own
/// copy of the listener, builds the environment, executes, or reports the step that failed and
/// ends. Some the kernel has a process make. The sendmsg(2) by which it hands over the listener the
/// filter allows by itself.
pub(crate) const LAUNCH: [&str; 15] = [
    "brk",
    "close",
    "execve",
    "exit",
    "exit_group",
    "getpid",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "restart_syscall",
    "rt_sigreturn",
    "uprobe",
    "uretprobe",
    "write",
];

/// What the bare name of a call that other sections decide by its arguments stands for in an exact
/// profile: as much as the groups have of it. Empty for every other call.
pub(super) fn as_grouped(call: &str) -> Alternatives {
    let grouped = groups::CORE.conditional().chain(groups::NETWORK.conditional());
    grouped.filter(|(name, _)| *name == call).flat_map(|(_, alternatives)| alternatives).collect()
}

/// Whether a clone(2) that makes a process is among these.
pub(super) fn makes_processes<'a>(mut alternatives: impl Iterator<Item = &'a Vec<Condition>>) -> bool {
    let holds = |condition: &Condition| match (condition.arg, &condition.test) {
        (0, Test::In(values)) => values.iter().any(|flags| flags & clone_flags::THREAD == 0),
        (0, Test::Masked { mask, equals }) => {
            mask & clone_flags::THREAD == 0 || equals & clone_flags::THREAD == 0
        }
        _ => true,
    };
    alternatives.any(|all| all.iter().all(holds))
}

/// What the loader of a dynamic program calls before main, of glibc and of musl: of each row one,
/// for what it is needed, and the entries that help where the profile has none of them.
const LOADER: [(&[&str], &str, &str); 7] = [
    (&["openat", "open"], "open libraries", "\"@base\""),
    (&["read", "pread64"], "read libraries", "\"@base\""),
    (&["newfstatat", "fstat", "statx"], "look at libraries", "\"@base\""),
    (&["mmap"], "map libraries", "\"@base\""),
    (&["mprotect"], "make what it relocated read-only", "\"@base\""),
    (&["arch_prctl"], "set the thread's pointer", "\"arch_prctl\""),
    (&["set_tid_address"], "learn the thread's number", "\"set_tid_address\""),
];

/// Refuses an exact profile by which no program of the machine's loader could start.
///
/// # Errors
/// The first call that is missing, and the entries of `syscalls.allow` that help.
pub(super) fn starts(arch: Arch, dynamic: bool, listed: &BTreeSet<&str>) -> Result<(), PlanError> {
    let there = |call: &&&str| crate::syscalls::number(arch, call).is_some();
    let missing = |calls: &[&str]| {
        let mut here = calls.iter().filter(there).peekable();
        here.peek().is_some() && !here.any(|call| listed.contains(call))
    };
    let needed: Vec<_> = LOADER.iter().filter(|(calls, ..)| dynamic && missing(calls)).collect();
    let Some((calls, purpose, _)) = needed.first() else { return Ok(()) };
    let calls: Vec<&'static str> = calls.iter().filter(there).copied().collect();
    let mut help: Vec<&'static str> = needed.iter().map(|(.., help)| *help).collect();
    help.dedup();
    Err(PlanError::at("/syscalls/allow", PlanFault::NotLoaded { calls, purpose, help }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_has_to_have_its_calls() {
        let error = |listed: &[&str]| {
            let listed = listed.iter().copied().collect();
            starts(Arch::X86_64, true, &listed).expect_err("refused").to_string()
        };
        let base: Vec<&str> = groups::BASE.calls().into_keys().collect();
        let nothing = error(&[]);
        assert!(
            nothing.contains("openat or open") && nothing.contains("\"@base\", \"arch_prctl\""),
            "{nothing}"
        );
        let most = error(&base);
        assert!(most.contains("arch_prctl") && !most.contains("@base"), "{most}");
        let all = base.iter().copied().chain(["arch_prctl", "set_tid_address"]).collect();
        assert!(starts(Arch::X86_64, true, &all).is_ok());
        let all = base.iter().copied().chain(["set_tid_address"]).collect();
        assert!(starts(Arch::Aarch64, true, &all).is_ok(), "it has no arch_prctl");
        assert!(starts(Arch::X86_64, false, &BTreeSet::new()).is_ok(), "a static program may need less");
    }

    #[test]
    fn threads_are_no_processes() {
        let calls = groups::BASE.calls();
        assert!(!makes_processes(calls["clone"].iter()));
        assert!(makes_processes(as_grouped("clone").iter()));
        assert!(as_grouped("read").is_empty());
    }
}
