//! Processes that cannot be read, names that have numbers, sockets that go on.

use serde_json::Value;

use crate::fresh::{can_run, differs, learn, under};

const PYTHON: &str = "/usr/bin/python3";

/// Every one of these learns and is enforced alike.
fn all_alike(script: &str, kinds: &[&str], rest: &[&str]) {
    if !can_run() {
        return;
    }
    let mut faults = Vec::new();
    for kind in kinds {
        let command = [&[PYTHON, script, kind], rest].concat();
        let learned = learn(&command, &[]);
        let wrong = differs(&learned, &under(&learned.profile, "enforce", &command));
        if !wrong.is_empty() || learned.run.stdout.is_empty() || learned.run.code != Some(0) {
            faults.push(format!("{kind}: {wrong}"));
        }
        assert!(!learned.report.contains("NOT LEARNED"), "{}", learned.report);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_a_process_of_root_does_is_enforced_as_it_was_learned() {
    all_alike("/srv/matrix.py", &["root", "undumpable"], &["/data"]);
}

#[test]
fn what_a_process_does_after_it_changed_its_user_is_learned() {
    all_alike("/srv/matrix.py", &["dropped", "threads", "thread-drops"], &["/data"]);
}

#[test]
fn what_a_fork_of_one_that_changed_its_user_does_is_learned() {
    all_alike("/srv/matrix.py", &["dropped-forked", "forked-dropped", "forked-dropped-forked"], &["/data"]);
}

/// The control: without the grant that a worker's bind brought, it is refused, and seen.
#[test]
fn what_was_learned_of_it_is_what_lets_it_pass() {
    if !can_run() {
        return;
    }
    let command = [PYTHON, "/srv/matrix.py", "dropped-forked", "/data"];
    let learned = learn(&command, &[]);
    assert!(
        learned.journal.contains(
            r#""kind":"listen","program":"/usr/bin/python3.11","address":"unix:/data/listeners.sock""#
        ) || learned.journal.contains(r#""address":"unix:/data/listeners.sock""#),
        "{}",
        learned.journal
    );
    let mut narrowed = learned.profile.clone();
    let listen = narrowed["network"]["listen"].as_array_mut().expect("a list");
    listen.retain(|entry| entry != "tcp/7001");
    for mode in ["enforce", "audit"] {
        let again = under(&narrowed, mode, &command);
        let objects: Vec<Value> = again.violations().into_iter().map(|one| one["object"].clone()).collect();
        assert!(objects.iter().any(|object| object["address"] == "tcp/7001"), "{mode} {objects:?} {again:?}");
    }
}

#[test]
fn a_name_with_a_number_of_its_process_is_learned_in_the_first_run() {
    let kinds = ["haproxy", "cgisock", "abstract", "lock", "port", "host", "shell", "temporary"];
    all_alike("/srv/numbers.py", &kinds, &[]);
}

#[test]
fn a_name_with_a_number_is_said_and_no_report_calls_it_certain() {
    if !can_run() {
        return;
    }
    for (kind, name) in [("haproxy", "unix:/data/admin.sock.{pid}.tmp"), ("run", "/run/app-{pid}.pid")] {
        let learned = learn(&[PYTHON, "/srv/numbers.py", kind], &[]);
        let gate = learned.report.split("gate: not passed").nth(1).unwrap_or_default();
        assert!(gate.contains(&format!("{name}: ")), "{kind}: {}", learned.report);
        assert!(learned.report.contains(&format!("{name} (seen: ")), "{}", learned.report);
    }
}

#[test]
fn sockets_go_on_over_an_exec_and_a_fork() {
    if !can_run() {
        return;
    }
    for kind in ["unix", "tcp", "spawn", "pass"] {
        let command = [PYTHON, "/generations.py", kind];
        let learned = learn(&command, &[]);
        let wrong = differs(&learned, &under(&learned.profile, "enforce", &command));
        assert!(
            wrong.is_empty() && learned.run.stdout.contains("end"),
            "{kind}: {wrong}\n{:#}",
            learned.profile
        );
    }
}

/// What a run showed is granted, and no more: each of these is refused, and seen.
#[test]
fn what_no_run_showed_is_refused_as_before() {
    if !can_run() {
        return;
    }
    let objects = |profile: &Value, script: &str| -> String {
        let again = under(profile, "enforce", &["/bin/sh", "-c", script]);
        let objects = again.violations();
        println!("{script}: {again:?}");
        objects.iter().map(|one| format!("{} {}\n", one["kind"], one["object"])).collect()
    };
    // A script without `#!` that the app could have written is no script of the image.
    let text = "cp /srv/plain /data/p; chmod 755 /data/p; cat /data/p >/dev/null; /srv/plain a";
    let learned = learn(&["/bin/sh", "-c", text], &[]);
    assert_eq!(learned.run.stdout, "plain a\n", "{:?}", learned.run);
    assert_eq!(objects(&learned.profile, text), "");
    let made = objects(&learned.profile, "cp /srv/plain /data/p; chmod 755 /data/p; /data/p");
    assert!(made.contains(r#""program" {"path":"/data/p"}"#), "{made}");
    // A variable that the app did not set, for a script.
    let learned = learn(&["/srv/entry.sh"], &[]);
    assert_eq!(learned.profile["environment"], serde_json::json!({ "keep": ["PYTHONPATH"] }));
    let mut open = learned.profile.clone();
    open["programs"].as_array_mut().expect("a list").iter_mut().for_each(|program| {
        if program["path"] == "/srv/entry.sh" {
            program["path"] = "/usr/bin/sh".into();
            program.as_object_mut().expect("a program").remove("interpreter");
        }
    });
    let other = objects(&open, "export PYTHONSTARTUP=x; exec /srv/app");
    assert!(other.contains(r#""environment" {"name":"PYTHONSTARTUP""#), "{other}");
    // A listed call by root, for want of a capability that the profile does not grant.
    let learned = learn(&["/bin/sh", "-c", "touch /data/f; chown 33 /data/f"], &[]);
    let mut without = learned.profile.clone();
    assert_eq!(without["capabilities"], serde_json::json!(["chown"]));
    without.as_object_mut().expect("a profile").remove("capabilities");
    let chown = objects(&without, "touch /data/f; chown 33 /data/f");
    assert!(chown.contains(r#""capability" {"name":"chown"}"#), "{chown}");
}
