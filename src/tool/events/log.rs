//! One log: its lines, which of them are remit's, and how many are not.

use crate::event::lines::{LogLines, LogStream};
use crate::event::record::EventRecord;
use crate::event::stream::{Origin, Provenance, is_nonce};
use crate::visible::counted;

/// A log that is read.
#[derive(Debug)]
pub(super) struct EventLog {
    /// What messages call it.
    pub name: String,
    /// Its lines.
    pub lines: LogLines,
    trust: LogTrust,
    /// What was left out of it.
    left_out: LeftOut,
}

/// What decides that a line is remit's.
#[derive(Clone, Debug)]
pub(super) struct LogTrust {
    provenance: Provenance,
    /// A nonce was named: where a line was written does not matter then.
    is_known: bool,
    /// Nothing but remit writes to the log.
    every_start: bool,
}

/// Lines that look like events, and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Another start's, or the app's.
    others: u64,
    /// Nothing proves whose they are.
    unproven: u64,
    /// No JSON.
    malformed: u64,
    /// The app's standard output, by what the engine says.
    on_stdout: u64,
    /// Of a version that is not read here.
    newer: u64,
    /// Lines that were too long to be read whole.
    too_long: u64,
}

impl LogTrust {
    /// Trusts these nonces, or without any the start that the log begins with, or every one.
    pub fn of(nonces: &[String], every_start: bool) -> LogTrust {
        LogTrust { provenance: Provenance::of(nonces), is_known: !nonces.is_empty(), every_start }
    }

    fn origin(&mut self, event: &EventRecord<'_>) -> Origin {
        if self.every_start && !self.is_known {
            return if is_nonce(&event.nonce) { Origin::Remit } else { Origin::Other };
        }
        self.provenance.origin(&event.event, event.seq, &event.nonce)
    }
}

impl EventLog {
    /// A log of which nothing was read yet.
    pub fn of(name: String, trust: &LogTrust) -> EventLog {
        EventLog { name, lines: LogLines::default(), trust: trust.clone(), left_out: LeftOut::default() }
    }

    /// Goes on with another file of the same log.
    pub fn continued(&self) -> EventLog {
        EventLog::of(self.name.clone(), &self.trust)
    }

    /// What was left out so far.
    pub fn left_out(&self) -> LeftOut {
        LeftOut { too_long: self.lines.too_long(), ..self.left_out }
    }

    /// Hands on the events of what was read that are remit's.
    ///
    /// # Errors
    /// The first error of `take`.
    pub fn each<E>(
        &mut self,
        mut take: impl FnMut(&str, &EventRecord<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.lines.advance() {
            let line = self.lines.event();
            if line.stream == LogStream::Stdout && !self.trust.is_known {
                self.left_out.on_stdout += 1;
                continue;
            }
            let Some(event) = EventRecord::read(line.text) else {
                self.left_out.malformed += 1;
                continue;
            };
            match self.trust.origin(&event) {
                Origin::Remit if !event.is_of_this_version() => self.left_out.newer += 1,
                Origin::Remit => take(&self.name, &event)?,
                Origin::Other => self.left_out.others += 1,
                Origin::Unproven => self.left_out.unproven += 1,
            }
        }
        Ok(())
    }
}

impl LeftOut {
    /// Adds those of another log.
    pub fn and(self, other: LeftOut) -> LeftOut {
        LeftOut {
            others: self.others + other.others,
            unproven: self.unproven + other.unproven,
            malformed: self.malformed + other.malformed,
            on_stdout: self.on_stdout + other.on_stdout,
            newer: self.newer + other.newer,
            too_long: self.too_long + other.too_long,
        }
    }

    /// Whether all that looks like events is remit's.
    pub fn is_none(self) -> bool {
        self == LeftOut { too_long: self.too_long, ..LeftOut::default() }
    }

    /// The counts by their reasons.
    pub fn reasons(self) -> [(&'static str, u64); 6] {
        [
            ("other", self.others),
            ("unproven", self.unproven),
            ("malformed", self.malformed),
            ("stdout", self.on_stdout),
            ("newer", self.newer),
            ("too_long", self.too_long),
        ]
    }

    /// A sentence for each reason.
    pub fn sentences(self) -> Vec<String> {
        let why = [
            (
                self.others,
                "in the form of an event left out: another start's, or the app's own (--nonce NONCE takes those \
                 of another start, --every-start all of a file that nothing but remit writes)",
            ),
            (
                self.unproven,
                "in the form of an event left out: the log does not begin with remit's start event, so the app may \
                 have written it (REMIT_EVENTS=stderr or a file puts it first, --nonce NONCE names a start)",
            ),
            (
                self.malformed,
                "that cannot be read as an event left out: cut off, or mixed with what the app wrote",
            ),
            (
                self.on_stdout,
                "in the form of an event left out: the engine read it from the app's stdout, and remit writes to \
                 stderr (with a terminal all is stdout: --nonce NONCE names the start)",
            ),
            (
                self.newer,
                "in the form of an event of another version than this remit reads left out; use a newer remit",
            ),
            (self.too_long, "longer than 1 MiB, of which only the end was read"),
        ];
        let sentence =
            |(count, why): (u64, &str)| (count > 0).then(|| format!("{} {why}", counted(count, "line")));
        why.into_iter().filter_map(sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that pass, and what was left out.
    pub(super) fn passed(log: &[u8], nonces: &[String], every_start: bool) -> (Vec<String>, LeftOut) {
        let mut log_read = EventLog::of("log".to_owned(), &LogTrust::of(nonces, every_start));
        let mut input = log;
        let mut texts = Vec::new();
        loop {
            let is_over = log_read.lines.fill(&mut input).expect("memory is read") == 0;
            if is_over {
                log_read.lines.end();
            }
            let taken: Result<(), ()> = log_read.each(|_, event| {
                texts.push(event.text().to_owned());
                Ok(())
            });
            taken.expect("all are taken");
            if is_over {
                return (texts, log_read.left_out());
            }
        }
    }

    fn event(seq: u64, nonce: &str, event: &str) -> String {
        format!("{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{nonce}\",\"event\":\"{event}\",\"x\":\"\u{9b}\"}}")
    }

    #[test]
    fn events_of_the_first_start_pass() {
        let [ours, other] = ["a".repeat(32), "b".repeat(32)];
        let log = [
            event(1, &ours, "start"),
            "the app's own".to_owned(),
            event(1, &other, "start"),
            format!("half a line of the app's {}", event(2, &ours, "stop")),
            "{\"remit\":1,\"seq\":3,\"event\":\"stop\"}".to_owned(),
            "{\"remit\":1,".to_owned(),
        ]
        .join("\n");
        let (texts, left_out) = passed(log.as_bytes(), &[], false);
        assert_eq!(texts, [event(1, &ours, "start"), event(2, &ours, "stop")]);
        assert_eq!((left_out.others, left_out.malformed, left_out.is_none()), (2, 1, false));
        assert_eq!(left_out.sentences().len(), 2);
        assert_eq!(
            passed(log.as_bytes(), std::slice::from_ref(&other), false).0,
            [event(1, &other, "start")]
        );
        assert_eq!(passed(log.as_bytes(), &[], true).0.len(), 3);
        let forged = log.split_once('\n').expect("lines").1.replace("\"start\"", "\"violation\"");
        let (texts, left_out) = passed(forged.as_bytes(), &[], false);
        assert_eq!(texts, Vec::<String>::new());
        assert!(
            left_out.sentences().iter().any(|line| line.contains("does not begin with remit's start event"))
        );
    }

    #[test]
    fn events_of_another_version_are_left_out_and_counted() {
        let ours = "a".repeat(32);
        let log = [event(1, &ours, "start"), event(2, &ours, "stop")].join("\n");
        let newer = log.replace("{\"remit\":1,\"seq\":2", "{\"remit\":2,\"seq\":2");
        let (texts, left_out) = passed(newer.as_bytes(), &[], false);
        assert_eq!((texts.len(), left_out.newer, left_out.is_none()), (1, 1, false));
        assert!(left_out.sentences()[0].starts_with("1 line in the form of an event of another version"));
        assert_eq!(passed(log.as_bytes(), &[], false).1, LeftOut::default());
    }

    /// Docker copies stdout and stderr each by itself, so the app's stdout may come before remit's
    /// first line.
    #[test]
    fn the_apps_stdout_begins_no_start() {
        let [ours, forged] = ["a".repeat(32), "b".repeat(32)];
        let line = |stream: &str, text: &str| {
            format!("{}\n", serde_json::json!({ "log": format!("{text}\n"), "stream": stream, "time": "" }))
        };
        let log = [
            line("stdout", &event(1, &forged, "start")),
            line("stderr", &event(1, &ours, "start")),
            line("stdout", &event(2, &forged, "stop")),
            line("stderr", &event(2, &ours, "stop")),
        ]
        .concat();
        // serde_json writes its keys in order, as Docker does.
        assert!(log.starts_with("{\"log\":"), "{log}");
        let (texts, left_out) = passed(log.as_bytes(), &[], false);
        assert_eq!(texts, [event(1, &ours, "start"), event(2, &ours, "stop")]);
        assert_eq!(left_out.on_stdout, 2);
        assert_eq!(passed(log.as_bytes(), &[forged], false).0.len(), 2, "with a terminal all is stdout");
    }

    #[test]
    fn any_log_is_filtered() {
        let start: &[u8] =
            br#"{"remit":1,"seq":1,"nonce":"00000000000000000000000000000000","event":"start"}"#;
        let violation: &[u8] = br#"{"remit":1,"seq":2,"nonce":"00000000000000000000000000000000","time":"2026-11-22T04:24:17Z","event":"violation","policy":{"name":"b","digest":"sha256:0"},"kind":"file","action":"denied","errno":"EACCES","rule":"/files","hint":[{"op":"add","path":"/files/-","value":{"path":"/srv/x","allow":["read"]}}]}"#;
        let log = [start, violation].join(&b'\n');
        crate::mutation::each(&[&log, start, b"the app's own\n"], |bytes| {
            passed(bytes, &[], false);
        });
    }
}
