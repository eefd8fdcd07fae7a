//! The colours of the style sheet: contrast of text and of what is drawn, in light, in dark and in print
//! (WCAG 2.2, 1.4.3 and 1.4.11).

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../../templates/report.css");

/// The variables of the block that begins with `start`.
fn variables(start: &str) -> BTreeMap<&'static str, [f64; 3]> {
    let (_, rest) = STYLE.split_once(start).expect("the block is there");
    let (block, _) = rest.split_once('}').expect("it ends");
    let mut found = BTreeMap::new();
    for (name, value) in block.split(';').filter_map(|one| one.trim().strip_prefix("--")?.split_once(':')) {
        if let Some(hex) = value.trim().strip_prefix('#') {
            let part = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")) / 255.0;
            found.insert(name, [part(0), part(2), part(4)]);
        }
    }
    found
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let light = |colour: [f64; 3]| {
        let part =
            |value: f64| if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2])
    };
    let (one, other) = (light(one), light(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn themes() -> [(&'static str, BTreeMap<&'static str, [f64; 3]>); 3] {
    [
        ("light", variables(":root {")),
        ("dark", variables("@media (prefers-color-scheme: dark) {\n  :root {")),
        ("print", variables("@media print {\n  :root {")),
    ]
}

#[test]
fn every_text_has_contrast_enough() {
    for (theme, colours) in themes() {
        for ground in ["page", "card"] {
            for text in ["text", "muted", "accent", "good", "bad", "warn"] {
                let found = contrast(colours[text], colours[ground]);
                assert!(found >= 4.5, "{theme}: {text} on {ground}: {found:.2}");
            }
        }
    }
}

#[test]
fn what_is_drawn_has_contrast_enough() {
    for (theme, colours) in themes() {
        for (drawn, grounds) in [
            ("edge", ["page", "card"]),
            ("accent", ["page", "card"]),
            ("bar", ["page", "line"]),
            ("bar", ["card", "band"]),
            ("bar-beyond", ["page", "card"]),
        ] {
            for ground in grounds {
                let found = contrast(colours[drawn], colours[ground]);
                let least = if ground == "line" || ground == "band" { 2.0 } else { 3.0 };
                assert!(found >= least, "{theme}: {drawn} on {ground}: {found:.2}");
            }
        }
        // The band's edge is a dashed line of the text's colour.
        assert!(contrast(colours["text"], colours["band"]) >= 4.5, "{theme}");
    }
}

#[test]
fn every_colour_is_a_variable_of_each_theme() {
    let names: Vec<Vec<&str>> =
        themes().iter().map(|(_, colours)| colours.keys().copied().collect()).collect();
    assert!(names[0].len() > 8 && names[0] == names[1] && names[0] == names[2], "{names:?}");
    let (_, rules) = STYLE.split_once("* {").expect("rules after the variables");
    let (rules, _) = rules.split_once("@media print").expect("print");
    assert!(!rules.contains('#'), "a colour that no theme changes");
    for used in rules.split("var(--").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(names[0].contains(&used) || used == "mono", "{used}");
    }
}

#[test]
fn contrast_is_that_of_the_guidelines() {
    let (black, white) = ([0.0; 3], [1.0; 3]);
    assert!((contrast(black, white) - 21.0).abs() < 0.01);
    assert!((contrast([0x76 as f64 / 255.0; 3], white) - 4.54).abs() < 0.01);
}
