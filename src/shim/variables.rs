//! The variables of the container's own environment that the app does not get: those that the
//! profile drops by name, and what of the loader's names code that a process inside may change.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::event::VariableFault;
use crate::notify::settled::Settled;
use crate::plan::Plan;
use crate::policy::PolicyEngine;
use crate::policy::variables::{Fault, shown};
use crate::profile::Mode;

/// What the app gets otherwise, or not at all.
#[derive(Default)]
pub(super) struct CheckedVariables {
    /// Variables by name and value, and what is left of the value.
    variables: Vec<(OsString, OsString, Option<OsString>)>,
    /// The parts of the loader's variables that are dropped; in audit, that would be.
    pub said: Vec<VariableFault>,
    /// The same, a line for each variable.
    pub lines: Vec<String>,
}

impl CheckedVariables {
    /// Judges an environment.
    pub fn of(environment: &[(OsString, OsString)], plan: &Plan, rules: &PolicyEngine) -> CheckedVariables {
        let settled = Settled::new(rules);
        let mut checked = CheckedVariables::default();
        for (name, value) in environment {
            let (left, faults) = match plan.drops(name.as_bytes()) {
                true => (None, Vec::new()),
                false => match rules.without_faults(name.as_bytes(), value.as_bytes(), &settled) {
                    Ok((left, faults)) if !faults.is_empty() => (left, faults),
                    // It has looked at every path when it answers.
                    _ => continue,
                },
            };
            if !faults.is_empty() {
                checked.lines.push(line(name, left.is_some(), &faults, plan.mode));
            }
            checked.said.extend(faults.into_iter().map(|Fault { part, why }| VariableFault {
                name: shown(name.as_bytes()),
                value: shown(&part),
                why,
            }));
            if plan.mode == Mode::Enforce {
                checked.variables.push((name.clone(), value.clone(), left.map(OsString::from_vec)));
            }
        }
        checked
    }

    /// The value that the app gets; none where it does not get the variable.
    pub fn value<'a>(&'a self, name: &OsStr, value: &'a OsStr) -> Option<&'a OsStr> {
        match self.variables.iter().find(|(own, of, _)| own == name && of == value) {
            Some((_, _, left)) => left.as_deref(),
            None => Some(value),
        }
    }
}

/// One line for one variable.
fn line(name: &OsStr, some_is_left: bool, faults: &[Fault], mode: Mode) -> String {
    let part = |fault: &Fault| format!("`{}` ({})", shown(&fault.part), fault.why);
    let parts = faults.iter().take(8).map(part).collect::<Vec<_>>().join(", ");
    let of = if some_is_left { "a part of " } else { "" };
    let is = if mode == Mode::Enforce { "is" } else { "would be" };
    format!("{of}{} {is} dropped: {parts}", shown(name.as_bytes()))
}
