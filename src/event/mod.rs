//! Events: a closed vocabulary of typed values, one JSON object a line.
//!
//! [`model`] and [`names`] are the vocabulary and [`mod@hint`] the change of the
//! profile that would have allowed what was refused; both are pure. [`EventWriter`]
//! redacts ([`redact`]), limits floods ([`flood`]) and writes to a [`sink`] that may be
//! slow, full or dead. [`log`] is for diagnostics, [`termination()`] for Kubernetes.

#![forbid(unsafe_code)]

mod error;
pub mod flood;
pub mod hint;
#[cfg(feature = "tool")]
pub mod lines;
pub mod log;
pub mod model;
#[cfg(feature = "tool")]
pub mod moment;
pub mod names;
#[cfg(feature = "tool")]
pub mod newer;
mod queue;
#[cfg(feature = "tool")]
pub mod record;
pub mod redact;
pub mod sink;
pub mod stream;
mod termination;
pub mod time;
pub mod writer;

pub use error::{LogError, SettingError, SinkError};
pub use hint::{RefusedUse, Want, hint};
pub use model::*;
pub use names::{
    ActionTaken, Errno, ErrnoName, LayerName, LayerReportState, ModeSource, SignalName, ViolationKind,
};
pub use redact::Redaction;
pub use sink::{Destination, Level, Sink};
pub use termination::termination;
pub use writer::{Beginning, EventWriter, Unwritten};
