//! What a check answers: clean, findings, inconclusive; against the previous profile; approval.

use std::fs;

use serde_json::{Value, json};

use crate::{Place, journal, journal_with, line, open, ordinary};

#[test]
fn what_was_learned_is_clean_with_the_runs_that_it_was_learned_from() {
    let bench = Place::new();
    bench.image().learned(3);
    let checked = bench.check(&["--run", "runs", "--image", "image"]);
    assert_eq!((checked.code, checked.ids()), (0, vec![]), "{:#}", checked.report);
    assert_eq!(checked.report["outcome"], "clean");
    let looked: Vec<&str> =
        checked.report["looked_at"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for one in ["requirements minimal", "evidence p.evidence.json", "journal runs/0.jsonl", "image image"] {
        assert!(looked.contains(&one), "{looked:?}");
    }
}

#[test]
fn names_that_differ_from_run_to_run_are_inside() {
    let bench = Place::new();
    let varying = |number: u32| {
        let path = format!("/data/temp-{number}.rdb");
        let volume =
            json!({ "path": path, "access": ["write", "create"], "mount": "volume", "mount_point": "/data" });
        let many = (0..12).map(|file| open(&format!("/usr/share/app/{file}.html"), "read"));
        let exec = json!({ "program": "/bin/busybox", "applet": "sh", "parent": "/usr/sbin/server" });
        let own = vec![
            line("serving", "open", volume),
            line(
                "serving",
                "connect",
                json!({ "address": format!("tcp/10.0.0.2:{}", 40000 + number % 1000) }),
            ),
            line("serving", "connect", json!({ "address": "udp/10.0.0.1:53" })),
            line("serving", "connect", json!({ "address": format!("unix:/tmp/.s-{number}") })),
            line("serving", "syscall", json!({ "call": "fchown" })),
            line("serving", "syscall", json!({ "call": "prctl", "arg": 0, "value": "PR_SET_NAME" })),
            line("serving", "exec", exec),
            line("serving", "change", json!({ "op": "mkdir", "path": "/run/app", "directory": true })),
            line("serving", "change", json!({ "op": "create", "path": "/run/app/pid" })),
            line(
                "serving",
                "change",
                json!({ "op": "rename", "path": "/data/a", "to": "/data/b", "mount": "volume", "mount_point": "/data" }),
            ),
            line("serving", "limit", json!({ "limit": "processes", "value": number % 40 })),
        ];
        [ordinary(), own, many.collect()].concat()
    };
    for number in 0..5 {
        let run = number as usize;
        bench.put(&format!("runs/{number}.jsonl"), journal(run, "get", &varying(47_110 + number * 7)));
    }
    bench.done(&["build", "runs", "-o", "p.json"]);
    bench.change(|profile| {
        for program in profile["programs"].as_array_mut().expect("a list") {
            program["why"] = "the app needs it".into();
        }
    });
    bench.put("build.jsonl", journal(9, "get", &varying(99_991)));
    let checked = bench.check(&["--run", "runs", "--run", "build.jsonl"]);
    let failing: Vec<&Value> = checked.findings().iter().filter(|one| one["fails"] == true).collect();
    assert!(failing.is_empty() && checked.code == 0, "{failing:#?}\n{}", bench.text("p.json"));
}

#[test]
fn nothing_that_could_not_be_looked_at_is_clean() {
    let bench = Place::new();
    bench.learned(3);
    let killed = journal(7, "get", &ordinary());
    let killed = killed.rsplit_once("{\"end\"").expect("an end").0;
    let lost = journal_with(7, "get", &ordinary(), &json!({ "clean": true, "dropped": 3 }));
    let gap =
        [ordinary(), vec![line("serving", "blind", json!({ "path": "/srv", "why": "no watch" }))]].concat();
    let frob = line("serving", "limit", json!({ "limit": "frob", "value": 3 }));
    let frob = journal(7, "get", &[ordinary(), vec![frob]].concat());
    let signal = json!({ "event": "exit", "process": { "pid": 9 }, "exit": { "signal": "SYS" } });
    let signal = crate::events(&bench.digest(), &[signal]);
    let nothing = journal(7, "get", &[]);
    for text in [killed, &lost, &journal(7, "get", &gap), &frob, &signal, &nothing] {
        bench.put("build.jsonl", text);
        let checked = bench.check(&["--run", "build.jsonl"]);
        assert_eq!((checked.code, checked.ids()), (3, vec!["run-incomplete"]), "{:#}", checked.report);
        assert_eq!(checked.report["outcome"], "inconclusive");
    }
}

#[test]
fn against_the_previous_profile_only_what_is_new_fails() {
    let bench = Place::new();
    bench.learned(3);
    bench.change(|profile| {
        profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/bin/sh" }));
        profile["files"]
            .as_array_mut()
            .expect("a list")
            .insert(0, json!({ "path": "/srv", "allow": ["read"] }));
    });
    bench.put("old.json", bench.text("p.json"));
    let checked = bench.check(&[]);
    assert_eq!(checked.code, 1);
    // The same findings, in other places of the file.
    bench.change(|profile| {
        let files = profile["files"].as_array_mut().expect("a list");
        files.rotate_left(1);
    });
    let checked = bench.check(&["--against", "old.json"]);
    assert_eq!(checked.code, 0, "{:#}", checked.report);
    assert!(checked.ids().contains(&"shell-allowed") && checked.ids().contains(&"unused-grant"));
    assert!(
        checked.findings().iter().all(|one| one["new"] == false || one["severity"] == "note"),
        "{:#}",
        checked.report
    );
    // And one that is new.
    bench.change(|profile| {
        profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/bin/bash" }))
    });
    let checked = bench.check(&["--against", "old.json"]);
    assert_eq!(checked.code, 1);
    let failing: Vec<&Value> =
        checked.of("shell-allowed").into_iter().filter(|one| one["fails"] == true).collect();
    assert_eq!(failing.len(), 1);
    assert!(failing[0]["what"].as_str().is_some_and(|what| what.contains("/bin/bash")));
    // What a run of this build does is new, whatever was there before.
    bench.put("p.json", bench.text("old.json"));
    bench.put("build.jsonl", journal(7, "get", &[ordinary(), vec![open("/secret", "read")]].concat()));
    let checked = bench.check(&["--against", "old.json", "--run", "build.jsonl"]);
    assert_eq!(checked.code, 1, "{:#}", checked.report);
}

#[test]
fn an_approval_is_of_one_content() {
    let bench = Place::new();
    bench.learned(3);
    bench.put("old.json", bench.text("p.json"));
    bench.put("require.json", r#"{"require":1,"approved":true}"#);
    bench.change(|profile| {
        profile["network"]["connect"] = json!([{ "endpoint": "tcp/5432", "why": "the database" }])
    });
    let require = ["--require", "require.json"];
    assert_eq!(bench.check(&require).ids(), ["approval-missing", "evidence-stale", "unused-grant"]);
    let said = bench.done(&["approve", "p.json", "--by", "a team", "--note", "read \u{1b}[2J"]);
    assert!(said.contains(&bench.digest()) && !said.contains('\u{1b}'), "{said}");
    let lock: Value = serde_json::from_str(&bench.text("p.lock.json")).expect("JSON");
    assert_eq!(
        (&lock["lock"], &lock["by"], &lock["profile_digest"]),
        (&1.into(), &"a team".into(), &bench.digest().into())
    );
    assert_eq!(bench.check(&require).code, 0);
    // What was added was looked at.
    let checked = bench.check(&["--against", "old.json", "--require", "require.json"]);
    assert_eq!(
        (checked.code, checked.of("grant-added")[0]["severity"].clone()),
        (0, json!("note")),
        "{:#}",
        checked.report
    );
    bench.change(|profile| profile["network"]["connect"] = json!([]));
    let checked = bench.check(&require);
    assert_eq!((checked.code, checked.of("approval-changed").len()), (1, 1));
    // Elsewhere.
    bench.done(&["approve", "p.json", "--lock", "locks.json"]);
    assert_eq!(bench.check(&["--lock", "locks.json"]).of("approval-changed").len(), 0);
    assert!(
        fs::read_dir(bench.0.path())
            .expect("listed")
            .flatten()
            .all(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn a_tier_is_a_file_that_can_be_printed() {
    let bench = Place::new();
    bench.learned(3);
    for tier in ["minimal", "elevated", "regulated"] {
        let text = bench.done(&["check", "--print-tier", tier]);
        bench.put("tier.json", &text);
        let (by_name, by_file) =
            (bench.check(&["--require", tier]), bench.check(&["--require", "tier.json"]));
        assert_eq!((by_name.code, by_name.ids()), (by_file.code, by_file.ids()), "{tier}");
        bench.change(|profile| profile["risk"] = tier.into());
        assert_eq!(bench.check(&[]).report["require"], tier);
    }
}

#[test]
fn an_archive_is_checked_as_its_files_are() {
    let bench = Place::new();
    bench.image().learned(3);
    bench.put("image/usr/sbin/server", crate::elf(2));
    crate::executable(&bench.path("image/usr/sbin/server"));
    crate::ci::save(&bench.path("image"), &bench.path("image.tar"));
    let (unpacked, archived) = (bench.check(&["--image", "image"]), bench.check(&["--image", "image.tar"]));
    assert_eq!(unpacked.ids(), ["program-changed"]);
    assert_eq!((archived.code, archived.ids()), (unpacked.code, unpacked.ids()), "{:#}", archived.report);
}

/// What the config says decides, not this machine.
#[test]
fn an_image_for_another_machine_is_no_clean_one() {
    let bench = Place::new();
    bench.image().learned(3);
    let check = |os: &str, architecture: &str| {
        crate::ci::save_for(&bench.path("image"), &bench.path("image.tar"), os, architecture);
        bench.remit(&["check", "p.json", "--image", "image.tar"])
    };
    assert_eq!(check("linux", "amd64").status.code(), Some(0));
    let other = check("linux", "arm64");
    let text = String::from_utf8_lossy(&other.stdout).into_owned();
    assert_eq!(other.status.code(), Some(1), "{text}");
    assert!(text.contains("aarch64"), "the runs were on another: {text}");
    for (os, architecture) in
        [("linux", "riscv64"), ("linux", "386"), ("linux", ""), ("windows", "amd64"), ("", "amd64")]
    {
        let said = check(os, architecture);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!((said.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        for says in [
            "image.tar",
            &format!("os {os:?}"),
            &format!("architecture {architecture:?}"),
            "expected \"linux\"",
        ] {
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}

#[test]
fn exposure_fails_with_its_rows_where_it_rises() {
    let bench = Place::new();
    bench.learned(3);
    bench.put("old.json", bench.text("p.json"));
    bench.put("require.json", r#"{"require":1,"max_exposure":0.5}"#);
    let against = ["--against", "old.json", "--require", "require.json"];
    let checked = bench.check(&against);
    assert_eq!((checked.code, checked.ids()), (0, vec!["exposure-high"]), "{:#}", checked.report);
    bench.change(|profile| profile["capabilities"] = json!(["chown", "sys_admin"]));
    let checked = bench.check(&against);
    let finding = checked.of("exposure-high")[0];
    assert_eq!((checked.code, &finding["fails"]), (1, &json!(true)), "{finding:#}");
    let rows = finding["related"].as_array().expect("a list");
    assert!(
        !rows.is_empty()
            && rows.iter().all(|row| row["text"].as_str().is_some_and(|text| text.contains("weight"))),
        "{finding:#}"
    );
}

/// An enforced run shows the layers, and an audited one the reads that would be refused.
#[test]
fn an_enforced_and_an_audited_run_show_different_things() {
    let bench = Place::new();
    bench.learned(3);
    bench.put("require.json", r#"{"require":1,"layers":["seccomp"]}"#);
    bench.put("audited.jsonl", crate::events(&bench.digest(), &[]));
    bench.put("enforced.jsonl", crate::events_in("enforce", &bench.digest(), &[]));
    let check = |arguments: &[&str]| {
        let checked = bench.check(&[&["--require", "require.json"], arguments].concat());
        (checked.code, checked.ids().join(" "))
    };
    assert_eq!(check(&["--run", "audited.jsonl"]), (3, "layers-not-observed".to_owned()));
    assert_eq!(check(&["--run", "enforced.jsonl"]), (3, "run-incomplete".to_owned()));
    assert_eq!(check(&["--run", "audited.jsonl", "--run", "enforced.jsonl"]), (0, String::new()));
    bench.change(|profile| profile["watch"] = json!(["reads"]));
    bench.put("enforced.jsonl", crate::events_in("enforce", &bench.digest(), &[]));
    assert_eq!(check(&["--run", "enforced.jsonl"]), (0, "evidence-stale".to_owned()));
}
