//! Reads the values of options.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::CommandLine;
use super::error::{LONGEST_LABEL, UsageError, ValueFault};
use crate::profile::{self, Mode};
use crate::shim::dialect::Dialect;
use crate::sys;

fn wrong(option: &'static str, fault: ValueFault) -> UsageError {
    UsageError::Value { option, fault }
}

pub(super) fn doctor(format: Option<OsString>) -> Result<CommandLine, UsageError> {
    match format.as_deref().map(OsStr::to_string_lossy).as_deref() {
        None | Some("text") => Ok(CommandLine::Doctor { json: false }),
        Some("json") => Ok(CommandLine::Doctor { json: true }),
        Some(other) => Err(wrong("--doctor", ValueFault::Format(other.to_owned()))),
    }
}

pub(super) fn mode(option: &'static str, text: &OsStr) -> Result<Mode, UsageError> {
    match text.to_string_lossy().as_ref() {
        "enforce" => Ok(Mode::Enforce),
        "audit" => Ok(Mode::Audit),
        "learn" => Ok(Mode::Learn),
        "off" => Ok(Mode::Off),
        other => Err(wrong(option, ValueFault::Mode(other.to_owned()))),
    }
}

/// Reads the name of a workload, by which runs are grouped and which is printed.
pub(super) fn label(option: &'static str, text: &OsStr) -> Result<String, UsageError> {
    let good = |text: &&str| {
        !text.is_empty()
            && text.len() <= LONGEST_LABEL
            && !text.contains(|c: char| c.is_control() || c == ',')
    };
    let label = text.to_str().filter(good).map(str::to_owned);
    label.ok_or_else(|| wrong(option, ValueFault::Label(text.to_string_lossy().into_owned())))
}

pub(super) fn switch(option: &'static str, text: &OsStr) -> Result<bool, UsageError> {
    match text.to_string_lossy().as_ref() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(wrong(option, ValueFault::Switch(other.to_owned()))),
    }
}

pub(super) fn duration(option: &'static str, text: &OsStr) -> Result<Duration, UsageError> {
    profile::duration(&text.to_string_lossy()).map_err(|why| wrong(option, ValueFault::Duration(why)))
}

/// Reads the number of a descriptor above the standard ones.
pub(super) fn descriptor(option: &'static str, text: &OsStr) -> Result<i32, UsageError> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 2);
    number.ok_or_else(|| wrong(option, ValueFault::Descriptor(text.to_string_lossy().into_owned())))
}

/// Reads the path of a PID file. The init leaves its working directory, so it is absolute.
pub(super) fn pid_file(option: &'static str, text: OsString) -> Result<PathBuf, UsageError> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(wrong(option, ValueFault::PidFile(path))) }
}

pub(super) fn signal(option: &'static str, text: &OsStr) -> Result<i32, UsageError> {
    let text = text.to_string_lossy();
    sys::signal::parse(&text).ok_or_else(|| wrong(option, no_signal(&text)))
}

fn no_signal(text: &str) -> ValueFault {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let names: Vec<String> = sys::signal::names().collect();
    let nearest = profile::nearest(short, names.iter().map(String::as_str)).map(str::to_owned);
    ValueFault::Signal { text: text.to_owned(), nearest }
}

/// Reads `S:R`. As dumb-init, a number above 31 is refused with dumb-init's message.
pub(super) fn rewrite(text: &OsStr, dialect: Dialect) -> Result<(i32, i32), UsageError> {
    let text = text.to_string_lossy();
    let pair = text.split_once(':');
    let (from, to) = pair.ok_or_else(|| wrong("-r", ValueFault::Rewrite(text.clone().into_owned())))?;
    let known = |name: &str| {
        let signal = sys::signal::parse(name).ok_or_else(|| wrong("-r", no_signal(name)))?;
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        if number && signal > 31 && dialect == Dialect::DumbInit {
            return Err(wrong("-r", ValueFault::Above31(signal)));
        }
        Ok(signal)
    };
    Ok((known(from)?, if to == "0" { 0 } else { known(to)? }))
}

pub(super) fn code(text: &OsStr) -> Result<u8, UsageError> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| wrong("-e", ValueFault::Code(text.into_owned())))
}

/// TINI_VERBOSITY; tini itself takes what is no number for 0 (atoi(3)).
pub(super) fn verbosity(dialect: Dialect, text: &OsStr) -> Result<usize, UsageError> {
    let text = text.to_string_lossy();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.parse() {
        Ok(level) => Ok(level),
        Err(_) if dialect == Dialect::Tini => Ok(text[..digits].parse().unwrap_or(0)),
        Err(_) => Err(wrong("TINI_VERBOSITY", ValueFault::Verbosity(text.into_owned()))),
    }
}
