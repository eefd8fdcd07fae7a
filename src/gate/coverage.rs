//! What a run did against what a profile grants: each fact uses grants of the profile, or is beyond
//! it. It decides fact by fact, since what is learned from one run is more general than what the run
//! did.

mod files;
mod network;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Value, json};

use self::files::CoveringFiles;
pub use self::files::canonical;
use super::calls::{AllowedBy, CallGrants, number};
use super::rules::GateRule;
use crate::event::Want;
use crate::learn::{Did, Fact, Grant, Name, Seen, grants};
use crate::profile::{
    Document, Profile, ProfileIndex, Program, ProgramPlace, capability_of, capability_word,
};
use crate::syscalls;

/// A use that the profile does not grant.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingGrant {
    /// The rule that it breaks.
    pub rule: GateRule,
    /// The JSON Pointer of the section or entry that does not grant it.
    pub pointer: String,
    /// What was done: `/srv/x was read`.
    pub what: String,
    /// What is the same in every run.
    pub subject: String,
    /// The change that grants it, where one should be offered.
    pub remedy: Remedy,
}

/// The change that grants a use.
#[derive(Clone, Debug, PartialEq)]
pub enum Remedy {
    /// None is offered.
    None,
    /// A hint's.
    Want(Want),
    /// A JSON Patch.
    Patch(Value),
}

/// What a fact is to a profile.
#[derive(Clone, Debug, PartialEq)]
pub enum FactCoverage {
    /// It uses these grants, by their names; none where it needs none.
    Granted(Vec<String>),
    /// The profile refuses it.
    Missing(Vec<MissingGrant>),
}

/// A profile, prepared for many facts.
pub struct ProfileCoverage<'p> {
    document: &'p Document,
    files: CoveringFiles<'p>,
    calls: CallGrants,
    /// The entries of each file, by its path in one form.
    by_path: HashMap<String, Vec<(ProfileIndex, &'p Program)>>,
    /// The directories of programs.
    beneath: Vec<(String, (ProfileIndex, &'p Program))>,
    /// The names of the grants of each entry, in the order of its values.
    keys: HashMap<String, Vec<String>>,
    /// Paths as the image resolves them.
    resolved: BTreeMap<String, String>,
}

impl<'p> ProfileCoverage<'p> {
    /// Of a profile; `resolved` has the paths of its programs and files that lead elsewhere in the
    /// image, and `loaders` the ELF loaders and interpreters that runs showed.
    pub fn of(
        document: &'p Document,
        resolved: &BTreeMap<String, String>,
        loaders: &BTreeSet<String>,
    ) -> ProfileCoverage<'p> {
        let profile = &document.profile;
        let mut keys: HashMap<String, Vec<String>> = HashMap::new();
        for Grant { key, pointer } in grants(profile) {
            keys.entry(pointer).or_default().push(key);
        }
        let mut by_path: HashMap<String, Vec<_>> = HashMap::new();
        let mut beneath = Vec::new();
        for (index, program) in profile.indexed_programs() {
            let path = program.place.path().to_string_lossy();
            let form = canonical(resolved.get(&*path).map_or(&*path, String::as_str)).into_owned();
            match program.place {
                ProgramPlace::Path(_) => by_path.entry(form).or_default().push((index, program)),
                ProgramPlace::Beneath(_) => beneath.push((form, (index, program))),
            }
        }
        ProfileCoverage {
            document,
            by_path,
            beneath,
            files: CoveringFiles::of(profile, resolved, loaders),
            calls: CallGrants::of(profile),
            keys,
            resolved: resolved.clone(),
        }
    }

    fn profile(&self) -> &'p Profile {
        &self.document.profile
    }

    /// What a fact of a run is to the profile.
    pub fn of_fact(&self, fact: &Fact, seen: &Seen) -> FactCoverage {
        match fact {
            Fact::Program(name) => self.program(name, seen),
            Fact::Entry(name) => self.entry(name),
            Fact::Transition { from, to } => self.transition(from, to),
            Fact::Interpreter { path, interpreter } => self.interpreter(path, interpreter),
            Fact::Digest { path, sha256 } => self.digest(path, sha256),
            Fact::File { path, did, .. } => self.files.of_use(path, *did, seen),
            Fact::Listen { address } => self.endpoint("listen", address, seen),
            Fact::Connect { address } => self.endpoint("connect", address, seen),
            Fact::Call { call, when } => self.call(call, when.as_ref(), seen),
            Fact::Capability { capability, call } => self.capability(capability, call),
            Fact::WriteExecute if self.profile().write_execute => {
                FactCoverage::Granted(vec!["memory write_execute".to_owned()])
            }
            Fact::WriteExecute => missing(
                GateRule::OutsideMemory,
                "/memory",
                "memory was mapped writable and executable",
                "memory write_execute",
                Remedy::Want(Want::WriteExecute),
            ),
            Fact::Variable { name } => self.variable(name),
            Fact::Limit { limit, value } => self.limit(limit, *value),
            Fact::Loader { .. } => FactCoverage::Granted(vec!["files @runtime".to_owned()]),
            Fact::Moved { .. }
            | Fact::Refused { .. }
            | Fact::Gap { .. }
            | Fact::Unread { .. }
            | Fact::Numbered { .. }
            | Fact::Credential { .. }
            | Fact::Ready { .. }
            | Fact::Signal { .. } => FactCoverage::Granted(Vec::new()),
        }
    }

    /// The entries of a program as it was executed: those of its applet, and those of all applets.
    fn entries(&self, name: &Name) -> Vec<(ProfileIndex, &'p Program)> {
        let path = self.canonical(&name.path);
        let is_applet =
            |program: &Program| program.applet.as_ref().is_none_or(|applet| *applet == name.applet);
        let own = self.by_path.get(&path).into_iter().flatten().filter(|(_, program)| is_applet(program));
        let above = self.beneath.iter().filter(|(directory, _)| Path::new(&path).starts_with(directory));
        own.chain(above.map(|(_, entry)| entry)).copied().collect()
    }

    /// A path in one form: as the image resolves it, and with a merged /usr.
    fn canonical(&self, path: &str) -> String {
        canonical(self.resolved.get(path).map_or(path, String::as_str)).into_owned()
    }

    fn keys_of(&self, pointer: &str) -> &[String] {
        self.keys.get(pointer).map_or(&[], Vec::as_slice)
    }

    /// The grants of an entry whose names begin with this word.
    fn keys_with(&self, pointer: &str, lead: &str) -> Vec<String> {
        self.keys_of(pointer).iter().filter(|key| key.starts_with(lead)).cloned().collect()
    }

    fn program(&self, name: &Name, seen: &Seen) -> FactCoverage {
        let entries = self.entries(name);
        if entries.is_empty() {
            let path = name.path.clone().into();
            let want = match name.applet.is_empty() {
                true => Want::Program { path, caller: None },
                false => Want::Applet { path, applet: name.applet.clone(), caller: None },
            };
            let (what, subject) =
                (format!("{} was executed", worded(name)), format!("program {}", worded(name)));
            return missing(GateRule::OutsideProgram, "/programs", &what, &subject, Remedy::Want(want));
        }
        if !seen.serving.is_empty() && self.calls.is_startup_only("execve") {
            return self.after_startup("execve", &format!("{} was executed", worded(name)));
        }
        let used =
            entries.iter().flat_map(|(index, _)| self.keys_with(&format!("/programs/{index}"), "program "));
        FactCoverage::Granted(used.collect())
    }

    fn entry(&self, name: &Name) -> FactCoverage {
        let entries = self.entries(name);
        // Without any entry it is missing as a program already.
        if let Some((index, _)) = entries.first()
            && !entries.iter().any(|(_, program)| program.entry)
        {
            let want = Want::Command(entries[0].1.place.path().to_owned());
            let (what, subject) =
                (format!("COMMAND was {}", worded(name)), format!("entry {}", worded(name)));
            let pointer = format!("/programs/{index}");
            return missing(GateRule::OutsideProgram, &pointer, &what, &subject, Remedy::Want(want));
        }
        let used = entries.iter().filter(|(_, program)| program.entry);
        FactCoverage::Granted(
            used.flat_map(|(index, _)| self.keys_with(&format!("/programs/{index}"), "entry ")).collect(),
        )
    }

    fn transition(&self, from: &Name, to: &Name) -> FactCoverage {
        let (callers, targets) = (self.entries(from), self.entries(to));
        if callers.is_empty() || targets.is_empty() {
            return FactCoverage::Granted(Vec::new());
        }
        let mut used = Vec::new();
        for (caller, program) in &callers {
            for (number, transition) in program.may_run.iter().enumerate() {
                let names = |target: &Program| {
                    target.place.path() == transition.what.path
                        && transition.what.applet.as_ref().is_none_or(|applet| *applet == to.applet)
                };
                if targets.iter().any(|(_, target)| names(target)) {
                    used.extend(
                        self.keys_of(&format!("/programs/{caller}/may_run/{number}")).iter().cloned(),
                    );
                }
            }
        }
        if !used.is_empty() {
            return FactCoverage::Granted(used);
        }
        let caller = callers[0].0;
        let target = targets[0].1;
        let path = target.place.path().to_owned();
        let want = match &target.applet {
            None => Want::Program { path, caller: Some(caller) },
            Some(applet) => Want::Applet { path, applet: applet.clone(), caller: Some(caller) },
        };
        let what = format!("{} executed {}", worded(from), worded(to));
        let subject = format!("edge {} -> {}", worded(from), worded(to));
        let pointer = format!("/programs/{caller}");
        missing(GateRule::OutsideProgram, &pointer, &what, &subject, Remedy::Want(want))
    }

    fn interpreter(&self, path: &str, interpreter: &str) -> FactCoverage {
        let name = Name { path: path.to_owned(), applet: String::new() };
        let interpreter = self.canonical(interpreter);
        let wrong = self.entries(&name).into_iter().find(|(_, program)| {
            matches!(program.place, ProgramPlace::Path(_))
                && program
                    .interpreter
                    .as_ref()
                    .is_none_or(|one| self.canonical(&one.to_string_lossy()) != interpreter)
        });
        let Some((index, program)) = wrong else { return FactCoverage::Granted(Vec::new()) };
        let op = if program.interpreter.is_some() { "replace" } else { "add" };
        let patch =
            json!([{ "op": op, "path": format!("/programs/{index}/interpreter"), "value": interpreter }]);
        let what = format!("{path} was run by its interpreter {interpreter}");
        let subject = format!("interpreter {path} {interpreter}");
        missing(
            GateRule::OutsideProgram,
            &format!("/programs/{index}"),
            &what,
            &subject,
            Remedy::Patch(patch),
        )
    }

    fn digest(&self, path: &str, sha256: &str) -> FactCoverage {
        let name = Name { path: path.to_owned(), applet: String::new() };
        let is_other = |program: &Program| program.sha256.as_ref().is_some_and(|pinned| pinned != sha256);
        let Some((index, _)) = self.entries(&name).into_iter().find(|(_, program)| is_other(program)) else {
            return FactCoverage::Granted(Vec::new());
        };
        let want = Want::Digest { program: index, sha256: sha256.to_owned() };
        let what = format!("{path} had the content {sha256}");
        let subject = format!("digest {path} {sha256}");
        let pointer = format!("/programs/{index}/sha256");
        missing(GateRule::OutsideProgram, &pointer, &what, &subject, Remedy::Want(want))
    }

    fn call(&self, call: &str, when: Option<&(u8, String)>, seen: &Seen) -> FactCoverage {
        // A call that the tables do not have is one of a newer kernel.
        let Some(name) = syscalls::known(call) else {
            return missing(
                GateRule::OutsideSyscall,
                "/syscalls",
                &format!("the system call {call} was made, which this remit does not know"),
                &format!("syscall {call}"),
                Remedy::None,
            );
        };
        let value = when.and_then(|(arg, text)| Some((*arg, number(text)?)));
        let worded = match when {
            Some((arg, text)) => format!("{call} was called with {text} as argument {arg}"),
            None => format!("{call} was called"),
        };
        if !seen.serving.is_empty() && self.calls.is_startup_only(name) {
            return self.after_startup(name, &worded);
        }
        let subject = match when {
            Some((arg, text)) => format!("syscall {call} {arg} {text}"),
            None => format!("syscall {call}"),
        };
        match self.calls.allows(name, value) {
            Some(AllowedBy::Section) => FactCoverage::Granted(self.class_keys(name)),
            Some(AllowedBy::Entry(index)) => {
                let keys = self.keys_of(&format!("/syscalls/allow/{index}"));
                let mut used: Vec<String> = match (keys.len(), value) {
                    (0 | 1, _) | (_, None) => keys.to_vec(),
                    (_, Some((arg, value))) => {
                        let key = format!("syscall {name} {arg} {value}");
                        keys.iter().filter(|one| **one == key).cloned().collect()
                    }
                };
                used.extend(self.class_keys(name));
                FactCoverage::Granted(used)
            }
            None => {
                let want = match when {
                    Some((arg, text)) => {
                        let value = text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
                        Want::SyscallWhen { call: name.to_owned(), arg: *arg, value }
                    }
                    None => Want::Syscall(name.to_owned()),
                };
                missing(GateRule::OutsideSyscall, "/syscalls/allow", &worded, &subject, Remedy::Want(want))
            }
        }
    }

    /// The entries of calls that give no power beyond this one: they came with it.
    fn class_keys(&self, call: &str) -> Vec<String> {
        let class = syscalls::class(call).into_iter().flat_map(syscalls::Class::calls);
        class.map(|other| format!("syscall {other}")).collect()
    }

    fn after_startup(&self, call: &str, worded: &str) -> FactCoverage {
        missing(
            GateRule::OutsideSyscall,
            "/syscalls/startup_only",
            &format!("{worded} after start-up was over"),
            &format!("after start-up {call}"),
            Remedy::Want(Want::AfterStartup(call.to_owned())),
        )
    }

    fn capability(&self, capability: &str, call: &str) -> FactCoverage {
        /// What learning never grants by itself.
        const BY_HAND: [&str; 2] = ["sys_admin", "net_admin"];
        let known = capability_of(capability);
        let word = known.map_or_else(|| capability.to_owned(), capability_word);
        let mut listed = self.profile().capabilities.iter();
        if listed.any(|entry| Some(entry.what) == known) {
            return FactCoverage::Granted(vec![format!("capability {word}")]);
        }
        let remedy = match known {
            Some(known) if !BY_HAND.contains(&&*word) => Remedy::Want(Want::Capability(known)),
            _ => Remedy::None,
        };
        missing(
            GateRule::OutsideCapability,
            "/capabilities",
            &format!("{call} needed the capability {word}"),
            &format!("capability {word}"),
            remedy,
        )
    }

    fn variable(&self, name: &str) -> FactCoverage {
        let covers = |pattern: &str| match pattern.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => pattern == name,
        };
        let listed = self.profile().environment_keep.iter().find(|entry| covers(&entry.what));
        match listed {
            Some(entry) => FactCoverage::Granted(vec![format!("environment keep {}", entry.what)]),
            None => missing(
                GateRule::OutsideEnvironment,
                "/environment/keep",
                &format!("a process set {name} for a program"),
                &format!("environment keep {name}"),
                Remedy::Want(Want::Environment(name.to_owned())),
            ),
        }
    }

    fn limit(&self, limit: &str, value: u64) -> FactCoverage {
        let limits = &self.profile().limits;
        let (most, remedy) = match limit {
            "processes" => (limits.processes.map(u64::from), u32::try_from(value).ok().map(Want::Processes)),
            "open_files" => (limits.open_files, None),
            _ => (None, None),
        };
        if most.is_none_or(|most| value <= most) {
            return FactCoverage::Granted(Vec::new());
        }
        missing(
            GateRule::OutsideLimit,
            &format!("/limits/{limit}"),
            &format!("{value} {} were needed at once", limit.replace('_', " ")),
            &format!("limit {limit}"),
            remedy.map_or(Remedy::None, Remedy::Want),
        )
    }
}

/// A program in sentences.
fn worded(name: &Name) -> String {
    if name.applet.is_empty() { name.path.clone() } else { format!("{} {}", name.path, name.applet) }
}

fn missing(rule: GateRule, pointer: &str, what: &str, subject: &str, remedy: Remedy) -> FactCoverage {
    FactCoverage::Missing(vec![MissingGrant {
        rule,
        pointer: pointer.to_owned(),
        what: what.to_owned(),
        subject: subject.to_owned(),
        remedy,
    }])
}

/// A use of a file in sentences.
fn done(did: Did) -> &'static str {
    match did {
        Did::Read => "was read",
        Did::List => "was listed",
        Did::Write => "was written",
        Did::Create => "was created",
        Did::MakeDirectory => "was made as a directory",
        Did::Remove => "was removed",
        Did::Ioctl => "was the object of an ioctl",
    }
}
