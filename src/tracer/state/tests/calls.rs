//! Calls, from the attaching to the verdict.

use super::*;

#[test]
fn an_exec_that_succeeds_is_verified_and_detached() {
    run_to_the_end(
        table(),
        vec![
            (exec(1, 10), "attach #1"),
            (attached(1, &[10]), "interrupt 10, continue #1"),
            (executed(10), "inspect 10 #1"),
            (inspected(1, runs(1)), "10 executed, detach 10"),
        ],
    );
}

/// The report has the ids and the tid that the exec has left it.
#[test]
fn an_exec_is_reported_as_the_kernel_left_it() {
    let mut table = table();
    let mut exec = exec(1, 11);
    if let TracerEvent::Called { call, .. } = &mut exec {
        call.caller.uids = [0, 33, 101, 101].map(Uid::from_raw);
    }
    run(&mut table, vec![(exec, "attach #1"), (attached(1, &[11]), "interrupt 11, continue #1")]);
    run(&mut table, vec![(executed(11), "inspect 10 #1")]);
    let actions = table.step(inspected(1, runs(2)));
    let Some(TracerAction::Report(Report::Executed { caller, entry, .. })) = actions.first() else {
        panic!("{actions:?}");
    };
    assert_eq!((caller.tid, *entry), (Tid::from_raw(10), ProgramIndex::new(2)));
    assert_eq!(caller.uids, [0, 33, 33, 33].map(Uid::from_raw));
}

#[test]
fn an_exec_that_fails_stops_as_requested_and_is_detached() {
    run_to_the_end(in_exec(1, 10), vec![(trap(10), "detach 10")]);
}

#[test]
fn a_file_is_examined_while_the_process_stays_stopped() {
    run_to_the_end(
        in_exec(1, 10),
        vec![
            (executed(10), "inspect 10 #1"),
            (not_yet(1), "examine 10 #1"),
            (examined(1, runs(2)), "10 executed, detach 10"),
        ],
    );
}

#[test]
fn what_dies_is_reported_first_and_then_killed() {
    run_to_the_end(
        in_exec(1, 10),
        vec![
            (executed(10), "inspect 10 #1"),
            (inspected(1, dies()), "report #1 Killed"),
            (reported(2), ""),
            (reported(1), "kill 10"),
            (ended(10), ""),
        ],
    );
}

/// To attach while an exec is in flight would wait for it, and it for the tracer.
#[test]
fn a_second_exec_of_a_process_waits_for_the_first() {
    run_to_the_end(
        table(),
        vec![
            (exec(1, 11), "attach #1"),
            (attached(1, &[11]), "interrupt 11, continue #1"),
            (exec(2, 12), ""),
            (hide(3, 10), ""),
            (trap(11), "detach 11, attach #2"),
            (attached(2, &[12]), "interrupt 12, continue #2"),
            (trap(12), "detach 12, attach #3"),
            (tried(3, &[], Err(Errno::ESRCH), true), ""),
        ],
    );
}

#[test]
fn the_first_exec_ends_the_thread_of_the_second() {
    run_to_the_end(
        in_exec(1, 11),
        vec![
            (exec(2, 12), ""),
            (executed(11), "inspect 10 #1"),
            (inspected(1, runs(1)), "10 executed, detach 10, attach #2"),
            (not_attached(2), ""),
        ],
    );
}

#[test]
fn processes_do_not_wait_for_one_another() {
    run(&mut in_exec(1, 10), vec![(exec_in(2, 20, 20), "attach #2")]);
}

/// Its thread was ended by an exec of its process; the new program has its tid.
#[test]
fn a_stale_call_ends_no_exec_in_flight() {
    let mut table = in_exec(1, 10);
    run(&mut table, vec![(stale(exec(2, 10)), ""), (exec(3, 11), "")]);
    run(&mut table, vec![(trap(10), "detach 10, attach #3")]);
}

#[test]
fn a_call_that_is_stale_before_it_is_attached_to_is_dropped() {
    let rows = vec![(exec(1, 10), "attach #1"), (exec(2, 11), ""), (not_attached(1), "attach #2")];
    run(&mut table(), rows);
}

/// The thread that has the tid by now was attached to, and is detached at its stop.
#[test]
fn a_call_that_is_stale_afterwards_is_not_answered() {
    run_to_the_end(
        table(),
        vec![
            (exec(1, 10), "attach #1"),
            (tried(1, &[10], Ok(()), false), "interrupt 10"),
            (trap(10), "detach 10"),
        ],
    );
}

#[test]
fn a_thread_that_was_traced_before_stays_so_where_the_call_is_stale() {
    let mut table = until_exec(table(), &[10, 11]);
    run(&mut table, vec![(exec(1, 11), "attach #1"), (tried(1, &[], Ok(()), false), "")]);
    run(&mut table, vec![(trap(11), "cont 11")]);
}

#[test]
fn a_thread_that_is_gone_is_not_answered() {
    run_to_the_end(table(), vec![(exec(1, 10), "attach #1"), (tried(1, &[], Err(Errno::ESRCH), false), "")]);
}

#[test]
fn what_cannot_be_traced_does_not_execute() {
    for (on_violation, report, then) in [
        (OnViolation::Deny, "report #1 Denied", "fail #1 EACCES"),
        (OnViolation::Kill, "report #1 Killed", "kill caller #1, fail #1 EACCES"),
        // It waits for its answer until the container has ended.
        (OnViolation::Stop, "report #1 Denied", ""),
    ] {
        run_to_the_end(
            table_with(Config { on_violation, ..config() }),
            vec![
                (exec(1, 10), "attach #1"),
                (tried(1, &[], Err(Errno::EPERM), true), report),
                (reported(1), then),
                (reported(1), ""),
            ],
        );
    }
}

#[test]
fn a_refused_call_lets_the_next_one_begin() {
    run(
        &mut table(),
        vec![
            (exec(1, 10), "attach #1"),
            (exec(2, 11), ""),
            (tried(1, &[], Err(Errno::EPERM), true), "report #1 Denied, attach #2"),
        ],
    );
}

#[test]
fn what_cannot_be_traced_does_not_become_unreadable_where_execs_are_verified() {
    run_to_the_end(
        table(),
        vec![
            (hide(1, 10), "attach #1"),
            (tried(1, &[], Err(Errno::EPERM), true), "report #1 Denied"),
            (reported(1), "fail #1 EPERM"),
        ],
    );
    let rows = vec![(hide(1, 10), "attach #1"), (tried(1, &[], Err(Errno::EPERM), true), "continue #1")];
    run_to_the_end(unverified(), rows);
}

#[test]
fn an_unreadable_process_is_traced_until_its_exec() {
    run_to_the_end(
        until_exec(table(), &[10, 11]),
        vec![
            (trap(11), "cont 11"),
            (stopped(11, PtraceStop::Signal(15)), "cont 11 with 15"),
            (stopped(11, PtraceStop::Other), "cont 11"),
            (exec(1, 11), "attach #1"),
            (attached(1, &[]), "interrupt 11, continue #1"),
            // It fails; the thread stays traced.
            (trap(11), "cont 11"),
            (exec(2, 10), "attach #2"),
            (attached(2, &[]), "interrupt 10, continue #2"),
            // The sibling is ended by the exec, and reaped by its tracer.
            (ended(11), ""),
            (executed(10), "inspect 10 #2"),
            (inspected(2, runs(1)), "10 executed, detach 10"),
        ],
    );
}

#[test]
fn a_process_that_becomes_readable_is_detached_after_that_call() {
    let mut table = until_exec(unverified(), &[10]);
    run(&mut table, vec![(show(1, 10), "attach #1"), (attached(1, &[]), "interrupt 10, continue #1")]);
    run_to_the_end(table, vec![(trap(10), "detach 10")]);
}

#[test]
fn it_stays_traced_where_execs_are_verified_or_its_ids_hide_it() {
    let rows = || vec![(show(1, 10), "attach #1"), (attached(1, &[]), "continue #1")];
    run(&mut until_exec(table(), &[10]), rows());
    run(&mut until_exec(old_kernel(), &[10]), rows());
    let mut call = show(1, 10);
    if let TracerEvent::Called { call, .. } = &mut call {
        call.caller.uids = [0, 101, 101, 101].map(Uid::from_raw);
    }
    let rows = vec![(call, "attach #1"), (attached(1, &[]), "continue #1")];
    run(&mut until_exec(unverified(), &[10]), rows);
}

#[test]
fn a_process_that_is_not_traced_becomes_readable_untouched() {
    let rows = vec![(show(1, 10), "attach #1"), (tried(1, &[], Err(Errno::EPERM), true), "continue #1")];
    run_to_the_end(unverified(), rows);
}

#[test]
fn after_the_listener_is_closed_what_is_in_flight_is_still_verified() {
    let mut table = in_exec(1, 10);
    run(
        &mut table,
        vec![(exec(2, 11), ""), (TracerEvent::ListenerClosed, ""), (executed(10), "inspect 10 #1")],
    );
    run_to_the_end(table, vec![(inspected(1, dies()), "kill 10"), (ended(10), "")]);
}

#[test]
fn a_denied_call_is_not_answered_after_the_listener_is_closed() {
    run_to_the_end(
        table(),
        vec![
            (exec(1, 10), "attach #1"),
            (tried(1, &[], Err(Errno::EPERM), true), "report #1 Denied"),
            (TracerEvent::ListenerClosed, ""),
            (reported(1), ""),
        ],
    );
}
