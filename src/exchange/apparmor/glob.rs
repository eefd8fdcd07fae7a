//! Patterns of AppArmor's paths: alternations and variables as all their values, and the directory
//! that what is left of a pattern lies in.

use std::collections::BTreeMap;

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

/// The patterns that a word means, alternations and variables put in; `None` where they are too many
/// or a variable is not known.
pub fn patterns(word: &str, variables: &BTreeMap<String, Vec<String>>) -> Option<Vec<Pattern>> {
    let mut all = Vec::new();
    expand(word, variables, 0, &mut all)?;
    Some(all.iter().map(|text| of(text)).collect())
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

fn of(text: &str) -> Pattern {
    let mut literal = String::new();
    let mut chars = text.chars();
    let mut rest = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => literal.extend(chars.next()),
            '*' | '?' | '[' => {
                rest.push(c);
                rest.extend(chars.by_ref());
            }
            c => literal.push(c),
        }
    }
    // Variables end with a slash or without.
    while literal.contains("//") {
        literal = literal.replace("//", "/");
    }
    if rest.is_empty() {
        return match literal.strip_suffix('/') {
            Some("") => Pattern::Directory("/".to_owned()),
            Some(directory) => Pattern::Directory(directory.to_owned()),
            None => Pattern::Exact(literal),
        };
    }
    let (directory, name) = literal.rsplit_once('/').unwrap_or_default();
    let directory = if directory.is_empty() { "/" } else { directory };
    match (name, rest.as_str()) {
        ("", "**") => Pattern::Below(directory.to_owned()),
        _ => Pattern::In(directory.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(word: &str) -> Option<String> {
        let variables = [("LIB".to_owned(), vec!["/lib/".to_owned(), "/usr/lib".to_owned()])].into();
        let all = patterns(word, &variables)?;
        let one = |pattern: &Pattern| match pattern {
            Pattern::Exact(path) => path.clone(),
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
        ] {
            assert_eq!(shown(word).as_deref(), Some(expected), "{word}");
        }
        assert_eq!(shown("@{NONE}/x"), None);
        assert_eq!(shown(&"{a,b}".repeat(9)), None, "too many");
        let variables = [("A".to_owned(), vec!["@{A}".to_owned()])].into();
        assert_eq!(patterns("@{A}", &variables), None, "it names itself");
    }
}
