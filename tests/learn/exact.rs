//! Exact profiles: which journals can prove one, and what it has.

use serde_json::{Value, json};

use crate::{Place, journal, line, ordinary, run};

/// A journal that says that all calls but these were watched.
fn watched(run: &str, lines: &[Value], but: &[&str]) -> String {
    journal(run, "work", lines).replacen(
        "{\"journal\":1,",
        &format!("{{\"journal\":1,\"unwatched\":{},", json!(but)),
        1,
    )
}

const BASE: [&str; 3] = ["read", "write", "futex"];

fn lines() -> Vec<Value> {
    let call = |phase, more| line(phase, "syscall", more);
    [
        ordinary(),
        vec![
            call("startup", json!({ "call": "setuid" })),
            call("startup", json!({ "call": "socket", "arg": 0, "value": "AF_INET" })),
            call("startup", json!({ "call": "bind" })),
            call("startup", json!({ "call": "listen" })),
            call("startup", json!({ "call": "mkdir" })),
            call("startup", json!({ "call": "fcntl", "arg": 1, "value": "F_SETOWN" })),
            call("startup", json!({ "call": "clone", "arg": 0, "value": 0x1200011 })),
            call("serving", json!({ "call": "wait4" })),
            call("serving", json!({ "call": "kill", "arg": 1, "value": 9 })),
            call("serving", json!({ "call": "setsockopt", "arg": 2, "value": "TCP_NODELAY" })),
            call("serving", json!({ "call": "read" })),
        ],
    ]
    .concat()
}

#[test]
fn watched_runs_become_an_exact_profile() {
    let place = Place::new();
    for number in 0..3 {
        place.put(&format!("{number}.jsonl"), watched(&run(number), &lines(), &BASE));
    }
    let profile = place.built(&["."]);
    let calls = &profile["syscalls"];
    assert_eq!(calls["exact"], json!(true), "{profile:#}");
    let allow = calls["allow"].as_array().expect("a list");
    for listed in ["@base", "@failure", "bind", "listen", "socket", "setuid", "clone", "wait4", "mkdir"] {
        assert!(allow.contains(&json!(listed)), "{listed}: {calls:#}");
    }
    for not in ["read", "setsockopt", "execve", "@core", "@files", "@network"] {
        assert!(!allow.contains(&json!(not)), "{not}: {calls:#}");
    }
    assert!(allow.contains(&json!({ "call": "fcntl", "arg": 1, "in": ["F_SETOWN"] })), "{calls:#}");
    let early = calls["startup_only"].as_array().expect("a list");
    for call in ["bind", "listen", "setuid", "mkdir", "execve", "mlockall"] {
        assert!(early.contains(&json!(call)), "{call}: {calls:#}");
    }
    assert!(!early.contains(&json!("execveat")), "never made: {calls:#}");
    // It forks again when a child has crashed.
    for call in ["clone", "socket", "kill", "wait4", "@failure"] {
        assert!(!early.contains(&json!(call)), "{call}: {calls:#}");
    }
    let evidence: Value = serde_json::from_str(&place.text("p.evidence.json")).expect("JSON");
    assert_eq!(evidence["runs"][0]["watched"], json!(true), "{evidence:#}");
    // Of the evidence the same profile is built.
    std::fs::rename(place.path("p.evidence.json"), place.path("all.evidence.json")).expect("renamed");
    assert_eq!(place.built(&["all.evidence.json"]), profile);
}

#[test]
fn a_journal_that_does_not_say_what_it_watched_makes_none() {
    let place = Place::new();
    place
        .put("new.jsonl", watched(&run(0), &lines(), &BASE))
        .put("old.jsonl", journal(&run(1), "work", &lines()));
    let exact = |inputs: &[&str]| place.built(inputs)["syscalls"]["exact"].clone();
    assert_eq!(exact(&["new.jsonl"]), json!(true));
    for mixed in [&["old.jsonl"][..], &["old.jsonl", "new.jsonl"]] {
        assert_eq!(exact(mixed), Value::Null);
        let report = place.done(&[&["build", "-o", "p.json"], mixed].concat());
        assert!(report.contains("syscalls is not exact: 1 of"), "{report}");
    }
    // A call that @base no longer has may have been made.
    place.put("other.jsonl", watched(&run(2), &lines(), &["read", "connect"]));
    assert_eq!(exact(&["other.jsonl"]), Value::Null);
}

#[test]
fn a_profile_with_groups_is_continued_as_it_is() {
    let place = Place::new();
    place
        .put("old.jsonl", journal(&run(0), "work", &lines()))
        .put("new.jsonl", watched(&run(1), &lines(), &BASE));
    let before = place.built(&["old.jsonl"]);
    std::fs::rename(place.path("p.json"), place.path("base.json")).expect("renamed");
    let after = place.built(&["new.jsonl", "--base", "base.json"]);
    assert_eq!(after["syscalls"], before["syscalls"], "neither wider nor narrower");
    // An exact one stays exact, and keeps what it granted.
    place.built(&["new.jsonl"]);
    std::fs::rename(place.path("p.json"), place.path("base.json")).expect("renamed");
    let more = [lines(), vec![line("serving", "syscall", json!({ "call": "memfd_create" }))]].concat();
    place.put("more.jsonl", watched(&run(2), &more, &BASE));
    let after = place.built(&["more.jsonl", "--base", "base.json"]);
    assert_eq!(after["syscalls"]["exact"], json!(true));
    let allow = after["syscalls"]["allow"].as_array().expect("a list");
    assert!(allow.contains(&json!("memfd_create")) && allow.contains(&json!("setuid")), "{after:#}");
}

#[test]
fn hints_add_to_an_exact_profile() {
    let place = Place::new();
    place.put("a.jsonl", watched(&run(0), &lines(), &BASE));
    place.built(&["a.jsonl"]);
    let digest = remit::profile::read(place.text("p.json").as_bytes()).expect("valid").digest;
    let event = |hint: Value| {
        let policy = format!("\"policy\":{{\"digest\":{digest:?}}}");
        format!("{{\"remit\":1,\"event\":\"violation\",\"kind\":\"syscall\",{policy},\"hint\":{hint}}}\n")
    };
    let index = |place: &Place| {
        let profile: Value = serde_json::from_str(&place.text("p.json")).expect("JSON");
        let allow = profile["syscalls"]["allow"].as_array().expect("a list").clone();
        allow.iter().position(|rule| rule["call"] == "fcntl").expect("there")
    };
    let pipe =
        json!([{ "op": "add", "path": format!("/syscalls/allow/{}/in/-", index(&place)), "value": 1031 }]);
    let fork = json!([{ "op": "add", "path": "/syscalls/allow/-", "value": "vfork" }]);
    place.put("events.jsonl", event(pipe) + &event(fork));
    place.done(&["amend", "p.json", "events.jsonl", "-o", "q.json"]);
    let amended: Value = serde_json::from_str(&place.text("q.json")).expect("JSON");
    assert_eq!(amended["syscalls"]["exact"], json!(true));
    let allow = amended["syscalls"]["allow"].as_array().expect("a list");
    assert!(allow.contains(&json!("vfork")), "{amended:#}");
    assert!(
        allow.contains(&json!({ "call": "fcntl", "arg": 1, "in": ["F_SETOWN", "F_SETPIPE_SZ"] })),
        "{amended:#}"
    );
}

/// What other libraries than glibc make in the place of calls of `@base` is not watched, and so granted.
#[test]
fn what_another_c_library_makes_unwatched_is_listed() {
    let place = Place::new();
    let listed = |unwatched: &[&str]| {
        place.put("a.jsonl", watched(&run(0), &lines(), unwatched));
        let profile = place.built(&["a.jsonl"]);
        assert_eq!(profile["syscalls"]["exact"], json!(true));
        let allow = profile["syscalls"]["allow"].as_array().expect("a list").clone();
        ["open", "nanosleep"].map(|call| allow.contains(&json!(call)))
    };
    assert_eq!(listed(&BASE), [false, false]);
    assert_eq!(listed(&[&BASE[..], &["open", "nanosleep"]].concat()), [true, true]);
    let evidence = place.text("p.evidence.json");
    assert!(evidence.contains("its calls were not watched"), "{evidence}");
    // The evidence stands for the journal.
    std::fs::rename(place.path("p.evidence.json"), place.path("all.evidence.json")).expect("renamed");
    let again = place.built(&["all.evidence.json"]);
    assert!(again["syscalls"]["allow"].as_array().expect("a list").contains(&json!("open")));
}

#[test]
fn requests_of_a_device_are_listed_by_number() {
    let place = Place::new();
    let device = "/dev/ttyS0";
    let more = vec![
        line("serving", "open", json!({ "path": device, "access": ["read", "write", "ioctl"] })),
        line("serving", "syscall", json!({ "call": "ioctl", "arg": 1, "value": "TCSETSW" })),
        line("serving", "syscall", json!({ "call": "ioctl", "arg": 1, "value": "0x5415" })),
    ];
    place.put("a.jsonl", watched(&run(0), &[lines(), more].concat(), &BASE));
    let profile = place.built(&["a.jsonl"]);
    let allow = profile["syscalls"]["allow"].as_array().expect("a list");
    let requests = json!({ "call": "ioctl", "arg": 1, "in": ["TCSETSW", "TIOCMGET"] });
    assert!(allow.contains(&requests) && !allow.contains(&json!("ioctl")), "{allow:#?}");
    let files = profile["files"].as_array().expect("a list");
    assert!(files.contains(&json!({ "path": device, "allow": ["read", "write", "ioctl"] })), "{files:#?}");
}

/// A directory is granted where runs differ in the files that they read of it, and not where five show
/// that they read the same.
#[test]
fn files_that_every_run_reads_do_not_become_their_directory() {
    let place = Place::new();
    let reads = |run: usize, files: std::ops::Range<usize>| {
        let open = |file| {
            let path = format!("/srv/www/page{}", char::from(b'a' + file as u8));
            line("serving", "open", json!({ "path": path, "access": ["read"], "mount": "image" }))
        };
        let all: Vec<Value> = lines().into_iter().chain(files.map(open)).collect();
        place.put(&format!("{run}.jsonl"), watched(&self::run(run), &all, &BASE));
    };
    let granted = || {
        let profile = place.built(&["."]);
        let files = profile["files"].as_array().expect("a list").clone();
        let below = files.iter().filter_map(|file| file["path"].as_str());
        below.filter(|path| path.starts_with("/srv")).map(str::to_owned).collect::<Vec<_>>()
    };
    (0..4).for_each(|run| reads(run, 0..12));
    assert_eq!(granted(), ["/srv/www"], "four runs are too few");
    reads(4, 0..12);
    assert_eq!(granted().len(), 12);
    reads(5, 0..11);
    assert_eq!(granted(), ["/srv/www"], "one run did not read the last");
}
