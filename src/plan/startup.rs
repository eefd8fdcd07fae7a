//! Start-up: when it is over, which calls are denied then, and how both are determined.
//!
//! A filter cannot be widened, and cannot be tightened later either, since only the app itself
//! could load another one. So the calls to deny are notified from the start, and the supervisor's
//! response changes, once and for good.

use std::collections::BTreeMap;

use super::conditions::{AF_UNIX, Alternatives, SOCK_DGRAM, one_of};
use super::network::Sockets;
use super::{Plan, PlanError, PlanFault};
use crate::filter::{Access, Filter};
use crate::kernel::Kernel;
use crate::profile::{Endpoint, Mode, Profile, Ready, SyscallRule, endpoint_text};
use crate::syscalls::{Condition, Test, groups};

/// The start-up of a profile with `ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The condition that ends it.
    pub ready: Ready,
    /// Calls that are notified because of the start-up, with the access that each would have without
    /// it.
    pub before: BTreeMap<&'static str, Access>,
    /// Calls that are denied after it where one of these alternatives is satisfied; an empty one always
    /// is.
    pub taken: BTreeMap<&'static str, Alternatives>,
    /// The endpoints that must be listening by then.
    pub listen: Vec<Endpoint>,
    /// The socket for `READY=1`, where the profile has `ready` of `notify` and there is one.
    pub notify_transport: Option<NotifyTransport>,
}

/// The socket on which the app sends `READY=1` (sd_notify(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyTransport {
    /// One end of a socket pair of the supervisor's, which the app gets for a datagram socket that it
    /// creates: whatever address it sends to, the supervisor alone receives it.
    SocketPair,
    /// A socket with an abstract name (unix(7)), where the app may make any unix socket.
    AbstractSocket,
}

/// The calls by which libraries query the socket for READY=1: sizes of buffers (systemd), broadcast
/// (Go sets it on every socket), the addresses of its ends.
const ABOUT_ITS_SOCKET: [&str; 3] = ["getpeername", "getsockname", "getsockopt"];
/// SOL_SOCKET, and of its options SO_BROADCAST, SO_SNDBUF, SO_SNDBUFFORCE.
const SOL_SOCKET: u64 = 1;
const OPTIONS: [u64; 3] = [6, 7, 32];
const SOCK_CLOEXEC: u64 = 0o2_000_000;
const SOCK_NONBLOCK: u64 = 0o4_000;

/// The socket for `READY=1`; `None` where `ready` is another, or no descriptor can be installed in
/// the app. One end of a pair is installed as the response to its socket(2).
pub(super) fn notify_transport(
    profile: &Profile,
    kernel: &Kernel,
    mode: Mode,
    sockets: &Sockets,
) -> Option<NotifyTransport> {
    let notify = kernel.notify.as_ref().ok().filter(|_| profile.ready == Some(Ready::Notify))?;
    match mode {
        Mode::Enforce if !sockets.unix => notify.addfd_send.then_some(NotifyTransport::SocketPair),
        _ => Some(NotifyTransport::AbstractSocket),
    }
}

/// The calls of an app that sends READY=1, beyond the sends of `@core`.
pub(super) fn brings() -> Vec<(&'static str, Alternatives)> {
    let free = ["socket", "connect"].into_iter().chain(ABOUT_ITS_SOCKET).map(|call| (call, Vec::new()));
    let options = vec![vec![one_of(1, &[SOL_SOCKET]), one_of(2, &OPTIONS)]];
    free.chain([("setsockopt", options)]).collect()
}

/// A condition on socket(2) of the profile's own, without the datagram sockets of AF_UNIX: for one
/// of those the supervisor installs the end of its pair.
pub(super) fn besides_the_pair(alternative: &[Condition]) -> Alternatives {
    let of_flags = [0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK];
    let datagrams = of_flags.iter().map(|flags| SOCK_DGRAM | flags).collect();
    [(0, vec![AF_UNIX]), (1, datagrams)]
        .map(|(arg, but)| {
            let other = Condition { arg, test: Test::NotIn(but) };
            alternative.iter().cloned().chain([other]).collect()
        })
        .into()
}

impl Plan {
    /// The filter without a start-up to observe.
    pub fn lasting_filter(&self) -> Filter {
        self.policy
            .startup
            .as_ref()
            .map_or_else(|| self.filter.clone(), |startup| startup.without(&self.filter))
    }
}

impl Startup {
    /// The start-up of a profile; `calls` gets its calls as notified.
    ///
    /// # Errors
    /// The condition that ends it can never occur.
    pub(super) fn find(
        profile: &Profile,
        notify_transport: Option<NotifyTransport>,
        calls: &mut BTreeMap<&'static str, Access>,
    ) -> Result<Option<Startup>, PlanError> {
        let Some(ready) = profile.ready else { return Ok(None) };
        if ready == Ready::Listening && profile.network.listen.is_empty() {
            return Err(PlanError::at("/ready", PlanFault::NothingListens));
        }
        let mut taken: BTreeMap<&'static str, Alternatives> = BTreeMap::new();
        for entry in &profile.syscalls.startup_only {
            let mut take = |call, when: Vec<_>| taken.entry(call).or_default().push(when);
            match &entry.what {
                SyscallRule::Group(name) => groups::listed(name, true)
                    .flat_map(|group| group.calls().into_keys())
                    .for_each(|call| take(call, Vec::new())),
                SyscallRule::Call(call) => take(call, Vec::new()),
                SyscallRule::When(call, condition) => take(call, vec![condition.clone()]),
            }
        }
        taken.retain(|call, _| calls.contains_key(call));
        // Whether the last one is listening is known only where each call is notified.
        let seen = (ready == Ready::Listening).then_some(["bind", "listen"]).into_iter().flatten();
        let mut before = BTreeMap::new();
        for call in taken.keys().copied().chain(seen) {
            if let Some(access) = calls.get_mut(call) {
                let otherwise = std::mem::replace(access, Access::Notify);
                before.entry(call).or_insert(otherwise);
            }
        }
        let listen = match ready {
            Ready::Listening => profile.network.listen.iter().map(|entry| entry.what.clone()).collect(),
            _ => Vec::new(),
        };
        Ok(Some(Startup { ready, before, taken, listen, notify_transport }))
    }

    /// The filter as it would be if start-up never ended.
    fn without(&self, filter: &Filter) -> Filter {
        let mut filter = filter.clone();
        filter.calls.extend(self.before.iter().map(|(call, access)| (*call, access.clone())));
        filter
    }

    /// The condition that ends it, in words.
    pub(super) fn ends(&self) -> String {
        match self.ready {
            Ready::Listening => {
                let all: Vec<_> = self.listen.iter().map(endpoint_text).collect();
                format!("{} listens, and no bind or listen came for a second", all.join(", "))
            }
            Ready::Notify => match self.notify_transport {
                Some(NotifyTransport::SocketPair) => {
                    "the app says READY=1 on NOTIFY_SOCKET; its datagram sockets of AF_UNIX lead there alone"
                        .into()
                }
                _ => "the app says READY=1 on NOTIFY_SOCKET".into(),
            },
            Ready::Delay(time) => format!("{} ms have passed since the app was started", time.as_millis()),
        }
    }
}
