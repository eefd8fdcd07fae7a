//! The events of the container: each after the start event, and the stop event last.

use std::time::Duration;

use super::EventLoop;
use crate::event::{Event, EventWriter, StartEvent, Status, StopEvent};
use crate::init::state::StopCause;
use crate::sys::signal;

impl EventLoop {
    pub(super) fn begin(&mut self, writer: &EventWriter, start: StartEvent) {
        writer.begin(start);
        self.early.drain(..).for_each(|event| writer.record(event));
    }

    /// Records an event, after the start event if that was not written yet. A launch that fails
    /// has no events.
    pub(super) fn record(&mut self, event: Event) {
        let Some(writer) = &self.writer else { return };
        if self.supervision.is_some() {
            self.early.push(event);
        } else {
            writer.record(event);
        }
    }

    /// Records the stop event, and waits up to two seconds until events and diagnostics are written,
    /// and longer for a journal.
    pub(super) fn finish(&mut self) {
        const TIMEOUT: Duration = Duration::from_secs(2);
        // Without its last line a run is worth nothing, and that has the packages of what was used: on a
        // busy machine their database is read in seconds.
        const JOURNAL: Duration = Duration::from_secs(6);
        let Some(writer) = &self.writer else { return };
        if let Some(journal) = &self.journal {
            let stop_signal = match self.state.why() {
                StopCause::Signal(signal) => Some(signal),
                StopCause::Ended | StopCause::Violation => None,
            };
            let exit = self.app_end.unwrap_or(Status::Code(0));
            let remapped = self.options.rules.remap.iter().map(|code| i32::from(*code));
            journal.end(exit, stop_signal, &remapped.collect::<Vec<_>>(), JOURNAL);
        }
        let why = match self.state.why() {
            StopCause::Ended => "the app ended".into(),
            StopCause::Signal(signal) => format!("signal {}", signal::name(signal)).into(),
            StopCause::Violation => "a violation, and on_violation is stop".into(),
        };
        let abnormal = self.state.why() == StopCause::Violation || self.killed > 0;
        let exit = self.app_end.unwrap_or(Status::Code(0));
        let ended = u64::from(self.state.ended);
        if abnormal {
            crate::event::termination(&format!("remit-init: {why}; {} killed", self.killed));
        }
        writer.record(Event::Stop(StopEvent { exit, ended, killed: self.killed, why, abnormal }));
        if let Err(unwritten) = writer.close(TIMEOUT) {
            tracing::warn!("{unwritten}; check the destination of --events or REMIT_EVENTS");
        }
        // Where stderr fails, the termination log may work.
        if let Err(unwritten) = crate::event::log::close(TIMEOUT) {
            crate::event::termination(&format!("remit-init: {unwritten}"));
        }
    }
}
