//! How much an attacker gains by a permission, and why: a table by kind, not a measure.

use std::path::Path;

use super::calls;
use super::known::{KnownProgram, known};
use super::network::{is_loopback, ports};
use super::permission::{LimitName, Permitted, ProgramKey, RiskLevel};
use crate::profile::{
    AddressRule, Capability, Endpoint, Mode, OnViolation, Profile, Rights, capability_word,
};
use crate::syscalls;

use RiskLevel::{Critical, High, Low, Moderate};

/// The risk of a permission in a profile, and its reason in a clause.
pub fn assess(what: &Permitted, profile: &Profile) -> (RiskLevel, String) {
    let (level, reason) = match what {
        Permitted::Mode(Mode::Enforce) => (Low, "what is not listed is refused"),
        Permitted::Mode(_) => (Critical, "nothing is refused in this mode"),
        Permitted::Degrade => {
            (High, "on an old kernel or in a narrow runtime it starts with less than the profile says")
        }
        Permitted::GoOn(OnViolation::Deny) => {
            (Low, "an attacker may go on to try other things, each with an event")
        }
        Permitted::GoOn(_) => (Low, "other processes of the container go on after a violation"),
        Permitted::UnseenReads => (Low, "an attacker may look for files without an event"),
        Permitted::UnseenSecrets => (Low, "an attacker may look for secrets without an event"),
        Permitted::RunAs(None) => (Moderate, "the container may start it as root"),
        Permitted::RunAs(Some(ids)) if ids.user.is_root() => (High, "root owns most files of the image"),
        Permitted::RunAs(Some(_)) => (Low, "it is not root"),
        Permitted::Capability(one) => return capability(*one),
        Permitted::Program(key) => return program(key, profile),
        Permitted::Entry(key) => match known(&key.path, key.applet.as_deref()) {
            _ if key.beneath => (Moderate, "the image's configuration decides what is started"),
            Some(_) => (Moderate, "what COMMAND hands it decides what runs"),
            None => (Low, "it is what the container is for"),
        },
        Permitted::Transition { from, to } => return transition(from, to),
        Permitted::Arguments(key, None) => match known(&key.path, key.applet.as_deref()) {
            Some(_) => (High, "its arguments are commands or code"),
            None if key.beneath => (Moderate, "the arguments of some programs are commands"),
            None => (Low, "its caller chooses what it does"),
        },
        Permitted::Arguments(..) => (Low, "these arguments and no others"),
        Permitted::Interpreter(..) => (Low, "this script and no other"),
        Permitted::Content(_, None) => (Low, "another image may bring another program under the name"),
        Permitted::Content(_, Some(_)) => (Low, "this content and no other"),
        Permitted::NotOfImage(_) => (Moderate, "a program that was put there before the start runs as well"),
        Permitted::ProgramUser(_, uid) => match uid {
            Some(uid) if uid.is_root() => (Moderate, "root owns most files of the image"),
            Some(_) => (Low, "it is not root"),
            None => (Low, "its caller decides"),
        },
        Permitted::Instances(_, None) => (Low, "it may use up processes and memory"),
        Permitted::Instances(..) => (Low, "so many and no more"),
        Permitted::Libraries(_, None) => (Low, "a file that it may read may be loaded as code"),
        Permitted::Libraries(..) => (Low, "code from there and nowhere else"),
        Permitted::File { path, right } => return file(path, *right),
        Permitted::Elsewhere(right) => match *right {
            Rights::READ => (Moderate, "whatever data and configuration the image has"),
            Rights::IOCTL => (Moderate, "control of devices that the engine passed in"),
            _ => (High, "configuration and data anywhere can be changed, and last until the next start"),
        },
        Permitted::StandardFiles => (Low, "the app has them open in any case"),
        Permitted::NvidiaDevices => {
            (High, "the driver of a graphics processor is a large part of the kernel")
        }
        Permitted::EngineDevices => (Moderate, "what the engine hands over decides how much it is"),
        Permitted::Listen(endpoint) => return listen(endpoint),
        Permitted::Connect(endpoint) => return connect(endpoint),
        Permitted::Call { call, alternatives, decided_by, startup_only } => {
            let any = alternatives.iter().any(Vec::is_empty);
            return of_call(call, any, *decided_by, *startup_only, alternatives, profile);
        }
        Permitted::StartupUntil(_) => (Low, "until then the calls of the start-up may be made"),
        Permitted::WriteExecute => (High, "an exploit can run machine code that it has written"),
        Permitted::Limit(name, most) => match (name, most) {
            (LimitName::Processes, None) => (Moderate, "a fork bomb is bounded by the engine alone"),
            (LimitName::Core, None) => (Low, "the app may ask for a core dump, which has its memory"),
            (_, None) => (Low, "the inherited limit holds"),
            (_, Some(_)) => (Low, "so much and no more"),
        },
        Permitted::KeepVariable(name) => match name.strip_suffix('*').unwrap_or(name) {
            stem if stem.is_empty() || stem.starts_with("LD_") || "LD_PRELOAD".starts_with(stem) => {
                (High, "the loader runs whatever library it names")
            }
            _ => (Moderate, "a program may run other code that it names"),
        },
        Permitted::PassVariable(_) => (Low, "it is decided by the paths that its value names"),
    };
    (level, reason.to_owned())
}

fn capability(capability: Capability) -> (RiskLevel, String) {
    use Capability::*;
    let (level, reason) = match capability {
        CAP_SYS_ADMIN => (Critical, "it is next to root on the machine: mounts, namespaces, devices"),
        CAP_SYS_MODULE => (Critical, "it loads code into the kernel"),
        CAP_SYS_RAWIO => (Critical, "it reaches memory and ports of the machine"),
        CAP_SYS_PTRACE => (Critical, "it controls every process that it can see"),
        CAP_BPF => (Critical, "it loads programs into the kernel"),
        CAP_SYS_BOOT => (Critical, "it restarts the machine, or replaces its kernel"),
        CAP_MAC_ADMIN | CAP_MAC_OVERRIDE => {
            (Critical, "it changes or passes by the machine's own access control")
        }
        CAP_DAC_READ_SEARCH => (Critical, "it opens files by their numbers, those of the machine among them"),
        CAP_NET_ADMIN => (High, "it changes interfaces, routes and firewalls"),
        CAP_PERFMON => (High, "it watches the kernel and other processes"),
        CAP_SETFCAP => (High, "it gives capabilities to files"),
        CAP_MKNOD => (High, "it makes device files"),
        CAP_NET_RAW => (High, "it forges packets and reads those of others in its network"),
        CAP_DAC_OVERRIDE => (High, "the modes of files do not stop it"),
        CAP_SETUID | CAP_SETGID => (High, "it takes on other ids, root's among them"),
        CAP_SYS_TIME => (High, "it sets the machine's clock"),
        CAP_SYSLOG => (High, "it reads the kernel's log, with its addresses"),
        CAP_AUDIT_CONTROL | CAP_AUDIT_READ => (High, "it controls or reads the machine's audit log"),
        CAP_CHECKPOINT_RESTORE => (High, "it chooses pids and reads what processes are made of"),
        CAP_SETPCAP => (Moderate, "it moves capabilities between its sets"),
        CAP_CHOWN | CAP_FOWNER | CAP_FSETID => (Moderate, "it changes files of other users"),
        CAP_KILL => (Moderate, "it signals processes of other users in the container"),
        CAP_SYS_CHROOT => (Moderate, "it changes the root of a process"),
        CAP_IPC_OWNER | CAP_IPC_LOCK => (Moderate, "it reaches shared memory of others, or holds memory"),
        CAP_LINUX_IMMUTABLE => (Moderate, "it sets attributes that protect files"),
        CAP_SYS_RESOURCE => (Moderate, "it raises its own limits"),
        CAP_SYS_NICE => (Moderate, "it takes processors from others"),
        CAP_SYS_PACCT | CAP_SYS_TTY_CONFIG => (Moderate, "it changes accounting or terminals"),
        _ => (Low, "it acts on what is its own"),
    };
    (level, reason.to_owned())
}

fn program(key: &ProgramKey, profile: &Profile) -> (RiskLevel, String) {
    if key.beneath {
        let of_image = profile.programs.iter().any(|one| one.from_image && *one.place.path() == key.path);
        return match (key.path.parent(), of_image) {
            (None, _) => (High, "every file of the container is a program".to_owned()),
            (_, true) => (
                Moderate,
                "each tool that the image has there can be used, but none that was added".to_owned(),
            ),
            _ => (
                High,
                "each tool that the image has there can be used: shells, downloaders, interpreters"
                    .to_owned(),
            ),
        };
    }
    match known(&key.path, key.applet.as_deref()) {
        Some(kind) => {
            let level = if kind == KnownProgram::Compiler || kind == KnownProgram::ChangesUser {
                Moderate
            } else {
                High
            };
            (level, format!("{}: {}", kind.words(), kind.danger()))
        }
        None => (Low, "one program with a purpose of its own".to_owned()),
    }
}

fn transition(from: &ProgramKey, to: &ProgramKey) -> (RiskLevel, String) {
    if from == to && !to.beneath {
        return (Low, "it is the program that runs already".to_owned());
    }
    match known(&to.path, to.applet.as_deref()) {
        _ if to.beneath => (
            High,
            "each tool that the image has there can be used: shells, downloaders, interpreters".to_owned(),
        ),
        Some(kind) if known(&from.path, from.applet.as_deref()).is_some() => {
            (Moderate, format!("{}, which a tool runs that is as powerful", kind.words()))
        }
        Some(kind) => (High, format!("{}: {}", kind.words(), kind.danger())),
        None => (Low, "one program with a purpose of its own".to_owned()),
    }
}

/// Directories with configuration, start-up scripts or keys.
const SENSITIVE: [&str; 5] = ["/boot", "/etc", "/root", "/home", "/var/spool/cron"];
/// Where secrets are by custom.
const SECRETS: [&str; 6] =
    ["/run/secrets", "/var/run/secrets", "/etc/shadow", "/etc/gshadow", "/root/.ssh", "/etc/ssl/private"];

fn file(path: &Path, right: Rights) -> (RiskLevel, String) {
    let is = |level, reason: &str| (level, reason.to_owned());
    let within = |list: &[&str]| list.iter().any(|place| path.starts_with(place));
    let around = |list: &[&str]| list.iter().any(|place| Path::new(place).starts_with(path));
    if right == Rights::IOCTL {
        return match () {
            () if path.starts_with("/dev/pts") || path == Path::new("/dev/tty") => is(Low, "a terminal"),
            () if path.starts_with("/dev") => is(High, "drivers of devices are a large part of the kernel"),
            () => is(Moderate, "it controls devices, where there are some"),
        };
    }
    if right == Rights::LIST {
        return is(Low, "names of files, and nothing that is in them");
    }
    if right == Rights::READ {
        return match () {
            () if path.parent().is_none() => is(Moderate, "every file of the image, secrets among them"),
            () if within(&SECRETS) || around(&SECRETS[..2]) => is(Moderate, "secrets are there by custom"),
            () if path == Path::new("/proc") || path == Path::new("/sys") => {
                is(Low, "it shows what runs, and what the kernel is")
            }
            () if around(&["/etc", "/root", "/home"]) || within(&["/root", "/home"]) => {
                is(Moderate, "configuration and keys are there by custom")
            }
            () => is(Low, "what the app reads"),
        };
    }
    match () {
        () if path.starts_with("/proc/self") => is(Low, "a setting of the process itself"),
        () if within(&["/proc", "/sys"]) => is(Critical, "settings of the kernel"),
        () if within(&["/dev/shm", "/dev/mqueue"]) => is(Low, "memory that processes share"),
        () if within(&[
            "/dev/null",
            "/dev/zero",
            "/dev/full",
            "/dev/random",
            "/dev/urandom",
            "/dev/tty",
            "/dev/pts",
            "/dev/ptmx",
        ]) =>
        {
            is(Low, "a device without data of its own")
        }
        () if path.starts_with("/dev") => is(High, "devices of the machine"),
        () if within(&SENSITIVE) || around(&SENSITIVE) => {
            is(High, "configuration decides what runs at the next start")
        }
        () if within(&["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64"]) => {
            is(High, "programs and libraries lie there")
        }
        () if within(&["/tmp", "/var/tmp", "/run"]) => is(Low, "it does not outlive the container by custom"),
        () if right == Rights::REMOVE => is(Moderate, "data of the app can be removed"),
        () => is(Low, "data of the app"),
    }
}

fn listen(endpoint: &Endpoint) -> (RiskLevel, String) {
    let (level, reason) = match endpoint {
        Endpoint::Tcp(rule) if is_loopback(rule) => (Low, "processes of the same network alone reach it"),
        Endpoint::Tcp(rule) if ports(rule) > 16 => {
            (Moderate, "an attacker can wait for a connection on a port of choice")
        }
        Endpoint::Tcp(_) => (Low, "the service itself"),
        Endpoint::Udp(_) => (Moderate, "datagrams go to any address: data can leave by them"),
        Endpoint::UnixAny => (Moderate, "any socket may be bound, also where clients expect another"),
        Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => (Low, "one socket"),
        Endpoint::Icmp | Endpoint::Netlink => (Low, "questions to the kernel or to hosts"),
    };
    (level, reason.to_owned())
}

/// Sockets by which a process commands the engine.
const ENGINES: [&str; 6] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
];

fn connect(endpoint: &Endpoint) -> (RiskLevel, String) {
    let (level, reason) = match endpoint {
        Endpoint::Tcp(rule) if is_loopback(rule) => (Low, "services of the same network alone"),
        Endpoint::Tcp(AddressRule { network: None, .. }) => match endpoint {
            Endpoint::Tcp(rule) if ports(rule) > 16 => (High, "an attacker can connect out to any host"),
            _ => (Moderate, "any host that serves this port, an attacker's among them"),
        },
        Endpoint::Tcp(rule) if rule.network.is_some_and(|network| network.prefix_len() == 0) => {
            (Moderate, "any host that serves this port, an attacker's among them")
        }
        Endpoint::Tcp(_) => (Low, "these hosts and no others"),
        Endpoint::Udp(_) => (High, "datagrams go to any address: data can leave by them"),
        Endpoint::UnixAny => (High, "any daemon with a socket in the container can be commanded"),
        Endpoint::UnixPath(path) if ENGINES.iter().any(|engine| path == Path::new(engine)) => {
            (Critical, "who commands the engine is root on the machine")
        }
        Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => (Low, "one daemon"),
        Endpoint::Icmp => (Low, "hosts can be looked for"),
        Endpoint::Netlink => (Low, "the kernel's lists can be read"),
    };
    (level, reason.to_owned())
}

/// AF_PACKET, AF_KEY and AF_XDP; SOCK_RAW.
const RAW_DOMAINS: [u64; 3] = [17, 15, 44];
const SOCK_RAW: u64 = 3;

fn of_call(
    call: &str,
    any: bool,
    decided_by: Option<&'static str>,
    startup_only: bool,
    alternatives: &[Vec<super::RegisterTest>],
    profile: &Profile,
) -> (RiskLevel, String) {
    if let Some(section) = decided_by {
        return (Low, format!("`{section}` decides on what it acts"));
    }
    if let Some(needed) = syscalls::refused_without(call)
        && !profile.capabilities.iter().any(|entry| entry.what == needed)
    {
        return (Low, format!("the kernel refuses it without {}", capability_word(needed)));
    }
    let has = |arg: u8, value: u64| {
        alternatives.iter().any(|one| one.iter().all(|test| test.arg != arg || test.values.has(value)))
    };
    let of_arguments = match call {
        "socket" if RAW_DOMAINS.iter().any(|family| has(0, *family)) || (has(1, SOCK_RAW) && has(0, 2)) => {
            Some((High, "packets can be forged and read"))
        }
        "socket" => Some((Moderate, "kinds of sockets beyond those that `network` names")),
        "clone" if has(0, 0x1000_0000) => {
            Some((High, "new namespaces give capabilities over parts of the kernel that exploits use"))
        }
        "ioctl" if has(1, 0x5412) => Some((High, "it types into terminals (TIOCSTI)")),
        "ioctl" if any => Some((Moderate, "every request of every driver that it has open")),
        "prctl" if has(0, 22) => Some((Low, "a filter of the app's own, which never loosens this one")),
        "personality" if has(0, 0x40_0000) => Some((High, "it can make readable memory executable")),
        "personality" => Some((Low, "these values change nothing of the protection of memory")),
        _ => None,
    };
    if let Some((level, reason)) = of_arguments {
        return (level, reason.to_owned());
    }
    match calls::danger(call) {
        Some(reason) if startup_only => (Moderate, format!("{reason}; until start-up is over")),
        Some(reason) if !any => (Moderate, reason.to_owned()),
        Some(reason) => (High, reason.to_owned()),
        None if syscalls::find(call).is_some_and(|row| row.group.is_some()) => {
            (Low, "programs of every kind make it".to_owned())
        }
        None => (Low, "it gives little beyond what the process has".to_owned()),
    }
}
