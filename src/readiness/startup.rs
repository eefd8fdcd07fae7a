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
pub enum When {
    /// All that is waited for listens, and it has been [quiet](QUIET).
    Listening,
    /// The app says so.
    Notified,
    /// So much time has passed.
    Delay(Duration),
}

impl When {
    /// The word that the profile and the event have for it.
    pub const fn word(self) -> &'static str {
        match self {
            When::Listening => "listening",
            When::Notified => "notify",
            When::Delay(_) => "delay",
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A bind or a listen came.
    Taken,
    /// The sockets were looked at: whether all that is waited for listens.
    Looked(bool),
    /// The app said that it is ready.
    Notified,
    /// Time has passed.
    Passed,
}

/// What has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look at the sockets, and come back with what was seen.
    Look,
    /// Start-up is over.
    Ready,
}

/// How far the start-up is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    when: When,
    /// When something has to be done by the clock.
    deadline: Option<Duration>,
    /// How long to wait once a look has seen too little.
    patience: Duration,
    /// A look was asked for and has not come back.
    looking: bool,
    /// When it was over.
    over: Option<Duration>,
}

impl Startup {
    /// An app that is being launched.
    pub const fn new(when: When) -> Startup {
        let deadline = match when {
            // It may have been given sockets that listen already.
            When::Listening => Some(QUIET),
            When::Delay(time) => Some(time),
            When::Notified => None,
        };
        Startup { when, deadline, patience: QUIET, looking: false, over: None }
    }

    /// What it ends with.
    pub const fn when(&self) -> When {
        self.when
    }

    /// When [`Input::Passed`] is waited for, as time since the launch; never again once
    /// it is over.
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// When it was over, as time since the launch; none before.
    pub const fn over(&self) -> Option<Duration> {
        self.over
    }

    /// Takes in what happened `at` so long after the launch.
    pub fn step(&mut self, at: Duration, input: Input) -> Option<Output> {
        if self.over.is_some() {
            return None;
        }
        match (self.when, input) {
            (When::Listening, Input::Taken) => {
                // What a look sees that has begun before is not the end of it.
                self.looking = false;
                self.patience = QUIET;
                self.deadline = Some(at + QUIET);
                None
            }
            (When::Listening, Input::Passed) if self.is_due(at) => {
                self.deadline = None;
                self.looking = true;
                Some(Output::Look)
            }
            (When::Listening, Input::Looked(all)) if self.looking => {
                self.looking = false;
                if all {
                    return self.end(at);
                }
                // A call that has been let go on may be late, and a socket may come from
                // elsewhere: looked at again, twice as long after each time.
                self.patience *= 2;
                self.deadline = Some(at + self.patience);
                None
            }
            (When::Notified, Input::Notified) => self.end(at),
            (When::Delay(_), Input::Passed) if self.is_due(at) => self.end(at),
            _ => None,
        }
    }

    fn is_due(&self, at: Duration) -> bool {
        self.deadline.is_some_and(|deadline| at >= deadline)
    }

    fn end(&mut self, at: Duration) -> Option<Output> {
        self.over = Some(at);
        self.deadline = None;
        Some(Output::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// Steps through what happens, with what each has to bring.
    fn through(when: When, steps: &[(u64, Input, Option<Output>)]) -> Startup {
        let mut startup = Startup::new(when);
        for (at, input, output) in steps {
            assert_eq!(startup.step(ms(*at), *input), *output, "{at} {input:?} of {steps:?}");
        }
        startup
    }

    const TAKEN: Input = Input::Taken;
    const PASSED: Input = Input::Passed;
    const LOOK: Option<Output> = Some(Output::Look);
    const READY: Option<Output> = Some(Output::Ready);

    #[test]
    fn listening_is_waited_for_until_it_is_quiet() {
        // Twice, as redis does.
        let startup = through(
            When::Listening,
            &[
                (100, TAKEN, None),
                (110, TAKEN, None),
                (900, TAKEN, None),
                (1000, PASSED, None),
                (1899, PASSED, None),
                (1900, PASSED, LOOK),
                (1901, Input::Looked(true), READY),
            ],
        );
        assert_eq!((startup.over(), startup.deadline()), (Some(ms(1901)), None));
    }

    #[test]
    fn what_comes_while_it_is_looked_at_is_no_end() {
        let startup = through(
            When::Listening,
            &[(1000, PASSED, LOOK), (1001, TAKEN, None), (1002, Input::Looked(true), None)],
        );
        assert_eq!((startup.over(), startup.deadline()), (None, Some(ms(2001))));
    }

    #[test]
    fn what_was_not_seen_is_looked_for_ever_more_rarely() {
        let mut startup = Startup::new(When::Listening);
        let (mut looks, mut last) = (Vec::new(), Duration::ZERO);
        while last < Duration::from_secs(3600) {
            last = startup.deadline().expect("it goes on waiting");
            assert_eq!(startup.step(last, PASSED), LOOK);
            assert_eq!((startup.deadline(), startup.step(last, PASSED)), (None, None), "it is being looked");
            assert_eq!(startup.step(last, Input::Looked(false)), None);
            looks.push(last.as_secs());
        }
        assert_eq!(looks, [1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095]);
        // A new socket is not waited for that long.
        assert_eq!(startup.step(last, TAKEN), None);
        assert_eq!(startup.deadline(), Some(last + QUIET));
    }

    #[test]
    fn sockets_that_were_inherited_need_no_call() {
        through(
            When::Listening,
            &[(999, PASSED, None), (1000, PASSED, LOOK), (1000, Input::Looked(true), READY)],
        );
    }

    #[test]
    fn the_apps_word_and_a_delay_ask_for_no_look() {
        let startup = Startup::new(When::Notified);
        assert_eq!(startup.deadline(), None, "nothing is waited for by the clock");
        let startup = through(
            When::Notified,
            &[
                (5, TAKEN, None),
                (5000, PASSED, None),
                (5001, Input::Looked(true), None),
                (6000, Input::Notified, READY),
            ],
        );
        assert_eq!(startup.over(), Some(ms(6000)));

        let delay = When::Delay(ms(1500));
        assert_eq!(Startup::new(delay).deadline(), Some(ms(1500)));
        let startup = through(
            delay,
            &[(10, TAKEN, None), (20, Input::Notified, None), (1499, PASSED, None), (1700, PASSED, READY)],
        );
        assert_eq!(startup.over(), Some(ms(1700)));
        assert_eq!(Startup::new(When::Delay(Duration::ZERO)).step(Duration::ZERO, PASSED), READY);
    }

    #[test]
    fn it_is_over_once_and_for_good() {
        for (when, input) in
            [(When::Delay(ms(1)), PASSED), (When::Notified, Input::Notified), (When::Delay(ms(0)), PASSED)]
        {
            let mut startup = Startup::new(when);
            assert_eq!(startup.step(ms(7), input), READY);
            for later in [TAKEN, PASSED, Input::Notified, Input::Looked(false), Input::Looked(true)] {
                assert_eq!(startup.step(ms(9000), later), None);
            }
            assert_eq!((startup.over(), startup.deadline()), (Some(ms(7)), None));
        }
    }
}
