//! `syscalls` of a profile: what was called, in groups or exactly, and what the start-up alone needs.

use std::collections::BTreeMap;

use super::{Builder, Wanted, plain};
use crate::learn::calls::{self, Sections};
use crate::learn::fact::{Fact, Seen};
use crate::learn::grants;
use crate::profile::{Entry, Network, Ready, SyscallRule, Syscalls};

/// Why an exact profile has `@base` and `@failure`.
const GRANTED_UNSEEN: &str = "granted without having been observed: no power beyond what a process has";

/// Why an exact profile has calls that glibc does not make.
const UNWATCHED: &str = "it was called, or its calls were not watched, as those of @base";

/// Whether a run that is not exact may have made a call unwatched, though `@base` does not have it.
fn is_unwatched(rule: &SyscallRule, sections: Sections) -> bool {
    let call = if let SyscallRule::Call(call) = rule { *call } else { return false };
    sections.exact && crate::syscalls::groups::NOT_OF_GLIBC.contains(&call)
}

/// Whether an exact profile takes a call away after ready where it was made only before: one that
/// changes names or attributes of files, takes a port, or is in no group, since it has power of its
/// own. A process that is forked again, or a connection that is made again, may come at any time.
fn starts_alone(name: &str) -> bool {
    use crate::syscalls::{Purpose, find, groups};
    let purpose = find(name).and_then(|syscall| syscall.group);
    let all = [&groups::CORE, &groups::FILES, &groups::NETWORK, &groups::NETWORK_LISTEN];
    match purpose {
        Some(purpose) => matches!(purpose, Purpose::Names | Purpose::Attributes | Purpose::Listening),
        None => name.starts_with("mknod") || !all.iter().any(|group| group.calls().contains_key(name)),
    }
}

/// The fewest runs seen serving before a call is taken to belong to start-up alone.
const SERVED: usize = 3;

impl Builder<'_> {
    pub(super) fn syscalls(&mut self, sections: Sections, network: &Network) -> (Option<Ready>, Syscalls) {
        let mut found = calls::generalise(self.facts, sections);
        self.notes.append(&mut found.notes);
        let mut early_rules = Vec::new();
        let made = std::mem::take(&mut found.made);
        let serves = |call: &str| made.get(call).is_some_and(|seen| !seen.serving.is_empty());
        let served_class = |name: &str| {
            let class = crate::syscalls::class(name);
            serves(name) || class.is_some_and(|class| class.calls().any(serves))
        };
        let (ready, served) = self.ready(network);
        let mut syscalls = Syscalls { exact: sections.exact, allow: Vec::new(), startup_only: Vec::new() };
        let mut early: BTreeMap<&'static str, Seen> = BTreeMap::new();
        for rule in found.rules {
            let (because, why) = match rule.completes {
                None if is_unwatched(&rule.what, sections) => (UNWATCHED.to_owned(), None),
                None => ("it was called".to_owned(), None),
                Some(call) => {
                    let about = crate::syscalls::class(call).map_or("", crate::syscalls::Class::about);
                    (
                        format!("of one class with {call}: {about}"),
                        Some(format!("comes with {call}, which was seen")),
                    )
                }
            };
            match &rule.what {
                _ if !rule.seen.serving.is_empty() => {}
                SyscallRule::Call(name) | SyscallRule::When(name, _) if sections.exact => {
                    let resolves = *name == "bind" && !network.connect.is_empty();
                    if starts_alone(name) && !served_class(name) && !resolves {
                        early_rules.push((rule.what.clone(), rule.seen.clone()));
                    }
                }
                SyscallRule::Call(name) => drop(early.insert(*name, rule.seen.clone())),
                _ => {}
            }
            let entry = Entry { what: rule.what, why };
            for (number, key) in grants::call_keys("allow", &entry.what).into_iter().enumerate() {
                let completes = rule.completes;
                let seen = rule.values.get(number).unwrap_or(&rule.seen);
                self.because(key.clone(), &because, seen);
                self.reasons.entry(key).or_default().completes = completes;
            }
            syscalls.allow.push(entry);
        }
        let groups = if sections.exact {
            ["@base", "@failure"].map(|group| (group, GRANTED_UNSEEN, Seen::default())).into()
        } else {
            self.unseen_groups(sections, &made)
        };
        for (group, because, seen) in groups {
            let rule = SyscallRule::Group(group);
            for key in grants::call_keys("allow", &rule) {
                self.because(key, because, &seen);
            }
            syscalls.allow.push(plain(rule));
        }
        if ready.is_none() {
            return (None, syscalls);
        }
        if served < SERVED {
            self.notes.push(format!(
                "{served} runs were seen at work after they were ready; from {SERVED} on, calls of the start-up alone \
                 are taken away after it"
            ));
            return (ready, syscalls);
        }
        early.extend(self.early_sections(network));
        if sections.exact {
            // What else there is has a rule; execve has none, since the launch brings it.
            early.retain(|name, _| *name == "execve" || (*name == "execveat" && made.contains_key(name)));
        }
        for (rule, seen) in early_rules {
            for key in grants::call_keys("startup_only", &rule) {
                self.because(key, "never seen after ready", &seen);
            }
            syscalls.startup_only.push(plain(rule));
        }
        for (name, seen) in early {
            self.because(format!("startup_only {name}"), "never seen after ready", &seen);
            syscalls.startup_only.push(plain(SyscallRule::Call(name)));
        }
        (ready, syscalls)
    }

    /// Whether the profile is exact: every run says which calls it watched, and those were all but
    /// `@base`. A note says why it is not.
    pub(super) fn is_exact(&mut self, wanted: &Wanted) -> bool {
        let runs = self.observations.runs();
        let silent = runs.iter().filter(|run| !run.watched).count();
        if silent > 0 {
            self.notes.push(format!(
                "syscalls is not exact: {silent} of {} runs were recorded by an older remit, which did not watch every \
                 call; record them anew",
                runs.len()
            ));
        } else if wanted.continues_groups {
            self.notes.push(
                "syscalls is not exact, as in the profile that is continued; built without --base it is"
                    .to_owned(),
            );
        }
        silent == 0 && !wanted.continues_groups
    }

    /// Groups whose calls a run that is not exact does not notify, and whose section the profile
    /// lacks: it is unknown whether their calls were made.
    fn unseen_groups(
        &self,
        sections: Sections,
        made: &BTreeMap<&'static str, Seen>,
    ) -> Vec<(&'static str, &'static str, Seen)> {
        if self.observations.runs().iter().all(|run| run.exact) {
            return Vec::new();
        }
        let mut groups = Vec::new();
        if !sections.files {
            let mut seen = Seen::default();
            let programs = self.facts.iter().filter(|(fact, _)| matches!(fact, Fact::Program(_)));
            programs.for_each(|(_, one)| seen.join(one));
            groups.push(("@files", "it was not observed which of its calls were made; --exact does", seen));
        }
        if let Some(seen) = made.get("socket").filter(|_| !sections.network) {
            let because = "a socket was made, and its use was not observed; --exact does";
            groups.push(("@network", because, seen.clone()));
        }
        groups
    }

    /// Calls of sections that were made only before ready.
    fn early_sections(&self, network: &Network) -> BTreeMap<&'static str, Seen> {
        let mut early = BTreeMap::new();
        let all = |of: &dyn Fn(&Fact) -> bool| {
            let mut seen = Seen::default();
            for (_, one) in self.facts.iter().filter(|(fact, _)| of(fact)) {
                seen.join(one);
            }
            seen
        };
        let called =
            |name: &'static str| all(&move |fact| matches!(fact, Fact::Call { call, .. } if call == name));
        let executed = all(&|fact| matches!(fact, Fact::Program(_) | Fact::Transition { .. }));
        if executed.serving.is_empty()
            && called("execve").serving.is_empty()
            && called("execveat").serving.is_empty()
        {
            early.insert("execve", executed.clone());
            early.insert("execveat", executed);
        }
        let bound = all(&|fact| matches!(fact, Fact::Listen { .. }));
        if !network.listen.is_empty() && bound.serving.is_empty() && called("listen").serving.is_empty() {
            early.insert("listen", bound.clone());
            // Resolvers bind the netlink socket by which they ask the kernel.
            if network.connect.is_empty() && called("bind").serving.is_empty() {
                early.insert("bind", bound);
            }
        }
        early
    }
}
