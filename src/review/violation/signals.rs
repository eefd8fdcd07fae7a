//! Signals that a violation is an attacker's doing, or a feature that no run has shown. Each is a plain
//! test on the event and the profile, with points that are printed; together they are a hint, no proof.

use std::path::Path;

use super::{StartContext, ViolationEvent};
use crate::profile::{self, Endpoint, Rights};
use crate::review::files::CHANGING;
use crate::review::input::ReviewInput;
use crate::review::known::{KnownProgram, known};
use crate::review::{calls, network};
use crate::syscalls;

/// What a signal points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// An attacker.
    Intrusion,
    /// The app itself.
    NewFeature,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrusionSignal {
    /// The stable id.
    pub id: &'static str,
    /// What it points to.
    pub points_to: Points,
    /// How much it counts.
    pub points: u32,
    /// In one sentence. Text of the event may be in it.
    pub sentence: String,
}

use Points::{Intrusion, NewFeature};

/// Every signal of a violation, in a fixed order.
pub(super) fn find(
    input: &ReviewInput,
    event: &ViolationEvent,
    start: &StartContext,
) -> Vec<IntrusionSignal> {
    let mut all = Vec::new();
    let mut put = |id, points_to, points, sentence: String| {
        all.push(IntrusionSignal { id, points_to, points, sentence });
    };
    let caller = &event.process.executable.path;
    let path = event.object.path.as_deref();
    if event.kind == "program"
        && let Some(path) = path
    {
        spawn(input, event, caller, path, &mut put);
        dropped(input, path, &mut put);
        beside_programs(input, path, &mut put);
    }
    if event.kind == "file"
        && let Some(path) = path
    {
        file(input, event, path, &mut put);
    }
    if let Some(call) = event.object.syscall.as_deref() {
        call_signals(input, event, call, &mut put);
    }
    if let Some(address) = event.object.address.as_deref() {
        connect(input, event, address, &mut put);
    }
    match event.kind.as_str() {
        "memory" => put(
            "code_in_memory",
            Intrusion,
            3,
            "Memory that is written and executed is how exploits run their code; JITs need it too.".into(),
        ),
        "environment" => put(
            "loader_variable",
            Intrusion,
            3,
            "A variable by which a program loads other code names what the app may change.".into(),
        ),
        "limit" => {
            put("limit", NewFeature, 2, "A limit that is reached is as a rule load, not an attack.".into())
        }
        "capability"
            if event.object.name.as_deref().is_some_and(|name| {
                ["sys_admin", "sys_ptrace", "sys_module", "net_admin"].contains(&name)
            }) =>
        {
            put(
                "strong_capability",
                Intrusion,
                2,
                "It is a capability that gives power over the machine.".into(),
            );
        }
        _ => {}
    }
    if let Some(count) = event.count.filter(|count| *count >= 100) {
        put("many", Intrusion, 1, format!("It was tried {count} times."));
    }
    if event.process.args.iter().any(|arg| SHELL_TRICKS.iter().any(|trick| arg.contains(trick))) {
        put("suspicious_arguments", Intrusion, 3, "The arguments have what reverse shells and droppers are made of (/dev/tcp, base64 -d, a pipe into sh).".into());
    }
    if !start.unlike.is_empty() {
        put(
            "after_update",
            NewFeature,
            2,
            format!("The image differs from the one in which the profile was learned: {}.", start.unlike[0]),
        );
    }
    if start.is_ready == Some(false) && input.profile.ready.is_some() {
        put("before_ready", NewFeature, 1, "Start-up was not over: nothing had been served yet.".into());
    }
    all
}

type Put<'p> = dyn FnMut(&'static str, Points, u32, String) + 'p;

/// What reverse shells and droppers have in their arguments.
const SHELL_TRICKS: [&str; 9] =
    ["/dev/tcp/", "/dev/udp/", "base64 -d", "base64 --decode", "|sh", "| sh", "|bash", "| bash", "mkfifo "];

/// Where any process may write, in most images.
const WRITABLE: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run"];

fn spawn(input: &ReviewInput, event: &ViolationEvent, caller: &Path, path: &Path, put: &mut Put) {
    let Some(kind) = known(path, None) else { return };
    let tools = [KnownProgram::Shell, KnownProgram::MultiCall];
    let by_shell = known(caller, None)
        .is_some_and(|caller| tools.contains(&caller) || caller == KnownProgram::Interpreter);
    let serves = !input.profile.network.listen.is_empty();
    let by = if serves { "a server" } else { "a program" };
    match by_shell {
        false => put(
            "tool_spawned",
            Intrusion,
            if serves { 4 } else { 3 },
            format!("{}, {by}, wanted to start {}: {}.", caller.display(), kind.words(), kind.danger()),
        ),
        // An entrypoint's script starts tools; one that no profile lists is another matter.
        true => put(
            "tool_of_a_script",
            Intrusion,
            if event.ancestors.is_empty() { 1 } else { 2 },
            format!("A script wanted to start {}: {}.", kind.words(), kind.danger()),
        ),
    }
}

fn dropped(input: &ReviewInput, path: &Path, put: &mut Put) {
    let text = path.to_string_lossy();
    let changeable = input.files.rights(path).intersects(CHANGING);
    if changeable || WRITABLE.iter().any(|place| path.starts_with(place)) {
        put(
            "program_where_the_app_writes",
            Intrusion,
            4,
            "The program lies where the app, or any process, may write: it may have been dropped there."
                .into(),
        );
    }
    if text.ends_with(" (deleted)") || text.contains("memfd:") {
        put(
            "program_without_a_name",
            Intrusion,
            4,
            "The program has no name any more, or is a file in memory.".into(),
        );
    }
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
        put("hidden_name", Intrusion, 2, "The program's name is hidden (it begins with a dot).".into());
    }
}

fn beside_programs(input: &ReviewInput, path: &Path, put: &mut Put) {
    let Some(directory) = path.parent() else { return };
    // Every image has its tools in these.
    let common = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    if common.iter().any(|place| directory == Path::new(place)) || known(path, None).is_some() {
        return;
    }
    let beside = input.programs.keys().into_iter().find(|key| key.path.parent() == Some(directory));
    if let Some(key) = beside {
        put(
            "program_beside_others",
            NewFeature,
            2,
            format!("It lies beside {}, which is a program of this profile.", key.path.display()),
        );
    }
}

/// What only an attacker reads or writes, as a rule.
const SENSITIVE: [&str; 9] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/ld.so.preload",
    "/root/.ssh",
    "/run/secrets",
    "/var/run/secrets",
    "/proc/1",
    "/var/run/docker.sock",
];
/// Where what is written runs at the next start or hour.
const PERSISTENT: [&str; 8] = [
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/crontab",
    "/var/spool/cron",
    "/etc/profile.d",
    "/etc/init.d",
    "/etc/systemd",
];
/// Where programs and libraries lie.
const CODE: [&str; 9] = [
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

fn file(input: &ReviewInput, event: &ViolationEvent, path: &Path, put: &mut Put) {
    let words = event.object.access.as_array().into_iter().flatten();
    let words: Vec<&str> = words.filter_map(serde_json::Value::as_str).collect();
    let changes = words.iter().any(|word| ["write", "create", "remove"].contains(word));
    let within = |list: &[&str]| list.iter().any(|place| path.starts_with(place));
    if within(&SENSITIVE) {
        put(
            "sensitive_file",
            Intrusion,
            3,
            "It is a file with secrets, or one that a server has no use for.".into(),
        );
    }
    if changes && within(&PERSISTENT) {
        put("persistence", Intrusion, 4, "What is written there runs later by itself.".into());
    }
    if changes && within(&CODE) {
        put(
            "dropped_file",
            Intrusion,
            3,
            "Programs and libraries lie there: a file that is put there is meant to run.".into(),
        );
    }
    let hidden = path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.len() > 1 && part.starts_with('.')
    });
    if changes && hidden && (within(&WRITABLE) || path.starts_with("/root")) {
        put(
            "hidden_file",
            Intrusion,
            2,
            "The name is hidden (it begins with a dot), where any process may write.".into(),
        );
    }
    let own = input.files.rights(path);
    if !own.is_empty() && !within(&SENSITIVE) {
        let has: Vec<&str> = own.words().collect();
        put(
            "more_rights",
            NewFeature,
            2,
            format!("The profile grants other rights on it ({}).", has.join(", ")),
        );
    } else if let Some(beside) =
        beside(input, path, changes).filter(|_| !within(&SENSITIVE) && !within(&CODE))
    {
        put(
            "path_beside_others",
            NewFeature,
            2,
            format!("It lies beside {beside}, which the profile grants."),
        );
    }
}

/// A granted path in the same directory, that is not a common one; with a right to change where it is
/// about one.
fn beside(input: &ReviewInput, path: &Path, changes: bool) -> Option<String> {
    let directory = path.parent().filter(|directory| directory.components().count() > 2)?;
    let fits = |rights: Rights| !changes || rights.intersects(CHANGING);
    let found = input.files.paths.iter().find(|one| {
        one.through.is_none() && fits(one.rights) && one.path != *path && one.path.parent() == Some(directory)
    });
    found.map(|one| one.path.display().to_string())
}

fn call_signals(input: &ReviewInput, event: &ViolationEvent, call: &str, put: &mut Put) {
    let Some(known) = syscalls::known(call) else { return };
    match calls::danger(known) {
        Some(reason)
            if ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"].contains(&known) =>
        {
            put("controls_processes", Intrusion, 4, format!("{known}: {reason}."));
        }
        Some(reason) => put("dangerous_call", Intrusion, 3, format!("{known}: {reason}.")),
        None => {}
    }
    if known == "socket" && is_raw(event) {
        put("raw_socket", Intrusion, 3, "It is a socket for raw packets.".into());
    }
    if known.contains("kill") && event.object.args.first().is_some_and(|pid| pid == "0x1") {
        put("supervisor", Intrusion, 3, "It is a signal to the supervisor.".into());
    }
    if event.kind != "syscall" {
        return;
    }
    if let Some(class) = syscalls::class(known)
        && let Some(mate) = class.calls().find(|other| *other != known && input.calls.has(other))
    {
        put(
            "class_mate",
            NewFeature,
            3,
            format!("It gives the same power as {mate}, which is allowed: to {}.", class.about()),
        );
    } else if calls::danger(known).is_none() && syscalls::find(known).is_some_and(|row| row.group.is_some()) {
        put("common_call", NewFeature, 2, "Programs of every kind make this call.".into());
    }
    let conditional = input.calls.named(known).any(|one| one.decided_by.is_none());
    if conditional && calls::danger(known).is_none() {
        put("other_arguments", NewFeature, 1, "The call is allowed with other arguments.".into());
    }
}

/// SOCK_RAW, or a family for packets, by the registers that the event has.
fn is_raw(event: &ViolationEvent) -> bool {
    let register = |at: usize| {
        let text = event.object.args.get(at)?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    register(0).is_some_and(|family| [15, 17, 44].contains(&family))
        || (register(1).is_some_and(|kind| kind & 0xf == 3) && register(0).is_some_and(|family| family != 16))
}

fn connect(input: &ReviewInput, event: &ViolationEvent, address: &str, put: &mut Put) {
    let Ok(endpoint) = profile::endpoint(address) else { return };
    let listens = event.object.access.as_str() == Some("listen");
    let rule = match &endpoint {
        Endpoint::Tcp(rule) | Endpoint::Udp(rule) => rule,
        Endpoint::UnixPath(path)
            if path.to_string_lossy().ends_with(".sock") && address.contains("docker") =>
        {
            return put(
                "engine_socket",
                Intrusion,
                4,
                "By the engine's socket a process becomes root on the machine.".into(),
            );
        }
        _ => return,
    };
    let host = rule.network.map(|network| network.addr());
    if host.is_some_and(|host| host.to_string() == "169.254.169.254") {
        put(
            "metadata_service",
            Intrusion,
            4,
            "It is the metadata service of a cloud, which hands out credentials.".into(),
        );
    } else if network::is_loopback(rule) {
        put("own_network", NewFeature, 2, "It is a service of the same network namespace.".into());
    } else if listens {
        put(
            "new_port",
            Intrusion,
            2,
            "A port that the profile does not name would be opened: a service, or a back door.".into(),
        );
    } else {
        put(
            "unknown_destination",
            Intrusion,
            if input.profile.network.connect.is_empty() { 3 } else { 2 },
            match input.profile.network.connect.is_empty() {
                true => "The app connects nowhere by its profile, and this is another host.".into(),
                false => "It is a destination that no run has shown.".into(),
            },
        );
    }
    let same_port = input.profile.network.connect.iter().any(|entry| match &entry.what {
        Endpoint::Tcp(own) | Endpoint::Udp(own) => own.ports.0 == own.ports.1 && own.ports == rule.ports,
        _ => false,
    });
    if same_port && !listens {
        put("known_port", NewFeature, 2, "The profile allows the same port of other addresses.".into());
    }
}
