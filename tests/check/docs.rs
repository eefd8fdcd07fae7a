//! docs/check.md has every rule and every key of the requirements.

use remit::gate::{GateRule, Requirements};
use remit::profile::Risk;

const PAGE: &str = include_str!("../../docs/check.md");

#[test]
fn the_page_lists_every_rule_with_its_severity_and_reason() {
    let rows: Vec<&str> =
        PAGE.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5).collect();
    let expected: Vec<String> = GateRule::ALL
        .iter()
        .map(|rule| {
            format!("| `{}` | {} | {} | {} |", rule.id(), rule.severity().word(), rule.title(), rule.why())
        })
        .collect();
    for row in &expected {
        assert!(rows.contains(&row.as_str()), "docs/check.md lacks:\n{}", expected.join("\n"));
    }
    assert_eq!(rows.len(), expected.len(), "docs/check.md has a rule that the code has not");
}

#[test]
fn the_tiers_shown_are_those_of_the_tool() {
    for tier in [Risk::Minimal, Risk::Elevated, Risk::Regulated] {
        for key in Requirements::tier_text(tier).split('"').skip(1).step_by(2) {
            assert!(PAGE.contains(&format!("`{key}`")) || PAGE.contains(&format!("\"{key}\"")), "{key}");
        }
    }
    let shown = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut requirements = 0;
    for block in shown.filter(|block| block.contains("\"require\"")) {
        if let Err(error) = Requirements::read(block.as_bytes()) {
            panic!("{error}\n{block}");
        }
        requirements += 1;
    }
    assert!(requirements > 0, "the page shows requirements");
}
