//! An event as a line for people, with colours where a terminal shows it.

use std::fmt::Write as _;

use crate::event::record::{EventDetails, EventRecord, EventText, ProcessRecord};
use crate::visible::sgr::{BLUE, BOLD_RED, DIM, GREEN, RED, YELLOW};
use crate::visible::{self, Colours, counted};

/// Writes an event as a line, without its end.
pub(super) fn event_line(event: &EventRecord<'_>, colours: Colours, line: &mut String) {
    colours.put(line, DIM, &short_time(&event.time));
    line.push(' ');
    let (what, colour) = heading(event);
    colours.put(line, colour, &format!("{what:<9}"));
    line.push(' ');
    line.push_str(&visible::line(&event_text(event)));
}

/// `2026-11-22 10:00:00.000` of `2026-11-22T10:00:00.000001Z`.
fn short_time(time: &str) -> String {
    let end = time.floor_char_boundary("2026-11-22T10:00:00.000".len());
    time[..end].replacen('T', " ", 1)
}

/// The word that a line begins with, and its colour: of a violation what was done.
fn heading<'e>(event: &'e EventRecord<'_>) -> (&'e str, &'static str) {
    match (&*event.event, &*event.action) {
        ("violation", "") => ("violation", RED),
        ("violation", "observed") => ("observed", YELLOW),
        ("violation", action @ ("killed" | "stopped")) => (action, BOLD_RED),
        ("violation", action) => (action, RED),
        ("exec", _) => ("exec", GREEN),
        ("dropped", _) => ("dropped", YELLOW),
        ("start" | "stop" | "ready", _) => (&event.event, BLUE),
        (event, _) => (event, DIM),
    }
}

/// An event in words, without its time, as one line of text that may hold any character.
pub(super) fn event_text(event: &EventRecord<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    write_event(event, &mut text).unwrap_or_default();
    text
}

fn write_event(event: &EventRecord<'_>, text: &mut String) -> std::fmt::Result {
    let details = event.details();
    match &*event.event {
        "start" => {
            let policy = details.policy();
            let named = |name: &str| if name.is_empty() { "?".to_owned() } else { name.to_owned() };
            write!(text, "{} {}, Linux {}", named(&policy.name), named(&details.mode()), details.kernel)?;
            if !details.arch.is_empty() {
                write!(text, " {}", details.arch)?;
            }
            let layers = details.layers();
            let active = layers.iter().filter(|layer| &*layer.state == "active").count();
            write!(text, ", {active} of {} layers active", layers.len())?;
            for layer in layers.iter().filter(|layer| &*layer.state != "active") {
                write!(text, ", {} {}", layer.layer, layer.state)?;
            }
            write!(text, ": ")?;
            write_command(&event.process(), text)
        }
        "exec" => {
            write_command(&event.process(), text)?;
            write_ancestors(&details.ancestors(), text)
        }
        "exit" => {
            write_process(&event.process(), text)?;
            write_exit(&details, text)
        }
        "violation" => write_violation(event, text),
        "signal" => write!(text, "{} to {}", details.signal, details.to),
        "ready" => write!(text, "after {}, by {}", details.after, details.by),
        "dropped" => write!(text, "{}: {}", counted(event.violations(), "event"), details.why),
        "stop" => {
            write!(text, "{}:", details.why)?;
            write_exit(&details, text)?;
            write!(text, ", {} ended, {} killed", details.ended, details.killed)
        }
        // An event of a newer version.
        _ if event.has_process() => write_process(&event.process(), text),
        _ => Ok(()),
    }
}

fn write_violation(event: &EventRecord<'_>, text: &mut String) -> std::fmt::Result {
    let details = event.details();
    let object = details.object();
    write!(text, "{} ", event.kind)?;
    match &*event.kind {
        "syscall" => {
            let args: Vec<&str> = object.args.iter().map(|arg| &**arg).collect();
            write!(text, "{}({})", object.label(), args.join(", "))?;
        }
        "network" => {
            let access: Vec<&str> = object.access.words().collect();
            write!(text, "{} {}", access.join(","), object.label())?;
        }
        _ => {
            write!(text, "{}", object.label())?;
            let access: Vec<&str> = object.access.words().collect();
            if !access.is_empty() {
                write!(text, " ({})", access.join(","))?;
            }
        }
    }
    if !details.errno.is_empty() {
        write!(text, " {}", details.errno)?;
    }
    let process = event.process();
    write!(text, " by ")?;
    write_process(&process, text)?;
    write_ancestors(&details.ancestors(), text)?;
    if !event.rule.is_empty() {
        write!(text, "; rule {}", event.rule)?;
    }
    if let Some(count) = event.count {
        write!(text, "; {count} times in {}", details.over)?;
    }
    Ok(())
}

fn write_process(process: &ProcessRecord<'_>, text: &mut String) -> std::fmt::Result {
    write!(text, "{}[{}]", process.program(), process.pid)
}

/// A process with its arguments, quoted where a shell would split them.
fn write_command(process: &ProcessRecord<'_>, text: &mut String) -> std::fmt::Result {
    write_process(process, text)?;
    for arg in process.args.iter().skip(1) {
        write!(text, " {}", quoted(arg))?;
    }
    Ok(())
}

/// An argument as a shell takes it.
pub(super) fn quoted(arg: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !arg.is_empty() && arg.chars().all(is_plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', "'\\''"))
}

fn write_ancestors(ancestors: &[EventText<'_>], text: &mut String) -> std::fmt::Result {
    for (number, ancestor) in ancestors.iter().enumerate() {
        write!(text, "{}{ancestor}", if number == 0 { " under " } else { " < " })?;
    }
    Ok(())
}

fn write_exit(details: &EventDetails<'_>, text: &mut String) -> std::fmt::Result {
    let exit = details.exit();
    match (exit.code, &*exit.signal) {
        (Some(code), _) => write!(text, " exit code {code}"),
        (None, "") => write!(text, " ended"),
        (None, signal) => write!(text, " killed by {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visible::sgr::RESET;

    fn shown(rest: &str, colours: bool) -> String {
        let line = format!("{{\"remit\":1,\"time\":\"2026-11-22T10:00:00.000001Z\",{rest}}}");
        let event = EventRecord::read(line.as_bytes()).expect("an event");
        let mut line = String::new();
        event_line(&event, Colours(colours), &mut line);
        line.strip_prefix("2026-11-22 10:00:00.000 ").unwrap_or(&line).to_owned()
    }

    #[test]
    fn each_event_has_its_line() {
        let process = r#""process":{"pid":7,"parent_pid":1,"uid":0,"executable":{"path":"/usr/sbin/nginx"},"args":["nginx","-g","daemon off;"]}"#;
        let table = [
            (
                format!(
                    r#""event":"start","policy":{{"name":"web"}},"mode":{{"value":"enforce"}},"kernel":"6.18.44","arch":"x86_64","layers":[{{"layer":"seccomp","state":"active"}},{{"layer":"mdwe","state":"unavailable"}}],{process}"#
                ),
                "start     web enforce, Linux 6.18.44 x86_64, 1 of 2 layers active, mdwe unavailable: /usr/sbin/nginx[7] -g 'daemon off;'",
            ),
            (
                format!(r#""event":"exec","action":"allowed",{process},"ancestors":["/a","/b"]"#),
                "exec      /usr/sbin/nginx[7] -g 'daemon off;' under /a < /b",
            ),
            (
                format!(
                    r#""event":"violation","kind":"program","action":"denied","errno":"EACCES","object":{{"path":"/bin/sh"}},"rule":"/programs",{process}"#
                ),
                "denied    program /bin/sh EACCES by /usr/sbin/nginx[7]; rule /programs",
            ),
            (
                format!(
                    r#""event":"violation","kind":"file","action":"observed","object":{{"path":"/x","access":["write","create"]}},"rule":"/files",{process}"#
                ),
                "observed  file /x (write,create) by /usr/sbin/nginx[7]; rule /files",
            ),
            (
                format!(
                    r#""event":"violation","kind":"syscall","action":"killed","object":{{"syscall":"ptrace","args":["0x10","0x1"]}},"count":41,"over":"1s",{process}"#
                ),
                "killed    syscall ptrace(0x10, 0x1) by /usr/sbin/nginx[7]; 41 times in 1s",
            ),
            (
                format!(
                    r#""event":"violation","kind":"network","action":"denied","object":{{"address":"tcp/80","access":"connect"}},{process}"#
                ),
                "denied    network connect tcp/80 by /usr/sbin/nginx[7]",
            ),
            (
                r#""event":"exit","process":{"pid":31},"exit":{"signal":"SYS"}"#.to_owned(),
                "exit      [31] killed by SYS",
            ),
            (r#""event":"signal","signal":"TERM","to":"app""#.to_owned(), "signal    TERM to app"),
            (
                r#""event":"ready","after":"1.2s","by":"listening""#.to_owned(),
                "ready     after 1.2s, by listening",
            ),
            (
                r#""event":"dropped","count":120,"why":"sink slow""#.to_owned(),
                "dropped   120 events: sink slow",
            ),
            (
                r#""event":"stop","exit":{"code":0},"ended":3,"killed":0,"why":"signal TERM""#.to_owned(),
                "stop      signal TERM: exit code 0, 3 ended, 0 killed",
            ),
            (r#""event":"later""#.to_owned(), "later     "),
        ];
        for (event, line) in &table {
            assert_eq!(shown(event, false), *line);
        }
    }

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let line = shown(
            r#""event":"violation","kind":"file","action":"\u001b[2Jx","object":{"path":"/\u001b[2J\n\u202e\u009b"},"process":{"pid":7,"executable":{"path":"/\u001b]0;x\u0007"}}"#,
            true,
        );
        let mut rest = line.clone();
        for ours in [DIM, RED, RESET] {
            rest = rest.replace(ours, "");
        }
        assert!(!rest.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(line.contains(RED) && rest.contains("\\u001b[2J"));
    }
}
