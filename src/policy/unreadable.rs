//! A caller that cannot be read: neither its memory nor its descriptors. What such a call
//! asks for is not known, so it is refused.

use nix::errno::Errno;

use super::call::Call;
use super::{Refusal, Rulebook};
use crate::event::{Kind, Object};
use crate::filter::may_hold;

impl Rulebook {
    /// A call whose path, address or descriptor could not be read.
    pub fn unreadable(&self, call: &Call) -> Box<Refusal> {
        let (kind, rule) = match call.name.unwrap_or_default() {
            "execve" | "execveat" => (Kind::Program, "/programs"),
            "socket" | "bind" | "connect" | "listen" | "setsockopt" | "sendto" | "sendmsg" | "sendmmsg" => {
                (Kind::Network, "/network")
            }
            "open" | "openat" | "openat2" | "creat" | "mkdir" | "mkdirat" | "mknod" | "mknodat"
            | "symlink" | "symlinkat" | "link" | "linkat" | "unlink" | "unlinkat" | "rmdir" | "rename"
            | "renameat" | "renameat2" | "truncate" => (Kind::File, "/files"),
            _ => (Kind::Syscall, "/syscalls"),
        };
        let object = Object::Name { name: "unreadable".into() };
        Box::new(Refusal { kind, errno: Errno::EACCES, object, rule: rule.into(), want: None })
    }

    /// Whether the profile lets a prctl(PR_SET_DUMPABLE) be.
    pub fn may_set_dumpable(&self, call: &Call) -> bool {
        let holds = |all: &Vec<_>| all.iter().all(|one| may_hold("prctl", one, &call.args));
        self.policy.dumpable.iter().any(holds)
    }
}
