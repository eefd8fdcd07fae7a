//! Events read back from a log that the app may write to as well, such as the stderr that
//! it shares with remit.
//!
//! Each start draws a nonce, which all its events carry. Where the first event of a log is
//! the start event, it was written before the app ran, and lines with its nonce are remit's:
//! the app cannot read the nonce from the supervisor, only from the log. A log that begins
//! otherwise proves nothing, since the app may have written its beginning.

use std::collections::BTreeSet;

#[cfg(feature = "tool")]
pub use super::lines::BoundedLines;

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
