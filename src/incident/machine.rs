//! The state machine: events in, incidents out.

use std::collections::{BTreeMap, HashMap};

use super::lineage::{Lineage, LineageSign, bounded};
use super::report::{Incident, IncidentProcess, IncidentStep, StepOutcome};
use super::rules::{self, ProgramClass, program_class};
use super::sentence::sentence;
use crate::event::moment::microseconds;
use crate::event::record::{EventRecord, ObjectRecord, ProcessRecord};

/// An incident ends when none of its processes does anything for so long: five minutes, in
/// microseconds.
const QUIET: u64 = 300 * 1_000_000;

/// After so long it ends in any case, and what follows is another: an hour.
const LONGEST: u64 = 3600 * 1_000_000;

/// How many incidents are open at a time; the one that is quiet for longest makes room.
const OPEN: usize = 256;

/// How many processes and steps of an incident are kept; more are counted.
const PROCESSES: usize = 64;
const STEPS: usize = 64;

/// The longest object of a step that is kept, in bytes.
const OBJECT: usize = 1024;

/// What became of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentNews {
    /// It began.
    Opened(Incident),
    /// It shows a sign of another rule.
    Updated(Incident),
    /// It is over.
    Closed(Incident),
}

impl IncidentNews {
    /// The incident, as it stands.
    pub fn incident(&self) -> &Incident {
        let (IncidentNews::Opened(incident)
        | IncidentNews::Updated(incident)
        | IncidentNews::Closed(incident)) = self;
        incident
    }
}

/// What all events came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncidentTotals {
    /// Incidents.
    pub incidents: u64,
    /// Violations, what floods summed up included.
    pub violations: u64,
    /// Those of them that belong to no incident.
    pub unassigned: u64,
    /// Incidents that were closed early to make room.
    pub closed_early: u64,
    /// Processes that were forgotten to make room.
    pub forgotten: u64,
}

/// Joins events to incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    lineage: Lineage,
    open: BTreeMap<u64, OpenIncident>,
    /// The open incident of a process.
    members: HashMap<u32, u64>,
    /// The app's first process, whose program is no sign.
    first_pid: Option<u32>,
    totals: IncidentTotals,
    /// The time of the last event.
    now: u64,
    /// What is begun and goes on is reported too.
    is_live: bool,
    news: Vec<IncidentNews>,
}

#[derive(Debug)]
struct OpenIncident {
    incident: Incident,
    began: u64,
    last: u64,
    /// The files that it wrote, or tried to.
    files: Vec<String>,
}

/// A step that is to be added.
struct Sign<'a> {
    rule: &'static str,
    outcome: StepOutcome,
    kind: &'static str,
    object: &'a str,
    pid: u32,
    time: &'a str,
    seq: u64,
    count: u64,
}

impl Incidents {
    /// Reports incidents also when they begin and when they show a sign of another rule, as one who
    /// follows a log wants.
    pub fn live() -> Incidents {
        Incidents { is_live: true, ..Incidents::default() }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &EventRecord<'_>) {
        if let Some(now) = microseconds(&event.time) {
            self.now = self.now.max(now);
        }
        self.close_quiet(self.now);
        match &*event.event {
            "start" => {
                self.finish();
                self.lineage.clear();
                let process = event.process();
                self.first_pid = Some(process.pid);
                self.know(&process, event);
            }
            "exec" => self.exec(event),
            "violation" => self.violation(event),
            "exit" => self.lineage.end(event.process().pid),
            "stop" => self.finish(),
            _ => {}
        }
    }

    /// Closes what is quiet at this time, in microseconds since 1970.
    pub fn close_quiet(&mut self, now: u64) {
        let is_over = |open: &OpenIncident| {
            now.saturating_sub(open.last) >= QUIET || now.saturating_sub(open.began) >= LONGEST
        };
        if self.open.values().any(is_over) {
            let over: Vec<u64> =
                self.open.iter().filter(|(_, open)| is_over(open)).map(|(number, _)| *number).collect();
            over.into_iter().for_each(|number| self.close(number, false));
        }
    }

    /// When the next incident is quiet, in microseconds since 1970; `None` where none is open.
    pub fn due(&self) -> Option<u64> {
        self.open.values().map(|open| (open.last + QUIET).min(open.began + LONGEST)).min()
    }

    /// Closes all.
    pub fn finish(&mut self) {
        let open: Vec<u64> = self.open.keys().copied().collect();
        open.into_iter().for_each(|number| self.close(number, false));
    }

    /// Takes what there is to report since the last call.
    pub fn news(&mut self) -> Vec<IncidentNews> {
        std::mem::take(&mut self.news)
    }

    /// The totals.
    pub fn totals(&self) -> IncidentTotals {
        IncidentTotals { forgotten: self.lineage.evicted(), ..self.totals }
    }

    /// Enters the process of an event, and its parent as far as the event knows it.
    fn know(&mut self, process: &ProcessRecord<'_>, event: &EventRecord<'_>) {
        if process.pid == 0 {
            return;
        }
        if self.lineage.get(process.pid).is_some_and(|node| node.is_gone) {
            self.members.remove(&process.pid);
        }
        let node = &mut self.lineage.touch(process.pid).process;
        node.parent_pid = process.parent_pid.or(node.parent_pid);
        node.uid = process.uid.or(node.uid);
        if !process.program().is_empty() && node.program != process.program() {
            process.program().clone_into(&mut node.program);
        }
        let is_new = node.args.first().map(String::as_str) != process.args.first().map(|arg| &**arg);
        if is_new || &*event.event == "exec" {
            node.args = bounded(process.args.iter().map(|arg| &**arg));
        }
        if let Some(parent) = process.parent_pid.filter(|parent| *parent != 0)
            && self.lineage.get(parent).is_none()
            && let Some(program) = event.details().ancestors().first()
        {
            let node = &mut self.lineage.touch(parent).process;
            (**program).clone_into(&mut node.program);
        }
    }

    fn exec(&mut self, event: &EventRecord<'_>) {
        let process = event.process();
        let starter = self.starter(&process, event);
        self.know(&process, event);
        if process.pid == 0 || self.first_pid == Some(process.pid) {
            return;
        }
        let name = process.args.first().map_or("", |name| &**name);
        let rule = rules::of_exec(process.program(), name, &starter);
        let outcome = StepOutcome::of(&event.action);
        let sign = rule.map(|rule| LineageSign {
            rule,
            outcome,
            time: event.time.to_string(),
            at: self.now,
            seq: event.seq,
        });
        self.lineage.touch(process.pid).sign = sign;
        let Some(number) = self.incident_of(process.pid) else { return };
        self.join(number, process.pid);
        // What enforcing would deny has its own violation.
        if let (Some(rule), StepOutcome::Allowed) = (rule, outcome) {
            let object = process.program();
            let (pid, time, seq) = (process.pid, &*event.time, event.seq);
            if self.add(number, Sign { rule, outcome, kind: "", object, pid, time, seq, count: 1 }) {
                self.report(number, IncidentNews::Updated);
            }
        }
    }

    /// The program that executed another: that of the same process before, or its parent's.
    fn starter(&self, process: &ProcessRecord<'_>, event: &EventRecord<'_>) -> String {
        let known = |pid: u32| {
            self.lineage.get(pid).filter(|node| !node.is_gone).map(|node| node.process.program.clone())
        };
        known(process.pid)
            .or_else(|| process.parent_pid.and_then(known))
            .or_else(|| event.details().ancestors().first().map(|program| program.to_string()))
            .unwrap_or_default()
    }

    fn violation(&mut self, event: &EventRecord<'_>) {
        let count = event.violations();
        self.totals.violations = self.totals.violations.saturating_add(count);
        let process = event.process();
        let object = event.details().object();
        self.know(&process, event);
        // One line for many programs and rules says nothing of any.
        let is_of_one = process.pid != 0 && !event.rule.is_empty();
        let rule = rules::of_violation(event, &object, process.program());
        let linked = self.incident_of(process.pid).or_else(|| self.incident_that_wrote(&object));
        let rule = match linked.and_then(|number| self.open.get(&number)) {
            Some(open)
                if &*event.kind == "program" && open.files.iter().any(|file| **file == *object.path) =>
            {
                "dropped-program"
            }
            _ => rule,
        };
        if !is_of_one || (linked.is_none() && rule == "other") {
            self.totals.unassigned = self.totals.unassigned.saturating_add(count);
            return;
        }
        let number = linked.unwrap_or_else(|| self.begin(process.pid, event));
        self.join(number, process.pid);
        let (outcome, kind) = (StepOutcome::of(&event.action), kind(&event.kind));
        let (object, pid, time, seq) = (object.label(), process.pid, &*event.time, event.seq);
        let is_first = self.add(number, Sign { rule, outcome, kind, object, pid, time, seq, count });
        if linked.is_none() {
            self.report(number, IncidentNews::Opened);
        } else if is_first {
            self.report(number, IncidentNews::Updated);
        }
    }

    /// The incident of a process, or of one above it.
    fn incident_of(&self, pid: u32) -> Option<u64> {
        if self.members.is_empty() {
            return None;
        }
        self.lineage.above(pid).find_map(|node| self.members.get(&node.process.pid)).copied()
    }

    fn incident_that_wrote(&self, object: &ObjectRecord<'_>) -> Option<u64> {
        if object.path.is_empty() {
            return None;
        }
        let wrote = |open: &OpenIncident| open.files.iter().any(|file| **file == *object.path);
        self.open.iter().find(|(_, open)| wrote(open)).map(|(number, _)| *number)
    }

    /// Begins an incident with a process, those above it up to the one that it comes from, and what
    /// these started that was a sign.
    fn begin(&mut self, pid: u32, event: &EventRecord<'_>) -> u64 {
        if self.open.len() >= OPEN
            && let Some(number) =
                self.open.iter().min_by_key(|(_, open)| open.last).map(|(number, _)| *number)
        {
            self.totals.closed_early += 1;
            self.close(number, true);
        }
        self.totals.incidents += 1;
        let number = self.totals.incidents;
        let chain = self.chain(pid);
        let origin = chain.first().and_then(|pid| self.lineage.get(*pid));
        let incident = Incident {
            number,
            severity: rules::rule("other").severity,
            sentence: String::new(),
            rules: Vec::new(),
            policy: event.details().policy().name.to_string(),
            first: event.time.to_string(),
            last: event.time.to_string(),
            origin: origin.map(|node| node.process.clone()).unwrap_or_default(),
            processes: Vec::new(),
            steps: Vec::new(),
            violations: 0,
            refused: 0,
            left_out: 0,
            closed_early: false,
        };
        self.open
            .insert(number, OpenIncident { incident, began: self.now, last: self.now, files: Vec::new() });
        let top = chain.first().copied();
        for pid in self.with_started(chain) {
            self.join(number, pid);
            // How the program itself was started is no part of it.
            if Some(pid) == top {
                continue;
            }
            let node = self.lineage.get(pid).cloned().unwrap_or_default();
            let Some(sign) = node.sign.filter(|sign| sign.outcome == StepOutcome::Allowed) else { continue };
            let (rule, outcome, object) = (sign.rule, sign.outcome, &*node.process.program);
            let (time, seq) = (&*sign.time, sign.seq);
            self.add(number, Sign { rule, outcome, kind: "", object, pid, time, seq, count: 1 });
        }
        number
    }

    /// The processes from the one that an incident comes from down to this one: upwards over shells,
    /// tools and what a shell started, to a program that is none, and to its topmost process.
    fn chain(&self, pid: u32) -> Vec<u32> {
        let above: Vec<_> = self.lineage.above(pid).map(|node| &node.process).collect();
        let is_first = |at: usize| above.get(at).is_some_and(|process| self.first_pid == Some(process.pid));
        let class = |at: usize| above.get(at).map(|process| program_class(&process.program));
        let is_passed = |at: usize| match class(at) {
            Some(ProgramClass::Shell | ProgramClass::Tool) => !is_first(at),
            Some(ProgramClass::Interpreter) => {
                !is_first(at)
                    && !is_first(at + 1)
                    && matches!(class(at + 1), Some(ProgramClass::Shell | ProgramClass::Tool))
            }
            _ => false,
        };
        let mut top = 0;
        while top + 1 < above.len() && is_passed(top) {
            top += 1;
        }
        while top + 1 < above.len() && above[top].program == above[top + 1].program {
            top += 1;
        }
        let mut chain: Vec<u32> = above.iter().take(top + 1).map(|process| process.pid).collect();
        chain.reverse();
        chain
    }

    /// The chain and what was started by it, within the time of an incident, that was a sign; in the
    /// order of their starts.
    fn with_started(&self, chain: Vec<u32>) -> Vec<u32> {
        let mut all = chain;
        for _ in 0..4 {
            let is_new = |node: &&super::lineage::LineageNode| {
                let recent = |sign: &LineageSign| self.now.saturating_sub(sign.at) < QUIET;
                !all.contains(&node.process.pid) && node.sign.as_ref().is_some_and(recent)
            };
            let mut more: Vec<(u64, u32)> = self
                .lineage
                .children(&all)
                .filter(is_new)
                .map(|node| (node.sign.as_ref().map_or(0, |sign| sign.seq), node.process.pid))
                .collect();
            if more.is_empty() || all.len() >= PROCESSES {
                break;
            }
            more.sort_unstable();
            all.extend(more.into_iter().map(|(_, pid)| pid));
        }
        all.truncate(PROCESSES);
        all
    }

    /// Makes a process one of an incident.
    fn join(&mut self, number: u64, pid: u32) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let Some(node) = self.lineage.get(pid) else { return };
        if let Some(known) = open.incident.processes.iter_mut().find(|process| process.pid == pid) {
            if known.program != node.process.program {
                known.clone_from(&node.process);
            }
            return;
        }
        if open.incident.processes.len() >= PROCESSES {
            open.incident.left_out += 1;
            return;
        }
        open.incident.processes.push(IncidentProcess::clone(&node.process));
        self.members.insert(pid, number);
    }

    /// Adds a step, and returns whether it is the first of its rule.
    fn add(&mut self, number: u64, sign: Sign<'_>) -> bool {
        let Some(open) = self.open.get_mut(&number) else { return false };
        let rule = rules::rule(sign.rule);
        let object = &sign.object[..sign.object.floor_char_boundary(OBJECT)];
        if sign.rule != "other" {
            open.last = self.now;
        }
        if !sign.kind.is_empty() {
            open.incident.violations = open.incident.violations.saturating_add(sign.count);
            if sign.outcome.is_refused() {
                open.incident.refused = open.incident.refused.saturating_add(sign.count);
            }
        }
        if *sign.time > *open.incident.last {
            sign.time.clone_into(&mut open.incident.last);
        }
        if *sign.time < *open.incident.first {
            sign.time.clone_into(&mut open.incident.first);
        }
        let same = |step: &&mut IncidentStep| {
            step.rule == rule && step.outcome == sign.outcome && step.pid == sign.pid && step.object == object
        };
        if let Some(step) = open.incident.steps.iter_mut().find(same) {
            step.count = step.count.saturating_add(sign.count);
            return false;
        }
        let is_new_rule = !open.incident.rules.contains(&rule.id);
        // The last places are for rules that it has not yet.
        let most = if is_new_rule { STEPS + rules::INCIDENT_RULES.len() } else { STEPS };
        if open.incident.steps.len() >= most {
            open.incident.left_out += 1;
            return false;
        }
        if matches!(sign.rule, "dropped-file" | "startup-file") && open.files.len() < STEPS {
            open.files.push(object.to_owned());
        }
        let step = IncidentStep {
            rule,
            outcome: sign.outcome,
            object: object.to_owned(),
            pid: sign.pid,
            time: sign.time.to_owned(),
            seq: sign.seq,
            count: sign.count,
            kind: sign.kind,
        };
        open.incident.steps.push(step);
        if is_new_rule {
            open.incident.rules.push(rule.id);
        }
        is_new_rule && sign.rule != "other"
    }

    /// Reports an incident that goes on, where that is wanted.
    fn report(&mut self, number: u64, news: fn(Incident) -> IncidentNews) {
        if let Some(open) = self.open.get(&number).filter(|_| self.is_live) {
            self.news.push(news(finished(open.incident.clone())));
        }
    }

    fn close(&mut self, number: u64, early: bool) {
        let Some(open) = self.open.remove(&number) else { return };
        self.members.retain(|_, of| *of != number);
        let mut incident = open.incident;
        incident.closed_early = early;
        self.news.push(IncidentNews::Closed(finished(incident)));
    }
}

/// An incident with what follows of its steps.
fn finished(mut incident: Incident) -> Incident {
    incident.steps.sort_by_key(|step| step.seq);
    let signs: Vec<_> =
        incident.rules.iter().filter(|id| **id != "other").map(|id| rules::rule(id)).collect();
    if let Some(gravest) = signs.iter().map(|rule| rule.severity).max() {
        incident.severity = gravest.raised(signs.len() - 1);
    }
    let mut ids: Vec<&'static str> = Vec::new();
    for step in &incident.steps {
        if !ids.contains(&step.rule.id) {
            ids.push(step.rule.id);
        }
    }
    incident.rules = ids;
    incident.sentence = sentence(&incident);
    incident
}

/// The kind of a violation, of those that remit has.
fn kind(word: &str) -> &'static str {
    const KINDS: [&str; 8] =
        ["program", "file", "network", "syscall", "capability", "memory", "limit", "environment"];
    KINDS.into_iter().find(|kind| *kind == word).unwrap_or("other")
}

#[cfg(test)]
mod tests;
