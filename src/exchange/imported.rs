//! What an import found, and the profile that is made of it.

use std::path::{Path, PathBuf};

use super::{ConversionError, Omission};
use crate::profile::{
    self, Capability, Endpoint, Entry, FileEntry, FileGroup, FileRule, Network, Profile, Program,
    ProgramPlace, Rights, SyscallRule, TextError, Transition,
};

/// The sections of a profile that a foreign format has; `None` for what it says nothing about.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Programs; the entries are marked.
    pub programs: Option<Vec<Program>>,
    /// Rights by path and groups of files.
    pub files: Option<Vec<FileEntry>>,
    /// Endpoints.
    pub network: Option<Network>,
    /// Capabilities.
    pub capabilities: Option<Vec<Entry<Capability>>>,
    /// Calls that are allowed.
    pub syscalls: Option<Vec<Entry<SyscallRule>>>,
}

impl Imported {
    /// The profile: what was imported, in the place of the same sections of `base`, or of a profile
    /// that grants nothing but the start of a dynamic program. `entry` is COMMAND's program.
    ///
    /// # Errors
    /// There is no program that could be COMMAND, or the result is no profile.
    pub fn profile(
        self,
        name: &str,
        entry: Option<&Path>,
        base: Option<Profile>,
        omissions: &mut Vec<Omission>,
    ) -> Result<Profile, ConversionError> {
        let mut profile = match base {
            Some(base) => base,
            None => Profile { programs: Vec::new(), ..smallest()? },
        };
        profile.name = name_of(name);
        if let Some(programs) = self.programs {
            profile.programs = programs;
        }
        if let Some(entry) = entry {
            set_entry(&mut profile.programs, entry);
        }
        if !profile.programs.iter().any(|program| program.entry) {
            let programs = profile.programs.iter().map(|program| program.place.path().to_owned());
            return Err(ConversionError::NoCommand(programs.collect()));
        }
        if let Some(files) = self.files {
            profile.files = files;
        }
        if let Some(network) = self.network {
            profile.network = network;
        }
        if let Some(capabilities) = self.capabilities {
            profile.capabilities = capabilities;
        }
        if let Some(allow) = self.syscalls {
            profile.syscalls.allow = allow;
            // The file lists all that may be called.
            profile.syscalls.exact = true;
            profile.syscalls.startup_only.clear();
            profile.ready = None;
        }
        spare_programs(&mut profile, omissions);
        // A profile that exists is valid: it is read as any other.
        let read = profile::read(profile::write(&profile).as_bytes());
        read.map(|document| document.profile).map_err(ConversionError::NotProfile)
    }
}

/// A profile that grants the start of a dynamic program and nothing else; its one program is none of the
/// import's.
fn smallest() -> Result<Profile, ConversionError> {
    const TEXT: &str = r#"{ "remit": 1, "name": "x", "programs": [{ "path": "/x", "entry": true }],
        "files": [{ "group": "@runtime", "why": "what a dynamic program needs to start" }] }"#;
    profile::read(TEXT.as_bytes()).map(|document| document.profile).map_err(ConversionError::NotProfile)
}

/// A group of files.
pub(super) fn group(group: FileGroup, why: &str) -> FileEntry {
    FileEntry::Group(Entry { what: group, why: Some(why.to_owned()) })
}

/// A program of one file.
pub(super) fn program(path: PathBuf) -> Program {
    Program {
        place: ProgramPlace::Path(path),
        from_image: false,
        entry: false,
        interpreter: None,
        may_run: Vec::new(),
        args: None,
        applet: None,
        sha256: None,
        user: None,
        instances: None,
        libraries: None,
        why: None,
    }
}

/// Lets each of these programs that `runs` execute every one of `run`.
pub(super) fn connect(programs: &mut [Program], runs: impl Fn(&Path) -> bool, run: &[PathBuf]) {
    let transition =
        |path: &PathBuf| Entry { what: Transition { path: path.clone(), applet: None }, why: None };
    for program in programs.iter_mut().filter(|program| runs(program.place.path())) {
        program.may_run = run.iter().map(transition).collect();
    }
}

/// Marks the program as the only entry, and adds it where it is not there.
fn set_entry(programs: &mut Vec<Program>, entry: &Path) {
    for program in programs.iter_mut() {
        program.entry = program.place.path() == entry;
    }
    if !programs.iter().any(|program| program.entry) {
        // It may run what any other may.
        let mut run: Vec<Entry<Transition>> = Vec::new();
        for transition in programs.iter().flat_map(|program| &program.may_run) {
            if !run.contains(transition) {
                run.push(transition.clone());
            }
        }
        programs.insert(0, Program { entry: true, may_run: run, ..program(entry.to_owned()) });
    }
}

/// Takes the rights to change programs and /proc, which no profile may grant.
fn spare_programs(profile: &mut Profile, omissions: &mut Vec<Omission>) {
    let programs: Vec<PathBuf> =
        profile.programs.iter().map(|program| program.place.path().to_owned()).collect();
    let changing = Rights::WRITE | Rights::CREATE | Rights::REMOVE;
    let mut files = Vec::new();
    for entry in std::mem::take(&mut profile.files) {
        let FileEntry::Path(mut rule) = entry else {
            files.push(entry);
            continue;
        };
        let at_proc = rule.path.starts_with("/proc") || rule.path == Path::new("/");
        let victim = programs.iter().find(|path| path.starts_with(&rule.path));
        if rule.allow.intersects(changing) && (at_proc || victim.is_some()) {
            let what = match victim {
                Some(victim) => format!("{} is a program", victim.display()),
                None => "programs could be patched through /proc".to_owned(),
            };
            omissions.push(Omission::new(
                rule.path.display().to_string(),
                format!("{what}, so no right to write, create or remove is granted"),
            ));
            rule.allow -= changing;
        }
        if !rule.allow.is_empty() {
            files.push(FileEntry::Path(rule));
        }
    }
    profile.files = files;
}

/// Rights by path, with the rights of all that names them; in the order of the paths.
#[derive(Debug, Default)]
pub(super) struct RightsByPath(std::collections::BTreeMap<PathBuf, Rights>);

impl RightsByPath {
    pub fn add(&mut self, path: PathBuf, rights: Rights) {
        *self.0.entry(path).or_default() |= rights;
    }

    /// Takes rights away from the paths of which this is true.
    pub fn take(&mut self, rights: Rights, is_it: impl Fn(&Path) -> bool) {
        for (_, granted) in self.0.iter_mut().filter(|(path, _)| is_it(path)) {
            *granted -= rights;
        }
    }

    /// Whether some of these rights are granted on a path of which this is true.
    pub fn grants(&self, rights: Rights, is_it: impl Fn(&Path) -> bool) -> bool {
        self.0.iter().any(|(path, granted)| granted.intersects(rights) && is_it(path))
    }

    /// Whether a directory above has all these rights.
    fn covers(&self, path: &Path, rights: Rights) -> bool {
        path.ancestors().any(|above| self.0.get(above).is_some_and(|granted| granted.contains(rights)))
    }

    /// The entries of a profile; what a directory above grants is left out. The image of the import
    /// need not be the one of the profile, so none has to be there.
    pub fn entries(&self) -> Vec<FileEntry> {
        let mut entries = Vec::new();
        for (path, rights) in &self.0 {
            let above = path.parent().is_some_and(|above| self.covers(above, *rights));
            if !above && !rights.is_empty() {
                entries.push(FileEntry::Path(FileRule {
                    path: path.clone(),
                    allow: *rights,
                    optional: true,
                    why: None,
                }));
            }
        }
        entries
    }
}

/// A path as a profile has them: one `/` at a time, none at the end.
///
/// # Errors
/// It is not absolute, goes through `..`, or has a NUL byte.
pub(super) fn path(text: &str) -> Result<PathBuf, TextError> {
    let mut normal = String::with_capacity(text.len());
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        normal.push('/');
        normal.push_str(part);
    }
    if !text.starts_with('/') {
        return profile::path(text);
    }
    profile::path(if normal.is_empty() { "/" } else { &normal })
}

/// An endpoint with any address and these ports.
pub(super) fn every(word: &str) -> Option<Endpoint> {
    profile::endpoint(word).ok()
}

/// A name as a profile has them: 1–64 of `[a-z0-9._-]`.
pub fn name_of(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let fits = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let name: String = lower.chars().map(fits).take(64).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_fit_the_format() {
        assert_eq!(name_of("Deployment Nginx/x\u{1b}[2J"), "deployment-nginx-x--2j");
        assert_eq!(name_of("\u{1b}"), "imported");
        assert_eq!(name_of(&"a".repeat(99)).len(), 64);
        assert_eq!(path("/a//b/./c/").unwrap(), Path::new("/a/b/c"));
        assert_eq!(path("/").unwrap(), Path::new("/"));
        assert!(path("a/b").is_err() && path("/a/../b").is_err() && path("/a\0").is_err());
    }

    #[test]
    fn no_right_to_change_a_program_is_granted() {
        let mut files = RightsByPath::default();
        files.add("/usr".into(), Rights::READ | Rights::WRITE);
        files.add("/usr/share/x".into(), Rights::READ);
        files.add("/proc/self/attr".into(), Rights::WRITE);
        let mut omissions = Vec::new();
        let imported = Imported {
            programs: Some(vec![program("/usr/bin/a".into())]),
            files: Some(files.entries()),
            ..Imported::default()
        };
        let entry = Path::new("/usr/bin/a");
        let made = imported.profile("x", Some(entry), None, &mut omissions).expect("a profile");
        let text = profile::write(&made);
        assert!(text.contains(r#"{ "path": "/usr", "allow": ["read"], "optional": true }"#), "{text}");
        assert!(!text.contains("/proc") && !text.contains("share"), "{text}");
        assert_eq!(omissions.len(), 2, "{omissions:?}");
    }
}
