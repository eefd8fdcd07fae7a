//! What the programs can call at all, beside what was learned and what is allowed.

use askama::Template;

use super::shown;
use crate::reach::compare::ReachComparison;

/// The section of reachable calls.
#[derive(Template)]
#[template(path = "report/reachable.html", whitespace = "minimize")]
pub(super) struct ReachablePart {
    found: Option<ReachView>,
}

struct ReachView {
    sentence: String,
    alarms: Vec<String>,
    open: Option<String>,
    rows: Vec<BetweenRow>,
    needless: Vec<String>,
}

struct BetweenRow {
    call: String,
    state: &'static str,
    danger: &'static str,
    exercise: String,
    path: String,
}

impl ReachablePart {
    pub fn of(reach: Option<&ReachComparison>) -> ReachablePart {
        let names = |calls: &std::collections::BTreeSet<String>| -> Vec<String> {
            calls.iter().map(|call| shown(call)).collect()
        };
        let view = |one: &ReachComparison| ReachView {
            sentence: shown(&one.sentence()),
            alarms: names(&one.alarms),
            open: one.open.as_deref().map(shown),
            needless: names(&one.needless),
            rows: one
                .rows
                .iter()
                .map(|row| BetweenRow {
                    call: shown(&row.call),
                    state: if row.is_allowed { "allowed" } else { "refused" },
                    danger: row.danger.unwrap_or_default(),
                    exercise: shown(&row.exercise),
                    path: shown(&row.path.join(" → ")),
                })
                .collect(),
        };
        ReachablePart { found: reach.map(view) }
    }
}
