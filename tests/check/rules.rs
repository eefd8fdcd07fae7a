//! Every rule of the gate, in a situation that breaks it; and its patch, which mends it.

use std::collections::BTreeSet;
use std::fs;

use remit::gate::GateRule;
use serde_json::{Value, json};

use crate::{
    Checked, Place, elf, events, events_in, executable, journal, journal_with, line, loader, open, ordinary,
    sha256, violation,
};

/// A situation: what is there, and how it is checked.
struct Case {
    rule: GateRule,
    set_up: fn(&Place),
    arguments: &'static [&'static str],
    /// Whether a patch has to be offered.
    has_patch: bool,
}

const fn case(
    rule: GateRule,
    has_patch: bool,
    arguments: &'static [&'static str],
    set_up: fn(&Place),
) -> Case {
    Case { rule, set_up, arguments, has_patch }
}

/// One more thing that the run of this build did.
fn also(bench: &Place, more: &[Value]) {
    bench.learned(3);
    bench.put("build.jsonl", journal(7, "get", &[ordinary(), more.to_vec()].concat()));
}

fn require(bench: &Place, keys: &str) {
    bench.put("require.json", format!("{{\"require\":1,{keys}}}"));
}

/// A profile that was not learned.
fn by_hand(bench: &Place, more: Value) {
    let mut profile = json!({ "remit": 1, "name": "server",
        "programs": [{ "path": "/usr/sbin/server", "entry": true, "why": "the app" }] });
    profile.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    bench.put("p.json", format!("{profile:#}\n"));
}

const RUN: &[&str] = &["--run", "build.jsonl"];
const REQUIRE: &[&str] = &["--require", "require.json"];
const IMAGE: &[&str] = &["--image", "image"];
const REACH: &[&str] = &["--reach", "reach.json"];

/// What the programs of p.json can call: these calls alone.
fn reachable(bench: &Place, calls: &[&str]) {
    let profile: Value = serde_json::from_str(&bench.text("p.json")).expect("JSON");
    let programs = profile["programs"].as_array().expect("a list").iter();
    let programs: Vec<&Value> = programs.map(|program| &program["path"]).collect();
    let calls: serde_json::Map<String, Value> =
        calls.iter().map(|call| ((*call).to_owned(), json!({ "number": 0 }))).collect();
    let answer = json!({ "reach": 1, "arch": "x86_64", "programs": programs, "calls": calls, "gaps": [] });
    bench.put("reach.json", answer.to_string());
}

fn cases() -> Vec<Case> {
    use GateRule as R;
    vec![
        case(R::OutsideProgram, true, RUN, |bench| {
            also(
                bench,
                &[line("serving", "exec", json!({ "program": "/bin/sh", "parent": "/usr/sbin/server" }))],
            );
        }),
        case(R::OutsideFile, true, RUN, |bench| also(bench, &[open("/srv/x", "read")])),
        case(R::OutsideNetwork, true, RUN, |bench| {
            also(bench, &[line("serving", "connect", json!({ "address": "tcp/10.0.0.2:5432" }))]);
        }),
        case(R::OutsideSyscall, true, RUN, |bench| {
            also(bench, &[line("serving", "syscall", json!({ "call": "ptrace" }))]);
        }),
        case(R::OutsideCapability, true, RUN, |bench| {
            also(
                bench,
                &[line("serving", "capability", json!({ "capability": "setuid", "call": "setuid" }))],
            );
        }),
        case(R::OutsideMemory, true, RUN, |bench| {
            also(bench, &[line("serving", "memory", json!({ "write_execute": true, "call": "mmap" }))]);
        }),
        case(R::OutsideLimit, true, RUN, |bench| {
            also(bench, &[line("serving", "limit", json!({ "limit": "processes", "value": 100 }))]);
            bench.change(|profile| profile["limits"] = json!({ "processes": 4 }));
        }),
        case(R::OutsideEnvironment, true, RUN, |bench| {
            let exec = json!({ "parent": "", "variables": ["LD_PRELOAD"] });
            also(bench, &[line("startup", "exec", exec)]);
        }),
        case(R::UnusedGrant, true, &[], |bench| {
            bench.learned(3);
            bench.change(|profile| {
                profile["network"]["connect"] = json!(["tcp/5432"]);
                profile["files"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/srv", "allow": ["read", "write"] }));
                profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/usr/bin/gzip" }));
                profile["programs"][0]["may_run"] = json!(["/usr/bin/gzip"]);
                profile["syscalls"]["allow"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "call": "prctl", "arg": 0, "in": [4, "PR_SET_NAME"] }));
                profile["capabilities"] = json!(["chown", "setuid"]);
                profile["memory"] = json!({ "write_execute": true });
                profile["environment"] = json!({ "keep": ["LD_PRELOAD"] });
            });
        }),
        case(R::RunIncomplete, false, RUN, |bench| {
            bench.learned(3);
            let cut = journal_with(7, "get", &ordinary(), &json!({ "clean": false, "dropped": 0 }));
            bench.put("build.jsonl", cut);
        }),
        case(R::RunOfAnotherProfile, false, RUN, |bench| {
            bench.learned(3);
            bench.put("build.jsonl", events("sha256:0", &[]));
        }),
        case(R::RulesNotObserved, false, RUN, |bench| {
            also(bench, &[]);
            bench.change(|profile| profile["programs"][0]["args"] = json!([["-f"]]));
        }),
        case(R::ProgramDigest, true, IMAGE, |bench| {
            bench.image().learned(3);
            bench.change(|profile| profile["programs"][0]["sha256"] = "0".repeat(64).into());
        }),
        case(R::ProgramChanged, false, IMAGE, |bench| {
            bench.image().learned(3);
            bench.put("image/usr/sbin/server", elf(2));
            executable(&bench.path("image/usr/sbin/server"));
        }),
        case(R::ProgramMissing, true, IMAGE, |bench| {
            bench.image().learned(3);
            fs::create_dir_all(bench.path("image/usr/local/bin")).expect("made");
            fs::rename(bench.path("image/usr/sbin/server"), bench.path("image/usr/local/bin/server"))
                .expect("moved");
        }),
        case(R::LibraryMissing, false, IMAGE, |bench| {
            bench.image().learned(3);
            fs::remove_file(bench.path("image/lib/libc.so.6")).expect("removed");
        }),
        case(R::LibraryChanged, false, IMAGE, |bench| {
            bench.image().learned(3);
            bench.done(&["build", "runs", "--image", "image", "-o", "p.json"]);
            bench.put("image/lib/libc.so.6", "another");
        }),
        case(R::PackageChanged, false, IMAGE, |bench| {
            bench.image().learned(3);
            bench.put("image/var/lib/dpkg/status", STATUS);
        }),
        case(R::ProgramWritable, true, IMAGE, |bench| {
            bench.image().learned(3);
            std::os::unix::fs::symlink("../usr/sbin", bench.path("image/data/link")).expect("a link");
            bench.change(|profile| {
                profile["files"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/data/link", "allow": ["read", "write"], "why": "a test" }));
            });
        }),
        case(R::LibraryWritable, true, &[], |bench| {
            bench.learned(3);
            bench.change(|profile| {
                profile["files"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/lib", "allow": ["read", "write"], "why": "a test" }));
            });
        }),
        case(R::CannotStart, false, IMAGE, |bench| {
            bench.image().learned(3);
            bench.put("image/usr/sbin/server", "#!/bin/sh\n").put("image/bin/sh", elf(3));
            executable(&bench.path("image/usr/sbin/server"));
            executable(&bench.path("image/bin/sh"));
        }),
        case(R::RefusedAtStart, true, &[], |bench| {
            by_hand(bench, json!({ "network": { "connect": ["tcp/80", "udp/53"] } }))
        }),
        case(R::ImageNotGiven, false, &["--require", "elevated"], |bench| {
            bench.learned(3);
        }),
        case(R::ShellAllowed, false, &[], |bench| {
            by_hand(bench, json!({}));
            bench.change(|profile| {
                profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/bin/sh" }))
            });
        }),
        case(R::InterpreterAllowed, false, &["--require", "elevated"], |bench| {
            by_hand(bench, json!({}));
            bench.change(|profile| {
                profile["programs"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/usr/bin/python3.11" }));
            });
        }),
        case(R::PackageManagerAllowed, false, &[], |bench| {
            by_hand(bench, json!({}));
            bench.change(|profile| {
                profile["programs"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/usr/bin/apt-get" }));
            });
        }),
        case(R::BeneathProgram, true, &["--require", "elevated"], |bench| {
            by_hand(bench, json!({}));
            bench.change(|profile| {
                profile["programs"].as_array_mut().expect("a list").push(json!({ "beneath": "/opt/tools" }));
            });
        }),
        case(R::NotEnforced, true, &[], |bench| by_hand(bench, json!({ "mode": "audit" }))),
        case(R::FallbackDegrades, true, &["--require", "elevated"], |bench| {
            by_hand(bench, json!({ "fallback": "degrade" }))
        }),
        case(R::WriteExecute, true, REQUIRE, |bench| {
            require(bench, "\"write_execute\":false");
            by_hand(bench, json!({ "memory": { "write_execute": true } }));
        }),
        case(R::ForbiddenSyscall, true, REQUIRE, |bench| {
            require(bench, "\"forbid\":{\"syscalls\":[\"ptrace\"]}");
            by_hand(bench, json!({ "syscalls": { "allow": ["ptrace"] } }));
        }),
        case(R::ForbiddenCapability, true, REQUIRE, |bench| {
            require(bench, "\"forbid\":{\"capabilities\":[\"sys_admin\"]}");
            by_hand(bench, json!({ "capabilities": ["sys_admin"] }));
        }),
        case(R::ForbiddenProgram, true, REQUIRE, |bench| {
            require(bench, "\"forbid\":{\"programs\":[\"nc\"]}");
            by_hand(bench, json!({}));
            bench.change(|profile| {
                profile["programs"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({ "path": "/usr/bin/nc", "why": "a test" }));
                profile["programs"][0]["may_run"] = json!(["/usr/bin/nc"]);
            });
        }),
        case(R::DigestNotPinned, true, &["--require", "require.json", "--image", "image"], |bench| {
            require(bench, "\"digests\":true");
            bench.image();
            by_hand(bench, json!({ "files": ["@runtime"] }));
        }),
        case(R::ExposureHigh, false, REQUIRE, |bench| {
            require(bench, "\"max_exposure\":0.1");
            by_hand(bench, json!({ "capabilities": ["sys_admin"] }));
        }),
        case(R::LayerInactive, false, &["--require", "require.json", "--run", "build.jsonl"], |bench| {
            require(bench, "\"layers\":[\"seccomp\",\"landlock-files\"]");
            bench.learned(3);
            bench.put("build.jsonl", events_in("enforce", &bench.digest(), &[]));
        }),
        case(R::LayersNotObserved, false, REQUIRE, |bench| {
            require(bench, "\"layers\":[\"seccomp\"]");
            bench.learned(3);
        }),
        case(R::GrantAdded, false, &["--against", "old.json"], |bench| {
            bench.learned(3);
            bench.put("old.json", bench.text("p.json"));
            bench.change(|profile| profile["network"]["connect"] = json!(["tcp/5432"]));
        }),
        case(R::RiskLowered, true, &["--against", "old.json"], |bench| {
            by_hand(bench, json!({ "risk": "regulated" }));
            bench.put("old.json", bench.text("p.json"));
            by_hand(bench, json!({ "risk": "minimal" }));
        }),
        case(R::EvidenceMissing, false, &["--require", "elevated"], |bench| by_hand(bench, json!({}))),
        case(R::EvidenceStale, false, &[], |bench| {
            bench.learned(3);
            bench.change(|profile| profile["programs"][0]["why"] = "the app".into());
        }),
        case(R::EvidenceThin, false, &["--require", "elevated"], |bench| {
            bench.learned(3);
        }),
        case(R::EvidenceUnseen, false, &["--require", "elevated"], |bench| {
            for number in 0..4 {
                let own =
                    [ordinary(), vec![open(&format!("/etc/{}.conf", ["a", "b", "c", "d"][number]), "read")]]
                        .concat();
                bench.put(&format!("runs/{number}.jsonl"), journal(number, "get", &own));
            }
            bench.done(&["build", "runs", "-o", "p.json"]);
        }),
        case(R::LearnedNotReachable, false, REACH, |bench| {
            bench.learned(3);
            reachable(bench, &["read"]);
        }),
        case(R::AllowedNotReachable, true, REACH, |bench| {
            by_hand(bench, json!({ "syscalls": { "allow": ["reboot"] } }));
            reachable(bench, &["read"]);
        }),
        case(R::ReachNotCompared, false, REACH, |bench| {
            by_hand(bench, json!({}));
            bench.put("reach.json", r#"{"reach":1,"arch":"x86_64","programs":[],"calls":{},"gaps":[]}"#);
        }),
        case(R::ApprovalMissing, false, REQUIRE, |bench| {
            require(bench, "\"approved\":true");
            by_hand(bench, json!({}));
        }),
        case(R::ApprovalChanged, false, &[], |bench| {
            by_hand(bench, json!({}));
            bench.done(&["approve", "p.json"]);
            bench.change(|profile| profile["capabilities"] = json!(["chown"]));
        }),
    ]
}

const STATUS: &str = "Package: server\nStatus: install ok installed\nVersion: 1.3-1\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.28-10\n";

fn checked(case: &Case) -> (Place, Checked) {
    let bench = Place::new();
    (case.set_up)(&bench);
    let checked = bench.check(case.arguments);
    (bench, checked)
}

#[test]
fn every_rule_shows_with_its_place() {
    let cases = cases();
    let tried: BTreeSet<GateRule> = cases.iter().map(|case| case.rule).collect();
    let all: BTreeSet<GateRule> = GateRule::ALL.iter().copied().collect();
    assert_eq!(tried, all, "a situation for every rule");
    for case in &cases {
        let id = case.rule.id();
        let (bench, checked) = checked(case);
        let found = checked.of(id);
        assert!(!found.is_empty(), "{id}: {:?}\n{:#}", checked.ids(), checked.report);
        let lines = bench.text("p.json").lines().count() as u64;
        for finding in &found {
            assert_eq!(finding["file"], "p.json", "{finding:#}");
            let number = finding["line"].as_u64().expect("a line");
            assert!((1..=lines).contains(&number) && finding["column"].as_u64() > Some(0), "{finding:#}");
            assert!(finding["what"].as_str().is_some_and(|what| what.ends_with('.')), "{finding:#}");
            assert_eq!(finding["why"], case.rule.why());
        }
        let severities: Vec<&str> = found.iter().filter_map(|one| one["severity"].as_str()).collect();
        match severities.iter().any(|one| matches!(*one, "error" | "warning")) {
            true => assert_eq!(checked.code, 1, "{id}: {:#}", checked.report),
            // Never 0 by what could not be looked at.
            false if severities.contains(&"inconclusive") => assert_ne!(checked.code, 0, "{id}"),
            false => assert!(["allowed-not-reachable", "evidence-stale"].contains(&id), "{id}"),
        }
    }
}

#[test]
fn each_patch_mends_its_finding() {
    let mut mended = 0;
    for case in cases() {
        let id = case.rule.id();
        let (bench, checked) = checked(&case);
        let found = checked.of(id);
        let patched: Vec<&&Value> = found.iter().filter(|one| !one["patch"].is_null()).collect();
        assert!(!case.has_patch || !patched.is_empty(), "{id} has a patch: {found:#?}");
        let before = bench.text("p.json");
        for finding in patched {
            let mut profile: Value = serde_json::from_str(&before).expect("JSON");
            let patch: json_patch::Patch = serde_json::from_value(finding["patch"].clone()).expect("a patch");
            json_patch::patch(&mut profile, &patch)
                .unwrap_or_else(|error| panic!("{id}: {error}: {finding:#}"));
            if let Err(error) = remit::profile::read(profile.to_string().as_bytes()) {
                panic!("{id}: {error}: {finding:#}");
            }
            bench.put("p.json", format!("{profile:#}\n"));
            let again = bench.check(case.arguments);
            let still = again.of(id).into_iter().any(|one| one["subject"] == finding["subject"]);
            assert!(!still, "{id} is still there: {finding:#}\n{:#}", again.report);
            mended += 1;
        }
        bench.put("p.json", before);
    }
    assert!(mended > 25, "{mended} patches were tried");
}

/// The hint of an event is passed on where it is one that remit gives for this profile.
#[test]
fn a_violation_is_a_finding_with_its_hint() {
    let bench = Place::new();
    bench.learned(3);
    let hint = json!([{ "op": "add", "path": "/files/-", "value": { "path": "/srv/x", "allow": ["read"] } }]);
    let forged = json!([{ "op": "add", "path": "/mode", "value": "off" }]);
    let object = json!({ "path": "/srv/x", "access": ["read"] });
    let all = [
        violation("file", "/files", object.clone(), hint.clone()),
        violation("file", "/files", json!({ "path": "/y" }), forged),
    ];
    bench.put("build.jsonl", events(&bench.digest(), &all));
    let checked = bench.check(&["--run", "build.jsonl"]);
    assert_eq!(checked.code, 1);
    let found = checked.of("outside-file");
    assert_eq!(found.len(), 2, "{:#}", checked.report);
    let of =
        |path: &str| found.iter().find(|one| one["what"].as_str().is_some_and(|what| what.contains(path)));
    assert_eq!(of("/srv/x").expect("one")["patch"], hint);
    assert_eq!(of("/srv/x").expect("one")["related"][0]["line"], 2);
    assert_eq!(of("file /y").expect("one")["patch"], Value::Null, "the app may have written it");
    assert_eq!(of("/srv/x").expect("one")["pointer"], "/files");
}

#[test]
fn the_image_says_older_and_newer() {
    let bench = Place::new();
    bench.image().learned(3);
    bench.put("image/var/lib/dpkg/status", STATUS);
    let checked = bench.check(&["--image", "image"]);
    let whats: Vec<&str> =
        checked.of("package-changed").iter().filter_map(|one| one["what"].as_str()).collect();
    assert!(whats.iter().any(|what| what.contains("server 1.2-1, here is 1.3-1 (newer)")), "{whats:?}");
    assert!(whats.iter().any(|what| what.contains("libc6 2.36-9, here is 2.28-10 (older)")), "{whats:?}");
    let digest = sha256(&elf(1));
    bench.change(|profile| profile["programs"][0]["sha256"] = digest.into());
    assert_eq!(bench.check(&["--image", "image"]).of("program-digest").len(), 0);
}

/// The evidence has the libraries' content where the build named the image of the runs; an image in
/// which they were not made is refused.
#[test]
fn a_library_of_another_content_is_found() {
    let bench = Place::new();
    bench.image().learned(3);
    let plain = (bench.text("p.json"), bench.text("p.evidence.json"));
    bench.put("image/lib/libc.so.6", "another");
    assert_eq!(bench.check(IMAGE).of("library-changed").len(), 0, "nothing is known of it");

    bench.put("image/lib/libc.so.6", "library");
    bench.done(&["build", "runs", "--image", "image", "-o", "p.json"]);
    assert_eq!(bench.text("p.json"), plain.0, "the profile is the same");
    let known = [("/lib/libc.so.6", sha256(b"library")), ("/lib64/ld-linux-x86-64.so.2", sha256(&loader()))];
    let has = |text: &str, path: &str, digest: &str| {
        text.contains(&format!(r#"{{"fact":"digest","path":"{path}","sha256":"{digest}","startup":"0-2"}}"#))
            || text.contains(&format!(
                r#"{{"fact":"digest","path":"{path}","sha256":"{digest}","serving":"0-2"}}"#
            ))
    };
    for (path, digest) in &known {
        let evidence = bench.text("p.evidence.json");
        assert!(!has(&plain.1, path, digest) && has(&evidence, path, digest), "{path} in {evidence}");
    }
    assert_eq!(bench.check(IMAGE).of("library-changed").len(), 0);
    // What is built of the evidence has it still, and the loader is one of them.
    bench.done(&["build", "p.json", "-o", "p.json"]);
    bench.put("image/lib/libc.so.6", "another").put("image/lib64/ld-linux-x86-64.so.2", elf(0xfe));
    let checked = bench.check(IMAGE);
    let whats: Vec<&str> =
        checked.of("library-changed").iter().filter_map(|one| one["what"].as_str()).collect();
    assert_eq!((checked.code, whats.len()), (1, 2), "{:#}", checked.report);
    assert!(whats[0].contains(&sha256(b"another")) && whats[0].contains(&known[0].1), "{whats:?}");
    let severity = |checked: &Checked| checked.of("library-changed")[0]["severity"].clone();
    assert_eq!(severity(&checked), "warning");
    bench.put("digests.json", r#"{"require":1,"digests":true}"#);
    assert_eq!(severity(&bench.check(&["--image", "image", "--require", "digests.json"])), "error");

    bench.put("image/usr/sbin/server", elf(2));
    let refused = bench.remit(&["build", "runs", "--image", "image", "-o", "new.json"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("/usr/sbin/server") && said.contains(&sha256(&elf(2)))
    );
    assert!(!bench.path("new.json").exists() && !bench.path("new.evidence.json").exists());
}

/// Packages that the runs have, and an image without a database: they cannot be compared.
#[test]
fn an_image_without_its_database_of_packages_is_no_answer() {
    let bench = Place::new();
    bench.image().learned(3);
    assert_eq!(bench.check(IMAGE).of("package-changed").len(), 0);
    for content in [None, Some("no database"), Some("")] {
        fs::remove_file(bench.path("image/var/lib/dpkg/status")).expect("removed");
        if let Some(content) = content {
            bench.put("image/var/lib/dpkg/status", content);
        }
        let checked = bench.check(IMAGE);
        assert_eq!(checked.code, 3, "{content:?}: {:#}", checked.report);
        assert_eq!(checked.of("package-changed")[0]["severity"], "inconclusive");
        bench.put("image/var/lib/dpkg/status", "");
    }
}

/// What does not say of which profile it is, or what a newer remit wrote, shows nothing about this profile.
#[test]
fn a_log_that_is_not_understood_as_a_whole_is_no_answer() {
    let bench = Place::new();
    bench.learned(3);
    let paused = events(&bench.digest(), &[json!({ "event": "paused" })]);
    let whole = events(&bench.digest(), &[]);
    bench.put("build.jsonl", &whole);
    assert_eq!(bench.check(&["--run", "build.jsonl"]).code, 0);
    for (log, says) in [
        (whole.replace("\"policy\"", "\"other\""), "2 events without the digest of a profile"),
        (whole.replace(&bench.digest(), ""), "2 events without the digest of a profile"),
        (whole.replacen(&bench.digest(), "", 1), "1 event without the digest of a profile"),
        (whole.replace("{\"remit\":1", "{\"remit\":2"), "2 events of another version than 1"),
        (paused, "1 event of a name that this remit does not know"),
    ] {
        bench.put("build.jsonl", log);
        let checked = bench.check(&["--run", "build.jsonl"]);
        let whats: Vec<&str> =
            checked.of("run-incomplete").iter().filter_map(|one| one["what"].as_str()).collect();
        assert_eq!(checked.code, 3, "{says}: {:#}", checked.report);
        assert!(whats.iter().any(|what| what.contains(says)), "{says}: {whats:?}");
    }
}

/// Events are numbered: a log of which a line was taken out is no whole record.
#[test]
fn a_log_without_one_of_its_lines_is_no_answer() {
    let bench = Place::new();
    bench.learned(3);
    let denied = violation("file", "/files", json!({ "path": "/srv/x", "access": ["read"] }), Value::Null);
    let whole = events(&bench.digest(), &[denied]);
    bench.put("build.jsonl", &whole);
    assert_eq!(bench.check(&["--run", "build.jsonl"]).code, 1);
    let without: String =
        whole.lines().filter(|line| !line.contains("/srv/x")).map(|line| format!("{line}\n")).collect();
    bench.put("build.jsonl", without);
    let checked = bench.check(&["--run", "build.jsonl"]);
    assert_eq!(checked.code, 3, "{:#}", checked.report);
    let what = checked.of("run-incomplete")[0]["what"].as_str().expect("text").to_owned();
    assert!(what.contains("1 event missing"), "{what}");
}
