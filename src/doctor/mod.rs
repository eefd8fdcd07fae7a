//! What can be enforced in an environment, layer by layer, why, and how to get more: an
//! assessment of the facts there and of the plan that the launch would make of `baseline`, so
//! that both agree. What only the running supervisor needs (signalfd, file-system ids, the event
//! sink) is not tried.
//!
//! As JSON it is one object: `remit` (1), `kernel` (`release`, `arch`), `verdict`
//! (`all`, `less` or `nothing`), `why`, and `layers` and `place`, lists of objects with
//! `name`, `state` (`active`, `degraded`, `unavailable`), `detail` and, where there is
//! something to be done, `more`.

#![forbid(unsafe_code)]

mod print;

use std::fmt;

use crate::kernel::{Kernel, NoListener};
use crate::plan::{LayerState, MissingFeature, Plan, first_process};

/// Facts about an environment that a plan does not need.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The pid of this process: 1 where it is the container's first.
    pub pid: u32,
    /// Its effective uid.
    pub uid: u32,
    /// The errno that landlock_create_ruleset(2) answers, where it gives no version.
    pub landlock: Option<String>,
    /// A seccomp filter is in force already (PR_GET_SECCOMP).
    pub filtered: bool,
    /// The tried calls that this filter refuses.
    pub refused: Vec<&'static str>,
    /// no_new_privs was set by the runtime.
    pub no_new_privs: bool,
    /// Yama's ptrace scope; `None` where Yama is not in force.
    pub yama: Option<u8>,
    /// The label of AppArmor or SELinux, where one is in force.
    pub label: Option<String>,
    /// The kernel is gVisor's.
    pub gvisor: bool,
    /// The process is in a user namespace other than the initial one.
    pub user_namespace: bool,
    /// The image has an `/init` of s6-overlay.
    pub s6_overlay: bool,
}

/// The assessment in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// All that `baseline` requires is enforced.
    All,
    /// It starts, and part of what `baseline` requires is not enforced.
    Less,
    /// No app can be confined here; only the init can run.
    Nothing,
}

impl Assessment {
    /// Its word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Assessment::All => "all",
            Assessment::Less => "less",
            Assessment::Nothing => "nothing",
        }
    }

    /// The exit code: 0, 1 and 3.
    pub const fn code(self) -> u8 {
        match self {
            Assessment::All => 0,
            Assessment::Less => 1,
            Assessment::Nothing => 3,
        }
    }
}

/// A finding on one layer, or on one fact of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name; a layer's is that of the start event.
    pub name: &'static str,
    /// Whether it enforces all that it can.
    pub state: LayerState,
    /// What it is, or why it is missing.
    pub detail: String,
    /// How to get more, a sentence each.
    pub more: Vec<String>,
}

/// What can be enforced in an environment.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The kernel, where it could be probed.
    pub kernel: Option<Kernel>,
    /// The assessment in one word.
    pub verdict: Assessment,
    /// The reason, unless it is `All`.
    pub why: Option<String>,
    /// The layers as in the start event; empty where no app starts.
    pub layers: Vec<Finding>,
    /// The facts of the environment.
    pub environment: Vec<Finding>,
}

impl Diagnosis {
    /// Assesses an environment by its facts, its kernel, and the plan of `baseline` there, or why
    /// there is no plan.
    pub fn new(facts: &Facts, kernel: Option<Kernel>, plan: Result<&Plan, &dyn fmt::Display>) -> Diagnosis {
        let (verdict, why) = match &plan {
            Err(why) => (Assessment::Nothing, Some(why.to_string())),
            Ok(plan) => match (plan.refusal(), missed(plan)) {
                (Some(refusal), _) => (Assessment::Nothing, Some(refusal)),
                (None, Some(why)) => (Assessment::Less, Some(why)),
                (None, None) => (Assessment::All, None),
            },
        };
        let layers = plan.map_or(Vec::new(), |plan| layers(plan, facts));
        Diagnosis { kernel, verdict, why, layers, environment: environment(facts) }
    }
}

/// What the profile requires and does not get.
fn missed(plan: &Plan) -> Option<String> {
    let required = plan.missing_features.iter().filter(|missing| missing.required);
    let costs: Vec<_> = required.map(|missing| format!("{}: {}", missing.layer, missing.cost)).collect();
    (!costs.is_empty()).then(|| costs.join("; "))
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

/// How to get a missing feature.
fn more(missing: &MissingFeature, plan: &Plan, facts: &Facts) -> String {
    match (missing.layer, &plan.kernel.notify) {
        ("landlock-files", _) if missing.required => landlock(facts),
        ("notification", Err(_)) if facts.gvisor => "run it under runc: gVisor has no listener".to_owned(),
        ("notification", Err(NoListener::Busy)) => {
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

/// How to get Landlock, by the errno of landlock_create_ruleset(2).
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

/// The facts that are neither a layer nor part of the plan.
fn environment(facts: &Facts) -> Vec<Finding> {
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
    if facts.s6_overlay {
        found.push(Finding {
            state: LayerState::Degraded,
            more: vec![format!("leave it the ENTRYPOINT, and {}", first_process::S6_BEHIND)],
            ..fine("init", "/init is s6-overlay's, and has to be PID 1")
        });
    }
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

/// The filter of the runtime, and what its refusals cost.
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

/// What it costs when the runtime's filter refuses a call; `None` for calls that only an app may
/// need.
fn cost(call: &str) -> Option<&'static str> {
    Some(match call {
        "openat2" => "openat2 allowed makes resolving a path one call, not one a name",
        "process_vm_readv" => "process_vm_readv allowed makes reading a caller's memory shorter",
        "ptrace" => "the post-exec verification needs ptrace",
        "sched_setattr" => "sched_setattr allowed makes decisions shorter, from Linux 6.12 on",
        _ => return None,
    })
}

/// Yama's scopes (Documentation/admin-guide/LSM/Yama.rst), and what they mean for the post-exec
/// verification.
fn yama(scope: Option<u8>) -> Finding {
    let (state, detail, more) = match scope {
        None => (LayerState::Active, "not in force", None),
        Some(0) => (LayerState::Active, "scope 0: every process may trace those of its user", None),
        Some(1) => {
            (LayerState::Active, "scope 1: a process may trace its descendants, as remit-init does", None)
        }
        Some(2) => (
            LayerState::Degraded,
            "scope 2: only CAP_SYS_PTRACE traces, so there is no post-exec verification",
            Some("kernel.yama.ptrace_scope=1 on the node"),
        ),
        Some(_) => (
            LayerState::Degraded,
            "scope 3: no process may trace, so there is no post-exec verification",
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
