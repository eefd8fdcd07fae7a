//! The capabilities.

use askama::Template;

use super::grant::{GrantIndex, GrantText};
use crate::profile::{Profile, capability_word};

/// The section of capabilities.
#[derive(Template)]
#[template(path = "report/capabilities.html", whitespace = "minimize")]
pub(super) struct CapabilitiesPart {
    rows: Vec<CapabilityRow>,
    has_support: bool,
}

struct CapabilityRow {
    name: String,
    grant: GrantText,
}

impl CapabilitiesPart {
    pub fn of(profile: &Profile, grants: &GrantIndex<'_>) -> CapabilitiesPart {
        let rows: Vec<CapabilityRow> = profile
            .capabilities
            .iter()
            .enumerate()
            .map(|(index, entry)| CapabilityRow {
                name: capability_word(entry.what),
                grant: grants.text(&format!("/capabilities/{index}")),
            })
            .collect();
        CapabilitiesPart { has_support: rows.iter().any(|row| !row.grant.support.is_empty()), rows }
    }
}
