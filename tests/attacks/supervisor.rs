//! The supervisor as the target: read, written, traced, signalled, starved, deadlocked,
//! flooded, or robbed of its listener.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::attack::{Attack, all_hold, all_hold_of, attack, runs};
use crate::site::{self, NEEDS, serve};
use crate::support::forbidden::{EACCES, EPERM, first, make, never, seen, unseen};
use crate::support::{Place, can_run, in_each_place};

in_each_place!(
    the_first_process_is_out_of_reach,
    none_of_its_threads_is_in_reach,
    a_thread_that_was_made_later_is_out_of_reach,
    the_filter_alone_keeps_signals_from_it,
    no_filter_of_the_apps_own_loosens_ours,
    nothing_is_left_open,
    threads_that_exec_at_once_delay_no_other,
    a_fork_bomb_ends_at_the_limit,
    forks_at_one_moment_are_counted,
    a_lease_delays_no_other_call,
    a_thread_that_runs_last_delays_no_other_call,
    the_end_of_all_is_reported
);

/// WINCH, which the first process does not end by.
pub const FIRST: &[Attack] = &[
    attack(never("signal-queue?arg=1&arg=28", EPERM, "syscall", "rt_sigqueueinfo")),
    attack(never("signal-queue-thread?arg=1&arg=28", EPERM, "syscall", "rt_tgsigqueueinfo")),
    attack(never("signal-thread?arg=1&arg=28", EPERM, "syscall", "tkill")),
    attack(never("signal-pidfd?arg=1&arg=28", EPERM, "syscall", "pidfd_")),
    // URG: one that the app ignores, and the supervisor does not forward from inside.
    attack(never("signal-high?arg=1&arg=23", EPERM, "syscall", "kill")),
    // The kernel sends it or does not, without a notification.
    attack(unseen("signal-owner?arg=1", EPERM)),
    attack(unseen("open?arg=/proc/1/exe", EACCES)),
    attack(never("open?arg=/proc/1/exe&arg=write", &["EACCES", "ETXTBSY"], "file", "/proc/1/exe"))
        .docker("ETXTBSY")
        .restricted("EACCES")
        .namespace("ETXTBSY"),
    attack(unseen("open?arg=/proc/1/root/etc/passwd", EACCES)),
    attack(unseen("open?arg=/proc/1/fd/0", EACCES)),
    attack(unseen("open?arg=/proc/1/maps", EACCES)),
    attack(never("open?arg=/proc/1/oom_score_adj&arg=write", EACCES, "file", "/proc/1/oom_score_adj")),
    attack(never("open?arg=/proc/1/comm&arg=write", EACCES, "file", "/proc/1/comm")),
    attack(first("init-limits", EPERM, "syscall", "prlimit64")),
    attack(first("init-priority", EPERM, "syscall", "setpriority")),
    attack(first("init-scheduler", EPERM, "syscall", "sched_setscheduler")),
    // What a process may do to its own group, done to the first one's.
    attack(first("group-priority?arg=1", EPERM, "syscall", "setpriority")),
    attack(first("join-group?arg=1", EPERM, "syscall", "setpgid")),
    attack(never("open?arg=/proc/1/loginuid&arg=write", EACCES, "file", "/proc/1/loginuid")),
];

fn the_first_process_is_out_of_reach(place: Place) {
    all_hold(place, &site::profile(), FIRST);
}

/// Its other threads, by their numbers; with what the profile lists in vain.
pub const THREADS: &[Attack] = &[
    attack(never("thread-kill", EPERM, "syscall", "kill")),
    attack(never("thread-kill-high", EPERM, "syscall", "kill")),
    attack(never("thread-tkill", EPERM, "syscall", "tkill")),
    attack(never("thread-queue", EPERM, "syscall", "rt_sigqueueinfo")),
    attack(never("thread-scheduler", EPERM, "syscall", "sched_setscheduler")),
    attack(never("thread-attributes", EPERM, "syscall", "sched_setattr")),
    attack(never("thread-processors", EPERM, "syscall", "sched_setaffinity")),
    attack(never("thread-priority", EPERM, "syscall", "setpriority")),
    attack(never("thread-disk", EPERM, "syscall", "ioprio_set")),
    attack(never("thread-limits", EPERM, "syscall", "prlimit64")),
    attack(never("user-priority", EPERM, "syscall", "setpriority")),
];

fn listing(calls: &[&str]) -> serde_json::Value {
    let mut profile = site::profile();
    profile["syscalls"]["allow"] = json!(calls);
    profile
}

fn none_of_its_threads_is_in_reach(place: Place) {
    all_hold(place, &listing(&["ioprio_set", "prlimit64", "sched_setscheduler", "setpriority"]), THREADS);
}

/// The last of its threads once all are made, before the first of these is answered: a signal
/// to it is refused by Landlock's scope, without an event.
pub const LATER_THREADS: &[Attack] = &[
    attack(never("thread-scheduler?arg=last", EPERM, "syscall", "sched_setscheduler")),
    attack(unseen("thread-kill?arg=last", EPERM)),
    attack(unseen("thread-kill-high?arg=last", EPERM)),
    attack(unseen("thread-tkill?arg=last", EPERM)),
    attack(unseen("thread-queue?arg=last", EPERM)),
    attack(never("thread-processors?arg=last", EPERM, "syscall", "sched_setaffinity")),
    attack(never("thread-limits?arg=last", EPERM, "syscall", "prlimit64")),
];

fn a_thread_that_was_made_later_is_out_of_reach(place: Place) {
    all_hold(place, &listing(&["prlimit64", "sched_setscheduler"]), LATER_THREADS);
}

/// What Landlock's scope refuses unseen, where there is one.
pub const WITHOUT_SCOPE: &[Attack] = &[
    attack(never("signal-owner?arg=1", EPERM, "syscall", "fcntl")),
    attack(never("thread-owner", EPERM, "syscall", "fcntl")),
    attack(never("thread-owner-memory", EPERM, "syscall", "fcntl")),
    attack(first("signal-directory", &["ENOSYS"], "syscall", "pidfd_send_signal")),
];

/// Before Linux 6.12, or where the runtime has no Landlock: the filter alone.
fn the_filter_alone_keeps_signals_from_it(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    // Only an engine refuses calls to all that runs in it.
    if place == Place::UserNamespace {
        return;
    }
    let filter = crate::support::folder().join(crate::support::unique("without-landlock"));
    let calls = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
    let refused = json!({ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS });
    let text = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused] });
    std::fs::write(&filter, text.to_string()).expect("a temporary file");
    let option = format!("seccomp={}", filter.display());
    let mut profile = listing(&["fcntl", "ioprio_set", "prlimit64", "sched_setscheduler", "setpriority"]);
    profile["fallback"] = json!("degrade");
    profile["files"].as_array_mut().expect("a list").push(json!({ "path": "/proc", "allow": ["read"] }));
    let signals = FIRST.iter().filter(|attack| {
        let act = attack.forbidden.act;
        act.starts_with("signal-") && !act.starts_with("signal-owner")
    });
    let attacks: Vec<&Attack> = signals.chain(THREADS).chain(WITHOUT_SCOPE).collect();
    all_hold_of(
        place,
        |options| site::serve_with(place, &["--security-opt", &option], options, &profile),
        &attacks,
    );
}

pub const FILTERS: &[Attack] = &[
    runs(seen("filter-own?arg=/app/evil", EACCES, "program", "/app/evil")),
    // A second listener in one tree is the kernel's to refuse.
    attack(unseen("listener-own", &["EBUSY"])),
];

/// An app that sandboxes itself.
fn no_filter_of_the_apps_own_loosens_ours(place: Place) {
    let mut profile = site::profile();
    profile["syscalls"]["allow"] = json!(["memfd_create", "seccomp"]);
    all_hold(place, &profile, FILTERS);
}

/// The app has no descriptor that it did not open itself, the listener least of all.
fn nothing_is_left_open(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (confined, _site) = serve(place, &[], &site::profile());
    assert_eq!(make(&confined, "descriptors"), ("ok".to_owned(), String::new()));
}

/// The exec of one thread waits for the end of the others, which wait for an answer of
/// the supervisor's, which must not wait for the exec. The control is that all of them
/// go through: nothing is to be refused here.
fn threads_that_exec_at_once_delay_no_other(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let mut profile = site::profile();
    // With arguments to hold, each of them is looked at after the exec.
    profile["programs"][4]["args"] = json!([["g"]]);
    for options in [&["--mode", "off"][..], &[]] {
        let (mut confined, _site) = serve(place, options, &profile);
        for act in ["exec-crowd?arg=100", "exec-crowd?arg=100&arg=headless"] {
            let came = make(&confined, act);
            assert_eq!(came, ("ok".to_owned(), "100 of 100".to_owned()), "{act}: {}", confined.stderr());
        }
        assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
        let stopped = confined.stop();
        assert_eq!(stopped.code, 143, "{}", confined.stderr());
        assert!(stopped.took < Duration::from_secs(8), "the first process was held up: {stopped:?}");
    }
}

fn a_fork_bomb_ends_at_the_limit(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (free, _site) = serve(place, &["--mode", "off"], &site::profile());
    assert_eq!(make(&free, "fork-bomb").0, "ok");
    drop(free);
    let mut profile = site::profile();
    profile["limits"] = json!({ "processes": 30 });
    let (mut confined, _site) = serve(place, &[], &profile);
    assert_eq!(make(&confined, "fork-bomb").0, "EAGAIN");
    let reported = confined
        .event(|events| events.violations().into_iter().find(|event| event["kind"] == "limit").cloned());
    let event = reported.unwrap_or_else(|| panic!("no event of the limit\n{}", confined.stderr()));
    assert_eq!((&event["action"], &event["errno"]), (&json!("denied"), &json!("EAGAIN")), "{event}");
    // All of it is gone, and what comes next is as before.
    let deadline = Instant::now() + Duration::from_secs(60);
    while make(&confined, "forks?arg=20").0 != "ok" {
        assert!(Instant::now() < deadline, "the bomb is not cleared away");
    }
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
}

/// With the server and the process that asks, which is its child.
pub const CROWDS: [Attack; 2] = [
    attack(first("fork-crowd?arg=100&arg=12", &["EAGAIN"], "limit", "processes")),
    attack(first("fork-crowd?arg=40&arg=12&arg=idle", &["EAGAIN"], "limit", "processes")),
];

/// The same by the program.
pub const INSTANCES: [Attack; 2] = [
    attack(first("fork-crowd?arg=100&arg=12", &["EAGAIN"], "program", "/probe")),
    attack(first("fork-crowd?arg=40&arg=12&arg=idle", &["EAGAIN"], "program", "/probe")),
];

/// None of them has happened when the next is counted; with an idle priority none happens
/// for seconds.
fn forks_at_one_moment_are_counted(place: Place) {
    let mut profile = site::profile();
    profile["syscalls"]["allow"] = json!(["sched_setscheduler"]);
    let mut instances = profile.clone();
    profile["limits"] = json!({ "processes": 12 });
    instances["programs"][0]["instances"] = json!(12);
    all_hold(place, &profile, &CROWDS);
    all_hold(place, &instances, &INSTANCES);
}

/// With one name that the supervisor makes and opens itself.
fn with_a_new_file() -> serde_json::Value {
    let mut profile = site::profile();
    let files = profile["files"].as_array_mut().expect("a list");
    files.push(json!({ "path": "/app/new", "allow": ["read", "write", "create", "remove"] }));
    profile
}

/// The control is what comes of it without a supervisor. That opens the file too, and must
/// not wait for the lease; the caller does, as long as it would in the kernel, and then gets
/// what it would have got there.
fn a_lease_delays_no_other_call(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    for (options, executed) in [(&["--mode", "off"][..], "ENOEXEC"), (&[][..], "EACCES")] {
        let (mut confined, site) = serve(place, options, &with_a_new_file());
        // The attacker makes a file here.
        std::fs::set_permissions(&site.0, PermissionsExt::from_mode(0o777)).expect("ours");
        for (how, then) in [("open", "ok"), ("truncate", "ok"), ("exec", executed)] {
            let came = make(&confined, &format!("lease?arg=/app/new&arg={how}"));
            let expected = format!("others are served meanwhile, then {then}");
            assert_eq!(
                came,
                ("ok".to_owned(), expected),
                "{place:?} {options:?} {how}: {}",
                confined.stderr()
            );
        }
        assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
    }
}

/// The descriptor of a file that was made for it, which it has to take itself.
fn a_thread_that_runs_last_delays_no_other_call(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (mut confined, site) = serve(place, &[], &with_a_new_file());
    std::fs::set_permissions(&site.0, PermissionsExt::from_mode(0o777)).expect("ours");
    let came = make(&confined, "run-last?arg=/app/new");
    let expected = ("ok".to_owned(), "others are served meanwhile".to_owned());
    assert_eq!(came, expected, "{place:?}: {}", confined.stderr());
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
}

/// `kill(-1, KILL)` reaches everybody but the first process, which then tells the end.
fn the_end_of_all_is_reported(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (mut confined, _site) = serve(place, &[], &site::profile());
    // The server dies of it before it can answer.
    let answered = confined
        .connect(8080)
        .map(|stream| crate::support::Client::new(stream).get("/act/kill?arg=-1&arg=9").is_err());
    assert!(answered.expect("it listens"), "it answers from beyond");
    assert_eq!(confined.wait(), 128 + libc::SIGKILL, "{}", confined.stderr());
    let events = confined.events();
    assert_eq!(events.of("stop").len(), 1, "{}", confined.stderr());
}
