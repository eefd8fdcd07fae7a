//! Builds a profile from observations, with evidence for every grant.

mod programs;
mod syscalls;

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Sections;
use super::fact::{Fact, Seen};
use super::files::{self, Files};
use super::grants;
use super::network::{self, NSCD, Port};
use super::observations::Observations;
use super::runs::Runs;
use super::volatile::{as_named, literal};
use crate::profile::{
    Capability, Endpoint, Entry, Fallback, FileEntry, FileGroup, FileRule, Limits, Mode, Network,
    OnViolation, Profile, Ready, Risk, Watch, capability_of, capability_word, changes_files, in_order,
};

/// The reason for a grant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reason {
    /// The reason in words.
    pub because: String,
    /// The runs that showed it.
    pub seen: Seen,
    /// The call whose class it completes, where it was not seen itself.
    pub completes: Option<&'static str>,
}

/// A profile with the reasons for its grants.
#[derive(Debug)]
pub struct Learned {
    /// The learned profile.
    pub profile: Profile,
    /// The reasons, by the names of [`grants`].
    pub reasons: BTreeMap<String, Reason>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The options of a build.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The profile's name; `None` takes that of the runs.
    pub name: Option<String>,
    /// Whether the profile pins the digests of programs.
    pub digests: bool,
    /// The profile that is continued is not exact.
    pub continues_groups: bool,
}

/// Builds the profile of the observations.
pub fn build(observations: &Observations, wanted: &Wanted) -> Learned {
    let facts = observations.facts();
    let mut builder = Builder { facts: &facts, observations, reasons: BTreeMap::new(), notes: Vec::new() };
    let programs = builder.programs(wanted.digests);
    let network = builder.network();
    let files = builder.files(&network);
    let endpoints = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
    let unix =
        |one: &Endpoint| matches!(one, Endpoint::UnixAny | Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_));
    let exact = builder.is_exact(wanted);
    let sections = Sections {
        exact,
        files: !files.is_empty(),
        changes_files: changes_files(&files),
        network: endpoints().next().is_some(),
        listens: !network.listen.is_empty(),
        internet: endpoints().any(|one| !unix(one)),
        unix: endpoints().any(unix),
        names: files
            .iter()
            .any(|entry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Names)),
        glibc: observations
            .runs()
            .iter()
            .all(|run| run.fingerprint.libc.as_deref().is_some_and(|libc| libc.starts_with("glibc"))),
    };
    let capabilities = builder.capabilities();
    let (ready, syscalls) = builder.syscalls(sections, &network);
    let write_execute =
        builder.simple(&Fact::WriteExecute, "memory write_execute", "memory was written and executed");
    builder.note_limits();
    let environment_keep = builder.variables();
    builder.refused();
    let name = wanted.name.clone().unwrap_or_else(|| name(observations));
    let mut notes = builder.notes;
    notes.sort();
    notes.dedup();
    let profile = Profile {
        name,
        risk: Risk::default(),
        mode: Mode::default(),
        run_as: None,
        capabilities,
        programs,
        files,
        network,
        syscalls,
        write_execute,
        environment_drop: Vec::new(),
        environment_keep,
        limits: Limits { processes: None, open_files: None, file_size: None, core: None },
        ready,
        watch: Watch::default(),
        on_violation: OnViolation::default(),
        fallback: Fallback::default(),
    };
    Learned { profile, reasons: builder.reasons, notes }
}

struct Builder<'o> {
    facts: &'o BTreeMap<&'o Fact, &'o Seen>,
    observations: &'o Observations,
    reasons: BTreeMap<String, Reason>,
    notes: Vec<String>,
}

fn plain<T>(what: T) -> Entry<T> {
    Entry { what, why: None }
}

impl Builder<'_> {
    fn because(&mut self, key: String, because: &str, seen: &Seen) {
        let reason = self.reasons.entry(key).or_default();
        because.clone_into(&mut reason.because);
        reason.seen.join(seen);
    }

    /// Adds a fact that is a grant by itself. Returns whether it is there.
    fn simple(&mut self, fact: &Fact, key: &str, because: &str) -> bool {
        let Some(seen) = self.facts.get(fact).copied() else { return false };
        self.because(key.to_owned(), because, seen);
        true
    }

    fn network(&mut self) -> Network {
        let facts = self.facts;
        let listens = facts.iter().filter_map(|(fact, seen)| match fact {
            Fact::Listen { address } => Some((address.as_str(), *seen)),
            _ => None,
        });
        let connects = facts.iter().filter_map(|(fact, seen)| match fact {
            // The cache of the name service, which @names allows.
            Fact::Connect { address } if !NSCD.contains(&address.as_str()) => Some((address.as_str(), *seen)),
            _ => None,
        });
        let listen = network::generalise(listens, &mut self.notes);
        let connect = network::generalise(connects, &mut self.notes);
        let mut entries = |side: &str, ports: Vec<Port>| -> Vec<Entry<Endpoint>> {
            let entry = |port: Port| {
                let key = format!("{side} {}", crate::profile::endpoint_text(&port.endpoint));
                self.because(key, port.because, &port.seen);
                plain(port.endpoint)
            };
            ports.into_iter().map(entry).collect()
        };
        let listen = entries("listen", listen);
        Network { listen, connect: entries("connect", connect) }
    }

    fn files(&mut self, network: &Network) -> Vec<FileEntry> {
        let mut executed = BTreeSet::new();
        let mut dynamic: Option<Seen> = None;
        let mut named: Option<Seen> = None;
        let made = self.made_programs();
        for (fact, seen) in self.facts {
            match fact {
                Fact::Program(name) if made.contains(name.path.as_str()) => {}
                Fact::Program(name) => {
                    executed.insert(literal(&name.path));
                }
                Fact::Interpreter { interpreter, .. } => {
                    executed.insert(literal(interpreter));
                }
                Fact::Loader { loader, .. } => {
                    executed.insert(literal(loader));
                    Files::group(&mut dynamic, seen);
                }
                Fact::Connect { address } if NSCD.contains(&address.as_str()) => {
                    Files::group(&mut named, seen)
                }
                _ => {}
            }
        }
        let mut found = files::generalise(self.facts, &executed.iter().map(|path| &**path).collect());
        for (group, more) in [(&mut found.runtime, dynamic), (&mut found.names, named)] {
            if let Some(seen) = more {
                Files::group(group, &seen);
            }
        }
        let mut entries = Vec::new();
        let groups = [
            (FileGroup::Runtime, &found.runtime, "what a dynamic program needs to start"),
            (FileGroup::Names, &found.names, "names of hosts, users or services were looked up"),
        ];
        for (group, seen, because) in groups {
            if let Some(seen) = seen {
                self.because(format!("files {}", group.word()), because, seen);
                entries.push(FileEntry::Group(plain(group)));
            }
        }
        // Binding a socket to a path creates a name there.
        for entry in &network.listen {
            if let Endpoint::UnixPath(path) = &entry.what
                && !path.ancestors().any(|above| found.rules.contains_key(&*above.to_string_lossy()))
            {
                self.notes.push(format!(
                    "{} is bound, and the journal does not say that it was made",
                    path.display()
                ));
            }
        }
        for mut rule in found.rules.into_values() {
            rule.path = as_named(&rule.path).into_owned();
            for (word, seen) in &rule.seen {
                self.because(format!("file {} {word}", rule.path), rule.because, seen);
            }
            entries.push(FileEntry::Path(FileRule {
                path: rule.path.into(),
                allow: rule.rights,
                optional: rule.optional,
                why: None,
            }));
        }
        self.notes.append(&mut found.notes);
        entries
    }

    fn capabilities(&mut self) -> Vec<Entry<Capability>> {
        /// Capabilities that are never granted by evidence alone: they allow too much.
        const NOT_BY_EVIDENCE: [&str; 2] = ["sys_admin", "net_admin"];
        let mut set = caps::CapsHashSet::new();
        let facts = self.facts;
        for (fact, seen) in facts {
            let Fact::Capability { capability, call } = fact else { continue };
            let Some(known) = capability_of(capability) else {
                self.notes.push(format!("capability {capability:?} is none that this remit knows; left out"));
                continue;
            };
            let word = capability_word(known);
            if NOT_BY_EVIDENCE.contains(&&*word) {
                self.notes.push(format!(
                    "{word} was used by {call}: it is never granted by algorithm; add it by hand if the app has to have it"
                ));
                continue;
            }
            set.insert(known);
            let mut seen = Seen::clone(seen);
            seen.example(call);
            self.because(format!("capability {word}"), "a call succeeded that needs it", &seen);
        }
        in_order(&set).into_iter().map(plain).collect()
    }

    /// The condition of ready, where all runs agree, and the number of runs that served after it.
    fn ready(&mut self, network: &Network) -> (Option<Ready>, usize) {
        let mut ways = BTreeMap::new();
        let mut reached = Runs::default();
        let mut served = Runs::default();
        for (fact, seen) in self.facts {
            if let Fact::Ready { by } = fact {
                ways.insert(by.as_str(), *seen);
                reached.join(&seen.runs());
            } else {
                served.join(&seen.serving);
            }
        }
        let runs = self.observations.runs().len();
        let ready = match ways.keys().copied().collect::<Vec<_>>()[..] {
            ["listening"] if !network.listen.is_empty() => Ready::Listening,
            ["notify"] => Ready::Notify,
            [] | ["listening"] => return (None, 0),
            ref several => {
                let several = several.join(", ");
                self.notes.push(format!("start-up was over by {several}; say in \"ready\" which one it is"));
                return (None, 0);
            }
        };
        if reached.len() < runs {
            self.notes.push(format!("{} of {runs} runs never became ready", runs - reached.len()));
            return (None, 0);
        }
        for seen in ways.into_values() {
            self.because("ready".into(), "every run became ready so", seen);
        }
        (Some(ready), served.len())
    }

    /// No limit is made of what was seen. One on processes has every fork notified, which a signal may
    /// end: the engine's costs nothing. A hard limit of another kind may be lower elsewhere, where the
    /// app could then not start.
    fn note_limits(&mut self) {
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        for fact in self.facts.keys() {
            let Fact::Limit { limit, value } = fact else { continue };
            let one = most.entry(limit).or_default();
            *one = (*one).max(*value);
        }
        for (limit, value) in most {
            self.notes.push(if limit == "processes" {
                format!(
                    "processes: at most {value} were alive; no limit was made of it: --pids-limit of the engine, or \
                     podPidsLimit of Kubernetes, has no price, and limits.processes notifies each fork"
                )
            } else {
                format!("{limit}: {value} was asked for or met; no limit was made of it")
            });
        }
    }

    /// The variables by which a program may be made to run other code, and that the app itself set.
    fn variables(&mut self) -> Vec<Entry<String>> {
        let mut list = Vec::new();
        for (fact, seen) in self.facts {
            let Fact::Variable { name } = fact else { continue };
            if name.contains('*') {
                self.notes.push(format!(
                    "{name:?} was set for a program, and a profile would take the name for a pattern; left out"
                ));
                continue;
            }
            self.because(format!("environment keep {name}"), "a process set it for a program", seen);
            self.notes.push(format!(
                "{name} was set for a program by another, and stays (environment.keep): by it a program may be made to run other code"
            ));
            list.push(plain(name.clone()));
        }
        list
    }

    /// Notes on actions that the environment refused.
    fn refused(&mut self) {
        let filtered = self.observations.runs().iter().any(|run| run.outer_seccomp);
        let refuser = if filtered { "the place, which has a filter of its own," } else { "the place" };
        let mut unseen: BTreeSet<&str> = BTreeSet::new();
        for run in self.observations.runs() {
            unseen.extend(run.outer_denied.iter().map(String::as_str));
        }
        if !unseen.is_empty() {
            let names = unseen.into_iter().collect::<Vec<_>>().join(", ");
            self.notes.push(format!(
                "the place's own filter denied {names}; whether the app makes them was not seen, and they were not learned"
            ));
        }
        for (fact, seen) in self.facts {
            if let Fact::Gap { what } = fact {
                self.notes.push(format!("what was read below {what} may not have been seen"));
            }
            if let Fact::Unread { what } = fact {
                self.notes.push(format!(
                    "NOT LEARNED: {what}; the profile refuses what it named, unless another process did the same"
                ));
            }
            if let Fact::Numbered { what } = fact {
                self.notes.push(numbered(what, seen));
            }
            if let Fact::Refused { what } = fact {
                self.notes.push(format!("{refuser} refused {what}; it was not learned"));
            }
        }
    }
}

/// The note on names that have a number of the process that used them.
fn numbered(what: &str, seen: &Seen) -> String {
    let literals: Vec<&str> = seen.examples.iter().map(String::as_str).collect();
    let seen = literals.join(", ");
    if what.starts_with("unix:") {
        format!(
            "{what} (seen: {seen}): another container has another number, so every unix socket is granted (unix:*)"
        )
    } else if what.starts_with('/') {
        format!(
            "{what} (seen: {seen}): another container has another number, and its directory is not granted by \
             algorithm: it is REFUSED there; give the app a directory of its own"
        )
    } else {
        format!("{what} (seen: {seen}): the kernel chose this port, so all that it gives out are granted")
    }
}

/// The common name of the runs, before their time: `redis` of `redis-20261122T100000Z-5f3a`.
fn name(observations: &Observations) -> String {
    let stem = |run: &str| {
        let mut parts: Vec<&str> = run.rsplitn(3, '-').collect();
        let stem = parts.pop().unwrap_or_default();
        if parts.len() == 2 { stem.to_owned() } else { run.to_owned() }
    };
    let mut names: Vec<String> = observations.runs().iter().map(|run| stem(&run.run)).collect();
    names.sort();
    let name = names.into_iter().next().unwrap_or_default().to_lowercase();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect();
    if name.is_empty() { "learned".to_owned() } else { name }
}

/// The reason of each entry of a profile, by its JSON Pointer; an entry of several grants has all
/// their reasons.
pub fn by_pointer(
    profile: &Profile,
    reasons: &BTreeMap<String, Reason>,
) -> BTreeMap<String, (Vec<String>, Reason)> {
    let mut all: BTreeMap<String, (Vec<String>, Reason)> = BTreeMap::new();
    for grant in grants::grants(profile) {
        let (keys, reason) = all.entry(grant.pointer).or_default();
        if let Some(known) = reasons.get(&grant.key) {
            if reason.because.is_empty() {
                *reason = known.clone();
            } else {
                reason.seen.join(&known.seen);
            }
        }
        keys.push(grant.key);
    }
    for (_, reason) in all.values_mut().filter(|(_, reason)| reason.because.is_empty()) {
        "written by hand".clone_into(&mut reason.because);
    }
    all
}
