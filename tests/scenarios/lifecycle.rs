//! PID 1 as the app and `docker stop` see it: signals, orphans, exit codes.

use serde_json::Value;

use crate::images;
use crate::support::{BEFORE_THE_GRACE, Image, Init, Place, Run, Running, can_run, in_each_place};

in_each_place!(
    forwards_signals,
    reaps_orphans,
    ends_with_the_codes_of_the_contract,
    ends_grandchildren_with_grace,
    refuses_bad_profiles_with_125,
);

const PROFILE: &str = r#"{
    "remit": 1,
    "name": "child",
    "programs": [{ "path": "/probe", "entry": true }],
    "files": ["@runtime"]
}"#;

fn start(image: &Image, place: Place, init: Init, command: &[&str]) -> Running {
    Run::new(image, place, init, command).file("/etc/remit/profile.json", PROFILE).start()
}

fn forwards_signals(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut running = start(images::tools(), place, Init::remit(&[]), &["/probe", "signals", "15", "7"]);
    running.line("ready");
    // HUP INT QUIT USR1 USR2 WINCH and a real-time one, each awaited: a second
    // of the same would be merged with the first.
    for signal in [1, 2, 3, 10, 12, 28, 40] {
        running.signal(signal);
        running.line(&format!("signal {signal}"));
    }
    let stopped = running.stop();
    assert_eq!(stopped.code, 7, "{}", running.stderr());
    assert!(stopped.took < BEFORE_THE_GRACE, "{stopped:?}");
    assert!(running.events().violations().is_empty(), "{}", running.stderr());
}

fn reaps_orphans(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut running = start(images::tools(), place, Init::remit(&[]), &["/probe", "orphans", "200"]);
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert!(running.stdout().contains("orphans 200 unreaped 0"), "{}", running.stdout());
    // Control: without an init that reaps they stay, for a second at least.
    let mut bare = start(images::tools(), place, Init::None, &["/probe", "orphans", "3", "1"]);
    bare.wait();
    assert!(bare.stdout().contains("orphans 3 unreaped 3"), "{}", bare.stdout());
}

fn ends_with_the_codes_of_the_contract(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let cases: &[(&[&str], i32)] = &[
        (&["/probe", "exit", "0"], 0),
        (&["/probe", "exit", "42"], 42),
        (&["/probe", "die", "9"], 137),
        (&["/probe", "die", "15"], 143),
        (&["/nothing"], 127),
        (&["/etc/passwd"], 126),
        (&["/bin/sh", "-c", ":"], 126),
    ];
    for (command, code) in cases {
        let mut running = start(images::tools(), place, Init::remit(&[]), command);
        assert_eq!(running.wait(), *code, "{command:?}\n{}", running.stderr());
        if *code == 126 || *code == 127 {
            let said = running.stderr();
            let line = said.lines().find(|line| line.contains("remit-init"));
            assert!(line.is_some_and(|line| line.contains(command[0])), "{command:?}: {said}");
        }
    }
}

/// A grandchild in a session of its own, which `docker stop` never reaches by
/// itself, gets TERM and has time to end.
fn ends_grandchildren_with_grace(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut running = start(images::tools(), place, Init::remit(&[]), &["/probe", "sleeper"]);
    running.line("ready");
    let stopped = running.stop();
    assert_eq!(stopped.code, 0, "{}", running.stderr());
    assert!(running.stdout().contains("sleeper is done"), "{}", running.stdout());

    // With a grace shorter than it needs it is killed, and PID 1 says so.
    let mut running =
        start(images::tools(), place, Init::remit(&["--grace", "50ms"]), &["/probe", "sleeper"]);
    running.line("ready");
    let stopped = running.stop();
    assert_eq!(stopped.code, 0, "{}", running.stderr());
    assert!(!running.stdout().contains("sleeper is done"), "{}", running.stdout());
    let events = running.events();
    let stop: Vec<&Value> = events.of("stop");
    assert_eq!(stop.len(), 1, "{}", running.stderr());
    assert_eq!(stop[0]["killed"], 1, "{}", stop[0]);

    // Control: tini leaves it to the kernel's SIGKILL.
    let mut running = start(images::tools(), place, Init::Tini, &["/probe", "sleeper"]);
    running.line("ready");
    running.stop();
    assert!(!running.stdout().contains("sleeper is done"), "{}", running.stdout());
}

fn refuses_bad_profiles_with_125(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let deep = "[".repeat(10_000);
    let cases: &[(&str, &str, &[&str])] = &[
        ("{\"remit\":1", "--profile=/etc/remit/profile.json", &["/etc/remit/profile.json"]),
        (deep.as_str(), "--profile=/etc/remit/profile.json", &["/etc/remit/profile.json"]),
        ("", "--profile=/missing.json", &["/missing.json"]),
        ("", "--profile=/etc", &["/etc"]),
        ("", "--profile=nosuchname", &["nosuchname"]),
        (
            r#"{"remit":1,"name":"x","programs":[{"path":"/nothing","entry":true}]}"#,
            "--profile=/etc/remit/profile.json",
            &["/nothing"],
        ),
        (
            r#"{"remit":1,"name":"x","programs":[{"path":"/probe","entry":true}],"files":[{"path":"/nowhere/at/all","allow":["read"]}]}"#,
            "--profile=/etc/remit/profile.json",
            &["/nowhere/at/all"],
        ),
    ];
    for (profile, option, words) in cases {
        let mut running = Run::new(images::tools(), place, Init::remit(&[option]), &["/probe", "exit", "0"])
            .file("/etc/remit/profile.json", *profile)
            .start();
        assert_eq!(running.wait(), 125, "{option} {profile:.80}\n{}", running.stderr());
        let said = running.stderr();
        let clear: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(clear.len(), 1, "one clear line: {said}");
        assert!(words.iter().all(|word| clear[0].contains(word)), "{option} {profile:.80}: {said}");
    }
}
