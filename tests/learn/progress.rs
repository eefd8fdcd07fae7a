//! The progress of a build is shown on a terminal, and nowhere else.

use std::io::Read;
use std::process::{Command, Stdio};

use super::seat::pty;
use super::{Place, REMIT, journal, ordinary};

/// What a build writes to a terminal that is its stderr.
fn shown(place: &Place, term: &str, no_color: bool) -> String {
    let (mut master, slave) = pty();
    let mut command = Command::new(REMIT);
    command.args(["build", "a.jsonl", "-o", "p.json"]).current_dir(place.0.path()).env("TERM", term);
    command.env_remove("NO_COLOR").stdout(Stdio::null()).stderr(slave);
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut child = command.spawn().expect("it starts");
    // The last descriptor of the program's side closes with the child.
    drop(command);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    assert!(child.wait().expect("it ends").success());
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn only_a_terminal_that_can_show_it_gets_it() {
    let place = Place::new();
    place.put("a.jsonl", journal("a", "", &ordinary()));
    let color =
        |text: &str| text.contains("\u{1b}[3") || text.contains("\u{1b}[9") || text.contains("\u{1b}[1m");
    for no_color in [false, true] {
        let text = shown(&place, "xterm-256color", no_color);
        assert!(text.contains("reading journals ["), "{text:?}");
        assert!(!color(&text), "{text:?}");
        assert_eq!(shown(&place, "dumb", no_color), "");
    }
    let piped = place.remit(&["build", "a.jsonl", "-o", "p.json"]);
    assert_eq!(String::from_utf8_lossy(&piped.stderr), "");
}
