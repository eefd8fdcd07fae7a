use super::*;

const APP: i32 = 7;

fn received(signal: i32) -> Received {
    Received { signal, code: 0, sender: 0, value: 0 }
}

fn signal(signal: i32) -> InitInput {
    InitInput::Signal(received(signal))
}

fn from_terminal(signal: i32) -> InitInput {
    InitInput::Signal(Received { code: libc::SI_KERNEL, ..received(signal) })
}

fn rules() -> InitRules {
    InitRules {
        grace: None,
        drain: Duration::ZERO,
        remap: vec![143],
        rewrite: BTreeMap::new(),
        terminal: Terminal::Group,
        status: None,
        is_orphaned: true,
    }
}

fn started() -> InitState {
    InitState::new(APP, rules())
}

fn forwarded(actions: &[InitAction]) -> Vec<i32> {
    let signal = |action: &InitAction| match action {
        InitAction::Forward(received) => Some(received.signal),
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
    assert_eq!(state.step(&InitInput::Reaped(9, StateChange::Exited(1))), [], "an orphan changes nothing");
    assert_eq!(state.step(&InitInput::Others), []);
    assert_eq!(state.step(&InitInput::Reaped(APP, StateChange::Exited(3))), [InitAction::TerminateSession]);
    assert_eq!(state.step(&InitInput::Others), [InitAction::TerminateAll, InitAction::Wait(USUAL_GRACE)]);
    assert_eq!(state.step(&InitInput::Reaped(11, StateChange::Signalled(15))), []);
    assert_eq!(state.step(&InitInput::Others), [], "SIGTERM is sent once");
    assert_eq!(state.step(&signal(libc::SIGTERM)), [], "and not forwarded now");
    assert_eq!(state.step(&InitInput::Alone), [InitAction::Exit(3)]);
    assert_eq!((state.ended, state.killed, state.why()), (1, false, StopCause::Ended));
}

#[test]
fn without_remaining_processes_it_exits_at_once() {
    let mut state = started();
    state.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    assert_eq!(state.step(&InitInput::Alone), [InitAction::Exit(0)]);
}

#[test]
fn processes_are_killed_after_the_grace_and_left_if_that_fails() {
    let mut state = started();
    state.step(&InitInput::Reaped(APP, StateChange::Signalled(11)));
    state.step(&InitInput::Others);
    assert_eq!(state.step(&InitInput::Timeout), [InitAction::KillAll, InitAction::Wait(AFTER_KILL)]);
    assert!(state.killed);
    assert_eq!(state.step(&InitInput::Timeout), [InitAction::Exit(128 + 11)]);
}

#[test]
fn without_a_grace_of_its_own_the_app_has_the_engines_time() {
    let mut state = started();
    let term = received(libc::SIGTERM);
    assert_eq!(state.step(&signal(15)), [InitAction::Forward(term), InitAction::Wait(USUAL_GRACE)]);
    assert_eq!(state.step(&InitInput::Timeout), [InitAction::TerminateDetached], "the app is spared");
    assert_eq!(state.step(&signal(15)), [InitAction::Forward(term)]);
    state.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    assert_eq!(state.step(&InitInput::Others), [InitAction::TerminateAll, InitAction::Wait(USUAL_GRACE)]);
}

#[test]
fn a_grace_that_is_set_begins_with_the_term() {
    let grace = Duration::from_secs(3);
    let mut state = InitState::new(APP, InitRules { grace: Some(grace), ..rules() });
    let actions = state.step(&signal(15));
    assert_eq!(actions, [InitAction::Forward(received(libc::SIGTERM)), InitAction::Wait(grace)]);
    let mut stubborn = state.clone();
    assert_eq!(stubborn.step(&InitInput::Timeout), [InitAction::KillAll, InitAction::Wait(AFTER_KILL)]);
    stubborn.step(&InitInput::Reaped(APP, StateChange::Signalled(9)));
    assert_eq!(stubborn.step(&InitInput::Alone), [InitAction::Exit(137)]);

    state.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    assert_eq!(state.step(&InitInput::Others), [InitAction::TerminateAll], "the time goes on");
    assert_eq!(state.step(&InitInput::Timeout), [InitAction::KillAll, InitAction::Wait(AFTER_KILL)]);
}

#[test]
fn a_drain_delays_the_term_and_nothing_else() {
    let drain = Duration::from_secs(5);
    let mut state = InitState::new(APP, InitRules { drain, ..rules() });
    assert_eq!(state.step(&signal(15)), [InitAction::Wait(drain)]);
    assert_eq!(forwarded(&state.step(&signal(1))), [1]);
    let mut impatient = state.clone();
    let term = [InitAction::Forward(received(libc::SIGTERM)), InitAction::Wait(USUAL_GRACE)];
    assert_eq!(state.step(&InitInput::Timeout), term);
    assert_eq!(impatient.step(&signal(15)), term, "a second one is meant");
    let mut ends = InitState::new(APP, InitRules { drain, ..rules() });
    ends.step(&signal(15));
    ends.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    assert_eq!(ends.step(&InitInput::Alone), [InitAction::Exit(0)]);
    assert_eq!(ends.why(), StopCause::Signal(15));
}

#[test]
fn a_violation_kills_and_its_code_stays() {
    let mut state = started();
    assert_eq!(state.step(&InitInput::Violation), [InitAction::KillAll, InitAction::Wait(AFTER_KILL)]);
    state.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    assert_eq!(state.step(&InitInput::Alone), [InitAction::Exit(137)]);
    assert_eq!(state.why(), StopCause::Violation);
}

#[test]
fn codes_are_remapped_and_the_signal_is_remembered() {
    let mut state = started();
    state.step(&signal(libc::SIGTERM));
    state.step(&InitInput::Reaped(APP, StateChange::Signalled(libc::SIGTERM)));
    assert_eq!(state.step(&InitInput::Alone), [InitAction::Exit(0)]);
    assert_eq!(state.why(), StopCause::Signal(libc::SIGTERM));
}

#[test]
fn signals_are_rewritten_or_dropped() {
    let rewrite = BTreeMap::from([(15, 3), (2, 0), (1, 37)]);
    let mut state = InitState::new(APP, InitRules { rewrite, ..rules() });
    assert_eq!(forwarded(&state.step(&signal(1))), [37]);
    assert_eq!(state.step(&signal(2)), [InitAction::Drop(2)]);
    assert_eq!(state.why(), StopCause::Ended, "a dropped signal stops nothing");
    let actions = [InitAction::Forward(received(3)), InitAction::Wait(USUAL_GRACE)];
    assert_eq!(state.step(&signal(15)), actions, "still what ends the container");
}

#[test]
fn the_status_signal_is_for_the_init() {
    let mut state = InitState::new(APP, InitRules { status: Some(10), ..rules() });
    assert_eq!(state.step(&signal(10)), [InitAction::Report]);
    state.step(&InitInput::Reaped(APP, StateChange::Exited(0)));
    state.step(&InitInput::Others);
    assert_eq!(state.step(&signal(10)), [InitAction::Report], "while it ends too");
}

#[test]
fn a_terminal_stop_stops_no_container_and_a_shells_job_as_a_whole() {
    let stopped = InitInput::Stopped(APP, libc::SIGTSTP);
    let mut first = started();
    assert_eq!(first.step(&from_terminal(libc::SIGTSTP)), [], "it was not for the app");
    assert_eq!(first.step(&stopped), [InitAction::Resume]);
    assert_eq!(first.step(&InitInput::Stopped(APP, libc::SIGSTOP)), [], "a stop that was sent on purpose");
    assert_eq!(first.step(&InitInput::Stopped(9, libc::SIGTSTP)), [], "that is its parent's");
    first.step(&signal(libc::SIGTSTP));
    assert_eq!(first.step(&stopped), [], "so was this");
    let cont = [InitAction::Foreground, InitAction::Forward(received(libc::SIGCONT))];
    assert_eq!(first.step(&signal(libc::SIGCONT)), cont);
    assert_eq!(first.step(&stopped), [InitAction::Resume]);

    let mut job = InitState::new(APP, InitRules { is_orphaned: false, ..rules() });
    assert_eq!(job.step(&stopped), [InitAction::Suspend]);
    assert_eq!(forwarded(&job.step(&from_terminal(libc::SIGTSTP))), [libc::SIGTSTP]);
}

#[test]
fn a_session_of_its_own_is_stopped_and_the_init_along_with_it() {
    let attended = InitRules { terminal: Terminal::Session, is_orphaned: false, ..rules() };
    let mut state = InitState::new(APP, attended.clone());
    for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let expected = [InitAction::Forward(received(libc::SIGSTOP)), InitAction::Suspend];
        assert_eq!(state.step(&signal(stop)), expected);
    }
    let rewrite = BTreeMap::from([(libc::SIGTSTP, libc::SIGHUP)]);
    let mut state = InitState::new(APP, InitRules { rewrite, ..attended });
    let expected = [InitAction::Forward(received(libc::SIGHUP)), InitAction::Suspend];
    assert_eq!(state.step(&signal(libc::SIGTSTP)), expected);
}

#[test]
fn an_app_in_the_inits_group_got_the_terminals_signal_already() {
    let mut state =
        InitState::new(APP, InitRules { terminal: Terminal::Shared, is_orphaned: false, ..rules() });
    assert_eq!(state.step(&from_terminal(libc::SIGINT)), []);
    assert_eq!(forwarded(&state.step(&signal(libc::SIGINT))), [libc::SIGINT]);
    let sent = [InitAction::Forward(received(libc::SIGTTIN)), InitAction::Suspend];
    assert_eq!(state.step(&signal(libc::SIGTTIN)), sent);
}

#[test]
fn an_app_in_the_inits_group_stops_before_the_init() {
    let shared =
        || InitState::new(APP, InitRules { terminal: Terminal::Shared, is_orphaned: false, ..rules() });
    let (stop, stopped) = (from_terminal(libc::SIGTSTP), InitInput::Stopped(APP, libc::SIGTSTP));
    // The init learns of the two in either order.
    for [first, second] in [[&stop, &stopped], [&stopped, &stop]] {
        let mut state = shared();
        for _ in 0..2 {
            assert_eq!(state.step(first), []);
            assert_eq!(state.step(second), [InitAction::Suspend]);
        }
    }
    // An app that handles the signal goes on, and what it does later is its own.
    let mut state = shared();
    assert_eq!(state.step(&stop), []);
    assert_eq!(forwarded(&state.step(&signal(libc::SIGCONT))), [libc::SIGCONT]);
    assert_eq!(state.step(&InitInput::Stopped(APP, libc::SIGSTOP)), []);
    // Where no parent would continue the init, it does not stop.
    let mut state =
        InitState::new(APP, InitRules { terminal: Terminal::Shared, is_orphaned: true, ..rules() });
    assert_eq!([state.step(&stop), state.step(&stopped)], [vec![], vec![]]);
}

#[test]
fn another_child_is_the_app_once_it_was_handed_over_to() {
    let mut state = started();
    assert!(state.may_follow());
    state.follow(9);
    assert_eq!(state.step(&InitInput::Reaped(APP, StateChange::Exited(3))), [], "no longer the app");
    assert!(state.app_runs());
    assert_eq!(forwarded(&state.step(&signal(libc::SIGHUP))), [libc::SIGHUP]);
    assert_eq!(state.step(&InitInput::Reaped(9, StateChange::Exited(4))), [InitAction::TerminateSession]);
    assert!(!state.may_follow());
    assert_eq!(state.step(&InitInput::Alone), [InitAction::Exit(4)]);
    let mut stopping = started();
    stopping.step(&signal(libc::SIGTERM));
    assert!(!stopping.may_follow(), "a container that is to stop stops");
}
