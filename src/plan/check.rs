//! What holds each rule on programs: Landlock wherever it can, and the check after the
//! exec only for what it cannot say.
//!
//! Landlock's EXECUTE decides on inodes, without a race. That is exact where every file
//! that may be executed is a program, run with whatever arguments by whomever: then
//! nobody is traced. It cannot say who runs what, with which arguments, as whom; a
//! loader or an interpreter that has to be executable runs whatever it is given; and a
//! memfd is not mediated. Where a profile has any of these, what was really started is
//! looked at before its first instruction (see `tracer`).

use super::programs::Programs;
use super::{Role, words};
use crate::kernel::Kernel;
use crate::profile::{Mode, Profile, ProgramPlace, SyscallRule};

/// What decides about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Landlock's EXECUTE.
    Landlock,
    /// The check after the exec.
    Check,
    /// A seal that the supervisor puts on every memfd.
    Seal,
    /// The registers of a notified call.
    Registers,
    /// The supervisor makes the socket, and binds and connects it itself.
    Made,
    /// The supervisor's look at memory that another thread can rewrite.
    Look,
    /// A look at what a thread has mapped, before it goes on. Its siblings go on meanwhile,
    /// so that it narrows and guarantees nothing.
    Mapped,
    /// A look at what a descriptor stands for, before the call. It narrows as well.
    Descriptor,
}

impl Holder {
    /// As the plan prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Holder::Landlock => "landlock",
            Holder::Check => "the check after the exec",
            Holder::Seal => "MFD_NOEXEC_SEAL",
            Holder::Registers => "seccomp",
            Holder::Made => "the supervisor, which makes, binds and connects the socket",
            Holder::Look => "the supervisor's look, which a race outruns",
            Holder::Mapped => "narrowed: a look at what was mapped, before that thread goes on",
            Holder::Descriptor => "narrowed: a look before the call, which a race outruns",
        }
    }
}

/// A rule and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRule {
    /// JSON Pointer of the rule.
    pub rule: String,
    /// What it says.
    pub what: String,
    /// What holds it.
    pub by: Holder,
}

/// The rules on programs of a profile, and what holds each here.
pub(super) fn rules(profile: &Profile, kernel: &Kernel, programs: &Programs) -> Vec<HeldRule> {
    let check = if kernel.trace.is_ok() && kernel.notify.is_ok() { Holder::Check } else { Holder::Look };
    let landlock = if kernel.landlock.0 > 0 { Holder::Landlock } else { check };
    let rule = |rule: String, what: String, by| HeldRule { rule, what, by };
    let mut rules =
        vec![rule("/programs".to_owned(), "nothing runs that is not listed".to_owned(), landlock)];
    for role in [Role::Loader, Role::Interpreter] {
        let files: Vec<_> = programs.derived.iter().filter(|derived| derived.role == role).collect();
        if let Some(first) = files.first() {
            let what = match role {
                Role::Loader => format!("{} runs nothing by itself", words::listed(&files)),
                Role::Interpreter => format!("{} runs the listed scripts alone", words::listed(&files)),
            };
            rules.push(rule(first.because.clone(), what, check));
        }
    }
    if programs.dynamic && programs.derived.is_empty() {
        rules.push(rule("/programs".to_owned(), "a loader runs nothing by itself".to_owned(), check));
    }
    let everyone = profile.programs.len();
    for (index, program) in profile.indexed_programs() {
        let at = |key: &str| format!("/programs/{index}/{key}");
        let edges = programs.entries.binary_search_by_key(&index, |entry| entry.index);
        let edges = edges.map_or(0, |at| programs.entries[at].may_run.len());
        // One program that may run nothing could at most be started anew as itself.
        if edges < everyone && everyone > 1 {
            rules.push(rule(at("may_run"), "it runs these alone".to_owned(), check));
        }
        for (key, is_there, what) in [
            ("applet", program.applet.is_some(), "it is this applet alone"),
            ("args", program.args.is_some(), "these arguments alone"),
            ("sha256", program.sha256.is_some(), "what was mapped has this digest"),
            ("user", program.user.is_some(), "it runs as these users alone"),
            ("instances", program.instances.is_some(), "no more of it live"),
        ] {
            if is_there {
                rules.push(rule(at(key), what.to_owned(), check));
            }
        }
        if program.libraries.is_some() {
            rules.push(rule(
                at("libraries"),
                "its code is mapped from these alone".to_owned(),
                code(profile, kernel),
            ));
        }
        if matches!(program.place, ProgramPlace::Beneath(_)) {
            let what = "no copy of a loader runs from there".to_owned();
            rules.push(rule(at("beneath"), what, check));
        }
    }
    if programs.dynamic {
        let what = "no program gets a variable that makes it run other code".to_owned();
        rules.push(rule("/environment".to_owned(), what, check));
    }
    if profile.programs.iter().any(|program| program.interpreter.is_some()) {
        let what = "no script gets a variable that names other code to an interpreter".to_owned();
        rules.push(rule("/environment".to_owned(), what, check));
    }
    let memfd = memfd(profile);
    rules.push(match memfd {
        None => rule("/syscalls".to_owned(), "no memfd, so none runs".to_owned(), Holder::Registers),
        Some(index) => {
            let by = if seals(kernel) { Holder::Seal } else { check };
            rule(format!("/syscalls/allow/{index}"), "no memfd runs".to_owned(), by)
        }
    });
    rules
}

/// What narrows where code is mapped from. Where memory may be written and executed, who
/// races could as well write what it wants to run.
fn code(profile: &Profile, kernel: &Kernel) -> Holder {
    let stops = kernel.notify.as_ref().is_ok_and(|notify| notify.wait_killable) && kernel.trace.is_ok();
    if stops && !profile.write_execute { Holder::Mapped } else { Holder::Descriptor }
}

/// Where the profile lists memfd_create.
fn memfd(profile: &Profile) -> Option<usize> {
    let lists = |rule: &SyscallRule| {
        matches!(rule, SyscallRule::Call("memfd_create") | SyscallRule::When("memfd_create", _))
    };
    profile.syscalls.allow.iter().position(|entry| lists(&entry.what))
}

/// Whether the supervisor can make memfds for the app that nobody can execute.
pub(super) fn seals(kernel: &Kernel) -> bool {
    kernel.noexec_seal && kernel.notify.as_ref().is_ok_and(|notify| notify.addfd_send)
}

/// Whether the check is armed: some rule needs it, and it can be had.
pub(super) fn is_armed(rules: &[HeldRule], mode: Mode) -> bool {
    mode == Mode::Enforce && rules.iter().any(|rule| matches!(rule.by, Holder::Check | Holder::Mapped))
}
