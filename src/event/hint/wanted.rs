//! The inverse of a hint: the use that it allows.

use std::path::PathBuf;

use caps::Capability;
use serde_json::Value;

use super::{Want, elements, hint};
use crate::event::model::PatchOp;
use crate::ids::Uid;
use crate::profile::{ProfileIndex, Rights, capability_of};
use crate::syscalls::groups;

impl Want {
    /// The use that these operations allow in this profile. `None` where they are not a hint: the
    /// hint for the use that is found has to equal these operations.
    pub fn of(profile: &Value, operations: &[PatchOp]) -> Option<Want> {
        let want = guess(profile, operations)?;
        (hint(profile, &want) == operations).then_some(want)
    }
}

fn guess(profile: &Value, operations: &[PatchOp]) -> Option<Want> {
    let first = operations.first()?;
    if first.path == "/syscalls/startup_only" {
        return after_startup(profile, &first.value);
    }
    let (place, item) = item(first);
    let steps: Vec<&str> = place.split('/').skip(1).collect();
    let index = || steps.get(1)?.parse::<usize>().ok();
    let program_index = || index().map(ProfileIndex::new);
    Some(match steps[..] {
        ["programs"] => program(item, operations.get(1))?,
        ["programs", _, "may_run"] => transition(item, program_index())?,
        ["programs", _, "entry"] => Want::Command(path(&profile["programs"][index()?]["path"])?),
        ["programs", _, "args"] => {
            let args = elements(item).map(argument).collect::<Option<_>>()?;
            Want::Arguments { program: program_index()?, args }
        }
        ["programs", _, "user"] => Want::User { program: program_index()?, uid: Uid::from_raw(small(item)?) },
        ["programs", _, "instances"] => Want::Instances { program: program_index()?, most: small(item)? },
        ["programs", _, "libraries"] => Want::Library { program: program_index()?, path: path(item)? },
        ["programs", _, "sha256"] => Want::Digest { program: program_index()?, sha256: text(item)? },
        ["environment", "keep"] => Want::Environment(text(item)?),
        ["files"] => Want::File { path: path(&item["path"])?, rights: rights(elements(&item["allow"]))? },
        ["files", _, "allow"] => {
            let path = path(&profile["files"][index()?]["path"])?;
            Want::File { path, rights: rights(operations.iter().map(|operation| &operation.value))? }
        }
        ["network", "listen"] => Want::Listen(text(item)?),
        ["network", "connect"] => Want::Connect(text(item)?),
        ["syscalls", "allow"] if item.is_string() => Want::Syscall(text(item)?),
        ["syscalls", "allow"] => {
            let value = elements(&item["in"]).next()?.clone();
            Want::SyscallWhen { call: text(&item["call"])?, arg: argument_number(&item["arg"])?, value }
        }
        ["syscalls", "allow", _, "in"] => {
            let rule = &profile["syscalls"]["allow"][steps[2].parse::<usize>().ok()?];
            let (call, arg) = (text(&rule["call"])?, argument_number(&rule["arg"])?);
            Want::SyscallWhen { call, arg, value: item.clone() }
        }
        ["capabilities"] => Want::Capability(capability(item)?),
        ["memory", "write_execute"] => Want::WriteExecute,
        ["limits", "processes"] => Want::Processes(small(item)?),
        _ => return None,
    })
}

/// The list or member that an operation changes, and the value that it adds there: a section
/// that it adds whole has one member, and a list one item.
fn item(operation: &PatchOp) -> (String, &Value) {
    let (mut place, mut value) = (operation.path.clone(), &operation.value);
    if let Some(list) = place.strip_suffix("/-") {
        return (list.to_owned(), value);
    }
    if let (Some(members), "/network" | "/environment" | "/syscalls" | "/memory" | "/limits") =
        (value.as_object(), place.as_str())
        && let Some((key, member)) = members.iter().next()
    {
        place = format!("{place}/{key}");
        value = member;
    }
    match value.as_array().map(Vec::as_slice) {
        Some([only]) => (place, only),
        _ => (place, value),
    }
}

fn program(entry: &Value, transition: Option<&PatchOp>) -> Option<Want> {
    let path = path(&entry["path"])?;
    if entry.get("entry").is_some() {
        return Some(Want::Command(path));
    }
    let caller = transition
        .and_then(|transition| transition.path.split('/').nth(2)?.parse().ok())
        .map(ProfileIndex::new);
    Some(match entry.get("applet") {
        Some(applet) => Want::Applet { path, applet: text(applet)?, caller },
        None => Want::Program { path, caller },
    })
}

fn transition(transition: &Value, caller: Option<ProfileIndex>) -> Option<Want> {
    Some(match transition {
        Value::String(to) => Want::Program { path: to.into(), caller },
        _ => Want::Applet { path: path(&transition["path"])?, applet: text(&transition["applet"])?, caller },
    })
}

/// The text of an argument that a hint wrote, exact or escaped.
fn argument(written: &Value) -> Option<String> {
    use crate::profile::ArgPattern;
    match written.get("glob") {
        None => text(written),
        Some(pattern) => match ArgPattern::glob(pattern.as_str()?) {
            Ok(ArgPattern::Exact(text)) => Some(text),
            _ => None,
        },
    }
}

/// The one call that is missing from the new list.
fn after_startup(profile: &Value, left: &Value) -> Option<Want> {
    let calls = |list: &Value| {
        let mut calls = std::collections::BTreeSet::new();
        for entry in elements(list) {
            let name = entry.as_str().or(entry["group"].as_str()).or(entry["call"].as_str());
            match name.and_then(groups::named) {
                Some(group) => calls.extend(group.calls().into_keys().map(str::to_owned)),
                None => calls.extend(name.map(str::to_owned)),
            }
        }
        calls
    };
    let (before, after) = (calls(&profile["syscalls"]["startup_only"]), calls(left));
    let mut gone = before.difference(&after);
    gone.next().map(|call| Want::AfterStartup(call.clone()))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

fn small(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

fn argument_number(value: &Value) -> Option<u8> {
    value.as_u64()?.try_into().ok()
}

fn rights<'v>(mut words: impl Iterator<Item = &'v Value>) -> Option<Rights> {
    words.try_fold(Rights::NONE, |all, word| {
        let named = Rights::NAMES.into_iter().find(|(_, name)| word == name)?;
        Some(all.union(named.0))
    })
}

fn capability(value: &Value) -> Option<Capability> {
    capability_of(value.as_str()?)
}
