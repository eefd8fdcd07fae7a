//! Reads a seccomp profile of a container runtime, in the form of the OCI specification or in
//! Docker's and Podman's, whose rules depend on the machine.

use std::collections::{BTreeMap, BTreeSet};

use caps::Capability;
use nix::errno::Errno;

use super::imported::Imported;
use super::oci::{
    ALLOW, Comparison, ConditionalRule, ERRNO, KILL, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, Superset, TRACE,
    TRAP, Where,
};
use super::{ConversionError, Converted, MAX_BYTES, Omission, arguments};
use crate::kernel::{Arch, ParseReleaseError, Release};
use crate::profile::{Entry, SyscallRule, capability_of};
use crate::syscalls::{self, Condition, Handler, Syscall};

/// The machine on which a profile would be loaded: conditions of rules are resolved against it.
#[derive(Clone, Debug)]
pub struct TargetMachine {
    /// Its architecture.
    pub arch: Arch,
    /// The release of its kernel.
    pub kernel: Release,
    /// The container's bounding set.
    pub capabilities: Vec<Capability>,
}

impl TargetMachine {
    /// Whether a rule applies.
    fn meets(&self, rule: &ConditionalRule, place: &str) -> Result<bool, ConversionError> {
        let excluded = match &rule.excludes {
            None => false,
            Some(conditions) => {
                let kernel = self.is_new_enough(conditions, &format!("{place}/excludes"))?;
                self.is_listed(conditions) == Some(true)
                    || self.has(conditions).any(|there| there)
                    || kernel == Some(true)
            }
        };
        let included = match &rule.includes {
            None => true,
            Some(conditions) => {
                let kernel = self.is_new_enough(conditions, &format!("{place}/includes"))?;
                self.is_listed(conditions) != Some(false)
                    && self.has(conditions).all(|there| there)
                    && kernel != Some(false)
            }
        };
        Ok(included && !excluded)
    }

    /// Whether the architecture is listed; `None` where there is no list.
    fn is_listed(&self, conditions: &Where) -> Option<bool> {
        let names = match self.arch {
            Arch::X86_64 => ["amd64", "x86_64"],
            Arch::Aarch64 => ["arm64", "aarch64"],
        };
        let listed = conditions.arches.as_deref().filter(|arches| !arches.is_empty());
        listed.map(|arches| arches.iter().any(|arch| names.contains(&arch.as_str())))
    }

    /// Whether each capability is there. One that only a newer kernel has is not.
    fn has(&self, conditions: &Where) -> impl Iterator<Item = bool> {
        let names = conditions.caps.iter().flatten();
        names.map(|name| capability_of(name).is_some_and(|known| self.capabilities.contains(&known)))
    }

    /// Whether the kernel is as new as it has to be; `None` where any is.
    fn is_new_enough(&self, conditions: &Where, place: &str) -> Result<Option<bool>, ConversionError> {
        let Some(text) = conditions.min_kernel.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let oldest: Release = text.parse().map_err(|error: ParseReleaseError| {
            ConversionError::value(format!("{place}/minKernel"), error.to_string())
        })?;
        Ok(Some(self.kernel >= oldest))
    }
}

/// A rule of a call: what it does where all its comparisons are true.
struct JoinedRule {
    /// Its position in the file.
    index: usize,
    allows: bool,
    comparisons: Vec<Comparison>,
}

impl JoinedRule {
    /// Adds it as libseccomp does: the first rule without comparisons is the call's only one.
    fn add_to(self, rules: &mut Vec<JoinedRule>) {
        if rules.first().is_some_and(|first| first.comparisons.is_empty()) {
            return;
        }
        if self.comparisons.is_empty() {
            rules.clear();
        }
        rules.push(self);
    }
}

/// Reads the profile as it applies on a machine.
///
/// # Errors
/// The text is no such profile, or allows what it does not name.
pub fn read(text: &[u8], target: &TargetMachine) -> Result<Converted<Imported>, ConversionError> {
    if text.len() > MAX_BYTES {
        return Err(ConversionError::TooLong(text.len()));
    }
    // serde would read a list as the fields in their order.
    let not_format = |why: String| ConversionError::NotFormat { format: "seccomp profile of a runtime", why };
    match text.trim_ascii_start().first() {
        Some(b'{') => {}
        None => return Err(ConversionError::Empty { expected: "a seccomp profile of a runtime" }),
        Some(_) => return Err(not_format("expected a JSON object with \"defaultAction\"".to_owned())),
    }
    let document: Superset = serde_json::from_slice(text).map_err(|error| not_format(error.to_string()))?;
    let mut reader = FilterReader {
        target,
        document: &document,
        calls: BTreeMap::new(),
        foreign: BTreeSet::new(),
        omissions: Vec::new(),
    };
    reader.whole()?;
    let mut applied = Vec::new();
    for (index, rule) in document.syscalls.iter().flatten().enumerate() {
        let place = place(index);
        if target.meets(rule, &place)? {
            reader.rule(index, rule, &place)?;
            applied.push((index, rule));
        }
    }
    for (index, rule) in applied {
        reader.remark(index, rule);
    }
    let mut notes = Vec::new();
    if !reader.foreign.is_empty() {
        let names: Vec<_> = reader.foreign.iter().map(String::as_str).collect();
        notes.push(format!(
            "no calls of {} that this version knows, mostly of other architectures, and so not allowed: {}",
            target.arch,
            names.join(" ")
        ));
    }
    let syscalls = reader.entries();
    let imported = Imported { syscalls: Some(syscalls), ..Imported::default() };
    Ok(Converted { result: imported, omissions: reader.omissions, notes })
}

struct FilterReader<'t> {
    target: &'t TargetMachine,
    document: &'t Superset,
    /// The rules of each call that are in force.
    calls: BTreeMap<&'static str, Vec<JoinedRule>>,
    foreign: BTreeSet<String>,
    omissions: Vec<Omission>,
}

impl FilterReader<'_> {
    fn omit(&mut self, place: &str, what: impl Into<String>) {
        self.omissions.push(Omission::new(place, what));
    }

    fn whole(&mut self) -> Result<(), ConversionError> {
        let document = self.document;
        if document.architectures.as_ref().is_some_and(|all| !all.is_empty())
            && document.arch_map.as_ref().is_some_and(|all| !all.is_empty())
        {
            let both = "has both \"architectures\" and \"archMap\"; a runtime takes either, so remove one";
            return Err(ConversionError::value("", both));
        }
        match document.default_action.as_str() {
            ALLOW | LOG => {
                let what = format!(
                    "{} allows every call that is not named, and a profile lists what is allowed; import one whose \
                     default is {ERRNO}",
                    document.default_action
                );
                return Err(ConversionError::value("/defaultAction", what));
            }
            ERRNO => {}
            KILL | KILL_THREAD | KILL_PROCESS | TRAP => {
                let what =
                    format!("{}: a call that is not listed fails with an errno", document.default_action);
                self.omit("/defaultAction", what);
            }
            other => {
                let what = format!("{other:?} is no action that refuses; expected {ERRNO} or {KILL_PROCESS}");
                return Err(ConversionError::value("/defaultAction", what));
            }
        }
        let errno = ErrnoOfAction::new(document.default_errno_ret, document.default_errno.as_deref());
        if errno.number != Some(libc::EPERM as u32) {
            self.omit(
                "/defaultErrnoRet",
                format!("{}: the errno is EPERM, or ENOSYS for a call newer than Linux 4.18", errno.text),
            );
        }
        self.architectures()?;
        for (index, flag) in document.flags.iter().flatten().enumerate() {
            // Both are how remit-init loads its own filter; the others concern every thread and the log.
            if flag != "SECCOMP_FILTER_FLAG_TSYNC" && flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
                self.omit(&format!("/flags/{index}"), format!("{flag}: a profile has no flags"));
            }
        }
        if document.listener_path.is_some() || document.listener_metadata.is_some() {
            self.omit("/listenerPath", "the supervisor in the container decides, and no other agent");
        }
        Ok(())
    }

    /// Native calls alone are allowed by a profile.
    fn architectures(&mut self) -> Result<(), ConversionError> {
        let document = self.document;
        let native = super::seccomp::architecture(self.target.arch);
        let listed: Vec<&String> = document.architectures.iter().flatten().collect();
        let known = |name: &str| name == native || name == "SCMP_ARCH_NATIVE";
        let mapped = document.arch_map.iter().flatten().find(|one| one.architecture == native);
        let is_for_it = listed.iter().any(|name| known(name)) || mapped.is_some();
        let names_any = !listed.is_empty() || document.arch_map.as_ref().is_some_and(|map| !map.is_empty());
        if names_any && !is_for_it {
            let what = format!("{native} is not among them; name the architecture that it is for by --arch");
            return Err(ConversionError::value("/architectures", what));
        }
        let subs = mapped.into_iter().flat_map(|one| one.sub_architectures.iter().flatten());
        let others: Vec<&str> =
            listed.into_iter().chain(subs).map(String::as_str).filter(|name| !known(name)).collect();
        // Other native architectures are other machines.
        let others: Vec<&str> = others.into_iter().filter(|name| COMPATIBLE.contains(name)).collect();
        if !others.is_empty() {
            self.omit(
                "/archMap",
                format!("{}: a call of another architecture ends the process", others.join(" ")),
            );
        }
        Ok(())
    }

    /// Takes up a rule for each of its calls, but where it does what the default does: such a rule the
    /// runtime leaves out.
    fn rule(&mut self, index: usize, rule: &ConditionalRule, place: &str) -> Result<(), ConversionError> {
        if rule.names.as_ref().is_some_and(|names| !names.is_empty()) && rule.name.is_some() {
            return Err(ConversionError::value(place, "has both \"name\" and \"names\"; remove one"));
        }
        let args = rule.args.as_deref().unwrap_or_default();
        if let Some(bad) = args.iter().find(|one| one.index > 5) {
            let what = format!("index {} is no argument; expected 0 to 5", bad.index);
            return Err(ConversionError::value(format!("{place}/args"), what));
        }
        let allows = match rule.action.as_str() {
            ALLOW | LOG => true,
            ERRNO | NOTIFY | TRACE | KILL | KILL_THREAD | KILL_PROCESS | TRAP => false,
            other => {
                let what = format!("{other:?} is not known; expected such as {ALLOW} or {ERRNO}");
                return Err(ConversionError::value(format!("{place}/action"), what));
            }
        };
        let is_default = self.is_default(rule);
        // runc makes rules of their own of several comparisons of one argument.
        let indices: BTreeSet<u8> = args.iter().map(|one| one.index).collect();
        let alternatives: Vec<Vec<Comparison>> = match indices.len() == args.len() {
            true => vec![args.to_vec()],
            false => args.iter().map(|one| vec![*one]).collect(),
        };
        for name in names(rule) {
            match syscalls::find(name).filter(|call| call.number(self.target.arch).is_some()) {
                Some(_) if is_default => {}
                Some(call) => {
                    let rules = self.calls.entry(call.name).or_default();
                    for comparisons in alternatives.iter().cloned() {
                        JoinedRule { index, allows, comparisons }.add_to(rules);
                    }
                }
                None if rule.action == ERRNO => {}
                None => drop(self.foreign.insert(name.to_owned())),
            }
        }
        Ok(())
    }

    /// Whether a rule does what the default does.
    fn is_default(&self, rule: &ConditionalRule) -> bool {
        let document = self.document;
        let default = ErrnoOfAction::new(document.default_errno_ret, document.default_errno.as_deref());
        let same = rule.action == document.default_action
            || [KILL, KILL_THREAD].contains(&rule.action.as_str())
                && [KILL, KILL_THREAD].contains(&document.default_action.as_str());
        same && (rule.action != ERRNO
            || ErrnoOfAction::of(rule).number.is_some_and(|number| default.number == Some(number)))
    }

    /// What a profile does not have of a rule, for the calls where it is in force.
    fn remark(&mut self, index: usize, rule: &ConditionalRule) {
        let in_force = |name: &&str| {
            let rules = self.calls.get(name);
            rules.is_some_and(|rules| rules.iter().any(|one| one.index == index))
        };
        let names: Vec<&str> = names(rule).into_iter().filter(in_force).collect();
        if names.is_empty() {
            return;
        }
        let place = place(index);
        let what = match rule.action.as_str() {
            ALLOW => None,
            LOG => Some(format!("{LOG}: allowed, and not logged: {}", few(&names))),
            NOTIFY | TRACE => {
                Some(format!("{}: left to another process, so not allowed: {}", rule.action, few(&names)))
            }
            ERRNO if rule.args.as_ref().is_some_and(|args| !args.is_empty()) => {
                Some(format!("refuses {} by arguments; a profile lists what is allowed", few(&names)))
            }
            ERRNO => {
                let errno = ErrnoOfAction::of(rule);
                let differs = |name: &&str| {
                    syscalls::find(name).is_some_and(|call| errno.number != Some(of_unlisted(call)))
                };
                let other: Vec<&str> = names.iter().copied().filter(differs).collect();
                (!other.is_empty())
                    .then(|| format!("errno {}: refused with another errno: {}", errno.text, few(&other)))
            }
            _ => Some(format!("{}: fails with an errno: {}", rule.action, few(&names))),
        };
        self.omissions.extend(what.map(|what| Omission::new(place.clone(), what)));
        if [ALLOW, LOG].contains(&rule.action.as_str()) {
            let absent = names.iter().filter(|name| syscalls::handler(name) == Handler::NotImplemented);
            for name in absent {
                let what = format!(
                    "{name}: its flags are in memory, so it is answered ENOSYS and libraries fall back to clone"
                );
                self.omissions.push(Omission::new(place.clone(), what));
            }
        }
    }

    /// The calls as a profile lists them.
    fn entries(&mut self) -> Vec<Entry<SyscallRule>> {
        let mut entries = Vec::new();
        for (call, rules) in std::mem::take(&mut self.calls) {
            let (allowed, refused): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.allows);
            let Some(first) = allowed.first() else { continue };
            if syscalls::handler(call) == Handler::NotImplemented {
                continue;
            }
            let place = place(first.index);
            let before = allowed.len();
            let alternatives: Vec<Vec<Comparison>> = allowed
                .into_iter()
                .map(|rule| rule.comparisons)
                .filter(|one| refused.iter().all(|rule| arguments::are_disjoint(one, &rule.comparisons)))
                .collect();
            if alternatives.len() < before {
                let what = format!("{call}: another rule refuses a part of what is allowed here, left out");
                self.omit(&place, what);
            }
            let rules = self.conditional(call, &place, &alternatives);
            entries.extend(rules.into_iter().map(|what| Entry { what, why: None }));
        }
        entries
    }

    fn conditional(
        &mut self,
        call: &'static str,
        place: &str,
        alternatives: &[Vec<Comparison>],
    ) -> Vec<SyscallRule> {
        if alternatives.iter().any(Vec::is_empty) {
            return vec![SyscallRule::Call(call)];
        }
        let mut by_argument: BTreeMap<u8, Vec<Comparison>> = BTreeMap::new();
        let mut joint = 0;
        for alternative in alternatives {
            match alternative.as_slice() {
                [one] => by_argument.entry(one.index).or_default().push(*one),
                _ => joint += 1,
            }
        }
        let mut rules = Vec::new();
        if joint > 0 && is_decided(call) {
            let what =
                format!("{call}: conditions on several arguments; the profile's own sections decide it");
            self.omit(place, what);
            rules.push(SyscallRule::Call(call));
        } else if joint > 0 {
            let what = format!("{call}: {joint} alternatives with conditions on several arguments, left out");
            self.omit(place, what);
        }
        for (arg, comparisons) in by_argument {
            match arguments::tests(call, arg, &comparisons) {
                Some(tests) => {
                    for test in tests {
                        match test {
                            crate::syscalls::Test::NotIn(values) if values.is_empty() => {
                                return vec![SyscallRule::Call(call)];
                            }
                            test => rules.push(SyscallRule::When(call, Condition { arg, test })),
                        }
                    }
                }
                None => self.omit(
                    place,
                    format!("{call}: a range of argument {arg} that no list of values can have, left out"),
                ),
            }
        }
        rules
    }
}

/// Whether other sections or the groups decide a call's arguments, whatever the profile has: its bare
/// name adds nothing to them. Sections decide memory too, but not of every profile.
fn is_decided(call: &str) -> bool {
    match syscalls::handler(call) {
        Handler::Exec | Handler::Open | Handler::Change(_) => true,
        Handler::Bind | Handler::Connect | Handler::Socket | Handler::Listen => true,
        Handler::Send | Handler::Socketpair => true,
        _ => call == "clone",
    }
}

/// The architectures whose calls another one's kernel takes too.
const COMPATIBLE: [&str; 3] = ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"];

/// The errno of a call that no profile lists.
fn of_unlisted(call: &Syscall) -> u32 {
    let is_new = call.is_new() || call.handler == Handler::NotImplemented;
    (if is_new { libc::ENOSYS } else { libc::EPERM }) as u32
}

/// The errno of an action.
#[derive(Debug)]
struct ErrnoOfAction {
    /// As the file has it.
    text: String,
    /// `None` for a name that is not known.
    number: Option<u32>,
}

impl ErrnoOfAction {
    /// Podman's name has precedence over the number; EPERM where there is neither.
    fn new(number: Option<u32>, name: Option<&str>) -> ErrnoOfAction {
        match name.filter(|name| !name.is_empty()) {
            Some(name) => {
                let named = |number: &u32| format!("{:?}", Errno::from_raw(*number as i32)) == name;
                ErrnoOfAction { text: name.to_owned(), number: (1..=LAST_ERRNO).find(named) }
            }
            None => {
                let number = number.unwrap_or(libc::EPERM as u32);
                ErrnoOfAction { text: number.to_string(), number: Some(number) }
            }
        }
    }

    fn of(rule: &ConditionalRule) -> ErrnoOfAction {
        ErrnoOfAction::new(rule.errno_ret, rule.errno.as_deref())
    }
}

/// EHWPOISON.
const LAST_ERRNO: u32 = 133;

/// Where a rule is in the file.
fn place(index: usize) -> String {
    format!("/syscalls/{index}")
}

/// The names of a rule's calls.
fn names(rule: &ConditionalRule) -> Vec<&str> {
    match rule.name.as_deref() {
        Some(name) if !name.is_empty() => vec![name],
        _ => rule.names.iter().flatten().map(String::as_str).collect(),
    }
}

/// The first names of a list, and how many there are more.
fn few(names: &[&str]) -> String {
    let first = &names[..names.len().min(8)];
    match names.len() - first.len() {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}

#[cfg(test)]
mod tests;
