//! The formats of one run: each valid by its own rules, all files or none.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::{Place, REMIT, journal, open, ordinary};

/// A check with findings of every severity.
fn bench() -> Place {
    let bench = Place::new();
    bench.learned(3);
    bench.change(|profile| {
        profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/bin/sh" }));
    });
    bench.put(
        "build.jsonl",
        journal(7, "get", &[ordinary(), vec![open("/srv/a b%,:\u{1b}[2J<x>", "read")]].concat()),
    );
    bench.put("require.json", r#"{"require":1,"layers":["seccomp"],"reasons":["shells"]}"#);
    bench
}

const ARGUMENTS: &[&str] =
    &["check", "p.json", "--run", "build.jsonl", "--require", "require.json", "--output"];

#[test]
fn one_run_writes_all_formats() {
    let bench = bench();
    let said = bench.remit(
        &[ARGUMENTS, &["text=-,sarif=out.sarif,github=-,json=out.json,markdown=comment.md,junit=out.xml"]]
            .concat(),
    );
    assert_eq!(said.status.code(), Some(1));
    let out = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(!out.contains('\u{1b}'), "{out}");
    assert!(out.contains("p.json:") && out.contains("::error file=p.json,line="), "{out}");
    let report: Value = serde_json::from_str(&bench.text("out.json")).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let severities = ["error", "inconclusive", "note", "warning"];
    for severity in severities {
        assert!(findings.iter().any(|one| one["severity"] == severity), "{severity}: {report:#}");
    }
    for name in ["out.sarif", "out.xml", "comment.md"] {
        let text = bench.text(name);
        assert!(
            findings.iter().all(|one| text.contains(one["id"].as_str().expect("an id"))),
            "{name}: {text}"
        );
        assert!(!text.contains('\u{1b}'), "{name}");
    }
    let left = fs::read_dir(bench.0.path()).expect("listed").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn the_log_has_the_form_of_sarif() {
    let bench = bench();
    bench.remit(&[ARGUMENTS, &["sarif=out.sarif"]].concat());
    let log: Value = serde_json::from_str(&bench.text("out.sarif")).expect("JSON");
    let schema: Value = serde_json::from_str(include_str!("sarif.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{log:#}");
    // The schema refuses what is wrong.
    for (pointer, value) in [
        ("/version", json!("2.0.0")),
        ("/runs/0/results/0/level", json!("fatal")),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", json!(0)),
        ("/runs/0/tool/driver/name", Value::Null),
        ("/runs/0/results/0/message", json!("text")),
    ] {
        let mut wrong = log.clone();
        *wrong.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = value;
        assert!(!validator.is_valid(&wrong), "{pointer}");
    }
    // What no schema can say.
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    for result in run["results"].as_array().expect("results") {
        let index = result["ruleIndex"].as_u64().expect("an index") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(result["kind"] == "open", result["level"] == "none");
    }
}

#[test]
fn the_test_report_is_well_formed() {
    let bench = bench();
    bench.remit(&[ARGUMENTS, &["junit=out.xml"]].concat());
    let text = bench.text("out.xml");
    let mut open = Vec::new();
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("a declaration");
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        let name = tag.trim_matches('/').split([' ', '/']).next().expect("a name").to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{text}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && !rest.contains('<'), "{open:?}");
    let count = |what: &str| text.matches(what).count();
    assert!(
        text.contains(&format!("failures=\"{}\" errors=\"{}\"", count("<failure"), count("<error"))),
        "{text}"
    );
    assert!(text.contains(&format!("tests=\"{}\"", count("<testcase"))));
}

#[test]
fn no_file_is_written_where_one_cannot_be() {
    let bench = bench();
    bench.put("closed/old.json", "before").put("old.md", "before");
    fs::set_permissions(bench.path("closed"), fs::Permissions::from_mode(0o555)).expect("chmod");
    // Root may write there all the same, so a directory that is none stands for it.
    for target in ["old.md/x.json", "none/x.json"] {
        let said = bench.remit(&[ARGUMENTS, &[&format!("text=-,markdown=old.md,json={target}")]].concat());
        assert_eq!((said.status.code(), said.stdout.len()), (Some(2), 0));
        assert_eq!(bench.text("old.md"), "before");
    }
    fs::set_permissions(bench.path("closed"), fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// The severity is coloured on a terminal as rustc(1) colours it, on stdout alone, and not where
/// NO_COLOR says so.
#[test]
fn colours_are_for_a_terminal() {
    let place = Place::new();
    place.put(
        "p.json",
        r#"{"remit": 1, "name": "x", "programs": [{"path": "/bin/sh", "entry": true}], "mode": "audit"}"#,
    );
    let shown = |no_color: &str| {
        let mut command = std::process::Command::new(REMIT);
        command.args(["check", "p.json", "--output", "text=-,text=file"]);
        command.args(["--output", "json=-"]).current_dir(place.0.path());
        crate::seat::shown({
            command.env("TERM", "xterm").env("NO_COLOR", no_color);
            command
        })
    };
    let (coloured, code) = shown("");
    assert_eq!(code, 1, "{coloured}");
    assert!(coloured.contains("\u{1b}[1;31merror [not-enforced]\u{1b}[0m"), "{coloured:?}");
    let text = place.text("file");
    assert!(text.contains("error [not-enforced]") && !text.contains('\u{1b}'), "{text:?}");
    let (plain, code) = shown("1");
    assert_eq!(code, 1);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(plain.replace("\r\n", "\n").starts_with(&text), "{plain:?}");
    let json = |text: &str| text[text.find("\r\n{").expect("JSON")..].to_owned();
    assert_eq!(json(&coloured), json(&plain));
}

/// Where stdout, or a device among the files, cannot be written, no file takes its place.
#[test]
fn what_cannot_be_printed_leaves_no_file() {
    let bench = Place::new();
    bench.learned(3);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let mut cases: Vec<(Vec<&str>, &str, bool)> = vec![
        (vec!["check", "p.json", "--output", "json=x,text=-"], "x", true),
        (vec!["check", "p.json", "--output", "json=x,text=/dev/full"], "x", false),
        (vec!["approve", "p.json"], "p.lock.json", true),
        (vec!["build", "runs", "-o", "x"], "x", true),
        (vec!["report", "p.json", "-o", "x"], "x", true),
    ];
    bench.put("events", crate::events(&bench.digest(), &[]));
    cases.push((vec!["amend", "p.json", "events", "-o", "x"], "x", true));
    for (arguments, file, is_stdout) in cases {
        let mut command = std::process::Command::new(crate::REMIT);
        command.args(&arguments).current_dir(bench.0.path());
        if is_stdout {
            command.stdout(full());
        }
        let said = command.output().expect("it runs");
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        assert!(!bench.path(file).exists(), "{arguments:?}");
        let entries = std::fs::read_dir(bench.0.path()).expect("listed").flatten();
        let hidden = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "{arguments:?}");
    }
}
