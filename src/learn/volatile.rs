//! Volatile names, which no other run will have: pids, UUIDs, digests, random suffixes.

use std::borrow::Cow;

/// Whether the name of a file or directory is made anew in every run.
pub fn volatile(name: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let longest = |kind: fn(u8) -> bool| {
        name.bytes()
            .fold((0, 0), |(best, run): (usize, usize), b| {
                let run = if kind(b) { run + 1 } else { 0 };
                (best.max(run), run)
            })
            .0
    };
    (!name.is_empty() && digits(name))
        || longest(|b| b.is_ascii_digit()) >= 5
        || longest(|b| b.is_ascii_hexdigit()) >= 16
        || uuid(name)
        || temporary(name)
        || name.split(|c: char| !c.is_ascii_alphanumeric()).any(random)
}

/// Names of mktemp(1), and of Python's tempfile and multiprocessing, which may have no digit.
fn temporary(name: &str) -> bool {
    const PYTHON: [&str; 4] = ["tmp", "pymp-", "sem.mp-", "psm_"];
    let is_python =
        |rest: &str| rest.len() == 8 && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let of_mktemp = name.strip_prefix("tmp.");
    of_mktemp.is_some_and(|rest| rest.len() == 10 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
        || PYTHON.iter().filter_map(|prefix| name.strip_prefix(prefix)).any(is_python)
}

/// 8-4-4-4-12 hex digits anywhere in a name.
fn uuid(name: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = name.split(|c: char| !c.is_ascii_hexdigit()).collect();
    name.contains('-')
        && parts.windows(5).any(|five| five.iter().zip(GROUPS).all(|(part, length)| part.len() == length))
}

/// Whether a word has high entropy, as those of mkstemp(3): it changes between lower case, upper
/// case and digits more often than words that people choose.
fn random(word: &str) -> bool {
    let class = |b: u8| match b {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    };
    let bytes = word.as_bytes();
    let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    bytes.len() >= 6 && changes >= 3 && changes * 3 >= bytes.len() - 1 && !version(word)
}

/// Whether a word is a version or a machine, as `3v11` or `x86`.
fn version(word: &str) -> bool {
    word.starts_with("x86") || word.starts_with("i386") || word.starts_with("aarch64")
}

/// The path up to its first volatile name, which is written `*` and stands for all below it;
/// `None` where every name is stable.
pub fn template(path: &str) -> Option<String> {
    let mut start = 1;
    for name in path.get(1..)?.split('/') {
        if volatile(name) {
            return Some(format!("{}*", &path[..start]));
        }
        start += name.len() + 1;
    }
    None
}

/// Escapes a path in which only a volatile name is written `*`: a name that really is `*` gets a `\`
/// before it (and one more where it has some).
pub fn literal(path: &str) -> Cow<'_, str> {
    each_name(path, |name| is_starred(name).then(|| format!("\\{name}")))
}

/// The inverse of [`literal`].
pub fn as_named(path: &str) -> Cow<'_, str> {
    let named = |name: &str| {
        let rest = name.strip_prefix('\\')?;
        is_starred(rest).then(|| rest.to_owned())
    };
    each_name(path, named)
}

/// Whether a name is `*`, `\*`, `\\*`, …
fn is_starred(name: &str) -> bool {
    name.trim_start_matches('\\') == "*"
}

/// A path as a rule names it: literal, with its volatile names replaced.
pub fn general(path: &str) -> String {
    let path = literal(path);
    template(&path).unwrap_or_else(|| path.into_owned())
}

fn each_name(path: &str, other: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    if !path.contains('*') {
        return Cow::Borrowed(path);
    }
    let names = path.split('/').map(|name| other(name).map_or(Cow::Borrowed(name), Cow::Owned));
    Cow::Owned(names.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_made_anew_are_volatile() {
        for name in [
            "4711",
            "dump-12345.rdb",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "job-f47ac10b-58cc-4372-a567-0e02b2c3d479.lock",
            "d41d8cd98f00b204",
            "sess_a1B2c3D4e5",
            "tmpx7k2j9qa",
            "tmpdynzn8xw",
            "tmp.KqvbxyzwAb",
            "pymp-mdbxqlzo",
            "sem.mp-q_abcdef",
            "0000000012",
        ] {
            assert!(volatile(name), "{name}");
        }
    }

    #[test]
    fn names_that_people_give_are_stable() {
        for name in [
            "dump.rdb",
            "nginx.conf",
            "libssl.so.3",
            "python3.11",
            "appendonly.aof.1.base.rdb",
            "x86_64-linux-gnu",
            "pg_hba.conf",
            "base64.py",
            "utf8_general_ci",
            "PG_VERSION",
            "ISO8859-1.so",
            "ca-certificates.crt",
            "README.Debian",
            "GMT+12",
            "tmpfiles.d",
            "tmp.conf",
            "pymp-cache",
            "pg_wal",
        ] {
            assert!(!volatile(name), "{name}");
        }
    }

    #[test]
    fn a_star_that_is_a_name_is_no_template() {
        for (path, escaped) in [
            ("/d/*", r"/d/\*"),
            ("/*/x", r"/\*/x"),
            (r"/d/\*", r"/d/\\*"),
            ("/d/a*b", "/d/a*b"),
            ("/d/x", "/d/x"),
        ] {
            assert_eq!(literal(path), escaped);
            assert_eq!(as_named(escaped), path);
        }
        assert_eq!(as_named("/d/*"), "/d/*", "what stands for others stays");
    }

    #[test]
    fn a_path_stops_at_its_first_volatile_name() {
        assert_eq!(template("/tmp/run-123456/x/y"), Some("/tmp/*".into()));
        assert_eq!(template("/proc/42/status"), Some("/proc/*".into()));
        assert_eq!(template("/data/dump.rdb"), None);
        assert_eq!(template("/"), None);
    }
}
