//! Runs a seccomp program on a call, as the kernel does.

use super::Insn;

/// The input of a seccomp program (linux/seccomp.h, `struct seccomp_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeccompData {
    /// The number of the call on that architecture.
    pub nr: u32,
    /// `AUDIT_ARCH_*` of the entry that was taken.
    pub arch: u32,
    /// The address of the instruction that made the call.
    pub instruction_pointer: u64,
    /// The call's six arguments, as registers.
    pub args: [u64; 6],
}

/// The return value of a seccomp program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SECCOMP_RET_ALLOW: the call proceeds.
    Allow,
    /// SECCOMP_RET_USER_NOTIF: the supervisor receives a notification and responds.
    Notify,
    /// SECCOMP_RET_ERRNO: the call fails with this errno.
    Errno(u16),
    /// SECCOMP_RET_KILL_PROCESS: the process is killed by SIGSYS.
    KillProcess,
    /// Any other return value, unchanged.
    Other(u32),
    /// The program is invalid: it uses an instruction that remit's filters do not use, jumps out
    /// of its text, or reads beyond the call's data. The kernel would not have loaded it.
    Invalid,
}

/// Runs the program to its return value.
pub fn interpret(program: &[Insn], data: &SeccompData) -> Action {
    let words = words(data);
    let mut accumulator = 0u32;
    let mut at = 0usize;
    // Jumps only go forward, so this ends.
    while let Some(instruction) = program.get(at) {
        let k = instruction.k;
        let jump = |taken: bool| usize::from(if taken { instruction.jt } else { instruction.jf });
        at += 1;
        match instruction.code {
            LOAD => match words.get(k as usize / 4) {
                Some(word) if k % 4 == 0 => accumulator = *word,
                _ => return Action::Invalid,
            },
            AND => accumulator &= k,
            JUMP => at = at.saturating_add(k as usize),
            EQUAL => at += jump(accumulator == k),
            GREATER => at += jump(accumulator > k),
            NOT_LESS => at += jump(accumulator >= k),
            ANY_BIT => at += jump(accumulator & k != 0),
            RETURN => return action(k),
            _ => return Action::Invalid,
        }
    }
    Action::Invalid
}

/// `struct seccomp_data` in 32-bit words; both architectures are little-endian.
fn words(data: &SeccompData) -> [u32; 16] {
    let mut words = [0; 16];
    words[0] = data.nr;
    words[1] = data.arch;
    let long = std::iter::once(data.instruction_pointer).chain(data.args);
    for (pair, value) in words[2..].chunks_exact_mut(2).zip(long) {
        pair[0] = value as u32;
        pair[1] = (value >> 32) as u32;
    }
    words
}

fn action(answer: u32) -> Action {
    // The lower half is data for some actions (linux/seccomp.h, SECCOMP_RET_DATA).
    match answer & !0xffff {
        RET_KILL_PROCESS => Action::KillProcess,
        RET_ERRNO => Action::Errno(answer as u16),
        RET_USER_NOTIF => Action::Notify,
        RET_ALLOW => Action::Allow,
        _ => Action::Other(answer),
    }
}

pub(super) const RET_KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const RET_ERRNO: u32 = 0x0005_0000;
pub(super) const RET_USER_NOTIF: u32 = 0x7fc0_0000;
pub(super) const RET_ALLOW: u32 = 0x7fff_0000;

/// `BPF_LD | BPF_W | BPF_ABS` and so on (linux/bpf_common.h): all instructions that seccompiler
/// and the checks before its program use.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const EQUAL: u16 = 0x15;
pub(super) const GREATER: u16 = 0x25;
pub(super) const NOT_LESS: u16 = 0x35;
pub(super) const ANY_BIT: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;
