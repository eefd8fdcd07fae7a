//! What differs by mode and by place: audit, a listener that somebody outside has, and
//! what follows a violation.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use harness::{probe, run, shim};
use serde_json::{Value, json};

/// A folder with a profile that lets the probe run and do nothing else.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("out")).expect("a folder");
        fs::write(folder.path().join("out/there"), "x").expect("written");
        Bench { folder }
    }

    /// The same for another user than root, whose files are made in it.
    fn of_another_user() -> Bench {
        let bench = Bench::new();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(bench.folder.path(), Some(USER), Some(USER)).expect("chown");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn profile(&self, name: &str, changes: Value) -> PathBuf {
        let programs = json!([{ "path": probe(), "entry": true }]);
        let mut profile = json!({ "remit": 1, "name": name, "programs": programs, "files": ["@runtime"] });
        let changes = changes.as_object().expect("an object").clone();
        profile.as_object_mut().expect("an object").extend(changes);
        let path = self.path(&format!("{name}.json"));
        fs::write(&path, profile.to_string()).expect("written");
        path
    }

    /// The shim with this profile, and all its events in a file of this name.
    fn shim(&self, profile: &str, changes: Value) -> Command {
        let mut command = shim(["--profile"]);
        command.arg(self.profile(profile, changes));
        command.arg("--events").arg(self.path(&format!("{profile}.events")));
        command
    }

    fn events(&self, profile: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(&format!("{profile}.events"))).expect("events");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// What the probe tries, the kind of its violation, and the word that names it.
const ACTS: [(&str, &str, &str); 11] = [
    ("create", "file", "/out/made"),
    ("write", "file", "/out/there"),
    ("read", "file", "\"read\""),
    ("mkdir", "file", "/out/directory"),
    ("rename", "file", "/out/made"),
    ("remove", "file", "/out/renamed"),
    ("listen", "network", "\"listen\""),
    ("connect", "network", "\"connect\""),
    ("syscall", "syscall", "personality"),
    ("execute", "program", "/true"),
    ("memory", "memory", "mmap"),
];

#[test]
fn audit_denies_nothing_and_reports_what_enforce_denies() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port().to_string();
    let acts = |profile: &str, mode: &str| {
        let mut shim = bench.shim(profile, json!({ "watch": ["reads"] }));
        shim.args(["--mode", mode, "--"]).arg(probe()).arg("violate").arg(bench.path("out")).arg(&port);
        let ended = run(&mut shim);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{mode}: {ended:?}");
        let values = ended.values();
        let values = ACTS.map(|(act, ..)| (act, values[act].to_owned()));
        (values, bench.events(profile))
    };
    // Enforced first: then there is nothing for the second to find.
    let (enforced, denials) = acts("enforced", "enforce");
    let (audited, observations) = acts("audited", "audit");
    for ((act, enforced), (_, audited)) in enforced.iter().zip(&audited) {
        // What was never made can be neither renamed nor removed.
        assert_ne!(enforced, "done", "{act} under enforce");
        assert_eq!(audited, "done", "{act} under audit");
    }

    let rules = |events: &[Value], action: &str| -> BTreeSet<String> {
        let violations = of_kind(events, "violation");
        assert!(violations.iter().all(|event| event["action"] == action), "{violations:#?}");
        violations.iter().map(|event| format!("{} {}", event["kind"], event["rule"])).collect()
    };
    let denied = rules(&denials, "denied");
    let observed = rules(&observations, "observed");
    assert!(denied.is_subset(&observed), "denied {denied:#?}, observed {observed:#?}");
    for (act, kind, word) in ACTS {
        let observed = of_kind(&observations, "violation")
            .into_iter()
            .any(|event| event["kind"] == kind && event["object"].to_string().contains(word));
        assert!(observed, "{act}: no {kind} with {word} in {observations:#?}");
    }
    let start = &of_kind(&observations, "start")[0];
    assert_eq!(start["mode"], json!({ "value": "audit", "source": "flag" }));
    let landlock = start["layers"].as_array().expect("layers").iter();
    let landlock: Vec<_> = landlock.filter(|layer| layer["layer"] == "landlock-files").collect();
    assert_eq!(landlock[0]["state"], "unavailable", "and it says so");
}

/// The app's own lines come after it, and carry no nonce of ours.
#[test]
fn the_start_event_comes_first_where_stderr_is_named() {
    let bench = Bench::new();
    let profile = bench.profile("first", json!({}));
    let run_with = |events: Option<&str>| {
        let mut shim = shim([std::ffi::OsStr::new("--profile"), profile.as_os_str()]);
        shim.args(events.into_iter().flat_map(|events| ["--events", events]));
        shim.arg("--").arg(probe()).args(["exit", "3"]);
        let ended = run(&mut shim);
        assert_eq!(ended.code, 3, "{ended:?}");
        ended.stderr
    };
    assert_eq!(run_with(None), "", "with nothing named, nothing is written while all is well");
    let nonces: BTreeSet<String> = (0..2)
        .map(|_| {
            let text = run_with(Some("stderr"));
            let start: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("an event");
            assert_eq!((&start["seq"], &start["event"]), (&json!(1), &json!("start")), "{text}");
            start["nonce"].as_str().expect("a nonce").to_owned()
        })
        .collect();
    assert_eq!(nonces.len(), 2, "each start has its own");
    assert!(nonces.iter().all(|nonce| remit::event::stream::is_nonce(nonce)), "{nonces:?}");
}

#[test]
fn a_mode_of_the_environment_is_said_on_stderr() {
    let bench = Bench::new();
    let profile = bench.profile("forced", json!({}));
    let run_with = |mode: Option<&str>, name: &str| {
        let mut shim = shim([std::ffi::OsStr::new("--profile"), profile.as_os_str()]);
        shim.arg("--").arg(probe()).args(["exit", "3"]);
        if let Some(mode) = mode {
            shim.env("REMIT_MODE", mode);
        }
        let ended = run(&mut shim);
        assert_eq!(ended.code, 3, "{name}");
        ended
    };
    let ended = run_with(Some("audit"), "audit");
    let start: Value = serde_json::from_str(ended.line(3)).expect("an event");
    assert_eq!(start["event"], "start");
    assert_eq!(start["mode"], json!({ "value": "audit", "source": "environment" }));
    assert_eq!(run_with(None, "the profile's own").stderr, "", "when all is well nothing is said");
}

/// A shim in a shim: the outer one, whose profile lets the inner one do its work, has
/// the only listener that there can be.
fn nested(bench: &Bench, inner: &str, changes: Value, act: &[&str]) -> harness::Ended {
    run(&mut nested_shim(bench, inner, changes, act))
}

fn nested_shim(bench: &Bench, inner: &str, changes: Value, act: &[&str]) -> Command {
    // All that a launch does; `prctl` with any first argument.
    let prctl = json!({ "call": "prctl", "arg": 0, "not_in": [9999] });
    // TIOCSPGRP: the app comes to the foreground, where there is a terminal.
    let foreground = json!({ "call": "ioctl", "arg": 1, "in": [0x5410] });
    let calls = json!([
        "seccomp",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "capset",
        "chdir",
        "openat",
        "access",
        "getdents64",
        "statx",
        "getrandom",
        prctl,
        foreground,
    ]);
    let programs = json!([
        { "path": harness::SHIM, "entry": true, "may_run": [probe()] },
        { "path": probe() },
    ]);
    let files = json!([
        "@runtime",
        { "path": "/", "allow": ["read"] },
        { "path": bench.path("events"), "allow": ["read", "write", "create"] },
    ]);
    fs::create_dir_all(bench.path("events")).expect("a folder");
    let outer = json!({
        "programs": programs, "files": files, "syscalls": { "allow": calls }, "memory": { "write_execute": true },
    });
    let mut command = bench.shim("outer", outer);
    command.args(["--", harness::SHIM, "--profile"]).arg(bench.profile(inner, changes));
    command.arg("--events").arg(bench.path("events").join("inner"));
    command.arg("--").arg(probe()).args(act);
    command
}

/// A user that owns no file and has no capability.
const USER: u32 = 65534;

/// The inner shim has threads and is undumpable, and so is traced by the outer one where
/// both are of another user than root. Its threads end at any time before or after it.
#[test]
fn a_traced_process_of_several_threads_is_reaped_when_it_ends() {
    for _ in 0..60 {
        let bench = Bench::of_another_user();
        let changes = json!({ "fallback": "degrade" });
        let mut command = nested_shim(&bench, "degraded", changes, &["call", "ptrace"]);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(bench.path("events"), Some(USER), Some(USER)).expect("chown");
            command.uid(USER).gid(USER);
        }
        let ended = run(&mut command);
        assert_eq!(ended.code, 7, "{ended:#?}");
    }
}

#[test]
fn a_listener_that_somebody_has_is_a_refusal() {
    let bench = Bench::new();
    let ended = nested(&bench, "refused", json!({}), &["exit", "3"]);
    let line = ended.line(125);
    for word in ["remit-init: ", "`refused`", "EBUSY", "listen", "\"fallback\": \"degrade\""] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn with_degrade_it_starts_and_says_what_it_lacks_and_still_denies() {
    let bench = Bench::new();
    let ended = nested(&bench, "degraded", json!({ "fallback": "degrade" }), &["call", "ptrace"]);
    let outer = bench.events("outer");
    assert_eq!(ended.code, 7, "{ended:#?} {:#?}", of_kind(&outer, "violation"));
    assert_eq!(ended.stdout, "ptrace EPERM\n");
    let text = fs::read_to_string(bench.path("events").join("inner")).expect("events");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let start = of_kind(&events, "start")[0];
    let state = |name: &str| {
        let layers = start["layers"].as_array().expect("layers");
        let layer = layers.iter().find(|layer| layer["layer"] == name).expect("it is listed");
        (layer["state"].as_str().expect("a state").to_owned(), layer["detail"].to_string())
    };
    assert_ne!(state("notification").0, "active", "{start:#}");
    assert!(state("notification").1.contains("EBUSY"), "{start:#}");
    assert_eq!(state("landlock-files").0, "active", "{start:#}");
    // The outer filter would have let an open write below `events`; the inner Landlock
    // domain holds as ever.
    assert!(of_kind(&outer, "violation").is_empty(), "the denial was the inner one's: {outer:#?}");
}

#[test]
fn kill_kills_the_process_and_stop_ends_the_container() {
    let bench = Bench::new();
    let ended = |consequence: &str| {
        let mut shim = bench.shim(consequence, json!({ "on_violation": consequence }));
        let ended = run(shim.arg("--").arg(probe()).args(["call", "personality"]));
        assert_eq!(ended.code, 137, "{consequence}: {ended:?}");
        assert_eq!(ended.stdout, "", "{consequence}: it never came back from the call");
        bench.events(consequence)
    };
    let events = ended("kill");
    assert_eq!(of_kind(&events, "violation")[0]["action"], "killed");
    assert_eq!(of_kind(&events, "exit")[0]["exit"], json!({ "signal": "KILL" }));

    let events = ended("stop");
    assert_eq!(of_kind(&events, "violation")[0]["action"], "stopped");
    let last = events.last().expect("some");
    assert_eq!(last["event"], "stop");
    assert_eq!(last["killed"], 1);
    assert!(last["why"].as_str().expect("why").contains("violation"), "{last:#}");
}

#[test]
fn off_is_no_confinement_and_a_profile_may_say_so() {
    let bench = Bench::new();
    let profile = bench.profile("off", json!({ "mode": "off" }));
    let ended = run(shim(["--profile"]).arg(&profile).arg("--").arg(probe()).arg("status"));
    assert_eq!((ended.values()["NoNewPrivs"], ended.stderr.as_str()), ("0", ""));
    let ended =
        run(shim(["--mode", "enforce", "--profile"]).arg(&profile).arg("--").arg(probe()).arg("status"));
    assert_eq!(ended.values()["NoNewPrivs"], "1", "a flag beats the profile");
}
