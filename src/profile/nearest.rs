//! The valid word that was most likely meant.

use strsim::osa_distance;

/// The word of `valid` that is nearest to `typed`: a word that begins with what
/// was typed comes before one that is fewer edits away, and none is better than a
/// far-fetched one. An edit changes, inserts or removes a character, or exchanges two
/// neighbours (optimal string alignment).
pub fn nearest<'w>(typed: &str, valid: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = typed.to_lowercase();
    if typed.is_empty() || typed.len() > 64 {
        return None;
    }
    let length = typed.chars().count();
    // Of two characters one edit leaves nothing that was typed.
    let most = if length < 3 { 0 } else { length / 3 };
    valid
        .into_iter()
        .filter_map(|word| {
            let lower = word.to_lowercase();
            if lower.starts_with(&typed) {
                return Some((0, lower.len() - typed.len(), word));
            }
            if lower.chars().count().abs_diff(length) > most {
                return None;
            }
            let edits = osa_distance(&typed, &lower);
            (edits <= most).then_some((1, edits, word))
        })
        .min()
        .map(|(_, _, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_comes_before_a_smaller_distance() {
        assert_eq!(nearest("net_bind", ["net_admin", "net_bind_service"]), Some("net_bind_service"));
        assert_eq!(nearest("open", ["pipe", "openat"]), Some("openat"));
    }

    #[test]
    fn the_fewest_edits_win_and_a_far_word_never_does() {
        assert_eq!(nearest("opennat", ["openat2", "openat"]), Some("openat"));
        assert_eq!(nearest("raed", ["write", "read"]), Some("read"), "neighbours exchanged are one edit");
        assert_eq!(nearest("fionbi0", ["FIONREAD", "FIONBIO"]), Some("FIONBIO"), "case is no edit");
        assert_eq!(nearest("execute", ["read", "write", "create", "remove", "ioctl"]), None);
        assert_eq!(nearest("", ["read"]), None);
        assert_eq!(nearest("/y", ["/x"]), None);
    }
}
