//! What the values of options are read as.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::Asked;
use crate::profile::{self, Mode};
use crate::shim::refusal::{Dialect, Refused};
use crate::sys;

pub(super) fn doctor(format: Option<OsString>) -> Result<Asked, Refused> {
    match format.as_deref().map(OsStr::to_string_lossy).as_deref() {
        None | Some("text") => Ok(Asked::Doctor { json: false }),
        Some("json") => Ok(Asked::Doctor { json: true }),
        Some(other) => {
            Err(Refused::Usage(format!("--doctor: `{other}` is no format; expected text or json")))
        }
    }
}

pub(super) fn mode(who: &str, text: &OsStr) -> Result<Mode, String> {
    match text.to_string_lossy().as_ref() {
        "enforce" => Ok(Mode::Enforce),
        "audit" => Ok(Mode::Audit),
        "learn" => Ok(Mode::Learn),
        "off" => Ok(Mode::Off),
        other => Err(format!("{who}: `{other}` is no mode; expected enforce, audit, learn or off")),
    }
}

/// A name for a workload, which is grouped by and printed.
pub(super) fn label(who: &str, text: &OsStr) -> Result<String, String> {
    const LONGEST: usize = 64;
    let shown = text.to_string_lossy();
    let good = |text: &&str| {
        !text.is_empty() && text.len() <= LONGEST && !text.contains(|c: char| c.is_control() || c == ',')
    };
    text.to_str().filter(good).map(str::to_owned).ok_or_else(|| {
        format!("{who}: `{}` is no label; expected a word of at most {LONGEST} bytes without a comma, such as backup", shown.escape_debug())
    })
}

pub(super) fn switch(who: &str, text: &OsStr) -> Result<bool, String> {
    match text.to_string_lossy().as_ref() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(format!("{who}: `{other}` is no switch; expected 1 or 0")),
    }
}

pub(super) fn duration(flag: &str, text: &OsStr) -> Result<Duration, Refused> {
    profile::duration(&text.to_string_lossy()).map_err(|error| Refused::Usage(format!("{flag}: {error}")))
}

pub(super) fn signal(flag: &str, text: &OsStr) -> Result<i32, String> {
    let text = text.to_string_lossy();
    sys::signal::parse(&text).ok_or_else(|| format!("{flag}: {}", no_signal(&text)))
}

fn no_signal(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let names: Vec<String> = sys::signal::names().collect();
    let nearest = profile::nearest(short, names.iter().map(String::as_str));
    let meant = nearest.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    format!("`{text}` is no signal; {meant}expected a name such as TERM or RTMIN+3, or a number 1 to 64")
}

/// `S:R`. Of dumb-init's numbers none is above 31, as its own users are told.
pub(super) fn rewrite(text: &OsStr, dialect: Dialect) -> Result<(i32, i32), String> {
    let text = text.to_string_lossy();
    let (from, to) = text.split_once(':').ok_or_else(|| {
        format!(
            "-r: `{text}` is no rewriting; expected SIGNAL:SIGNAL, such as TERM:QUIT or 15:3, or SIGNAL:0"
        )
    })?;
    let known = |name: &str| {
        let signal = sys::signal::parse(name).ok_or_else(|| format!("-r: {}", no_signal(name)))?;
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        if number && signal > 31 && dialect == Dialect::DumbInit {
            return Err(format!("-r: {signal} is above 31"));
        }
        Ok(signal)
    };
    Ok((known(from)?, if to == "0" { 0 } else { known(to)? }))
}

pub(super) fn code(text: &OsStr) -> Result<u8, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| format!("-e: `{text}` is no exit code; expected a number 0 to 255"))
}

/// TINI_VERBOSITY; tini itself takes what is no number for 0 (atoi(3)).
pub(super) fn verbosity(dialect: Dialect, text: &OsStr) -> Result<usize, Refused> {
    let text = text.to_string_lossy();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.parse() {
        Ok(level) => Ok(level),
        Err(_) if dialect == Dialect::Tini => Ok(text[..digits].parse().unwrap_or(0)),
        Err(_) => Err(Refused::Usage(format!("TINI_VERBOSITY: `{text}` is no level; expected 0 to 3"))),
    }
}
