//! One item of a profile explained: what allows it, why it is there and which runs needed it; or, where
//! nothing does, what happens and what would allow it.

use std::path::{Path, PathBuf};

use super::ProfileReview;
use super::calls;
use super::known::known;
use super::line::{AllowingLine, allowing_line, allowing_lines};
use super::network;
use super::permission::{Permission, Permitted, ProgramKey};
use crate::event::Want;
use crate::plan::PlanFault;
use crate::profile::{
    self, Capability, Document, Endpoint, Entry, Rights, capabilities, capability_of, capability_word,
    endpoint_text, nearest,
};
use crate::syscalls::{self, groups};

/// An item, and what the profile says of it.
#[derive(Clone, Debug)]
pub struct ItemExplanation {
    /// What the item was taken for: "the system call ptrace". Text of the user may be in it.
    pub what: String,
    /// The permissions that have to do with it; none: it is refused.
    pub permissions: Vec<Permission>,
    /// Sentences on it beyond those of the permissions.
    pub notes: Vec<String>,
    /// What would allow it, where nothing does and a profile can.
    pub allowing: Option<AllowingLine>,
}

/// The item is none that a profile can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownItem {
    /// The item.
    pub item: String,
    /// The word that was most likely meant.
    pub nearest: Option<String>,
}

impl std::fmt::Display for UnknownItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is no item of a profile; ", self.item)?;
        if let Some(word) = &self.nearest {
            write!(f, "did you mean {word:?}? ")?;
        }
        f.write_str(
            "expected a JSON Pointer such as /files/2, a path, an endpoint such as tcp/80, or the name of a system \
             call, a group, a capability or a variable; or an event as FILE:LINE, or - for stdin",
        )
    }
}

impl std::error::Error for UnknownItem {}

/// What an item's text is taken for.
#[derive(Debug)]
enum Item {
    Pointer(String),
    Path(PathBuf),
    Endpoint(Endpoint),
    Call(&'static str),
    Group(&'static str),
    Capability(Capability),
    Variable(String),
}

/// Explains an item: a JSON Pointer, a path, an endpoint, a call, a group, a capability or a variable.
///
/// # Errors
/// It is none of these.
pub fn explain(
    document: &Document,
    review: &ProfileReview,
    item: &str,
) -> Result<ItemExplanation, UnknownItem> {
    let kind = read(document, item)?;
    let is_about = |one: &&Permission| concerns(&kind, one);
    let permissions: Vec<Permission> = review.permissions.iter().filter(is_about).cloned().collect();
    let mut notes = Vec::new();
    let mut allowing = None;
    let what = match &kind {
        Item::Pointer(pointer) => format!("the entry {pointer}"),
        Item::Path(path) => format!("the path {}", path.display()),
        Item::Endpoint(endpoint) => format!("the endpoint {}", endpoint_text(endpoint)),
        Item::Call(call) => format!("the system call {call}"),
        Item::Group(group) => format!("the group {group}"),
        Item::Capability(one) => format!("the capability {}", capability_word(*one)),
        Item::Variable(name) => format!("the variable {name}"),
    };
    let granted = !permissions.is_empty();
    match &kind {
        Item::Pointer(_) | Item::Group(_) => {}
        Item::Path(path) => of_path(document, path, &permissions, &mut notes, &mut allowing),
        Item::Endpoint(endpoint) if endpoint.is_refused_at_start() => {
            notes.push(format!("With such an entry remit-init does not start: {}.", PlanFault::Udp));
        }
        Item::Endpoint(endpoint) if !granted => {
            notes.push("Nothing allows it: bind and connect fail with EACCES, and each is an event.".into());
            let calls = unlisted(document, &connecting(endpoint), &mut notes).into_iter().map(Want::Syscall);
            let wants: Vec<Want> =
                [Want::Connect(endpoint_text(endpoint))].into_iter().chain(calls).collect();
            allowing = allowing_lines(document, &wants);
        }
        Item::Endpoint(endpoint) => {
            let listens = permissions.iter().any(|one| matches!(one.what, Permitted::Listen(_)));
            let connects = permissions.iter().any(|one| matches!(one.what, Permitted::Connect(_)));
            let mut calls = if connects { connecting(endpoint) } else { vec!["socket"] };
            calls.extend(listens.then_some("bind"));
            let calls = unlisted(document, &calls, &mut notes).into_iter().map(Want::Syscall);
            allowing = allowing_lines(document, &calls.collect::<Vec<_>>());
        }
        Item::Call(call) => of_call(document, call, granted, &mut notes, &mut allowing),
        Item::Capability(one) => {
            notes.push("A capability is an upper bound: what the container lacks is not granted.".into());
            if !granted {
                notes.push("It is not granted: the kernel refuses what needs it.".into());
                allowing = allowing_line(document, &Want::Capability(*one));
            }
        }
        Item::Variable(name) if !granted => {
            notes.push(
                "It is not kept: where it is one by which programs load other code, a value that names what the app \
                 may change is dropped at the start, and refused when one program gives it to another."
                    .into(),
            );
            allowing = allowing_line(document, &Want::Environment(name.clone()));
        }
        Item::Variable(_) => {}
    }
    Ok(ItemExplanation { what, permissions, notes, allowing })
}

fn read(document: &Document, item: &str) -> Result<Item, UnknownItem> {
    if item.starts_with('/') {
        let top = item.split('/').nth(1).unwrap_or_default();
        let value = document.value();
        if value.get(top).is_some() {
            return match value.pointer(item) {
                Some(_) => Ok(Item::Pointer(item.to_owned())),
                None => Err(UnknownItem { item: item.to_owned(), nearest: None }),
            };
        }
        if let Ok(path) = profile::path(item) {
            return Ok(Item::Path(path));
        }
    }
    if let Some(group) = groups::NAMES
        .into_iter()
        .chain(profile::FileGroup::NAMES.iter().map(|(_, word)| *word))
        .find(|name| *name == item)
    {
        return Ok(Item::Group(group));
    }
    if let Ok(endpoint) = profile::endpoint(item) {
        return Ok(Item::Endpoint(endpoint));
    }
    if let Some(call) = syscalls::known(item) {
        return Ok(Item::Call(call));
    }
    if let Some(one) = capability_of(item) {
        return Ok(Item::Capability(one));
    }
    let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if item.chars().all(is_variable) && item.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Ok(Item::Variable(item.to_owned()));
    }
    let words: Vec<String> =
        syscalls::names().map(str::to_owned).chain(capabilities().into_iter().map(capability_word)).collect();
    let nearest = nearest(item, words.iter().map(String::as_str)).map(str::to_owned);
    Err(UnknownItem { item: item.to_owned(), nearest })
}

/// Whether a permission has to do with an item.
fn concerns(item: &Item, one: &Permission) -> bool {
    let is_program =
        |key: &ProgramKey, path: &Path| key.path == *path || (key.beneath && path.starts_with(&key.path));
    match item {
        Item::Pointer(pointer) => {
            let rest = one.pointer.strip_prefix(pointer.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                || pointer.strip_prefix(one.pointer.as_str()).is_some_and(|rest| {
                    // A section brings calls, which its entries do not.
                    let is_section =
                        ["", "/files", "/network", "/programs", "/syscalls"].contains(&&*one.pointer);
                    !is_section && rest.starts_with('/')
                })
        }
        Item::Path(path) => match &one.what {
            Permitted::File { path: own, .. } => path.starts_with(own) || own.starts_with(path),
            Permitted::Program(key) | Permitted::Entry(key) => is_program(key, path),
            Permitted::Transition { from, to } => is_program(from, path) || is_program(to, path),
            Permitted::Arguments(key, Some(_)) | Permitted::Content(key, Some(_)) => key.path == *path,
            Permitted::Interpreter(key, by) => key.path == *path || by == path,
            Permitted::Elsewhere(_) => !["/proc", "/sys", "/dev"].iter().any(|out| path.starts_with(out)),
            Permitted::Listen(Endpoint::UnixPath(own)) | Permitted::Connect(Endpoint::UnixPath(own)) => {
                own == path
            }
            _ => false,
        },
        Item::Endpoint(endpoint) => match &one.what {
            Permitted::Listen(own) | Permitted::Connect(own) => {
                network::covers(&[Entry { what: own.clone(), why: None }], endpoint)
                    || network::covers(&[Entry { what: endpoint.clone(), why: None }], own)
            }
            _ => false,
        },
        Item::Call(call) => matches!(&one.what, Permitted::Call { call: own, .. } if own == call),
        Item::Group(group) => one.through == Some(group),
        Item::Capability(capability) => one.what == Permitted::Capability(*capability),
        Item::Variable(name) => match &one.what {
            Permitted::KeepVariable(own) => {
                own == name || own.strip_suffix('*').is_some_and(|stem| name.starts_with(stem))
            }
            _ => false,
        },
    }
}

/// The calls by which an app connects to an endpoint.
fn connecting(endpoint: &Endpoint) -> Vec<&'static str> {
    match endpoint {
        Endpoint::Tcp(_) | Endpoint::UnixAny | Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => {
            vec!["socket", "connect"]
        }
        Endpoint::Udp(_) | Endpoint::Icmp | Endpoint::Netlink => vec!["socket"],
    }
}

/// Those of these calls that an exact profile does not list, which its sections do not bring.
fn unlisted(document: &Document, calls: &[&str], notes: &mut Vec<String>) -> Vec<String> {
    if !document.profile.syscalls.exact {
        return Vec::new();
    }
    let allowed = calls::AllowedCalls::of(&document.profile);
    let missing: Vec<String> =
        calls.iter().filter(|call| !allowed.has(call)).map(|call| (*call).to_owned()).collect();
    if !missing.is_empty() {
        notes.push(format!(
            "The list of calls is exact, and has no {}: without it the section grants nothing.",
            missing.join(" and no ")
        ));
    }
    missing
}

fn of_path(
    document: &Document,
    path: &Path,
    found: &[Permission],
    notes: &mut Vec<String>,
    allowing: &mut Option<AllowingLine>,
) {
    if let Some(kind) = known(path, None) {
        notes.push(format!("It is {}: {}.", kind.words(), kind.danger()));
    }
    let runs = found.iter().any(|one| matches!(one.what, Permitted::Program(_)));
    let reads = |one: &Permission| match &one.what {
        Permitted::File { path: own, right: Rights::READ } => path.starts_with(own),
        Permitted::Elsewhere(Rights::READ) => true,
        _ => false,
    };
    if !runs {
        notes.push("It is no program: an exec of it fails with EACCES, and is an event.".into());
    }
    let is_file = |one: &Permission| matches!(one.what, Permitted::File { .. } | Permitted::Elsewhere(_));
    if found.iter().any(is_file) && !opens(document) {
        notes.push("The list of calls is exact, and has none that opens files.".into());
    }
    if !runs && !found.iter().any(reads) {
        notes.push("It may not be read: an open fails with EACCES.".into());
        *allowing = allowing_line(document, &Want::File { path: path.to_owned(), rights: Rights::READ });
    }
}

/// Whether the profile has a call that opens files.
fn opens(document: &Document) -> bool {
    let allowed = calls::AllowedCalls::of(&document.profile);
    ["open", "openat", "openat2"].iter().any(|call| allowed.has(call))
}

fn of_call(
    document: &Document,
    call: &'static str,
    granted: bool,
    notes: &mut Vec<String>,
    allowing: &mut Option<AllowingLine>,
) {
    if let Some(danger) = calls::danger(call) {
        notes.push(format!("It is one of those with which attacks begin: {danger}."));
    }
    if let Some(needed) = syscalls::refused_without(call) {
        notes.push(format!("It can do nothing without the capability {}.", capability_word(needed)));
    } else if let Some(needed) = syscalls::privileged(call) {
        notes.push(format!(
            "For a part of it the kernel requires the capability {}.",
            capability_word(needed)
        ));
    }
    if let Some(class) = syscalls::class(call) {
        let others: Vec<&str> = class.calls().filter(|other| *other != call).collect();
        notes.push(format!("Others give the same power ({}): {}.", class.about(), others.join(", ")));
    }
    if !granted {
        let errno = syscalls::find(call).map(syscalls::Syscall::unlisted);
        let errno = errno.map_or_else(String::new, |errno| format!(" with {errno:?}"));
        notes.push(format!("Nothing allows it: it fails{errno}."));
        *allowing = allowing_line(document, &Want::Syscall(call.to_owned()));
    }
}
