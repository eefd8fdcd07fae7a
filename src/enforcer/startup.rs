//! The start-up under the worker's eyes: its clock, the app's word, the sockets; and
//! what is taken away once it is over. It is decided by this one thread, so a call that
//! waits when it ends is decided by what holds when its turn comes.

use std::time::Instant;

use nix::sys::socket::SockFlag;

use super::{Decision, Enforcer};
use crate::event::{Event, ReadyEvent};
use crate::notify::caller::Caller;
use crate::plan::Policy;
use crate::policy::call::Call;
use crate::policy::network::Address;
use crate::profile;
use crate::readiness::listening;
use crate::readiness::notify_socket::NotifySocket;
use crate::readiness::startup::{ReadyCondition, Startup, StartupInput, StartupOutput};

/// A start-up that is watched.
pub struct StartupWatch {
    course: Startup,
    /// When the app was executed; nothing passes before.
    since: Option<Instant>,
    /// Where it says that it is ready.
    pub notify_socket: Option<NotifySocket>,
}

impl StartupWatch {
    /// Prepares what it takes to know when the start-up is over; `outer` is the value of
    /// NOTIFY_SOCKET that the container was started with.
    ///
    /// # Errors
    /// One line: the call and its errno.
    pub fn prepare(policy: &Policy, outer: Option<&std::ffi::OsStr>) -> Result<Option<StartupWatch>, String> {
        let Some(startup) = &policy.startup else { return Ok(None) };
        let when = match startup.ready {
            profile::Ready::Listening => ReadyCondition::Listening,
            profile::Ready::Notify => ReadyCondition::Notified,
            profile::Ready::Delay(time) => ReadyCondition::Delay(time),
        };
        let notify_socket =
            startup.notify_transport.map(|transport| NotifySocket::open(transport, outer)).transpose()?;
        Ok(Some(StartupWatch { course: Startup::new(when), since: None, notify_socket }))
    }

    /// When something has to be done by the clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.since? + self.course.deadline()?)
    }
}

impl Enforcer {
    /// The app is being executed: its start-up begins.
    pub(super) fn begin_startup(&mut self) {
        if let Some(watch) = &mut self.startup {
            watch.since = Some(Instant::now());
        }
    }

    /// To be asked before every decision: what has been said and what time has brought.
    pub(super) fn advance_startup(&mut self) {
        let Some(watch) = &mut self.startup else { return };
        if watch.since.is_none() {
            return;
        }
        if watch.notify_socket.as_mut().is_some_and(NotifySocket::poll_messages) {
            self.startup_goes_on(StartupInput::Notified);
        }
        let due = self.startup.as_ref().and_then(StartupWatch::deadline);
        if due.is_some_and(|deadline| Instant::now() >= deadline) {
            self.startup_goes_on(StartupInput::Timeout);
        }
    }

    fn startup_goes_on(&mut self, input: StartupInput) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(watch) = &mut self.startup else { return };
            let Some(since) = watch.since else { return };
            let after = since.elapsed();
            match watch.course.step(after, input) {
                Some(StartupOutput::ListSockets) => {
                    let (policy, found) = (self.rules.policy(), listening::all());
                    let named = policy.startup.as_ref().map(|startup| &startup.listen[..]);
                    // A path through a link, or where that leads.
                    let all = [named.unwrap_or_default(), &policy.listen];
                    next =
                        Some(StartupInput::Listed(all.iter().any(|wanted| listening::each(wanted, &found))));
                }
                Some(StartupOutput::Ready) => {
                    let by = watch.course.when().word();
                    self.writer.record(Event::Ready(ReadyEvent { after, by }));
                }
                None => {}
            }
        }
    }

    /// A call that is asked about for the start-up's sake: refused once that is over, let
    /// go on where the filter would have, and else decided like all the others.
    pub(super) fn early(&mut self, call: &Call, caller: &Caller) -> Option<Decision> {
        let name = call.name.filter(|name| self.rules.is_early(name))?;
        if self.is_launch(caller) {
            return self.rules.goes_unnotified(call).then_some(Decision::Continue);
        }
        if self.startup.as_ref().is_some_and(|watch| watch.course.ready_at().is_some())
            && let Some(refusal) = self.rules.taken_away(call)
        {
            return Some(Decision::Deny(refusal));
        }
        if name == "listen" {
            self.startup_goes_on(StartupInput::Bound);
        }
        self.rules.goes_unnotified(call).then_some(Decision::Continue)
    }

    /// A bind that may take what is waited for. A resolver's, which takes any port or asks
    /// the kernel for addresses, would make a start-up never end.
    pub(super) fn binds(&mut self, address: &Address) {
        if address.is_named() {
            self.startup_goes_on(StartupInput::Bound);
        }
    }

    /// The app's socket for saying that it is ready, where it may make no other.
    pub(super) fn says_ready_on(&mut self, [family, kind, protocol]: [i32; 3]) -> Option<Decision> {
        let pair = self.rules.gets_a_pair();
        let datagram = family == libc::AF_UNIX && kind & 0xf == libc::SOCK_DGRAM && protocol == 0;
        if !pair || !datagram {
            return None;
        }
        let flags = SockFlag::from_bits_truncate(kind);
        let notify_socket = self.startup.as_mut()?.notify_socket.as_mut()?;
        Some(match notify_socket.create_endpoint(!flags.contains(SockFlag::SOCK_NONBLOCK)) {
            Ok(end) => Decision::Opened(end, flags.contains(SockFlag::SOCK_CLOEXEC)),
            Err(errno) => Decision::Fail(errno),
        })
    }

    /// A connect to where the app says that it is ready: it is connected already.
    pub(super) fn connects_to_notify_socket(&self, address: &Address) -> bool {
        let pair = self.rules.gets_a_pair();
        let notify_socket = self.startup.as_ref().and_then(|watch| watch.notify_socket.as_ref());
        let Address::UnixOther(name) = address else { return false };
        pair && notify_socket.is_some_and(|notify_socket| notify_socket.is_named(name))
    }
}
