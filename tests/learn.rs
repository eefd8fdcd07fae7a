//! `remit build` and `remit amend` from outside: journals in, a profile and its evidence
//! out; what cannot be used is one clear line.
#![cfg(feature = "tool")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");

/// A directory, and the tool in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> &Place {
        fs::write(self.path(name), text).expect("it can be written");
        self
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn remit(&self, arguments: &[&str]) -> Output {
        Command::new(REMIT).args(arguments).current_dir(self.0.path()).output().expect("it runs")
    }

    /// What it prints where it is done.
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.remit(arguments);
        assert_eq!(said.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("UTF-8")
    }

    fn built(&self, arguments: &[&str]) -> Value {
        self.done(&[&["build", "-o", "p.json"], arguments].concat());
        let profile = self.text("p.json");
        if let Err(error) = remit::profile::read(profile.as_bytes()) {
            panic!("{error}\n{profile}");
        }
        serde_json::from_str(&profile).expect("JSON")
    }
}

/// A journal: its first line, observations, its end.
fn journal(run: &str, label: &str, lines: &[Value]) -> String {
    let first = json!({ "journal": 1, "run": run, "label": label, "command": ["redis-server"], "exact": false,
        "fingerprint": { "arch": "x86_64", "kernel": "6.18.44" }, "outer": { "seccomp": true }, "new": 1 });
    // serde_json sorts keys; a journal begins with its version.
    let mut text = format!("{{\"journal\":1,{}\n", &first.to_string()[1..].replace("\"journal\":1,", ""));
    for line in lines {
        text += &format!("{line}\n");
    }
    let end = json!({ "t": 9, "end": { "exit": { "code": 0 }, "clean": true, "lines": lines.len(), "dropped": 0 } });
    text + &format!("{end}\n")
}

const SERVER: &str = "/usr/bin/redis-server";

fn line(phase: &str, kind: &str, more: Value) -> Value {
    let mut line = json!({ "t": 1, "phase": phase, "kind": kind, "program": SERVER, "result": "ok" });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    line
}

/// What every run of the server does.
fn ordinary() -> Vec<Value> {
    let exec = json!({ "parent": "", "args": ["redis-server"], "sha256": "sha256:".to_owned() + &"0".repeat(64),
        "loader": "/lib64/ld-linux-x86-64.so.2" });
    let volume = |path: &str, more: Value| {
        let mut use_ = json!({ "path": path, "mount": "volume", "mount_point": "/data" });
        if let (Some(use_), Some(more)) = (use_.as_object_mut(), more.as_object()) {
            use_.extend(more.clone());
        }
        use_
    };
    vec![
        line("startup", "exec", exec),
        line(
            "startup",
            "open",
            json!({ "path": "/etc/redis/redis.conf", "access": ["read"], "mount": "image" }),
        ),
        line("startup", "open", json!({ "path": "/usr/lib/x86_64-linux-gnu/libc.so.6", "access": ["read"] })),
        line("startup", "open", json!({ "path": "/etc/passwd", "access": ["read"] })),
        line("startup", "change", json!({ "op": "create", "path": "/run/redis.pid" })),
        line("startup", "open", json!({ "path": "/run/redis.pid", "access": ["write"] })),
        line("startup", "listen", json!({ "address": "tcp/0.0.0.0:6379" })),
        line("startup", "syscall", json!({ "call": "ioctl", "arg": 1, "value": "FIONBIO" })),
        line("startup", "syscall", json!({ "call": "mlockall" })),
        line("startup", "syscall", json!({ "call": "keyctl", "result": "EPERM" })),
        line("startup", "capability", json!({ "capability": "sys_resource", "call": "setrlimit" })),
        line("startup", "ready", json!({ "by": "listening" })),
        line("serving", "open", volume("/data/temp-4711.rdb", json!({ "access": ["write", "create"] }))),
        line(
            "serving",
            "change",
            volume("/data/temp-4711.rdb", json!({ "op": "rename", "to": "/data/dump.rdb" })),
        ),
        line("serving", "syscall", json!({ "call": "fchown" })),
        line("serving", "limit", json!({ "limit": "processes", "value": 3 })),
        line("serving", "a-kind-of-the-future", json!({})),
    ]
}

fn run(number: usize) -> String {
    format!("redis-20261122T10000{number}Z-{number:04x}")
}

#[test]
fn the_packages_of_a_runs_end_are_kept_with_where_it_ran() {
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
        "limits": { "processes": 8 },
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

/// Static, without a file, and nobody saw whether it looked at one; a terminal; a program
/// out of memory.
#[test]
fn what_nobody_could_see_is_granted_or_said() {
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
fn what_was_removed_by_hand_stays_removed() {
    let place = Place::new();
    place.put("0.jsonl", journal(&run(0), "", &ordinary())).put("1.jsonl", journal(&run(1), "", &ordinary()));
    let mut profile = place.built(&["0.jsonl"]);
    profile["capabilities"] = json!([]);
    profile["risk"] = json!("elevated");
    let mut files = profile["files"].as_array().expect("a list").clone();
    files.retain(|entry| entry["path"] != "/etc/redis/redis.conf");
    files.push(json!({ "path": "/srv", "allow": ["read"], "why": "by hand" }));
    profile["files"] = files.into();
    place.put("p.json", profile.to_string());
    for inputs in [&["1.jsonl", "--base", "p.json"][..], &["0.jsonl", "1.jsonl", "--base", "p.json"]] {
        let again = place.built(inputs);
        let text = again.to_string();
        assert_eq!(again["capabilities"], Value::Null);
        assert!(!text.contains("redis.conf"), "{text}");
        assert!(text.contains("by hand") && again["risk"] == "elevated", "{text}");
    }
    // Without the base what was added by hand is gone, and what was removed still is.
    let again = place.built(&["p.evidence.json", "0.jsonl"]).to_string();
    assert!(!again.contains("redis.conf") && !again.contains("by hand"), "{again}");
}

#[test]
fn an_overlay_has_the_last_word() {
    let place = Place::new();
    place.put("0.jsonl", journal(&run(0), "", &ordinary()));
    let overlay = json!({ "remit": 1, "name": "mine", "on_violation": "kill",
        "programs": [{ "path": SERVER, "entry": true, "why": "ours" }],
        "files": [{ "path": "/data", "allow": ["read", "write"] }] });
    place.put("overlay.json", overlay.to_string());
    let profile = place.built(&["0.jsonl", "--overlay", "overlay.json"]);
    assert_eq!((&profile["name"], &profile["on_violation"]), (&json!("mine"), &json!("kill")));
    assert!(profile["files"].to_string().contains("{\"allow\":[\"read\",\"write\"],\"path\":\"/data\"}"));
    assert_eq!(profile["programs"][0]["why"], "ours");
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let place = Place::new();
    let good = journal(&run(0), "", &ordinary());
    let lines: Vec<&str> = good.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        lines.join("\n") + "\n"
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "is empty: the run never began"),
        ("foreign", with(3, "redis: hello"), ":4: is no line of a journal"),
        ("object", with(3, "{\"level\":\"info\"}"), ":4: is no line of a journal: it has neither"),
        ("phase", with(3, "{\"kind\":\"open\",\"phase\":\"later\"}"), ":4: phase \"later\" is none"),
        (
            "path",
            with(3, "{\"kind\":\"open\",\"phase\":\"serving\",\"path\":\"a/../b\"}"),
            ":4: path \"a/../b\"",
        ),
        ("text", "hello\n".into(), ":1: is no journal"),
        (
            "newer",
            good.replacen("{\"journal\":1", "{\"journal\":2", 1),
            ":1: version 2 of the journal is newer",
        ),
        ("arch", good.replacen("x86_64", "riscv64", 1), "architecture `riscv64` is not known"),
        ("other-arch", good.replacen("x86_64", "aarch64", 1).replacen("4e8", "4e9", 1), "one architecture"),
        (
            "other-program",
            good.replacen("redis-server\"]", "nginx\"]", 1),
            "build a profile for each program",
        ),
        ("same-name", with(3, lines[2]).replace("\"lines\":17", "\"lines\":18"), "two runs have the name"),
        ("no-end", lines[..lines.len() - 1].join("\n") + "\n", "has no end"),
        ("cut", good[..good.len() / 2].to_owned(), "has no end"),
        (
            "early",
            good.replace("\"clean\":true", "\"clean\":false,\"ready\":false"),
            " s, before it was ready; a profile of it",
        ),
        ("crash", good.replace("\"clean\":true", "\"clean\":false"), "ended badly"),
        ("lost", good.replace(&format!("{}\n", lines[4]), ""), "says that it has 17 lines, and has 16"),
        ("two", with(lines.len(), lines[1]), "stands after the end"),
        ("long", with(2, &"x".repeat(2 << 20)), ":3: is longer than 1 MiB"),
        ("evidence", "{\"evidence\":2,\"runs\":[]}".into(), "version 2 of the evidence is newer"),
        ("no-evidence", "{\"evidence\":1}".into(), "is no evidence file"),
        (
            "profile",
            "{\"remit\":1,\"name\":\"x\",\"programs\":[{\"path\":\"/x\",\"entry\":true}]}".into(),
            "beside it",
        ),
    ];
    place.put("good.jsonl", &good);
    fs::create_dir(place.path("none")).expect("a directory");
    for (name, text, says) in &cases {
        let name = format!("{name}.bad");
        place.put(&name, text);
        is_one_line(&place, &["build", "good.jsonl", &name, "-o", "p.json"], &[&name, says]);
    }
    for (arguments, says) in [
        (
            &["build", "gone.jsonl", "-o", "p.json"][..],
            "gone.jsonl: No such file or directory; expected a journal",
        ),
        (&["build", "none", "-o", "p.json"], "holds no journal"),
        (&["build", "good.jsonl", "-o", "none/x/p.json"], "cannot be written"),
        (&["build", "good.jsonl", "-o", "p.json", "--expect", "reload"], "--expect reload: is no behaviour"),
        (&["build", "good.jsonl", "-o", "p.json", "--base", "gone.json"], "gone.json"),
        (&["build", "good.jsonl", "-o", "p.json", "--name", "A B"], "name \"A B\""),
    ] {
        is_one_line(&place, arguments, &[says]);
    }
    assert!(!place.path("p.json").exists(), "nothing is left of what failed");
}

#[track_caller]
fn is_one_line(place: &Place, arguments: &[&str], says: &[&str]) {
    let said = place.remit(arguments);
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(said.stdout.is_empty(), "{arguments:?}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    for says in says {
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
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

#[test]
fn hints_become_a_proposal() {
    let place = Place::new();
    let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
    place.put("p.json", profile.to_string());
    let digest = remit::profile::read(profile.to_string().as_bytes()).expect("valid").digest;
    let policy = format!("\"policy\":{{\"digest\":{digest:?}}}");
    let hint = |path: &str, value: Value| {
        let hint = json!([{ "op": "add", "path": path, "value": value }]);
        format!("{{\"remit\":1,\"event\":\"violation\",\"kind\":\"file\",{policy},\"hint\":{hint}}}\n")
    };
    let events = [
        "the app's own line\n".to_owned(),
        "{\"remit\":1,\"event\":\"start\"}\n".to_owned(),
        hint("/files", json!([{ "path": "/data", "allow": ["read"] }])),
        hint("/files", json!([{ "path": "/data", "allow": ["write"] }])),
        hint("/limits/processes", json!(4)),
    ];
    place.put("e.jsonl", events.concat());
    let said = place.done(&["amend", "p.json", "e.jsonl", "-o", "new.json"]);
    assert!(said.contains("+ file /data read\n+ file /data write\n"), "{said}");
    assert!(
        said.contains("left out: e.jsonl:5: file: the hint for /limits/processes is none that remit gives"),
        "{said}"
    );
    assert_eq!(place.text("p.json"), profile.to_string(), "the profile is as it was");
    let first = place.text("new.json");
    let said = place.done(&["amend", "new.json", "e.jsonl", "-o", "again.json"]);
    assert!(said.contains("nothing to add") && said.contains("is for another profile"), "{said}");
    assert_eq!(place.text("again.json"), first);
    place.put("app.log", "nothing of ours\n");
    is_one_line(&place, &["amend", "p.json", "app.log", "-o", "n.json"], &["app.log: has no event of remit"]);
    is_one_line(&place, &["amend", "p.json", "gone", "-o", "n.json"], &["gone: No such file"]);
    is_one_line(&place, &["amend", "p.json", "e.jsonl", "-o", "p.json"], &["is the profile itself"]);
    assert!(!Path::new(&place.path("n.json")).exists());
}

/// What a terminal obeys, and a line that is not ours.
const HOSTILE: [&str; 7] = [
    "\u{1b}]0;owned\u{7}\u{1b}[2J",
    "a\u{7f}\u{8}\r",
    "\u{9b}2J\u{85}",
    "\u{202e}txt.exe\u{2066}",
    "\u{2028}\u{2029}",
    "\u{200b}\u{feff}",
    "x\nFORGED: all is well",
];

#[track_caller]
fn is_safe(bytes: &[u8], what: &str) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let obeyed = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{what}: {text}");
}

/// Files, journals, events and arguments may hold anything.
#[test]
fn nothing_that_a_terminal_obeys_is_printed() {
    let place = Place::new();
    let name = std::fs::canonicalize("/usr/bin/true").expect("it is there");
    let mut texts = 0;
    let mut safe = |arguments: &[&str]| {
        let said = place.remit(arguments);
        is_safe(&said.stdout, &format!("{arguments:?} to stdout"));
        is_safe(&said.stderr, &format!("{arguments:?} to stderr"));
        texts += said.stdout.len() + said.stderr.len();
    };
    for hostile in HOSTILE {
        let lines = [
            line("startup", "exec", json!({ "program": SERVER })),
            line(
                "startup",
                "open",
                json!({ "path": format!("/data/{hostile}"), "access": ["write", "create"] }),
            ),
            line("startup", "open", json!({ "path": format!("/proc/{hostile}"), "access": ["write"] })),
            line("startup", "change", json!({ "path": format!("/{hostile}"), "op": "create" })),
            line("startup", "blind", json!({ "path": format!("/x{hostile}"), "why": hostile })),
            line("startup", "syscall", json!({ "call": format!("x{hostile}"), "result": "EPERM" })),
            line("startup", "connect", json!({ "address": format!("unix:/{hostile}") })),
        ];
        place.put("j.jsonl", journal(&format!("r{hostile}"), hostile, &lines));
        place.put("bad.jsonl", journal("r", "a", &[line(hostile, "exec", json!({}))]));
        let profile = json!({ "remit": 1, "name": "x",
            "programs": [{ "path": name, "entry": true, "args": [[hostile]], "why": format!("w{hostile}") }],
            "files": [{ "path": format!("/gone{hostile}"), "allow": ["read"], "optional": true }],
            "environment": { "keep": [format!("V{hostile}")] },
            "network": { "connect": [format!("unix:/{hostile}")] } });
        place.put("p.json", profile.to_string());
        let digest = remit::profile::read(profile.to_string().as_bytes()).expect("valid").digest;
        let hint = json!([{ "op": "add", "path": "/files/-",
            "value": { "path": format!("/data/{hostile}"), "allow": ["write"] } }]);
        let violation =
            json!({ "event": "violation", "kind": hostile, "policy": { "digest": digest }, "hint": hint });
        let strange = json!({ "event": "violation", "kind": "k", "policy": { "digest": digest },
            "hint": [{ "op": "add", "path": hostile, "value": 1 }] });
        let event = |event: Value| format!("{{\"remit\":1,{}\n", &event.to_string()[1..]);
        let broken = format!("{{\"remit\":1,\"seq\":\"{}\"}}\n", hostile.escape_default());
        place.put("e.jsonl", [event(violation), event(strange), broken].concat());
        let unknown = format!("{{\"remit\":1,\"name\":\"x\",{}:1}}", json!(hostile));
        place.put("unknown.json", unknown);
        place.put("cut.json", format!("{{\"remit\":1,\"name\":\"{hostile}"));
        for arguments in [
            &["build", "j.jsonl", "-o", "built.json"][..],
            &["build", "j.jsonl", "-o", "built.json", "--format", "json"],
            &["build", "bad.jsonl", "-o", "n.json"],
            &["build", "j.jsonl", "-o", "n.json", "--expect", hostile],
            &["amend", "./p.json", "e.jsonl", "-o", "new.json"],
            &["amend", "./p.json", "e.jsonl", "-o", "new.json", "--format", "json"],
            &["events", "e.jsonl"],
            &["events", hostile],
            &["plan", "./p.json", "--kernel", "6.18", "--", "/usr/bin/true"],
            &["plan", "./p.json", "--kernel", "6.18", "--format", "json", "--", "/usr/bin/true"],
            &["plan", "./unknown.json"],
            &["plan", "./cut.json"],
            &["plan", hostile],
            &["plan", "./p.json", "--kernel", hostile],
            &["profiles", hostile],
            &["build", hostile, "-o", "n.json"],
        ] {
            safe(arguments);
        }
        if !hostile.contains('\n') {
            safe(&[hostile]);
            safe(&["plan", "--kernal", hostile]);
            safe(&["doctor", "--format", hostile]);
        }
    }
    assert!(texts > 10_000, "they say something");
}

/// A file that is called `*` grants itself, and not its directory.
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

/// What is not a line of ours, whatever its length, costs no memory.
#[test]
fn endless_lines_are_passed_over() {
    let place = Place::new();
    let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
    place.put("p.json", profile.to_string());
    let mut log = vec![0u8; 8 << 20];
    log.extend(b"\n");
    log.extend("[".repeat(1 << 20).into_bytes());
    log.extend(b"\n{\"remit\":1,\"event\":\"violation\",\"hint\":");
    log.extend("[".repeat(100_000).into_bytes());
    log.extend(b"\n{\"remit\":1,\"event\":\"start\"}\n");
    place.put("e.jsonl", log);
    let said = place.done(&["amend", "p.json", "e.jsonl", "-o", "n.json"]);
    assert!(
        said.contains("nothing to add") && said.contains("e.jsonl:3: is no event: recursion limit"),
        "{said}"
    );
    is_one_line(&place, &["amend", "./e.jsonl", "e.jsonl", "-o", "n.json"], &["profile ./e.jsonl:1:1: "]);
    place.put("deep.json", "[".repeat(1 << 20));
    is_one_line(&place, &["plan", "./deep.json"], &["nested deeper than 127 levels"]);
    is_one_line(&place, &["build", "deep.json", "-o", "n.json"], &["deep.json:1: is no journal"]);
}
