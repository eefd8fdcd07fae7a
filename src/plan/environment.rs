//! Variables by which a process makes another run code: those of the loader and libc, which no
//! program gets from another, and those of each interpreter, which a script gets from the
//! container's environment alone.
//!
//! The tables are data: docs/environment.md prints them, and a test compares the two. A variable
//! belongs here when its manual says that it names code, a path from which code is read, or a
//! switch by which text is executed. One that only tunes, such as `MALLOC_ARENA_MAX` or
//! `PYTHONUNBUFFERED`, does not.

mod interpreters;

pub use interpreters::{Family, INTERPRETERS};

/// Variables by which a loader, libc or its helpers load code, read it from elsewhere,
/// switch their own guards off, or write files. ld.so(8); glibc's list for set-user-ID
/// programs, sysdeps/generic/unsecvars.h; musl's ldso/dynlink.c, which reads the two
/// common ones.
pub(super) const LOADER: [&str; 12] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "LD_AUDIT",
    "LD_DEBUG*",
    "LD_LIBRARY_PATH",
    "LD_ORIGIN_PATH",
    "LD_PRELOAD",
    "LD_PROFILE*",
    "LOCPATH",
    "MALLOC_TRACE",
    "NLSPATH",
];

/// The beginning of an exported function's text. A bash before 4.3 patch 27 defines a
/// function by a variable of any name whose value begins so (CVE-2014-6271).
const FUNCTION: &[u8] = b"() {";

/// Whether a variable makes an interpreter run other code before its script or instead of it, or
/// changes how the script is read.
///
/// The variables of all interpreters apply to every script: a shell script starts programs in
/// other languages, which inherit its environment.
pub(super) fn is_for_interpreters(name: &[u8], value: &[u8]) -> bool {
    super::matches(&NAMES, name) || value.starts_with(FUNCTION)
}

/// The names and patterns of all interpreters.
static NAMES: [&str; COUNT] = names();

const COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < INTERPRETERS.len() {
        count += INTERPRETERS[family].variables.len();
        family += 1;
    }
    count
};

/// Evaluated by the compiler: the shim has the names, and not their descriptions.
const fn names() -> [&'static str; COUNT] {
    let mut names = [""; COUNT];
    let (mut next, mut family) = (0, 0);
    while family < INTERPRETERS.len() {
        let variables = INTERPRETERS[family].variables;
        let mut index = 0;
        while index < variables.len() {
            names[next] = variables[index].0;
            next += 1;
            index += 1;
        }
        family += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The table of docs/environment.md.
    fn table() -> String {
        let mut text = String::from("| variable | of | what it does |\n|---|---|---|\n");
        for family in INTERPRETERS {
            for (name, does) in family.variables {
                let _ = writeln!(text, "| `{name}` | {} | {does} |", family.interpreter);
            }
        }
        text.push_str("\n| interpreter | source |\n|---|---|\n");
        for family in INTERPRETERS {
            let _ = writeln!(text, "| {} | {} |", family.interpreter, family.source);
        }
        text
    }

    #[test]
    fn the_documentation_has_these_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/environment.md");
        let docs = std::fs::read_to_string(path).expect("docs/environment.md");
        let loader = LOADER.map(|name| format!("`{name}`")).join(" ");
        let (table, loader) = (table(), loader);
        let unwrapped = docs.replace('\n', " ");
        assert!(unwrapped.contains(&loader), "docs/environment.md is to have: {loader}");
        assert!(docs.contains(&table), "docs/environment.md is to have:\n{table}");
    }

    #[test]
    fn each_family_is_sorted_and_says_where_from() {
        for family in INTERPRETERS {
            assert!(family.variables.is_sorted_by_key(|(name, _)| *name), "{}", family.interpreter);
            assert!(!family.source.is_empty() && !family.variables.is_empty(), "{}", family.interpreter);
            for (name, does) in family.variables {
                let stars = name.matches('*').count();
                assert!(stars == 0 || (stars == 1 && name.ends_with('*')), "{name}");
                assert!(!does.is_empty() && *name != "*", "{name}");
            }
        }
    }

    #[test]
    fn a_variable_is_known_by_its_name_and_a_function_by_its_value() {
        for name in
            ["BASH_ENV", "BASH_FUNC_ls%%", "MAKEFLAGS", ".SHELLFLAGS", "LUA_INIT_5_4", "ERL_OTP27_FLAGS"]
        {
            assert!(is_for_interpreters(name.as_bytes(), b"x"), "{name}");
        }
        for name in
            ["PATH", "HOME", "MAKELEVEL", "PYTHONUNBUFFERED", "XBASH_ENV", "BASH_ENVX", "LUA", "MIX_ENV"]
        {
            assert!(!is_for_interpreters(name.as_bytes(), b"x"), "{name}");
        }
        assert!(is_for_interpreters(b"anything", b"() { :; }; evil"));
        assert!(!is_for_interpreters(b"anything", b"() x"));
    }
}
