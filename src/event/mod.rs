//! Events: a closed vocabulary of typed values, one JSON object a line.
//!
//! [`model`] and [`names`] are the vocabulary and [`mod@hint`] the change of the
//! profile that would have allowed what was refused; both are pure. [`Scribe`]
//! redacts ([`redact`]), holds floods back ([`ledger`]) and writes to a [`sink`]
//! that may be slow, full or dead. [`log`] is for diagnostics, [`termination()`]
//! for Kubernetes.

#![forbid(unsafe_code)]

mod error;
pub mod hint;
pub mod ledger;
pub mod log;
pub mod model;
pub mod names;
mod queue;
pub mod redact;
pub mod scribe;
pub mod sink;
pub mod stream;
mod termination;
pub mod time;

pub use error::{LogError, SettingError, SinkError};
pub use hint::{Want, hint};
pub use model::*;
pub use names::{Action, Errno, ErrnoName, Kind, LayerName, LayerState, SignalName, Source};
pub use redact::Redaction;
pub use scribe::{Beginning, Scribe, Unwritten};
pub use sink::{Destination, Level, Sink};
pub use termination::termination;
