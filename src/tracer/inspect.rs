//! What an exec has started, read from the process that is stopped before its first
//! instruction: what /proc shows, and memory that only the kernel has written. Nothing
//! here waits for a disk or for another process.

use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use super::call::{Operation, TracedCall, caller_after_exec};
use super::file_facts::{FileFacts, KnownFacts};
use super::state::Inspection;
use crate::ids::Pid;
use crate::image::FileId;
use crate::image::live::Live;
use crate::notify::caller::{Caller, Identity, Memory};
use crate::policy::initial_stack::InitialStack;
use crate::policy::started::{StartedProgram, Verdict};
use crate::policy::{Denial, PolicyEngine};
use crate::procfs::errno;
use crate::sys;

/// Reads what an exec has started, and checks it by the profile. Facts of files are taken from
/// those that are remembered.
pub(super) fn inspect(
    pid: Pid,
    call: &TracedCall,
    identity: &Identity,
    rules: &PolicyEngine,
    found: &Mutex<FileFacts>,
) -> Inspection {
    let mut started = match read(pid, &call.caller, identity, rules) {
        Ok(started) => started,
        Err(_) if sys::ptrace::event_message(pid.as_raw()).is_err() => return Inspection::Gone,
        Err(errno) => {
            tracing::debug!(%pid, %errno, "what was started cannot be read");
            let mut refusal = rules.unreadable_program();
            if let Operation::Exec { object, .. } = &call.operation {
                *refusal = Denial { object: object.clone(), ..*refusal };
            }
            return Inspection::Decided { started: None, verdict: Verdict::Dies(refusal) };
        }
    };
    let decided = rules.started(call.entry(), &started, &KnownFacts(found, rules));
    let cut = decided.is_err() && started.shorten();
    let started = Arc::new(started);
    match decided {
        Ok(verdict) => {
            Inspection::Decided { started: Some(started), verdict: within_count(verdict, call, rules) }
        }
        Err(_) => Inspection::NotYet { started, cut },
    }
}

/// The verdict, where the number of processes of an entry is limited: they were counted for the
/// entry that the caller's memory named. An exec that started another counted one is refused.
pub(super) fn within_count(verdict: Verdict, call: &TracedCall, rules: &PolicyEngine) -> Verdict {
    let expected = match call.operation {
        Operation::Exec { expected, .. } => expected,
        _ => None,
    };
    match verdict {
        Verdict::Runs(entry) if Some(entry) != expected && rules.instances(entry).is_some() => {
            rules.too_many(entry, u32::MAX - 1).map_or(Verdict::Runs(entry), Verdict::Dies)
        }
        verdict => verdict,
    }
}

/// Reads a process whose exec was called by `caller`.
///
/// # Errors
/// EACCES for a program that cannot be read, so that it cannot be identified; ESRCH for one that
/// was killed meanwhile; EIO for a stack that no 64-bit program has.
fn read(
    pid: Pid,
    caller: &Caller,
    identity: &Identity,
    rules: &PolicyEngine,
) -> Result<StartedProgram, Errno> {
    let caller = caller_after_exec(pid, caller);
    let link = format!("/proc/{pid}/exe");
    let (known, canonical) = identity.with_caller_fsids(&caller, || {
        Ok((sys::files::stat_cached(&link)?, std::fs::read_link(&link).map_err(errno)?))
    })?;
    let pointer = sys::ptrace::stack_pointer(pid.as_raw())?;
    let initial_stack = stack(pointer, &caller, identity, rules)?;
    let of_image = !rules.asks_for_origin(&canonical)
        || rules.policy().provenance.is_of_image(&canonical, known.changed, &Live);
    Ok(StartedProgram {
        of_image,
        id: FileId { device: known.device, inode: known.inode },
        canonical,
        linked: known.links > 0,
        stamp: (known.changed.0, known.changed.1, known.size),
        stack: pointer,
        mode: known.mode & 0o7777,
        initial_stack,
        uids: caller.uids,
    })
}

/// Reads the initial stack of such a process, while it is stopped.
///
/// # Errors
/// EACCES for a process that cannot be read, ESRCH for one that was killed meanwhile, EIO for a
/// stack that no 64-bit program has.
pub(super) fn stack(
    pointer: u64,
    caller: &Caller,
    identity: &Identity,
    rules: &PolicyEngine,
) -> Result<InitialStack, Errno> {
    let memory = Memory::of(identity, caller);
    let bytes = |address, length| memory.bytes(address, length);
    InitialStack::read(pointer, rules.arguments(), |variable| rules.copied_for(variable), bytes)
}
