//! A caller that cannot be read: neither its memory nor its descriptors. What such a call
//! asks for is not known, so it is refused.

use nix::errno::Errno;

use super::call::Call;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject};
use crate::filter::may_hold;
use crate::syscalls::Handler;

impl PolicyEngine {
    /// A call whose path, address or descriptor could not be read.
    pub fn unreadable(&self, call: &Call) -> Box<Denial> {
        let (kind, rule) = match call.handler() {
            Handler::Exec => (ViolationKind::Program, "/programs"),
            Handler::Socket | Handler::Bind | Handler::Connect | Handler::Listen => {
                (ViolationKind::Network, "/network")
            }
            Handler::SocketOption | Handler::Send => (ViolationKind::Network, "/network"),
            Handler::Open | Handler::Change(_) => (ViolationKind::File, "/files"),
            _ => (ViolationKind::Syscall, "/syscalls"),
        };
        let object = ViolationObject::Name { name: "unreadable".into() };
        Box::new(Denial { kind, errno: Errno::EACCES, object, rule: rule.into(), want: None })
    }

    /// Whether the profile lets a prctl(PR_SET_DUMPABLE) be.
    pub fn may_set_dumpable(&self, call: &Call) -> bool {
        let holds = |all: &Vec<_>| all.iter().all(|one| may_hold("prctl", one, &call.args));
        self.policy.dumpable.iter().any(holds)
    }
}
