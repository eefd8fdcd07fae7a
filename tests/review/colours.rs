//! Colours on a terminal, and none elsewhere.

use std::process::Command;

use serde_json::json;

use super::{Folder, REMIT, ROOT, printed, profile, seat};

/// Colours are for a terminal that can show them, and not where NO_COLOR says so (no-color.org); what
/// is printed is the same without them.
#[test]
fn colours_are_for_a_terminal() {
    let folder = Folder::new();
    let hostile = json!({ "capabilities": ["sys_admin"],
        "files": [{ "path": "/data/\u{1b}[2J", "allow": ["write"], "why": "\u{9b}31m" }] });
    let (old, new) =
        (folder.profile("a.json", &profile(&json!({}))), folder.profile("b.json", &profile(&hostile)));
    let events = format!("{ROOT}/tests/review/events.jsonl:2");
    let verbs: [(&[&str], &[&str]); 6] = [
        (&["diff", &old, &new], &["\u{1b}[32m+\u{1b}[0m \u{1b}[1;31mcritical ", "\u{1b}[1m"]),
        (&["diff", &new, &old], &["\u{1b}[31m-\u{1b}[0m "]),
        (&["explain", &new], &["\u{1b}[1mWhat the app may do\u{1b}[0m", "\u{1b}[32m+ \u{1b}[0m"]),
        (&["explain", "nginx", "ptrace"], &["\u{1b}[32m  + "]),
        (&["explain", "nginx", &events], &["\u{1b}[1mWhat happened:\u{1b}[0m "]),
        (&["exposure", "nginx"], &["\u{1b}[31m-\u{1b}[0m "]),
    ];
    for (arguments, expected) in verbs {
        let shown = |term: &str, no_color: &str| {
            let mut command = Command::new(REMIT);
            command.args(arguments).current_dir(ROOT).env("TERM", term).env("NO_COLOR", no_color);
            let (text, code) = seat::shown(command);
            (text.replace("\r\n", "\n"), code)
        };
        let (plain, code) = printed(arguments);
        let plain = (plain, code.expect("an exit code"));
        assert!(!plain.0.contains('\u{1b}'), "{arguments:?}: {plain:?}");
        assert_eq!(shown("xterm", "1"), plain);
        assert_eq!(shown("dumb", ""), plain);
        let (coloured, code) = shown("xterm", "");
        for sequence in expected {
            assert!(coloured.contains(sequence), "{arguments:?}: no {sequence:?} in {coloured:?}");
        }
        assert_eq!((without_colours(&coloured), code), plain, "{arguments:?}");
    }
}

/// A text without the sequences that set a colour or bold.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        all + rest.strip_prefix('m').unwrap_or_else(|| panic!("no colour: {part:?}"))
    })
}
