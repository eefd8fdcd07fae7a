//! `remit events`: the lines of a log that are remit's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ToolError, VerbOutput, VerbResult, print_error};
use crate::event::stream::{BoundedLines, Origin, Provenance};
use crate::visible;

/// The arguments of `remit events`.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 all that looks like events is remit's, 1 some of it is not, or \
                        nothing proves that it is, 2 bad input.")]
pub(super) struct EventsArguments {
    /// Event files, or a container's stderr with events in it; by default, and for -, stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take only events with this nonce, which is in a start's first event; by default the one
    /// with which the log begins
    #[arg(long, value_name = "NONCE")]
    nonce: Vec<String>,
}

/// The keys of an event that decide its origin.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    event: String,
}

pub(super) fn run(arguments: &EventsArguments) -> VerbResult {
    let stdin = [PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &stdin[..] } else { &arguments.files };
    let mut code = 0;
    for path in files {
        let name = path.display().to_string();
        let failed = |error| ToolError::File { path: path.clone(), error };
        let input: Box<dyn BufRead> = match path.as_path() {
            path if path == Path::new("-") => Box::new(io::stdin().lock()),
            path => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
        };
        let left_out = filter(input, &arguments.nonce, &mut io::stdout().lock()).map_err(failed)?;
        for line in left_out {
            print_error(&format!("{name}: {line}"));
            code = 1;
        }
    }
    Ok(VerbOutput { text: String::new(), code })
}

/// Writes the events that are remit's, and returns a line for each reason to leave others out.
fn filter(input: impl BufRead, nonces: &[String], out: &mut impl Write) -> io::Result<Vec<String>> {
    let mut provenance = Provenance::of(nonces);
    let (mut others, mut unproven) = (0u64, 0u64);
    let mut lines = BoundedLines::of(input);
    while let Some((_, line)) = lines.next_event()? {
        let (Ok(head), Ok(text)) = (serde_json::from_slice::<Head>(line), str::from_utf8(line)) else {
            others += 1;
            continue;
        };
        match provenance.origin(&head.event, head.seq, &head.nonce) {
            Origin::Remit => match writeln!(out, "{}", visible::line(text)) {
                // The reader has closed the pipe.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Vec::new()),
                written => written?,
            },
            Origin::Other => others += 1,
            Origin::Unproven => unproven += 1,
        }
    }
    let mut left_out = Vec::new();
    if others > 0 {
        left_out.push(format!(
            "{others} lines that look like events were left out: another start's, or the app's own (--nonce NONCE takes \
             those of another start)"
        ));
    }
    if unproven > 0 {
        left_out.push(format!(
            "{unproven} lines that look like events were left out: the log does not begin with remit's start event, so \
             the app may have written any of them (REMIT_EVENTS=stderr or a file puts it first, --nonce NONCE names a start)"
        ));
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_first_start_pass() {
        let [ours, other] = ["a".repeat(32), "b".repeat(32)];
        let event = |seq: u64, nonce: &str, event: &str| {
            format!(
                "{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{nonce}\",\"event\":\"{event}\",\"x\":\"\u{9b}\"}}"
            )
        };
        let log = [
            event(1, &ours, "start"),
            "the app's own".to_owned(),
            event(1, &other, "start"),
            format!("half a line of the app's {}", event(2, &ours, "stop")),
            "{\"remit\":1,\"seq\":3,\"event\":\"stop\"}".to_owned(),
            "{\"remit\":1,".to_owned(),
        ]
        .join("\n");
        let passed = |log: &str, nonces: &[String]| {
            let mut out = Vec::new();
            let left_out = filter(log.as_bytes(), nonces, &mut out).expect("written");
            (String::from_utf8(out).expect("text"), left_out)
        };
        let (text, left_out) = passed(&log, &[]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.lines().all(|line| line.starts_with("{\"remit\"") && line.contains("\\u009b")),
            "{text}"
        );
        assert!(left_out.len() == 1 && left_out[0].starts_with("3 lines"), "{left_out:?}");
        assert_eq!(passed(&log, std::slice::from_ref(&other)).0.lines().count(), 1);
        let forged = log.split_once('\n').expect("lines").1.replace("\"start\"", "\"violation\"");
        let (text, left_out) = passed(&forged, &[]);
        assert_eq!(text, "");
        assert!(
            left_out.iter().any(|line| line.contains("does not begin with remit's start event")),
            "{left_out:?}"
        );
    }

    #[test]
    fn any_log_is_filtered() {
        let start: &[u8] =
            br#"{"remit":1,"seq":1,"nonce":"00000000000000000000000000000000","event":"start"}"#;
        let event: &[u8] = br#"{"remit":1,"seq":2,"nonce":"00000000000000000000000000000000","time":"2026-11-22T04:24:17Z","event":"violation","policy":{"name":"b","digest":"sha256:0"},"kind":"file","action":"denied","errno":"EACCES","rule":"/files","hint":[{"op":"add","path":"/files/-","value":{"path":"/srv/x","allow":["read"]}}]}"#;
        let log = [start, event].join(&b'\n');
        crate::mutation::each(&[&log, start, b"the app's own\n"], |bytes| {
            let mut out = Vec::new();
            filter(bytes, &[], &mut out).expect("memory is read and written");
            assert!(!out.contains(&0x1b), "nothing for a terminal to obey");
        });
    }
}
