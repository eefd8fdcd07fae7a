//! What can be enforced in a place, layer by layer, why it is so, and how to get more:
//! a judgement on what was seen there and on the plan that the launch itself would
//! make of `baseline`, so that the two tell the same. What only the supervisor needs
//! once the app runs (signalfd, file-system ids, the event sink) is not tried.
//!
//! As JSON it is one object: `remit` (1), `kernel` (`release`, `arch`), `verdict`
//! (`all`, `less` or `nothing`), `why`, and `layers` and `place`, lists of objects with
//! `name`, `state` (`active`, `degraded`, `unavailable`), `detail` and, where there is
//! something to be done, `more`.

#![forbid(unsafe_code)]

mod print;

use crate::kernel::{Kernel, NoListener};
use crate::plan::{LayerState, MissingFeature, Plan};

/// What was seen of a place beside what a plan is made of.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// This process's pid: 1 where it would be the container's first.
    pub pid: u32,
    /// Its effective uid.
    pub uid: u32,
    /// The errno that landlock_create_ruleset(2) answers, where it gives no version.
    pub landlock: Option<String>,
    /// A seccomp filter is in force already (PR_GET_SECCOMP).
    pub filtered: bool,
    /// Calls that this filter refuses, of those that were tried.
    pub refused: Vec<&'static str>,
    /// no_new_privs was set before us.
    pub no_new_privs: bool,
    /// Yama's ptrace scope; none where Yama is not in force.
    pub yama: Option<u8>,
    /// The label of AppArmor or SELinux, where one holds.
    pub label: Option<String>,
    /// The kernel says that it is gVisor's.
    pub gvisor: bool,
    /// The uids here are another namespace's: uid_map is not the initial one's.
    pub user_namespace: bool,
}

/// What comes of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that `baseline` asks for.
    All,
    /// It starts, and something that `baseline` asks for does not hold.
    Less,
    /// Nothing can be started here but the init alone.
    Nothing,
}

impl Verdict {
    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::All => "all",
            Verdict::Less => "less",
            Verdict::Nothing => "nothing",
        }
    }

    /// The exit code: 0, 1 and 3.
    pub const fn code(self) -> u8 {
        match self {
            Verdict::All => 0,
            Verdict::Less => 1,
            Verdict::Nothing => 3,
        }
    }
}

/// One layer, or one thing of the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name; a layer's is that of the start event.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub state: LayerState,
    /// What it is, or why it is not.
    pub detail: String,
    /// How to get more.
    pub more: Vec<String>,
}

/// What can be enforced.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The kernel, where it could be asked.
    pub kernel: Option<Kernel>,
    /// The answer in one word.
    pub verdict: Verdict,
    /// The reason of one that is not `All`.
    pub why: Option<String>,
    /// The layers as the start event will tell them; none where nothing starts.
    pub layers: Vec<Finding>,
    /// What the place is.
    pub place: Vec<Finding>,
}

impl Diagnosis {
    /// Judges a place by what was seen of it, its kernel, and the plan of `baseline`
    /// there or why there is none.
    pub fn new(facts: &Facts, kernel: Option<Kernel>, plan: Result<&Plan, String>) -> Diagnosis {
        let (verdict, why) = match &plan {
            Err(why) => (Verdict::Nothing, Some(why.clone())),
            Ok(plan) => match (plan.refusal(), missed(plan)) {
                (Some(refusal), _) => (Verdict::Nothing, Some(refusal)),
                (None, Some(why)) => (Verdict::Less, Some(why)),
                (None, None) => (Verdict::All, None),
            },
        };
        let layers = plan.map_or(Vec::new(), |plan| layers(plan, facts));
        Diagnosis { kernel, verdict, why, layers, place: place(facts) }
    }
}

/// What the profile asks for and does not get.
fn missed(plan: &Plan) -> Option<String> {
    let required = plan.missing_features.iter().filter(|missing| missing.required);
    let told: Vec<_> = required.map(|missing| format!("{}: {}", missing.layer, missing.cost)).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn layers(plan: &Plan, facts: &Facts) -> Vec<Finding> {
    let more = |name: &str| {
        let missing = plan.missing_features.iter().filter(|missing| missing.layer == name);
        let own = missing.map(|missing| more(missing, plan, facts));
        own.chain((name == "seccomp").then(|| unfiltered(&plan.kernel)).flatten()).collect()
    };
    let layers = plan.layers().into_iter();
    layers
        .map(|layer| Finding {
            name: layer.layer,
            state: layer.state,
            detail: layer.detail,
            more: more(layer.layer),
        })
        .collect()
}

fn unfiltered(kernel: &Kernel) -> Option<String> {
    let refused = matches!(kernel.notify, Err(NoListener::Filter(_)));
    refused.then(|| "let the runtime's filter allow seccomp(2), as Docker's and containerd's do".to_owned())
}

/// How to get what is missing.
fn more(missing: &MissingFeature, plan: &Plan, facts: &Facts) -> String {
    match (missing.layer, &plan.kernel.notify) {
        ("landlock-files", _) if missing.required => landlock(facts),
        ("notification", Err(_)) if facts.gvisor => "run it under runc: gVisor has no listener".to_owned(),
        ("notification", Err(NoListener::Listener(why))) if why.starts_with("EBUSY") => {
            "one listener fits into a chain of filters: take it from the outer remit, sandbox or runtime, \
             or run the inner one with --mode off"
                .to_owned()
        }
        ("exec-check", _) if facts.yama.is_some_and(|scope| scope > 1) => {
            "kernel.yama.ptrace_scope=1 on the node".to_owned()
        }
        ("exec-check", _) => "a runtime whose filter allows ptrace(2)".to_owned(),
        ("notification", Err(_)) => "Linux 5.5, and a runtime whose filter allows seccomp(2)".to_owned(),
        _ => missing.needs.clone(),
    }
}

/// By what asking for Landlock's version is answered (landlock_create_ruleset(2)).
fn landlock(facts: &Facts) -> String {
    match facts.landlock.as_deref() {
        _ if facts.gvisor => "run it under runc: gVisor has no Landlock".to_owned(),
        Some("EOPNOTSUPP") => {
            "it is built in and switched off: add `landlock` to the node's `lsm=` boot parameter".to_owned()
        }
        Some("EPERM") => "the runtime's filter refuses it: a newer engine, or its seccomp profile with \
                          landlock_create_ruleset, landlock_add_rule and landlock_restrict_self"
            .to_owned(),
        _ => "Linux 5.13 or later, built with CONFIG_SECURITY_LANDLOCK".to_owned(),
    }
}

/// What is neither a layer nor asked of the kernel by the plan.
fn place(facts: &Facts) -> Vec<Finding> {
    let fine = |name, detail: &str| Finding {
        name,
        state: LayerState::Active,
        detail: detail.to_owned(),
        more: Vec::new(),
    };
    let mut found = vec![match facts.pid {
        1 => fine("pid-1", "remit-init is the container's first process"),
        pid => Finding {
            state: LayerState::Degraded,
            more: vec![
                "make it the ENTRYPOINT, without --init and without a shared pid namespace".to_owned(),
            ],
            ..fine("pid-1", &format!("this is pid {pid}: remit-init would end its own descendants alone"))
        },
    }];
    let namespace =
        if facts.user_namespace { "in a user namespace" } else { "of the initial user namespace" };
    found.push(fine("user", &format!("uid {} {namespace}", facts.uid)));
    found.push(fine(
        "no-new-privs",
        if facts.no_new_privs { "set by the runtime" } else { "set at the launch" },
    ));
    found.push(runtime(facts));
    found.push(yama(facts.yama));
    found.push(label(facts.label.as_deref()));
    if facts.gvisor {
        found.push(Finding {
            state: LayerState::Degraded,
            more: vec!["run it under runc".to_owned()],
            ..fine("sandbox", "gVisor: its own kernel, without Landlock and without a listener")
        });
    }
    found
}

/// AppArmor's labels are a profile and its mode, SELinux' a context of four parts.
fn label(label: Option<&str>) -> Finding {
    let (name, detail) = match label {
        None => ("apparmor", "not in force, nor is SELinux".to_owned()),
        Some(label) => (
            if label.split(':').count() > 3 { "selinux" } else { "apparmor" },
            format!("{label}; what it refuses is refused beside us, without an event"),
        ),
    };
    Finding { name, state: LayerState::Active, detail, more: Vec::new() }
}

/// The filter of the runtime, and what it costs us.
fn runtime(facts: &Facts) -> Finding {
    let costs = facts.refused.iter().filter_map(|call| cost(call));
    let more: Vec<_> = costs.map(str::to_owned).collect();
    let detail = match (facts.filtered, facts.refused.is_empty()) {
        (false, _) => "none is in force".to_owned(),
        (true, true) => "one is in force, and refuses none of the calls that were tried".to_owned(),
        (true, false) => format!("one is in force, and refuses {}", facts.refused.join(", ")),
    };
    let state = if more.is_empty() { LayerState::Active } else { LayerState::Degraded };
    Finding { name: "runtime-filter", state, detail, more }
}

/// What it costs when the runtime's filter refuses a call; nothing for those that
/// only an app may miss.
fn cost(call: &str) -> Option<&'static str> {
    Some(match call {
        "openat2" => "openat2 allowed makes a look at a path one step, not one a name",
        "process_vm_readv" => "process_vm_readv allowed makes reading a caller's memory shorter",
        "ptrace" => "ptrace allowed is what the check after the exec needs",
        "sched_setattr" => "sched_setattr allowed makes decisions shorter, from Linux 6.12 on",
        _ => return None,
    })
}

/// Yama's scopes (Documentation/admin-guide/LSM/Yama.rst), by what they mean for
/// the check after the exec, which only PID 1's own thread can make.
fn yama(scope: Option<u8>) -> Finding {
    let (state, detail, more) = match scope {
        None => (LayerState::Active, "not in force", None),
        Some(0) => (LayerState::Active, "scope 0: every process may trace those of its user", None),
        Some(1) => {
            (LayerState::Active, "scope 1: a process may trace its descendants, as remit-init does", None)
        }
        Some(2) => (
            LayerState::Degraded,
            "scope 2: only CAP_SYS_PTRACE traces, so the check after the exec cannot be had",
            Some("kernel.yama.ptrace_scope=1 on the node"),
        ),
        Some(_) => (
            LayerState::Degraded,
            "scope 3: nobody traces, so the check after the exec cannot be had",
            Some("kernel.yama.ptrace_scope=1 on the node, which is set until it boots again"),
        ),
    };
    Finding {
        name: "yama",
        state,
        detail: detail.to_owned(),
        more: more.map(str::to_owned).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
