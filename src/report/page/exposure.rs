//! Exposure from 0 to 10, with the rows that it comes from, and the attacks that the profile stops.

use askama::Template;

use super::{ReportInput, shown};
use crate::review::attacks::attacks;
use crate::review::{Exposure, ReviewInput};

/// Pointers of a row at most.
const POINTERS: usize = 4;

/// The section of exposure.
#[derive(Template)]
#[template(path = "report/exposure.html", whitespace = "minimize")]
pub(super) struct ExposurePart {
    /// The value, with one decimal.
    pub value: String,
    /// The word for it.
    pub band: &'static str,
    columns: Vec<ComparedExposure>,
    rows: Vec<RowView>,
    stopped: Vec<String>,
    open: Vec<String>,
}

/// What the profile is compared with.
struct ComparedExposure {
    name: String,
    value: String,
    band: &'static str,
}

struct RowView {
    id: &'static str,
    weight: u32,
    /// In tenths.
    badness: u32,
    others: Vec<u32>,
    sentence: &'static str,
    pointers: Vec<String>,
    more: usize,
}

impl ExposurePart {
    pub fn of(input: &ReportInput<'_>, lookups: &ReviewInput<'_>) -> ExposurePart {
        let own = Exposure::of(&input.document.profile);
        let mut others = vec![
            ("Docker's default".to_owned(), Exposure::docker()),
            ("baseline".to_owned(), Exposure::baseline()),
        ];
        others.extend(
            input
                .against
                .map(|(name, against)| (format!("against {}", shown(name)), Exposure::of(&against.profile))),
        );
        let tenths = |badness: f64| (badness * 10.0).round() as u32;
        let row = |(at, row): (usize, &crate::review::ExposureRow)| RowView {
            id: row.id,
            weight: row.weight,
            badness: tenths(row.badness),
            others: others.iter().map(|(_, other)| tenths(other.rows[at].badness)).collect(),
            sentence: row.sentence,
            pointers: row.pointers.iter().take(POINTERS).map(|pointer| shown(pointer)).collect(),
            more: row.pointers.len().saturating_sub(POINTERS),
        };
        let attacks = attacks(lookups);
        let sentences = |stops: bool| -> Vec<String> {
            attacks.iter().filter(|one| one.stops == stops).map(|one| shown(&one.sentence)).collect()
        };
        ExposurePart {
            value: format!("{:.1}", own.value),
            band: own.band(),
            rows: own.rows.iter().enumerate().map(row).collect(),
            columns: others
                .into_iter()
                .map(|(name, other)| ComparedExposure {
                    name,
                    value: format!("{:.1}", other.value),
                    band: other.band(),
                })
                .collect(),
            stopped: sentences(true),
            open: sentences(false),
        }
    }
}
