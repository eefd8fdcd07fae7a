//! The difference to another profile.

use askama::Template;

use super::ReportInput;
use super::grant::GrantText;
use super::shown;
use crate::review::{Permission, ProfileDiff};

/// Rows of a table at most.
const ROWS: usize = 500;

/// The section of the difference.
#[derive(Template)]
#[template(path = "report/difference.html", whitespace = "minimize")]
pub(super) struct DifferencePart {
    found: Option<DifferenceView>,
}

struct DifferenceView {
    name: String,
    digest: String,
    sides: Vec<SideView>,
    settings: Vec<SettingRow>,
    is_same: bool,
}

struct SideView {
    title: &'static str,
    caption: &'static str,
    none: &'static str,
    count: usize,
    rows: Vec<PermissionRow>,
}

struct PermissionRow {
    sentence: String,
    grant: GrantText,
}

struct SettingRow {
    before: String,
    after: String,
}

impl DifferencePart {
    pub fn of(input: &ReportInput<'_>) -> DifferencePart {
        let view = |(name, before): (&str, &crate::profile::Document)| {
            let evidence = input.evidence.map(|evidence| &evidence.support);
            let diff = ProfileDiff::of(before, input.document, None, evidence);
            let side = |title, caption, none, all: &[Permission]| SideView {
                title,
                caption,
                none,
                count: all.len(),
                rows: all.iter().take(ROWS).map(row).collect(),
            };
            let text = |fact: &Option<String>| fact.as_deref().map(shown).unwrap_or_default();
            DifferenceView {
                name: shown(name),
                digest: before.digest.clone(),
                is_same: diff.added.is_empty() && diff.removed.is_empty() && diff.settings.is_empty(),
                sides: vec![
                    side(
                        "Allowed now, and not before",
                        "What this profile allows and the other does not, the highest risk first",
                        "Nothing that the other profile does not allow.",
                        &diff.added,
                    ),
                    side(
                        "Allowed before, and not now",
                        "What the other profile allows and this one does not, the highest risk first",
                        "All that the other profile allows.",
                        &diff.removed,
                    ),
                ],
                settings: diff
                    .settings
                    .iter()
                    .map(|change| SettingRow { before: text(&change.before), after: text(&change.after) })
                    .collect(),
            }
        };
        DifferencePart { found: input.against.map(view) }
    }
}

fn row(permission: &Permission) -> PermissionRow {
    PermissionRow { sentence: shown(&permission.sentence), grant: GrantText::of(permission) }
}
