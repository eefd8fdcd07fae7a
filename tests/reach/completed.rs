//! `remit build --complete`: an error path that no run has shown works under enforcement once it was added,
//! and is refused without.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::compiled::GCC;
use super::place::Place;
use super::{skip, text};

const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reach/rare.c");

/// The program, a journal of its work in `runs`, and what it can call in reach.json; none where that cannot
/// be done here, and the test is skipped.
fn prepared(static_: bool) -> Option<Place> {
    if !skip::has(GCC) || !skip::is_root() {
        return None;
    }
    let place = Place::new();
    let mut compile = Command::new(GCC);
    compile.args(static_.then_some("-static")).args(["-O1", "-o"]).arg(place.path("rare")).arg(SOURCE);
    assert!(compile.status().expect("gcc runs").success());
    fs::create_dir(place.path("runs")).expect("a folder");
    // On a machine that is busy the shim may not write the end of a journal in time; the journal says so, and
    // the run is made anew.
    let complete = (0..20).any(|_| {
        let runs = place.path("runs");
        fs::remove_dir_all(&runs).expect("it is there");
        fs::create_dir(&runs).expect("a folder");
        let mut learn = Command::new(SHIM);
        learn.args(["--mode", "learn", "--learn-dir"]).arg(&runs).arg("--").arg(place.path("rare"));
        let ended = learn.stdin(Stdio::null()).output().expect("it runs");
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        assert_eq!(text(&ended.stdout), "done\n");
        let journal = fs::read_dir(&runs).expect("a folder").next().expect("a journal").expect("its name");
        fs::read_to_string(journal.path()).expect("a journal").contains("\"end\":")
    });
    assert!(complete, "no journal has an end");
    let program = place.path("rare");
    place.put("reach.json", place.done(&["reach", program.to_str().expect("UTF-8"), "--format", "json"]));
    Some(place)
}

fn profile(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.text(name)).expect("JSON")
}

fn called(profile: &Value) -> Vec<String> {
    let allow = profile["syscalls"]["allow"].as_array().expect("a list").iter();
    let name = |entry: &Value| entry.as_str().or(entry["call"].as_str()).map(str::to_owned);
    allow.filter_map(name).collect()
}

/// Runs the program under a profile, with too few descriptors for it.
fn enforced(place: &Place, name: &str) -> (Option<i32>, String) {
    let mut narrow = profile(place, name);
    narrow["limits"]["open_files"] = json!(64);
    place.put("narrow.json", narrow.to_string());
    let ended = Command::new(SHIM)
        .arg("--profile")
        .arg(place.path("narrow.json"))
        .arg("--")
        .arg(place.path("rare"))
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
}

fn an_error_path_works(static_: bool) {
    let Some(place) = prepared(static_) else { return };
    place.done(&["build", "runs", "-o", "plain.json"]);
    let plain = profile(&place, "plain.json");
    assert_eq!(plain["syscalls"]["exact"], json!(true), "{plain:#}");
    assert!(!called(&plain).contains(&"fstatfs".to_owned()), "{plain:#}");
    // The control: without the class it is refused.
    let (code, said) = enforced(&place, "plain.json");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("refused: fstatfs: Operation not permitted"), "{said}");
    let report = place.done(&[
        "build",
        "runs",
        "-o",
        "full.json",
        "--complete",
        "reachable:error-paths",
        "--reach",
        "reach.json",
    ]);
    assert!(report.contains("reachable:error-paths adds "), "{report}");
    let (code, said) = enforced(&place, "full.json");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("recovered at "), "{said}");
    // Each new line says where it comes from, in the profile and in its evidence.
    let full = profile(&place, "full.json");
    let (before, after) = (called(&plain), called(&full));
    assert!(before.iter().all(|call| after.contains(call)), "{before:?} {after:?}");
    let evidence = profile(&place, "full.evidence.json");
    for (at, entry) in full["syscalls"]["allow"].as_array().expect("a list").iter().enumerate() {
        let name = entry.as_str().or(entry["call"].as_str()).unwrap_or_default();
        if before.iter().any(|call| call == name) {
            continue;
        }
        let why = entry["why"].as_str().unwrap_or_default();
        assert!(why.starts_with("reachable:error-paths: "), "{entry}");
        let rule = &evidence["rules"][format!("/syscalls/allow/{at}")];
        let because = rule["because"].as_str().unwrap_or_default();
        assert!(
            because.starts_with("reachable:error-paths: ") && because.contains("; reachable by "),
            "{rule}"
        );
        assert_eq!(rule["runs"], json!([]), "no run has shown it");
    }
    for call in ["fstatfs", "times", "faccessat"] {
        assert!(after.contains(&call.to_owned()), "{after:?}");
    }
    continued(&place, &after);
}

/// `--base` continues a completed profile as it is, and what was removed by hand stays removed.
fn continued(place: &Place, after: &[String]) {
    place.done(&["build", "runs", "--base", "full.json", "-o", "again.json"]);
    let sorted = |mut calls: Vec<String>| {
        calls.sort();
        calls
    };
    let again = profile(place, "again.json");
    assert_eq!(sorted(called(&again)), sorted(after.to_vec()));
    let why = again["syscalls"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|entry| entry["call"] == "fstatfs");
    assert!(why.is_some_and(|entry| {
        entry["why"].as_str().is_some_and(|why| why.starts_with("reachable:error-paths"))
    }));
    let mut fewer = profile(place, "full.json");
    let allow = fewer["syscalls"]["allow"].as_array_mut().expect("a list");
    allow.retain(|entry| entry["call"] != "times");
    place.put("full.json", format!("{fewer:#}\n"));
    place.done(&[
        "build",
        "runs",
        "--base",
        "full.json",
        "-o",
        "again.json",
        "--complete",
        "reachable:error-paths",
        "--reach",
        "reach.json",
    ]);
    let again = called(&profile(place, "again.json"));
    assert!(!again.contains(&"times".to_owned()), "{again:?}");
    assert!(again.contains(&"fstatfs".to_owned()), "{again:?}");
}

#[test]
fn an_error_path_that_no_run_has_shown_works_once_it_was_added() {
    an_error_path_works(true);
}

#[test]
fn the_same_with_the_libraries_of_an_image() {
    an_error_path_works(false);
}

#[test]
fn what_cannot_be_added_is_one_line() {
    let Some(place) = prepared(true) else { return };
    let refused = |arguments: &[&str], expected: &str| {
        let said = place.remit(&[&["build", "runs", "-o", "p.json"], arguments].concat());
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{arguments:?}: {error}");
        assert!(!Path::new(&place.path("p.json")).exists());
    };
    refused(
        &["--complete", "reachable:error-path", "--reach", "reach.json"],
        "did you mean reachable:error-paths?",
    );
    refused(
        &["--complete", "everything", "--reach", "reach.json"],
        "is no class; expected reachable:error-paths, ",
    );
    refused(&["--complete", "reachable:signals"], "name its file with --reach, or the image with --image");
    refused(&["--reach", "reach.json"], "no class is named");
    place.put("other.json", place.done(&["reach", "/usr/bin/true", "--format", "json"]));
    refused(&["--complete", "reachable:signals", "--reach", "other.json"], "rare was not looked into");
    // A profile of groups has these calls already.
    place.put(
        "groups.json",
        json!({ "remit": 1, "name": "rare", "programs": [{ "path": place.path("rare"), "entry": true }] })
            .to_string(),
    );
    refused(
        &["--base", "groups.json", "--complete", "reachable:signals", "--reach", "reach.json"],
        "the profile is not exact",
    );
    place.done(&[
        "build",
        "runs",
        "-o",
        "p.json",
        "--complete",
        "reachable:signals,reachable:threads",
        "--image",
        "/",
    ]);
}
