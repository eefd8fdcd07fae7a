use super::*;

const APP: i32 = 7;

fn received(signal: i32) -> Received {
    Received { signal, code: 0, sender: 0, value: 0 }
}

fn signal(signal: i32) -> Input {
    Input::Signal(received(signal))
}

fn from_terminal(signal: i32) -> Input {
    Input::Signal(Received { code: libc::SI_KERNEL, ..received(signal) })
}

fn rules() -> Rules {
    Rules {
        grace: None,
        drain: Duration::ZERO,
        remap: vec![143],
        rewrite: BTreeMap::new(),
        terminal: Terminal::Group,
        status: None,
        unattended: true,
    }
}

fn started() -> State {
    State::new(APP, rules())
}

fn forwarded(actions: &[Action]) -> Vec<i32> {
    let signal = |action: &Action| match action {
        Action::Forward(received) => Some(received.signal),
        _ => None,
    };
    actions.iter().filter_map(signal).collect()
}

#[test]
fn every_signal_is_forwarded_but_the_terminal_stops() {
    for n in (1..=64).filter(|n| ![libc::SIGTTIN, libc::SIGTTOU].contains(n)) {
        assert_eq!(forwarded(&started().step(&signal(n))), [n]);
    }
    assert_eq!(started().step(&signal(libc::SIGTTIN)), []);
    assert_eq!(started().step(&signal(libc::SIGTTOU)), []);
}

#[test]
fn the_app_ends_and_the_rest_has_the_grace() {
    let mut state = started();
    assert_eq!(state.step(&Input::Reaped(9, Change::Exited(1))), [], "an orphan changes nothing");
    assert_eq!(state.step(&Input::Others), []);
    assert_eq!(state.step(&Input::Reaped(APP, Change::Exited(3))), [Action::TerminateSession]);
    assert_eq!(state.step(&Input::Others), [Action::TerminateAll, Action::Wait(USUAL_GRACE)]);
    assert_eq!(state.step(&Input::Reaped(11, Change::Signalled(15))), []);
    assert_eq!(state.step(&Input::Others), [], "they are told once");
    assert_eq!(state.step(&signal(libc::SIGTERM)), [], "and nobody else is");
    assert_eq!(state.step(&Input::Alone), [Action::Exit(3)]);
    assert_eq!((state.ended, state.killed, state.why()), (1, false, Why::Ended));
}

#[test]
fn nobody_is_looked_for_where_nobody_is_left() {
    let mut state = started();
    state.step(&Input::Reaped(APP, Change::Exited(0)));
    assert_eq!(state.step(&Input::Alone), [Action::Exit(0)]);
}

#[test]
fn who_outlives_the_grace_is_killed_and_who_outlives_that_is_left() {
    let mut state = started();
    state.step(&Input::Reaped(APP, Change::Signalled(11)));
    state.step(&Input::Others);
    assert_eq!(state.step(&Input::Timeout), [Action::KillAll, Action::Wait(AFTER_KILL)]);
    assert!(state.killed);
    assert_eq!(state.step(&Input::Timeout), [Action::Exit(128 + 11)]);
}

#[test]
fn without_a_grace_of_its_own_the_app_has_the_engines_time() {
    let mut state = started();
    let term = received(libc::SIGTERM);
    assert_eq!(state.step(&signal(15)), [Action::Forward(term), Action::Wait(USUAL_GRACE)]);
    assert_eq!(state.step(&Input::Timeout), [Action::TerminateDetached], "the app is spared");
    assert_eq!(state.step(&signal(15)), [Action::Forward(term)]);
    state.step(&Input::Reaped(APP, Change::Exited(0)));
    assert_eq!(state.step(&Input::Others), [Action::TerminateAll, Action::Wait(USUAL_GRACE)]);
}

#[test]
fn a_grace_that_was_asked_for_is_the_whole_time_from_the_term() {
    let grace = Duration::from_secs(3);
    let mut state = State::new(APP, Rules { grace: Some(grace), ..rules() });
    let told = state.step(&signal(15));
    assert_eq!(told, [Action::Forward(received(libc::SIGTERM)), Action::Wait(grace)]);
    let mut stubborn = state.clone();
    assert_eq!(stubborn.step(&Input::Timeout), [Action::KillAll, Action::Wait(AFTER_KILL)]);
    stubborn.step(&Input::Reaped(APP, Change::Signalled(9)));
    assert_eq!(stubborn.step(&Input::Alone), [Action::Exit(137)]);

    state.step(&Input::Reaped(APP, Change::Exited(0)));
    assert_eq!(state.step(&Input::Others), [Action::TerminateAll], "the time goes on");
    assert_eq!(state.step(&Input::Timeout), [Action::KillAll, Action::Wait(AFTER_KILL)]);
}

#[test]
fn a_drain_keeps_the_term_back_and_nothing_else() {
    let drain = Duration::from_secs(5);
    let mut state = State::new(APP, Rules { drain, ..rules() });
    assert_eq!(state.step(&signal(15)), [Action::Wait(drain)]);
    assert_eq!(forwarded(&state.step(&signal(1))), [1]);
    let mut impatient = state.clone();
    let term = [Action::Forward(received(libc::SIGTERM)), Action::Wait(USUAL_GRACE)];
    assert_eq!(state.step(&Input::Timeout), term);
    assert_eq!(impatient.step(&signal(15)), term, "a second one is meant");
    let mut ends = State::new(APP, Rules { drain, ..rules() });
    ends.step(&signal(15));
    ends.step(&Input::Reaped(APP, Change::Exited(0)));
    assert_eq!(ends.step(&Input::Alone), [Action::Exit(0)]);
    assert_eq!(ends.why(), Why::Signal(15));
}

#[test]
fn a_violation_kills_and_its_code_stays() {
    let mut state = started();
    assert_eq!(state.step(&Input::Violation), [Action::KillAll, Action::Wait(AFTER_KILL)]);
    state.step(&Input::Reaped(APP, Change::Exited(0)));
    assert_eq!(state.step(&Input::Alone), [Action::Exit(137)]);
    assert_eq!(state.why(), Why::Violation);
}

#[test]
fn codes_are_remapped_and_the_signal_is_remembered() {
    let mut state = started();
    state.step(&signal(libc::SIGTERM));
    state.step(&Input::Reaped(APP, Change::Signalled(libc::SIGTERM)));
    assert_eq!(state.step(&Input::Alone), [Action::Exit(0)]);
    assert_eq!(state.why(), Why::Signal(libc::SIGTERM));
}

#[test]
fn signals_are_rewritten_or_dropped() {
    let rewrite = BTreeMap::from([(15, 3), (2, 0), (1, 37)]);
    let mut state = State::new(APP, Rules { rewrite, ..rules() });
    assert_eq!(forwarded(&state.step(&signal(1))), [37]);
    assert_eq!(state.step(&signal(2)), [Action::Drop(2)]);
    assert_eq!(state.why(), Why::Ended, "a dropped one told nobody");
    let told = [Action::Forward(received(3)), Action::Wait(USUAL_GRACE)];
    assert_eq!(state.step(&signal(15)), told, "still what ends the container");
}

#[test]
fn the_status_signal_is_for_the_init() {
    let mut state = State::new(APP, Rules { status: Some(10), ..rules() });
    assert_eq!(state.step(&signal(10)), [Action::Report]);
    state.step(&Input::Reaped(APP, Change::Exited(0)));
    state.step(&Input::Others);
    assert_eq!(state.step(&signal(10)), [Action::Report], "while it ends too");
}

#[test]
fn a_terminal_stop_stops_no_container_and_a_shells_job_as_a_whole() {
    let stopped = Input::Stopped(APP, libc::SIGTSTP);
    let mut first = started();
    assert_eq!(first.step(&from_terminal(libc::SIGTSTP)), [], "it was not for the app");
    assert_eq!(first.step(&stopped), [Action::Resume]);
    assert_eq!(first.step(&Input::Stopped(APP, libc::SIGSTOP)), [], "that somebody meant");
    assert_eq!(first.step(&Input::Stopped(9, libc::SIGTSTP)), [], "that is its parent's");
    first.step(&signal(libc::SIGTSTP));
    assert_eq!(first.step(&stopped), [], "so was this");
    let cont = [Action::Foreground, Action::Forward(received(libc::SIGCONT))];
    assert_eq!(first.step(&signal(libc::SIGCONT)), cont);
    assert_eq!(first.step(&stopped), [Action::Resume]);

    let mut job = State::new(APP, Rules { unattended: false, ..rules() });
    assert_eq!(job.step(&stopped), [Action::Suspend]);
    assert_eq!(forwarded(&job.step(&from_terminal(libc::SIGTSTP))), [libc::SIGTSTP]);
}

#[test]
fn a_session_of_its_own_is_stopped_and_the_init_along_with_it() {
    let attended = Rules { terminal: Terminal::Session, unattended: false, ..rules() };
    let mut state = State::new(APP, attended.clone());
    for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let expected = [Action::Forward(received(libc::SIGSTOP)), Action::Suspend];
        assert_eq!(state.step(&signal(stop)), expected);
    }
    let rewrite = BTreeMap::from([(libc::SIGTSTP, libc::SIGHUP)]);
    let mut state = State::new(APP, Rules { rewrite, ..attended });
    let expected = [Action::Forward(received(libc::SIGHUP)), Action::Suspend];
    assert_eq!(state.step(&signal(libc::SIGTSTP)), expected);
}

#[test]
fn who_shares_the_group_had_the_terminals_signal_already() {
    let mut state = State::new(APP, Rules { terminal: Terminal::Shared, unattended: false, ..rules() });
    assert_eq!(state.step(&from_terminal(libc::SIGINT)), []);
    assert_eq!(forwarded(&state.step(&signal(libc::SIGINT))), [libc::SIGINT]);
    let sent = [Action::Forward(received(libc::SIGTTIN)), Action::Suspend];
    assert_eq!(state.step(&signal(libc::SIGTTIN)), sent);
}

#[test]
fn who_shares_the_group_is_stopped_before_the_init_is() {
    let shared = || State::new(APP, Rules { terminal: Terminal::Shared, unattended: false, ..rules() });
    let (stop, stopped) = (from_terminal(libc::SIGTSTP), Input::Stopped(APP, libc::SIGTSTP));
    // The init hears of the two in either order.
    for [first, second] in [[&stop, &stopped], [&stopped, &stop]] {
        let mut state = shared();
        for _ in 0..2 {
            assert_eq!(state.step(first), []);
            assert_eq!(state.step(second), [Action::Suspend]);
        }
    }
    // An app that handles the signal goes on, and what it does later is its own.
    let mut state = shared();
    assert_eq!(state.step(&stop), []);
    assert_eq!(forwarded(&state.step(&signal(libc::SIGCONT))), [libc::SIGCONT]);
    assert_eq!(state.step(&Input::Stopped(APP, libc::SIGSTOP)), []);
    // Where nobody could continue the init, it does not stop.
    let mut state = State::new(APP, Rules { terminal: Terminal::Shared, unattended: true, ..rules() });
    assert_eq!([state.step(&stop), state.step(&stopped)], [vec![], vec![]]);
}
