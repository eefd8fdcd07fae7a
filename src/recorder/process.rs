//! Calls about the caller itself or about other processes: ids, limits, signals, memory.

use caps::Capability;

use super::Recorder;
use crate::ids::{Pid, Tid};
use crate::journal::observation::{Observation, What};
use crate::notify::caller::Caller;
use crate::notify::capabilities;
use crate::policy::call::Call;
use crate::policy::network;
use crate::procfs::limits::ProcLimits;
use crate::procfs::stat::Stat;
use crate::procfs::status::ThreadStatus;
use crate::procfs::{self, fdinfo, processes};
use crate::syscalls::{Arg, Handler, Limit, Privilege};

impl Recorder {
    pub(super) fn memory(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let call = call.name.unwrap_or_default().to_owned();
        vec![Observation::ok(What::Memory { program: self.program(caller), write_execute: true, call })]
    }

    /// set*id and setgroups.
    pub(super) fn user(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let name = call.name.unwrap_or_default();
        let value = call.ids().collect();
        let what = What::Credential { program: self.program(caller), call: name.to_owned(), value };
        let needed = capabilities::by_registers(call, caller).map(|one| self.needed(caller, call, one));
        let result = needed.as_ref().map_or_else(|| "ok".to_owned(), |needed| needed.result.clone());
        [Some(Observation { what, result }), needed].into_iter().flatten().collect()
    }

    pub(super) fn privileged(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let needed = match call.handler() {
            Handler::Schedule if call.name == Some("setpriority") => self.nicer(call, caller),
            Handler::Schedule => self.scheduled(call, caller).then_some(Capability::CAP_SYS_NICE),
            Handler::Capset => self.inherits_more(call, caller).then_some(Capability::CAP_SETPCAP),
            _ if adjusts_clock(call) => self.sets_clock(call, caller).then_some(Capability::CAP_SYS_TIME),
            _ => capabilities::by_registers(call, caller),
        };
        let needed = needed.map(|one| self.needed(caller, call, one));
        let [family, kind, protocol, ..] = call.args.map(|arg| arg as i32);
        let word = if call.handler() == Handler::Socket {
            network::endpoint_word(family, kind, protocol)
        } else {
            None
        };
        // The supervisor makes the socket on which readiness is reported.
        let datagrams =
            datagrams(call).filter(|address| *address != "unix:*" || self.notify_socket.is_none());
        let sockets = word.or(datagrams).map(|address| {
            Observation::ok(What::Connect { program: self.program(caller), address: address.to_owned() })
        });
        [needed, sockets].into_iter().flatten().collect()
    }

    /// Whether adjtimex(2) changes the clock, by the modes of its struct timex.
    fn sets_clock(&self, call: &Call, caller: &Caller) -> bool {
        let head = call.argument(Arg::Pointer).map(|address| self.memory_of(caller).number(address));
        change_clock(head.and_then(Result::ok).unwrap_or_default() as u32)
    }

    /// Whether the call changes another process's scheduling, or sets a real-time policy.
    fn scheduled(&self, call: &Call, caller: &Caller) -> bool {
        let target = match call.args[0] as i32 {
            0 => caller.tid,
            other => Tid::from_raw(other),
        };
        if target != caller.tid
            && Caller::of(target).is_ok_and(|target| capabilities::is_anothers(caller, &target))
        {
            return true;
        }
        match call.name {
            // struct sched_attr: size, policy.
            Some("sched_setattr") => {
                let head = self.memory_of(caller).number(call.args[1]);
                head.is_ok_and(|head| capabilities::is_real_time((head >> 32) as u32))
            }
            // struct sched_param: its priority.
            Some("sched_setparam") => {
                let bytes = self.memory_of(caller).bytes(call.args[1], 4).ok();
                let wanted = bytes.and_then(|bytes| Some(i32::from_le_bytes(bytes.try_into().ok()?)));
                let now = Stat::of(target).ok().map(|stat| stat.real_time_priority);
                wanted.zip(now).is_some_and(|(wanted, now)| wanted > now)
            }
            _ => capabilities::by_registers(call, caller).is_some(),
        }
    }

    /// CAP_SYS_NICE where the call lowers a nice value.
    fn nicer(&self, call: &Call, caller: &Caller) -> Option<Capability> {
        let target = match call.args[1] as i32 {
            0 => caller.tid,
            other => Tid::from_raw(other),
        };
        let now = Stat::of(target).ok()?.nice;
        ((call.args[2] as i32) < now).then_some(Capability::CAP_SYS_NICE)
    }

    /// Whether capset(2) adds inheritable capabilities beyond the permitted set.
    fn inherits_more(&self, call: &Call, caller: &Caller) -> bool {
        let Ok(status) = ThreadStatus::of(caller.tid) else { return false };
        // Two halves of three words: effective, permitted, inheritable.
        let memory = self.memory_of(caller);
        let Ok(bytes) = memory.bytes(call.args[1], 24) else { return false };
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let wanted = u64::from(word(8)) | u64::from(word(20)) << 32;
        wanted & !(status.inheritable | status.permitted) != 0
    }

    /// setrlimit(2), prlimit(2), and calls that lock memory.
    pub(super) fn limit(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        const MCL_CURRENT: u64 = libc::MCL_CURRENT as u64;
        let needed = match call.handler() {
            Handler::Limit(Limit::Set) => {
                let target =
                    call.argument(Arg::Task).filter(|task| *task != 0).map(|task| Tid::from_raw(task as i32));
                let resource = call.argument(Arg::Int).unwrap_or_default();
                // Without a new limit, prlimit(2) only reads.
                let new = call.argument(Arg::Pointer).filter(|pointer| *pointer != 0);
                new.and_then(|new| self.raises(target.unwrap_or(caller.tid), caller, resource, new))
            }
            Handler::Limit(Limit::Lock) => {
                match (call.arguments(Arg::Long).nth(1), call.argument(Arg::Flags)) {
                    (Some(length), _) => locks(caller, Some(length)),
                    (None, Some(flags)) if flags & MCL_CURRENT != 0 => locks(caller, None),
                    _ => None,
                }
            }
            _ => None,
        };
        needed.map(|one| self.needed(caller, call, one)).into_iter().collect()
    }

    /// CAP_SYS_RESOURCE where the call raises a hard limit.
    fn raises(&self, target: Tid, caller: &Caller, resource: u64, pointer: u64) -> Option<Capability> {
        let wanted = self.memory_of(caller).number(pointer.wrapping_add(8)).ok()?;
        let now = ProcLimits::of(target).ok()?.get(resource as u32 as usize)?;
        (wanted > now.hard).then_some(Capability::CAP_SYS_RESOURCE)
    }

    pub(super) fn kill(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let first = call.args[0] as i32;
        let pid =
            if call.name == Some("pidfd_send_signal") { self.pid_of(caller, first) } else { Some(first) };
        let Some(pid) = pid else { return Vec::new() };
        let needed = match pid {
            pid @ 1.. => {
                Caller::of(Tid::from_raw(pid)).ok().and_then(|target| capabilities::kill(caller, &target))
            }
            // -1 is every process; 0 and other negative numbers are a process group.
            -1 => None,
            group => {
                let own = || Stat::of(caller.tgid.first_thread()).ok().map(|stat| stat.group);
                let group = if group == 0 { own() } else { group.checked_neg() };
                let all = processes::all(Pid::own()).unwrap_or_default();
                let members = all.iter().filter(|seen| Some(seen.group) == group);
                members
                    .filter_map(|seen| Caller::of(seen.pid.first_thread()).ok())
                    .find_map(|target| capabilities::kill(caller, &target))
            }
        };
        needed.map(|one| self.needed(caller, call, one)).into_iter().collect()
    }

    /// The process of a caller's pidfd.
    fn pid_of(&self, caller: &Caller, fd: i32) -> Option<i32> {
        let name = format!("fdinfo/{fd}");
        let text = self.identity.with_caller_fsids(caller, || procfs::read(caller.tid, &name)).ok()?;
        fdinfo::pid(&text).map(Pid::as_raw)
    }
}

/// The address that a profile has to grant for a call which makes a socket for datagrams: these are
/// granted by kind, whatever is done with one.
fn datagrams(call: &Call) -> Option<&'static str> {
    let [family, kind, protocol, ..] = call.args.map(|arg| arg as i32);
    let makes = call.handler() == Handler::Socket && kind & 0xf == libc::SOCK_DGRAM;
    match family {
        libc::AF_INET | libc::AF_INET6 if makes && matches!(protocol, 0 | libc::IPPROTO_UDP) => {
            Some("udp/0.0.0.0:0")
        }
        libc::AF_UNIX if makes => Some("unix:*"),
        _ => None,
    }
}

/// CAP_IPC_LOCK where locked memory exceeds RLIMIT_MEMLOCK: by `more` bytes, or by all memory.
fn locks(caller: &Caller, more: Option<u64>) -> Option<Capability> {
    let limit = ProcLimits::of(caller.tid).ok()?.get(libc::RLIMIT_MEMLOCK as usize)?;
    let status = ThreadStatus::of(caller.tid).ok()?;
    let wanted = match more {
        Some(more) => status.locked?.saturating_add(more),
        None => status.size?,
    };
    (wanted > limit.soft).then_some(Capability::CAP_IPC_LOCK)
}

/// Whether these modes of adjtimex(2) change the clock, for which the kernel wants CAP_SYS_TIME.
const fn change_clock(modes: u32) -> bool {
    const ADJ_OFFSET_READONLY: u32 = 0x2000;
    const ADJ_ADJTIME: u32 = 0x8000;
    if modes & ADJ_ADJTIME != 0 { modes & ADJ_OFFSET_READONLY == 0 } else { modes != 0 }
}

/// Whether this is adjtimex(2), which reads the clock and takes a capability to change it.
fn adjusts_clock(call: &Call) -> bool {
    let privilege = call.syscall().map(|syscall| syscall.privilege);
    privilege == Some(Privilege::Sometimes(Capability::CAP_SYS_TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_read_takes_no_capability() {
        // ADJ_OFFSET_SS_READ.
        assert!(!change_clock(0) && !change_clock(0xa001));
        // ADJ_OFFSET, ADJ_TICK, ADJ_OFFSET_SINGLESHOT.
        assert!(change_clock(1) && change_clock(0x4000) && change_clock(0x8001));
        for (name, adjusts) in [("adjtimex", true), ("clock_adjtime", true), ("clock_gettime", false)] {
            let call = Call { name: Some(name), number: 0, args: [0; 6] };
            assert_eq!(adjusts_clock(&call), adjusts, "{name}");
        }
    }
}
