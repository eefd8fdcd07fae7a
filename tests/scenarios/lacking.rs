//! Places that lack something: each works, or is refused with one line and its code.

use serde_json::{Value, json};

use crate::images;
use crate::support::{Init, Place, Run, Running, can_run, in_each_place};

in_each_place!(thousands_of_variables_come_through);

/// A profile that lets the probe run and do nothing else.
fn profile() -> String {
    let programs = json!([{ "path": "/probe", "entry": true }]);
    json!({
        "remit": 1,
        "name": "lacking",
        "programs": programs,
        "files": ["@runtime"],
        "network": { "listen": ["tcp/8080"] }
    })
    .to_string()
}

fn run<'a>(place: Place, options: &[&str], command: &[&str]) -> Run<'a> {
    Run::new(images::tools(), place, Init::remit(options), command)
        .file("/etc/remit/profile.json", profile())
        .unset("REMIT_EVENTS_LEVEL")
}

/// The one line of a refusal.
#[track_caller]
fn refused(running: &mut Running, says: &[&str]) {
    assert_eq!(running.wait(), 125, "{}", running.stderr());
    let line = running.stderr();
    assert_eq!(line.lines().count(), 1, "one line: {line}");
    assert!(line.starts_with("remit-init: ") && says.iter().all(|word| line.contains(word)), "{line}");
    assert!(!line.contains("os error"), "no bare number is said: {line}");
    assert_eq!(running.stdout(), "", "nothing ran");
}

/// The supervisor reads every process there. An init alone needs none, and still ends
/// what remains.
#[test]
fn an_image_without_proc() {
    let place = Place::UserNamespace;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let hello = ["/bin/echo", "hello"];
    for options in [&["--profile", "baseline"][..], &["--profile", "strict"], &["--mode", "audit"], &[]] {
        let mut running = run(place, options, &hello).without("proc").start();
        refused(&mut running, &["/proc is not mounted", "mount it", "--mode off"]);
    }
    let mut init = run(place, &["--mode", "off"], &hello).without("proc").start();
    assert_eq!((init.wait(), init.stdout().as_str()), (0, "hello"), "{}", init.stderr());
    assert_eq!(init.stderr(), "");
    let mut sleeper = run(place, &["--mode", "off"], &["/probe", "sleeper"]).without("proc").start();
    sleeper.line("ready");
    assert_eq!(sleeper.stop().code, 0, "{}", sleeper.stderr());
    assert!(sleeper.stdout().contains("sleeper is done"), "{}", sleeper.stdout());
}

/// A server that opens no device has no need of one.
#[test]
fn an_image_without_devices() {
    let place = Place::UserNamespace;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    for options in [&[][..], &["--profile", "baseline"], &["--mode", "audit"], &["--mode", "off"]] {
        let mut running = run(place, options, &["/probe", "serve", "8080"]).without("dev").start();
        running.line("listening 8080");
        assert_eq!(running.get(8080, "/").status, 200);
        assert!(running.events().violations().is_empty(), "{options:?}: {}", running.stderr());
        assert_eq!(running.stop().code, 143, "{options:?}: {}", running.stderr());
    }
}

/// No folder in memory, no capability, and a user that no /etc/passwd lists.
#[test]
fn a_place_where_nothing_can_be_written_by_a_user_without_a_name() {
    let place = Place::Docker;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let nothing = [
        "--read-only",
        "--user=54321:54321",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
    ];
    let mut server = run(place, &[], &["/probe", "serve", "8080"]).flags(&nothing).start();
    server.line("listening 8080");
    assert!(server.processes().iter().all(|(_, uid, _)| *uid == 54321), "{:?}", server.processes());
    assert_eq!(server.get(8080, "/").status, 200);
    let answer = server.get(8080, "/act/create?arg=/tmp/new").body;
    assert!(answer.contains("EACCES") || answer.contains("EROFS"), "{answer}");
    let answer = server.get(8080, "/act/exec?arg=/bin/busybox&arg=true").body;
    assert!(answer.contains("EACCES"), "{answer}");
    let seen = server.event(|events| events.violations().first().map(|_| ()));
    assert!(seen.is_some(), "stderr is there: {}", server.stderr());
    assert_eq!(server.stop().code, 143);

    // A file for events has to be somewhere.
    for (path, why) in [
        ("/var/log/events.jsonl", "Read-only file system"),
        ("/proc/events.jsonl", "No such file"),
        ("/nowhere/events.jsonl", "directory is not there"),
    ] {
        let mut running = run(place, &["--events", path], &["/probe", "exit", "0"]).flags(&nothing).start();
        refused(&mut running, &["events: ", path, why]);
    }
}

/// As some platforms inject a variable for every service there is.
fn thousands_of_variables_come_through(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    for mode in ["enforce", "off"] {
        let many = (0..4096).fold(run(place, &["--mode", mode], &["/probe", "arguments"]), |run, index| {
            run.variable(&format!("SERVICE_{index}_HOST"), &format!("10.0.0.{}", index % 256))
        });
        let mut running = many.start();
        assert_eq!(running.wait(), 0, "{mode}: {}", running.stderr());
        let printed: Value = serde_json::from_str(&running.stdout()).expect("one line of JSON");
        let variables = printed["environment"].as_object().expect("an object");
        let came = variables.iter().filter(|(name, _)| name.starts_with("SERVICE_")).count();
        assert_eq!(came, 4096, "{mode}");
        assert_eq!(variables["SERVICE_4095_HOST"], "10.0.0.255");
        assert_eq!(running.stderr(), "", "{mode}");
    }
}
