//! Sockets that the profile grants.

use crate::side_by_side::{is_unchanged, serve};
use crate::support::forbidden::make;
use crate::support::{Place, can_run, in_each_place};

in_each_place!(
    a_ping_socket_is_what_the_host_makes_of_it,
    the_kernel_lists_sockets_and_devices,
    a_second_connect_has_the_kernels_answer,
    a_connection_ends_with_the_apps_descriptor
);

fn a_ping_socket_is_what_the_host_makes_of_it(place: Place) {
    is_unchanged(place, None, &["socket?arg=2&arg=2&arg=1", "socket?arg=10&arg=2&arg=58"]);
}

fn the_kernel_lists_sockets_and_devices(place: Place) {
    is_unchanged(place, None, &["socket?arg=16&arg=3&arg=4", "netlink", "socket?arg=16&arg=2&arg=0"]);
}

/// A profile with addresses, so that the supervisor makes the sockets.
const ADDRESSES: &str = r#"{
    "remit": 1, "name": "addresses", "programs": [{ "path": "/usr/bin/probe", "entry": true }],
    "files": ["@runtime"],
    "network": {
        "listen": ["tcp/8080", "tcp/127.0.0.1:7070"],
        "connect": ["tcp/127.0.0.1:8080", "tcp/127.0.0.1:7070", "icmp", "netlink"]
    }
}"#;

fn a_second_connect_has_the_kernels_answer(place: Place) {
    is_unchanged(place, Some(ADDRESSES), &["connect-again", "connect-again"]);
    is_unchanged(place, None, &["connect-again"]);
    // By the supervisor's hand.
    is_unchanged(place, Some(ADDRESSES), &["socket?arg=2&arg=2&arg=1", "socket?arg=16&arg=3&arg=4"]);
    if can_run(place, &[]) {
        let confined = serve(place, &[], Some(ADDRESSES));
        let (result, detail) = make(&confined, "connect-again?arg=127.0.0.1");
        assert_eq!((&*result, &*detail), ("ok", "EINPROGRESS 0 EISCONN"), "{}", confined.stderr());
    }
}

/// The supervisor keeps no copy of a connected socket: its peer sees the end.
fn a_connection_ends_with_the_apps_descriptor(place: Place) {
    is_unchanged(place, Some(ADDRESSES), &["connect-and-close"; 20]);
}
