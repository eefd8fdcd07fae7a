//! The launch as a list: the steps of the child, in order, before its exec. `enforce` performs this
//! list and nothing else, and `remit plan` prints it.

use std::fmt;

use caps::{Capability, CapsHashSet};

use super::{Plan, ResourceLimit};
use crate::ids::{self, Gid, Uid};
use crate::profile::{Mode, capability_word};

/// One irreversible step of the launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Remove variables from the environment.
    Environment(Vec<String>),
    /// Set a soft and hard limit, or a soft limit alone (setrlimit(2)).
    Limit(ResourceLimit, u64),
    /// Set PR_SET_KEEPCAPS, for permitted capabilities across the change of user.
    KeepCapabilities,
    /// Drop capabilities from the bounding set.
    Bounding(Vec<Capability>),
    /// Set the supplementary groups.
    Groups(Vec<Gid>),
    /// Set the gid.
    Group(Gid),
    /// Set the uid.
    User(Uid),
    /// Lock the securebits that decide how a change of user changes capabilities, even for an app with
    /// CAP_SETPCAP.
    SecureBits,
    /// Set the final permitted, effective and inheritable sets.
    Capabilities(Vec<Capability>),
    /// Raise capabilities in the ambient set, after clearing it.
    Ambient(Vec<Capability>),
    /// Set no_new_privs: set-user-ID bits and file capabilities have no effect from here on.
    NoNewPrivileges,
    /// Set and lock the securebits by which interpreters only run files that may be executed, and no
    /// text from a terminal or pipe (Linux 6.14).
    ExecBits,
    /// Set the parent-death signal to SIGKILL, so that the app ends with the supervisor.
    ParentDeathSignal,
    /// Set PR_SET_MDWE: no memory that was written may become executable.
    Mdwe,
    /// Set close-on-exec on inherited descriptors.
    CloseOnExec,
    /// Enter the Landlock domain.
    Landlock,
    /// Load the filter and pass its listener to the supervisor.
    Seccomp,
    /// Load the filter without a listener, where the kernel gives none.
    SeccompWithoutNotifier,
    /// Execute COMMAND, which ends the launch.
    Exec,
}

impl Plan {
    /// The steps of the child, in order.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.environment_drop.is_empty() {
            steps.push(Step::Environment(self.environment_drop.clone()));
        }
        steps.extend(self.limits.iter().map(|(limit, value)| Step::Limit(*limit, *value)));
        let enforce = self.mode == Mode::Enforce;
        let learn = self.mode == Mode::Learn;
        if self.run_as.is_some() && !learn {
            steps.push(Step::KeepCapabilities);
        }
        if enforce && self.capabilities.drop_bounding {
            let keep = &self.capabilities.app;
            let all = caps::all();
            steps.push(Step::Bounding(sorted(&all.difference(keep).copied().collect())));
        }
        if let Some(ids) = &self.run_as {
            steps.extend([Step::Groups(ids.groups.clone()), Step::Group(ids.group), Step::User(ids.user)]);
        }
        if enforce && self.capabilities.drop_bounding {
            steps.push(Step::SecureBits);
        }
        if enforce || (self.run_as.is_some() && !learn) {
            steps.push(Step::Capabilities(sorted(&self.capabilities.app)));
            steps.push(Step::Ambient(sorted(&self.capabilities.ambient)));
        }
        steps.push(Step::NoNewPrivileges);
        if enforce && self.policy.scripts && self.kernel.exec_bits {
            steps.push(Step::ExecBits);
        }
        steps.push(Step::ParentDeathSignal);
        if self.mdwe {
            steps.push(Step::Mdwe);
        }
        steps.push(Step::CloseOnExec);
        if self.landlock.is_some() {
            steps.push(Step::Landlock);
        }
        if self.kernel.notify.is_ok() {
            steps.push(Step::Seccomp);
        } else if enforce {
            steps.push(Step::SeccompWithoutNotifier);
        }
        steps.push(Step::Exec);
        steps
    }
}

/// A set in the order of the kernel's numbers.
pub(super) fn sorted(set: &CapsHashSet) -> Vec<Capability> {
    crate::profile::in_order(set)
}

/// `chown setuid`, or `none`.
pub(super) fn names(list: &[Capability]) -> String {
    let names: Vec<_> = list.iter().copied().map(capability_word).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Environment(drop) => {
                write!(f, "environment: drop, the loader's by what they name, {}", drop.join(" "))
            }
            Step::Limit(limit, value) => write!(f, "limit: {} {value}", limit.name()),
            Step::KeepCapabilities => f.write_str("keep-caps: through the change of user"),
            Step::Bounding(drop) => write!(f, "bounding set: drop {}", names(drop)),
            Step::Groups(groups) => write!(f, "groups: {}", ids::list(groups)),
            Step::Group(gid) => write!(f, "gid: {gid}"),
            Step::User(uid) => write!(f, "uid: {uid}"),
            Step::SecureBits => f.write_str("securebits: noroot and no_setuid_fixup stay off, locked"),
            Step::Capabilities(keep) => write!(f, "capabilities: {}", names(keep)),
            Step::Ambient(raise) => write!(f, "ambient: {}", names(raise)),
            Step::NoNewPrivileges => f.write_str("no_new_privs"),
            Step::ExecBits => f.write_str("securebits: interpreters run files that may be executed, locked"),
            Step::ParentDeathSignal => f.write_str("parent-death signal: KILL"),
            Step::Mdwe => f.write_str("mdwe: no memory becomes executable"),
            Step::CloseOnExec => f.write_str("descriptors: close from 3 at the exec"),
            Step::Landlock => f.write_str("landlock: enter the domain"),
            Step::Seccomp => f.write_str("seccomp: load the filter, hand over the listener"),
            Step::SeccompWithoutNotifier => f.write_str("seccomp: load the filter; no call is notified"),
            Step::Exec => f.write_str("exec"),
        }
    }
}
