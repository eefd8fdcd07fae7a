//! Verdicts, pure: compares a notified call with the policy. Nothing here reads, resolves or
//! responds; the [enforcer](crate::enforcer) does, and passes in what it has read.
//!
//! A verdict is never the only barrier between an attacker and what the profile denies: where it
//! lets a call continue, the kernel decides again, by Landlock and by the registers (see
//! docs/guarantees.md). Where the kernel would have to grant more than the profile does, the
//! supervisor performs the call itself, on its own copy of the arguments.

#![forbid(unsafe_code)]

pub mod args;
pub mod arguments;
pub mod call;
pub mod data;
pub mod file;
pub mod initial_stack;
pub mod inode;
pub mod libraries;
pub mod network;
pub mod program;
mod quiet;
mod settled;
pub mod started;
mod startup;
mod unreadable;
pub mod variables;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use crate::event::{ViolationKind, ViolationObject, Want};
use crate::filter::Filter;
use crate::image::FileId;
use crate::plan::{Plan, Policy, ProgramIndex, ProgramTarget};
use crate::profile::{Mode, Rights};

/// A call that the policy denies: the errno for the app, and the content of the event.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// The kind of the violation, by the section of the profile.
    pub kind: ViolationKind,
    /// The errno that the call fails with.
    pub errno: Errno,
    /// The object that the call would have accessed.
    pub object: ViolationObject,
    /// JSON Pointer of the key that does not allow it.
    pub rule: Cow<'static, str>,
    /// The grant that the profile would need; `None` where no profile can grant it.
    pub want: Option<Want>,
}

/// The policy with its lookup tables: built once, used for every notified call.
#[derive(Debug)]
pub struct PolicyEngine {
    policy: Arc<Policy>,
    grants: HashMap<PathBuf, Vec<usize>>,
    /// Granted names to which another inode may be moved, because of a grant around them.
    tracked: HashMap<PathBuf, Rights>,
    /// Granted directories, with all below, to whose names another one may be moved.
    movable: Vec<(PathBuf, FileId)>,
    rules: HashMap<PathBuf, (FileId, BitFlags<AccessFs>)>,
    handled: BitFlags<AccessFs>,
    protected: HashMap<FileId, PathBuf>,
    programs: HashMap<FileId, Vec<ProgramIndex>>,
    beneath: Vec<Beneath>,
    /// Interpreters of listed scripts.
    interpreters: HashSet<FileId>,
    /// Variables for interpreters in the container's environment, unchanged.
    inherited: HashSet<Vec<u8>>,
    /// Execs are verified before the first instruction (post-exec verification).
    checks: bool,
    /// The filter as it would be if start-up never ended.
    filter: Filter,
    /// The capabilities, as bits, that the launch drops from the bounding set.
    dropped: u64,
    /// A process may have another root than the supervisor.
    roots_differ: AtomicBool,
}

fn dropped(plan: &Plan) -> u64 {
    let drops = plan.mode == Mode::Enforce && plan.capabilities.drop_bounding;
    if drops { plan.capabilities.app.iter().fold(u64::MAX, |all, one| all & !one.bitmask()) } else { 0 }
}

/// A directory of programs.
#[derive(Debug)]
struct Beneath {
    directory: PathBuf,
    entry: ProgramIndex,
    /// Only files of the image are programs there.
    from_image: bool,
}

impl PolicyEngine {
    /// Builds the lookup tables of a plan.
    pub fn new(plan: &Plan) -> PolicyEngine {
        let policy = Arc::clone(&plan.policy);
        let mut grants: HashMap<PathBuf, Vec<usize>> = HashMap::new();
        for (index, grant) in policy.files.iter().enumerate() {
            grants.entry(grant.path.clone()).or_default().push(index);
        }
        let landlock = plan.landlock.as_ref();
        let rules = landlock.iter().flat_map(|l| &l.rules).map(|r| (r.path.clone(), (r.id, r.rights)));
        let mut programs: HashMap<FileId, Vec<ProgramIndex>> = HashMap::new();
        let (mut beneath, mut from_image) = (Vec::new(), Vec::new());
        for (index, program) in policy.indexed_programs() {
            match &program.target {
                ProgramTarget::File(id) => programs.entry(*id).or_default().push(index),
                ProgramTarget::Beneath(path) => {
                    let those = if program.from_image { &mut from_image } else { &mut beneath };
                    those.push(Beneath {
                        directory: path.clone(),
                        entry: index,
                        from_image: program.from_image,
                    });
                }
            }
        }
        beneath.append(&mut from_image);
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
            dropped: dropped(plan),
            checks: plan.checks,
            filter: plan.lasting_filter(),
            roots_differ: AtomicBool::new(false),
            policy,
        }
    }

    /// Sets the environment that the container was started with.
    #[must_use]
    pub fn started_with<'a>(
        mut self,
        environment: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> PolicyEngine {
        let ours = environment.filter(|(name, value)| self.policy.variable_of_scripts(name, value).is_some());
        self.inherited = ours.map(|(name, value)| [name, b"=", value].concat()).collect();
        self
    }

    /// Notes that a call continues by which a process may change its root (chroot(2)): from now on a
    /// path may lead some callers elsewhere.
    pub fn root_changes(&self) {
        self.roots_differ.store(true, Ordering::SeqCst);
    }

    /// Whether a process may have another root than the supervisor.
    pub fn roots_differ(&self) -> bool {
        self.roots_differ.load(Ordering::SeqCst)
    }

    /// The policy without its lookup tables.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether execs are verified before the first instruction.
    pub fn checks(&self) -> bool {
        self.checks
    }

    /// Whether no process inside may change this file, under whatever name.
    pub fn is_protected(&self, id: FileId) -> bool {
        self.protected.contains_key(&id)
    }

    /// Whether the file is a program, or below a directory of programs.
    fn runs(&self, id: FileId, canonical: &Path) -> bool {
        self.programs.contains_key(&id)
            || self.policy.derived.contains_key(&id)
            || self.beneath(canonical).next().is_some()
    }

    /// Whether the decision on a file at this path depends on its being of the image.
    pub fn asks_for_origin(&self, canonical: &Path) -> bool {
        self.beneath(canonical).next().is_some_and(|beneath| self.asks(beneath, canonical))
    }

    /// Whether only a file of the image runs at this path below a directory of programs.
    fn asks(&self, beneath: &Beneath, canonical: &Path) -> bool {
        beneath.from_image || canonical.parent().is_some_and(|directory| self.may_be_data(directory))
    }

    /// The directories of programs that a path lies below, where it is no data there; those first
    /// of which every file is a program.
    fn beneath<'a>(&'a self, canonical: &'a Path) -> impl Iterator<Item = &'a Beneath> + 'a {
        let is_data = self.policy.never_run.iter().any(|data| canonical.starts_with(data));
        self.beneath.iter().filter(move |beneath| !is_data && canonical.starts_with(&beneath.directory))
    }
}

#[cfg(test)]
mod tests;
