//! A child with the user and capabilities of the plan and no other confinement, under a filter
//! that stops it for its tracer at each call: so the tracer sees what the kernel itself refuses to
//! such an app, which no supervisor is notified of.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::launch::{Command, Confinement, environment, perform_step};
use crate::kernel::Arch;
use crate::plan::{Plan, Step};
use crate::sys::process::Side;
use crate::sys::seccomp::Instruction;
use crate::sys::{self, CallError};
use crate::syscalls;

/// A child that waits until it is traced.
pub struct Waiting {
    /// Its pid, which stays the app's.
    pub pid: i32,
    go: OwnedFd,
}

impl Waiting {
    /// Continues the child, which executes the app.
    ///
    /// # Errors
    /// EPIPE where the child has ended.
    pub fn go(self) -> Result<(), CallError> {
        nix::unistd::write(&self.go, b"G").map(drop).map_err(CallError::of("the child"))
    }
}

/// Forks a child that waits, then takes on the plan's user and capabilities and executes the
/// command. It has to be traced before it continues: without a tracer the calls that its filter
/// stops fail with ENOSYS.
///
/// # Errors
/// fork(2) or pipe2(2) failed.
pub fn begin(command: &Command, plan: &Plan) -> Result<Waiting, CallError> {
    let confinement = Confinement::without_notifier(steps(plan), watching(plan.kernel.arch));
    let (wait, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(CallError::of("pipe"))?;
    match sys::process::fork().map_err(CallError::of("fork"))? {
        Side::Parent(pid) => Ok(Waiting { pid, go }),
        Side::Child => {
            // Else its own copy would keep the pipe open where its parent ends.
            drop(go);
            let (step, errno) = perform(command, &confinement, &wait);
            let what = format!("{}: `{step}` failed: {errno}", command.program.to_string_lossy());
            eprintln!("remit: {}", crate::visible::line(&what));
            sys::process::exit_now(125)
        }
    }
}

/// The plan's steps that set the app's user and capabilities, without those that confine it.
fn steps(plan: &Plan) -> Vec<Step> {
    let confines = |step: &Step| {
        matches!(
            step,
            Step::ExecBits | Step::Mdwe | Step::Landlock | Step::Seccomp | Step::SeccompWithoutNotifier
        )
    };
    let mut steps: Vec<Step> = plan.steps().into_iter().filter(|step| !confines(step)).collect();
    let exec = steps.iter().position(|step| *step == Step::Exec).unwrap_or(steps.len());
    steps.insert(exec, Step::SeccompWithoutNotifier);
    steps
}

/// The child's work; it returns only what failed.
fn perform(command: &Command, confinement: &Confinement, wait: &OwnedFd) -> (String, Errno) {
    let named = |step: &str, errno| (step.to_owned(), errno);
    match nix::unistd::read(wait, &mut [0]) {
        Ok(1) => {}
        Ok(_) => return named("wait for the tracer", Errno::ESRCH),
        Err(errno) => return named("wait for the tracer", errno),
    }
    let first = || {
        nix::unistd::dup2_stdout(std::io::stderr())?;
        sys::signal::set_ignored(libc::SIGPIPE, command.ignore_sigpipe)
    };
    if let Err(errno) = first() {
        return named("standard output and ignored signals", errno);
    }
    for step in &confinement.steps {
        if let Err(errno) = perform_step(step, confinement, command, wait) {
            return (step.to_string(), errno);
        }
    }
    match sys::process::execve(&command.program, &command.argv, &environment(command)) {
        Ok(never) => match never {},
        Err(errno) => named("exec", errno),
    }
}

/// A filter that stops at every call but the untraced ones, for the tracer. Calls of another
/// architecture are allowed: their numbers mean other calls.
fn watching(arch: Arch) -> Vec<Instruction> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const NOT_LESS: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // One past the greatest number that any architecture of ours has; x32's are far above.
    const END: u32 = 4096;
    let load = |k| Instruction { code: LOAD, jt: 0, jf: 0, k };
    let answer = |k| Instruction { code: RETURN, jt: 0, jf: 0, k };
    let untraced = syscalls::all().filter(|syscall| syscall.untraced);
    let mut numbers: Vec<u32> = untraced.filter_map(|syscall| syscall.number(arch)).collect();
    numbers.sort_unstable();
    // Each skips all the rest but the last, which allows the call.
    let rest = |index: usize| (numbers.len() - index) as u8;
    let mut program = vec![
        load(4),
        Instruction { code: EQUAL, jt: 1, jf: 0, k: arch.audit() },
        answer(libc::SECCOMP_RET_ALLOW),
        load(0),
        Instruction { code: NOT_LESS, jt: numbers.len() as u8 + 1, jf: 0, k: END },
    ];
    let known = numbers.iter().enumerate();
    program.extend(known.map(|(index, number)| Instruction {
        code: EQUAL,
        jt: rest(index),
        jf: 0,
        k: *number,
    }));
    program.extend([answer(libc::SECCOMP_RET_TRACE), answer(libc::SECCOMP_RET_ALLOW)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program answers for a call.
    fn answer(program: &[Instruction], arch: u32, number: u32) -> u32 {
        let (mut at, mut word) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let holds = match u32::from(code) & 0xff {
                0x20 => {
                    word = if k == 4 { arch } else { number };
                    continue;
                }
                0x15 => word == k,
                0x35 => word >= k,
                0x06 => return k,
                other => panic!("no such instruction here: {other:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    #[test]
    fn calls_stop_but_for_those_that_no_capability_decides() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let program = watching(arch);
            let of = |call: &str| {
                let number = syscalls::number(arch, call).unwrap_or_else(|| panic!("{call}"));
                answer(&program, arch.audit(), number)
            };
            for call in ["read", "write", "futex", "clone", "writev", "accept"] {
                assert_eq!(of(call), libc::SECCOMP_RET_ALLOW, "{call}");
            }
            for call in ["openat", "fchownat", "setuid", "bind", "execve", "kill", "ioctl", "io_setup"] {
                assert_eq!(of(call), libc::SECCOMP_RET_TRACE, "{call}");
            }
            assert_eq!(answer(&program, 0x4000_0003, 1), libc::SECCOMP_RET_ALLOW, "another architecture");
            assert_eq!(answer(&program, arch.audit(), 0x4000_0000), libc::SECCOMP_RET_ALLOW, "x32");
        }
    }
}
