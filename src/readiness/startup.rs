//! When start-up is over, pure: what happens goes in with its time since the app was
//! launched, and out comes when to look at its sockets and, once in a life, that it is
//! ready. Whoever drives it knows what it waits for: every entry of a profile, or, where
//! one is only being learned, any socket that listens.
//!
//! An app binds and listens more than once (redis does it twice), so that listening
//! alone is no end of its start-up: it has to have been [quiet](QUIET) as well. That a
//! socket listens is never taken from a call, which may fail or come from a thread that
//! rewrites its arguments: the sockets are looked at once it is quiet.

use std::time::Duration;

/// For so long no bind or listen came, before the sockets are looked at.
pub const QUIET: Duration = Duration::from_secs(1);

/// What start-up ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyCondition {
    /// All that is waited for listens, and it has been [quiet](QUIET).
    Listening,
    /// The app says so.
    Notified,
    /// So much time has passed.
    Delay(Duration),
}

impl ReadyCondition {
    /// The word that the profile and the event have for it.
    pub const fn word(self) -> &'static str {
        match self {
            ReadyCondition::Listening => "listening",
            ReadyCondition::Notified => "notify",
            ReadyCondition::Delay(_) => "delay",
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupInput {
    /// A bind or a listen came.
    Bound,
    /// The sockets were looked at: whether all that is waited for listens.
    Listed(bool),
    /// The app said that it is ready.
    Notified,
    /// Time has passed.
    Timeout,
}

/// What has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupOutput {
    /// Look at the sockets, and come back with what was seen.
    ListSockets,
    /// Start-up is over.
    Ready,
}

/// How far the start-up is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    when: ReadyCondition,
    /// When something has to be done by the clock.
    deadline: Option<Duration>,
    /// How long to wait once a look has seen too little.
    retry_after: Duration,
    /// A look was asked for and has not come back.
    listing: bool,
    /// When it was over.
    ready_at: Option<Duration>,
}

impl Startup {
    /// An app that is being launched.
    pub const fn new(when: ReadyCondition) -> Startup {
        let deadline = match when {
            // It may have been given sockets that listen already.
            ReadyCondition::Listening => Some(QUIET),
            ReadyCondition::Delay(time) => Some(time),
            ReadyCondition::Notified => None,
        };
        Startup { when, deadline, retry_after: QUIET, listing: false, ready_at: None }
    }

    /// What it ends with.
    pub const fn when(&self) -> ReadyCondition {
        self.when
    }

    /// ReadyCondition [`StartupInput::Timeout`] is waited for, as time since the launch; never again once
    /// it is over.
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// When it was over, as time since the launch; none before.
    pub const fn ready_at(&self) -> Option<Duration> {
        self.ready_at
    }

    /// Takes in what happened `at` so long after the launch.
    pub fn step(&mut self, at: Duration, input: StartupInput) -> Option<StartupOutput> {
        if self.ready_at.is_some() {
            return None;
        }
        match (self.when, input) {
            (ReadyCondition::Listening, StartupInput::Bound) => {
                // What a look sees that has begun before is not the end of it.
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
                // A call that has been let go on may be late, and a socket may come from
                // elsewhere: looked at again, twice as long after each time.
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

    /// Steps through what happens, with what each has to bring.
    fn through(when: ReadyCondition, steps: &[(u64, StartupInput, Option<StartupOutput>)]) -> Startup {
        let mut startup = Startup::new(when);
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
    fn what_comes_while_it_is_looked_at_is_no_end() {
        let startup = through(
            ReadyCondition::Listening,
            &[(1000, TIMEOUT, LIST), (1001, BOUND, None), (1002, StartupInput::Listed(true), None)],
        );
        assert_eq!((startup.ready_at(), startup.deadline()), (None, Some(ms(2001))));
    }

    #[test]
    fn what_was_not_seen_is_looked_for_ever_more_rarely() {
        let mut startup = Startup::new(ReadyCondition::Listening);
        let (mut looks, mut last) = (Vec::new(), Duration::ZERO);
        while last < Duration::from_secs(3600) {
            last = startup.deadline().expect("it goes on waiting");
            assert_eq!(startup.step(last, TIMEOUT), LIST);
            assert_eq!((startup.deadline(), startup.step(last, TIMEOUT)), (None, None), "it is being looked");
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
    fn the_apps_word_and_a_delay_ask_for_no_look() {
        let startup = Startup::new(ReadyCondition::Notified);
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
        assert_eq!(Startup::new(delay).deadline(), Some(ms(1500)));
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
        assert_eq!(Startup::new(ReadyCondition::Delay(Duration::ZERO)).step(Duration::ZERO, TIMEOUT), READY);
    }

    #[test]
    fn it_is_over_once_and_for_good() {
        for (when, input) in [
            (ReadyCondition::Delay(ms(1)), TIMEOUT),
            (ReadyCondition::Notified, StartupInput::Notified),
            (ReadyCondition::Delay(ms(0)), TIMEOUT),
        ] {
            let mut startup = Startup::new(when);
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
