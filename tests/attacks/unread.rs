//! A caller that cannot be read: one that made itself undumpable, that changed its user and
//! executed nothing since, and what such a one forks. It is refused what everybody is
//! refused, with the same event; and what is granted is granted to it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::attack::{Attack, all_hold, all_hold_in, attack, runs};
use crate::site::{self, NEEDS, Site};
use crate::support::forbidden::{EACCES, first, make, never, seen};
use crate::support::{Place, Running, can_run, folder, in_each_place, unique};

in_each_place!(
    what_it_may_not_is_refused_and_seen,
    what_is_granted_is_granted_to_it,
    a_violation_of_it_is_answered_as_the_profile_says
);

/// It may change its user, where there is another to become.
fn profile() -> Value {
    let mut profile = site::profile();
    profile["capabilities"] = json!(["setgid", "setuid"]);
    profile["syscalls"]["allow"] = json!(["memfd_create", "setresgid", "setresuid", "chdir"]);
    profile
}

/// The attacks, by the mode of the process.
pub const WAYS: &[Attack] = &[
    attack(seen("unread?arg=undumpable&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("unread?arg=undumpable&arg=mkdir&arg=/app/a", EACCES, "file", "/app/a")),
    attack(seen("unread?arg=undumpable&arg=unlink&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(first("unread?arg=undumpable&arg=rename&arg=/app/harmless&arg=/app/b", EACCES, "file", "/app/")),
    attack(seen("unread?arg=undumpable&arg=truncate&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen(
        "unread?arg=undumpable&arg=openat2-write&arg=/app/harmless",
        EACCES,
        "file",
        "/app/harmless",
    )),
    attack(seen("unread?arg=undumpable&arg=connect&arg=127.0.0.1&arg=8080", EACCES, "network", "tcp/8080")),
    attack(seen("unread?arg=undumpable&arg=bind&arg=4444", EACCES, "network", "tcp/4444")),
    runs(seen("unread?arg=undumpable&arg=exec&arg=/srv/evil", EACCES, "program", "/srv/evil")),
    attack(seen("unread?arg=relative&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("unread?arg=relative&arg=create&arg=/app/c", EACCES, "file", "/app/c")),
    attack(seen("unread?arg=thread&arg=unlink&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("unread?arg=forked&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("unread?arg=forked&arg=symlink&arg=/app/d", EACCES, "file", "/app/d")),
    attack(seen("unread?arg=forked&arg=connect&arg=127.0.0.1&arg=8080", EACCES, "network", "tcp/8080")),
    runs(seen("unread?arg=forked&arg=exec&arg=/srv/evil", EACCES, "program", "/srv/evil")),
    attack(seen("unread?arg=user&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless"))
        .restricted("EPERM"),
    attack(seen("unread?arg=user&arg=connect&arg=127.0.0.1&arg=8080", EACCES, "network", "tcp/8080"))
        .restricted("EPERM"),
    attack(seen("unread?arg=vfork&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless"))
        .restricted("EPERM"),
];

fn what_it_may_not_is_refused_and_seen(place: Place) {
    all_hold(place, &profile(), WAYS);
}

/// A server whose files lie in a folder of everybody's, with a listener of the test's own.
fn what_is_granted_is_granted_to_it(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let mut granted = profile();
    let rights = json!(["read", "write", "create", "remove"]);
    let file = json!({ "path": "/app/named.pid", "allow": rights });
    granted["files"].as_array_mut().expect("a list").push(file);
    granted["network"]["connect"] = json!(["unix:/app/listener.sock"]);
    let (running, site) = site::start(place, &[], &granted);
    std::fs::set_permissions(&site.0, Permissions::from_mode(0o777)).expect("a folder of ours");
    let path = site.0.join("listener.sock");
    let listener = UnixListener::bind(&path).expect("a socket of ours");
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("a file of ours");
    running.line("listening 8080");
    let mut faults = Vec::new();
    for mode in ["undumpable", "relative", "thread", "forked", "user", "vfork"] {
        if ["user", "vfork"].contains(&mode) && place == Place::Restricted {
            continue;
        }
        for act in
            ["create&arg=/app/named.pid", "unlink&arg=/app/named.pid", "unix-connect&arg=/app/listener.sock"]
        {
            let (result, _) = make(&running, &format!("unread?arg={mode}&arg={act}"));
            if result != "ok" {
                faults.push(format!("{mode} {act}: {result}"));
            }
        }
    }
    drop(listener);
    let events = running.events();
    assert!(faults.is_empty() && events.violations().is_empty(), "{faults:?} {:?}", events.violations());
}

fn a_violation_of_it_is_answered_as_the_profile_says(place: Place) {
    let mut killing = profile();
    killing["on_violation"] = json!("kill");
    let killed: &[&str] = &["SIGKILL"];
    let kills = [
        attack(seen("unread?arg=undumpable&arg=write&arg=/app/harmless", killed, "file", "/app/harmless")),
        attack(seen("unread?arg=forked&arg=mkdir&arg=/app/e", killed, "file", "/app/e")),
    ];
    all_hold(place, &killing, &kills);
    if !can_run(place, NEEDS) {
        return;
    }
    let mut stopping = profile();
    stopping["on_violation"] = json!("stop");
    let (mut running, _site) = site::serve(place, &[], &stopping);
    let ask =
        std::panic::AssertUnwindSafe(|| make(&running, "unread?arg=forked&arg=write&arg=/app/harmless"));
    // It is never answered.
    drop(std::panic::catch_unwind(ask));
    assert_eq!(running.wait(), 137, "{}", running.stderr());
}

/// A signal to another user needs CAP_KILL, which this container does not have.
#[test]
fn a_violator_of_another_user_is_killed_without_the_capability() {
    if !can_run(Place::Docker, NEEDS) {
        return;
    }
    let mut killing = profile();
    killing["on_violation"] = json!("kill");
    let (running, _site) = site::serve_with(Place::Docker, &["--cap-drop", "KILL"], &[], &killing);
    let (result, detail) = make(&running, "unread?arg=user&arg=write&arg=/app/harmless");
    assert_eq!(result, "SIGKILL", "{detail}\n{}", running.stderr());
    let action = running.event(|events| {
        let mut violations = events.violations().into_iter();
        violations
            .find(|event| event["object"]["path"] == "/app/harmless")
            .map(|event| event["action"].clone())
    });
    assert_eq!(action, Some(json!("killed")), "{}", running.stderr());
}

/// Where there is neither Landlock nor ptrace(2), and the profile degrades: what cannot be
/// read is refused, with an event that says so.
#[test]
fn a_process_that_cannot_be_traced_is_refused() {
    let place = Place::Docker;
    let mut degraded = profile();
    degraded["fallback"] = json!("degrade");
    let without_landlock = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
    let traced = [
        attack(seen("unread?arg=undumpable&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless")),
        attack(seen("unread?arg=forked&arg=create&arg=/app/f", EACCES, "file", "/app/f")),
        attack(seen("unread?arg=user&arg=write&arg=/app/harmless", EACCES, "file", "/app/harmless")),
    ];
    let untraced = [
        attack(never("unread?arg=forked&arg=write&arg=/app/harmless", EACCES, "file", "unreadable")),
        attack(never("unread?arg=forked&arg=unlink&arg=/app/harmless", EACCES, "file", "unreadable")),
        attack(never("unread?arg=relative&arg=create&arg=/app/g", EACCES, "file", "unreadable")),
        attack(never("unread?arg=user&arg=write&arg=/app/harmless", EACCES, "file", "unreadable")),
    ];
    let without_both = [&without_landlock[..], &["ptrace"]].concat();
    for (refused, attacks) in [(&without_landlock[..], &traced[..]), (&without_both, &untraced)] {
        if !can_run(place, NEEDS) {
            return;
        }
        let option = format!("seccomp={}", refusing(refused).display());
        let serve = |options: &[&str]| served(place, options, &degraded, &["--security-opt", &option]);
        all_hold_in(place, serve, attacks);
    }
}

fn served(place: Place, options: &[&str], profile: &Value, flags: &[&str]) -> (Running, Site) {
    let (running, site) = site::start_with(place, flags, options, profile);
    running.line("listening 8080");
    (running, site)
}

/// A seccomp profile of the engine that answers ENOSYS to these alone.
fn refusing(calls: &[&str]) -> PathBuf {
    let profile = folder().join(unique("seccomp"));
    let rule = json!({ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS });
    let text = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string();
    std::fs::write(&profile, text).expect("a temporary file");
    profile
}
