//! Hints: the smallest change of the profile in force that would allow what was refused, as a
//! JSON Patch (RFC 6902). A missing parent is added whole.
//!
//! A hint grants exactly what was refused: text that a profile would read as a pattern is
//! escaped, and there is no hint where no profile can express it ([`Want::can_be_said`]). Only
//! this module decides which hints exist: [`Want::of`] checks one that was read from a log.

mod about;
mod wanted;

use std::path::{Path, PathBuf};

use caps::Capability;
use serde_json::{Value, json};

use super::model::{Op, PatchOp};
use crate::ids::Uid;
use crate::profile::{self, ArgPattern, ProfileIndex, Rights, capability_word};
use crate::syscalls::{self, Handler, constants, groups};

pub use about::RefusedUse;

/// A use that was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// COMMAND may be this file.
    Command(PathBuf),
    /// Execute this file; `caller` is the entry that wants it, where that is known.
    Program {
        /// The file.
        path: PathBuf,
        /// The program that wants to execute it.
        caller: Option<ProfileIndex>,
    },
    /// Execute this applet of a file; `caller` as in `Program`.
    Applet {
        /// The file, as `programs` has it.
        path: PathBuf,
        /// The applet.
        applet: String,
        /// The program that wants to execute it.
        caller: Option<ProfileIndex>,
    },
    /// These arguments of a program.
    Arguments {
        /// The program.
        program: ProfileIndex,
        /// All behind argv\[0\], or behind the applet's name.
        args: Vec<String>,
    },
    /// This uid for a program.
    User {
        /// The program.
        program: ProfileIndex,
        /// The uid.
        uid: Uid,
    },
    /// This number of live processes of a program.
    Instances {
        /// The program.
        program: ProfileIndex,
        /// The number of processes.
        most: u32,
    },
    /// Code from this file, for a program.
    Library {
        /// The program.
        program: ProfileIndex,
        /// The file.
        path: PathBuf,
    },
    /// This content of a program.
    Digest {
        /// The program.
        program: ProfileIndex,
        /// Lower-case hex.
        sha256: String,
    },
    /// A variable in the environment of programs.
    Environment(String),
    /// These rights on this path.
    File {
        /// The path.
        path: PathBuf,
        /// The missing rights.
        rights: Rights,
    },
    /// Listen on an endpoint in the profile's notation: `tcp/80`.
    Listen(String),
    /// Connect to an endpoint, in the same notation.
    Connect(String),
    /// A system call by name.
    Syscall(String),
    /// A system call with this value of one argument only.
    SyscallWhen {
        /// Its name.
        call: String,
        /// Which argument, from 0.
        arg: u8,
        /// A constant's name or a number.
        value: Value,
    },
    /// A system call after the start-up as well.
    AfterStartup(String),
    /// A capability.
    Capability(Capability),
    /// Memory that is writable and executable.
    WriteExecute,
    /// This number of live processes in the container.
    Processes(u32),
}

/// The operations that allow `want` in `profile`, to be applied in order; empty where the
/// profile allows it already or no profile can.
pub fn hint(profile: &Value, want: &Want) -> Vec<PatchOp> {
    if !want.can_be_said() {
        return Vec::new();
    }
    match want {
        Want::Command(path) => command(profile, path),
        Want::Program { path, caller } => program(profile, path, *caller),
        Want::Applet { path, applet, caller } => self::applet(profile, path, applet, *caller),
        Want::Arguments { program, args } => arguments(profile, *program, args),
        Want::User { program, uid } => pinned(profile, *program, "user", json!(uid.as_raw())),
        Want::Instances { program, most } => replaced(profile, *program, "instances", json!(most)),
        Want::Library { program, path } => library(profile, *program, path),
        Want::Digest { program, sha256 } => replaced(profile, *program, "sha256", json!(sha256)),
        Want::Environment(name) => append(profile, &["environment", "keep"], json!(name)),
        Want::File { path, rights } => file(profile, path, *rights),
        Want::Listen(endpoint) => append(profile, &["network", "listen"], json!(endpoint)),
        Want::Connect(endpoint) => append(profile, &["network", "connect"], json!(endpoint)),
        // The reader of profiles refuses it.
        Want::Syscall(name) if syscalls::handler(name) == Handler::NotImplemented => Vec::new(),
        Want::Syscall(name) => append(profile, &["syscalls", "allow"], json!(name)),
        Want::SyscallWhen { call, arg, value } => conditional(profile, call, *arg, value),
        Want::AfterStartup(name) => after_startup(profile, name),
        Want::Capability(capability) => {
            let name = capability_word(*capability);
            append(profile, &["capabilities"], json!(name))
        }
        Want::WriteExecute => set(profile, "memory", "write_execute", json!(true)),
        Want::Processes(most) => set(profile, "limits", "processes", json!(most)),
    }
}

impl Want {
    /// Whether a profile can express exactly this.
    fn can_be_said(&self) -> bool {
        let path = |path: &Path| path.to_str().is_some_and(|text| profile::path(text).is_ok());
        match self {
            Want::Command(file) | Want::Program { path: file, .. } => path(file),
            Want::Library { path: file, .. } => path(file),
            Want::File { path: file, rights } => path(file) && !rights.is_empty(),
            // No name of a file is one that no file has.
            Want::Applet { path: file, applet, .. } => {
                path(file) && !applet.is_empty() && !applet.contains(['/', '\0'])
            }
            Want::Arguments { args, .. } => args.iter().all(|text| !text.contains('\0')),
            // The last one means "unchanged" to setresuid(2).
            Want::User { uid, .. } => uid.as_raw() != u32::MAX,
            Want::Instances { most, .. } | Want::Processes(most) => *most > 0,
            Want::Digest { sha256, .. } => {
                sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
            // A `*` at the end would be a pattern, and elsewhere the reader refuses it.
            Want::Environment(name) => !name.is_empty() && !name.contains(['*', '=', '\0']),
            Want::Listen(endpoint) | Want::Connect(endpoint) => {
                profile::endpoint(endpoint).is_ok_and(|endpoint| !endpoint.is_refused_at_start())
            }
            Want::Syscall(name) | Want::AfterStartup(name) => syscalls::known(name).is_some(),
            Want::SyscallWhen { call, arg, value } => {
                let is_value = value.is_u64() || value.as_str().and_then(constants::value).is_some();
                syscalls::known(call).is_some() && *arg <= 5 && is_value
            }
            Want::Capability(_) | Want::WriteExecute => true,
        }
    }
}

/// Removes a call from `startup_only`, and allows it where nothing else does. A group of calls is
/// replaced by its other members. The list is replaced whole, since indices of its entries
/// would change with the first removal.
fn after_startup(profile: &Value, name: &str) -> Vec<PatchOp> {
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    for entry in elements(&profile["syscalls"]["startup_only"]) {
        let group = entry.as_str().or(entry["group"].as_str()).and_then(groups::named);
        match group.map(groups::Group::calls) {
            Some(calls) if calls.contains_key(name) => {
                gone.push(json!(name));
                left.extend(calls.into_keys().filter(|other| *other != name).map(|other| json!(other)));
            }
            _ if entry.as_str() == Some(name) || entry["call"] == json!(name) => gone.push(entry.clone()),
            _ => left.push(entry.clone()),
        }
    }
    if gone.is_empty() {
        return Vec::new();
    }
    left = each_once(left);
    let value = json!(left);
    let mut operations = vec![PatchOp { op: Op::Replace, path: "/syscalls/startup_only".to_owned(), value }];
    if is_brought(profile, name) {
        return operations;
    }
    gone = each_once(gone);
    match &profile["syscalls"]["allow"] {
        Value::Array(listed) => {
            let new = gone.into_iter().filter(|entry| !listed.contains(entry));
            operations.extend(new.map(|entry| add("/syscalls/allow/-".to_owned(), entry)));
        }
        _ => operations.push(add("/syscalls/allow".to_owned(), json!(gone))),
    }
    operations
}

fn each_once(mut list: Vec<Value>) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    list.retain(|entry| {
        let is_new = !seen.contains(entry);
        seen.push(entry.clone());
        is_new
    });
    list
}

/// Whether a section of the profile implies this call.
fn is_brought(profile: &Value, name: &str) -> bool {
    let is_there = |section: &Value| elements(section).next().is_some();
    let network = &profile["network"];
    let groups = [
        (&groups::CORE, true),
        (&groups::FILES, is_there(&profile["files"])),
        (&groups::NETWORK, is_there(&network["listen"]) || is_there(&network["connect"])),
        (&groups::NETWORK_LISTEN, is_there(&network["listen"])),
    ];
    let listed = elements(&profile["syscalls"]["allow"]).any(|entry| {
        let group = entry.as_str().or(entry["group"].as_str()).and_then(groups::named);
        *entry == json!(name) || group.is_some_and(|group| group.calls().contains_key(name))
    });
    let exact = profile["syscalls"]["exact"] == json!(true);
    listed
        || name == "execve"
        || (!exact && syscalls::handler(name) == Handler::Exec)
        || groups
            .into_iter()
            .filter(|_| !exact)
            .any(|(group, there)| there && group.calls().contains_key(name))
}

fn command(profile: &Value, path: &Path) -> Vec<PatchOp> {
    let Some(path) = path.to_str().filter(|path| !may_be_changed(profile, path)) else { return Vec::new() };
    match position(profile, path) {
        Some(index) if profile["programs"][index]["entry"] == json!(true) => Vec::new(),
        Some(index) => {
            vec![put(&profile["programs"][index], format!("/programs/{index}/entry"), json!(true))]
        }
        None => append(profile, &["programs"], json!({"path": path, "entry": true})),
    }
}

/// The program, where it is not listed, and the caller's transition to it. A transition names an
/// entry, so a file that is only `beneath` one gets an entry of its own: a transition to the
/// directory would allow every program in it.
fn program(profile: &Value, path: &Path, caller: Option<ProfileIndex>) -> Vec<PatchOp> {
    let Some(path) = path.to_str().filter(|path| !may_be_changed(profile, path)) else { return Vec::new() };
    let mut operations = Vec::new();
    if position(profile, path).is_none() {
        operations.extend(append(profile, &["programs"], json!({"path": path})));
    }
    if let Some(caller) = caller.filter(|caller| profile["programs"].get(caller.get()).is_some()) {
        let transitions = &profile["programs"][caller.get()]["may_run"];
        let listed = elements(transitions).any(|transition| {
            *transition == json!(path)
                || (transition["path"] == json!(path) && transition.get("applet").is_none())
        });
        if !listed {
            operations.push(match transitions {
                Value::Array(_) => add(format!("/programs/{caller}/may_run/-"), json!(path)),
                _ => add(format!("/programs/{caller}/may_run"), json!([path])),
            });
        }
    }
    operations
}

/// The applet, where it is not listed, and the caller's transition to it alone.
fn applet(profile: &Value, path: &Path, applet: &str, caller: Option<ProfileIndex>) -> Vec<PatchOp> {
    let Some(path) = path.to_str().filter(|path| !may_be_changed(profile, path)) else { return Vec::new() };
    let is_this = |entry: &Value| entry["path"] == json!(path) && entry["applet"] == json!(applet);
    let mut operations = Vec::new();
    if !elements(&profile["programs"]).any(is_this) {
        operations.extend(append(profile, &["programs"], json!({"path": path, "applet": applet})));
    }
    if let Some(caller) = caller.filter(|caller| profile["programs"].get(caller.get()).is_some()) {
        let transitions = &profile["programs"][caller.get()]["may_run"];
        let transition = json!({"path": path, "applet": applet});
        let all = |listed: &Value| {
            *listed == json!(path) || (listed["path"] == json!(path) && listed.get("applet").is_none())
        };
        if !elements(transitions).any(|listed| all(listed) || is_this(listed)) {
            operations.push(match transitions {
                Value::Array(_) => add(format!("/programs/{caller}/may_run/-"), transition),
                _ => add(format!("/programs/{caller}/may_run"), json!([transition])),
            });
        }
    }
    operations
}

/// One more alternative for a program's arguments, each of them exactly.
fn arguments(profile: &Value, program: ProfileIndex, args: &[String]) -> Vec<PatchOp> {
    let exactly = |text: &String| match ArgPattern::escaped(text) {
        Some(pattern) => json!({ "glob": pattern }),
        None => json!(text),
    };
    pinned(profile, program, "args", args.iter().map(exactly).collect())
}

/// One more alternative of what an entry pins.
fn pinned(profile: &Value, program: ProfileIndex, key: &str, value: Value) -> Vec<PatchOp> {
    match &profile["programs"][program.get()][key] {
        Value::Array(listed) if !listed.contains(&value) => {
            vec![add(format!("/programs/{program}/{key}/-"), value)]
        }
        _ => Vec::new(),
    }
}

/// One more file that code may be mapped from, which the app must not be able to change.
fn library(profile: &Value, program: ProfileIndex, path: &Path) -> Vec<PatchOp> {
    let path = path.to_str().filter(|path| !may_be_changed(profile, path));
    path.map_or_else(Vec::new, |path| pinned(profile, program, "libraries", json!(path)))
}

/// Another value of what an entry pins.
fn replaced(profile: &Value, program: ProfileIndex, key: &str, value: Value) -> Vec<PatchOp> {
    match &profile["programs"][program.get()][key] {
        Value::Null => Vec::new(),
        listed if *listed == value => Vec::new(),
        _ => vec![PatchOp { op: Op::Replace, path: format!("/programs/{program}/{key}"), value }],
    }
}

fn file(profile: &Value, path: &Path, rights: Rights) -> Vec<PatchOp> {
    let Some(name) = path.to_str().filter(|_| may_be_granted(profile, path, rights)) else {
        return Vec::new();
    };
    let entry = elements(&profile["files"]).position(|entry| entry["path"] == json!(name));
    let Some(index) = entry else {
        let words: Vec<&str> = rights.words().collect();
        return append(profile, &["files"], json!({"path": name, "allow": words}));
    };
    let allowed = &profile["files"][index]["allow"];
    rights
        .words()
        .filter(|word| elements(allowed).all(|allowed| allowed != word))
        .map(|word| add(format!("/files/{index}/allow/-"), json!(word)))
        .collect()
}

/// A profile is refused if it lets the app change a program, a library, or anything in or above a
/// directory of either, or write in /proc. So no hint leads there.
fn may_be_granted(profile: &Value, path: &Path, rights: Rights) -> bool {
    let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    if !rights.intersects(changes) {
        return !rights.is_empty();
    }
    let proc = Path::new("/proc");
    let listed = |key: &'static str| {
        elements(&profile["programs"]).filter_map(move |program| program[key].as_str()).map(Path::new)
    };
    let libraries = elements(&profile["programs"]).flat_map(|program| elements(&program["libraries"]));
    let mut libraries = libraries.filter_map(Value::as_str).map(Path::new);
    let meets = |place: &Path| place.starts_with(path) || path.starts_with(place);
    !meets(proc)
        && !listed("path").any(|program| program.starts_with(path))
        && !listed("beneath").any(meets)
        && !libraries.any(meets)
}

/// Whether the profile lets the app change this file: such a program is refused. `@elsewhere`
/// excludes programs by itself.
fn may_be_changed(profile: &Value, path: &str) -> bool {
    const CHANGES: [&str; 3] = ["write", "create", "remove"];
    elements(&profile["files"]).any(|entry| {
        entry["path"].as_str().is_some_and(|place| Path::new(path).starts_with(place))
            && elements(&entry["allow"]).any(|right| CHANGES.iter().any(|change| right == change))
    })
}

fn conditional(profile: &Value, call: &str, arg: u8, value: &Value) -> Vec<PatchOp> {
    if syscalls::handler(call) == Handler::NotImplemented {
        return Vec::new();
    }
    let allow = &profile["syscalls"]["allow"];
    let same = elements(allow)
        .position(|rule| rule["call"] == json!(call) && rule["arg"] == json!(arg) && rule["in"].is_array());
    match same {
        Some(index) if elements(&allow[index]["in"]).any(|listed| listed == value) => Vec::new(),
        Some(index) => vec![add(format!("/syscalls/allow/{index}/in/-"), value.clone())],
        None => append(profile, &["syscalls", "allow"], json!({"call": call, "arg": arg, "in": [value]})),
    }
}

/// Adds `value` to the list at `at`, or a new list with it.
fn append(profile: &Value, at: &[&str], value: Value) -> Vec<PatchOp> {
    let mut here = profile;
    let mut pointer = String::new();
    for (depth, key) in at.iter().enumerate() {
        pointer = format!("{pointer}/{key}");
        match here.get(key) {
            Some(next) => here = next,
            None => {
                let inner = at[depth + 1..].iter().rev();
                let whole = inner.fold(json!([value]), |value, key| json!({ *key: value }));
                return vec![add(pointer, whole)];
            }
        }
    }
    if elements(here).any(|listed| *listed == value) {
        return Vec::new();
    }
    vec![add(format!("{pointer}/-"), value)]
}

/// Sets a member of a section, or adds the section with it.
fn set(profile: &Value, section: &str, key: &str, value: Value) -> Vec<PatchOp> {
    match profile.get(section) {
        None => vec![add(format!("/{section}"), json!({ key: value }))],
        Some(members) if members.get(key) == Some(&value) => Vec::new(),
        Some(members) => {
            let op = if members.get(key).is_some() { Op::Replace } else { Op::Add };
            vec![PatchOp { op, path: format!("/{section}/{key}"), value }]
        }
    }
}

fn put(parent: &Value, path: String, value: Value) -> PatchOp {
    let there = path.rsplit('/').next().is_some_and(|key| parent.get(key).is_some());
    PatchOp { op: if there { Op::Replace } else { Op::Add }, path, value }
}

fn add(path: String, value: Value) -> PatchOp {
    PatchOp { op: Op::Add, path, value }
}

/// The index of the program entry for this file as a whole.
fn position(profile: &Value, path: &str) -> Option<usize> {
    elements(&profile["programs"]).position(|program| program["path"] == json!(path))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
