//! The HTML by itself: well-formed, self-contained, with headings, landmarks and labels.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::html::{Node, parse};
use crate::{Place, examples, made};

fn page(text: &str) -> Node {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_page_is_well_formed_and_has_its_landmarks() {
    for (name, text) in examples() {
        let page = page(&text);
        assert_eq!(page.named("html")[0].attribute("lang"), Some("en"), "{name}");
        for (landmark, count) in
            [("header", 1), ("nav", 1), ("main", 1), ("footer", 1), ("h1", 1), ("title", 1)]
        {
            let found = page.all().iter().filter(|node| node.name == landmark).count();
            let graphics = page.named("svg").iter().flat_map(|svg| svg.named(landmark)).count();
            assert_eq!(found - graphics, count, "{name}: {landmark}");
        }
        let skip = page.named("body")[0].children.iter().find(|node| node.name == "a").expect("a skip link");
        assert_eq!(skip.attribute("href"), Some("#main"));
        assert_eq!(page.named("main")[0].attribute("id"), Some("main"));
        assert!(!page.named("h1")[0].inner_text().trim().is_empty());
    }
}

#[test]
fn headings_are_in_order() {
    for (name, text) in examples() {
        let mut last = 0;
        for heading in page(&text).all() {
            let level = heading.name.strip_prefix('h').and_then(|level| level.parse::<u8>().ok());
            if let Some(level) = level.filter(|level| (1..=6).contains(level)) {
                assert!(level <= last + 1, "{name}: h{level} after h{last}: {}", heading.inner_text());
                assert!(!heading.inner_text().trim().is_empty(), "{name}: an empty h{level}");
                last = level;
            }
        }
        assert!(last > 1, "{name}");
    }
}

#[test]
fn everything_has_its_label() {
    for (name, text) in examples() {
        let page = page(&text);
        let ids: Vec<&str> = page.all().iter().filter_map(|node| node.attribute("id")).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: an id is there twice: {ids:?}");
        for node in page.all() {
            for labels in ["aria-labelledby", "aria-describedby"] {
                for id in node.attribute(labels).unwrap_or_default().split_whitespace() {
                    assert!(unique.contains(id), "{name}: {labels} {id} of {}", node.name);
                }
            }
            let target = node.attribute("href").and_then(|href| href.strip_prefix('#'));
            if let Some(id) = target {
                assert!(unique.contains(id), "{name}: nothing is at #{id}");
            }
            let has_label = node.attribute("aria-label").is_some_and(|label| !label.is_empty())
                || node.attribute("aria-labelledby").is_some();
            match node.name.as_str() {
                "table" => {
                    let caption = node.children.iter().find(|child| child.name == "caption");
                    assert!(caption.is_some_and(|caption| !caption.inner_text().trim().is_empty()), "{name}");
                    node.named("th").iter().for_each(|th| assert!(th.attribute("scope").is_some(), "{name}"));
                    let rows = node.named("tr");
                    let columns =
                        |row: &Node| row.children.iter().filter(|cell| !cell.name.is_empty()).count();
                    rows.iter().for_each(|row| assert_eq!(columns(row), columns(rows[0]), "{name}"));
                }
                "svg" => {
                    let is_hidden = node.attribute("aria-hidden") == Some("true");
                    let is_image = node.attribute("role") == Some("img") && has_label;
                    assert!(is_hidden || is_image, "{name}: a graphic without a text");
                }
                "section" | "nav" => assert!(has_label, "{name}: {}", node.name),
                "details" => assert_eq!(
                    node.children.iter().find(|child| !child.name.is_empty()).map(|child| &*child.name),
                    Some("summary"),
                    "{name}"
                ),
                "summary" | "a" => assert!(!node.inner_text().trim().is_empty(), "{name}: {}", node.name),
                _ => {}
            }
            // What scrolls has to be reachable by the keyboard, and then needs a name.
            if node.attribute("role") == Some("region") {
                assert!(has_label && node.attribute("tabindex") == Some("0"), "{name}: {}", node.name);
            }
        }
    }
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    for (name, text) in examples() {
        let page = page(&text);
        for node in page.all() {
            let is_bad = [
                "script",
                "img",
                "link",
                "iframe",
                "object",
                "embed",
                "form",
                "base",
                "image",
                "use",
                "foreignObject",
                "input",
            ];
            assert!(!is_bad.contains(&node.name.as_str()), "{name}: <{}>", node.name);
            for (attribute, value) in &node.attributes {
                assert!(
                    !attribute.starts_with("on") && attribute != "style" && attribute != "src",
                    "{name}: {attribute}"
                );
                let loads = ["href", "xlink:href", "action", "data", "poster", "srcset"]
                    .contains(&attribute.as_str());
                assert!(!loads || value.starts_with('#'), "{name}: {attribute}={value}");
                let is_local = !value.contains("url(") || value.starts_with("url(#");
                assert!(is_local, "{name}: {attribute}={value}");
            }
        }
        let style = page.named("style")[0].inner_text();
        assert!(!style.contains("url(") && !style.contains("@import"), "{name}");
        let policy = page
            .named("meta")
            .into_iter()
            .find(|meta| meta.attribute("http-equiv") == Some("Content-Security-Policy"))
            .and_then(|meta| meta.attribute("content"))
            .expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{name}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{name}: {policy}");
        let digest =
            policy.split("'sha256-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a digest");
        assert_eq!(digest, base64(&Sha256::digest(style.as_bytes())), "{name}");
    }
}

/// RFC 4648, by bits.
fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let padded = format!("{bits}{}", "0".repeat((6 - bits.len() % 6) % 6));
    let text: String = padded
        .as_bytes()
        .chunks(6)
        .map(|six| letters[six.iter().fold(0, |all, bit| all * 2 + usize::from(bit - b'0'))])
        .collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

#[test]
fn a_thousand_entries_are_a_megabyte_at_most() {
    let (_, large) = examples().remove(1);
    assert!(large.len() <= 1_000_000, "{} bytes", large.len());
    let page = page(&large);
    let names: BTreeSet<String> = page
        .named("code")
        .iter()
        .map(|code| code.inner_text())
        .filter(|text| text.starts_with("/opt/app"))
        .collect();
    assert_eq!(names.len(), 37, "each program is in the tables");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (first, second) = (examples(), examples());
    for ((name, one), (_, other)) in first.iter().zip(&second) {
        assert!(one == other, "{name} differs");
    }
}

#[test]
fn sections_say_what_was_not_read() {
    let place = Place::new();
    let text = place.report(&["nginx"]);
    for says in ["No evidence was read", "No events were read", "No other profile was read"] {
        assert!(text.contains(says), "{says}");
    }
    made::built(&place);
    place.put("events", made::events("sha256:0"));
    let text = page(&place.report(&["app.json", "--events", "events", "--against", "nginx"])).inner_text();
    for says in [
        "24 runs, 24 of them ended cleanly",
        "Gate",
        "label:backup",
        "200 violations in 1 file",
        "200 of them are of another profile",
        "/etc/shadow (read)",
        "Compared by meaning with nginx",
        "Allowed now, and not before",
        "Docker's default profile allows 309",
    ] {
        assert!(text.contains(says), "{says}");
    }
}

#[test]
fn bad_input_is_one_line_and_no_file() {
    let place = Place::new();
    made::built(&place);
    place.put("not-events", "the app's own\n");
    place.put("bad.json", "{\"remit\":2}");
    place.put("bad.evidence.json", "{\"evidence\":9}");
    place.put("cut.evidence.json", "{\"evidence\":1,");
    let cases: [(&[&str], &str); 9] = [
        (&["gone.json"], "gone.json: not found"),
        (&["basline"], "no profile is called `basline`"),
        (&["bad.json"], "bad.json"),
        (&["app.json", "--evidence", "gone"], "gone: not found"),
        (&["app.json", "--evidence", "bad.evidence.json"], "newer than this remit"),
        (&["app.json", "--evidence", "cut.evidence.json"], "is no evidence file"),
        (&["app.json", "--events", "gone"], "gone: not found"),
        (&["app.json", "--events", "not-events"], "has no event of remit"),
        (&["app.json", "--against", "bad.json"], "bad.json"),
    ];
    for (arguments, says) in cases {
        let said = place.remit(&[&["report", "-o", "out.html"], arguments].concat());
        let error = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{arguments:?}: {error}");
        assert!(!place.path("out.html").exists(), "{arguments:?}");
    }
    let said = place.remit(&["report", "app.json", "-o", "no/such/folder.html"]);
    assert_eq!(said.status.code(), Some(2));
    assert_eq!(place.done(&["report", "app.json", "-o", "-"]), place.report(&["app.json"]));
}
