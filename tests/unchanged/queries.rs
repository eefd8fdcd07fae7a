//! What libraries ask for at each start, and go on without.

use crate::side_by_side::{is_not_there, is_unchanged, serve};
use crate::support::forbidden::make;
use crate::support::{Place, can_run, in_each_place};

in_each_place!(
    what_is_not_there_has_the_errno_of_it,
    a_profile_that_lists_it_has_it,
    no_process_is_killed_for_asking,
    a_query_is_answered
);

fn what_is_not_there_has_the_errno_of_it(place: Place) {
    is_not_there(
        place,
        &[
            ("socket?arg=2&arg=1&arg=262", "EPROTONOSUPPORT"),
            ("socket?arg=10&arg=1&arg=262", "EPROTONOSUPPORT"),
            ("socket?arg=2&arg=1&arg=132", "EPROTONOSUPPORT"),
            ("socket?arg=16&arg=3&arg=9", "EINVAL"),
            ("socket?arg=38&arg=5&arg=0", "EAFNOSUPPORT"),
            ("socket?arg=29&arg=3&arg=1", "EAFNOSUPPORT"),
            ("io-uring", "ENOSYS"),
        ],
    );
}

/// The table adds no refusal.
fn a_profile_that_lists_it_has_it(place: Place) {
    if !can_run(place, &[]) {
        return;
    }
    let profile = r#"{
        "remit": 1, "name": "lists", "programs": [{ "path": "/usr/bin/probe", "entry": true }],
        "files": ["@runtime"], "network": { "listen": ["tcp/8080"] },
        "syscalls": { "allow": ["@core", { "call": "socket", "arg": 2, "in": [9] }] }
    }"#;
    let confined = serve(place, &[], Some(profile));
    assert_eq!(make(&confined, "socket?arg=16&arg=3&arg=9").0, "ok", "{}", confined.stderr());
    assert_eq!(confined.events().violations(), [""; 0]);
}

/// `on_violation` is for violations; a raw socket is one.
fn no_process_is_killed_for_asking(place: Place) {
    if !can_run(place, &[]) {
        return;
    }
    let profile = r#"{
        "remit": 1, "name": "kills", "programs": [{ "path": "/usr/bin/probe", "entry": true }],
        "files": ["@runtime"], "network": { "listen": ["tcp/8080"] }, "on_violation": "kill"
    }"#;
    let confined = serve(place, &[], Some(profile));
    assert_eq!(make(&confined, "socket?arg=2&arg=1&arg=262").0, "EPROTONOSUPPORT", "{}", confined.stderr());
    assert_eq!(make(&confined, "socket?arg=16&arg=3&arg=9").0, "EINVAL", "{}", confined.stderr());
    assert_eq!(confined.events().violations(), [""; 0]);
    assert_eq!(make(&confined, "raw-socket").0, "SIGKILL", "{}", confined.stderr());
    assert_eq!(make(&confined, "packet-socket").0, "SIGKILL", "{}", confined.stderr());
}

fn a_query_is_answered(place: Place) {
    is_unchanged(
        place,
        None,
        &[
            "persona?arg=4294967295",
            "persona?arg=0",
            "persona?arg=8",
            "persona?arg=131072",
            "persona?arg=131080",
            "ask-mdwe",
            "adjtimex?arg=0",
        ],
    );
}
