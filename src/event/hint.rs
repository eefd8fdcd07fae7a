//! Hints: the smallest change of the profile in force that would allow what was
//! refused, as a JSON Patch (RFC 6902). A parent that is not there is added whole.

use std::path::{Path, PathBuf};

use caps::Capability;
use serde_json::{Value, json};

use super::model::{Op, PatchOp};
use crate::profile::Rights;

/// What was wanted and refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// COMMAND may be this file.
    Command(PathBuf),
    /// Execute this file; `caller` is the index in `programs` of the one that
    /// wants it, where that is known.
    Program {
        /// The file.
        path: PathBuf,
        /// Who wants to execute it.
        caller: Option<usize>,
    },
    /// These rights on this path.
    File {
        /// The path.
        path: PathBuf,
        /// The rights that lack.
        rights: Rights,
    },
    /// Listen, by the profile's notation: `tcp/80`.
    Listen(String),
    /// Connect, by the same notation.
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
    /// A capability.
    Capability(Capability),
    /// Memory that is writable and executable.
    WriteExecute,
    /// So many live processes.
    Processes(u32),
}

/// The operations that allow `want` in `profile`, to be applied in order; none
/// where the profile allows it already or where no profile can.
pub fn hint(profile: &Value, want: &Want) -> Vec<PatchOp> {
    match want {
        Want::Command(path) => command(profile, path),
        Want::Program { path, caller } => program(profile, path, *caller),
        Want::File { path, rights } => file(profile, path, *rights),
        Want::Listen(endpoint) => append(profile, &["network", "listen"], json!(endpoint)),
        Want::Connect(endpoint) => append(profile, &["network", "connect"], json!(endpoint)),
        Want::Syscall(name) if NEVER.contains(&name.as_str()) => Vec::new(),
        Want::Syscall(name) => append(profile, &["syscalls", "allow"], json!(name)),
        Want::SyscallWhen { call, arg, value } => conditional(profile, call, *arg, value),
        Want::Capability(capability) => {
            let name = capability.to_string().trim_start_matches("CAP_").to_lowercase();
            append(profile, &["capabilities"], json!(name))
        }
        Want::WriteExecute => set(profile, "memory", "write_execute", json!(true)),
        Want::Processes(most) => set(profile, "limits", "processes", json!(most)),
    }
}

/// Calls that the reader of profiles refuses, since their arguments hide in memory.
const NEVER: [&str; 1] = ["clone3"];

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

/// The program itself, where it is not listed, and the caller's edge to it. An
/// edge names an entry, so a file that is only `beneath` one gets its own: an
/// edge to the directory would lead to all that is in it.
fn program(profile: &Value, path: &Path, caller: Option<usize>) -> Vec<PatchOp> {
    let Some(path) = path.to_str().filter(|path| !may_be_changed(profile, path)) else { return Vec::new() };
    let mut operations = Vec::new();
    if position(profile, path).is_none() {
        operations.extend(append(profile, &["programs"], json!({"path": path})));
    }
    if let Some(caller) = caller.filter(|caller| profile["programs"].get(caller).is_some()) {
        let edges = &profile["programs"][caller]["may_run"];
        let listed = elements(edges).any(|edge| {
            *edge == json!(path) || (edge["path"] == json!(path) && edge.get("applet").is_none())
        });
        if !listed {
            operations.push(match edges {
                Value::Array(_) => add(format!("/programs/{caller}/may_run/-"), json!(path)),
                _ => add(format!("/programs/{caller}/may_run"), json!([path])),
            });
        }
    }
    operations
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

/// A profile that lets the app change a program, or write around /proc, is
/// refused, so there is no hint that leads there.
fn may_be_granted(profile: &Value, path: &Path, rights: Rights) -> bool {
    let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    if !rights.intersects(changes) {
        return !rights.is_empty();
    }
    let proc = Path::new("/proc");
    let programs = elements(&profile["programs"]);
    !path.starts_with(proc)
        && !proc.starts_with(path)
        && programs
            .filter_map(|program| program["path"].as_str())
            .all(|program| !Path::new(program).starts_with(path))
}

/// Whether the profile lets the app change this file: as a program it would be
/// refused. `@elsewhere` leaves programs out by itself.
fn may_be_changed(profile: &Value, path: &str) -> bool {
    const CHANGES: [&str; 3] = ["write", "create", "remove"];
    elements(&profile["files"]).any(|entry| {
        entry["path"].as_str().is_some_and(|place| Path::new(path).starts_with(place))
            && elements(&entry["allow"]).any(|right| CHANGES.iter().any(|change| right == change))
    })
}

fn conditional(profile: &Value, call: &str, arg: u8, value: &Value) -> Vec<PatchOp> {
    if NEVER.contains(&call) {
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

/// Adds `value` to the list at `at`; to a whole new one where there is none.
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

/// Gives a member of a section its value; with the section, where there is none.
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

/// The place of the program entry for all of this file.
fn position(profile: &Value, path: &str) -> Option<usize> {
    elements(&profile["programs"]).position(|program| program["path"] == json!(path))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests;
