//! Reads a seccomp profile of a container runtime, in the form of the OCI specification or in
//! Docker's and Podman's, whose rules depend on the machine.

use std::collections::{BTreeMap, BTreeSet};

use caps::Capability;

use super::imported::Imported;
use super::oci::{ALLOW, Comparison, ConditionalRule, ERRNO, LOG, Superset, Where};
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

/// The alternatives of a call: comparisons, all of which have to be true.
type RuleComparisons = Vec<Vec<Comparison>>;

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
    let mut reader =
        FilterReader { target, allowed: BTreeMap::new(), foreign: BTreeSet::new(), omissions: Vec::new() };
    reader.whole(&document)?;
    for (index, rule) in document.syscalls.iter().flatten().enumerate() {
        let place = format!("/syscalls/{index}");
        if target.meets(rule, &place)? {
            reader.rule(rule, &place)?;
        }
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
    /// No alternative: whatever the arguments.
    allowed: BTreeMap<&'static str, (String, RuleComparisons)>,
    foreign: BTreeSet<String>,
    omissions: Vec<Omission>,
}

impl FilterReader<'_> {
    fn omit(&mut self, place: &str, what: impl Into<String>) {
        self.omissions.push(Omission::new(place, what));
    }

    fn whole(&mut self, document: &Superset) -> Result<(), ConversionError> {
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
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" | "SCMP_ACT_KILL_PROCESS" | "SCMP_ACT_TRAP" => {
                let what =
                    format!("{}: a call that is not listed fails with an errno", document.default_action);
                self.omit("/defaultAction", what);
            }
            other => {
                let what =
                    format!("{other:?} is no action that refuses; expected {ERRNO} or SCMP_ACT_KILL_PROCESS");
                return Err(ConversionError::value("/defaultAction", what));
            }
        }
        let errno = document.default_errno_ret.filter(|errno| *errno != libc::EPERM as u32);
        let named = document.default_errno.as_deref().filter(|name| !matches!(*name, "" | "EPERM"));
        if let Some(what) = named.map(str::to_owned).or(errno.map(|errno| errno.to_string())) {
            self.omit(
                "/defaultErrnoRet",
                format!("{what}: the errno is EPERM, or ENOSYS for a call newer than Linux 4.18"),
            );
        }
        self.architectures(document)?;
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
    fn architectures(&mut self, document: &Superset) -> Result<(), ConversionError> {
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

    fn rule(&mut self, rule: &ConditionalRule, place: &str) -> Result<(), ConversionError> {
        let names: Vec<&String> = match (&rule.names, &rule.name) {
            (Some(names), Some(_)) if !names.is_empty() => {
                return Err(ConversionError::value(place, "has both \"name\" and \"names\"; remove one"));
            }
            (_, Some(name)) if !name.is_empty() => vec![name],
            (names, _) => names.iter().flatten().collect(),
        };
        let args = rule.args.as_deref().unwrap_or_default();
        if let Some(bad) = args.iter().find(|one| one.index > 5) {
            let what = format!("index {} is no argument; expected 0 to 5", bad.index);
            return Err(ConversionError::value(format!("{place}/args"), what));
        }
        match rule.action.as_str() {
            ALLOW => {}
            LOG => self.omit(place, format!("{LOG}: allowed, and not logged: {}", few(&names))),
            ERRNO => return self.refused(rule, &names, args, place),
            "SCMP_ACT_NOTIFY" | "SCMP_ACT_TRACE" => {
                self.omit(
                    place,
                    format!("{}: left to another process, so not allowed: {}", rule.action, few(&names)),
                );
                return Ok(());
            }
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" | "SCMP_ACT_KILL_PROCESS" | "SCMP_ACT_TRAP" => {
                self.omit(place, format!("{}: fails with an errno: {}", rule.action, few(&names)));
                return Ok(());
            }
            other => {
                let what = format!("{other:?} is not known; expected such as {ALLOW} or {ERRNO}");
                return Err(ConversionError::value(format!("{place}/action"), what));
            }
        }
        for name in names {
            self.allow(name, args, place);
        }
        Ok(())
    }

    /// A rule that refuses what the default refuses too, or takes from what another allows.
    fn refused(
        &mut self,
        rule: &ConditionalRule,
        names: &[&String],
        args: &[Comparison],
        place: &str,
    ) -> Result<(), ConversionError> {
        if !args.is_empty() {
            let what = format!("refuses {} by arguments; a profile lists what is allowed", few(names));
            self.omit(place, what);
            return Ok(());
        }
        let errno = rule.errno_ret.unwrap_or(libc::EPERM as u32);
        let differs = |name: &&&String| match syscalls::find(name) {
            Some(call) => errno != of_unlisted(call),
            None => false,
        };
        let other: Vec<&String> = names.iter().filter(differs).copied().collect();
        if !other.is_empty() {
            self.omit(place, format!("errno {errno}: refused with another errno: {}", few(&other)));
        }
        Ok(())
    }

    fn allow(&mut self, name: &str, args: &[Comparison], place: &str) {
        let Some(call) = syscalls::find(name) else {
            self.foreign.insert(name.to_owned());
            return;
        };
        if call.number(self.target.arch).is_none() {
            self.foreign.insert(name.to_owned());
            return;
        }
        if call.handler == Handler::NotImplemented {
            let what = format!(
                "{name}: its flags are in memory, so it is answered ENOSYS and libraries fall back to clone"
            );
            self.omit(place, what);
            return;
        }
        let (_, alternatives) =
            self.allowed.entry(call.name).or_insert_with(|| (place.to_owned(), Vec::new()));
        // runc makes rules of their own of several comparisons of one argument.
        let indices: BTreeSet<u8> = args.iter().map(|one| one.index).collect();
        match indices.len() == args.len() {
            true => alternatives.push(args.to_vec()),
            false => alternatives.extend(args.iter().map(|one| vec![*one])),
        }
    }

    /// The calls as a profile lists them.
    fn entries(&mut self) -> Vec<Entry<SyscallRule>> {
        let mut entries = Vec::new();
        for (call, (place, alternatives)) in std::mem::take(&mut self.allowed) {
            for what in self.conditional(call, &place, &alternatives) {
                entries.push(Entry { what, why: None });
            }
        }
        entries
    }

    fn conditional(
        &mut self,
        call: &'static str,
        place: &str,
        alternatives: &RuleComparisons,
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

/// The first names of a list, and how many there are more.
fn few(names: &[&String]) -> String {
    let first: Vec<_> = names.iter().take(8).map(|name| name.as_str()).collect();
    match names.len() - first.len() {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}

#[cfg(test)]
mod tests;
