//! The mechanism that enforces each rule on programs: Landlock wherever it can, and the
//! post-exec verification only for what it cannot express.
//!
//! Landlock's EXECUTE decides by inode, without a race. That is exact where every executable file
//! is a program that any process may run with any arguments as any user: then nothing is traced.
//! Landlock cannot express which program runs which, with which arguments and as which user; an
//! executable loader or interpreter runs any program that is passed to it; and Landlock does not
//! mediate a memfd. Where a profile has any of these, the started program is verified before its
//! first instruction (see `tracer`).

use super::programs::Programs;
use super::{Role, words};
use crate::kernel::Kernel;
use crate::profile::{Mode, Profile, ProgramPlace, SyscallRule};

/// The mechanism that enforces a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Landlock's EXECUTE right, which the kernel checks by inode, without a race.
    Landlock,
    /// The post-exec verification: ptrace(2) stops the process before its first instruction.
    PostExec,
    /// MFD_NOEXEC_SEAL, which the supervisor sets on every memfd that it makes for the app.
    Seal,
    /// The registers of a notified call, which no other thread can rewrite.
    Registers,
    /// The supervisor, which makes the socket and binds and connects it itself.
    SupervisorSocket,
    /// The supervisor's check of the caller's memory before the call, which another thread
    /// can rewrite.
    CallerMemory,
    /// A check of the file that a thread has mapped, before it continues. Its siblings run meanwhile:
    /// this narrows and guarantees nothing.
    MappedFiles,
    /// A check of a descriptor's file before the call, which another thread can replace. It narrows
    /// as well.
    Descriptor,
}

impl Mechanism {
    /// The mechanism's name in the printed plan.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Landlock => "landlock",
            Mechanism::PostExec => "the post-exec verification",
            Mechanism::Seal => "MFD_NOEXEC_SEAL",
            Mechanism::Registers => "seccomp",
            Mechanism::SupervisorSocket => "the supervisor, which makes, binds and connects the socket",
            Mechanism::CallerMemory => {
                "the supervisor's check before the call, which another thread can race"
            }
            Mechanism::MappedFiles => "narrowed: a check of what was mapped, before that thread continues",
            Mechanism::Descriptor => "narrowed: a check before the call, which another thread can race",
        }
    }
}

/// A rule of the profile and the mechanism that enforces it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEnforcement {
    /// JSON Pointer of the rule.
    pub rule: String,
    /// The rule in words, for the printed plan.
    pub what: String,
    /// The mechanism that enforces the rule on this kernel.
    pub by: Mechanism,
}

/// The rules on programs of a profile, with the mechanism of each on this kernel.
pub(super) fn rules(profile: &Profile, kernel: &Kernel, programs: &Programs) -> Vec<RuleEnforcement> {
    let check = if kernel.trace.is_ok() && kernel.notify.is_ok() {
        Mechanism::PostExec
    } else {
        Mechanism::CallerMemory
    };
    let landlock = if kernel.landlock.0 > 0 { Mechanism::Landlock } else { check };
    let rule = |rule: String, what: String, by| RuleEnforcement { rule, what, by };
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
        let found = programs.entries.binary_search_by_key(&index, |entry| entry.index).ok();
        let transitions = found.map_or(0, |at| programs.entries[at].may_run.len());
        // One program that may run none could at most execute itself again.
        if transitions < everyone && everyone > 1 {
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
            if program.from_image && found.is_some() {
                let what = "what runs from there came with the image".to_owned();
                rules.push(rule(at("from_image"), what, check));
            }
        }
    }
    if programs.dynamic {
        let what = "no program gets a variable that makes it run code which the app may change".to_owned();
        rules.push(rule("/environment".to_owned(), what, check));
    }
    if profile.programs.iter().any(|program| program.interpreter.is_some()) {
        let what = "no script gets a variable that names such code to an interpreter".to_owned();
        rules.push(rule("/environment".to_owned(), what, check));
    }
    let memfd = memfd(profile);
    rules.push(match memfd {
        None => rule("/syscalls".to_owned(), "no memfd, so none runs".to_owned(), Mechanism::Registers),
        Some(index) => {
            let by = if seals(kernel) { Mechanism::Seal } else { check };
            rule(format!("/syscalls/allow/{index}"), "no memfd runs".to_owned(), by)
        }
    });
    rules
}

/// The mechanism for `libraries`. Where memory may be written and executed, a thread could write
/// the code instead of mapping it.
fn code(profile: &Profile, kernel: &Kernel) -> Mechanism {
    let stops = kernel.notify.as_ref().is_ok_and(|notify| notify.wait_killable) && kernel.trace.is_ok();
    if stops && !profile.write_execute { Mechanism::MappedFiles } else { Mechanism::Descriptor }
}

/// Where the profile lists memfd_create.
fn memfd(profile: &Profile) -> Option<usize> {
    let lists = |rule: &SyscallRule| {
        matches!(rule, SyscallRule::Call("memfd_create") | SyscallRule::When("memfd_create", _))
    };
    profile.syscalls.allow.iter().position(|entry| lists(&entry.what))
}

/// Whether the supervisor can make memfds for the app that cannot be executed.
pub(super) fn seals(kernel: &Kernel) -> bool {
    kernel.noexec_seal && kernel.notify.as_ref().is_ok_and(|notify| notify.addfd_send)
}

/// Whether execs are verified: some rule needs it, and the kernel supports it.
pub(super) fn is_armed(rules: &[RuleEnforcement], mode: Mode) -> bool {
    mode == Mode::Enforce
        && rules.iter().any(|rule| matches!(rule.by, Mechanism::PostExec | Mechanism::MappedFiles))
}
