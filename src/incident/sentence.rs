//! What happened in an incident, in one sentence of plain words.

use super::report::{Incident, IncidentStep, StepOutcome};

/// How many clauses a sentence has at most; the steps are listed whole beside it.
const CLAUSES: usize = 8;

/// The sentence of an incident.
pub(super) fn sentence(incident: &Incident) -> String {
    let mut done: Vec<String> = Vec::new();
    let mut tried: Vec<String> = Vec::new();
    let mut count = 0;
    let mut more = 0;
    for step in &incident.steps {
        if step.rule.id == "other" {
            continue;
        }
        let is_tried = step.outcome.is_refused();
        let clause = clause(step, is_tried);
        let list = if is_tried { &mut tried } else { &mut done };
        if list.contains(&clause) {
            continue;
        }
        if count == CLAUSES {
            more += 1;
            continue;
        }
        list.push(clause);
        count += 1;
    }
    if more > 0 {
        let list = if tried.is_empty() { &mut done } else { &mut tried };
        list.push(format!("{more} more"));
    }
    let subject = subject(incident);
    let mut text = match (done.is_empty(), tried.is_empty()) {
        (false, true) => format!("{subject} {}", joined(&done)),
        (true, false) => format!("{subject} tried to {}", joined(&tried)),
        (false, false) => format!("{subject} {}, and tried to {}", joined(&done), joined(&tried)),
        (true, true) => format!("{subject} did what the profile does not allow"),
    };
    text.push_str(end(incident));
    text
}

/// The process that it comes from, and whether what it started took part.
fn subject(incident: &Incident) -> String {
    let origin = &incident.origin;
    let name = match (&*origin.program, origin.pid) {
        ("", pid) => format!("process {pid}"),
        (program, pid) => format!("{program}[{pid}]"),
    };
    let others = incident.steps.iter().any(|step| {
        let program = incident.process(step.pid).map(|process| &*process.program);
        step.rule.id != "other" && program.is_some_and(|program| program != origin.program) && !is_start(step)
    });
    if others { format!("{name}, with what it started,") } else { name }
}

/// Whether a step is the start of its own process.
fn is_start(step: &IncidentStep) -> bool {
    step.kind.is_empty()
}

fn end(incident: &Incident) -> &'static str {
    let outcomes: Vec<StepOutcome> =
        incident.steps.iter().filter(|step| !step.kind.is_empty()).map(|step| step.outcome).collect();
    let refused = outcomes.iter().filter(|outcome| outcome.is_refused()).count();
    if outcomes.contains(&StepOutcome::Stopped) {
        "; the container was stopped."
    } else if outcomes.contains(&StepOutcome::Killed) {
        "; it was refused, and a process was killed."
    } else if refused == 0 {
        "; nothing was refused, since the mode is audit."
    } else if refused == outcomes.len() && outcomes.len() == 1 {
        "; that was refused."
    } else if refused == outcomes.len() {
        "; all that the profile does not allow was refused."
    } else {
        "; part of it was refused."
    }
}

fn clause(step: &IncidentStep, is_tried: bool) -> String {
    let object = if step.object.is_empty() { "something" } else { &*step.object };
    let verb = |tried: &'static str, done: &'static str| if is_tried { tried } else { done };
    match step.rule.id {
        "shell" => format!("{} the shell {object}", verb("start", "started")),
        "interpreter" => format!("{} the interpreter {object}", verb("start", "started")),
        "download" => format!("{} {object}, which transfers data", verb("run", "ran")),
        "discovery" => format!("{} {object}, which examines the system", verb("run", "ran")),
        "dropped-program" => format!("{} the dropped program {object}", verb("run", "ran")),
        "dropped-file" => format!("{} {object}", verb("write", "wrote")),
        "startup-file" => format!("{} {object}, which is executed later", verb("write", "wrote")),
        "credential-file" => format!("{} the credentials in {object}", verb("open", "opened")),
        "connect" => format!("{} to {object}", verb("connect", "connected")),
        "listen" => format!("{} on {object}", verb("listen", "listened")),
        "injection" if step.kind == "syscall" => format!("{} {object}", verb("call", "called")),
        "injection" if step.kind == "file" => {
            format!("{} {object}, the memory of a process", verb("write", "wrote"))
        }
        "injection" => {
            format!("{} memory that is writable and executable", verb("map", "mapped"))
        }
        "escape" if step.kind == "syscall" => {
            format!("{} {object}, towards the host", verb("call", "called"))
        }
        "escape" if step.kind == "network" => {
            format!("{} to the engine by {object}", verb("connect", "connected"))
        }
        "escape" | "privilege" if step.kind == "capability" => {
            format!("{} the capability {object}", verb("use", "used"))
        }
        "privilege" => format!("{} {object}, to be another user", verb("call", "called")),
        "loader-variable" => format!("{} a program with {object}", verb("start", "started")),
        _ => format!("{} {object}", verb("use", "used")),
    }
}

/// `a, b and c`.
fn joined(clauses: &[String]) -> String {
    match clauses {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
