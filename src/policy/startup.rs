//! Calls that are asked about because of a start-up that ends: what they would be
//! otherwise, and whether they are taken away once it has. By registers alone, which
//! nobody can change meanwhile.

use nix::errno::Errno;

use super::call::Call;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, Want};
use crate::filter::{Action, may_hold};

impl PolicyEngine {
    /// Whether a call is asked about for the start-up's sake.
    pub fn is_early(&self, name: &str) -> bool {
        self.policy.startup.as_ref().is_some_and(|startup| startup.before.contains_key(name))
    }

    /// Whether the filter would let it through unasked if there were no end of a start-up.
    pub fn goes_unasked(&self, call: &Call) -> bool {
        self.filter.verdict(call.number, &call.args) == Action::Allow
    }

    /// A call that is taken away once start-up is over.
    pub fn taken_away(&self, call: &Call) -> Option<Box<Denial>> {
        let name = call.name?;
        let when = self.policy.startup.as_ref()?.taken.get(name)?;
        let holds = |all: &Vec<_>| all.iter().all(|one| may_hold(name, one, &call.args));
        when.iter().any(holds).then(|| {
            Box::new(Denial {
                kind: ViolationKind::Syscall,
                errno: Errno::EPERM,
                object: call.object(),
                rule: "/syscalls/startup_only".into(),
                want: Some(Want::AfterStartup(name.to_owned())),
            })
        })
    }
}
