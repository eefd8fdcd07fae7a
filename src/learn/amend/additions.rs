//! Adds what hints want to a profile. Each list has an index, so that the cost grows linearly with the
//! number of hints.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::event::{Want, hint};
use crate::profile::{
    self, ArgPattern, Document, Entry, FileEntry, FileRule, Profile, ProfileIndex, Program, ProgramPlace,
    Rights, SyscallRule, Transition,
};
use crate::syscalls::{self, Condition, Test, constants};

/// A profile and the wants to add.
pub(super) struct Additions<'d> {
    document: &'d Document,
    wants: Vec<(String, Want)>,
}

/// Why a want is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HintConflict {
    /// It names what the profile does not have.
    Unknown,
    /// It wants code from a path that another hint lets the app change.
    Changeable,
    /// It wants a digest of a program, and another hint wants another.
    Contents,
    /// It wants one applet of a program that is listed as a whole.
    WholeProgram,
}

impl fmt::Display for HintConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HintConflict::Unknown => "names what this profile does not have",
            HintConflict::Changeable => "wants code from what another hint lets the app change",
            HintConflict::Contents => "wants one content of a program, and another hint wants another",
            HintConflict::WholeProgram => "wants one applet of a program that is listed as a whole",
        })
    }
}

/// Rights that change what is there.
const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

impl<'d> Additions<'d> {
    pub fn to(document: &'d Document) -> Additions<'d> {
        Additions { document, wants: Vec::new() }
    }

    /// Adds a want, with the position that a message about it names.
    pub fn want(&mut self, at: String, want: Want) {
        self.wants.push((at, want));
    }

    /// The profile with all wants that are compatible, and those that were left out.
    pub fn made(self) -> (Profile, Vec<(String, HintConflict)>) {
        let mut later = Vec::new();
        let mut calls = BTreeSet::new();
        for (at, want) in self.wants {
            match want {
                Want::AfterStartup(call) => drop(calls.insert(call)),
                want => later.push((at, want)),
            }
        }
        // Rights to change files come first: a program may not be such a file.
        later.sort_by_key(|(_, want)| match want {
            Want::File { .. } => 0,
            Want::Command(_) | Want::Program { .. } => 1,
            _ => 2,
        });
        let profile = after_startup(self.document, &calls);
        let mut index = Index::of(profile);
        let mut conflicts = Vec::new();
        for (at, want) in later {
            if let Err(why) = index.add(want) {
                conflicts.push((at, why));
            }
        }
        (index.profile, conflicts)
    }
}

/// The profile without these calls in `startup_only`. There are a few hundred calls, so
/// that each is a hint of its own.
fn after_startup(document: &Document, calls: &BTreeSet<String>) -> Profile {
    if calls.is_empty() {
        return document.profile.clone();
    }
    let mut value = document.value();
    for call in calls {
        for operation in hint(&value, &Want::AfterStartup(call.clone())) {
            match operation.path.strip_suffix("/-") {
                Some(list) => {
                    if let Some(list) = value.pointer_mut(list).and_then(|list| list.as_array_mut()) {
                        list.push(operation.value);
                    }
                }
                None => {
                    let key = operation.path.rsplit('/').next().unwrap_or_default();
                    value["syscalls"][key] = operation.value;
                }
            }
        }
    }
    profile::read(value.to_string().as_bytes()).map_or_else(|_| document.profile.clone(), |read| read.profile)
}

struct Index {
    profile: Profile,
    /// The first entry of each file.
    programs: HashMap<PathBuf, ProfileIndex>,
    applets: HashSet<(PathBuf, String)>,
    transitions: HashSet<(ProfileIndex, PathBuf, Option<String>)>,
    files: HashMap<PathBuf, usize>,
    /// Paths that the app may change.
    changed: BTreeSet<PathBuf>,
    /// Calls with listed values, by their argument.
    values: HashMap<(&'static str, u8), usize>,
    digests: HashMap<ProfileIndex, String>,
}

impl Index {
    fn of(profile: Profile) -> Index {
        let mut index = Index {
            programs: HashMap::new(),
            applets: HashSet::new(),
            transitions: HashSet::new(),
            files: HashMap::new(),
            changed: BTreeSet::new(),
            values: HashMap::new(),
            digests: HashMap::new(),
            profile,
        };
        for (at, program) in index.profile.indexed_programs() {
            if let ProgramPlace::Path(path) = &program.place {
                index.programs.entry(path.clone()).or_insert(at);
                index.applets.extend(program.applet.clone().map(|applet| (path.clone(), applet)));
            }
            let transitions = program.may_run.iter().map(|transition| &transition.what);
            index.transitions.extend(
                transitions.map(|transition| (at, transition.path.clone(), transition.applet.clone())),
            );
        }
        for (at, entry) in index.profile.files.iter().enumerate() {
            let FileEntry::Path(rule) = entry else { continue };
            index.files.entry(rule.path.clone()).or_insert(at);
            if rule.allow.intersects(CHANGING) {
                index.changed.insert(rule.path.clone());
            }
        }
        for (at, entry) in index.profile.syscalls.allow.iter().enumerate() {
            if let SyscallRule::When(call, Condition { arg, test: Test::In(_) }) = &entry.what {
                index.values.entry((*call, *arg)).or_insert(at);
            }
        }
        index
    }

    fn add(&mut self, want: Want) -> Result<(), HintConflict> {
        match want {
            Want::Command(path) => {
                let at = self.program(path)?;
                self.profile.programs[at.get()].entry = true;
            }
            Want::Program { path, caller } => {
                self.program(path.clone())?;
                self.transition(caller, path, None);
            }
            Want::Applet { path, applet, caller } => {
                self.applet(&path, &applet)?;
                self.transition(caller, path, Some(applet));
            }
            Want::Arguments { program, args } => {
                let entry = self.named(program)?;
                let exactly = args.into_iter().map(ArgPattern::Exact).collect();
                entry.args.as_mut().ok_or(HintConflict::Unknown)?.push(exactly);
            }
            Want::User { program, uid } => {
                let entry = self.named(program)?;
                entry.user.as_mut().ok_or(HintConflict::Unknown)?.push(uid);
            }
            Want::Instances { program, most } => {
                let entry = self.named(program)?;
                entry.instances = entry.instances.max(Some(most));
            }
            Want::Library { program, path } => {
                if self.may_be_changed(&path) {
                    return Err(HintConflict::Changeable);
                }
                let entry = self.named(program)?;
                entry.libraries.as_mut().ok_or(HintConflict::Unknown)?.push(path);
            }
            Want::Digest { program, sha256 } => {
                let known = self.digests.entry(program).or_insert_with(|| sha256.clone());
                if *known != sha256 {
                    return Err(HintConflict::Contents);
                }
                self.named(program)?.sha256 = Some(sha256);
            }
            Want::Environment(name) => self.profile.environment_keep.push(plain(name)),
            Want::File { path, rights } => self.file(path, rights),
            Want::Listen(endpoint) => {
                let endpoint = profile::endpoint(&endpoint).map_err(|_| HintConflict::Unknown)?;
                self.profile.network.listen.push(plain(endpoint));
            }
            Want::Connect(endpoint) => {
                let endpoint = profile::endpoint(&endpoint).map_err(|_| HintConflict::Unknown)?;
                self.profile.network.connect.push(plain(endpoint));
            }
            Want::Syscall(name) => {
                let call = syscalls::known(&name).ok_or(HintConflict::Unknown)?;
                self.profile.syscalls.allow.push(plain(SyscallRule::Call(call)));
            }
            Want::SyscallWhen { call, arg, value } => {
                let call = syscalls::known(&call).ok_or(HintConflict::Unknown)?;
                let number = value
                    .as_u64()
                    .or(value.as_str().and_then(constants::value))
                    .ok_or(HintConflict::Unknown)?;
                self.value(call, arg, number);
            }
            Want::AfterStartup(_) => {}
            Want::Capability(capability) => self.profile.capabilities.push(plain(capability)),
            Want::WriteExecute => self.profile.write_execute = true,
            Want::Processes(most) => {
                let processes = &mut self.profile.limits.processes;
                *processes = (*processes).max(Some(most));
            }
        }
        Ok(())
    }

    /// The entry that a hint names by its index.
    fn named(&mut self, program: ProfileIndex) -> Result<&mut Program, HintConflict> {
        self.profile.programs.get_mut(program.get()).ok_or(HintConflict::Unknown)
    }

    /// The index of the entry for a file, which is added where there is none.
    fn program(&mut self, path: PathBuf) -> Result<ProfileIndex, HintConflict> {
        if let Some(at) = self.programs.get(&path) {
            return Ok(*at);
        }
        if self.may_be_changed(&path) {
            return Err(HintConflict::Changeable);
        }
        Ok(self.push(path, None))
    }

    fn applet(&mut self, path: &Path, applet: &str) -> Result<(), HintConflict> {
        if self.applets.contains(&(path.to_owned(), applet.to_owned())) {
            return Ok(());
        }
        if self.programs.get(path).is_some_and(|at| self.profile.programs[at.get()].applet.is_none()) {
            return Err(HintConflict::WholeProgram);
        }
        if self.may_be_changed(path) {
            return Err(HintConflict::Changeable);
        }
        self.push(path.to_owned(), Some(applet.to_owned()));
        Ok(())
    }

    fn push(&mut self, path: PathBuf, applet: Option<String>) -> ProfileIndex {
        let at = ProfileIndex::new(self.profile.programs.len());
        self.programs.entry(path.clone()).or_insert(at);
        self.applets.extend(applet.clone().map(|applet| (path.clone(), applet)));
        self.profile.programs.push(Program {
            place: ProgramPlace::Path(path),
            entry: false,
            interpreter: None,
            may_run: Vec::new(),
            args: None,
            applet,
            sha256: None,
            user: None,
            instances: None,
            libraries: None,
            from_image: false,
            why: None,
        });
        at
    }

    fn transition(&mut self, caller: Option<ProfileIndex>, path: PathBuf, applet: Option<String>) {
        let Some(caller) = caller.filter(|caller| caller.get() < self.profile.programs.len()) else { return };
        if self.transitions.insert((caller, path.clone(), applet.clone())) {
            self.profile.programs[caller.get()].may_run.push(plain(Transition { path, applet }));
        }
    }

    fn file(&mut self, path: PathBuf, rights: Rights) {
        if rights.intersects(CHANGING) {
            self.changed.insert(path.clone());
        }
        if let Some(FileEntry::Path(rule)) = self.files.get(&path).map(|at| &mut self.profile.files[*at]) {
            rule.allow = rule.allow.union(rights);
            return;
        }
        self.files.insert(path.clone(), self.profile.files.len());
        let rule = FileRule { path, allow: rights, optional: false, why: None };
        self.profile.files.push(FileEntry::Path(rule));
    }

    fn value(&mut self, call: &'static str, arg: u8, value: u64) {
        let allow = &mut self.profile.syscalls.allow;
        let at = *self.values.entry((call, arg)).or_insert(allow.len());
        match allow.get_mut(at).map(|entry| &mut entry.what) {
            Some(SyscallRule::When(_, Condition { test: Test::In(values), .. })) => values.push(value),
            _ => {
                let condition = Condition { arg, test: Test::In(vec![value]) };
                allow.push(plain(SyscallRule::When(call, condition)));
            }
        }
    }

    /// Whether the app may change the file at this path, or one below it.
    fn may_be_changed(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.changed.contains(above))
            || self.changed.range(path.to_owned()..).next().is_some_and(|place| place.starts_with(path))
    }
}

fn plain<T>(what: T) -> Entry<T> {
    Entry { what, why: None }
}
