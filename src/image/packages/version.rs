//! Comparison of package versions, by the rules of dpkg and apk.

use std::cmp::Ordering;

/// Compares two versions as dpkg does (deb-version(7)): epoch, upstream version, revision.
pub(super) fn dpkg(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    let epochs = in_turn(one[0].as_bytes(), other[0].as_bytes());
    let upstream = || in_turn(one[1].as_bytes(), other[1].as_bytes());
    epochs.then_with(upstream).then_with(|| in_turn(one[2].as_bytes(), other[2].as_bytes()))
}

fn parts(version: &str) -> [&str; 3] {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    [epoch, upstream, revision]
}

/// Compares non-digits and numbers in turn. A tilde sorts before the end, letters before all other
/// characters.
fn in_turn(mut one: &[u8], mut other: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(sign) => i32::from(*sign) + 256,
    };
    let is_text = |rest: &[u8]| rest.first().is_some_and(|byte| !byte.is_ascii_digit());
    while !one.is_empty() || !other.is_empty() {
        while is_text(one) || is_text(other) {
            let order = weight(one.first()).cmp(&weight(other.first()));
            if order.is_ne() {
                return order;
            }
            (one, other) = (&one[1..], &other[1..]);
        }
        let (first, second);
        ((first, one), (second, other)) = (number(one), number(other));
        let order = first.len().cmp(&second.len()).then(first.cmp(second));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// The leading digits, without leading zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zeros = text[..end].iter().take_while(|byte| **byte == b'0').count();
    (&text[zeros..end], &text[end..])
}

/// apk's suffixes in ascending order; a version without one sorts as the fifth.
const SUFFIXES: [&str; 10] = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"];

/// Compares two versions as apk does: numbers, a letter, suffixes, the revision
/// (`1.2.3b_rc1-r4`).
pub(super) fn apk(one: &str, other: &str) -> Ordering {
    let ((one, first), (other, second)) = (revision(one), revision(other));
    let (mut ones, mut others) = (one.split('_'), other.split('_'));
    // The part before the first suffix: letters sort after the end, as in dpkg.
    let mut order = in_turn(ones.next().unwrap_or("").as_bytes(), others.next().unwrap_or("").as_bytes());
    while order.is_eq() {
        let (one, other) = (ones.next(), others.next());
        if one.or(other).is_none() {
            return in_turn(first.as_bytes(), second.as_bytes());
        }
        let (one, other) = (suffix(one), suffix(other));
        order = one.0.cmp(&other.0).then_with(|| in_turn(one.1.as_bytes(), other.1.as_bytes()));
    }
    order
}

/// The version, without the commit behind a tilde, and the revision.
fn revision(version: &str) -> (&str, &str) {
    let (version, revision) = version.rsplit_once("-r").unwrap_or((version, ""));
    (version.split_once('~').map_or(version, |(version, _)| version), revision)
}

/// The rank and the number of a suffix.
fn suffix(text: Option<&str>) -> (usize, &str) {
    let text = text.unwrap_or("");
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let rank = SUFFIXES.iter().position(|suffix| *suffix == name);
    (rank.unwrap_or(4), &text[name.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is older than the next.
    fn ascends(versions: &[&str], compare: fn(&str, &str) -> Ordering) {
        for (at, older) in versions.iter().enumerate() {
            assert_eq!(compare(older, older), Ordering::Equal, "{older}");
            for newer in &versions[at + 1..] {
                assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
                assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
            }
        }
    }

    #[test]
    fn versions_of_debian() {
        ascends(
            &["1.0~rc1-1", "1.0-1", "1.0-1+deb12u1", "1.0-1+deb12u10", "1.0a-1", "1.0.1-1", "1.9", "1.10"],
            dpkg,
        );
        ascends(&["2.36-9+deb12u10", "2.41-12", "1:0.1", "2:0"], dpkg);
        ascends(&["1~~", "1~~a", "1~", "1", "1a", "1+", "1.0"], dpkg);
        assert_eq!(dpkg("1.0", "1.0-0"), Ordering::Equal);
        assert_eq!(dpkg("0:1.01-1", "1.1-1"), Ordering::Equal);
        ascends(&["99999999999999999999998", "99999999999999999999999"], dpkg);
    }

    #[test]
    fn versions_of_alpine() {
        ascends(
            &["1.2.3_alpha2-r0", "1.2.3_rc1-r5", "1.2.3-r0", "1.2.3-r12", "1.2.3_p1-r0", "1.2.3b-r0"],
            apk,
        );
        ascends(&["1.2-r0", "1.2.0-r0", "1.2.3_git20250101-r1", "1.10-r0", "3-r0"], apk);
        assert_eq!(apk("1.2~0abc-r1", "1.2-r1"), Ordering::Equal);
    }
}
