//! Calls that are notified because of a start-up that ends: their access otherwise, and whether
//! they are denied after it. By registers alone, which no other thread can change meanwhile.

use nix::errno::Errno;

use super::call::Call;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, Want};
use crate::filter::{Action, may_hold};

impl PolicyEngine {
    /// Whether a call is notified because of the start-up.
    pub fn is_early(&self, name: &str) -> bool {
        self.policy.startup.as_ref().is_some_and(|startup| startup.before.contains_key(name))
    }

    /// Whether the filter would allow it if start-up never ended.
    pub fn goes_unnotified(&self, call: &Call) -> bool {
        self.filter.verdict(call.number, &call.args) == Action::Allow
    }

    /// Denies a call that the profile removes once start-up is over.
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
