//! Short labels for paths, and how wide a text is in the monospaced font of the drawing.

/// The width of one column of the drawing's font, in units of the drawing. The fonts of the style sheet
/// have advances of 0.55 to 0.61 em at 12 units.
pub(super) const COLUMN: f64 = 7.4;

/// The longest label, in columns.
pub(super) const LONGEST: usize = 30;

/// What stands for what was left out.
const GAP: char = '…';

/// How many columns a text takes at the most: characters beyond Latin, Greek and Cyrillic count as two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if c < '\u{530}' || c == GAP { 1 } else { 2 }).sum()
}

/// A path in at most `most` columns: its last name, and of the directories as many as fit, the first one
/// before those next to the file.
pub(super) fn short_path(path: &str, most: usize) -> String {
    if columns(path) <= most {
        return path.to_owned();
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some((name, directories)) = parts.split_last() else { return short_name(path, most) };
    let first = directories.first().map(|first| format!("/{first}/{GAP}")).unwrap_or_default();
    let mut found = None;
    for head in [first, GAP.to_string()] {
        let mut label = format!("/{name}");
        for directory in directories.iter().skip(1).rev() {
            let longer = format!("/{directory}{label}");
            if columns(&head) + columns(&longer) > most {
                break;
            }
            label = longer;
        }
        if columns(&head) + columns(&label) <= most {
            found = Some(head + &label);
            break;
        }
    }
    found.unwrap_or_else(|| short_name(name, most))
}

/// A name in at most `most` columns, without its middle.
pub(super) fn short_name(name: &str, most: usize) -> String {
    if columns(name) <= most {
        return name.to_owned();
    }
    let room = most.saturating_sub(1);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut width = 0;
        let mut taken = Vec::new();
        for c in chars {
            width += columns(c.encode_utf8(&mut [0; 4]));
            if width > room {
                break;
            }
            taken.push(c);
        }
        taken
    };
    let head = take(&mut name.chars(), room / 2);
    let mut tail = take(&mut name.chars().rev(), room - room / 2);
    tail.reverse();
    head.into_iter().chain([GAP]).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_show_their_name() {
        for (path, most, expected) in [
            ("/bin/sh", 12, "/bin/sh"),
            ("/usr/lib/postgresql/15/bin/initdb", 24, "/usr/…/15/bin/initdb"),
            ("/usr/lib/postgresql/15/bin/initdb", 16, "/usr/…/initdb"),
            ("/usr/lib/postgresql/15/bin/initdb", 12, "…/bin/initdb"),
            ("/usr/lib/postgresql/15/bin/initdb", 8, "…/initdb"),
            ("/usr/lib/postgresql/15/bin/initdb", 5, "in…db"),
            ("/a-very-long-name-of-a-program-in-the-root", 13, "a-very…e-root"),
            ("/usr/bin/漢字漢字漢字", 13, "…/漢字…漢字"),
        ] {
            let short = short_path(path, most);
            assert!(columns(&short) <= most, "{short}");
            if !path.contains('漢') {
                assert_eq!(short, expected);
            }
        }
        assert_eq!(short_path("/", 1), "/");
        assert_eq!(short_name("", 3), "");
    }

    #[test]
    fn any_text_fits() {
        for text in
            ["////", "a", "/…/…", "\u{202e}/x/\u{202e}", "/🦀🦀🦀🦀/🦀🦀🦀🦀🦀🦀", "x".repeat(300).as_str()]
        {
            for most in 1..40 {
                assert!(columns(&short_path(text, most)) <= most, "{text} in {most}");
            }
        }
    }
}
