//! Adds classes of reachable calls to an exact profile: `remit build --complete`.

use std::collections::BTreeSet;

use super::build::{Learned, Reason};
use super::grants;
use crate::profile::{Entry, SyscallRule};
use crate::reach::Reach;
use crate::reach::compare::exercise;
use crate::reach::completion::CompletionClass;

/// The most functions of a path that a reason names.
const STEPS: usize = 6;

/// Adds the reachable calls of these classes that the profile does not list, each with the reason. A note
/// for each class says which.
pub fn complete(learned: &mut Learned, classes: &[&CompletionClass], reach: &Reach) {
    for class in classes {
        let allow = &mut learned.profile.syscalls.allow;
        let listed: BTreeSet<&str> = allow
            .iter()
            .filter_map(|entry| match &entry.what {
                SyscallRule::Call(name) => Some(*name),
                _ => None,
            })
            .collect();
        let new: Vec<_> =
            class.reachable(reach).into_iter().filter(|(call, _)| !listed.contains(call)).collect();
        let names: Vec<&str> = new.iter().map(|(call, _)| *call).collect();
        learned.notes.push(match &*names {
            [] => format!("{} adds nothing: what is reachable of it is listed", class.name),
            names => format!("{} adds {}", class.name, names.join(", ")),
        });
        let before_groups = allow.iter().position(|entry| matches!(entry.what, SyscallRule::Group(_)));
        let from = before_groups.unwrap_or(allow.len());
        for (at, (call, completed)) in (from..).zip(new) {
            let rule = SyscallRule::Call(call);
            let made = exercise(&completed.path);
            for key in grants::call_keys("allow", &rule) {
                let because =
                    format!("{}: {}; reachable by {}", class.name, completed.why, path(&completed.path));
                learned.reasons.insert(key, Reason { because, ..Reason::default() });
            }
            let why = Some(format!("{}: {}; {made}", class.name, completed.why));
            allow.insert(at, Entry { what: rule, why });
        }
    }
}

/// A path of functions; of a long one the middle is left out.
fn path(path: &[String]) -> String {
    if path.len() <= STEPS {
        return path.join(" → ");
    }
    let (first, last) = (&path[..STEPS / 2], &path[path.len() - STEPS / 2..]);
    format!("{} → … → {}", first.join(" → "), last.join(" → "))
}
