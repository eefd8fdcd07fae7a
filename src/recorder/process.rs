//! Calls about the caller itself or about other processes: ids, limits, signals, memory.

use caps::Capability;

use super::Recording;
use crate::ids::{Pid, Tid};
use crate::journal::observation::{Observation, What};
use crate::notify::caller::Caller;
use crate::notify::capabilities;
use crate::policy::call::Call;
use crate::procfs;
use crate::procfs::processes;
use crate::syscalls::{Arg, Handler, Limit};

impl Recording {
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
            _ => capabilities::by_registers(call, caller),
        };
        needed.map(|one| self.needed(caller, call, one)).into_iter().collect()
    }

    /// Another's scheduling is changed, or becomes that of real time.
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
                let now = procfs::read(target, "stat").ok().and_then(|stat| real_time_priority(&stat));
                wanted.zip(now).is_some_and(|(wanted, now)| wanted > now)
            }
            _ => capabilities::by_registers(call, caller).is_some(),
        }
    }

    /// A priority that is better than the present one.
    fn nicer(&self, call: &Call, caller: &Caller) -> Option<Capability> {
        let who = match call.args[1] as i32 {
            0 => caller.tid,
            other => Tid::from_raw(other),
        };
        let stat = procfs::read(who, "stat").ok()?;
        let now: i32 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(16)?.parse().ok()?;
        ((call.args[2] as i32) < now).then_some(Capability::CAP_SYS_NICE)
    }

    /// Capabilities beyond those permitted become inheritable.
    fn inherits_more(&self, call: &Call, caller: &Caller) -> bool {
        let Ok(text) = procfs::read(caller.tid, "status") else { return false };
        let set = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap_or(0)
        };
        // Two halves of three words: effective, permitted, inheritable.
        let memory = self.memory_of(caller);
        let Ok(bytes) = memory.bytes(call.args[1], 24) else { return false };
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let wanted = u64::from(word(8)) | u64::from(word(20)) << 32;
        wanted & !(set("CapInh") | set("CapPrm")) != 0
    }

    /// Limits that are raised, and memory that is locked beyond its limit.
    pub(super) fn limit(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        const MCL_CURRENT: u64 = libc::MCL_CURRENT as u64;
        let needed = match call.handler() {
            Handler::Limit(Limit::Set) => {
                let target =
                    call.argument(Arg::Task).filter(|task| *task != 0).map(|task| Tid::from_raw(task as i32));
                let resource = call.argument(Arg::Int).unwrap_or_default();
                // Without a new limit it only tells the present one.
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

    /// A hard limit that is raised.
    fn raises(&self, target: Tid, caller: &Caller, resource: u64, pointer: u64) -> Option<Capability> {
        let wanted = self.memory_of(caller).number(pointer.wrapping_add(8)).ok()?;
        let now = hard_limit(&procfs::read(target, "limits").ok()?, resource as u32 as usize)?;
        (wanted > now).then_some(Capability::CAP_SYS_RESOURCE)
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
            // -1 is everybody, 0 and the others a group.
            -1 => None,
            group => {
                let group = if group == 0 { group_of(caller.tgid) } else { group.checked_neg() };
                let all = processes::all(Pid::own()).unwrap_or_default();
                let members = all.iter().filter(|seen| Some(seen.group) == group);
                members
                    .filter_map(|seen| Caller::of(seen.pid.first_thread()).ok())
                    .find_map(|target| capabilities::kill(caller, &target))
            }
        };
        needed.map(|one| self.needed(caller, call, one)).into_iter().collect()
    }

    /// The process that a caller's descriptor stands for.
    fn pid_of(&self, caller: &Caller, fd: i32) -> Option<i32> {
        let name = format!("fdinfo/{fd}");
        pid_in(&self.identity.look_as_caller(caller, || procfs::read(caller.tid, &name)).ok()?)
    }
}

/// Of a process that a pidfd is of, as its fdinfo tells it: 0 and -1 are none.
fn pid_in(fdinfo: &str) -> Option<i32> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// The real-time priority in /proc/PID/stat, its fortieth field.
fn real_time_priority(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(37)?.parse().ok()
}

fn group_of(pid: Pid) -> Option<i32> {
    let stat = procfs::read(pid.first_thread(), "stat").ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// The hard limit of a resource by its number: /proc/PID/limits lists them in that order.
fn hard_limit(limits: &str, resource: usize) -> Option<u64> {
    let line = limits.lines().nth(resource.checked_add(1)?)?;
    // Names have blanks in them, values none: soft, hard, and mostly a unit.
    let numbers: Vec<u64> = line
        .split_ascii_whitespace()
        .filter_map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() })
        .collect();
    numbers.get(1).copied()
}

/// More memory is locked than the limit allows: so much more, or all.
fn locks(caller: &Caller, more: Option<u64>) -> Option<Capability> {
    const MEMLOCK: usize = libc::RLIMIT_MEMLOCK as usize;
    let limits = procfs::read(caller.tid, "limits").ok()?;
    let status = procfs::read(caller.tid, "status").ok()?;
    let size = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let line = limits.lines().nth(MEMLOCK + 1)?;
    let soft = line.split_ascii_whitespace().find_map(|word| match word {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    })?;
    let wanted = match more {
        Some(more) => size("VmLck:")?.saturating_add(more),
        None => size("VmSize:")?,
    };
    (wanted > soft).then_some(Capability::CAP_IPC_LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_number() {
        let text = procfs::read(Tid::own(), "limits").expect("own limits");
        let hard = crate::sys::process::hard_limit(libc::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(hard_limit(&text, libc::RLIMIT_NOFILE as usize), Some(hard.unwrap_or(u64::MAX)));
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max file size             1                    2                    bytes     \n";
        assert_eq!(hard_limit(text, 0), Some(u64::MAX));
        assert_eq!(hard_limit(text, 1), Some(2));
        assert_eq!(hard_limit(text, 2), None);
        assert_eq!(hard_limit(text, usize::MAX), None);
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(pid_in("pos:\t0\nflags:\t02000002\nPid:\t4711\nNSpid:\t4711\n"), Some(4711));
        assert_eq!(pid_in("pos:\t0\nPid:\t-1\n"), None, "it has ended");
        assert_eq!(pid_in("pos:\t0\nNSpid:\t7\n"), None);
        let stat = procfs::read(Tid::own(), "stat").expect("own stat");
        assert_eq!(real_time_priority(&stat), Some(0));
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(real_time_priority(&format!("7 (a b) {}", fields.join(" "))), Some(40));
    }
}
