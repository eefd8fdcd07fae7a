//! Forbidden acts, tried from inside a confined server over HTTP. Each has its
//! control: what comes of it unconfined in the same place. Each is refused; each
//! that the table of guarantees calls seen has its event; and the event's hint,
//! applied to the profile, allows it and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::acts::{ACTS, control, is_denied_by_docker};
use crate::images;
use crate::support::forbidden::{self as refusal, EACCES, Hint, seen, violation};
use crate::support::{Init, Place, Run, Running, can_run, in_each_place};

in_each_place!(
    acts_are_refused_and_seen,
    hints_allow_exactly_the_act,
    audit_reports_and_denies_nothing,
    reads_of_secrets_are_reported
);

/// A server with a folder of its own, and nothing else.
fn profile() -> Value {
    json!({
        "remit": 1,
        "name": "attacked",
        "programs": [{ "path": "/probe", "entry": true }],
        "files": ["@runtime", { "path": "/tmp", "allow": ["read", "write", "create", "remove"] }],
        "network": { "listen": ["tcp/8080"] }
    })
}

/// The server, attacked; /srv as at first.
fn serve(place: Place, init: Init, profile: &Value) -> Running {
    let running = Run::new(images::tools(), place, init, &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile.to_string())
        .volume("/srv", &[("data", "data\n")])
        .start();
    running.line("listening 8080");
    running
}

/// Makes an act and gives its result, after putting /srv back as it was.
fn make(running: &Running, act: &str) -> String {
    running.change("/srv", |folder| {
        for name in ["new", "made", "symlinked", "renamed", "linked"] {
            let path = folder.join(name);
            // Most of these are not there.
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        }
        std::fs::write(folder.join("data"), "data\n").expect("the owner writes");
    });
    refusal::make(running, act).0
}

fn acts_are_refused_and_seen(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut wrong = Vec::new();
    let free = serve(place, Init::Tini, &profile());
    for forbidden in ACTS {
        let (was, is) = (control(place, forbidden.act), make(&free, forbidden.act));
        if was != is {
            wrong.push(format!("control {}: expected {was}, got {is}", forbidden.act));
        }
    }
    drop(free);
    // A pair of program and rule has ten events of its own before they are
    // counted together: few acts a container, of many kinds.
    let lots = 5;
    for lot in 0..lots {
        let mut running = serve(place, Init::remit(&[]), &profile());
        let acts = ACTS.iter().enumerate().filter(|(index, _)| index % lots == lot).map(|(_, act)| act);
        for forbidden in acts {
            let before = running.events().violations().len();
            let result = make(&running, forbidden.act);
            if is_denied_by_docker(place, forbidden.act) {
                if result != control(place, forbidden.act) {
                    wrong.push(format!("{}: Docker denies it, and yet {result}", forbidden.act));
                }
                continue;
            }
            wrong.extend(refusal::wrong(&running, forbidden, &result, before));
        }
        assert_eq!(running.get(8080, "/").status, 200, "it serves on");
        assert_eq!(running.stop().code, 143, "the probe does not handle TERM");
        for forbidden in ACTS.iter().filter(|forbidden| forbidden.act.starts_with("read?")) {
            let path = forbidden.act.split('=').nth(1).expect("reads name a path");
            let said = running
                .events()
                .violations()
                .iter()
                .any(|event| event["object"] == json!({ "path": path, "access": ["read"] }));
            if said {
                wrong.push(format!("{}: reads are watched only when asked for", forbidden.act));
            }
        }
    }
    assert!(wrong.is_empty(), "{place:?}:\n{}", wrong.join("\n"));
}

fn hints_allow_exactly_the_act(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    // A container for each hint: all of them where that is quick, and one of
    // each kind where it is not.
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let chosen = ACTS.iter().filter(|forbidden| {
        let count = kinds.entry(forbidden.kind.unwrap_or_default()).or_default();
        let allows = forbidden.hint == Hint::Allows && !is_denied_by_docker(place, forbidden.act);
        *count += usize::from(allows);
        allows && (place == Place::UserNamespace || *count == 1)
    });
    let mut wrong = Vec::new();
    for forbidden in chosen {
        let running = serve(place, Init::remit(&[]), &profile());
        make(&running, forbidden.act);
        let event = match violation(&running, forbidden, 0) {
            Ok(event) => event,
            Err(why) => {
                wrong.push(why);
                continue;
            }
        };
        drop(running);
        let mut patched = profile();
        let applied = serde_json::from_value::<json_patch::Patch>(event["hint"].clone())
            .map_err(|error| error.to_string())
            .and_then(|patch| json_patch::patch(&mut patched, &patch).map_err(|error| error.to_string()));
        if let Err(error) = applied {
            wrong.push(format!("{}: the hint does not apply: {error}: {event}", forbidden.act));
            continue;
        }
        let running = serve(place, Init::remit(&[]), &patched);
        let (free, result) = (control(place, forbidden.act), make(&running, forbidden.act));
        if result != free {
            wrong.push(format!(
                "{}: with the hint expected {free}, got {result}; profile {patched}\n{}",
                forbidden.act,
                running.stderr()
            ));
        }
        let others =
            ["exec?arg=/tini&arg=-h", "truncate?arg=/srv/data", "bind?arg=4444", "ptrace", "memory-map"];
        let object = |act: &str| ACTS.iter().find(|one| one.act == act).map(|one| (one.kind, one.object));
        let same = (forbidden.kind, forbidden.object);
        for other in others.into_iter().filter(|other| object(other) != Some(same)) {
            if make(&running, other) == "ok" {
                wrong.push(format!("{}: its hint allows {other} as well: {patched}", forbidden.act));
            }
        }
    }
    assert!(wrong.is_empty(), "{place:?}:\n{}", wrong.join("\n"));
}

/// What enforcing refuses, audit reports and lets happen.
fn audit_reports_and_denies_nothing(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut wrong = Vec::new();
    let lots = 5;
    for lot in 0..lots {
        let running = serve(place, Init::remit(&["--mode", "audit"]), &profile());
        // Audit still runs no foreign code: the filter that sees has one architecture.
        let acts = ACTS.iter().enumerate().filter(|(index, forbidden)| {
            index % lots == lot && !["i386", "x32", "clone3"].contains(&forbidden.act)
        });
        for (_, forbidden) in acts {
            let before = running.events().violations().len();
            let (free, result) = (control(place, forbidden.act), make(&running, forbidden.act));
            // PID 1 cannot be looked into in any mode, nor may its app end it.
            let guarded = forbidden.act.contains("arg=1") && result != "ok";
            if result != free && !guarded {
                wrong.push(format!("{}: expected {free}, got {result}", forbidden.act));
            }
            let kind = forbidden.kind.filter(|_| !is_denied_by_docker(place, forbidden.act));
            match kind.map(|_| violation(&running, forbidden, before)) {
                Some(Err(why)) => wrong.push(why),
                Some(Ok(event)) if event["action"] != "observed" => {
                    wrong.push(format!("{}: {event}", forbidden.act))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{place:?}:\n{}", wrong.join("\n"));
}

/// A socket that listens without a bind takes a port that no rule of the kernel's
/// sees: until the supervisor makes the sockets, the start event says so.
#[test]
fn what_is_not_refused_is_said() {
    let place = Place::UserNamespace;
    if !can_run(place, &[]) {
        return;
    }
    let running = serve(place, Init::remit(&[]), &profile());
    if make(&running, "listen-unbound") == "ok" {
        let layers = running.event(|events| Some(events.of("start").first()?["layers"].to_string()));
        let layers = layers.expect("a start event");
        assert!(layers.contains("a socket that was never bound can be listened on"), "{layers}");
    }
}

/// An aarch64 kernel may run 32-bit programs, whose calls have other numbers. The
/// baseline executes what lies in /opt, and the filter kills it at its first call.
#[cfg(target_arch = "aarch64")]
#[test]
fn a_32_bit_program_is_killed() {
    let place = Place::UserNamespace;
    if !can_run(place, &[]) {
        return;
    }
    let result = |init: Init| {
        let mut running = Run::new(images::tools(), place, init, &["/probe", "exec", "/opt/arm"]).start();
        running.wait();
        let line: Value = serde_json::from_str(running.stdout().trim()).expect("a line of JSON");
        line["result"].as_str().expect("every result is a word").to_owned()
    };
    assert_eq!(result(Init::Tini), "ok", "this processor runs no 32-bit programs");
    assert_eq!(result(Init::remit(&[])), "SIGSYS");
    assert_eq!(result(Init::remit(&["--mode", "audit"])), "SIGSYS");
}

/// Refused reads are seen when the profile asks for it, and the hint allows them.
#[test]
fn watched_reads_are_seen() {
    let place = Place::UserNamespace;
    if !can_run(place, &[]) {
        return;
    }
    let mut watched = profile();
    watched["watch"] = json!(["reads"]);
    let running = serve(place, Init::remit(&[]), &watched);
    assert_eq!(make(&running, "read?arg=/srv/data"), "EACCES");
    let forbidden = seen("read?arg=/srv/data", EACCES, "file", "/srv/data");
    let event = violation(&running, &forbidden, 0).expect("the read is seen");
    let patch: json_patch::Patch =
        serde_json::from_value(event["hint"].clone()).expect("a hint is a JSON Patch");
    json_patch::patch(&mut watched, &patch).expect("the hint applies");
    let running = serve(place, Init::remit(&[]), &watched);
    assert_eq!(make(&running, "read?arg=/srv/data"), "ok");
    assert_eq!(make(&running, "read?arg=/etc/shadow"), "EACCES");
}

/// Reads of secrets, by their place, by a name that leads there, and by the supervisor's number.
const SECRETS: &[(&str, &str)] = &[
    ("read?arg=/run/secrets/token", "/run/secrets/token"),
    ("read?arg=/proc/self/root/run/secrets/token", "/run/secrets/token"),
    ("read?arg=/app/tls.key", "/app/tls.key"),
    ("read?arg=/app/cert.pem", "/app/cert.pem"),
    ("read?arg=/app/.env", "/app/.env"),
    ("read?arg=/proc/1/environ", "/proc/1/environ"),
];

/// Where a secret is there that is not granted, its refused reads are reported without `watch`, and
/// no others.
fn reads_of_secrets_are_reported(place: Place) {
    if !can_run(place, &[images::TINI]) {
        return;
    }
    let serve = |init: Init, profile: &Value, has_token: bool| {
        let mut run = Run::new(images::tools(), place, init, &["/probe", "serve", "8080"])
            .file("/etc/remit/profile.json", profile.to_string())
            .volume("/srv", &[("data", "data\n")])
            .volume("/app", &[(".env", "A=1\n"), ("tls.key", "key\n"), ("cert.pem", "pem\n")]);
        if has_token {
            run = run.file("/run/secrets/token", "token\n");
        }
        let running = run.start();
        running.line("listening 8080");
        running
    };
    let free = serve(Init::remit(&["--mode", "off"]), &profile(), true);
    for (act, _) in SECRETS {
        assert_eq!(refusal::make(&free, act).0, "ok", "{place:?} {act} unconfined");
    }
    drop(free);
    let reported = |running: &Running, object: &str| {
        let events = running.events();
        events.violations().iter().any(|event| event["object"]["path"] == object)
    };
    let confined = serve(Init::remit(&[]), &profile(), true);
    for (act, object) in SECRETS {
        assert_eq!(refusal::make(&confined, act).0, "EACCES", "{place:?} {act}");
        violation(&confined, &seen(act, EACCES, "file", object), 0)
            .unwrap_or_else(|why| panic!("{place:?} {why}"));
    }
    // What is no secret is refused without an event, what is not there is not there, and one's own is granted.
    for (act, result) in [
        ("read?arg=/srv/data", "EACCES"),
        ("read?arg=/run/secrets/none", "ENOENT"),
        ("read?arg=/proc/self/environ", "ok"),
    ] {
        let before = confined.events().violations().len();
        assert_eq!(refusal::make(&confined, act).0, result, "{place:?} {act}");
        // Each event is written before the next act is answered.
        refusal::make(&confined, "write?arg=/etc/passwd");
        violation(&confined, &seen("write?arg=/etc/passwd", EACCES, "file", "/etc/passwd"), before)
            .expect("the write");
        let since = confined.events().violations().len() - before;
        assert!(since <= 1 && !reported(&confined, "/srv/data"), "{place:?} {act}: {}", confined.stderr());
    }
    drop(confined);
    // The profile turns it off, and where nothing is found at the start it is off; it turns it on too.
    for (watch, has_token, is_reported) in
        [(Some(json!([])), true, false), (None, false, false), (Some(json!(["secrets"])), false, true)]
    {
        let mut profile = profile();
        if let Some(watch) = &watch {
            profile["watch"] = watch.clone();
        }
        let confined = serve(Init::remit(&[]), &profile, has_token);
        assert_eq!(refusal::make(&confined, "read?arg=/app/.env").0, "EACCES", "{place:?} {watch:?}");
        refusal::make(&confined, "write?arg=/etc/passwd");
        violation(&confined, &seen("write?arg=/etc/passwd", EACCES, "file", "/etc/passwd"), 0)
            .expect("the write");
        assert_eq!(
            reported(&confined, "/app/.env"),
            is_reported,
            "{place:?} {watch:?}: {}",
            confined.stderr()
        );
    }
}

/// Live processes are counted, threads are not.
#[test]
fn processes_are_limited() {
    let place = Place::UserNamespace;
    if !can_run(place, &[]) {
        return;
    }
    let mut limited = profile();
    limited["limits"] = json!({ "processes": 20 });
    let running = serve(place, Init::remit(&[]), &limited);
    assert_eq!(make(&running, "forks?arg=50"), "EAGAIN");
    assert_eq!(make(&running, "forks?arg=10"), "ok");
    assert_eq!(make(&running, "threads?arg=40"), "ok");
    let event = running
        .event(|events| events.violations().into_iter().find(|event| event["kind"] == "limit").cloned());
    assert_eq!(event.expect("the limit's violation")["errno"], "EAGAIN");
}
