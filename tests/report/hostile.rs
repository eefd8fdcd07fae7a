//! Hostile text in every text of profile, evidence, journals and events: it changes no element and no
//! attribute of the page, and no character of it is hidden.

use serde_json::{Value, json};

use crate::html::parse;
use crate::{Place, made};

/// What a page must show and not do: HTML, an attribute's end, a template's, controls of terminals and of text
/// direction, and characters without width. No slash, which would divide a path.
const HOSTILE: &str = "\"><svg onload=alert(1)> ' & &lt; <!-- ]]> {{ 7*7 }} \u{1b}[2J\u{9b}\u{7}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{0}\r\n\t$x";

/// The same for a text that may have a slash.
const SCRIPT: &str = "</script></style></title></svg><script src=//x.test/y></script>";

/// The text that is the same to a reader who counts elements.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '/' { c } else { 'x' }).collect()
}

/// The inputs with a text in each place that takes any; `clean` is what a path or a name may have.
struct Inputs {
    profile: Value,
    old: Value,
    journals: Vec<String>,
    events: String,
}

fn inputs(text: &str, script: &str) -> Inputs {
    // A path is without NUL, and a name in a profile is what the reader takes.
    let path = text.replace('\0', "");
    let slashes = script.replace("//", "/");
    let profile = json!({
        "remit": 1, "name": "hostile",
        "capabilities": [{ "capability": "chown", "why": text }],
        "programs": [
            { "path": format!("/bin/{path}"), "entry": true, "interpreter": format!("/lib/{path}"), "may_run": [format!("/opt/{path}")], "why": script },
            { "path": format!("/opt/{path}"), "applet": "x", "args": [[path, { "glob": format!("{script}*") }, "..."]], "why": text },
            { "beneath": format!("/usr/{path}"), "libraries": [format!("/lib/{path}")] },
        ],
        "files": [
            { "path": format!("/srv/{path}/a"), "allow": ["read"], "why": text },
            { "path": format!("/srv/{path}/b"), "allow": ["read", "write"], "why": script },
            { "group": "@runtime", "why": text },
        ],
        "network": {
            "listen": [{ "endpoint": format!("unix:/run/{path}"), "why": text }],
            "connect": [{ "endpoint": format!("unix:@{path}"), "why": script }],
        },
        "syscalls": { "allow": [{ "call": "ptrace", "why": text }] },
    });
    let old = json!({
        "remit": 1, "name": "hostile",
        "programs": [{ "path": format!("/old/{path}"), "entry": true, "why": script }],
        "files": [{ "path": format!("/older/{path}"), "allow": ["write"], "why": text }],
    });
    let journals = (0..5)
        .map(|run| {
            let files = [format!("/srv/{path}/a"), format!("/srv{slashes}{run}")];
            made::journal(run, text, &files).replace("\"app-", &format!("\"{run}x"))
        })
        .collect();
    let mut lines = vec![
        json!({ "remit": 1, "seq": 1, "nonce": made::NONCE, "time": "2026-11-22T10:00:00Z", "event": "start" }),
    ];
    let objects = [
        json!({ "path": text, "access": [text, script] }),
        json!({ "address": script, "access": text }),
        json!({ "syscall": text, "args": [script] }),
        json!({ "name": text, "value": script, "why": text }),
    ];
    for (at, object) in objects.iter().enumerate() {
        let mut event = made::violation(at + 2, "2026-11-22T10:00:01Z", text, "file", object);
        for key in ["action", "rule"] {
            event[key] = json!(text);
        }
        event["process"]["executable"]["path"] = json!(script);
        lines.push(event.clone());
        event["time"] = json!(script);
        event["kind"] = json!(text);
        lines.push(event);
    }
    Inputs { profile, old, journals, events: made::text(&lines) }
}

fn report(inputs: &Inputs, file: &str) -> String {
    let place = Place::new();
    place.put("profile.json", inputs.profile.to_string());
    place.put("old.json", inputs.old.to_string());
    place.put(file, &inputs.events);
    std::fs::create_dir(place.path("runs")).expect("a directory");
    for (at, journal) in inputs.journals.iter().enumerate() {
        place.put(&format!("runs/{at}.jsonl"), journal);
    }
    place.done(&["build", "runs", "-o", "learned.json", "--expect", "label:x"]);
    place.report(&[
        "profile.json",
        "--evidence",
        "learned.evidence.json",
        "--events",
        file,
        "--against",
        "old.json",
    ])
}

#[test]
fn no_text_changes_the_page() {
    let file = "events\"><svg onload=alert(1)>\u{202e}\u{1b}";
    let bad = report(&inputs(HOSTILE, SCRIPT), file);
    let good = report(&inputs(&harmless(HOSTILE), &harmless(SCRIPT)), &harmless(file));
    let (bad_page, good_page) = (parse(&bad).expect("well-formed"), parse(&good).expect("well-formed"));
    let text = bad_page.inner_text();
    // It is all there, and to be seen.
    for shows in
        ["<svg onload=alert(1)>", "<script src=", "{{ 7*7 }}", "\\u001b[2J", "\\u202e", "\\u200b", "&lt;"]
    {
        assert!(text.contains(shows), "{shows} is shown");
    }
    let hidden =
        |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}".contains(c);
    assert!(!bad.contains(hidden), "a character that is not to be seen: {:?}", bad.find(hidden));
    // Labels of the drawing may break elsewhere, so the elements are compared, and not where they are.
    let sorted = |skeleton: String| {
        let mut lines: Vec<String> = skeleton.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (bad, good) = (sorted(bad_page.skeleton()), sorted(good_page.skeleton()));
    let more: Vec<&String> = bad.iter().filter(|line| !good.contains(line)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(bad, good);
}

#[test]
fn every_string_of_the_inputs_is_covered() {
    // A text that is in no input would prove nothing.
    let Inputs { profile, old, journals, events } = inputs(HOSTILE, SCRIPT);
    let profile = profile.to_string() + &old.to_string();
    assert!(profile.matches("onload").count() > 12 && profile.matches("<script").count() >= 5);
    assert!(
        journals.iter().all(|journal| journal.contains("onload")) && events.matches("onload").count() > 12
    );
}
