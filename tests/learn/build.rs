//! `remit build`: what runs become.

use std::fs;

use serde_json::{Value, json};

use crate::{Place, SERVER, journal, line, ordinary, run};

#[test]
fn the_packages_of_a_runs_end_are_recorded_with_where_it_ran() {
    let place = Place::new();
    let packages = json!({ "dpkg": { "libc6": "2.36-9", "redis-server": "5:7.0.15-1" } });
    let end = format!("\"clean\":true,\"packages\":{packages},");
    place.put("a.jsonl", journal(&run(0), "work", &ordinary()).replace("\"clean\":true,", &end));
    place.put("b.jsonl", journal(&run(1), "work", &ordinary()));
    place.built(&["a.jsonl", "b.jsonl"]);
    let evidence: Value = serde_json::from_str(&place.text("p.evidence.json")).expect("JSON");
    let fingerprint = json!({ "arch": "x86_64", "kernel": "6.18.44", "packages": packages });
    assert_eq!(evidence["runs"][0]["fingerprint"], fingerprint);
    assert_eq!(evidence["runs"][1]["fingerprint"], json!({ "arch": "x86_64", "kernel": "6.18.44" }));
    // And stay so, whatever it is put together with.
    fs::rename(place.path("p.evidence.json"), place.path("first.evidence.json")).expect("renamed");
    place.built(&["first.evidence.json", "a.jsonl"]);
    let again: Value = serde_json::from_str(&place.text("p.evidence.json")).expect("JSON");
    assert_eq!(again["runs"], evidence["runs"]);
}

#[test]
fn runs_become_a_profile_that_grants_what_they_did() {
    let place = Place::new();
    for number in 0..4 {
        place.put(&format!("{number}.jsonl"), journal(&run(number), "benchmark", &ordinary()));
    }
    let profile = place.built(&["."]);
    let expected = json!({
        "remit": 1,
        "name": "redis",
        "capabilities": ["sys_resource"],
        "programs": [{ "path": SERVER, "entry": true }],
        "files": [
            "@runtime",
            "@names",
            { "path": "/data", "allow": ["write", "create", "remove"] },
            { "path": "/etc/redis/redis.conf", "allow": ["read"] },
            { "path": "/run/redis.pid", "allow": ["write", "create"] },
        ],
        "network": { "listen": ["tcp/6379"] },
        "syscalls": {
            "allow": [
                { "call": "chown", "why": "comes with fchown, which was seen" },
                "fchown",
                { "call": "fchownat", "why": "comes with fchown, which was seen" },
                { "call": "lchown", "why": "comes with fchown, which was seen" },
                "mlockall",
                { "call": "munlockall", "why": "comes with mlockall, which was seen" },
            ],
            "startup_only": ["bind", "execve", "execveat", "listen", "mlockall", "munlockall"],
        },
        "ready": { "when": "listening" },
    });
    assert_eq!(profile, expected, "{profile:#}");
    let evidence: Value = serde_json::from_str(&place.text("p.evidence.json")).expect("JSON");
    let document = remit::profile::read(place.text("p.json").as_bytes()).expect("valid");
    assert_eq!(evidence["profile_digest"], document.digest);
    assert_eq!(evidence["rules"]["/files/2"]["runs"], json!([0, 1, 2, 3]));
    assert_eq!(evidence["rules"]["/files/2"]["phase"], json!(["serving"]));
    assert_eq!(evidence["rules"]["/files/2"]["examples"], json!(["/data/dump.rdb", "/data/temp-4711.rdb"]));
    assert_eq!(evidence["rules"]["/syscalls/allow/0"]["completes"], "fchown");
    let notes = evidence["notes"].to_string();
    assert!(notes.contains("refused keyctl: EPERM; it was not learned"), "{notes}");
    assert!(notes.contains("processes: at most 3 were alive; no limit was made of it"), "{notes}");
    for grant in remit::learn::grants(&document.profile) {
        let rule = &evidence["rules"][&grant.pointer];
        assert!(rule["because"].as_str().is_some_and(|why| why != "written by hand"), "{grant:?}: {rule}");
    }
}

/// Numbers that are the same everywhere.
fn dice(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// Journals that have something of everything.
fn generated(seed: u64, count: usize) -> Vec<String> {
    let mut seed = seed;
    let one = |number: usize| {
        let mut lines = ordinary();
        for _ in 0..dice(&mut seed, 60) {
            let phase = ["startup", "serving"][dice(&mut seed, 2) as usize];
            let name = format!("/srv/d{}/f{}", dice(&mut seed, 4), dice(&mut seed, 40));
            let call = ["fchown", "setuid", "shmget", "io_setup", "sethostname"][dice(&mut seed, 5) as usize];
            lines.push(match dice(&mut seed, 7) {
                0 => line(phase, "open", json!({ "path": name, "access": ["read"], "mount": "image" })),
                1 => line(phase, "change", json!({ "op": "create", "path": name })),
                2 => line(
                    phase,
                    "change",
                    json!({ "op": "mkdir", "path": format!("/srv/d{}", dice(&mut seed, 4)) }),
                ),
                3 => line(phase, "syscall", json!({ "call": call })),
                4 => line(
                    phase,
                    "connect",
                    json!({ "address": format!("tcp/10.0.0.1:{}", 40_000 + dice(&mut seed, 9)) }),
                ),
                5 => line(
                    phase,
                    "exec",
                    json!({ "program": format!("/bin/t{}", dice(&mut seed, 3)), "parent": SERVER }),
                ),
                _ => line(
                    phase,
                    "syscall",
                    json!({ "call": "ioctl", "arg": 1, "value": 0x5400 + dice(&mut seed, 9) }),
                ),
            });
        }
        journal(&run(number), ["a", "b", ""][dice(&mut seed, 3) as usize], &lines)
    };
    (0..count).map(one).collect()
}

#[test]
fn order_and_grouping_make_no_difference() {
    for seed in 0..6 {
        let place = Place::new();
        let names: Vec<String> = (0..7).map(|number| format!("{number}.jsonl")).collect();
        for (name, text) in names.iter().zip(generated(seed, names.len())) {
            place.put(name, text);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let both = |output: &str, inputs: &[&str]| {
            place.done(&[&["build", "-o", output], inputs].concat());
            (place.text(output), place.text(&output.replace(".json", ".evidence.json")))
        };
        let all = both("all.json", &names);
        let mut back = names.clone();
        back.reverse();
        assert_eq!(both("back.json", &back), all, "the order");
        back.extend(&names[..3]);
        assert_eq!(both("twice.json", &back), all, "a run that is given twice");
        both("one.json", &names[..2]);
        both("two.json", &names[2..5]);
        both("three.json", &names[4..]);
        both("left.json", &["one.evidence.json", "two.json"]);
        assert_eq!(both("left.json", &["left.evidence.json", "three.json"]), all, "(one, two), three");
        both("right.json", &["three.evidence.json", "two.evidence.json"]);
        assert_eq!(both("right.json", &["right.json", "one.evidence.json"]), all, "(three, two), one");
        assert_eq!(both("again.json", &["all.evidence.json"]), all, "of its own evidence");
    }
}

#[test]
fn a_directory_of_endless_names_is_one_whatever_comes_first() {
    let place = Place::new();
    for (number, range) in [(0, 0..700), (1, 500..1200)] {
        let mut lines = ordinary();
        let open = |name: usize| {
            let path = format!("/srv/x/file-{}{}", (b'a' + (name % 26) as u8) as char, name);
            let to = format!("/srv/y/{name}");
            match name % 3 {
                0 => line(
                    "serving",
                    "change",
                    json!({ "op": "rename", "path": path, "to": to, "mount": "image" }),
                ),
                _ => line("serving", "open", json!({ "path": path, "access": ["read"], "mount": "image" })),
            }
        };
        lines.extend(range.map(open));
        place.put(&format!("{number}.jsonl"), journal(&run(number), "", &lines));
    }
    let one = place.built(&["0.jsonl", "1.jsonl"]);
    let evidence = place.text("p.evidence.json");
    assert!(evidence.contains("\"full\": [\n    \"/srv/x\""), "more names than are kept apart");
    assert!(one["files"].to_string().contains("\"/srv/x\""));
    assert!(!evidence.contains("/srv/x/file-"), "a move is kept by its directory as well");
    place.built(&["1.jsonl", "0.jsonl"]);
    assert_eq!(place.text("p.evidence.json"), evidence);
}

/// Static, without a file, and it was not observed whether it opened one; a terminal; a program
/// out of memory.
#[test]
fn what_could_not_be_observed_is_granted_or_said() {
    let place = Place::new();
    let exec = |program: &str, parent: &str| {
        line("startup", "exec", json!({ "program": program, "parent": parent }))
    };
    let lines = [exec("/app", ""), exec("/memfd:x (deleted)", "/app")];
    let wanted = |name: &str, lines: &[Value]| {
        place.put(name, journal(&run(1), "a", lines));
        place.built(&[name])
    };
    let bare = wanted("bare.jsonl", &lines);
    assert_eq!(bare["programs"], json!([{ "path": "/app", "entry": true }]));
    assert_eq!(bare["syscalls"]["allow"], json!(["@files"]));
    let opened = |path: &str, access: &str| {
        line("startup", "open", json!({ "path": path, "access": [access], "mount": "image", "result": "ok" }))
    };
    let terminal = [exec("/app", ""), opened("/dev/pts/0", "read"), opened("/dev/pts/0", "write")];
    let terminal = wanted("terminal.jsonl", &terminal);
    assert_eq!(terminal["files"], json!([{ "path": "/dev/pts", "allow": ["read", "write", "ioctl"] }]));
}

#[test]
fn runs_that_ended_badly_are_taken_where_one_says_so() {
    let place = Place::new();
    let good = journal(&run(0), "", &ordinary());
    let cut = &good[..good.rfind("a-kind-of").expect("there")];
    place.put("cut.jsonl", cut);
    let said = place.done(&["build", "cut.jsonl", "-o", "p.json", "--accept-unclean"]);
    assert!(said.contains("cut.jsonl:18: the last line is cut"), "{said}");
    assert!(said.contains("has no end"), "{said}");
    let evidence: Value = serde_json::from_str(&place.text("p.evidence.json")).expect("JSON");
    assert_eq!(evidence["runs"][0]["clean"], false);
}

#[test]
fn idle_runs_do_not_pass_for_complete() {
    let place = Place::new();
    let idle: Vec<Value> = ordinary().into_iter().filter(|line| line["phase"] == "startup").collect();
    for number in 0..10 {
        place.put(&format!("{number}.jsonl"), journal(&run(number), "", &idle));
    }
    let said = place.done(&["build", ".", "-o", "p.json"]);
    assert!(said.contains("coverage 100 %"), "the estimators are taken in\n{said}");
    assert!(said.contains("gate: not passed"), "{said}");
    assert!(said.contains("idle runs look complete, and are not"), "{said}");
    assert!(said.contains("no probability of safety"), "{said}");
}

#[test]
fn expected_behaviours_are_looked_for() {
    let place = Place::new();
    for number in 0..6 {
        let mut lines = ordinary();
        let label = ["load", "backup"][number % 2];
        if number > 2 {
            lines.push(line("serving", "signal", json!({ "signal": "HUP" })));
        }
        place.put(&format!("{number}.jsonl"), journal(&run(number), label, &lines));
    }
    let expect = |expected: &[&str]| {
        let mut arguments = vec!["build", ".", "-o", "p.json", "--format", "json"];
        arguments.extend(expected.iter().flat_map(|one| ["--expect", one]));
        let said: Value = serde_json::from_str(&place.done(&arguments)).expect("JSON");
        said["confidence"]["gate"].clone()
    };
    let gate = expect(&[
        "signal:HUP",
        "label:backup",
        "listen:tcp/6379",
        "syscall:fchown",
        "capability:sys_resource",
    ]);
    assert_eq!(gate["passed"], true, "{gate}");
    assert_eq!(gate["labels"]["backup"], json!({ "runs": 3, "novel": 0 }));
    let gate = expect(&["signal:HUP", "label:upgrade", "signal:USR2"]);
    assert_eq!(gate["passed"], false);
    assert!(
        gate["failures"][0].as_str().is_some_and(|text| text.starts_with("1 of 3 expected behaviours seen"))
    );
}

/// A file that is called `*` grants itself, and not its directory.
/// It is not there at the next start: with it the profile would not start at all.
#[test]
fn a_program_that_the_app_made_is_left_out_and_said() {
    let place = Place::new();
    let exec = |program: &str, parent: &str| {
        line("startup", "exec", json!({ "program": program, "parent": parent }))
    };
    let change = |more: Value| line("startup", "change", more);
    let lines = [
        exec("/bin/sh", ""),
        exec("/bin/cp", "/bin/sh"),
        change(json!({ "op": "create", "path": "/data/made" })),
        exec("/data/made", "/bin/sh"),
        exec("/bin/true", "/data/made"),
        change(json!({ "op": "create", "path": "/data/new" })),
        change(json!({ "op": "rename", "path": "/data/new", "to": "/data/moved" })),
        exec("/data/moved", "/bin/sh"),
        // What a directory that was moved brought along.
        change(json!({ "op": "mkdir", "path": "/data/a", "directory": true })),
        change(json!({ "op": "rename", "path": "/data/a", "to": "/data/b", "directory": true })),
        line("startup", "open", json!({ "path": "/data/b/f", "access": ["read"], "mount": "image" })),
    ];
    place.put("j.jsonl", journal(&run(1), "a", &lines));
    let said = place.remit(&["build", "j.jsonl", "-o", "p.json"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    let profile = place.built(&["j.jsonl"]);
    assert_eq!(
        profile["programs"],
        json!([{ "path": "/bin/sh", "entry": true, "may_run": ["/bin/cp"] }, { "path": "/bin/cp" }, { "path": "/bin/true" }])
    );
    for program in ["/data/made", "/data/moved"] {
        assert!(text.contains(&format!("{program} was made by the app and executed")), "{text}");
    }
    assert_eq!(profile["files"], json!([{ "path": "/data", "allow": ["read", "create", "remove"] }]));
}

#[test]
fn a_star_met_while_learning_is_a_name() {
    let place = Place::new();
    let lines = [
        line("startup", "exec", json!({ "program": SERVER })),
        line("startup", "open", json!({ "path": "/data/*", "access": ["write"], "mount": "image" })),
        line("startup", "open", json!({ "path": "/etc/app/*/conf", "access": ["read"], "mount": "image" })),
        line("startup", "change", json!({ "path": "/etc/*", "op": "create", "mount": "image" })),
    ];
    place.put("j.jsonl", journal("r", "a", &lines));
    let paths = |arguments: &[&str]| {
        let profile = place.built(arguments);
        let files = profile["files"].as_array().expect("a list").clone();
        let files: Vec<String> =
            files.iter().filter_map(|one| one["path"].as_str().map(str::to_owned)).collect();
        files
    };
    let first = paths(&["j.jsonl"]);
    assert_eq!(first, ["/data/*", "/etc/*", "/etc/app/*/conf"]);
    // And once more from the evidence.
    assert_eq!(paths(&["p.evidence.json"]), first);
}

/// Five workloads of haproxy, learned over eight runs, each time with the same process number.
#[test]
fn a_number_that_was_the_same_in_every_run_is_no_certainty() {
    let place = Place::new();
    let address = "unix:/run/haproxy/admin.sock.29.tmp";
    let names: Vec<String> = (0..8).map(|number| format!("{number}.jsonl")).collect();
    let put = |pid: &dyn Fn(usize) -> u32| {
        for (number, name) in names.iter().enumerate() {
            let (named, part) = (address.replace("29", &pid(number).to_string()), pid(number).to_string());
            let more = [
                line("startup", "numbered", json!({ "name": named, "part": part, "was": "pid" })),
                line("startup", "listen", json!({ "address": named })),
            ];
            place.put(
                name,
                journal(&run(number), ["a", "b"][number % 2], &[ordinary(), more.into()].concat()),
            );
        }
    };
    let build = || {
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let report = place.done(&[&["build", "-o", "p.json", "--format", "json"], &inputs[..]].concat());
        let report: Value = serde_json::from_str(&report).expect("JSON");
        let profile: Value = serde_json::from_str(&place.text("p.json")).expect("JSON");
        assert_eq!(profile["network"]["listen"], json!(["tcp/6379", "unix:*"]), "{profile}");
        report["confidence"].clone()
    };
    put(&|_| 29);
    let same = build();
    assert!(same["all"]["all"]["unseen"].as_f64().is_some_and(|chance| chance > 0.05), "{same:#}");
    let failures = same["gate"]["failures"].to_string();
    assert!(
        failures.contains("unix:/run/haproxy/admin.sock.{pid}.tmp: seen with one number only"),
        "{failures}"
    );
    put(&|number| 29 + number as u32);
    let others = build();
    assert_eq!(others["all"]["all"]["unseen"], json!(0.0), "confirmed by other numbers: {others:#}");
    assert!(!others["gate"]["failures"].to_string().contains("{pid}"), "{others:#}");
}

#[test]
fn a_call_that_could_not_be_read_is_said_and_fails_the_gate() {
    let place = Place::new();
    let unread = json!({ "path": SERVER, "call": "bind", "why": "a process of user 33 that cannot be read" });
    let lines = [ordinary(), vec![line("serving", "blind", unread)]].concat();
    place.put("a.jsonl", journal(&run(0), "a", &lines));
    let report = place.done(&["build", "-o", "p.json", "a.jsonl"]);
    let notes = report.split("\nNotes\n").nth(1).unwrap_or_default();
    assert!(notes.contains("NOT LEARNED: bind of /usr/bin/redis-server (a process of user 33"), "{report}");
    assert!(report.contains("calls of 1 kinds could not be read"), "{report}");
}

#[test]
fn a_variable_that_the_app_set_stays_until_it_is_removed_by_hand() {
    let place = Place::new();
    let exec = json!({ "program": "/usr/bin/app", "parent": SERVER, "interpreter": "/usr/bin/python3",
        "variables": ["PYTHONPATH"] });
    place.put("a.jsonl", journal(&run(0), "a", &[ordinary(), vec![line("serving", "exec", exec)]].concat()));
    let profile = place.built(&["a.jsonl"]);
    assert_eq!(profile["environment"], json!({ "keep": ["PYTHONPATH"] }));
    place.put("p.json", place.text("p.json").replace("[\"PYTHONPATH\"]", "[]"));
    let again = place.remit(&["build", "-o", "again.json", "p.json"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(!place.text("again.json").contains("PYTHONPATH"));
}
