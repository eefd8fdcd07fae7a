//! What runs in a process that has executed and is stopped before its first
//! instruction: all of it the kernel's own words, or memory that only the kernel has
//! written. Nothing here waits for a disk or for anybody else.

use nix::errno::Errno;

use crate::ids::{Pid, Tid};
use crate::image::FileId;
use crate::notify::caller::{Caller, Identity, Memory};
use crate::policy::PolicyEngine;
use crate::policy::initial_stack::Fresh;
use crate::policy::started::Started;
use crate::procfs::errno;
use crate::sys;

/// Looks at a process whose exec was called by `caller`.
///
/// # Errors
/// EACCES for a program that may not be read, by which it cannot be told what it is;
/// ESRCH for one that was killed meanwhile; EIO for a stack of no 64-bit program.
pub fn at(pid: i32, caller: &Caller, identity: &Identity, rules: &PolicyEngine) -> Result<Started, Errno> {
    let caller = after_exec(pid, caller);
    let link = format!("/proc/{pid}/exe");
    let (known, canonical) = identity.with_caller_fsids(&caller, || {
        Ok((sys::files::known(&link)?, std::fs::read_link(&link).map_err(errno)?))
    })?;
    let pointer = sys::ptrace::stack_pointer(pid)?;
    let fresh = stack(pointer, &caller, identity, rules)?;
    Ok(Started {
        id: FileId { device: known.device, inode: known.inode },
        canonical,
        linked: known.links > 0,
        stamp: (known.changed.0, known.changed.1, known.size),
        stack: pointer,
        mode: known.mode & 0o7777,
        fresh,
        uids: caller.uids,
    })
}

/// With no_new_privs an exec gives no ids; saved and file-system ids become the
/// effective one (security/commoncap.c, cap_bprm_creds_from_file).
pub fn after_exec(pid: i32, caller: &Caller) -> Caller {
    let [real, effective, ..] = caller.uids;
    let [real_group, effective_group, ..] = caller.gids;
    Caller {
        tid: Tid::from_raw(pid),
        tgid: Pid::from_raw(pid),
        uids: [real, effective, effective, effective],
        gids: [real_group, effective_group, effective_group, effective_group],
        ..caller.clone()
    }
}

/// The stack of such a process, while it is stopped.
///
/// # Errors
/// As [`at`].
pub fn stack(
    pointer: u64,
    caller: &Caller,
    identity: &Identity,
    rules: &PolicyEngine,
) -> Result<Fresh, Errno> {
    let memory = Memory::of(identity, caller);
    let bytes = |address, length| memory.bytes(address, length);
    Fresh::read(pointer, rules.arguments(), rules.variables(), bytes)
}
