//! What a program's name says about it: shells, interpreters, package managers.

use std::path::Path;

use super::requirements::ReasonClass;
use crate::profile::Program;
use crate::review::known::{KnownProgram, known};

/// The class of a program of this name, with or without a version: `python3.11`, `pip3`, `php8`.
pub fn class_of_name(name: &str) -> Option<ReasonClass> {
    match known(Path::new(name), None)? {
        KnownProgram::Shell | KnownProgram::MultiCall => Some(ReasonClass::Shell),
        KnownProgram::Interpreter => Some(ReasonClass::Interpreter),
        KnownProgram::PackageManager => Some(ReasonClass::PackageManager),
        _ => None,
    }
}

/// The class of an entry: by its applet, where it has one, and otherwise by the name of its file.
/// A directory of programs has none.
pub fn class_of(program: &Program) -> Option<ReasonClass> {
    match (&program.applet, &program.place) {
        (Some(applet), _) => class_of_name(applet),
        (None, crate::profile::ProgramPlace::Path(path)) => class_of_name(file_name(path)),
        (None, crate::profile::ProgramPlace::Beneath(_)) => None,
    }
}

/// The last part of a path; empty where it is not UTF-8.
pub fn file_name(path: &Path) -> &str {
    path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()
}

/// The name of an entry in sentences: its path, and the applet.
pub fn name_of(program: &Program) -> String {
    let applet = program.applet.as_ref().map(|applet| format!(" {applet}")).unwrap_or_default();
    format!("{}{applet}", program.place.path().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_applets_do_not_hide_a_class() {
        for (name, class) in [
            ("sh", Some(ReasonClass::Shell)),
            ("bash", Some(ReasonClass::Shell)),
            ("bash5", Some(ReasonClass::Shell)),
            ("busybox", Some(ReasonClass::Shell)),
            ("python3.11", Some(ReasonClass::Interpreter)),
            ("node", Some(ReasonClass::Interpreter)),
            ("perl5.36.0", Some(ReasonClass::Interpreter)),
            ("pip3", Some(ReasonClass::PackageManager)),
            ("apt-get", Some(ReasonClass::PackageManager)),
            ("nginx", None),
            ("shadow", None),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(class_of_name(name), class, "{name}");
        }
    }
}
