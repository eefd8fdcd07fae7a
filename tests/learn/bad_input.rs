//! Journals, profiles and events that are not ours, cut off or made to deceive a terminal.

use std::fs;

use serde_json::{Value, json};

use crate::{Place, SERVER, is_one_line, journal, line, ordinary, run};

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
        (
            "uncounted",
            good.replace("\"lines\":17", "\"counted\":17"),
            "does not say in its last line how many lines it has",
        ),
        (
            "op",
            good.replace("\"op\":\"rename\"", "\"op\":\"shift\""),
            "op \"shift\" is none; expected create",
        ),
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
        (&["build", "gone.jsonl", "-o", "p.json"][..], "gone.jsonl: not found; expected a journal"),
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
