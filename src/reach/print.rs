//! The answer as text and as JSON. Names come from files: who writes text to a terminal escapes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::compare::ReachComparison;
use super::dangerous::danger;
use super::report::{GapKind, Reach, ReachGap, ReachableCall};
use crate::visible;

/// The version of the JSON.
pub(super) const VERSION: u64 = 1;
/// The most gaps of one kind that the text lists; the JSON has all.
const MOST_GAPS: usize = 8;
/// The width of lists of names.
const WIDTH: usize = 100;

impl Reach {
    /// The answer as text, with a profile beside it where there is one. Names from files are escaped.
    pub fn text(&self, comparison: Option<&ReachComparison>) -> String {
        let mut text = String::new();
        self.write_text(comparison, &mut text).unwrap_or_default();
        text
    }

    fn write_text(&self, comparison: Option<&ReachComparison>, text: &mut String) -> std::fmt::Result {
        let programs: Vec<_> = self.programs.iter().map(|one| visible::line(one)).collect();
        writeln!(text, "{}", programs.join(", "))?;
        let reachable: usize = self.objects.values().map(|one| one.reachable).sum();
        writeln!(
            text,
            "{}: {} files, {reachable} reachable functions, {} reachable system calls{}",
            self.arch,
            self.objects.len(),
            self.calls.len(),
            if self.is_bounded() { "" } else { ", and perhaps any other: see the gaps" }
        )?;
        writeln!(text)?;
        names(text, &mut self.calls.keys().map(String::as_str))?;
        if let Some(comparison) = comparison {
            self.write_comparison(comparison, text)?;
        } else {
            let dangerous: Vec<&str> =
                self.calls.keys().map(String::as_str).filter(|call| danger(call).is_some()).collect();
            writeln!(text, "\n{} of them are dangerous:", dangerous.len())?;
            dangerous.iter().try_for_each(|call| self.danger(call, text))?;
        }
        let with_arguments =
            self.calls.iter().filter(|(_, call)| call.arguments.values().any(Option::is_some));
        writeln!(text, "\nArguments that are constant wherever the call is made:")?;
        for (name, call) in with_arguments {
            writeln!(text, "  {name}: {}", arguments(call))?;
        }
        writeln!(text, "\nFiles:")?;
        for (path, one) in &self.objects {
            let (path, origin) = (visible::line(path), visible::line(&one.origin));
            writeln!(text, "  {path} ({origin}): {} of {} functions", one.reachable, one.functions)?;
        }
        self.write_gaps(text)
    }

    fn write_comparison(&self, comparison: &ReachComparison, text: &mut String) -> std::fmt::Result {
        let ReachComparison { profile, listed, between, dangerous, alarms, needless, learned, .. } =
            comparison;
        writeln!(
            text,
            "\nprofile {}: listed {}, reachable {}, in between {} (reachable, not allowed), of which {} are dangerous",
            visible::line(profile),
            listed.len(),
            self.calls.len(),
            between.len(),
            dangerous.len()
        )?;
        if let Some(line) = comparison.used_sentence() {
            writeln!(text, "{line}")?;
        }
        if !between.is_empty() {
            writeln!(text, "\nReachable, not allowed:")?;
            names(text, &mut between.iter().map(String::as_str))?;
        }
        if !dangerous.is_empty() {
            writeln!(text, "\nDangerous among them, and what would make them:")?;
            dangerous.iter().try_for_each(|call| self.danger(call, text))?;
        }
        if !comparison.allowed_dangerous.is_empty() {
            writeln!(text, "\nDangerous, and allowed:")?;
            comparison.allowed_dangerous.iter().try_for_each(|call| self.danger(call, text))?;
        }
        if !needless.is_empty() {
            writeln!(text, "\nAllowed, not reachable:")?;
            names(text, &mut needless.iter().map(String::as_str))?;
        }
        match learned {
            None => writeln!(
                text,
                "\nThere is no evidence beside the profile, so nothing is said of learned calls."
            )?,
            Some(_) if comparison.open.is_some() => {
                let open = comparison.open.as_deref().unwrap_or_default();
                writeln!(text, "\n{}, so nothing is said of learned calls.", visible::line(open))?;
            }
            Some(learned) if alarms.is_empty() => {
                writeln!(text, "\nAll {} learned calls are reachable.", learned.len())?;
            }
            Some(_) => {
                writeln!(
                    text,
                    "\nALARM: learned and not reachable: the journal or the image is not what it seems:"
                )?;
                names(text, &mut alarms.iter().map(String::as_str))?;
            }
        }
        Ok(())
    }

    /// A dangerous call, why, and what makes it.
    fn danger(&self, call: &str, text: &mut String) -> std::fmt::Result {
        writeln!(text, "  {call}: {}", danger(call).unwrap_or_default())?;
        match self.calls.get(call).filter(|call| !call.path.is_empty()) {
            Some(found) => {
                let path: Vec<_> = found.path.iter().map(|one| visible::line(one)).collect();
                writeln!(text, "    {}", path.join(" → "))
            }
            None => writeln!(text, "    not reachable"),
        }
    }

    fn write_gaps(&self, text: &mut String) -> std::fmt::Result {
        if self.gaps.is_empty() {
            return Ok(());
        }
        writeln!(text, "\nGaps:")?;
        for kind in GapKind::ALL {
            let all: Vec<&ReachGap> = self.gaps.iter().filter(|gap| gap.kind == kind).collect();
            for gap in all.iter().take(MOST_GAPS) {
                let unbounded = if kind.is_unbounded() { "unbounded: " } else { "" };
                let (place, what) = (visible::line(&gap.place), visible::line(&gap.what));
                writeln!(text, "  {}: {unbounded}{place}: {what}", kind.name())?;
            }
            if all.len() > MOST_GAPS {
                let more = all.len() - MOST_GAPS;
                writeln!(text, "  {}: {more} more, which --format json lists", kind.name())?;
            }
        }
        Ok(())
    }

    /// The answer as JSON, with a profile beside it where there is one.
    pub fn json(&self, comparison: Option<&ReachComparison>) -> Value {
        let calls: Map<String, Value> =
            self.calls.iter().map(|(name, call)| (name.clone(), call_json(name, call))).collect();
        let objects: Vec<Value> = self
            .objects
            .iter()
            .map(|(path, one)| {
                json!({
                    "path": path, "origin": one.origin, "functions": one.functions, "reachable": one.reachable,
                })
            })
            .collect();
        let gaps: Vec<Value> = self
            .gaps
            .iter()
            .map(|gap| {
                json!({
                    "kind": gap.kind.name(), "unbounded": gap.kind.is_unbounded(), "place": gap.place,
                    "what": gap.what,
                })
            })
            .collect();
        let mut answer = json!({
            "reach": VERSION,
            "arch": self.arch.name(),
            "programs": self.programs,
            "named": self.named,
            "bounded": self.is_bounded(),
            "reachable": self.calls.len(),
            "calls": calls,
            "objects": objects,
            "gaps": gaps,
        });
        if let Some(one) = comparison {
            answer["profile"] = one.json();
        }
        answer
    }
}

impl ReachComparison {
    /// The comparison as JSON.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "call": row.call, "allowed": row.is_allowed, "dangerous": row.danger, "exercise": row.exercise,
                "path": row.path,
            })
        });
        json!({
            "name": self.profile,
            "listed": self.listed,
            "between": self.between,
            "dangerous": self.dangerous,
            "allowed_dangerous": self.allowed_dangerous,
            "needless": self.needless,
            "learned": self.learned.as_ref().map(BTreeSet::len),
            "used": self.used.as_ref().map(BTreeSet::len),
            "reachable": self.reachable,
            "rows": rows.collect::<Vec<_>>(),
            "open": self.open,
            "missing": self.missing,
            "alarms": self.alarms,
        })
    }
}

fn call_json(name: &str, call: &ReachableCall) -> Value {
    let arguments: Map<String, Value> = call
        .arguments
        .iter()
        .map(|(position, constants)| {
            let constants = constants.as_ref().map_or(json!("any"), |all| json!(all));
            (position.to_string(), constants)
        })
        .collect();
    let mut value = json!({ "number": call.number, "sites": call.sites, "path": call.path });
    if !arguments.is_empty() {
        value["arguments"] = arguments.into();
    }
    if let Some(why) = danger(name) {
        value["dangerous"] = json!(why);
    }
    value
}

/// `argument 1 in 3, 4`: the arguments that are known, as numbers.
fn arguments(call: &ReachableCall) -> String {
    let known = call.arguments.iter().filter_map(|(position, constants)| {
        let all: &BTreeSet<u64> = constants.as_ref()?;
        let shown: Vec<String> = all.iter().take(24).map(|one| format!("{one:#x}")).collect();
        let more = if all.len() > 24 { ", …" } else { "" };
        Some(format!("argument {position}: {}{more}", shown.join(", ")))
    });
    known.collect::<Vec<_>>().join("; ")
}

/// Names in lines.
fn names(text: &mut String, all: &mut dyn Iterator<Item = &str>) -> std::fmt::Result {
    let mut line = String::from(" ");
    for name in all {
        if line.len() + name.len() + 1 > WIDTH {
            writeln!(text, "{line}")?;
            line = String::from(" ");
        }
        write!(line, " {}", visible::line(name))?;
    }
    if line.len() > 1 { writeln!(text, "{line}") } else { Ok(()) }
}
