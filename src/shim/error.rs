//! Why the app was not run, told as whoever the shim stands in for tells it.

use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;

use super::command::CommandError;
use crate::{sys, visible};

/// Whom the shim stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Nobody: it is itself.
    Remit,
    /// tini, and Docker's docker-init, which is tini.
    Tini,
    /// dumb-init.
    DumbInit,
}

impl Dialect {
    /// By the name that it is called by.
    pub fn of(called_as: &OsStr) -> Dialect {
        match Path::new(called_as).file_name().and_then(OsStr::to_str) {
            Some("tini" | "tini-static" | "docker-init") => Dialect::Tini,
            Some("dumb-init") => Dialect::DumbInit,
            _ => Dialect::Remit,
        }
    }

    /// By its own name, as `--as` takes it.
    pub fn named(name: &str) -> Option<Dialect> {
        match name {
            "remit-init" => Some(Dialect::Remit),
            "tini" => Some(Dialect::Tini),
            "dumb-init" => Some(Dialect::DumbInit),
            _ => None,
        }
    }
}

/// Why the app was not run.
#[derive(Debug)]
pub enum Refused {
    /// The command line is wrong.
    Usage(String),
    /// The command line is wrong, and this is the whole text that says so.
    Verbatim(String),
    /// The shim or the profile failed.
    Failed(String),
    /// COMMAND cannot be executed; the name that it was given.
    Command(String, CommandError),
}

impl From<String> for Refused {
    fn from(text: String) -> Refused {
        Refused::Failed(text)
    }
}

/// The shim or the profile failed.
const FAILED: u8 = 125;
/// COMMAND cannot be executed, or is not allowed.
const NOT_EXECUTABLE: u8 = 126;
/// COMMAND is not there.
const NOT_FOUND: u8 = 127;

impl Refused {
    /// COMMAND is there and may not be executed.
    pub fn not_allowed(name: String, text: String) -> Refused {
        Refused::Command(name, CommandError { errno: Errno::EACCES, text, file: None, unknown: false })
    }

    /// The exit code, and the text for stderr.
    pub fn told(&self, by: Dialect) -> (u8, String) {
        let code = match (self, by) {
            (Refused::Usage(_) | Refused::Verbatim(_), Dialect::Tini | Dialect::DumbInit) => 1,
            (Refused::Usage(_) | Refused::Verbatim(_) | Refused::Failed(_), _) => FAILED,
            (Refused::Command(..), Dialect::DumbInit) => 2,
            (Refused::Command(_, CommandError { errno: Errno::ENOENT, file: None, .. }), _)
            | (Refused::Command(_, CommandError { errno: Errno::ENOENT, .. }), Dialect::Tini) => NOT_FOUND,
            (Refused::Command(..), _) => NOT_EXECUTABLE,
        };
        let text = match (self, by) {
            (Refused::Verbatim(text), _) => return (code, visible::lines(text).into_owned()),
            (Refused::Command(name, error), Dialect::Tini) => {
                format!("exec {name} failed: {}{}", sys::strerror(error.errno), detail(error))
            }
            (Refused::Command(name, error), Dialect::DumbInit) => {
                format!("{name}: {}{}", sys::strerror(error.errno), detail(error))
            }
            (Refused::Usage(text) | Refused::Failed(text), _) => text.clone(),
            (Refused::Command(_, error), Dialect::Remit) => error.text.clone(),
        };
        // One line for a terminal, whatever a path in it holds.
        let line = visible::line(&text);
        let from = match by {
            Dialect::Remit => "remit-init:".to_owned(),
            Dialect::Tini => format!("[FATAL tini ({})]", std::process::id()),
            Dialect::DumbInit => "[dumb-init]".to_owned(),
        };
        (code, format!("{from} {line}\n"))
    }
}

/// What the errno alone does not tell: which file is missing, or what to do.
fn detail(error: &CommandError) -> String {
    if error.errno == Errno::ENOENT && error.file.is_none() {
        return String::new();
    }
    format!(" ({})", error.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_codes_and_words() {
        let missing = |file: Option<&str>| {
            let text = "/x: its #! interpreter /bin/bash is not there".to_owned();
            let file = file.map(Into::into);
            let error = CommandError { errno: Errno::ENOENT, text, file, unknown: false };
            Refused::Command("x".to_owned(), error)
        };
        let pid = std::process::id();
        assert_eq!(
            missing(None).told(Dialect::Tini),
            (127, format!("[FATAL tini ({pid})] exec x failed: No such file or directory\n"))
        );
        let (code, text) = missing(Some("/x")).told(Dialect::DumbInit);
        assert_eq!(code, 2);
        assert_eq!(
            text,
            "[dumb-init] x: No such file or directory (/x: its #! interpreter /bin/bash is not there)\n"
        );
        assert_eq!(missing(Some("/x")).told(Dialect::Tini).0, 127, "as execve(2) has it");
        assert_eq!(missing(Some("/x")).told(Dialect::Remit).0, 126, "it was found");
        assert_eq!(missing(None).told(Dialect::Remit).0, 127);
        assert_eq!(
            Refused::Usage("a\nb".to_owned()).told(Dialect::Remit),
            (125, "remit-init: a\\nb\n".to_owned())
        );
        assert_eq!(Refused::Usage(String::new()).told(Dialect::DumbInit).0, 1);
        assert_eq!(Refused::Failed(String::new()).told(Dialect::Tini).0, 125, "no app was tried");
    }

    #[test]
    fn a_name_tells_whom_it_stands_in_for() {
        for (name, dialect) in [
            ("/sbin/docker-init", Dialect::Tini),
            ("tini", Dialect::Tini),
            ("/usr/bin/dumb-init", Dialect::DumbInit),
            ("remit-init", Dialect::Remit),
            ("", Dialect::Remit),
        ] {
            assert_eq!(Dialect::of(OsStr::new(name)), dialect, "{name}");
        }
    }
}
