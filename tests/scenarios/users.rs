//! A program that becomes another user and then another program: `setpriv`, `gosu`,
//! and every entrypoint that drops from root. It may execute what the profile says,
//! and gains nothing by the change.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::elf;
use crate::images;
use crate::support::forbidden::{make, times};
use crate::support::{Image, Init, Place, Rootfs, Run, Running, can_run, in_each_place, probe, shim};

in_each_place!(
    setpriv_needs_what_its_hints_say,
    nothing_is_gained_by_the_change,
    an_app_that_runs_nothing_still_does_not
);

const SETPRIV: &str = "/usr/bin/setpriv";
/// Two programs whose paths differ in a few bytes, as the race has them: the first exits
/// with the byte that it is given, the second with 42.
const LISTED: &str = "/srv/good";
const UNLISTED: &str = "/srv/evil";

/// The user that it becomes: without capabilities its own.
fn user(place: Place) -> &'static str {
    if place == Place::Restricted { "101" } else { "33" }
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(probe(), "/probe").program(SETPRIV).program("/usr/bin/id");
        root.file(LISTED, elf::tells(), 0o755).file(UNLISTED, elf::exits(), 0o755);
        root.copy(images::BUSYBOX, "/bin/sh");
        root.build("users")
    })
}

/// From a profile that grants setpriv nothing, hint by hint, until it is `id`.
fn setpriv_needs_what_its_hints_say(place: Place) {
    const MOST: usize = 20;
    if !can_run(place, &[SETPRIV, "/usr/bin/id", images::BUSYBOX]) {
        return;
    }
    let id = user(place);
    let mut command = vec![SETPRIV, "--reuid", id, "--regid", id];
    command.push(if place == Place::Restricted { "--keep-groups" } else { "--clear-groups" });
    command.extend(["/usr/bin/id", "-u"]);
    let mut profile = json!({
        "remit": 1,
        "name": "users",
        "programs": [{ "path": SETPRIV, "entry": true }],
        "files": ["@runtime", "@names"]
    });
    for hints in 0..MOST {
        let mut running = Run::new(image(), place, Init::remit(&[]), &command)
            .file("/etc/remit/profile.json", profile.to_string())
            .start();
        let code = running.wait();
        let Some(violation) = running.events().violations().first().map(|event| (*event).clone()) else {
            assert_eq!((code, running.stdout().trim()), (0, id), "{profile}\n{}", running.stderr());
            assert!(hints > 0, "the first profile allowed it");
            return;
        };
        assert_ne!(code, 0, "{violation}");
        let patch: json_patch::Patch = serde_json::from_value(violation["hint"].clone())
            .unwrap_or_else(|error| panic!("{error}: {violation}"));
        json_patch::patch(&mut profile, &patch).unwrap_or_else(|error| panic!("{error}: {violation}"));
    }
    panic!("after {MOST} hints it is not yet allowed: {profile}");
}

fn serve(place: Place, options: &[&str], may_run: &Value) -> Running {
    let profile = json!({
        "remit": 1,
        "name": "users",
        "programs": [{ "path": "/probe", "entry": true, "may_run": may_run }, { "path": LISTED }],
        "files": ["@runtime", { "path": "/tmp", "allow": ["read", "write", "create", "remove"] }],
        "network": { "listen": ["tcp/8080"] },
        "capabilities": ["setgid", "setuid"],
        "syscalls": { "allow": ["setresgid", "setresuid"] }
    });
    let running = Run::new(image(), place, Init::remit(options), &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile.to_string())
        .start();
    running.line("listening 8080");
    running
}

fn done(detail: &str) -> (String, String) {
    ("ok".to_owned(), detail.to_owned())
}

/// An event names the program that was refused, and what would allow it.
fn is_reported(running: &Running, path: &str) {
    let reported = running.event(|events| {
        let is_it = |event: &&&Value| event["kind"] == "program" && event["object"]["path"] == path;
        events.violations().iter().find(is_it).map(|event| (*event).clone())
    });
    let event = reported.unwrap_or_else(|| panic!("no event of {path}\n{}", running.stderr()));
    assert_eq!((&event["action"], &event["errno"]), (&json!("denied"), &json!("EACCES")), "{event}");
    assert!(event["hint"].is_array(), "{event}");
}

fn nothing_is_gained_by_the_change(place: Place) {
    if !can_run(place, &[SETPRIV, images::BUSYBOX]) {
        return;
    }
    let id = user(place);
    let listed = format!("exec-as?arg={id}&arg={LISTED}&arg=g");
    let unlisted = format!("exec-as?arg={id}&arg={UNLISTED}");
    let shell = format!("exec-as?arg={id}&arg=/bin/sh&arg=-c&arg=:");
    let raced = format!("race?arg=path&arg=200&arg=alone&arg={id}");

    let free = serve(place, &["--mode", "off"], &json!([LISTED]));
    assert_eq!(make(&free, &listed), done("exit 103"));
    assert_eq!(make(&free, &unlisted), done("exit 42"));
    assert_eq!(make(&free, &shell), done("exit 0"));
    let (_, detail) = make(&free, &raced);
    assert!(times(&detail, "exit 103") > 0 && times(&detail, "exit 42") > 0, "control: {detail}");
    drop(free);

    let confined = serve(place, &[], &json!([LISTED]));
    assert_eq!(make(&confined, &listed), done("exit 103"), "{}", confined.stderr());
    for (act, path) in [(&unlisted, UNLISTED), (&shell, "/bin/sh")] {
        assert_eq!(make(&confined, act).0, "EACCES", "{act}\n{}", confined.stderr());
        is_reported(&confined, path);
    }
    // Whatever the supervisor read, the kernel executes nothing that is not listed.
    let (result, detail) = make(&confined, &raced);
    assert_eq!((result.as_str(), times(&detail, "exit 42")), ("ok", 0), "{detail}\n{}", confined.stderr());
    assert!(
        times(&detail, "exit 103") > 0 && times(&detail, "EACCES") > 0,
        "{detail}\n{}",
        confined.stderr()
    );
    // The same programs by other ways.
    for act in ["exec-copy", "exec-drop", "exec-deleted", "exec-loader"] {
        assert_eq!(make(&confined, act).0, "EACCES", "{act}\n{}", confined.stderr());
    }
    assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
}

/// Where no program has a transition, no process becomes another program by becoming another
/// user, and what was tried is reported all the same.
fn an_app_that_runs_nothing_still_does_not(place: Place) {
    if !can_run(place, &[SETPRIV, images::BUSYBOX]) {
        return;
    }
    let confined = serve(place, &[], &json!([]));
    for path in [LISTED, UNLISTED] {
        let act = format!("exec-as?arg={}&arg={path}&arg=g", user(place));
        assert_eq!(make(&confined, &act).0, "EACCES", "{act}\n{}", confined.stderr());
        is_reported(&confined, path);
    }
}
