//! Patterns of AppArmor's paths: alternations and variables as all their values, what is left of a
//! pattern compared with paths, and the directory that it lies in.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most values of one pattern.
const MOST: usize = 64;

/// A path of a rule as a profile can have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One path.
    Exact(String),
    /// A directory itself, and no file in it: `/dir/`.
    Directory(String),
    /// A directory and all below it.
    Below(String),
    /// A pattern that no directory has the same as: the directory that it lies in.
    In(String),
}

/// The globs that a word means, alternations and variables put in; `None` where they are too many or a
/// variable is not known.
pub fn globs(word: &str, variables: &BTreeMap<String, Vec<String>>) -> Option<Vec<PathGlob>> {
    let mut all = Vec::new();
    expand(word, variables, 0, &mut all)?;
    Some(all.iter().map(|text| PathGlob::new(text)).collect())
}

/// A pattern without alternations and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob(Vec<Token>);

/// An element of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: a byte that is no slash.
    One,
    /// `[…]`, or `[^…]`: a byte of these ranges, or of none of them.
    Class {
        not: bool,
        ranges: Vec<(u8, u8)>,
    },
    /// `*`: bytes that are no slashes.
    Name,
    /// `**`: any bytes.
    All,
}

impl Token {
    /// Whether the byte is one that it may take up.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Byte(own) => *own == byte,
            Token::One | Token::Name => byte != b'/',
            Token::Class { not, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *not
            }
            Token::All => true,
        }
    }

    /// Whether it takes up any number of bytes, and none.
    fn repeats(&self) -> bool {
        matches!(self, Token::Name | Token::All)
    }
}

impl PathGlob {
    fn new(text: &str) -> PathGlob {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let (token, after) = match (first, after) {
                (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                    (Token::Byte((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')), after)
                }
                (b'\\', [escaped, after @ ..]) => (Token::Byte(*escaped), after),
                (b'*', [b'*', after @ ..]) => (Token::All, after),
                (b'*', _) => (Token::Name, after),
                (b'?', _) => (Token::One, after),
                (b'[', _) => class(after),
                _ => (Token::Byte(*first), after),
            };
            rest = after;
            // Variables end with a slash or without.
            if token != Token::Byte(b'/') || tokens.last() != Some(&token) {
                tokens.push(token);
            }
        }
        PathGlob(tokens)
    }

    /// Whether it matches a path.
    pub fn matches(&self, path: &Path) -> bool {
        self.after(path.as_os_str().as_bytes())[self.0.len()]
    }

    /// Whether it matches a path, or one below it.
    pub fn meets(&self, path: &Path) -> bool {
        self.matches(path) || self.after(&below(path)).contains(&true)
    }

    /// Whether it matches every path below one.
    pub fn covers_below(&self, path: &Path) -> bool {
        self.0.last() == Some(&Token::All) && self.after(&below(path))[self.0.len() - 1]
    }

    /// Whether all that it matches lies below one of these directories.
    pub fn is_below(&self, directories: &[&str]) -> bool {
        let literal = self.literal();
        directories.iter().any(|directory| {
            literal.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
        })
    }

    /// The tokens before which it may stand once it has taken up these bytes; the last is its end.
    fn after(&self, bytes: &[u8]) -> Vec<bool> {
        // What repeats may also take up nothing more.
        let skip = |states: &mut Vec<bool>| {
            for (at, token) in self.0.iter().enumerate() {
                states[at + 1] |= states[at] && token.repeats();
            }
        };
        let mut states = vec![false; self.0.len() + 1];
        states[0] = true;
        skip(&mut states);
        for byte in bytes {
            let mut next = vec![false; states.len()];
            for (at, token) in self.0.iter().enumerate().filter(|(at, _)| states[*at]) {
                let to = if token.repeats() { at } else { at + 1 };
                next[to] |= token.takes(*byte);
            }
            skip(&mut next);
            states = next;
        }
        states
    }

    /// The bytes before its first wildcard.
    fn literal(&self) -> Vec<u8> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        self.0.iter().map_while(byte).collect()
    }

    /// As a profile can have it.
    pub fn pattern(&self) -> Pattern {
        let literal = self.literal();
        let rest = &self.0[literal.len()..];
        let literal = String::from_utf8_lossy(&literal).into_owned();
        if rest.is_empty() {
            return match literal.strip_suffix('/') {
                Some("") => Pattern::Directory("/".to_owned()),
                Some(directory) => Pattern::Directory(directory.to_owned()),
                None => Pattern::Exact(literal),
            };
        }
        let (directory, name) = literal.rsplit_once('/').unwrap_or_default();
        let directory = if directory.is_empty() { "/" } else { directory };
        match (name, rest) {
            ("", [Token::All]) => Pattern::Below(directory.to_owned()),
            _ => Pattern::In(directory.to_owned()),
        }
    }
}

/// A class of bytes, from behind its bracket, and what follows it.
fn class(text: &[u8]) -> (Token, &[u8]) {
    let not = text.first() == Some(&b'^');
    let mut rest = &text[usize::from(not)..];
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
            [first, b'-', last, after @ ..] if *last != b']' => {
                ranges.push((*first, *last));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
        };
    }
    (Token::Class { not, ranges }, rest)
}

/// What the paths below a directory begin with.
fn below(directory: &Path) -> Vec<u8> {
    let mut bytes = directory.as_os_str().as_bytes().to_owned();
    if bytes.last() != Some(&b'/') {
        bytes.push(b'/');
    }
    bytes
}

/// The values of the variables that apparmor.d/tunables defines, for files that include them.
fn tunable(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "PROC" => &["/proc"],
        "HOME" => &["/home/*", "/root"],
        "HOMEDIRS" => &["/home"],
        "sys" => &["/sys"],
        "run" => &["/run", "/var/run"],
        "pid" | "pids" | "tid" => &["[0-9]*"],
        "uid" => &["[0-9]*"],
        "multiarch" => &["*-linux-gnu*"],
        _ => return None,
    })
}

/// Writes every value of a pattern to `all`.
fn expand(
    word: &str,
    variables: &BTreeMap<String, Vec<String>>,
    depth: usize,
    all: &mut Vec<String>,
) -> Option<()> {
    // A variable may name itself.
    if depth > 16 || word.len() > 4096 {
        return None;
    }
    if let Some(start) = word.find("@{") {
        let end = start + word[start..].find('}')?;
        let name = &word[start + 2..end];
        let values: Vec<&str> = match variables.get(name) {
            Some(values) => values.iter().map(String::as_str).collect(),
            None => tunable(name)?.to_vec(),
        };
        for value in values {
            let text = [&word[..start], value, &word[end + 1..]].concat();
            expand(&text, variables, depth + 1, all)?;
        }
        return Some(());
    }
    let Some((start, end)) = alternation(word) else {
        if all.len() == MOST {
            return None;
        }
        all.push(word.to_owned());
        return Some(());
    };
    for choice in choices(&word[start + 1..end]) {
        let text = [&word[..start], choice, &word[end + 1..]].concat();
        expand(&text, variables, depth + 1, all)?;
    }
    Some(())
}

/// The first alternation, from its brace to the matching one.
fn alternation(word: &str) -> Option<(usize, usize)> {
    let mut depth = 0;
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in word.char_indices() {
        match c {
            _ if escaped => {}
            '{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            '}' if depth == 1 => return Some((start, at)),
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// The choices of an alternation, separated by commas outside of braces.
fn choices(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(word: &str) -> Option<String> {
        let variables = [("LIB".to_owned(), vec!["/lib/".to_owned(), "/usr/lib".to_owned()])].into();
        let all = globs(word, &variables)?;
        let one = |glob: &PathGlob| match glob.pattern() {
            Pattern::Exact(path) => path,
            Pattern::Directory(path) => format!("directory {path}"),
            Pattern::Below(path) => format!("{path}/**"),
            Pattern::In(path) => format!("in {path}"),
        };
        Some(all.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn patterns_become_paths_and_directories() {
        for (word, expected) in [
            ("/etc/passwd", "/etc/passwd"),
            ("/usr/{bin,sbin}/x{,-y}", "/usr/bin/x /usr/bin/x-y /usr/sbin/x /usr/sbin/x-y"),
            ("/a/{b,c/{d,e}}", "/a/b /a/c/d /a/c/e"),
            ("@{LIB}/x.so", "/lib/x.so /usr/lib/x.so"),
            ("@{PROC}/sys/**", "/proc/sys/**"),
            ("/data/**", "/data/**"),
            ("/data/*", "in /data"),
            ("/data/a*", "in /data"),
            ("/data/", "directory /data"),
            ("/", "directory /"),
            ("/etc/host[s]", "in /etc"),
            ("/**", "//**"),
            ("/a\\*b", "/a*b"),
            ("/a\\{b", "/a{b"),
            ("/a\\040b\\303\\244", "/a b\u{e4}"),
            ("/a\\0b", "/a0b"),
        ] {
            assert_eq!(shown(word).as_deref(), Some(expected), "{word}");
        }
        assert_eq!(shown("@{NONE}/x"), None);
        assert_eq!(shown(&"{a,b}".repeat(9)), None, "too many");
        let variables = [("A".to_owned(), vec!["@{A}".to_owned()])].into();
        assert_eq!(globs("@{A}", &variables), None, "it names itself");
    }

    #[test]
    fn globs_are_compared_with_paths() {
        let glob = |word: &str| globs(word, &BTreeMap::new()).expect(word).swap_remove(0);
        for (word, path, matches, meets, covers) in [
            ("/data/*.key", "/data/a.key", true, true, false),
            ("/data/*.key", "/data/a/b.key", false, false, false),
            ("/data/*.key", "/data", false, true, false),
            ("/data/a?c", "/data/abc", true, true, false),
            ("/data/a?c", "/data/a/c", false, false, false),
            ("/data/[a-c]", "/data/b", true, true, false),
            ("/data/[^a-c]", "/data/b", false, false, false),
            ("/data/[^a-c]", "/data/-", true, true, false),
            ("/data/[\\]]", "/data/]", true, true, false),
            ("/srv/*/secret/**", "/srv/a/secret/b/c", true, true, true),
            ("/srv/*/secret/**", "/srv/a/secret", false, true, true),
            ("/srv/*/secret/**", "/srv", false, true, false),
            ("/srv/*/secret/**", "/srv/a/b", false, false, false),
            ("/data/**", "/data/x", true, true, true),
            ("/data/**", "/data", false, true, true),
            ("/data/**", "/database", false, false, false),
            ("/data/**.log", "/data/x", false, true, false),
            ("/**", "/", true, true, true),
            ("/etc", "/etc/x", false, false, false),
        ] {
            let (glob, path) = (glob(word), Path::new(path));
            let found = (glob.matches(path), glob.meets(path), glob.covers_below(path));
            assert_eq!(found, (matches, meets, covers), "{word} {}", path.display());
        }
        assert!(
            glob("/proc/sys/[a-z]*").is_below(&["/proc", "/sys"]) && !glob("/proc*").is_below(&["/proc"])
        );
    }
}
