//! The lines of a log, in bounded memory, that may be events: as they were written, or in what
//! a container engine keeps them in (Docker's json-file, Kubernetes' CRI log).

use std::borrow::Cow;
use std::io::{self, Read};

use memchr::{memchr, memmem};
use serde::Deserialize;

/// The longest line that is read whole, in bytes. An event is far shorter. Of a longer line the
/// last half of this is read, since an event may come behind what the app wrote.
pub const LONGEST: usize = 1 << 20;

/// How an event begins.
pub const BEGINNING: &[u8] = b"{\"remit\":";

/// How a line of Docker's json-file log begins.
const JSON_FILE: &[u8] = b"{\"log\":\"";

/// How much is read at a time, in bytes: at first, and where there is more.
const FIRST_BLOCK: usize = 16 << 10;
const BLOCK: usize = 256 << 10;

/// The stream that a container engine read a line from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// The log does not say.
    Unknown,
    /// The app's standard output; with a terminal (`docker run -t`) all that was written.
    Stdout,
    /// The standard error, which remit writes to.
    Stderr,
}

/// A line that may be an event.
#[derive(Clone, Copy, Debug)]
pub struct EventLine<'a> {
    /// The number of its line in the log, from 1.
    pub number: u64,
    /// Its text from `{"remit":` on, without the line's end.
    pub text: &'a [u8],
    /// Where the engine read it.
    pub stream: LogStream,
}

/// Splits what is read into lines, and finds those that may be events. It does no reading by
/// itself, so that the input may be a file that grows.
#[derive(Debug, Default)]
pub struct LogLines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no end of a line.
    scanned: usize,
    filled: usize,
    /// Nothing follows: what has no newline is a line too.
    is_over: bool,
    /// The beginning of the line was dropped.
    is_cut: bool,
    number: u64,
    too_long: u64,
    /// The lines of each stream that the engine wrote in parts, up to now.
    parts: [Vec<u8>; 2],
    found: FoundLine,
}

/// Where the line is that was found.
#[derive(Clone, Copy, Debug, Default)]
enum FoundLine {
    #[default]
    None,
    Buffer(LogStream, usize, usize),
    Parts(LogStream, usize),
}

impl LogLines {
    /// Reads once, after [`LogLines::advance`] has found no more. Returns the number of bytes, 0 at
    /// the end of the input.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        let rest = self.start..self.filled;
        let block = if self.buffer.is_empty() { FIRST_BLOCK } else { BLOCK };
        if self.buffer.len() < rest.len() + block {
            let mut buffer = vec![0; rest.len() + block];
            buffer[..rest.len()].copy_from_slice(&self.buffer[rest]);
            self.buffer = buffer;
        } else {
            self.buffer.copy_within(rest, 0);
        }
        self.filled -= self.start;
        self.scanned -= self.start;
        self.start = 0;
        loop {
            match input.read(&mut self.buffer[self.filled..]) {
                Ok(length) => {
                    self.filled += length;
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing follows what was read: the last line has no newline.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Says that more follows after all, as a new file of the same log.
    pub fn reopen(&mut self) {
        self.is_over = false;
        self.parts.iter_mut().for_each(Vec::clear);
    }

    /// How many lines were longer than [`LONGEST`].
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Goes on to the next line that may be an event; false where more has to be read.
    pub fn advance(&mut self) -> bool {
        if let FoundLine::Parts(stream, _) = self.found {
            self.parts[part_of(stream)].clear();
        }
        while let Some((start, end)) = self.next_line() {
            self.number += 1;
            self.found = self.look_at(start, end);
            if !matches!(self.found, FoundLine::None) {
                return true;
            }
        }
        self.found = FoundLine::None;
        false
    }

    /// The line that [`LogLines::advance`] found.
    pub fn event(&self) -> EventLine<'_> {
        let (stream, text) = match self.found {
            FoundLine::None => (LogStream::Unknown, &[][..]),
            FoundLine::Buffer(stream, start, end) => (stream, &self.buffer[start..end]),
            FoundLine::Parts(stream, start) => {
                (stream, self.parts[part_of(stream)][start..].trim_ascii_end())
            }
        };
        EventLine { number: self.number, text, stream }
    }

    /// The next whole line, without its newline.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let newline = memchr(b'\n', &self.buffer[self.scanned..self.filled]);
        let (start, end, next) = match newline {
            Some(at) => (self.start, self.scanned + at, self.scanned + at + 1),
            None if self.is_over && self.start < self.filled => (self.start, self.filled, self.filled),
            None => {
                if self.filled - self.start > LONGEST {
                    self.too_long += u64::from(!self.is_cut);
                    self.is_cut = true;
                    self.start = self.filled - LONGEST / 2;
                }
                self.scanned = self.filled;
                return None;
            }
        };
        (self.start, self.scanned) = (next, next);
        if end - start > LONGEST && !self.is_cut {
            self.too_long += 1;
        }
        self.is_cut = false;
        Some((start.max(end.saturating_sub(LONGEST)), end))
    }

    fn look_at(&mut self, start: usize, end: usize) -> FoundLine {
        let line = self.buffer[start..end].trim_ascii_end();
        let end = start + line.len();
        if line.starts_with(BEGINNING) {
            return FoundLine::Buffer(LogStream::Unknown, start, end);
        }
        if line.starts_with(JSON_FILE)
            && let Some((stream, text)) = json_file(line)
        {
            return join(&mut self.parts, &mut self.too_long, stream, text.as_bytes(), text.ends_with('\n'));
        }
        if let Some((stream, is_whole, text)) = cri(line) {
            if is_whole && self.parts[part_of(stream)].is_empty() {
                let begins = memmem::find(text, BEGINNING);
                return begins
                    .map_or(FoundLine::None, |at| FoundLine::Buffer(stream, end - text.len() + at, end));
            }
            return join(&mut self.parts, &mut self.too_long, stream, text, is_whole);
        }
        let begins = memmem::find(line, BEGINNING);
        begins.map_or(FoundLine::None, |at| FoundLine::Buffer(LogStream::Unknown, start + at, end))
    }
}

/// Adds a part of a line of one stream, and looks at the line where it is whole.
fn join(
    parts: &mut [Vec<u8>; 2],
    too_long: &mut u64,
    stream: LogStream,
    text: &[u8],
    is_whole: bool,
) -> FoundLine {
    let part = &mut parts[part_of(stream)];
    part.extend_from_slice(text);
    if part.len() > LONGEST {
        *too_long += 1;
        part.drain(..part.len() - LONGEST / 2);
    }
    if !is_whole {
        return FoundLine::None;
    }
    match memmem::find(part, BEGINNING) {
        Some(at) => FoundLine::Parts(stream, at),
        None => {
            part.clear();
            FoundLine::None
        }
    }
}

fn part_of(stream: LogStream) -> usize {
    usize::from(stream == LogStream::Stdout)
}

/// A line of Docker's json-file log driver.
fn json_file(line: &[u8]) -> Option<(LogStream, Cow<'_, str>)> {
    #[derive(Deserialize)]
    struct JsonFileLine<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        #[serde(borrow)]
        stream: Cow<'a, str>,
    }
    let line: JsonFileLine<'_> = serde_json::from_slice(line).ok()?;
    Some((stream_of(line.stream.as_bytes())?, line.log))
}

/// A line of Kubernetes' CRI log: `TIME STREAM TAG TEXT`, of which the tag P is a part and F the
/// last part. Returns the stream, whether it is whole, and the text.
fn cri(line: &[u8]) -> Option<(LogStream, bool, &[u8])> {
    const SHORTEST: usize = "2026-11-22T10:00:00Z".len();
    const LONGEST_TIME: usize = "2026-11-22T10:00:00.000000000+00:00".len();
    if !line.first()?.is_ascii_digit() || line.get(10) != Some(&b'T') {
        return None;
    }
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let text = fields.next().unwrap_or_default();
    if !(SHORTEST..=LONGEST_TIME).contains(&time.len()) {
        return None;
    }
    let is_whole = match tag.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some((stream_of(stream)?, is_whole, text))
}

fn stream_of(name: &[u8]) -> Option<LogStream> {
    match name {
        b"stdout" => Some(LogStream::Stdout),
        b"stderr" => Some(LogStream::Stderr),
        _ => None,
    }
}

/// The lines of one input that may be events, and that remit may have written.
#[derive(Debug)]
pub struct BoundedLines<R> {
    input: R,
    lines: LogLines,
    with_stdout: bool,
}

impl<R: Read> BoundedLines<R> {
    /// All lines of an input. What a container engine read from the app's stdout is passed over:
    /// remit writes to stderr.
    pub fn of(input: R) -> BoundedLines<R> {
        BoundedLines { input, lines: LogLines::default(), with_stdout: false }
    }

    /// Takes lines of stdout as well, as where the caller knows the nonce.
    pub fn with_stdout(self, with_stdout: bool) -> BoundedLines<R> {
        BoundedLines { with_stdout, ..self }
    }

    /// The next line that may be an event, with its number from 1, from `{"remit":` on: an app
    /// that writes its lines in pieces may have written before it. None at the end.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn next_event(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            if self.lines.advance() {
                if self.with_stdout || self.lines.event().stream != LogStream::Stdout {
                    break;
                }
            } else if self.lines.is_over {
                return Ok(None);
            } else if self.lines.fill(&mut self.input)? == 0 {
                self.lines.end();
            }
        }
        let EventLine { number, text, .. } = self.lines.event();
        Ok(Some((number, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(input: &[u8]) -> Vec<(u64, usize)> {
        let mut lines = BoundedLines::of(input);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next_event().expect("readable") {
            found.push((number, line.len()));
        }
        found
    }

    fn texts(input: &str) -> Vec<(String, LogStream)> {
        let mut lines = LogLines::default();
        let mut input = input.as_bytes();
        let mut found = Vec::new();
        while !lines.is_over {
            if lines.fill(&mut input).expect("memory") == 0 {
                lines.end();
            }
            while lines.advance() {
                let event = lines.event();
                found.push((String::from_utf8_lossy(event.text).into_owned(), event.stream));
            }
        }
        found
    }

    #[test]
    fn lines_are_bounded_and_counted() {
        let mut input = b"x\n  {\"remit\":1}\r\n".to_vec();
        input.extend(b"{\"remit\":1".iter().chain([b' '; 3 * LONGEST].iter()));
        input.extend(b"\n\0\0\n{\"remit\":2}");
        input.extend(b"\nhalf a line {\"remit\":3}");
        assert_eq!(events(&input), [(2, 11), (5, 11), (6, 11)]);
        assert_eq!(events(&vec![b'x'; 3 * LONGEST]), []);
        assert_eq!(events(b""), []);
    }

    /// An app that writes without an end of a line cannot hide what remit writes behind it.
    #[test]
    fn an_event_behind_a_long_line_is_found() {
        for length in [LONGEST - 20, LONGEST, LONGEST + 1, 2 * LONGEST + 7, 5 * LONGEST] {
            let mut input = vec![b'x'; length];
            input.extend(b"{\"remit\":1}\n{\"remit\":2}\n");
            assert_eq!(events(&input), [(1, 11), (2, 11)], "{length}");
            let mut lines = BoundedLines::of(&input[..]);
            while lines.next_event().expect("readable").is_some() {}
            assert!(lines.lines.buffer.len() <= 2 * LONGEST, "{}", lines.lines.buffer.len());
            assert_eq!(lines.lines.too_long(), u64::from(length + 11 > LONGEST), "{length}");
        }
    }

    #[test]
    fn what_an_engine_writes_around_a_line_is_taken_off() {
        let docker = |log: &str, stream: &str| {
            format!(
                "{}\n",
                serde_json::json!({ "log": log, "stream": stream, "time": "2026-11-22T10:00:00Z" })
            )
        };
        let event = "{\"remit\":1,\"x\":\"a\\u001b\\\"\"}";
        let whole = [
            docker(&format!("{event}\n"), "stderr"),
            docker("half a line ", "stderr"),
            docker("{\"remit\":", "stdout"),
            docker(&format!("{event}\n"), "stderr"),
            docker("2}\n", "stdout"),
            docker("none\n", "stderr"),
            docker(event, "stderr"),
        ]
        .concat();
        let (own, app) =
            ((event.to_owned(), LogStream::Stderr), ("{\"remit\":2}".to_owned(), LogStream::Stdout));
        assert_eq!(texts(&whole), [own.clone(), own.clone(), app.clone()]);
        let time = "2026-11-22T10:00:00.000000001Z";
        let cri = format!(
            "{time} stderr F {event}\n{time} stderr P {}\n{time} stdout P {{\"remit\":\n{time} stderr F {}\n{time} \
             stdout F:x 2}}\n{time} other F {event}\n{time} stderr F\n",
            &event[..9],
            &event[9..]
        );
        assert_eq!(texts(&cri), [own.clone(), own, app, (event.to_owned(), LogStream::Unknown)]);
        // What only looks like it is a line of the app's.
        let odd = "{\"log\":\"{\\\"remit\\\":1}\n{\"log\":\"x\",\"stream\":3} {\"remit\":3}\n2026-11-22T1 stderr F {\"remit\":4}\n";
        assert_eq!(
            texts(odd).iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(),
            ["{\"remit\":3}", "{\"remit\":4}"]
        );
    }

    #[test]
    fn parts_of_a_line_are_bounded() {
        let part = format!("2026-11-22T10:00:00Z stderr P {}\n", "x".repeat(16 << 10));
        let input = part.repeat(400) + "2026-11-22T10:00:00Z stderr F {\"remit\":1}\n";
        let mut lines = LogLines::default();
        let mut input = input.as_bytes();
        while lines.fill(&mut input).expect("memory") > 0 {
            while lines.advance() {
                assert_eq!(lines.event().text, b"{\"remit\":1}");
                assert_eq!(lines.event().number, 401);
            }
            assert!(lines.parts[0].len() <= LONGEST);
        }
        assert!(lines.too_long() > 0);
    }

    #[test]
    fn any_log_is_split() {
        let good = b"{\"log\":\"{\\\"remit\\\":1}\\n\",\"stream\":\"stderr\"}\n2026-11-22T10:00:00Z stderr P x\nx{\"remit\":2}\r\n";
        crate::mutation::each(&[good], |bytes| {
            events(bytes);
        });
    }
}
