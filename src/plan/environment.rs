//! Variables by which a process makes another run code: those of the loader and libc, which no
//! program gets from another, and those of each interpreter, which a script gets from the
//! container's environment alone.
//!
//! The tables are data: docs/environment.md prints them, and a test compares the two. A variable
//! belongs here when its manual says that it names code, a path from which code is read, or a
//! switch by which text is executed. One that only tunes, such as `MALLOC_ARENA_MAX` or
//! `PYTHONUNBUFFERED`, does not.

mod interpreters;
pub mod named;
mod options;
pub mod value;

pub use interpreters::{Family, INTERPRETERS};
use value::ValueKind::{self, *};

/// Variables by which a loader, libc or its helpers load code, read it from elsewhere,
/// switch their own guards off, or write files. ld.so(8); glibc's list for set-user-ID
/// programs, sysdeps/generic/unsecvars.h; musl's ldso/dynlink.c, which reads the two
/// common ones.
pub(super) const LOADER: [(&str, ValueKind); 12] = [
    ("GCONV_PATH", Paths(b':')),
    ("GETCONF_DIR", Paths(0)),
    ("GLIBC_TUNABLES", Options(options::VariableOptions::Tunables)),
    ("LD_AUDIT", Libraries(b':')),
    ("LD_DEBUG*", Opaque),
    ("LD_LIBRARY_PATH", LibraryFolders),
    ("LD_ORIGIN_PATH", Opaque),
    ("LD_PRELOAD", Libraries(b' ')),
    ("LD_PROFILE*", Opaque),
    ("LOCPATH", Paths(b':')),
    ("MALLOC_TRACE", Opaque),
    ("NLSPATH", Opaque),
];

/// What the value of a loader's variable is; `None` where the name is no such variable.
pub(super) fn of_loader(name: &[u8]) -> Option<ValueKind> {
    kind(&LOADER, name)
}

fn kind(table: &[(&str, ValueKind)], name: &[u8]) -> Option<ValueKind> {
    table.iter().find(|(pattern, _)| super::matches(&[pattern], name)).map(|(_, kind)| *kind)
}

/// The beginning of an exported function's text. A bash before 4.3 patch 27 defines a
/// function by a variable of any name whose value begins so (CVE-2014-6271).
const FUNCTION: &[u8] = b"() {";

/// What the value of a variable is that makes an interpreter run other code before its script or
/// instead of it, or changes how the script is read; `None` for any other variable.
///
/// The variables of all interpreters apply to every script: a shell script starts programs in
/// other languages, which inherit its environment.
pub(super) fn of_interpreters(name: &[u8], value: &[u8]) -> Option<ValueKind> {
    if value.starts_with(FUNCTION) {
        return Some(Opaque);
    }
    let first = usize::from(*name.first()?);
    kind(&NAMES[STARTS[first].into()..STARTS[first + 1].into()], name)
}

/// The names and patterns of all interpreters, by their first byte: each variable of each exec is
/// looked up.
static NAMES: [(&str, ValueKind); COUNT] = by_first_byte(names());

/// Where the names that begin with a byte start in [`NAMES`]; they end where the next byte's start.
static STARTS: [u16; 257] = starts(&NAMES);

const COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < INTERPRETERS.len() {
        count += INTERPRETERS[family].variables.len();
        family += 1;
    }
    count
};

/// Evaluated by the compiler: the shim has the names, and not their descriptions.
const fn names() -> [(&'static str, ValueKind); COUNT] {
    let mut names = [("", Opaque); COUNT];
    let (mut next, mut family) = (0, 0);
    while family < INTERPRETERS.len() {
        let variables = INTERPRETERS[family].variables;
        let mut index = 0;
        while index < variables.len() {
            let (name, kind, _) = variables[index];
            names[next] = (name, kind);
            next += 1;
            index += 1;
        }
        family += 1;
    }
    names
}

/// Sorts by the first byte; names with the same one stay in their order.
const fn by_first_byte(mut names: [(&'static str, ValueKind); COUNT]) -> [(&'static str, ValueKind); COUNT] {
    let mut sorted = 1;
    while sorted < COUNT {
        let mut at = sorted;
        while at > 0 && first_byte(names[at].0) < first_byte(names[at - 1].0) {
            names.swap(at, at - 1);
            at -= 1;
        }
        sorted += 1;
    }
    names
}

const fn starts(names: &[(&str, ValueKind); COUNT]) -> [u16; 257] {
    let mut starts = [0; 257];
    let (mut byte, mut next) = (0, 0);
    while byte < 256 {
        while next < COUNT && (first_byte(names[next].0) as usize) < byte {
            next += 1;
        }
        starts[byte] = next as u16;
        byte += 1;
    }
    starts[256] = COUNT as u16;
    starts
}

const fn first_byte(name: &str) -> u8 {
    name.as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// What docs/environment.md calls a kind.
    fn word(kind: &ValueKind) -> &'static str {
        match kind {
            Opaque => "–",
            Libraries(_) => "libraries",
            LibraryFolders => "folders of libraries",
            Paths(0) => "a path",
            Paths(_) | PathsOrDefault | ClassPath | Templates => "paths",
            Script => "a path",
            Words => "words",
            Options(_) => "options",
        }
    }

    /// The tables of docs/environment.md.
    fn table() -> [String; 2] {
        let mut loader = String::from("| variable | value |\n|---|---|\n");
        for (name, kind) in &LOADER {
            let _ = writeln!(loader, "| `{name}` | {} |", word(kind));
        }
        let mut text = String::from("| variable | of | value | what it does |\n|---|---|---|---|\n");
        for family in INTERPRETERS {
            for (name, kind, does) in family.variables {
                let _ = writeln!(text, "| `{name}` | {} | {} | {does} |", family.interpreter, word(kind));
            }
        }
        text.push_str("\n| interpreter | source |\n|---|---|\n");
        for family in INTERPRETERS {
            let _ = writeln!(text, "| {} | {} |", family.interpreter, family.source);
        }
        [loader, text]
    }

    #[test]
    fn the_documentation_has_these_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/environment.md");
        let docs = std::fs::read_to_string(path).expect("docs/environment.md");
        for table in table() {
            assert!(docs.contains(&table), "docs/environment.md is to have:\n{table}");
        }
    }

    #[test]
    fn each_family_is_sorted_and_says_where_from() {
        for family in INTERPRETERS {
            assert!(family.variables.is_sorted_by_key(|(name, ..)| *name), "{}", family.interpreter);
            assert!(!family.source.is_empty() && !family.variables.is_empty(), "{}", family.interpreter);
            for (name, _, does) in family.variables {
                let stars = name.matches('*').count();
                assert!(stars == 0 || (stars == 1 && name.ends_with('*')), "{name}");
                assert!(!does.is_empty() && *name != "*", "{name}");
            }
        }
    }

    #[test]
    fn every_name_is_found_by_its_first_byte() {
        for (pattern, expected) in names() {
            let name = pattern.replace('*', "x");
            let found = of_interpreters(name.as_bytes(), b"value");
            assert!(found.is_some(), "{name}");
            assert_eq!(kind(&names(), name.as_bytes()), found, "{name}: {expected:?}");
        }
        for other in ["", "=", "\u{ff}", "ZZZ", "HOME"] {
            assert_eq!(of_interpreters(other.as_bytes(), b"value"), None, "{other:?}");
        }
    }

    /// One name may be a variable of two interpreters, and be matched by two patterns.
    #[test]
    fn a_variable_is_checked_in_one_way() {
        for (name, kind) in NAMES {
            let name = name.trim_end_matches('*');
            for (pattern, other) in
                NAMES.iter().filter(|(pattern, _)| crate::plan::matches(&[pattern], name.as_bytes()))
            {
                assert_eq!(*other, kind, "{name} and {pattern}");
            }
        }
    }

    #[test]
    fn a_variable_is_known_by_its_name_and_a_function_by_its_value() {
        for name in
            ["BASH_ENV", "BASH_FUNC_ls%%", "MAKEFLAGS", ".SHELLFLAGS", "LUA_INIT_5_4", "ERL_OTP27_FLAGS"]
        {
            assert!(of_interpreters(name.as_bytes(), b"x").is_some(), "{name}");
        }
        for name in
            ["PATH", "HOME", "MAKELEVEL", "PYTHONUNBUFFERED", "XBASH_ENV", "BASH_ENVX", "LUA", "MIX_ENV"]
        {
            assert_eq!(of_interpreters(name.as_bytes(), b"x"), None, "{name}");
        }
        assert_eq!(of_interpreters(b"anything", b"() { :; }; evil"), Some(Opaque));
        assert_eq!(of_interpreters(b"anything", b"() x"), None);
    }
}
