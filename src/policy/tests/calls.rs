use nix::errno::Errno;
use serde_json::json;

use super::super::call::{Call, Ids};
use super::rules;
use crate::event::{ViolationKind, Want};
use crate::filter::Access;
use crate::ids::{Gid, Uid};
use crate::kernel::Arch;
use crate::profile::Capability;
use crate::syscalls::{self, Handler};

pub(super) fn call(name: &'static str, args: &[u64]) -> Call {
    let number = syscalls::number(Arch::X86_64, name).unwrap_or_else(|| panic!("{name} is no call"));
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { name: Some(name), number, args: all }
}

#[test]
fn an_unlisted_call_is_refused_and_a_young_one_is_not_known() {
    let rules = rules(r#""files": []"#);
    let old = rules.unlisted(&call("ptrace", &[]));
    assert_eq!((old.errno, old.kind, &*old.rule), (Errno::EPERM, ViolationKind::Syscall, "/syscalls"));
    assert_eq!(old.want, Some(Want::Syscall("ptrace".into())));
    // Newer than Linux 4.18: libraries fall back on ENOSYS alone.
    assert_eq!(rules.unlisted(&call("io_uring_setup", &[])).errno, Errno::ENOSYS);
    let nameless = Call { name: None, number: 9999, args: [0; 6] };
    let refusal = rules.unlisted(&nameless);
    assert_eq!((refusal.errno, refusal.want), (Errno::ENOSYS, None));
    assert!(rules.access("ptrace").is_none());
    assert_eq!(rules.access("read"), Some(&Access::Allow));
}

#[test]
fn a_program_whose_file_has_capabilities_that_were_dropped_is_refused() {
    let rules = rules(r#""capabilities": ["setuid"]"#);
    let of = |capabilities: &[Capability]| capabilities.iter().fold(0, |all, one| all | one.bitmask());
    let refusal = rules.file_capabilities(of(&[Capability::CAP_SETUID, Capability::CAP_NET_RAW]));
    let refusal = refusal.expect("the kernel answers EPERM");
    assert_eq!((refusal.errno, refusal.kind), (Errno::EPERM, ViolationKind::Capability));
    assert_eq!(refusal.want, Some(Want::Capability(Capability::CAP_NET_RAW)));
    assert_eq!(rules.file_capabilities(of(&[Capability::CAP_SETUID])), None);
    assert_eq!(rules.file_capabilities(0), None);
}

#[test]
fn a_call_that_is_not_listed_is_refused_as_the_table_has_it() {
    let rules = rules(r#""files": []"#);
    for syscall in syscalls::all() {
        let unlisted = Call { name: Some(syscall.name), number: 0, args: [0; 6] };
        assert_eq!(rules.unlisted(&unlisted).errno, syscall.unlisted(), "{}", syscall.name);
    }
}

#[test]
fn what_every_call_that_takes_on_ids_makes_of_them_is_known() {
    let ids = Ids { uids: [Uid::from_raw(1); 4], gids: [Gid::from_raw(1); 4] };
    let mut known = 0;
    for syscall in syscalls::all() {
        let after = ids.after(&Call { name: Some(syscall.name), number: 0, args: [7; 6] });
        let expected = match syscall.handler {
            Handler::SetUid => (true, false),
            Handler::SetGid => (false, true),
            _ => {
                assert_eq!(after, None, "{}", syscall.name);
                continue;
            }
        };
        let after = after.unwrap_or_else(|| panic!("{}", syscall.name));
        assert_eq!(
            (after.uids.contains(&Uid::from_raw(7)), after.gids.contains(&Gid::from_raw(7))),
            expected,
            "{}",
            syscall.name
        );
        known += 1;
    }
    assert_eq!(known, 8);
}

#[test]
fn the_hint_names_the_value_where_one_argument_decides() {
    let rules = rules(r#""syscalls": {"allow": [{"call": "ioctl", "arg": 1, "in": [21505]}]}"#);
    let high = (1 << 32) + 0x5412;
    let refusal = rules.argument(&call("ioctl", &[0, high]));
    let want = Want::SyscallWhen { call: "ioctl".into(), arg: 1, value: json!(0x5412) };
    assert_eq!((refusal.errno, refusal.want), (Errno::EPERM, Some(want)), "as wide as the kernel looks");
    let clone = rules.argument(&call("clone", &[0x1000_0000]));
    let want = Want::SyscallWhen { call: "clone".into(), arg: 0, value: json!(0x1000_0000) };
    assert_eq!(clone.want, Some(want), "these flags, and no others");
    // A send that connects goes past the rules on ports, whatever else is allowed.
    let send = rules.argument(&call("sendto", &[3, 0, 1, 0x2000_0000]));
    assert_eq!((send.errno, send.want), (Errno::EPERM, None));
}

#[test]
fn memory_signals_and_clones() {
    let rules = rules(r#""files": []"#);
    let memory = rules.memory(&call("mprotect", &[0, 4096, 7]));
    assert_eq!(
        (memory.kind, memory.errno, memory.want),
        (ViolationKind::Memory, Errno::EACCES, Some(Want::WriteExecute))
    );
    let signal = rules.signal(&call("kill", &[1, 15]));
    assert_eq!((signal.errno, signal.want), (Errno::EPERM, None), "no profile allows it");
    const VFORK: u64 = 0x4111;
    const THREAD: u64 = 0x3d_0f00;
    assert!(rules.makes_thread(&call("clone", &[THREAD])) && !rules.makes_thread(&call("clone", &[VFORK])));
    assert!(!rules.makes_thread(&call("vfork", &[THREAD])));
    for namespace in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert!(rules.is_forbidden_clone(&call("clone", &[namespace | 17])), "{namespace:#x}");
    }
    assert!(!rules.is_forbidden_clone(&call("clone", &[17])));
    assert!(!rules.is_forbidden_clone(&call("clone", &[THREAD])));
}

#[test]
fn processes_are_counted_to_the_limit() {
    let limited = rules(r#""limits": {"processes": 3}"#);
    assert_eq!(limited.processes(2), None);
    let refusal = limited.processes(3).expect("one too many");
    assert_eq!((refusal.kind, refusal.errno), (ViolationKind::Limit, Errno::EAGAIN));
    assert_eq!(refusal.want, Some(Want::Processes(4)));
    assert_eq!(rules(r#""files": []"#).processes(u32::MAX), None);
}

fn ids(uids: [u32; 4]) -> Ids {
    Ids { uids: uids.map(Uid::from_raw), gids: [Gid::from_raw(33); 4] }
}

#[test]
fn a_capability_is_needed_only_for_ids_that_are_not_ones_own() {
    let rules = rules(r#""capabilities": ["setgid"]"#);
    let own = ids([33, 33, 44, 33]);
    let ask = |name, args: &[u64]| rules.capability(&call(name, args), Capability::CAP_SETUID, &own);
    let refusal = ask("setuid", &[0]).expect("it is not one's own");
    assert_eq!((refusal.kind, refusal.errno), (ViolationKind::Capability, Errno::EPERM));
    assert_eq!(refusal.want, Some(Want::Capability(Capability::CAP_SETUID)));
    assert!(ask("setresuid", &[33, 44, u64::from(u32::MAX)]).is_none(), "own, saved, and left as it is");
    assert!(ask("setresuid", &[33, 44, 0]).is_some());
    assert!(ask("setuid", &[(1 << 32) | 33]).is_none(), "an id has 32 bits");
    let lent = ids([33, 33, 33, 44]);
    let ask = |name| rules.capability(&call(name, &[44]), Capability::CAP_SETUID, &lent);
    assert!(ask("setfsuid").is_none() && ask("setuid").is_some(), "the file-system id may stay");
    // What the app holds is not its lack; what has no ids always needs it.
    assert!(rules.capability(&call("setgid", &[0]), Capability::CAP_SETGID, &own).is_none());
    assert!(rules.capability(&call("chroot", &[0]), Capability::CAP_SYS_CHROOT, &own).is_some());
}

#[test]
fn a_capability_that_the_container_lacks_is_not_the_profiles_refusal() {
    let own = ids([33; 4]);
    let listed = rules(r#""capabilities": ["sys_chroot"], "syscalls": {"allow": ["chroot"]}"#);
    assert!(listed.capability(&call("chroot", &[0]), Capability::CAP_SYS_CHROOT, &own).is_none());
    // It is seen all the same to ask for it.
    assert_eq!(listed.access("chroot"), Some(&crate::filter::Access::Notify));
}

#[test]
fn an_option_that_leads_elsewhere_is_the_network_s_refusal() {
    let rules = rules(r#""network": {"connect": ["tcp/10.0.0.1:80"]}"#);
    let refusal = rules.argument(&call("setsockopt", &[3, 41, 57]));
    assert_eq!((refusal.kind, refusal.errno, refusal.want), (ViolationKind::Network, Errno::EPERM, None));
}

#[test]
fn a_condition_on_a_change_of_user_is_checked() {
    let rules = rules(
        r#""capabilities": ["setuid"],
        "syscalls": {"allow": [{"call": "setfsuid", "arg": 0, "in": [33]}]}"#,
    );
    assert!(rules.lists(&call("setfsuid", &[33])) && !rules.lists(&call("setfsuid", &[0])));
}
