//! An incident, as it is printed and converted.

use serde::Serialize;

use super::rules::IncidentRule;
use super::severity::IncidentSeverity;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// The profile allows it.
    Allowed,
    /// It was allowed in audit, and enforcing denies it.
    Observed,
    /// It was denied.
    Denied,
    /// The process was killed.
    Killed,
    /// The container was stopped.
    Stopped,
}

impl StepOutcome {
    /// The outcome of an event's action.
    pub(super) fn of(action: &str) -> StepOutcome {
        match action {
            "allowed" => StepOutcome::Allowed,
            "observed" => StepOutcome::Observed,
            "killed" => StepOutcome::Killed,
            "stopped" => StepOutcome::Stopped,
            _ => StepOutcome::Denied,
        }
    }

    /// Its word, the action of the event.
    pub const fn word(self) -> &'static str {
        match self {
            StepOutcome::Allowed => "allowed",
            StepOutcome::Observed => "observed",
            StepOutcome::Denied => "denied",
            StepOutcome::Killed => "killed",
            StepOutcome::Stopped => "stopped",
        }
    }

    /// Whether it was prevented.
    pub const fn is_refused(self) -> bool {
        matches!(self, StepOutcome::Denied | StepOutcome::Killed | StepOutcome::Stopped)
    }
}

/// One thing that a process of the incident did, once or several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentStep {
    /// The rule.
    #[serde(serialize_with = "id")]
    pub rule: &'static IncidentRule,
    /// What became of it.
    pub outcome: StepOutcome,
    /// The file, program, call or address.
    pub object: String,
    /// The process that did it.
    pub pid: u32,
    /// The time of the first, RFC 3339 in UTC.
    pub time: String,
    /// The number of the first event.
    pub seq: u64,
    /// How many times, what floods summed up included.
    pub count: u64,
    /// The kind of the violation; empty for an exec that was allowed.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
}

/// A process of the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IncidentProcess {
    /// Its pid.
    pub pid: u32,
    /// Its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its effective uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The path of its program.
    pub program: String,
    /// Its arguments, the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Its number in this run, from 1.
    #[serde(rename = "incident")]
    pub number: u64,
    /// How grave it is.
    pub severity: IncidentSeverity,
    /// What happened, in a sentence.
    pub sentence: String,
    /// The ids of the rules, in the order of their first steps.
    pub rules: Vec<&'static str>,
    /// The name of the profile in force.
    pub policy: String,
    /// The time of the first step.
    pub first: String,
    /// The time of the last.
    pub last: String,
    /// The process that it comes from.
    pub origin: IncidentProcess,
    /// Its processes, the origin first.
    pub processes: Vec<IncidentProcess>,
    /// What they did.
    pub steps: Vec<IncidentStep>,
    /// How many violations it has, what floods summed up included.
    pub violations: u64,
    /// How many of them were refused.
    pub refused: u64,
    /// Steps and processes beyond what is kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// It was closed before its time, to make room for another.
    #[serde(skip_serializing_if = "is_false")]
    pub closed_early: bool,
}

impl Incident {
    /// The process with this pid.
    pub fn process(&self, pid: u32) -> Option<&IncidentProcess> {
        self.processes.iter().find(|process| process.pid == pid)
    }

    /// The processes in the order of the tree, those of one parent by pid, each with its depth, from 0.
    pub fn tree(&self) -> Vec<(usize, &IncidentProcess)> {
        let mut rest: Vec<&IncidentProcess> = self.processes.iter().collect();
        // Of the children of one the first is the last here.
        rest.sort_by_key(|process| std::cmp::Reverse(process.pid));
        let mut found: Vec<(usize, &IncidentProcess)> = Vec::new();
        // A process whose parent is not one of them is at the top.
        while let Some(at) = rest.iter().rposition(|one| !rest.iter().any(|other| is_child(one, other))) {
            self.below(&mut rest, at, 0, &mut found);
        }
        found.extend(rest.into_iter().rev().map(|process| (0, process)));
        found
    }

    fn below<'i>(
        &'i self,
        rest: &mut Vec<&'i IncidentProcess>,
        at: usize,
        depth: usize,
        found: &mut Vec<(usize, &'i IncidentProcess)>,
    ) {
        let process = rest.remove(at);
        found.push((depth, process));
        while let Some(at) = rest.iter().rposition(|other| is_child(other, process)) {
            self.below(rest, at, depth + 1, found);
        }
    }
}

fn is_child(one: &IncidentProcess, other: &IncidentProcess) -> bool {
    one.pid != other.pid && one.parent_pid == Some(other.pid)
}

fn id<S: serde::Serializer>(rule: &IncidentRule, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(rule.id)
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(is: &bool) -> bool {
    !is
}
