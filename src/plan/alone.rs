//! The filter of a profile where nothing but the filter decides: no supervisor, no Landlock. It is
//! what another runtime can load in the place of remit-init.

use std::collections::{BTreeMap, HashSet};

use super::exact;
use super::filter_input::FilterInput;
use super::network::Sockets;
use crate::filter::Access;
use crate::kernel::{Arch, Kernel, NoListener, Release};
use crate::profile::{Mode, Profile, Watch};
use crate::syscalls::{self, Condition, Handler, Test};

/// The calls that a profile lets succeed on this architecture, each as far as registers decide it,
/// and notes about names that the architecture does not have.
///
/// Calls of `syscalls.startup_only` are in it: a filter does not change when start-up is over. A
/// call that only a supervisor could narrow is [`Access::Notify`], and one that is always refused is
/// [`Access::When`] without an alternative. No image is read: programs are
/// taken to be dynamically linked, and no scripts.
pub fn filter_alone(profile: &Profile, arch: Arch) -> (BTreeMap<&'static str, Access>, Vec<String>) {
    let mut profile = profile.clone();
    // What is counted or observed needs a supervisor.
    profile.ready = None;
    profile.watch = Watch::Nothing;
    profile.limits.processes = None;
    for program in &mut profile.programs {
        program.instances = None;
        program.libraries = None;
    }
    let kernel = Kernel {
        notify: Err(NoListener::NoSupervisor),
        mdwe: false,
        ..Kernel::stock(Release::new(6, 12), arch)
    };
    let mut notes = Vec::new();
    let input = FilterInput {
        profile: &profile,
        kernel: &kernel,
        mode: Mode::Enforce,
        watch: Watch::Nothing,
        sockets: &Sockets::of(&profile, &kernel, Mode::Enforce, false),
        dynamic: true,
        scripts: false,
        // A call without its capability is refused by the kernel; nothing reports it.
        capabilities: &caps::all(),
        supervisor: NO_PROCESS,
        group: 0,
        mdwe: false,
        notify_transport: None,
    };
    let calls = input.brought(&mut notes).filter(|(syscall, _)| syscall.number(arch).is_some());
    let calls = calls
        .map(|(syscall, call)| (syscall.name, without_supervisor(syscall, input.access(syscall.name, call))));
    (calls.collect(), notes)
}

/// The conditions on an open only select which opens are notified. Sockets of which no entry brings a
/// kind, and sends, are notified to be refused by their registers, but for what the groups have of them.
fn without_supervisor(syscall: &syscalls::Syscall, access: Access) -> Access {
    match access {
        _ if syscall.handler == Handler::Open => Access::Notify,
        Access::Notify if matches!(syscall.handler, Handler::Socket | Handler::Send) => {
            Access::When(exact::as_grouped(syscall.name))
        }
        Access::When(alternatives) => spared(alternatives),
        other => other,
    }
}

/// Alternatives without what protects a supervisor.
fn spared(alternatives: Vec<Vec<Condition>>) -> Access {
    let of_supervisor = |condition: &Condition| matches!(&condition.test, Test::NotIn(values) if *values == [u64::from(NO_PROCESS)]);
    let mut known = HashSet::new();
    let own = alternatives.into_iter().map(|all| all.into_iter().filter(|one| !of_supervisor(one)).collect());
    Access::when(own.filter(|all: &Vec<Condition>| known.insert(all.clone())).collect())
}

/// A number above the greatest pid (PID_MAX_LIMIT, 2^22), in the place of a supervisor's.
const NO_PROCESS: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read;

    fn calls(text: &str) -> BTreeMap<&'static str, Access> {
        filter_alone(&read(text.as_bytes()).expect("a profile").profile, Arch::X86_64).0
    }

    #[test]
    fn nothing_of_a_supervisor_is_left() {
        let calls = calls(
            r#"{ "remit": 1, "name": "x", "programs": [{ "path": "/a", "entry": true, "instances": 1 }],
                "files": ["@runtime"], "network": { "listen": ["tcp/127.0.0.1:80"] },
                "syscalls": { "startup_only": ["listen"] }, "ready": { "when": "listening" },
                "limits": { "processes": 3 }, "watch": ["reads"] }"#,
        );
        assert_eq!(calls["kill"], Access::Allow);
        assert_eq!(calls["sched_setaffinity"], Access::Allow);
        assert_eq!(calls["fork"], Access::Allow);
        assert_eq!(calls["listen"], Access::Allow, "start-up has no end");
        assert_eq!(calls["execve"], Access::Notify);
        assert_eq!(calls["openat"], Access::Notify);
        assert!(matches!(calls["socket"], Access::When(_)), "kinds of sockets are in registers");
        assert!(matches!(calls["mmap"], Access::When(_)));
        assert_eq!(calls["sendmmsg"], Access::When(exact::as_grouped("sendmmsg")));
        let texts = format!("{calls:?}");
        assert!(!texts.contains(&NO_PROCESS.to_string()), "{texts}");
        assert!(!calls.contains_key("ptrace"));
    }
}
