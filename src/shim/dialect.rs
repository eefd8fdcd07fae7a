//! Which init the shim stands in for, whose options it takes and whose words it speaks.

use std::ffi::OsStr;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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
