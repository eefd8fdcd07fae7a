//! The end of start-up as a pure state machine: inputs with their time since the launch give
//! requests to list the sockets and, once, `Ready`. The caller decides which sockets are enough:
//! those of every `listen` entry, or in learn mode any listening socket.
//!
//! An app may bind and listen several times (redis does so twice), so a listening socket alone
//! does not end its start-up: no bind or listen may have come for [`QUIET`]. A call is no proof
//! that a socket listens, since it may fail, and another thread may rewrite its arguments. So the
//! sockets are listed after that time.

use std::time::Duration;

/// The time without bind or listen after which the sockets are listed.
pub const QUIET: Duration = Duration::from_secs(1);

/// The condition that ends start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyCondition {
    /// All awaited sockets listen, and no bind or listen came for [`QUIET`].
    Listening,
    /// The app sends READY=1 (sd_notify(3)).
    Notified,
    /// This time has passed.
    Delay(Duration),
}

impl ReadyCondition {
    /// Its word in the profile and in the event.
    pub const fn word(self) -> &'static str {
        match self {
            ReadyCondition::Listening => "listening",
            ReadyCondition::Notified => "notify",
            ReadyCondition::Delay(_) => "delay",
        }
    }
}

/// An input of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupInput {
    /// A thread called bind or listen.
    Bound,
    /// The sockets were listed: whether all awaited ones listen.
    Listed(bool),
    /// The app sent READY=1.
    Notified,
    /// The deadline has passed.
    Timeout,
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupOutput {
    /// List the sockets, and step with [`StartupInput::Listed`].
    ListSockets,
    /// Start-up is over.
    Ready,
}

/// The state of start-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupState {
    when: ReadyCondition,
    /// When to step with [`StartupInput::Timeout`], as time since the launch.
    deadline: Option<Duration>,
    /// The time until the sockets are listed again.
    retry_after: Duration,
    /// The sockets are being listed.
    listing: bool,
    /// When start-up ended.
    ready_at: Option<Duration>,
}

impl StartupState {
    /// The state at the launch.
    pub const fn new(when: ReadyCondition) -> StartupState {
        let deadline = match when {
            // The app may have inherited listening sockets.
            ReadyCondition::Listening => Some(QUIET),
            ReadyCondition::Delay(time) => Some(time),
            ReadyCondition::Notified => None,
        };
        StartupState { when, deadline, retry_after: QUIET, listing: false, ready_at: None }
    }

    /// The condition that ends it.
    pub const fn when(&self) -> ReadyCondition {
        self.when
    }

    /// When [`StartupInput::Timeout`] is due, as time since the launch; `None` once start-up is over.
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// When start-up ended, as time since the launch; `None` before.
    pub const fn ready_at(&self) -> Option<Duration> {
        self.ready_at
    }

    /// Takes an input at the time `at` since the launch.
    pub fn step(&mut self, at: Duration, input: StartupInput) -> Option<StartupOutput> {
        if self.ready_at.is_some() {
            return None;
        }
        match (self.when, input) {
            (ReadyCondition::Listening, StartupInput::Bound) => {
                // A listing that began before does not count.
                self.listing = false;
                self.retry_after = QUIET;
                self.deadline = Some(at + QUIET);
                None
            }
            (ReadyCondition::Listening, StartupInput::Timeout) if self.is_due(at) => {
                self.deadline = None;
                self.listing = true;
                Some(StartupOutput::ListSockets)
            }
            (ReadyCondition::Listening, StartupInput::Listed(all)) if self.listing => {
                self.listing = false;
                if all {
                    return self.end(at);
                }
                // A continued call may take its time, and a socket may be passed from another
                // process: list again, each time after twice as long.
                self.retry_after *= 2;
                self.deadline = Some(at + self.retry_after);
                None
            }
            (ReadyCondition::Notified, StartupInput::Notified) => self.end(at),
            (ReadyCondition::Delay(_), StartupInput::Timeout) if self.is_due(at) => self.end(at),
            _ => None,
        }
    }

    fn is_due(&self, at: Duration) -> bool {
        self.deadline.is_some_and(|deadline| at >= deadline)
    }

    fn end(&mut self, at: Duration) -> Option<StartupOutput> {
        self.ready_at = Some(at);
        self.deadline = None;
        Some(StartupOutput::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// Steps through the inputs, and checks each output.
    fn through(when: ReadyCondition, steps: &[(u64, StartupInput, Option<StartupOutput>)]) -> StartupState {
        let mut startup = StartupState::new(when);
        for (at, input, output) in steps {
            assert_eq!(startup.step(ms(*at), *input), *output, "{at} {input:?} of {steps:?}");
        }
        startup
    }

    const BOUND: StartupInput = StartupInput::Bound;
    const TIMEOUT: StartupInput = StartupInput::Timeout;
    const LIST: Option<StartupOutput> = Some(StartupOutput::ListSockets);
    const READY: Option<StartupOutput> = Some(StartupOutput::Ready);

    #[test]
    fn listening_is_waited_for_until_it_is_quiet() {
        // Twice, as redis does.
        let startup = through(
            ReadyCondition::Listening,
            &[
                (100, BOUND, None),
                (110, BOUND, None),
                (900, BOUND, None),
                (1000, TIMEOUT, None),
                (1899, TIMEOUT, None),
                (1900, TIMEOUT, LIST),
                (1901, StartupInput::Listed(true), READY),
            ],
        );
        assert_eq!((startup.ready_at(), startup.deadline()), (Some(ms(1901)), None));
    }

    #[test]
    fn a_bind_during_the_listing_restarts_the_wait() {
        let startup = through(
            ReadyCondition::Listening,
            &[(1000, TIMEOUT, LIST), (1001, BOUND, None), (1002, StartupInput::Listed(true), None)],
        );
        assert_eq!((startup.ready_at(), startup.deadline()), (None, Some(ms(2001))));
    }

    #[test]
    fn missing_sockets_are_listed_ever_more_rarely() {
        let mut startup = StartupState::new(ReadyCondition::Listening);
        let (mut looks, mut last) = (Vec::new(), Duration::ZERO);
        while last < Duration::from_secs(3600) {
            last = startup.deadline().expect("it goes on waiting");
            assert_eq!(startup.step(last, TIMEOUT), LIST);
            assert_eq!(
                (startup.deadline(), startup.step(last, TIMEOUT)),
                (None, None),
                "they are being listed"
            );
            assert_eq!(startup.step(last, StartupInput::Listed(false)), None);
            looks.push(last.as_secs());
        }
        assert_eq!(looks, [1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095]);
        // A new socket is not waited for that long.
        assert_eq!(startup.step(last, BOUND), None);
        assert_eq!(startup.deadline(), Some(last + QUIET));
    }

    #[test]
    fn sockets_that_were_inherited_need_no_call() {
        through(
            ReadyCondition::Listening,
            &[(999, TIMEOUT, None), (1000, TIMEOUT, LIST), (1000, StartupInput::Listed(true), READY)],
        );
    }

    #[test]
    fn a_notification_and_a_delay_list_no_sockets() {
        let startup = StartupState::new(ReadyCondition::Notified);
        assert_eq!(startup.deadline(), None, "nothing is waited for by the clock");
        let startup = through(
            ReadyCondition::Notified,
            &[
                (5, BOUND, None),
                (5000, TIMEOUT, None),
                (5001, StartupInput::Listed(true), None),
                (6000, StartupInput::Notified, READY),
            ],
        );
        assert_eq!(startup.ready_at(), Some(ms(6000)));

        let delay = ReadyCondition::Delay(ms(1500));
        assert_eq!(StartupState::new(delay).deadline(), Some(ms(1500)));
        let startup = through(
            delay,
            &[
                (10, BOUND, None),
                (20, StartupInput::Notified, None),
                (1499, TIMEOUT, None),
                (1700, TIMEOUT, READY),
            ],
        );
        assert_eq!(startup.ready_at(), Some(ms(1700)));
        assert_eq!(
            StartupState::new(ReadyCondition::Delay(Duration::ZERO)).step(Duration::ZERO, TIMEOUT),
            READY
        );
    }

    #[test]
    fn it_is_over_once_and_for_good() {
        for (when, input) in [
            (ReadyCondition::Delay(ms(1)), TIMEOUT),
            (ReadyCondition::Notified, StartupInput::Notified),
            (ReadyCondition::Delay(ms(0)), TIMEOUT),
        ] {
            let mut startup = StartupState::new(when);
            assert_eq!(startup.step(ms(7), input), READY);
            for later in [
                BOUND,
                TIMEOUT,
                StartupInput::Notified,
                StartupInput::Listed(false),
                StartupInput::Listed(true),
            ] {
                assert_eq!(startup.step(ms(9000), later), None);
            }
            assert_eq!((startup.ready_at(), startup.deadline()), (Some(ms(7)), None));
        }
    }
}
