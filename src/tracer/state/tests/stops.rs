//! Stops and ends, in every order in which the kernel can report them.

use super::*;

#[test]
fn a_thread_that_is_killed_before_its_stop_is_seen_ends_its_call() {
    let mut table = in_exec(1, 11);
    run(&mut table, vec![(exec(2, 12), ""), (ended(11), "attach #2"), (not_attached(2), "")]);
    run_to_the_end(table, vec![]);
}

#[test]
fn a_process_that_ends_takes_its_waiting_calls_along() {
    run_to_the_end(in_exec(1, 10), vec![(exec(2, 11), ""), (ended(10), "")]);
}

#[test]
fn a_process_that_is_killed_while_it_is_inspected_is_not_verified() {
    run_to_the_end(
        in_exec(1, 10),
        vec![(executed(10), "inspect 10 #1"), (found(1, Inspection::Gone), ""), (ended(10), "")],
    );
}

#[test]
fn an_answer_of_the_examiner_for_a_process_that_is_gone_is_dropped() {
    run_to_the_end(
        in_exec(1, 10),
        vec![
            (executed(10), "inspect 10 #1"),
            (not_yet(1), "examine 10 #1"),
            (ended(10), ""),
            (examined(1, runs(1)), ""),
            (examiner_failed(1), ""),
        ],
    );
}

/// Another process has the pid by now, and another exec in flight.
#[test]
fn an_answer_of_the_examiner_for_an_earlier_exec_is_dropped() {
    let mut table = in_exec(1, 10);
    run(&mut table, vec![(executed(10), "inspect 10 #1"), (not_yet(1), "examine 10 #1"), (ended(10), "")]);
    run(&mut table, vec![(exec(2, 10), "attach #2"), (attached(2, &[10]), "interrupt 10, continue #2")]);
    run(&mut table, vec![(examined(1, dies()), ""), (reported(1), ""), (examiner_failed(1), "")]);
    run_to_the_end(table, vec![(trap(10), "detach 10")]);
}

/// Nothing of it runs unverified.
#[test]
fn a_process_that_no_thread_can_examine_is_killed() {
    run_to_the_end(
        in_exec(1, 10),
        vec![
            (executed(10), "inspect 10 #1"),
            (not_yet(1), "examine 10 #1"),
            (examiner_failed(1), "kill 10"),
            (ended(10), ""),
        ],
    );
    let mut table = in_mapping(1, 11);
    run(&mut table, vec![(trap(11), "examine mappings #1"), (examiner_failed(1), "kill 10")]);
    run_to_the_end(table, vec![(ended(11), ""), (ended(10), "")]);
}

/// Its end was reaped by the first thread and not announced.
#[test]
fn a_tid_whose_end_was_not_seen_is_attached_to_anew() {
    let rows = || {
        vec![
            (exec(1, 11), "attach #1"),
            (attached(1, &[11]), "interrupt 11, continue #1"),
            (trap(11), "detach 11"),
        ]
    };
    run(&mut until_exec(table(), &[10, 11]), rows());
    let mut table = until_exec(table(), &[11]);
    let refused = tried(1, &[], Err(Errno::EPERM), true);
    run(&mut table, vec![(exec(1, 11), "attach #1"), (refused, "report #1 Denied")]);
    run_to_the_end(table, vec![(reported(1), "fail #1 EACCES")]);
}

#[test]
fn a_thread_that_calls_again_has_ended_its_call_without_a_stop() {
    let mut table = old_kernel();
    run(&mut table, vec![(exec(1, 10), "attach #1"), (attached(1, &[10]), "continue #1")]);
    run(&mut table, vec![(exec(2, 10), "attach #2"), (attached(2, &[]), "continue #2")]);
}

/// Its exec is past the point of no return, so it has the leader's tid; the former one may be
/// another thread's by now.
#[test]
fn an_exec_by_another_thread_than_the_leader_goes_on_under_the_leaders_tid() {
    let rows = || vec![(executed(11), "inspect 10 #1"), (inspected(1, runs(1)), "10 executed, detach 10")];
    run_to_the_end(in_exec(1, 11), rows());
    // The leader was traced too: it is gone without a report.
    let mut table = until_exec(table(), &[10, 11]);
    run(&mut table, vec![(exec(1, 11), "attach #1"), (attached(1, &[]), "interrupt 11, continue #1")]);
    run_to_the_end(table, rows());
}

#[test]
fn an_exec_that_fails_past_the_point_of_no_return_is_killed_under_the_leaders_tid() {
    let signal = || stopped(10, PtraceStop::Signal(SEGV));
    run_to_the_end(in_exec(1, 11), vec![(signal(), "cont 10 with 11"), (ended(10), "")]);
    run_to_the_end(in_exec(1, 11), vec![(trap(10), "detach 10")]);
    // Killed at once, with no stop before.
    run_to_the_end(in_exec(1, 11), vec![(ended(10), "")]);
    let mut table = until_exec(table(), &[10, 11]);
    run(&mut table, vec![(exec(1, 11), "attach #1"), (attached(1, &[]), "interrupt 11, continue #1")]);
    run_to_the_end(table, vec![(signal(), "cont 10 with 11"), (ended(10), "")]);
}

/// No exec continues that was not notified before.
#[test]
fn an_exec_that_was_not_notified_is_killed() {
    run_to_the_end(table(), vec![(executed(10), "kill 10"), (trap(10), ""), (ended(10), "")]);
    run(&mut until_exec(table(), &[10]), vec![(executed(10), "kill 10")]);
    run(&mut in_mapping(1, 10), vec![(executed(10), "kill 10")]);
}

#[test]
fn where_execs_are_not_verified_a_process_that_can_be_read_again_is_detached() {
    let execs = |readable, then| vec![(executed(10), "probe 10"), (probed(readable), then)];
    run_to_the_end(until_exec(unverified(), &[10]), execs(true, "detach 10"));
    let mut table = until_exec(unverified(), &[10]);
    run(&mut table, execs(false, "cont 10"));
    run(&mut table, execs(true, "detach 10"));
}

mod job_control {
    use super::*;

    const GROUP: PtraceStop = PtraceStop::Group(STOP);

    #[test]
    fn a_traced_thread_stays_in_its_group_stop_until_cont() {
        let mut table = until_exec(table(), &[20, 21]);
        run(&mut table, vec![(stopped(20, PtraceStop::Signal(STOP)), "cont 20 with 19")]);
        run(&mut table, vec![(stopped(20, GROUP), "listen 20"), (stopped(21, GROUP), "listen 21")]);
        // SIGCONT ends it: a trap of the kernel's, and the signal itself.
        run(&mut table, vec![(trap(21), "cont 21"), (trap(20), "cont 20")]);
        run(&mut table, vec![(stopped(20, PtraceStop::Signal(libc::SIGCONT)), "cont 20 with 18")]);
    }

    /// PID 1 continues an app that no other process could.
    #[test]
    fn a_group_stop_of_the_traced_app_is_reported() {
        let mut table = until_exec(table(), &[APP, 11]);
        run(&mut table, vec![(stopped(11, GROUP), "listen 11")]);
        run(&mut table, vec![(stopped(APP, GROUP), "10 stopped by 19, listen 10")]);
    }

    /// The kernel reports its stop to the first thread once it is detached.
    #[test]
    fn a_failed_exec_in_a_group_stop_is_detached_and_not_reported() {
        run_to_the_end(in_exec(1, APP), vec![(stopped(APP, GROUP), "detach 10")]);
    }

    #[test]
    fn a_group_stop_in_the_place_of_the_requested_one_ends_a_failed_exec() {
        let mut table = until_exec(table(), &[20, 21]);
        run(&mut table, vec![(exec(1, 20), "attach #1"), (attached(1, &[]), "interrupt 20, continue #1")]);
        run(&mut table, vec![(exec(2, 21), ""), (stopped(20, GROUP), "listen 20, attach #2")]);
    }

    /// Below Linux 5.19 no stop was requested: the exec may still be in flight.
    #[test]
    fn a_group_stop_that_was_not_requested_ends_no_exec() {
        let mut table = old_kernel();
        run(&mut table, vec![(exec(1, 20), "attach #1"), (attached(1, &[20]), "continue #1")]);
        run(&mut table, vec![(stopped(20, GROUP), "listen 20"), (exec(2, 11), "interrupt 20")]);
        run(&mut table, vec![(trap(20), "cont 20, attach #2")]);
    }

    #[test]
    fn a_thread_that_has_mapped_code_stays_in_its_group_stop() {
        let mut table = in_mapping(1, 11);
        run(&mut table, vec![(stopped(11, GROUP), "examine mappings #1")]);
        run_to_the_end(table, vec![(examined(1, runs(0)), "detach 11")]);
        let mut table = until_exec(super::table(), &[20, 21]);
        run(&mut table, vec![(map(1, 21), "attach #1"), (attached(1, &[]), "interrupt 21, continue #1")]);
        run(&mut table, vec![(stopped(21, GROUP), "examine mappings #1"), (stopped(20, GROUP), "listen 20")]);
        run(&mut table, vec![(examined(1, runs(0)), "listen 21"), (trap(21), "cont 21")]);
    }
}

mod mappings {
    use super::*;

    #[test]
    fn a_thread_that_maps_code_stops_after_the_call_and_waits_for_the_verdict() {
        run_to_the_end(
            table(),
            vec![
                (map(1, 11), "attach #1"),
                (attached(1, &[11]), "interrupt 11, continue #1"),
                (map(2, 12), ""),
                (trap(11), "examine mappings #1"),
                (examined(1, runs(0)), "detach 11, attach #2"),
                (not_attached(2), ""),
            ],
        );
    }

    #[test]
    fn a_process_that_mapped_other_code_is_killed_as_a_whole() {
        run_to_the_end(
            in_mapping(1, 11),
            vec![
                (trap(11), "examine mappings #1"),
                (examined(1, dies()), "report #1 Killed"),
                (reported(1), "kill 10"),
                (ended(11), ""),
                (ended(10), ""),
            ],
        );
    }

    #[test]
    fn a_traced_thread_continues_after_its_mapping() {
        let mut table = until_exec(table(), &[10, 11]);
        run(&mut table, vec![(map(1, 11), "attach #1"), (attached(1, &[]), "interrupt 11, continue #1")]);
        run(&mut table, vec![(trap(10), "cont 10"), (trap(11), "examine mappings #1")]);
        run(&mut table, vec![(examined(1, runs(0)), "cont 11")]);
    }

    /// No stop can be requested in advance.
    #[test]
    fn below_linux_5_19_a_mapping_continues_untraced() {
        run_to_the_end(old_kernel(), vec![(map(1, 11), "continue #1")]);
    }

    #[test]
    fn a_thread_that_is_killed_after_it_has_mapped_ends_its_call() {
        let mut table = in_mapping(1, 11);
        run(&mut table, vec![(trap(11), "examine mappings #1"), (ended(11), "")]);
        run_to_the_end(table, vec![(examined(1, dies()), "")]);
    }
}

mod children {
    use super::*;

    const CHILD: i32 = 20;
    /// Who inherits the children of a process that has ended.
    const INIT: i32 = 1;

    #[test]
    fn a_child_that_stops_before_its_parent_waits_for_it() {
        let mut table = until_exec(table(), &[10]);
        run(&mut table, vec![(first(CHILD, 10), ""), (forked(10, CHILD), "10 made 20, cont 20, cont 10")]);
        run(&mut table, vec![(trap(CHILD), "cont 20")]);
    }

    #[test]
    fn a_child_that_stops_after_its_parent_continues_at_once() {
        let mut table = until_exec(table(), &[10]);
        run(&mut table, vec![(forked(10, CHILD), "10 made 20, cont 10"), (trap(CHILD), "cont 20")]);
    }

    /// A thread that is made while its group stops begins with that stop.
    #[test]
    fn a_child_that_is_made_in_a_group_stop_stays_in_it() {
        const GROUP: PtraceStop = PtraceStop::Group(STOP);
        let mut table = until_exec(table(), &[10]);
        let rows =
            vec![(first_in(CHILD, 10, GROUP), ""), (forked(10, CHILD), "10 made 20, listen 20, cont 10")];
        run(&mut table, rows);
        let mut table = until_exec(super::table(), &[10]);
        let rows = vec![(forked(10, CHILD), "10 made 20, cont 10"), (stopped(CHILD, GROUP), "listen 20")];
        run(&mut table, rows);
    }

    /// The next thread with its id is attached to for its exec like any other.
    #[test]
    fn a_child_that_was_killed_and_reaped_before_its_parents_stop_is_not_adopted() {
        let mut table = until_exec(table(), &[10]);
        let forked = stopped(10, PtraceStop::Fork { child: Tid::from_raw(CHILD), pid: None });
        run(&mut table, vec![(first(CHILD, 10), ""), (ended(CHILD), ""), (forked, "10 made 20, cont 10")]);
        assert!(!table.has(Tid::from_raw(CHILD)));
    }

    #[test]
    fn a_child_whose_parent_is_killed_before_its_stop_continues() {
        // The parent's end comes after the child's stop, and before it.
        let mut table = until_exec(table(), &[10]);
        run(&mut table, vec![(first(CHILD, 10), ""), (ended(10), "cont 20"), (ended(CHILD), "")]);
        run_to_the_end(table, vec![]);
        let mut table = until_exec(super::table(), &[10]);
        run(&mut table, vec![(ended(10), ""), (first(CHILD, INIT), "cont 20")]);
        // The child has stopped before it was given to init.
        let mut table = until_exec(super::table(), &[10]);
        run(&mut table, vec![(ended(10), ""), (first(CHILD, 10), "cont 20")]);
    }

    /// The thread that made it is killed by a sibling's exec.
    #[test]
    fn a_child_whose_parent_has_executed_continues() {
        let in_exec = || {
            let mut table = until_exec(table(), &[10, 11]);
            run(
                &mut table,
                vec![(exec(1, 11), "attach #1"), (attached(1, &[]), "interrupt 11, continue #1")],
            );
            table
        };
        let inspected = || inspected(1, runs(1));
        let mut table = in_exec();
        run(&mut table, vec![(first(CHILD, 10), ""), (executed(11), "cont 20, inspect 10 #1")]);
        run(&mut table, vec![(inspected(), "10 executed, detach 10")]);
        let mut table = in_exec();
        run(&mut table, vec![(executed(11), "inspect 10 #1"), (first(CHILD, 10), "")]);
        run(&mut table, vec![(inspected(), "10 executed, detach 10, cont 20")]);
    }

    #[test]
    fn a_child_waits_on_when_another_thread_ends() {
        let mut table = until_exec(table(), &[10]);
        run(&mut table, vec![(forked(10, 30), "10 made 30, cont 10"), (trap(30), "cont 30")]);
        run(&mut table, vec![(first(CHILD, 10), ""), (ended(30), "")]);
        run(&mut table, vec![(forked(10, CHILD), "10 made 20, cont 20, cont 10")]);
    }

    /// A thread of the parent's process ended: it may have been the one that made it.
    #[test]
    fn a_child_continues_when_a_thread_of_its_parent_ends() {
        let mut table = until_exec(table(), &[10, 11]);
        run(&mut table, vec![(first(CHILD, 10), ""), (ended(11), "cont 20")]);
        // Its parent's stop comes all the same.
        run(&mut table, vec![(forked(10, CHILD), "10 made 20, cont 10")]);
    }

    /// Its own child waits for it in the same way.
    #[test]
    fn a_child_is_traced_until_its_exec_as_its_parent() {
        let mut table = until_exec(table(), &[10]);
        run(&mut table, vec![(forked(10, CHILD), "10 made 20, cont 10"), (trap(CHILD), "cont 20")]);
        run(&mut table, vec![(first(30, CHILD), ""), (forked(CHILD, 30), "20 made 30, cont 30, cont 20")]);
    }

    #[test]
    fn a_new_thread_waits_for_a_thread_of_its_process() {
        let new = TracerEvent::FirstStop {
            tid: Tid::from_raw(12),
            pid: Pid::from_raw(P),
            maker: Pid::from_raw(P),
            stop: PtraceStop::Trap,
        };
        let made = stopped(11, PtraceStop::Fork { child: Tid::from_raw(12), pid: None });
        let mut table = until_exec(table(), &[10, 11]);
        run(&mut table, vec![(new, ""), (made, "11 made 12, cont 12, cont 11"), (exec(1, 12), "attach #1")]);
    }
}

/// A thread that is not the leader has the leader's tid once its exec is past the point of no
/// return: it is no new thread.
#[test]
fn an_exec_that_stops_under_the_leaders_tid_is_no_new_thread() {
    run_to_the_end(in_exec(1, 11), vec![(first(10, 1), "detach 10")]);
    // Its exec was not verified.
    let mut table = until_exec(unverified(), &[11]);
    run(&mut table, vec![(stopped(10, PtraceStop::Signal(SEGV)), "cont 10 with 11")]);
}

/// The table after a thread was attached to for a mapping, and the call was continued.
fn in_mapping(id: u64, tid: i32) -> TraceTable {
    let mut table = table();
    table.step(map(id, tid));
    table.step(attached(id, &[tid]));
    table
}
