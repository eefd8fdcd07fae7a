//! What programs can call, beside what was learned: in `report`, `explain` and `check`.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use super::place::Place;
use super::{skip, text};

const TRUE: &str = "/usr/bin/true";

/// A profile that was learned of runs with these calls, p.json with its evidence; and what the program can
/// call, reach.json.
fn learned(place: &Place, calls: &[&str]) {
    let line = |kind: &str, more: Value| {
        let mut line = json!({ "t": 1, "phase": "startup", "kind": kind, "program": TRUE, "result": "ok" });
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string()
    };
    let mut lines = vec![
        json!({ "run": "a", "label": "a", "command": [TRUE], "exact": false, "new": 1,
            "fingerprint": { "arch": std::env::consts::ARCH, "kernel": "6.18" }, "outer": {} })
        .to_string()
        .replacen('{', "{\"journal\":1,", 1),
        line("exec", json!({ "path": TRUE, "argv": ["true"], "entry": true })),
    ];
    lines.extend(calls.iter().map(|call| line("syscall", json!({ "call": call }))));
    let end = json!({ "exit": { "code": 0 }, "clean": true, "lines": lines.len() - 1, "dropped": 0 });
    lines.push(json!({ "t": 9, "end": end }).to_string());
    place.put("journal.jsonl", lines.join("\n") + "\n");
    place.done(&["build", "journal.jsonl", "-o", "p.json"]);
    let found = place.remit(&["reach", "--profile", "p.json", "--format", "json"]);
    // 1 is an alarm.
    assert!(matches!(found.status.code(), Some(0 | 1)), "{}", said(&found));
    place.put("reach.json", found.stdout);
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn number(sentence: &str, word: &str) -> usize {
    let rest = sentence.split(word).nth(1).unwrap_or_else(|| panic!("{word}: {sentence}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{word}: {sentence}"))
}

#[test]
fn explain_and_report_say_what_no_run_has_shown() {
    if !skip::has(TRUE) {
        return;
    }
    let place = Place::new();
    learned(&place, &["prctl"]);
    let explained = place.done(&["explain", "p.json", "--reach", "reach.json"]);
    let sentence =
        explained.lines().find(|line| line.contains("that no run has shown")).expect("the figures");
    let (used, reachable, between) =
        (number(sentence, "used"), number(sentence, "reachable"), number(sentence, "in between"));
    assert_eq!(reachable - used, between, "{sentence}");
    let reach: Value = serde_json::from_str(&place.text("reach.json")).expect("JSON");
    assert_eq!(reachable as u64, reach["reachable"], "{sentence}");
    assert!(!explained.contains("ALARM"), "{explained}");
    // One call: what would make it.
    let of = |call: &str| place.done(&["explain", "p.json", call, "--reach", "reach.json"]);
    assert!(
        of("socket").contains("Code can make it, and no run has shown it; what would make it: a run"),
        "{}",
        of("socket")
    );
    assert!(of("kexec_load").contains("No code can make it."), "{}", of("kexec_load"));
    assert!(of("prctl").contains("prctl was used by a run"), "{}", of("prctl"));
    let json: Value = serde_json::from_str(&place.done(&[
        "explain",
        "p.json",
        "--reach",
        "reach.json",
        "--format",
        "json",
    ]))
    .expect("JSON");
    assert_eq!(json["reach"]["alarms"], json!([]));
    let rows = json["reach"]["rows"].as_array().expect("a list");
    assert_eq!(rows.len(), between);
    assert!(rows.iter().all(|row| row["exercise"].as_str().is_some_and(|text| !text.is_empty())), "{rows:?}");
    // The same from the image itself.
    let live = place.done(&["explain", "p.json", "--image", "/"]);
    assert!(live.contains(sentence), "{live}");
    place.done(&["report", "p.json", "--reach", "reach.json", "-o", "report.html"]);
    let page = place.text("report.html");
    assert!(page.contains(sentence.trim()), "{page}");
    assert!(page.contains("What the programs can call at all"));
    place.done(&["report", "p.json", "-o", "report.html"]);
    assert!(!place.text("report.html").contains("What the programs can call at all"));
}

#[test]
fn a_learned_call_that_no_code_can_make_is_an_alarm_everywhere() {
    if !skip::has(TRUE) {
        return;
    }
    let place = Place::new();
    learned(&place, &["prctl", "prctl"]);
    let check = |more: &[&str]| place.remit(&[&["check", "p.json", "--output", "json=-"], more].concat());
    let ids = |output: &Output| -> Vec<(String, String)> {
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)));
        let all = report["findings"].as_array().expect("a list").iter();
        all.map(|one| {
            (
                one["id"].as_str().unwrap_or_default().to_owned(),
                one["pointer"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
    };
    let clean = check(&["--reach", "reach.json"]);
    assert!(ids(&clean).iter().all(|(id, _)| id != "learned-not-reachable"), "{}", said(&clean));
    // The control is the same journal with one line more.
    let place_of = |call: &str| {
        let profile: Value = serde_json::from_str(&place.text("p.json")).expect("JSON");
        let allow = profile["syscalls"]["allow"].as_array().expect("a list").clone();
        let at =
            allow.iter().position(|entry| entry == call || entry["call"] == call).expect("it is allowed");
        format!("/syscalls/allow/{at}")
    };
    learned_keeping_reach(&place, &["prctl", "kexec_load"]);
    let alarm = check(&["--reach", "reach.json"]);
    assert_eq!(alarm.status.code(), Some(1), "{}", said(&alarm));
    let expected = ("learned-not-reachable".to_owned(), place_of("kexec_load"));
    assert!(ids(&alarm).contains(&expected), "{:?}", ids(&alarm));
    let explained = place.done(&["explain", "p.json", "--reach", "reach.json"]);
    assert!(explained.contains("ALARM: Learned and not reachable: kexec_load."), "{explained}");
    let one = place.done(&["explain", "p.json", "kexec_load", "--reach", "reach.json"]);
    assert!(one.contains("ALARM: kexec_load was learned, and no code can make it"), "{one}");
    place.done(&["report", "p.json", "--reach", "reach.json", "-o", "report.html"]);
    assert!(place.text("report.html").contains("Learned and not reachable:"));
    let live = check(&["--reach", "image", "--image", "/"]);
    assert!(ids(&live).contains(&expected), "{:?}", ids(&live));
}

/// The same, with the reach.json that is there.
fn learned_keeping_reach(place: &Place, calls: &[&str]) {
    let before = place.text("reach.json");
    learned(place, calls);
    place.put("reach.json", before);
}

#[test]
fn what_cannot_be_compared_is_said_and_no_alarm() {
    if !skip::has(TRUE) || !skip::has("/usr/bin/cat") {
        return;
    }
    let place = Place::new();
    learned(&place, &["kexec_load"]);
    let all = place.text("reach.json");
    let findings = |output: &Output| -> Vec<String> {
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)));
        let all = report["findings"].as_array().expect("a list").iter();
        all.map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let check = || place.remit(&["check", "p.json", "--output", "json=-", "--reach", "reach.json"]);
    // Another program.
    place.put("reach.json", place.done(&["reach", "/usr/bin/cat", "--format", "json"]));
    let ids = findings(&check());
    assert!(
        ids.contains(&"reach-not-compared".to_owned()) && !ids.contains(&"learned-not-reachable".to_owned()),
        "{ids:?}"
    );
    // Another architecture.
    let mut other: Value = serde_json::from_str(&all).expect("JSON");
    other["arch"] = json!(if std::env::consts::ARCH == "x86_64" { "aarch64" } else { "x86_64" });
    place.put("reach.json", other.to_string());
    assert!(findings(&check()).contains(&"reach-not-compared".to_owned()));
    let refused = place.remit(&["explain", "p.json", "--reach", "reach.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("compare those of one architecture"), "{}", text(&refused.stderr));
    // No bound.
    let mut open: Value = serde_json::from_str(&all).expect("JSON");
    open["gaps"] = json!([{ "kind": "invented-later", "unbounded": true, "place": "x", "what": "y" }]);
    place.put("reach.json", open.to_string());
    let ids = findings(&check());
    assert!(!ids.contains(&"learned-not-reachable".to_owned()), "{ids:?}");
    let explained = place.done(&["explain", "p.json", "--reach", "reach.json"]);
    assert!(
        explained.contains("What is reachable has no bound, so nothing is said of learned calls."),
        "{explained}"
    );
    // No answer at all.
    for (bytes, expected) in [
        ("", "is no answer of `remit reach --format json`"),
        ("{}", "is no answer"),
        ("{\"reach\":2}", "version 2 of the answer is not one that this remit reads"),
        ("{\"reach\":1,\"arch\":\"vax\",\"programs\":[],\"calls\":{},\"gaps\":[]}", "is for vax"),
    ] {
        place.put("reach.json", bytes);
        for verb in [&["explain", "p.json"][..], &["report", "p.json", "-o", "r.html"], &["check", "p.json"]]
        {
            let refused = place.remit(&[verb, &["--reach", "reach.json"]].concat());
            let error = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{verb:?} {bytes}: {error}");
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        }
    }
    let refused = place.remit(&["check", "p.json", "--reach", "image"]);
    assert!(text(&refused.stderr).contains("--reach image: no image is named"), "{}", text(&refused.stderr));
    assert!(fs::metadata(place.path("r.html")).is_err());
}
