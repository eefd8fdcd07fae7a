//! What a program's name says about it: shells, interpreters, package managers.

use std::path::Path;

use super::requirements::ProgramClass;
use crate::profile::Program;

/// Shells, and what runs any command that it is given.
const SHELLS: &[&str] = &[
    "ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "ksh", "ksh93", "mksh", "nu", "oksh", "pwsh",
    "rbash", "rc", "sash", "sh", "tcsh", "toybox", "xonsh", "yash", "zsh",
];

/// Interpreters of scripts.
const INTERPRETERS: &[&str] = &[
    "awk", "bun", "clisp", "deno", "elixir", "emacs", "erl", "escript", "expect", "gawk", "gdb", "ghci", "groovy",
    "guile", "iex", "irb", "java", "jjs", "jrunscript", "jshell", "julia", "lua", "luajit", "mawk", "nawk",
    "node", "nodejs", "ocaml", "octave", "original-awk", "osascript", "perl", "php", "php-cgi", "pypy", "python",
    "qjs", "racket", "ruby", "Rscript", "R", "sbcl", "scala", "swipl", "tclsh", "wish", "wasmtime",
];

/// Package managers, of distributions and of languages.
const PACKAGE_MANAGERS: &[&str] = &[
    "apk", "apt", "apt-get", "aptitude", "brew", "bundle", "cargo", "composer", "conda", "corepack", "cpan",
    "cpanm", "dnf", "dpkg", "easy_install", "emerge", "flatpak", "gem", "guix", "mamba", "microdnf", "nix",
    "nix-env", "npm", "npx", "opkg", "pacman", "pear", "pecl", "pip", "pipx", "pnpm", "poetry", "rpm", "snap",
    "swupd", "tdnf", "urpmi", "uv", "xbps-install", "yarn", "yum", "zypper",
];

/// The class of a program of this name, with or without a version: `python3.11`, `pip3`, `php8`.
pub fn class_of_name(name: &str) -> Option<ProgramClass> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let is_in = |list: &[&str]| list.contains(&name) || (!stem.is_empty() && list.contains(&stem));
    if is_in(SHELLS) {
        Some(ProgramClass::Shell)
    } else if is_in(INTERPRETERS) {
        Some(ProgramClass::Interpreter)
    } else if is_in(PACKAGE_MANAGERS) {
        Some(ProgramClass::PackageManager)
    } else {
        None
    }
}

/// The class of an entry: by its applet, where it has one, and otherwise by the name of its file.
/// A directory of programs has none.
pub fn class_of(program: &Program) -> Option<ProgramClass> {
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
            ("sh", Some(ProgramClass::Shell)),
            ("bash", Some(ProgramClass::Shell)),
            ("bash5", Some(ProgramClass::Shell)),
            ("ksh93", Some(ProgramClass::Shell)),
            ("python3.11", Some(ProgramClass::Interpreter)),
            ("node", Some(ProgramClass::Interpreter)),
            ("perl5.36.0", Some(ProgramClass::Interpreter)),
            ("pip3", Some(ProgramClass::PackageManager)),
            ("apt-get", Some(ProgramClass::PackageManager)),
            ("nginx", None),
            ("shadow", None),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(class_of_name(name), class, "{name}");
        }
    }
}
