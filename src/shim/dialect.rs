//! The init that the shim behaves as: whose options it takes, and whose messages it writes.

use std::ffi::OsStr;
use std::path::Path;

/// The init that the shim behaves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// remit-init itself.
    Remit,
    /// tini, and Docker's docker-init, which is tini.
    Tini,
    /// dumb-init.
    DumbInit,
}

impl Dialect {
    /// The init of this `argv[0]`; remit-init for every other name.
    pub fn of(called_as: &OsStr) -> Dialect {
        match Path::new(called_as).file_name().and_then(OsStr::to_str) {
            Some("tini" | "tini-static" | "docker-init") => Dialect::Tini,
            Some("dumb-init") => Dialect::DumbInit,
            _ => Dialect::Remit,
        }
    }

    /// The init of this name, as `--as` takes it.
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
    fn the_dialect_follows_from_the_name() {
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
