//! What cannot be used is one line that says what, where and what to do; and no file is written.

use std::fs;

use crate::{Place, journal, ordinary};

#[test]
fn bad_input_is_one_line_and_no_file() {
    let bench = Place::new();
    bench.learned(2);
    bench.put("broken.json", "{\"require\":1,\n  \"max_exposre\": 4}");
    bench.put("newer.json", "{\"require\":2}");
    bench.put("p.locked.json", "{\"lock\":1}");
    bench.put("none.jsonl", "no event\n").put("empty/readme", "");
    bench.put("old.jsonl", journal(1, "", &ordinary()).replace("{\"journal\":1", "{\"journal\":0"));
    bench.put("cut.jsonl", &journal(1, "", &ordinary())[..40]);
    bench.put("image.tar", "no archive");
    fs::create_dir_all(bench.path("taken")).expect("made");
    fs::create_dir_all(bench.path("pipes")).expect("made");
    for name in ["fifo", "pipes/a.jsonl"] {
        nix::unistd::mkfifo(&bench.path(name), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    }
    std::os::unix::fs::symlink("/dev/zero", bench.path("endless")).expect("a link");
    let cases: &[(&[&str], &[&str])] = &[
        (&["none.json"], &["none.json", "not found"]),
        (&["p.json", "--evidence", "none.json"], &["none.json", "not found"]),
        (&["p.json", "--evidence", "p.json"], &["p.json", "no evidence"]),
        (&["p.json", "--run", "none"], &["none", "not found"]),
        (&["p.json", "--run", "none.jsonl"], &["none.jsonl", "neither", "journal"]),
        (&["p.json", "--run", "empty"], &["empty", "*.jsonl"]),
        (&["p.json", "--run", "cut.jsonl"], &["cut.jsonl:1"]),
        (&["p.json", "--run", "old.jsonl"], &["old.jsonl:1", "version 0", "never was"]),
        (&["p.json", "--run", "pipes"], &["pipes/a.jsonl", "no regular file"]),
        (&["p.json", "--run", "endless"], &["endless", "no regular file"]),
        (&["p.json", "--evidence", "fifo"], &["fifo", "no regular file"]),
        (&["p.json", "--evidence", "endless"], &["endless", "no regular file"]),
        (&["p.json", "--require", "./fifo"], &["./fifo", "no regular file"]),
        (&["p.json", "--lock", "fifo"], &["fifo", "no regular file"]),
        (&["p.json", "--reach", "fifo"], &["fifo", "no regular file"]),
        (&["fifo"], &["fifo", "no regular file"]),
        (&["p.json", "--against", "none.json"], &["none.json", "not found"]),
        (&["p.json", "--require", "regulatd"], &["regulatd", "minimal, elevated, regulated"]),
        (&["p.json", "--require", "broken.json"], &["broken.json:2:3: /max_exposre", "max_exposure"]),
        (&["p.json", "--require", "newer.json"], &["newer.json:1:12: /require", "newer"]),
        (&["p.json", "--lock", "none.lock"], &["none.lock", "not found"]),
        (&["p.json", "--lock", "p.locked.json"], &["p.locked.json:1:1: /profile_digest", "missing"]),
        (&["p.json", "--image", "none.tar"], &["none.tar", "No such file"]),
        (&["p.json", "--image", "image.tar"], &["image.tar"]),
        (&["p.json", "--output", "sarfi=x.sarif"], &["sarfi=x.sarif", "sarif"]),
        (&["p.json", "--output", "sarif="], &["sarif=", "stdout"]),
        (&["p.json", "--output", "json=x,text=x"], &["two formats", "x"]),
        (&["p.json", "--output", "json=x,text=./x"], &["two formats", "./x"]),
        (&["p.json", "--output", "json=taken/x,text=./taken/../taken/x"], &["two formats", "taken/x"]),
        (&["p.json", "--output", "json=x,text=taken"], &["taken", "directory"]),
        (&["p.json", "--output", "json=x,text=none/x"], &["none/x", "No such file"]),
    ];
    for (arguments, says) in cases {
        let said = bench.remit(&[&["check"], *arguments].concat());
        let error = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(said.stdout.is_empty(), "{arguments:?}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        for says in *says {
            assert!(error.contains(says), "{arguments:?}: {error}");
        }
        let left: Vec<String> = fs::read_dir(bench.0.path())
            .expect("listed")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with('.') || name == "x")
            .collect();
        assert!(left.is_empty(), "{arguments:?}: {left:?}");
    }
}

/// Each verb refuses at once what would wait for a writer or have no end.
#[test]
fn no_verb_waits_for_a_fifo_or_reads_a_device() {
    let bench = Place::new();
    bench.learned(2);
    nix::unistd::mkfifo(&bench.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    std::os::unix::fs::symlink("/dev/zero", bench.path("endless")).expect("a link");
    for name in ["fifo", "endless"] {
        let cases: [&[&str]; 9] = [
            &["amend", "p.json", name, "-o", "new.json"],
            &["build", name, "-o", "new.json"],
            &["explain", "p.json", "--event", name, "--seq", "1"],
            &["explain", "p.json", "--reach", name],
            &["exposure", name],
            &["import", "--from", "oci-seccomp", name],
            &["report", "p.json", "--events", name, "-o", "new.html"],
            &["report", "p.json", "--evidence", name, "-o", "new.html"],
            // Of a FIFO it reads events.
            &["events", if name == "fifo" { "endless" } else { name }],
        ];
        for arguments in cases {
            let said = bench.remit(arguments);
            let error = String::from_utf8_lossy(&said.stderr);
            assert_eq!((said.status.code(), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
            assert!(error.contains("no regular file"), "{arguments:?}: {error}");
        }
    }
}

/// `<(…)` is a pipe, which is read to its end.
#[test]
fn what_a_shell_pipes_in_is_read() {
    let bench = Place::new();
    bench.learned(2);
    bench.put("events", crate::events(&bench.digest(), &[]));
    let script = |line: &str| {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-ec", line]).current_dir(bench.0.path()).env("REMIT", crate::REMIT);
        let said = shell.output().expect("bash");
        assert!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
    };
    script("$REMIT check p.json --run <(sleep 0.1; cat events) --evidence <(cat p.evidence.json)");
    script("$REMIT amend p.json <(cat events) -o new.json");
    script("$REMIT report p.json --events <(cat events) -o new.html");
    script("$REMIT events <(cat events)");
}

#[test]
fn a_profile_that_cannot_be_read_is_not_approved() {
    let bench = Place::new();
    bench.put("p.json", "{\"remit\":1}");
    let said = bench.remit(&["approve", "p.json"]);
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!((said.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(!bench.path("p.lock.json").exists());
}

/// A line that says what is wrong is short, whatever the file has.
#[test]
fn a_long_key_is_not_repeated() {
    let bench = Place::new();
    let key = "k".repeat(1 << 20);
    bench.put("p.json", format!(r#"{{"remit":1,"name":"x","{key}":1}}"#));
    bench.put("twice.json", format!(r#"{{"remit":1,"name":"x","{key}":1,"{key}":1}}"#));
    bench.put("require.json", format!(r#"{{"require":1,"{key}":1}}"#));
    for arguments in
        [&["check", "p.json"][..], &["check", "twice.json"], &["check", "nginx", "--require", "require.json"]]
    {
        let said = bench.remit(arguments);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}");
        assert!(
            said.stderr.len() < 600 && said.stderr.contains(&b'k'),
            "{arguments:?}: {}",
            said.stderr.len()
        );
    }
}

/// A link that leads to nothing is no missing lock: what it was to approve is not known.
#[test]
fn a_lock_that_leads_to_nothing_is_an_error() {
    let bench = Place::new();
    bench.learned(2);
    std::os::unix::fs::symlink("moved.json", bench.path("p.lock.json")).expect("a link");
    let said = bench.remit(&["check", "p.json"]);
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!((said.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(error.contains("p.lock.json"), "{error}");
}

/// A reason of which nothing is seen is none.
#[test]
fn an_invisible_reason_is_none() {
    let bench = Place::new();
    for why in ["\u{200b}", " \u{2060}\u{feff}\t"] {
        let program = serde_json::json!({ "path": "/app", "entry": true, "why": why });
        bench
            .put("p.json", serde_json::json!({ "remit": 1, "name": "x", "programs": [program] }).to_string());
        let said = bench.remit(&["check", "p.json"]);
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(2) && error.contains("gives no reason"), "{error}");
    }
}

/// A file that is read is never written, however it is spelled.
#[test]
fn an_output_is_none_of_the_inputs() {
    let bench = Place::new();
    bench.learned(2);
    bench.put("events", crate::events(&bench.digest(), &[]));
    bench.put("seccomp.json", r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#);
    fs::create_dir_all(bench.path("folder")).expect("made");
    fs::hard_link(bench.path("events"), bench.path("folder/hard")).expect("a link");
    std::os::unix::fs::symlink("p.json", bench.path("link")).expect("a link");
    let import = ["import", "--from", "oci-seccomp", "--entry", "/app"];
    let cases: Vec<Vec<&str>> = vec![
        vec!["events", "events", "--prometheus", "events"],
        vec!["events", "events", "--prometheus", "folder/hard"],
        vec!["amend", "p.json", "events", "-o", "./events"],
        vec!["check", "p.json", "--output", "json=p.json"],
        vec!["check", "p.json", "--output", "json=link"],
        vec!["check", "p.json", "--output", "text=-,json=p.evidence.json"],
        vec!["check", "p.json", "--run", "runs", "--output", "json=runs/1.jsonl"],
        vec!["build", "runs/1.jsonl", "-o", "runs/1.jsonl"],
        vec!["report", "p.json", "-o", "p.json"],
        vec!["report", "p.json", "-o", "p.evidence.json"],
        vec!["report", "p.json", "--events", "events", "-o", "events"],
        vec!["approve", "p.json", "--lock", "p.json"],
        vec!["export", "./p.json", "--to", "oci-seccomp", "-o", "folder/../p.json"],
        [&import[..], &["seccomp.json", "-o", "seccomp.json"]].concat(),
    ];
    let texts = || {
        ["p.json", "p.evidence.json", "events", "seccomp.json", "runs/1.jsonl"].map(|name| bench.text(name))
    };
    let before = texts();
    for arguments in cases {
        let said = bench.remit(&arguments);
        let error = String::from_utf8_lossy(&said.stderr);
        assert_eq!((said.status.code(), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
        assert!(error.contains("is read too"), "{arguments:?}: {error}");
        assert_eq!(texts(), before, "{arguments:?}");
    }
}
