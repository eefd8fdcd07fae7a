//! Verdicts, pure: the policy against what a notified call would do. Nothing here
//! reads, resolves or answers; the [enforcer](crate::enforcer) does, and passes in what it
//! has read.
//!
//! A verdict never stands alone between an attacker and what the profile refuses:
//! where it lets a call go on, the kernel decides again, by Landlock and by the
//! registers (see docs/guarantees.md). Where the kernel would
//! have to be asked for more than the profile grants, the supervisor performs the
//! call itself, on its own copy of the arguments.

#![forbid(unsafe_code)]

pub mod args;
pub mod arguments;
pub mod call;
pub mod file;
pub mod initial_stack;
pub mod inode;
pub mod libraries;
pub mod network;
pub mod program;
pub mod started;
mod startup;
mod unreadable;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use crate::event::{ViolationKind, ViolationObject, Want};
use crate::filter::Filter;
use crate::image::FileId;
use crate::plan::{Plan, Policy, ProgramIndex, ProgramTarget};
use crate::profile::Rights;

/// A call that the policy denies: the errno that the app gets, and all that an event has.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// The kind of the violation, by the section of the profile.
    pub kind: ViolationKind,
    /// The errno that the call fails with.
    pub errno: Errno,
    /// What the call would have used.
    pub object: ViolationObject,
    /// JSON Pointer of what does not allow it.
    pub rule: Cow<'static, str>,
    /// What the profile would have to grant; none where no profile can.
    pub want: Option<Want>,
}

/// The policy with its lookups: made once, asked for every notified call.
#[derive(Debug)]
pub struct PolicyEngine {
    policy: Arc<Policy>,
    grants: HashMap<PathBuf, Vec<usize>>,
    /// Names that are granted by themselves and that what is granted around them lets be
    /// given to another inode.
    tracked: HashMap<PathBuf, Rights>,
    /// Directories that are granted with all below them and that may be exchanged so.
    movable: Vec<(PathBuf, FileId)>,
    rules: HashMap<PathBuf, (FileId, BitFlags<AccessFs>)>,
    handled: BitFlags<AccessFs>,
    protected: HashMap<FileId, PathBuf>,
    programs: HashMap<FileId, Vec<ProgramIndex>>,
    beneath: Vec<(PathBuf, ProgramIndex)>,
    /// Interpreters of listed scripts.
    interpreters: HashSet<FileId>,
    /// Variables for interpreters that the container was started with, as they were.
    inherited: HashSet<Vec<u8>>,
    /// What was executed is looked at before its first instruction.
    checks: bool,
    /// As it would be if start-up never ended.
    filter: Filter,
}

impl PolicyEngine {
    /// The lookups for a plan.
    pub fn new(plan: &Plan) -> PolicyEngine {
        let policy = Arc::clone(&plan.policy);
        let mut grants: HashMap<PathBuf, Vec<usize>> = HashMap::new();
        for (index, grant) in policy.files.iter().enumerate() {
            grants.entry(grant.path.clone()).or_default().push(index);
        }
        let landlock = plan.landlock.as_ref();
        let rules = landlock.iter().flat_map(|l| &l.rules).map(|r| (r.path.clone(), (r.id, r.rights)));
        let mut programs: HashMap<FileId, Vec<ProgramIndex>> = HashMap::new();
        let mut beneath = Vec::new();
        for (index, program) in policy.indexed_programs() {
            match &program.target {
                ProgramTarget::File(id) => programs.entry(*id).or_default().push(index),
                ProgramTarget::Beneath(path) => beneath.push((path.clone(), index)),
            }
        }
        let exposed = inode::exposed(&policy);
        PolicyEngine {
            rules: rules.collect(),
            handled: landlock.map_or(BitFlags::empty(), |l| l.handled),
            protected: policy.protected.iter().cloned().collect(),
            tracked: inode::tracked(&exposed),
            movable: inode::movable(&exposed),
            grants,
            programs,
            beneath,
            interpreters: policy.programs.iter().filter_map(|program| program.interpreter).collect(),
            inherited: HashSet::new(),
            checks: plan.checks,
            filter: plan.lasting_filter(),
            policy,
        }
    }

    /// With the environment that the container was started with.
    #[must_use]
    pub fn started_with<'a>(
        mut self,
        environment: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> PolicyEngine {
        let ours = environment.filter(|(name, value)| self.policy.is_for_interpreters(name, value));
        self.inherited = ours.map(|(name, value)| [name, b"=", value].concat()).collect();
        self
    }

    /// What it was made from.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether what was executed is looked at before its first instruction.
    pub fn checks(&self) -> bool {
        self.checks
    }

    /// Whether nobody inside may change this file, under whatever name.
    pub fn is_protected(&self, id: FileId) -> bool {
        self.protected.contains_key(&id)
    }

    /// Whether the file is a program, or below a directory of programs.
    fn runs(&self, id: FileId, canonical: &Path) -> bool {
        self.programs.contains_key(&id)
            || self.policy.derived.contains_key(&id)
            || self.beneath.iter().any(|(dir, _)| canonical.starts_with(dir))
    }
}

#[cfg(test)]
mod tests;
