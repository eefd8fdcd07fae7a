//! Arguments of a program: the applet of a multi-call binary that they select, and whether they
//! match an alternative of an entry.

use crate::policy::args::Need;
use crate::profile::ArgPattern;

/// The applet of a multi-call binary with this base name that these arguments select, and the
/// arguments after its name.
///
/// It is the base name of argv\[0\], without a login shell's dash; or the next argument where
/// argv\[0\] is the binary's own name. busybox takes every name that begins with its own for its
/// own, repeatedly (`busybox busybox-x sh` is a shell), and so does this function. Arguments that
/// select an applet by another rule select none here.
pub fn applet<'a>(argv: &'a [Vec<u8>], own_name: &str) -> Option<(&'a [u8], &'a [Vec<u8>])> {
    for (index, argument) in argv.iter().enumerate() {
        let argument = match index {
            0 => argument.strip_prefix(b"-").unwrap_or(argument),
            _ => argument,
        };
        let name = argument.rsplit(|byte| *byte == b'/').next().unwrap_or(argument);
        if own_name.is_empty() || !name.starts_with(own_name.as_bytes()) {
            return Some((name, &argv[index + 1..]));
        }
    }
    None
}

/// Whether arguments match one of the alternatives. `cut`: there are more than these.
pub fn are_listed(alternatives: &[Vec<ArgPattern>], arguments: &[Vec<u8>], cut: bool) -> bool {
    alternatives.iter().any(|alternative| fits(alternative, arguments, cut))
}

/// The arguments needed to decide these alternatives: one more than the longest.
pub fn needed(alternatives: &[Vec<ArgPattern>]) -> Need {
    /// MAX_ARG_STRLEN: a pattern may have to be compared with the end of a string.
    const LONGEST: usize = 128 << 10;
    let longest = alternatives.iter().map(Vec::len).max().unwrap_or_default();
    Need { strings: longest + 1, bytes: longest * LONGEST }
}

fn fits(patterns: &[ArgPattern], arguments: &[Vec<u8>], cut: bool) -> bool {
    match (patterns, arguments) {
        ([ArgPattern::Rest], _) => true,
        ([], []) => !cut,
        ([pattern, patterns @ ..], [argument, arguments @ ..]) => {
            let this = match pattern {
                ArgPattern::Exact(text) => text.as_bytes() == argument,
                ArgPattern::Glob(text) => glob(text.as_bytes(), argument),
                ArgPattern::Rest => false,
            };
            this && fits(patterns, arguments, cut)
        }
        _ => false,
    }
}

/// `*` matches any run of characters, `\` makes the next character literal. Greedy from the left
/// with one backtracking position, so that the time is bounded by the product of both lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star = None;
    while here < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, here));
                at += 1;
            }
            Some(b'\\') if pattern.get(at + 1) == Some(&text[here]) => {
                at += 2;
                here += 1;
            }
            Some(byte) if *byte != b'\\' && *byte == text[here] => {
                at += 1;
                here += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    at = after;
                    here = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn an_applet_is_what_busybox_takes_it_for() {
        let called = |argv: &[&str]| {
            let argv = words(argv);
            applet(&argv, "busybox")
                .map(|(name, rest)| (String::from_utf8_lossy(name).into_owned(), rest.len()))
        };
        let is = |name: &str, rest| Some((name.to_owned(), rest));
        assert_eq!(called(&["sh", "-c", "x"]), is("sh", 2));
        assert_eq!(called(&["/bin/wget", "-q"]), is("wget", 1));
        assert_eq!(called(&["-sh"]), is("sh", 0));
        assert_eq!(called(&["busybox", "sh", "-c"]), is("sh", 1));
        assert_eq!(called(&["/x/busybox.static", "busybox", "/y/sh"]), is("sh", 0));
        assert_eq!(called(&["busybox", "-sh"]), is("-sh", 0), "an applet of no name");
        assert_eq!(called(&["busybox"]), None);
        assert_eq!(called(&[]), None);
        assert_eq!(called(&[""]), is("", 0));
    }

    #[test]
    fn arguments_are_one_of_the_alternatives_from_first_to_last() {
        let exact = |text: &str| ArgPattern::Exact(text.to_owned());
        let glob = |text: &str| ArgPattern::Glob(text.to_owned());
        let alternatives = [
            vec![],
            vec![exact("ping")],
            vec![exact("-p"), glob("80*"), ArgPattern::Rest],
            vec![glob("--a=*b*c")],
        ];
        for (good, arguments) in [
            (true, &[][..]),
            (true, &["ping"]),
            (false, &["ping", "x"]),
            (false, &["pin"]),
            (true, &["-p", "80"]),
            (true, &["-p", "8080", "x", "y"]),
            (false, &["-p", "90"]),
            (false, &["-p"]),
            (true, &["--a=bc"]),
            (true, &["--a=xbybzc"]),
            (false, &["--a=xcb"]),
        ] {
            assert_eq!(are_listed(&alternatives, &words(arguments), false), good, "{arguments:?}");
        }
    }

    #[test]
    fn what_was_not_read_is_in_no_list_that_ends() {
        let exact = |text: &str| ArgPattern::Exact(text.to_owned());
        let listed = |alternative: Vec<ArgPattern>| are_listed(&[alternative], &words(&["a", "b"]), true);
        assert!(!listed(vec![exact("a"), exact("b")]));
        assert!(!listed(vec![exact("a"), exact("b"), ArgPattern::Glob("*".into())]));
        assert!(
            listed(vec![exact("a"), ArgPattern::Rest])
                && listed(vec![exact("a"), exact("b"), ArgPattern::Rest])
        );
        assert_eq!(needed(&[vec![], vec![exact("a"), exact("b")]]).strings, 3);
    }

    #[test]
    fn a_pattern_is_matched_in_bounded_time() {
        let pattern = "*a".repeat(200);
        let text = vec![b'a'; 100_000];
        assert!(!glob(format!("{pattern}b").as_bytes(), &text));
        assert!(
            glob(br"a\**", b"a*x")
                && !glob(br"a\**", b"abx")
                && glob(br"*\\", br"x\")
                && !glob(br"*\\", b"x")
        );
        assert!(!glob(br"*\*b", b"xb") && glob(br"*\*b", b"**b"));
        assert!(glob(b"*", b"") && glob(b"", b"") && !glob(b"", b"x") && glob(b"**", b"x"));
    }
}
