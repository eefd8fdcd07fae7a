//! Directories of data below directories of programs: `/usr/local/apache2/logs`, `/opt/kafka/data`.
//!
//! Landlock has no rule there, and none is made at the start, since nothing is walked. A directory
//! is looked at when a process first wants to change something in it, and is data where it has no
//! program, library or script. A file counts by what it is, not by its times: root could change
//! those of a module, and then the module. The supervisor performs what is done in a directory of
//! data. Nothing that was made there is ever a program, since it did not come with the image; so
//! the rule is in force only where times show that, and execs are verified. When in doubt a
//! directory is not treated as data, and changes in it are refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::PolicyEngine;
use crate::image::{FileKind, is_beneath};
use crate::plan::belongs_to_code;

/// What a directory has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// Its name.
    pub name: Vec<u8>,
    /// Its type; `None` for a symbolic link.
    pub kind: Option<FileKind>,
    /// The permission bits.
    pub mode: u32,
    /// Its first bytes, of a regular file.
    pub start: [u8; 4],
}

/// Endings of names by which loaders and interpreters find code.
const CODE: [&str; 53] = [
    "a", "awk", "beam", "boot", "cmake", "control", "erl", "ex", "gradle", "lisp", "m", "m4", "ps1", "r",
    "scm", "service", "sql", "ts", "vim", "xsl", "bat", "bash", "cjs", "class", "dll", "egg", "el", "elc",
    "exe", "fish", "go", "jar", "jmod", "js", "ko", "lua", "mjs", "node", "php", "phar", "pl", "pm", "pth",
    "py", "pyc", "pyd", "rb", "sh", "so", "tcl", "wasm", "whl", "zsh",
];

/// The ending that servers write as their cache, and that nothing finds without a path to it.
const COMPILED: &str = "class";

/// Whether loaders or interpreters find code by this name: `libz.so.1`, `site.py`.
fn names_code(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    let endings = lower.split(|byte| *byte == b'.').skip(1);
    let is_code = |ending: &[u8]| CODE.iter().any(|code| code.as_bytes() == ending);
    let is_version = |ending: &[u8]| !ending.is_empty() && ending.iter().all(u8::is_ascii_digit);
    // `libz.so.1.2` ends with a version.
    let last = endings.filter(|ending| !is_version(ending)).last();
    last.is_some_and(is_code)
}

/// Whether a directory that belongs to root may be data by its name. What lies below /usr, but for
/// /usr/local, is the distribution's, whose programs find code under many names: there only names
/// that say so are data's.
pub fn is_named_for_data(directory: &Path) -> bool {
    const NAMES: [&str; 20] = [
        "backup",
        "backups",
        "cache",
        "data",
        "db",
        "log",
        "logs",
        "pid",
        "run",
        "sessions",
        "snapshots",
        "spool",
        "state",
        "storage",
        "store",
        "temp",
        "tmp",
        "uploads",
        "var",
        "work",
    ];
    let shared = ["/usr/local/share", "/usr/share"].iter().any(|shared| directory.starts_with(shared));
    let of_the_system = shared || (directory.starts_with("/usr") && !directory.starts_with("/usr/local"));
    let is_data = |name: &OsStr| NAMES.iter().any(|data| name == *data);
    // Below the name of the package.
    !of_the_system || directory.iter().skip(4).any(is_data)
}

/// Whether a symbolic link of this text may be made there: one that stays in its directory.
pub fn may_link(text: &[u8]) -> bool {
    !text.contains(&b'/') && text != b".."
}

/// Whether a process may make a new file of this name in a directory of data.
pub fn may_be_made(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !names_code(name) || name.to_ascii_lowercase().ends_with(format!(".{COMPILED}").as_bytes())
}

/// Whether a directory is data by what it has; `own` where it belongs to the caller's
/// user, who is not root: then scripts and modules in it are the app's own.
pub fn is_data(entries: &[ListedEntry], own: bool) -> bool {
    let is_code = |entry: &ListedEntry| match entry.kind {
        // A link leads programs elsewhere, and could be exchanged.
        None => true,
        Some(FileKind::Regular) => {
            entry.mode & 0o111 != 0
                || entry.start == *b"\x7fELF"
                || (!own && (entry.start.starts_with(b"#!") || names_code(&entry.name)))
        }
        Some(FileKind::Directory) => belongs_to_code(Path::new(OsStr::from_bytes(&entry.name))),
        Some(FileKind::Device | FileKind::Other) => false,
    };
    !entries.iter().any(is_code)
}

/// Whether a directory is one of the image's own top ones: `/usr`, `/usr/share`, or one app's whole,
/// such as `/opt/app`.
fn is_top(directory: &Path) -> bool {
    const SHARED: [&str; 5] = ["/usr", "/usr/local", "/usr/share", "/usr/local/share", "/opt"];
    let is_shared = |path: &Path| SHARED.iter().any(|shared| path == Path::new(shared));
    is_shared(directory) || directory.parent().is_none_or(is_shared)
}

impl PolicyEngine {
    /// Whether this directory may be data by its place: below a directory of programs, and not where
    /// programs, libraries and modules belong.
    pub fn may_be_data(&self, directory: &Path) -> bool {
        self.policy.looks_for_data
            && self.beneath(directory).any(|beneath| !beneath.from_image && directory != beneath.directory)
            && !is_top(directory)
            && !belongs_to_code(directory)
    }

    /// Whether a name there is one that no process inside may change or make, or leads to one: the
    /// next start would take it for a program, or for its profile.
    pub fn is_reserved(&self, canonical: &Path) -> bool {
        let mut names = self.policy.reserved.iter();
        names.any(|name| is_beneath(name, canonical) || is_beneath(canonical, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mode: u32, start: &[u8; 4]) -> ListedEntry {
        ListedEntry { name: name.into(), kind: Some(FileKind::Regular), mode, start: *start }
    }

    #[test]
    fn names_by_which_code_is_found() {
        for name in
            ["a.so", "liba.so.1", "liba.so.1.2.3", "x.PY", "x.cpython-311.pyc", "m.pm", "a.mjs", "b.jar"]
        {
            assert!(names_code(name.as_bytes()), "{name}");
        }
        for name in
            ["access.log", "access.log.1", "so", "py", "httpd.pid", "a.json", "data.db", "00000000.index"]
        {
            assert!(!names_code(name.as_bytes()), "{name}");
            assert!(may_be_made(OsStr::new(name)), "{name}");
        }
        assert!(may_be_made(OsStr::new("index_jsp.class")) && !may_be_made(OsStr::new("x.so.1")));
    }

    #[test]
    fn what_the_distribution_has_is_data_only_where_its_name_says_so() {
        for data in [
            "/usr/share/es/data",
            "/usr/share/es/logs/a",
            "/usr/src/app/uploads",
            "/opt/x/y",
            "/usr/local/x/y",
        ] {
            assert!(is_named_for_data(Path::new(data)), "{data}");
        }
        for other in
            ["/usr/share/zsh/functions", "/usr/share/data/x", "/usr/src/app/views", "/usr/local/share/x/y"]
        {
            assert!(!is_named_for_data(Path::new(other)), "{other}");
        }
        assert!(may_link(b"copy") && !may_link(b"/tmp/evil") && !may_link(b"../x") && !may_link(b".."));
    }

    #[test]
    fn a_directory_is_data_unless_it_has_code() {
        let readme = file("README", 0o644, b"This");
        assert!(is_data(&[], false) && is_data(std::slice::from_ref(&readme), false));
        let folder =
            |name: &str| ListedEntry { kind: Some(FileKind::Directory), ..file(name, 0o755, b"\0\0\0\0") };
        assert!(is_data(&[folder("conf")], false));
        let code = [
            file("tool", 0o755, b"\0\0\0\0"),
            file("tool", 0o644, b"\x7fELF"),
            folder("bin"),
            folder("lib64"),
            folder("site-packages"),
            ListedEntry { kind: None, ..file("current", 0o777, b"\0\0\0\0") },
        ];
        for entry in code {
            for own in [false, true] {
                assert!(!is_data(&[readme.clone(), entry.clone()], own), "{entry:?}");
            }
        }
        for entry in [file("x.py", 0o644, b"impo"), file("start", 0o644, b"#!/b")] {
            assert!(!is_data(std::slice::from_ref(&entry), false) && is_data(&[entry], true));
        }
    }

    #[test]
    fn the_top_of_a_tree_and_of_an_app_stays_closed() {
        for top in ["/usr", "/usr/share", "/usr/share/app", "/opt", "/opt/app", "/usr/local/app", "/"] {
            assert!(is_top(Path::new(top)), "{top}");
        }
        for below in ["/usr/share/app/data", "/opt/app/logs", "/usr/local/apache2/logs"] {
            assert!(!is_top(Path::new(below)), "{below}");
        }
    }
}
