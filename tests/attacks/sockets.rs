//! Addresses, and unix sockets by their names: what no rule of the kernel tells apart.
//! What is connected and bound is exchanged between the look at it and the call, two
//! thousand times each; and the ways round a connect are tried.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::attack::{Attack, all_hold_in, attack};
use crate::site::{self, NEEDS, Site};
use crate::support::forbidden::{EACCES, EPERM, make, never, seen, times, unseen};
use crate::support::{Place, Running, can_run, in_each_place};

in_each_place!(
    an_address_cannot_be_raced,
    other_sockets_are_refused,
    no_option_carries_a_connection_elsewhere,
    a_socket_of_any_name_is_a_file_of_the_profile,
    events_cannot_be_forged,
    sockets_without_end_leave_room_for_others
);

/// Every kind, by what is exchanged: the address that is connected to, the one that is
/// bound, the socket itself with its address, a path, and what a link leads to.
pub const KINDS: &[&str] = &["address", "bind", "descriptor", "path", "link"];

const ROUND: u32 = 500;
const ROUNDS: u32 = 4;
/// How often a round is repeated in which two threads have not met.
const AGAIN: u32 = 5;

/// The server itself listens at every address of its machine, and may connect to one of
/// them; and to one of two sockets in the attacker's folder.
fn profile() -> Value {
    let mut profile = site::profile();
    profile["network"] = json!({
        "listen": ["tcp/8080", "tcp/127.0.0.1:7070", "unix:/app/loot/own.sock"],
        "connect": ["tcp/127.0.0.1:8080", "unix:/app/loot/good.sock", "unix:@good"]
    });
    profile
}

/// The server, and what listens in its folder.
fn serve(place: Place, options: &[&str], profile: &Value) -> (Running, Site) {
    let (running, site) = site::serve(place, options, profile);
    for name in ["good.sock", "evil.sock"] {
        let path = site.0.join("loot").join(name);
        let listener = UnixListener::bind(&path).expect("a folder of ours");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("ours");
        // It ends with the test's process.
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
    (running, site)
}

fn raced(running: &Running, kind: &str, tries: u32) -> String {
    let port = if kind == "bind" { 7070 } else { 8080 };
    let (result, detail) = make(running, &format!("race-socket?arg={kind}&arg={tries}&arg={port}"));
    assert_eq!(result, "ok", "{kind}\n{}", running.stderr());
    detail
}

fn an_address_cannot_be_raced(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (free, _site) = serve(place, &["--mode", "off"], &profile());
    for kind in KINDS {
        // On a busy machine the two threads may not meet for a while.
        let good = if *kind == "descriptor" { "netlink" } else { "good" };
        let mut all = Vec::new();
        let met = (0..AGAIN).any(|_| {
            // These are not notified, so they are over soon: a round of binds in the time in
            // which the other thread may not run at all. Connections cost ports.
            let tries = if matches!(*kind, "bind" | "descriptor") { ROUND * 40 } else { ROUND * 4 };
            all.push(raced(&free, kind, tries));
            let sum = |end| all.iter().map(|came| times(came, end)).sum::<usize>();
            sum("evil") > 0 && sum(good) > 0
        });
        assert!(met, "control {place:?} {kind}: {all:?}");
    }
    drop(free);
    for kind in KINDS {
        let (mut confined, _site) = serve(place, &[], &profile());
        let (mut refused, mut served) = (0, 0);
        for _ in 0..ROUNDS {
            let came = raced(&confined, kind, ROUND);
            assert_eq!(times(&came, "evil") + times(&came, "elsewhere"), 0, "lost: {place:?} {kind}: {came}");
            refused += times(&came, "EACCES");
            served += times(&came, if *kind == "descriptor" { "none" } else { "good" });
            served += times(&came, "netlink");
        }
        assert!(refused > 0 && served > 0, "{place:?} {kind}: {refused} refused, {served} served");
        let reported = confined.event(|events| {
            let is_it = |event: &&&Value| event["kind"] == "network" && event["action"] == "denied";
            events.violations().iter().find(is_it).map(|event| (*event).clone())
        });
        let reported = reported.unwrap_or_else(|| panic!("{kind}: no event\n{}", confined.stderr()));
        assert!(reported["hint"][0]["value"].as_str().is_some(), "{reported}");
        assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
        assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
    }
}

/// An address beside the listed one, a socket at another name, one that was never bound,
/// kinds that would go round it all.
pub const OTHERS: &[Attack] = &[
    attack(seen("connect?arg=127.0.0.2&arg=8080", EACCES, "network", "tcp/127.0.0.2:8080")),
    attack(seen("bind-to?arg=127.0.0.2&arg=7070", EACCES, "network", "tcp/127.0.0.2:7070")),
    attack(seen("bind-to?arg=0.0.0.0&arg=7070", EACCES, "network", "tcp/0.0.0.0:7070")),
    attack(seen("listen-unbound", EACCES, "network", "tcp/0.0.0.0:0")),
    attack(seen("unix-connect?arg=/app/loot/evil.sock", EACCES, "network", "unix:/app/loot/evil.sock")),
    attack(seen("unix-bind?arg=/app/loot/mine.sock", EACCES, "network", "unix:/app/loot/mine.sock")),
    // Libraries ask for it, and fall back: there is no event.
    attack(unseen("mptcp?arg=127.0.0.2&arg=8080", &["EPROTONOSUPPORT"])),
];

/// A socket that is connected is connected nowhere else.
pub const CONNECTED: &[Attack] =
    &[attack(never("connect-elsewhere", EACCES, "network", "not made under this")).proof("127.0.0.2")];

/// Options that carry the connection to a listed address elsewhere: a route in its packets,
/// by itself and in a control message that lasts, another interface; with what the kernel
/// says to the same without us.
pub const ELSEWHERE: &[Attack] = &[
    // A source route takes CAP_NET_RAW.
    attack(never("socket-option?arg=route-4", EPERM, "network", "setsockopt")).restricted("EPERM"),
    attack(never("socket-option?arg=route-6", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=route-6-high", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=route-6-message", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=label", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=interface-4", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=interface-6", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=interface-lasting", EPERM, "network", "setsockopt")),
    attack(never("socket-option?arg=device", EPERM, "network", "setsockopt")),
];

fn no_option_carries_a_connection_elsewhere(place: Place) {
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, &profile()), ELSEWHERE);
    }
}

fn other_sockets_are_refused(place: Place) {
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, &profile()), OTHERS);
        all_hold_in(place, |options| serve(place, options, &profile()), CONNECTED);
    }
}

/// The supervisor that binds is restricted by no rule of Landlock's on what may be made where.
pub const ANY_NAME: &[Attack] =
    &[attack(seen("unix-bind?arg=/app/mine.sock", EACCES, "file", "/app/mine.sock"))];

fn a_socket_of_any_name_is_a_file_of_the_profile(place: Place) {
    if can_run(place, NEEDS) {
        let mut profile = profile();
        profile["network"]["listen"] = json!(["tcp/8080", "tcp/127.0.0.1:7070", "unix:*"]);
        all_hold_in(place, |options| serve(place, options, &profile), ANY_NAME);
    }
}

/// Names of the socket that events go to: its own, that of another mount, a hard link and a
/// symbolic one.
const SINKS: [&str; 4] =
    ["/app/events.sock", "/other/events.sock", "/app/loot/hard.sock", "/app/loot/soft.sock"];

/// The app may connect to every unix socket but the one that events go to.
fn events_cannot_be_forged(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let mut profile = profile();
    profile["network"] = json!({ "listen": ["tcp/8080"], "connect": ["unix:*"] });
    let serve = |options: &[&str]| {
        let site = Site::new();
        let (sender, events) = std::sync::mpsc::channel();
        for name in ["events.sock", "loot/peer.sock"] {
            let path = site.0.join(name);
            let listener = UnixListener::bind(&path).expect("a folder of ours");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("ours");
            let sender = sender.clone();
            // They end with the test's process.
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let sender = sender.clone();
                    std::thread::spawn(move || {
                        let lines = std::io::BufReader::new(stream);
                        std::io::BufRead::lines(lines)
                            .map_while(Result::ok)
                            .for_each(|line| drop(sender.send(line)));
                    });
                }
            });
        }
        std::fs::hard_link(site.0.join("events.sock"), site.0.join("loot/hard.sock")).expect("ours");
        std::os::unix::fs::symlink("../events.sock", site.0.join("loot/soft.sock")).expect("ours");
        let running = site::start_on(&site, place, options, &profile);
        running.line("listening 8080");
        (running, site, events)
    };
    let (free, _site, _) = serve(&["--mode", "off"]);
    for sink in SINKS {
        assert_eq!(make(&free, &format!("unix-connect?arg={sink}")).0, "ok", "control {place:?} {sink}");
    }
    drop(free);
    let (mut confined, _site, events) = serve(&["--events", "unix:/app/events.sock"]);
    for sink in SINKS {
        let (result, _) = make(&confined, &format!("unix-connect?arg={sink}"));
        assert_eq!(result, "EACCES", "{place:?} {sink}\n{}", confined.stderr());
    }
    let peer = make(&confined, "unix-connect?arg=/app/loot/peer.sock");
    assert_eq!(peer.0, "ok", "another socket is what the profile grants\n{}", confined.stderr());
    assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
    let patience = std::time::Duration::from_secs(10);
    let mut refused = 0;
    while let Ok(line) = events.recv_timeout(patience) {
        let event: Value = serde_json::from_str(&line).expect("an event of remit's");
        if event["event"] == "violation" {
            assert_eq!((&event["kind"], &event["hint"]), (&json!("network"), &Value::Null), "{event}");
            refused += 1;
        }
        if event["event"] == "stop" {
            break;
        }
    }
    assert_eq!(refused, SINKS.len(), "{place:?}");
}

/// Nothing is refused here, so what comes of it unconfined is the control: a process that
/// cannot be read makes thousands, of which it has three at a time; thousands listen.
fn sockets_without_end_leave_room_for_others(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let mut profile = profile();
    profile["network"] = json!({
        "listen": ["tcp/8080", "tcp/127.0.0.1:7070-7071"],
        "connect": ["tcp/127.0.0.1:8080"]
    });
    for options in [&["--mode", "off"][..], &[]] {
        let (mut confined, _site) = serve(place, options, &profile);
        for (act, came) in [("sockets-unread", "all were made"), ("listen-often", "all listened")] {
            assert_eq!(
                make(&confined, act),
                ("ok".to_owned(), came.to_owned()),
                "{place:?} {options:?} {act}"
            );
        }
        assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
        assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
        assert!(!confined.stderr().contains("violation"), "nothing is refused: {}", confined.stderr());
    }
}
