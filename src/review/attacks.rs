//! Which attacks a profile stops, and which it does not: each sentence is derived from what is not
//! granted, and says no more than docs/guarantees.md does.

use std::path::Path;

use self::AttackVerdict::{Possible, Stopped};
use super::calls::{AllowedCall, DANGEROUS, MOUNTING};
use super::docker;
use super::files::CHANGING;
use super::input::ReviewInput;
use super::known::{KnownProgram, known};
use super::network;
use super::permission::ProgramKey;
use super::sentence::program;
use crate::profile::{Capability, Endpoint, Entry, Mode, ProgramPlace, Rights, endpoint_text};
use crate::syscalls::{self, clone_flags};

/// A kind of attack, and whether a profile stops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackStop {
    /// The stable id.
    pub id: &'static str,
    /// Whether it is stopped.
    pub stops: bool,
    /// What cannot be done, or what can. Text of the profile may be in it.
    pub sentence: String,
}

/// Every attack, in a fixed order. Where the profile is not enforced, none is stopped.
pub fn attacks(input: &ReviewInput) -> Vec<AttackStop> {
    if input.profile.mode != Mode::Enforce {
        let sentence = format!("The mode is {}: nothing is refused.", input.profile.mode.word());
        return vec![AttackStop { id: "mode", stops: false, sentence }];
    }
    TABLE
        .iter()
        .map(|(id, verdict)| {
            let (stops, sentence) = match verdict(input) {
                Stopped(sentence) => (true, sentence),
                Possible(sentence) => (false, sentence),
            };
            AttackStop { id, stops, sentence }
        })
        .collect()
}

/// Whether the profile stops an attack, in a sentence.
enum AttackVerdict {
    /// What cannot be done.
    Stopped(String),
    /// What can be done.
    Possible(String),
}

type Attack = (&'static str, fn(&ReviewInput) -> AttackVerdict);

const TABLE: &[Attack] = &[
    ("shell", shell),
    ("tools", tools),
    ("dropped_program", dropped_program),
    ("dropped_script", dropped_script),
    ("dropped_library", dropped_library),
    ("replaced_program", |_| {
        Stopped("No program, no library that the profile names, and not the profile itself can be written, replaced or removed: the app would not start.".into())
    }),
    ("memory", |input| {
        match input.profile.write_execute {
        false => Stopped("Machine code that an exploit writes to memory cannot be run: memory is never writable and executable, and does not become executable.".into()),
        true => Possible("Machine code that an exploit writes to memory can be run: memory may be writable and executable.".into()),
    }
    }),
    ("loader", |input| {
        match input.profile.environment_keep.is_empty() {
        true => Stopped("A program cannot make another load its code by LD_PRELOAD, LD_LIBRARY_PATH and similar variables that name what the app may change.".into()),
        false => Possible(format!(
            "Programs can be made to run other code by variables that are kept: {}.",
            listed(input.profile.environment_keep.iter().map(|entry| entry.what.clone()))
        )),
    }
    }),
    ("set_user_id", |_| Stopped("set-user-ID bits and file capabilities have no effect.".into())),
    ("other_ids", other_ids),
    ("ptrace", ptrace),
    ("kernel", kernel),
    ("namespaces", namespaces),
    ("mounts", |input| {
        of_calls(input, &MOUNTING, "Nothing can be mounted or unmounted.", "Calls that mount are allowed")
    }),
    ("raw_sockets", forge),
    ("connect_out", connect_out),
    ("backdoor", backdoor),
    ("engine", engine),
    ("configuration", |input| {
        changes(
            input,
            &["/etc", "/root", "/home", "/var/spool/cron"],
            "Nothing below /etc, /root, /home and /var/spool/cron can be changed, so nothing is left there for the next start.",
        )
    }),
    ("secrets", secrets),
    ("devices", devices),
    ("fork_bomb", |input| match input.profile.limits.processes {
        Some(most) => Stopped(format!("A fork bomb ends at {most} processes.")),
        None => Possible("The number of processes is not limited by the profile.".into()),
    }),
    ("after_startup", after_startup),
];

/// `a`, `a and b`, `a, b and c`, `a, b, c and 9 more`.
pub(super) fn listed(items: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 6;
    let items: Vec<String> = items.into_iter().collect();
    match &items[..] {
        [] => String::new(),
        [one] => one.clone(),
        all if all.len() > SHOWN => {
            format!("{} and {} more", all[..SHOWN - 1].join(", "), all.len() + 1 - SHOWN)
        }
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The programs of some kinds, and the directories, which may have any.
fn programs(input: &ReviewInput, kinds: &[KnownProgram]) -> Vec<String> {
    let is_one = |key: &ProgramKey| {
        key.beneath || known(&key.path, key.applet.as_deref()).is_some_and(|kind| kinds.contains(&kind))
    };
    input.programs.keys().iter().filter(|key| is_one(key)).map(program).collect()
}

fn shell(input: &ReviewInput) -> AttackVerdict {
    let found = programs(input, &[KnownProgram::Shell, KnownProgram::MultiCall]);
    let scripts = input.profile.programs.iter().filter(|one| {
        let interpreter = one.interpreter.as_deref();
        interpreter.is_some_and(|path| known(path, None).is_some_and(|kind| kind == KnownProgram::Shell))
    });
    let scripts: Vec<String> = scripts.map(|one| one.place.path().display().to_string()).collect();
    match found.is_empty() {
        true if scripts.is_empty() => {
            Stopped("A shell cannot be started, by whatever exploit: none is among the programs.".into())
        }
        true => Stopped(format!(
            "A shell cannot be started by itself: it runs for the scripts that are programs alone, {}.",
            listed(scripts)
        )),
        false => {
            Possible(format!("A shell can be started where a program may execute one: {}.", listed(found)))
        }
    }
}

fn tools(input: &ReviewInput) -> AttackVerdict {
    let kinds = [
        KnownProgram::PackageManager,
        KnownProgram::Download,
        KnownProgram::Relay,
        KnownProgram::Compiler,
        KnownProgram::Debugger,
        KnownProgram::MultiCall,
    ];
    let found = programs(input, &kinds);
    match found.is_empty() {
        true => Stopped("No tool that downloads, installs, compiles, relays or debugs can be started (curl, wget, nc, apt, gcc, gdb, …).".into()),
        false => Possible(format!("Tools that download, install, compile, relay or debug can be started: {}.", listed(found))),
    }
}

fn dropped_program(input: &ReviewInput) -> AttackVerdict {
    let of_image = input.profile.programs.iter().any(|program| program.from_image);
    Stopped(match of_image {
        true => "A file that is downloaded or written cannot be executed: below the app's own directory only what came with the image runs.".into(),
        false => "A file that is downloaded or written cannot be executed: no program may lie where the app may write.".into(),
    })
}

fn dropped_script(input: &ReviewInput) -> AttackVerdict {
    let found = programs(input, &[KnownProgram::Shell, KnownProgram::Interpreter, KnownProgram::MultiCall]);
    match found.is_empty() {
        true => Stopped("A script that is downloaded or written cannot be run: no shell and no interpreter is among the programs.".into()),
        false => Possible(format!(
            "A script that is downloaded or written may be run by an interpreter that may be executed: {}.",
            listed(found)
        )),
    }
}

fn dropped_library(input: &ReviewInput) -> AttackVerdict {
    let all = input.files.paths.iter().filter(|one| one.rights.intersects(CHANGING));
    let loadable: Vec<String> = all
        .filter(|one| input.files.rights_below(&one.path).contains(Rights::READ))
        .filter(|one| !is_plain_device(&one.path))
        .map(|one| one.path.display().to_string())
        .collect();
    let elsewhere = input.files.has(crate::profile::FileGroup::Elsewhere);
    let memfd = input.calls.has("memfd_create");
    match loadable.is_empty() && !elsewhere && !memfd {
        true => Stopped(
            "A library that is downloaded or written cannot be loaded: nothing may be both changed and read."
                .into(),
        ),
        false => {
            let mut found = loadable;
            if elsewhere {
                found.push("what @elsewhere grants".into());
            }
            if memfd && input.profile.write_execute {
                found.push("files in memory (memfd_create)".into());
            }
            match found.is_empty() {
                // Without write_execute a memfd is not mapped as code.
                true => Stopped("A library that is downloaded or written cannot be loaded: nothing may be both changed and read.".into()),
                false => Possible(format!(
                    "A library that is written to where it may be read may be loaded as code: {}. `libraries` of a program hinders that, in part.",
                    listed(found)
                )),
            }
        }
    }
}

/// Devices without a content that could be code, and a process's own settings.
fn is_plain_device(path: &Path) -> bool {
    let plain = [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        "/dev/pts",
        "/dev/ptmx",
    ];
    plain.iter().any(|plain| path.starts_with(plain)) || path.starts_with("/proc/self")
}

fn other_ids(input: &ReviewInput) -> AttackVerdict {
    let found: Vec<String> = input
        .profile
        .capabilities
        .iter()
        .filter(|entry| matches!(entry.what, Capability::CAP_SETUID | Capability::CAP_SETGID))
        .map(|entry| crate::profile::capability_word(entry.what))
        .collect();
    match found.is_empty() {
        true => Stopped(
            "A process cannot take on another user or group: the capabilities for it are not granted.".into(),
        ),
        false => Possible(format!(
            "A process can take on another user or group, root's among them: {} granted.",
            listed(found)
        )),
    }
}

fn ptrace(input: &ReviewInput) -> AttackVerdict {
    of_calls(
        input,
        &["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"],
        "No process can control another, write its memory or take its descriptors: ptrace, process_vm_writev and pidfd_getfd are refused, and nothing below /proc may be written but settings of a process itself.",
        "A process can control others of its user",
    )
}

fn of_calls(input: &ReviewInput, calls: &[&str], good: &str, bad: &str) -> AttackVerdict {
    let allowed: Vec<String> =
        calls.iter().filter(|call| works(input, call)).map(|call| (*call).to_owned()).collect();
    match allowed.is_empty() {
        true => Stopped(good.to_owned()),
        false => Possible(format!("{bad}: {}.", listed(allowed))),
    }
}

/// Whether a call may be made, and the capability that it needs is granted.
fn works(input: &ReviewInput, call: &str) -> bool {
    let needed = syscalls::refused_without(call);
    input.calls.has(call)
        && needed.is_none_or(|needed| input.profile.capabilities.iter().any(|entry| entry.what == needed))
}

fn kernel(input: &ReviewInput) -> AttackVerdict {
    let own = input.calls.names().count();
    let refused = docker::calls().filter(|call| !input.calls.has(call)).count();
    let dangerous: Vec<String> = DANGEROUS
        .iter()
        .map(|(call, _)| *call)
        .filter(|call| works(input, call))
        .filter(|call| *call != "personality" || input.calls.may("personality", 0, 0x40_0000))
        .map(str::to_owned)
        .collect();
    let counted = format!(
        "Of the {} calls that Docker's default lets through, {refused} are refused, and {own} calls are allowed in all",
        docker::count()
    );
    match dangerous.is_empty() {
        true => Stopped(format!(
            "{counted}; none of those with which most exploits of the kernel begin is among them (io_uring, bpf, userfaultfd, keyctl, perf_event_open, …)."
        )),
        false => Possible(format!(
            "{counted}; among them are some with which exploits of the kernel begin: {}.",
            listed(dangerous)
        )),
    }
}

fn namespaces(input: &ReviewInput) -> AttackVerdict {
    let clone = clone_flags::EACH_NAMESPACE.iter().any(|flag| input.calls.may("clone", 0, *flag));
    let mut found: Vec<String> =
        ["unshare", "setns"].into_iter().filter(|call| input.calls.has(call)).map(str::to_owned).collect();
    found.extend(clone.then(|| "clone with its flags".to_owned()));
    match found.is_empty() {
        true => Stopped("No namespace can be made or entered, so none gives capabilities.".into()),
        false => Possible(format!("Namespaces can be made or entered: {}.", listed(found))),
    }
}

/// Families of sockets for packets, and the type of raw ones.
const AF_PACKET: u64 = 17;
const AF_KEY: u64 = 15;
const AF_XDP: u64 = 44;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const SOCK_RAW: u64 = 3;

/// The entries that allow raw or packet sockets: `network` never does, an object for `socket` may.
pub(super) fn raw_sockets<'i>(input: &'i ReviewInput) -> Vec<&'i AllowedCall> {
    let has = |one: &AllowedCall, family: u64, kind: u64| {
        one.alternatives.iter().any(|tests| {
            tests.iter().all(|test| match test.arg {
                0 => test.values.has(family),
                1 => test.values.has(kind),
                _ => true,
            })
        })
    };
    let is_raw = |one: &&AllowedCall| {
        let packets = [AF_PACKET, AF_KEY, AF_XDP];
        let kinds = [1, 2, SOCK_RAW];
        packets.iter().any(|family| kinds.iter().any(|kind| has(one, *family, *kind)))
            || has(one, AF_INET, SOCK_RAW)
            || has(one, AF_INET6, SOCK_RAW)
    };
    input.calls.named("socket").filter(|one| one.decided_by.is_none()).filter(is_raw).collect()
}

/// The kernel refuses raw and packet sockets without CAP_NET_RAW.
fn forge(input: &ReviewInput) -> AttackVerdict {
    let capability = input.profile.capabilities.iter().any(|entry| entry.what == Capability::CAP_NET_RAW);
    match capability && !raw_sockets(input).is_empty() {
        false => Stopped(
            "No packets can be forged, nor those of others read: no raw socket and no packet socket can \
                     be made."
                .into(),
        ),
        true => Possible(
            "Packets can be forged and read: raw sockets are allowed, and net_raw is granted.".into(),
        ),
    }
}

fn connect_out(input: &ReviewInput) -> AttackVerdict {
    let network = &input.profile.network;
    let both = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
    let datagrams = both().any(|endpoint| matches!(endpoint, Endpoint::Udp(_) | Endpoint::Icmp));
    let other_sockets = input.calls.named("socket").any(|one| one.decided_by.is_none());
    let tcp: Vec<&Endpoint> = network
        .connect
        .iter()
        .map(|entry| &entry.what)
        .filter(|one| matches!(one, Endpoint::Tcp(_)))
        .collect();
    let is_far =
        |endpoint: &&&Endpoint| !matches!(endpoint, Endpoint::Tcp(rule) if network::is_loopback(rule));
    let far: Vec<String> = tcp.iter().filter(is_far).map(|one| endpoint_text(one)).collect();
    let anywhere = |endpoint: &&Endpoint| matches!(endpoint, Endpoint::Tcp(rule) if rule.network.is_none_or(|network| network.prefix_len() == 0));
    if datagrams || other_sockets {
        let mut found: Vec<String> = both()
            .filter(|one| matches!(one, Endpoint::Udp(_) | Endpoint::Icmp))
            .map(endpoint_text)
            .collect();
        found.extend(other_sockets.then(|| "kinds of sockets that `syscalls` adds".to_owned()));
        found.extend(far);
        found.sort();
        found.dedup();
        return Possible(format!("Data can be sent to other hosts: {}.", listed(found)));
    }
    match (far.is_empty(), tcp.iter().any(anywhere)) {
        (true, _) => Stopped("No connection to another host can be made: an intruder can neither fetch tools nor call home, but over connections that come in.".into()),
        (false, false) => Stopped(format!("Connections can be made to listed addresses alone: {}.", listed(far))),
        (false, true) => Possible(format!("Connections can be made to any host that serves these ports: {}.", listed(far))),
    }
}

fn backdoor(input: &ReviewInput) -> AttackVerdict {
    let listen: &[Entry<Endpoint>] = &input.profile.network.listen;
    let rules = || {
        listen.iter().filter_map(|entry| match &entry.what {
            Endpoint::Tcp(rule) => Some(rule),
            _ => None,
        })
    };
    let names = listed(listen.iter().map(|entry| endpoint_text(&entry.what)));
    match (rules().next().is_some(), network::open_ports(rules())) {
        (false, _) => Stopped("No TCP port can be bound, so none can be opened as a back door.".into()),
        (true, open) if open <= 16 => {
            Stopped(format!("No other TCP port can be bound than those of {names}."))
        }
        _ => Possible(format!("Almost any TCP port can be bound: {names}.")),
    }
}

fn engine(input: &ReviewInput) -> AttackVerdict {
    let is_engine = |endpoint: &&Endpoint| match endpoint {
        Endpoint::UnixAny => true,
        Endpoint::UnixPath(path) => {
            let path = path.to_string_lossy();
            ["docker.sock", "containerd.sock", "podman.sock", "crio.sock", "cri-dockerd.sock"]
                .iter()
                .any(|name| path.ends_with(name))
        }
        _ => false,
    };
    let found: Vec<String> = input
        .profile
        .network
        .connect
        .iter()
        .chain(&input.profile.network.listen)
        .map(|entry| &entry.what)
        .filter(is_engine)
        .map(endpoint_text)
        .collect();
    match found.is_empty() {
        true => Stopped("The engine cannot be commanded, also where its socket is mounted: no such unix socket is granted.".into()),
        false => Possible(format!("The engine can be commanded where its socket is mounted: {}.", listed(found))),
    }
}

fn changes(input: &ReviewInput, places: &[&str], good: &str) -> AttackVerdict {
    let found: Vec<String> = places
        .iter()
        .filter(|path| input.files.rights_below(Path::new(path)).intersects(CHANGING))
        .map(|path| (*path).to_owned())
        .collect();
    match found.is_empty() {
        true => Stopped(good.to_owned()),
        false => {
            Possible(format!("Files can be changed below {}, and last until the next start.", listed(found)))
        }
    }
}

fn secrets(input: &ReviewInput) -> AttackVerdict {
    let places = ["/run/secrets", "/var/run/secrets", "/etc/shadow", "/root"];
    let found: Vec<String> = places
        .iter()
        .filter(|path| input.files.rights_below(Path::new(path)).contains(Rights::READ))
        .map(|path| (*path).to_owned())
        .collect();
    match found.is_empty() {
        true => Stopped("Files that are not listed cannot be read, those of /run/secrets, /etc/shadow and /root among them.".into()),
        false => Possible(format!("Files can be read where secrets are by custom: {}.", listed(found))),
    }
}

fn devices(input: &ReviewInput) -> AttackVerdict {
    let found: Vec<String> = input
        .files
        .paths
        .iter()
        .filter(|one| one.rights.contains(Rights::IOCTL))
        .filter(|one| !is_plain_device(&one.path))
        .map(|one| one.path.display().to_string())
        .collect();
    let groups = [crate::profile::FileGroup::Elsewhere, crate::profile::FileGroup::Gpu];
    match found.is_empty() && !groups.iter().any(|group| input.files.has(*group)) {
        true => Stopped("No ioctl is granted on a device but terminals (from Linux 6.10 on the kernel refuses it by the device, before by the request alone).".into()),
        false => Possible("Drivers of devices can be reached by ioctl, where the devices are in the container.".into()),
    }
}

fn after_startup(input: &ReviewInput) -> AttackVerdict {
    let lasting = |call: &str| input.calls.named(call).any(|one| !one.startup_only);
    match lasting("execve") || lasting("execveat") {
        false => Stopped("Once start-up is over, nothing at all can be executed.".into()),
        true => {
            let several = input.profile.programs.len() > 1
                || input.profile.programs.iter().any(|one| matches!(one.place, ProgramPlace::Beneath(_)));
            Possible(match several {
                true => "The listed programs can be executed throughout, not at start-up alone.".into(),
                false => "The one program can execute itself again.".into(),
            })
        }
    }
}
