//! What a conversion did not carry over, and its notes: a line each, on stderr.

use std::io::Write;

use crate::exchange::Omission;
use crate::visible;

/// Prints them. What stderr does not take is lost.
pub(super) fn print(omissions: &[Omission], notes: &[String]) {
    let mut err = std::io::stderr().lock();
    for omission in omissions {
        drop(writeln!(err, "remit: not carried over: {}", visible::line(&omission.to_string())));
    }
    for note in notes {
        drop(writeln!(err, "remit: note: {}", visible::line(note)));
    }
}
