//! What is known of files that were executed or mapped.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::image::FileId;
use crate::plan::ProgramIndex;
use crate::plan::environment::named::{NamedPath, PathUse};
use crate::policy::PolicyEngine;
use crate::policy::started::{FileContents, NotYet, Script, Stamp, StartedProgram};
use crate::policy::variables::{Places, Unsettled};

/// Facts of files, so that none is read twice: each by the inode and its time of change.
#[derive(Debug, Default)]
pub struct FileFacts {
    /// By entry, files that may be mapped as code, as `/proc/PID/maps` shows a mapping of them.
    pub(super) code: HashMap<(ProgramIndex, PathBuf, FileId), ()>,
    pub(super) loaders: HashMap<(FileId, Stamp), bool>,
    pub(super) digests: HashMap<(FileId, Stamp), String>,
    pub(super) scripts: HashMap<Vec<u8>, Script>,
    /// Paths that variables name and that no process inside can change, by their use.
    pub(super) settled: HashMap<(Vec<u8>, PathUse), ()>,
}

/// More files than an image has programs; where a map has so many it is cleared.
const MANY: usize = 4096;
/// The longest path by which a script, or what a variable names, is remembered: the app may spell one in any number of
/// ways, each up to 4096 bytes long.
pub(super) const LONGEST: usize = 256;

impl FileFacts {
    pub(super) fn remember<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
        if map.len() >= MANY {
            map.clear();
        }
        map.insert(key, value);
    }
}

/// The facts that are known, without reading a file.
pub struct KnownFacts<'a>(pub &'a Mutex<FileFacts>, pub &'a PolicyEngine);

impl Places for KnownFacts<'_> {
    fn settled(&self, named: NamedPath) -> Result<Result<(), Unsettled>, NotYet> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.settled.contains_key(&(named.path.to_vec(), named.used));
        if known && !self.1.roots_differ() { Ok(Ok(())) } else { Err(NotYet) }
    }
}

impl FileContents for KnownFacts<'_> {
    fn is_loader(&self, started: &StartedProgram) -> Result<bool, NotYet> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.loaders.get(&(started.id, started.stamp)).copied().ok_or(NotYet)
    }

    fn script(&self, path: &[u8]) -> Result<Option<Script>, NotYet> {
        // Under another root the path leads elsewhere.
        if self.1.roots_differ() {
            return Err(NotYet);
        }
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.scripts.get(path).cloned().map(Some).ok_or(NotYet)
    }

    fn digest(&self, started: &StartedProgram, script: Option<&Script>) -> Result<Option<String>, NotYet> {
        if script.is_some() {
            return Err(NotYet);
        }
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.digests.get(&(started.id, started.stamp)).cloned().map(Some).ok_or(NotYet)
    }
}
