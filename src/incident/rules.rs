//! The rules of incidents: what an event is a sign of. Their ids are stable; docs/events.md lists
//! them.

use std::path::Path;

use crate::event::record::{EventRecord, ObjectRecord};
use crate::plan::secrets::is_secret;
use crate::review::known::{KnownProgram, known};

use super::severity::IncidentSeverity;

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct IncidentRule {
    /// Its stable id.
    pub id: &'static str,
    /// What it finds.
    pub what: &'static str,
    /// The technique of MITRE ATT&CK (v17, Enterprise) that it is a sign of: id and name.
    pub technique: Option<(&'static str, &'static str)>,
    /// How grave it is alone.
    pub severity: IncidentSeverity,
}

/// All rules.
pub const INCIDENT_RULES: [IncidentRule; 15] = [
    IncidentRule {
        id: "shell",
        what: "a program that is no shell starts one",
        technique: Some(("T1059.004", "Unix Shell")),
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "interpreter",
        what: "another program starts an interpreter: python, perl, php, …",
        technique: Some(("T1059", "Command and Scripting Interpreter")),
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "download",
        what: "a program that fetches or sends data is started: curl, wget, nc, a package manager, …",
        technique: Some(("T1105", "Ingress Tool Transfer")),
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "discovery",
        what: "a program that examines the system is started: id, uname, ps, …",
        technique: Some(("T1082", "System Information Discovery")),
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "dropped-program",
        what: "a program is started from a directory of temporary files, from memory, or one that the incident wrote",
        technique: None,
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "dropped-file",
        what: "a file is written among the programs, in a directory of temporary files, or with the name of a script or \
               library",
        technique: None,
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "startup-file",
        what: "a file is written that is executed later: cron, an init system, a shell's profile, the loader's preload",
        technique: Some(("T1546", "Event Triggered Execution")),
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "credential-file",
        what: "a file with credentials is opened: passwords, keys, tokens, the environment of a process",
        technique: Some(("T1552.001", "Credentials In Files")),
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "connect",
        what: "a connection is made that the profile does not list",
        technique: Some(("T1071", "Application Layer Protocol")),
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "listen",
        what: "a port or socket is opened that the profile does not list",
        technique: None,
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "injection",
        what: "code is put into a process: ptrace, another one's memory, memory that is writable and executable",
        technique: Some(("T1055", "Process Injection")),
        severity: IncidentSeverity::High,
    },
    IncidentRule {
        id: "escape",
        what: "a way out of the container is tried: mounts, namespaces, kernel modules, BPF, the engine's socket",
        technique: Some(("T1611", "Escape to Host")),
        severity: IncidentSeverity::High,
    },
    IncidentRule {
        id: "privilege",
        what: "a capability or another user is taken that the profile does not grant",
        technique: Some(("T1548", "Abuse Elevation Control Mechanism")),
        severity: IncidentSeverity::Low,
    },
    IncidentRule {
        id: "loader-variable",
        what: "a program is started with a variable that makes it run other code: LD_PRELOAD, …",
        technique: Some(("T1574.006", "Dynamic Linker Hijacking")),
        severity: IncidentSeverity::Medium,
    },
    IncidentRule {
        id: "other",
        what: "another violation by a process of an incident; it begins none",
        technique: None,
        severity: IncidentSeverity::Low,
    },
];

/// The rule with this id.
pub(super) fn rule(id: &str) -> &'static IncidentRule {
    let found = INCIDENT_RULES.iter().find(|rule| rule.id == id);
    found.unwrap_or(&INCIDENT_RULES[INCIDENT_RULES.len() - 1])
}

const DOWNLOADERS: [&str; 30] = [
    "curl",
    "wget",
    "aria2c",
    "ftp",
    "tftp",
    "ftpget",
    "lftp",
    "nc",
    "ncat",
    "netcat",
    "nc.openbsd",
    "nc.traditional",
    "socat",
    "ssh",
    "scp",
    "sftp",
    "rsync",
    "telnet",
    "git",
    "apt",
    "apt-get",
    "apk",
    "dnf",
    "yum",
    "microdnf",
    "rpm",
    "dpkg",
    "pip",
    "pip3",
    "npm",
];

const EXAMINERS: [&str; 30] = [
    "id", "whoami", "who", "w", "uname", "hostname", "ps", "top", "ss", "netstat", "ip", "ifconfig", "arp",
    "route", "lsof", "env", "printenv", "getent", "last", "lscpu", "lsblk", "df", "mount", "dmesg", "nmap",
    "ping", "dig", "nslookup", "host", "capsh",
];

/// Where anyone may write.
const TEMPORARY: [&str; 6] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/", "/var/run/", "/memfd:"];

const PROGRAMS: [&str; 8] = ["/bin/", "/sbin/", "/usr/", "/lib/", "/lib64/", "/opt/", "/app/", "/snap/"];

/// The ends of names of what is executed, or read by an interpreter.
const CODE: [&str; 14] = [
    ".sh", ".py", ".pl", ".rb", ".php", ".phtml", ".jsp", ".jspx", ".cgi", ".js", ".so", ".ko", ".elf",
    ".bin",
];

/// Parts of the names of files that are executed later.
const STARTUP: [&str; 15] = [
    "/etc/cron",
    "/var/spool/cron",
    "/etc/systemd/",
    "/lib/systemd/",
    "/etc/init.d/",
    "/etc/rc",
    "/etc/profile",
    "/etc/bash.bashrc",
    "/.bashrc",
    "/.profile",
    "/.bash_profile",
    "/.zshrc",
    "/etc/ld.so.",
    "/.ssh/authorized_keys",
    "/etc/update-motd.d/",
];

/// Parts of the names of files with credentials, beside those that [`is_secret`] knows.
const CREDENTIALS: [&str; 15] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/.ssh/",
    "/etc/ssh/ssh_host_",
    "/.aws/",
    "/.azure/",
    "/.config/gcloud",
    "/.docker/config.json",
    "/.kube/config",
    "/.netrc",
    "/.pgpass",
    "/.git-credentials",
    "/.vault-token",
    "/etc/kubernetes/",
    "/proc/kcore",
];

const ENGINE_SOCKETS: [&str; 5] =
    ["docker.sock", "containerd.sock", "crio.sock", "podman.sock", "buildkitd.sock"];

const INJECTING: [&str; 7] = [
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "process_madvise",
    "userfaultfd",
    "memfd_create",
];

const ESCAPING: [&str; 24] = [
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "fsconfig",
    "mount_setattr",
    "pivot_root",
    "unshare",
    "setns",
    "clone",
    "bpf",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "open_by_handle_at",
    "perf_event_open",
    "iopl",
    "ioperm",
    "reboot",
    "swapon",
];

const BECOMING: [&str; 8] =
    ["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset"];

/// Capabilities with which the kernel, or the host, is within reach.
const STRONG: [&str; 7] =
    ["sys_admin", "sys_module", "sys_ptrace", "sys_rawio", "sys_boot", "bpf", "dac_read_search"];

/// What a program is, by the last part of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgramClass {
    /// Another: a server, as far as it is known.
    Other,
    /// A shell.
    Shell,
    /// An interpreter, which may be a server as well.
    Interpreter,
    /// A program that an intruder uses.
    Tool,
}

/// The class of a program.
pub(super) fn program_class(path: &str) -> ProgramClass {
    let name = base(path);
    if is_shell(path, None) {
        ProgramClass::Shell
    } else if is_interpreter(path) {
        ProgramClass::Interpreter
    } else if DOWNLOADERS.contains(&name) || EXAMINERS.contains(&name) || begins(path, &TEMPORARY) {
        ProgramClass::Tool
    } else {
        ProgramClass::Other
    }
}

/// A file of many programs counts as the shell that it is too.
fn is_shell(path: &str, applet: Option<&str>) -> bool {
    matches!(known(Path::new(path), applet), Some(KnownProgram::Shell | KnownProgram::MultiCall))
}

fn is_interpreter(path: &str) -> bool {
    known(Path::new(path), None) == Some(KnownProgram::Interpreter)
}

/// The rule that the start of a program is a sign of, by what starts it; `None` for an ordinary
/// program. An argv\[0\] names the applet of a multi-call binary.
pub(super) fn of_exec(path: &str, name: &str, starter: &str) -> Option<&'static str> {
    let by_path = base(path);
    let by_name = base(name);
    let applet = matches!(by_path, "busybox" | "toybox" | "coreutils").then_some(by_name);
    let is = |list: &[&str]| list.contains(&by_path) || applet.is_some_and(|applet| list.contains(&applet));
    if begins(path, &TEMPORARY) || path.ends_with(" (deleted)") {
        return Some("dropped-program");
    }
    let from = program_class(starter);
    if is(&DOWNLOADERS) {
        return Some("download");
    }
    if is(&EXAMINERS) {
        return Some("discovery");
    }
    if (is_shell(path, None) || is_shell(path, applet)) && from != ProgramClass::Shell {
        return Some("shell");
    }
    let is_same = base(starter) == by_path;
    (is_interpreter(path) && !is_same).then_some("interpreter")
}

/// The rule that a violation is a sign of.
pub(super) fn of_violation(
    event: &EventRecord<'_>,
    object: &ObjectRecord<'_>,
    program: &str,
) -> &'static str {
    match &*event.kind {
        "program" => of_exec(&object.path, "", program).unwrap_or("other"),
        "file" => of_file(object),
        "network" => of_address(object),
        "syscall" => of_call(&object.syscall),
        "memory" => "injection",
        "environment" => "loader-variable",
        "capability" if STRONG.contains(&&*object.name) => "escape",
        "capability" => "privilege",
        _ => "other",
    }
}

fn of_file(object: &ObjectRecord<'_>) -> &'static str {
    let path: &str = &object.path;
    let writes = ["write", "create", "remove"].iter().any(|access| object.access.has(access));
    let drops = object.access.has("write") || object.access.has("create");
    let memory = path.strip_prefix("/proc/").is_some_and(|rest| rest.ends_with("/mem"));
    if memory && writes {
        return "injection";
    }
    if writes && holds(path, &STARTUP) {
        return "startup-file";
    }
    if holds(path, &CREDENTIALS)
        || is_secret(Path::new(path))
        || (path.starts_with("/proc/") && path.ends_with("/environ"))
    {
        return "credential-file";
    }
    let code = CODE.iter().any(|end| path.ends_with(end));
    if drops && (code || begins(path, &TEMPORARY) || begins(path, &PROGRAMS)) {
        return "dropped-file";
    }
    "other"
}

fn of_address(object: &ObjectRecord<'_>) -> &'static str {
    let address: &str = &object.address;
    if address.strip_prefix("unix:").is_some_and(|path| ENGINE_SOCKETS.contains(&base(path))) {
        return "escape";
    }
    if object.access.has("listen") {
        return "listen";
    }
    // A name service or a log that is not there is looked for by way of a socket of this machine.
    if address.starts_with("unix:") { "other" } else { "connect" }
}

fn of_call(call: &str) -> &'static str {
    if INJECTING.contains(&call) {
        "injection"
    } else if ESCAPING.contains(&call) {
        "escape"
    } else if BECOMING.contains(&call) {
        "privilege"
    } else {
        "other"
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn begins(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn holds(path: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, program: &str) -> &'static str {
        let line = format!("{{\"remit\":1,\"event\":\"violation\",{line}}}");
        let event = EventRecord::read(line.as_bytes()).expect("an event");
        of_violation(&event, &event.details().object(), program)
    }

    #[test]
    fn each_rule_has_its_sign_and_its_near_miss() {
        let file = |path: &str, access: &str| {
            format!("\"kind\":\"file\",\"object\":{{\"path\":\"{path}\",\"access\":[\"{access}\"]}}")
        };
        let program = |path: &str| format!("\"kind\":\"program\",\"object\":{{\"path\":\"{path}\"}}");
        let call =
            |name: &str| format!("\"kind\":\"syscall\",\"object\":{{\"syscall\":\"{name}\",\"args\":[]}}");
        let address = |text: &str, access: &str| {
            format!("\"kind\":\"network\",\"object\":{{\"address\":\"{text}\",\"access\":\"{access}\"}}")
        };
        let name = |kind: &str, name: &str| format!("\"kind\":\"{kind}\",\"object\":{{\"name\":\"{name}\"}}");
        let table = [
            (program("/bin/sh"), "/usr/sbin/nginx", "shell"),
            (program("/usr/bin/pwsh"), "/usr/sbin/nginx", "shell"),
            (program("/bin/bash"), "/bin/sh", "other"),
            (program("/usr/bin/python3.13"), "/bin/sh", "interpreter"),
            (program("/usr/bin/deno"), "/usr/sbin/nginx", "interpreter"),
            (program("/usr/bin/python3.13"), "/usr/local/bin/python3.13", "other"),
            (program("/usr/bin/curl"), "/bin/sh", "download"),
            (program("/usr/bin/curlew"), "/bin/sh", "other"),
            (program("/usr/bin/id"), "/bin/sh", "discovery"),
            (program("/tmp/x"), "/bin/sh", "dropped-program"),
            (program("/srv/tmp/x"), "/bin/sh", "other"),
            (file("/tmp/x", "create"), "", "dropped-file"),
            (file("/srv/www/x.php", "write"), "", "dropped-file"),
            (file("/usr/bin/x", "write"), "", "dropped-file"),
            (file("/tmp/x", "read"), "", "other"),
            (file("/data/x", "write"), "", "other"),
            (file("/etc/cron.d/x", "create"), "", "startup-file"),
            (file("/etc/cron.d/x", "read"), "", "other"),
            (file("/etc/shadow", "read"), "", "credential-file"),
            (file("/proc/1/environ", "read"), "", "credential-file"),
            (file("/run/secrets/token", "read"), "", "credential-file"),
            (file("/srv/app/.env", "read"), "", "credential-file"),
            (file("/srv/app/env", "read"), "", "other"),
            (file("/proc/12/mem", "write"), "", "injection"),
            (address("tcp/203.0.113.9:4444", "connect"), "", "connect"),
            (address("unix:/run/docker.sock", "connect"), "", "escape"),
            (address("unix:/run/nscd/socket", "connect"), "", "other"),
            (address("tcp/4444", "listen"), "", "listen"),
            (call("ptrace"), "", "injection"),
            (call("mount"), "", "escape"),
            (call("setuid"), "", "privilege"),
            (call("sysinfo"), "", "other"),
            (name("memory", "write_execute"), "", "injection"),
            (name("capability", "sys_admin"), "", "escape"),
            (name("capability", "chown"), "", "privilege"),
            (name("environment", "LD_PRELOAD"), "", "loader-variable"),
            (name("limit", "processes"), "", "other"),
        ];
        for (line, program, rule) in &table {
            assert_eq!(of(line, program), *rule, "{line} by {program}");
        }
        for rule in &INCIDENT_RULES {
            assert!(table.iter().any(|(_, _, id)| *id == rule.id), "{} has no sign here", rule.id);
        }
    }

    #[test]
    fn an_applet_is_known_by_its_name() {
        assert_eq!(of_exec("/bin/busybox", "wget", "/bin/busybox"), Some("download"));
        assert_eq!(of_exec("/bin/busybox", "sh", "/usr/sbin/nginx"), Some("shell"));
        assert_eq!(of_exec("/bin/busybox", "cat", "/bin/busybox"), None);
        assert_eq!(of_exec("/usr/sbin/nginx", "sh", "/bin/sh"), None);
    }
}
