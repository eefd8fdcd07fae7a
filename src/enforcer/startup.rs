//! The start-up: when it is over, by time, by the app's READY=1 or by its sockets, and the rights
//! that end with it. One thread decides all this, so a call that waits when the start-up ends is
//! decided by the rights that are in force at its turn.

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
use crate::readiness::notify_socket::{NotifySocket, NotifySocketError};
use crate::readiness::startup::{ReadyCondition, StartupInput, StartupOutput, StartupState};

/// The state of the app's start-up.
pub struct StartupWatch {
    course: StartupState,
    /// When the app was executed; the time counts from then on.
    since: Option<Instant>,
    /// The socket that the app sends READY=1 to.
    pub notify_socket: Option<NotifySocket>,
}

impl StartupWatch {
    /// Prepares to detect the end of the start-up; `outer` is the value of NOTIFY_SOCKET that the
    /// container was started with.
    ///
    /// # Errors
    /// The socket for sd_notify(3) cannot be opened.
    pub fn prepare(
        policy: &Policy,
        outer: Option<&std::ffi::OsStr>,
    ) -> Result<Option<StartupWatch>, NotifySocketError> {
        let Some(startup) = &policy.startup else { return Ok(None) };
        let when = match startup.ready {
            profile::Ready::Listening => ReadyCondition::Listening,
            profile::Ready::Notify => ReadyCondition::Notified,
            profile::Ready::Delay(time) => ReadyCondition::Delay(time),
        };
        let notify_socket =
            startup.notify_transport.map(|transport| NotifySocket::open(transport, outer)).transpose()?;
        Ok(Some(StartupWatch { course: StartupState::new(when), since: None, notify_socket }))
    }

    /// The next moment at which time alone changes the state.
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

    /// Applies the messages and the time that have come since. Called before every decision.
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

    /// A call that is notified because of the start-up: denied once that is over, continued where
    /// the filter would allow it, and else decided like all others.
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

    /// A bind that may be to an address that the start-up waits for. One to any port, as of a
    /// resolver, does not count: it would delay the end of the start-up for ever.
    pub(super) fn binds(&mut self, address: &Address) {
        if address.is_named() {
            self.startup_goes_on(StartupInput::Bound);
        }
    }

    /// The app's socket for READY=1, where it may make no other.
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

    /// Whether a connect is to the socket for READY=1, which is connected already.
    pub(super) fn connects_to_notify_socket(&self, address: &Address) -> bool {
        let pair = self.rules.gets_a_pair();
        let notify_socket = self.startup.as_ref().and_then(|watch| watch.notify_socket.as_ref());
        let Address::UnixOther(name) = address else { return false };
        pair && notify_socket.is_some_and(|notify_socket| notify_socket.is_named(name))
    }
}
