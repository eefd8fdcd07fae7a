//! Programs: who may execute what.
//!
//! The kernel guarantees the union (Landlock's EXECUTE on every program, loader
//! and interpreter); the edges, and that a loader or an interpreter is not run by
//! itself, are narrowed here on what the caller's memory said.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Refusal, Rulebook};
use crate::event::{Kind, Object, Want};
use crate::image::FileId;

/// The file that a call wants to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Device and inode.
    pub id: FileId,
    /// Where it is, links resolved.
    pub canonical: PathBuf,
    /// As the app named it, where that is a path of its own; for people.
    pub named: PathBuf,
    /// It is an ELF loader, which runs whatever it is given.
    pub loader: bool,
}

impl Rulebook {
    /// Judges an exec by the program entry `caller`; `None` where it could not be
    /// found out which that is. The answer is the entry that the process then is.
    ///
    /// # Errors
    /// The refusal.
    pub fn exec(&self, caller: Option<usize>, target: &Target) -> Result<usize, Box<Refusal>> {
        let entries = self.entries(target.id, &target.canonical, target.loader);
        let index = caller.map(|entry| self.policy.programs[entry].index);
        let want = Want::Program { path: target.named.clone(), caller: index };
        if entries.is_empty() {
            // A loader is never a program, and a file without a name cannot be listed.
            let nameless = target.canonical.to_string_lossy().ends_with(" (deleted)");
            let want = (!target.loader && !nameless).then_some(want);
            return Err(refuse(&target.named, "/programs".into(), want));
        }
        let Some(caller) = caller else {
            return Err(refuse(&target.named, "/programs".into(), None));
        };
        let edges = &self.policy.programs[caller].may_run;
        // Edges are places in the profile; entries that are not in the image have one
        // there and none here.
        match entries.iter().find(|entry| edges.contains(&self.policy.programs[**entry].index)) {
            Some(entry) => Ok(*entry),
            None => {
                let rule = format!("/programs/{}/may_run", self.policy.programs[caller].index);
                Err(refuse(&target.named, rule.into(), Some(want)))
            }
        }
    }

    /// Judges COMMAND itself, which the supervisor executes.
    ///
    /// # Errors
    /// The refusal.
    pub fn command(&self, target: &Target) -> Result<usize, Box<Refusal>> {
        let entry = self
            .entries(target.id, &target.canonical, target.loader)
            .into_iter()
            .find(|entry| self.policy.programs[*entry].entry);
        let want = Want::Command(target.named.clone());
        entry.ok_or_else(|| refuse(&target.named, "/programs".into(), Some(want)))
    }

    /// Which entries a running image may be: by its file, or as the interpreter of
    /// a script. More than one script may share an interpreter.
    pub fn running(&self, exe: FileId, canonical: &Path) -> Vec<usize> {
        let own = self.entries(exe, canonical, false);
        let programs = self.policy.programs.iter().enumerate();
        let scripts =
            programs.filter(|(_, program)| program.interpreter == Some(exe)).map(|(index, _)| index);
        own.into_iter().chain(scripts).collect()
    }

    /// Whether an image can tell by itself which entry a process is. A script below a
    /// granted directory may run as anything.
    pub fn images_tell(&self) -> bool {
        self.beneath.is_empty()
    }

    /// The one entry that runs this image, where the image alone tells: nothing is
    /// granted by directory, and no other entry has it as its file or interpreter.
    pub fn entry_of_image(&self, exe: FileId) -> Option<usize> {
        if !self.images_tell() {
            return None;
        }
        match self.running(exe, Path::new(""))[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether a process of this entry runs that image.
    pub fn runs_as(&self, entry: usize, exe: FileId, canonical: &Path) -> bool {
        self.running(exe, canonical).contains(&entry)
            // A script below a directory runs its interpreter, which is below one too.
            || self.beneath.iter().any(|(_, index)| *index == entry) && self.runs(exe, canonical)
    }

    /// The path that the profile has for an entry.
    pub fn program_path(&self, entry: usize) -> &Path {
        &self.policy.programs[entry].path
    }

    /// Whether the entry names one file, so that its path is what runs.
    pub fn is_file(&self, entry: usize) -> bool {
        matches!(self.policy.programs[entry].target, crate::plan::ProgramTarget::File(_))
    }

    fn entries(&self, id: FileId, canonical: &Path, loader: bool) -> Vec<usize> {
        if let Some(own) = self.programs.get(&id) {
            return own.clone();
        }
        // A loader or an interpreter is executable for another's sake; below a
        // directory of programs an interpreter is a program as well.
        if loader || self.policy.derived.get(&id) == Some(&crate::plan::Role::Loader) {
            return Vec::new();
        }
        let below = self.beneath.iter().filter(|(dir, _)| canonical.starts_with(dir));
        below.map(|(_, index)| *index).collect()
    }
}

fn refuse(path: &Path, rule: std::borrow::Cow<'static, str>, want: Option<Want>) -> Box<Refusal> {
    Box::new(Refusal { kind: Kind::Program, errno: Errno::EACCES, object: Object::program(path), rule, want })
}
