//! Events read back from a log that the app may write to as well, such as the stderr that
//! it shares with remit.
//!
//! Each start draws a nonce, which all its events carry. Where the first event of a log is
//! the start event, it was written before the app ran, and lines with its nonce are remit's:
//! the app cannot read the nonce from the supervisor, only from the log. A log that begins
//! otherwise proves nothing, since the app may have written its beginning.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

/// The longest line that is read, in bytes. An event is far shorter; what is longer is
/// passed over, so that memory stays bounded.
pub const LONGEST: usize = 1 << 20;

/// How an event begins.
const BEGINNING: &[u8] = b"{\"remit\":";

/// Lines of bounded length.
#[derive(Debug)]
pub struct BoundedLines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> BoundedLines<R> {
    /// All lines of an input.
    pub fn of(input: R) -> BoundedLines<R> {
        BoundedLines { input, number: 0, line: Vec::new() }
    }

    /// The next line that may be an event, with its number from 1, from `{"remit":` on: an app
    /// that writes its lines in pieces may have written before it. None at the end.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn next_event(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            self.line.clear();
            let most = LONGEST as u64 + 1;
            let length = io::Read::take(&mut self.input, most).read_until(b'\n', &mut self.line)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length > LONGEST && self.line.last() != Some(&b'\n') {
                self.skip_line()?;
                continue;
            }
            if let Some(at) = self.line.windows(BEGINNING.len()).position(|part| part == BEGINNING) {
                return Ok(Some((self.number, self.line[at..].trim_ascii_end())));
            }
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (length, is_over) =
                (end.map_or(buffer.len(), |at| at + 1), end.is_some() || buffer.is_empty());
            self.input.consume(length);
            if is_over {
                return Ok(());
            }
        }
    }
}

/// The origin of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Remit wrote it, in a trusted start.
    Remit,
    /// Another start or the app wrote it.
    Other,
    /// It cannot be proven.
    Unproven,
}

/// Decides which lines of one log are remit's.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// Nonces that the caller knows; if there are any, the log's own beginning does not count.
    known: BTreeSet<String>,
    /// The nonce of the first event, if that is a start event.
    first: Option<Option<String>>,
}

impl Provenance {
    /// Trusts these nonces, or without any the log's first event.
    pub fn of(known: &[String]) -> Provenance {
        let mut nonces = BTreeSet::new();
        nonces.extend(known.iter().cloned());
        Provenance { known: nonces, first: None }
    }

    /// The origin of the log's next event, by its `event`, `seq` and `nonce`.
    pub fn origin(&mut self, event: &str, seq: u64, nonce: &str) -> Origin {
        let first = self.first.get_or_insert_with(|| {
            (event == "start" && seq == 1 && is_nonce(nonce)).then(|| nonce.to_owned())
        });
        let is_ours = match first {
            _ if !self.known.is_empty() => self.known.contains(nonce),
            Some(first) => first == nonce,
            None => return Origin::Unproven,
        };
        if is_ours { Origin::Remit } else { Origin::Other }
    }

    /// The nonce of the start event that the log begins with.
    pub fn first(&self) -> Option<&str> {
        self.first.as_ref()?.as_deref()
    }
}

/// Whether this has a nonce's form: 32 lower-case hex digits.
pub fn is_nonce(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
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

    #[test]
    fn a_log_is_proven_by_the_start_that_it_begins_with() {
        let [ours, other] = ["0123456789abcdef0123456789abcdef", "f".repeat(32).as_str()].map(str::to_owned);
        let mut proven = Provenance::default();
        assert_eq!(proven.origin("start", 1, &ours), Origin::Remit);
        assert_eq!(proven.origin("violation", 2, &ours), Origin::Remit);
        assert_eq!(proven.origin("start", 1, &other), Origin::Other, "the app, or another start");
        assert_eq!(proven.origin("violation", 3, ""), Origin::Other);
        for (event, seq, nonce) in
            [("violation", 1, &*ours), ("start", 2, &*ours), ("start", 1, ""), ("start", 1, "short")]
        {
            let mut unproven = Provenance::default();
            assert_eq!(unproven.origin(event, seq, nonce), Origin::Unproven);
            assert_eq!(unproven.origin("start", 1, &ours), Origin::Unproven, "it is too late");
        }
        let mut known = Provenance::of(std::slice::from_ref(&other));
        assert_eq!(known.origin("start", 1, &ours), Origin::Other);
        assert_eq!(known.origin("violation", 7, &other), Origin::Remit);
    }
}
