//! Rules with `deny`. They have precedence over every rule that allows, wherever these are, so they are
//! applied last. A profile takes nothing away: what is denied is taken out of what was granted, and
//! where that grants more than can be taken out, the denial is not carried over.

use std::path::Path;

use super::RuleReader;
use super::glob::PathGlob;
use super::network::SocketRule;
use super::permissions::Permissions;
use crate::plan::{DEVICES, KERNELS, NAMES, OWN_PROCESS, RUNTIME};
use crate::profile::{Capability, FileEntry, FileGroup, Rights};

/// A rule with `deny`.
pub struct DenyRule {
    /// Its line.
    pub line: usize,
    /// As it was written.
    pub text: String,
    /// What it denies.
    pub what: Denied,
}

/// What a rule denies.
pub enum Denied {
    /// `capability`.
    Capabilities(Vec<Capability>),
    /// `network`, or `unix`.
    Sockets(SocketRule),
    /// Paths.
    Files(Vec<PathGlob>, Permissions),
    /// `file`.
    EveryFile,
}

impl RuleReader<'_> {
    /// Takes away what is denied, with a line for each denial that something still grants a part of.
    pub(super) fn apply_denials(&mut self) {
        let denied = std::mem::take(&mut self.denied);
        for denial in &denied {
            self.take(&denial.what);
        }
        for DenyRule { line, text, what } in &denied {
            if let Some(why) = self.still_granted(what) {
                self.omit(*line, format!("{text}: {why}"));
            }
        }
    }

    fn take(&mut self, what: &Denied) {
        match what {
            Denied::Capabilities(all) => self.capabilities.retain(|one| !all.contains(one)),
            Denied::Sockets(rule) => self.sockets.deny(rule),
            Denied::Files(globs, access) => {
                let trees = &self.trees;
                for glob in globs {
                    self.files.take(access.rights, |path| match trees.contains(path) {
                        true => glob.covers_below(path),
                        false => glob.matches(path),
                    });
                }
                if access.exec.is_some() {
                    self.programs.retain(|(path, _)| !globs.iter().any(|glob| glob.matches(path)));
                }
            }
            Denied::EveryFile => {
                self.files.take(Rights::all(), |_| true);
                self.programs.clear();
                self.groups.retain(|entry| is_group(entry, FileGroup::Runtime));
            }
        }
    }

    /// What still grants a part of what is denied, and what to do.
    fn still_granted(&self, what: &Denied) -> Option<String> {
        match what {
            Denied::Capabilities(_) => None,
            Denied::Sockets(rule) => self
                .sockets
                .grants(rule)
                .then(|| "a profile takes nothing away; narrow the entries of /network".to_owned()),
            Denied::EveryFile => Some("@runtime stays, which a dynamic program needs to start".to_owned()),
            Denied::Files(globs, access) => {
                // Locks and mappings of code come with the right to read.
                let implied = if access.maps || access.locks { Rights::READ } else { Rights::NONE };
                let rights = access.rights | implied;
                if self.files.grants(rights, |path| globs.iter().any(|glob| glob.meets(path))) {
                    return Some("a profile takes nothing away; narrow the entry above it".to_owned());
                }
                let group = self.groups.iter().find_map(|entry| match entry {
                    FileEntry::Group(group) if brings(group.what, globs, rights) => Some(group.what),
                    _ => None,
                })?;
                Some(format!("{} grants it, and a profile takes nothing away", group.word()))
            }
        }
    }
}

fn is_group(entry: &FileEntry, group: FileGroup) -> bool {
    matches!(entry, FileEntry::Group(entry) if entry.what == group)
}

/// Whether a group has some of these rights on a path that one of these matches.
fn brings(group: FileGroup, globs: &[PathGlob], rights: Rights) -> bool {
    let on = |paths: &[&str], granted: Rights| {
        granted.intersects(rights)
            && paths.iter().any(|path| globs.iter().any(|glob| glob.meets(Path::new(path))))
    };
    let changed = Rights::READ | Rights::WRITE;
    match group {
        FileGroup::Runtime => {
            // AppArmor has a number where /proc/self is a link.
            let own = OWN_PROCESS.map(|path| path.replacen("self", "1", 1));
            on(RUNTIME, Rights::READ)
                || on(&["/proc"], Rights::READ)
                || on(DEVICES, changed)
                || on(&["/dev/tty"], changed)
                || on(&own.each_ref().map(String::as_str), Rights::WRITE)
        }
        FileGroup::Names => on(NAMES, Rights::READ),
        FileGroup::Elsewhere => !rights.is_empty() && globs.iter().any(|glob| !glob.is_below(&KERNELS)),
        FileGroup::Gpu => false,
    }
}
