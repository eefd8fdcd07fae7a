//! A caller whose memory or descriptors cannot be read. The arguments of such a call are unknown,
//! so it is denied.

use nix::errno::Errno;

use super::call::Call;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject};
use crate::filter::may_hold;
use crate::syscalls::Handler;

impl PolicyEngine {
    /// Denies a call whose path, address or descriptor could not be read.
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

    /// Whether the profile allows a prctl(PR_SET_DUMPABLE).
    pub fn may_set_dumpable(&self, call: &Call) -> bool {
        let holds = |all: &Vec<_>| all.iter().all(|one| may_hold("prctl", one, &call.args));
        self.policy.dumpable.iter().any(holds)
    }
}
