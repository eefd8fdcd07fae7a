//! The exposure of a profile against the most that is required, row by row.

use super::finding::{FindingList, RelatedLine};
use super::rules::GateRule;
use super::{CheckInput, NamedDocument};
use crate::review::{Exposure, ExposureRow, TextPlaces};

/// The most rows that a finding lists.
const ROWS: usize = 8;

/// A finding where the exposure is more than is required; it is new where it is more than the
/// previous profile's, too.
pub fn check(profile: NamedDocument, input: &CheckInput, found: &mut FindingList) {
    let Some(most) = input.requirements.max_exposure else { return };
    let exposure = Exposure::of(&profile.document.profile);
    if exposure.value <= most {
        return;
    }
    let before = input.against.map(|before| Exposure::of(&before.document.profile).value);
    let mut rows: Vec<&ExposureRow> = exposure.rows.iter().filter(|row| row.badness > 0.0).collect();
    let share = |row: &ExposureRow| f64::from(row.weight) * row.badness;
    rows.sort_by(|one, other| share(other).total_cmp(&share(one)).then(one.id.cmp(other.id)));
    let names: Vec<&str> = rows.iter().take(3).map(|row| row.id).collect();
    let was = before.map(|before| format!(", and was {before:.1}")).unwrap_or_default();
    let what = format!(
        "The exposure is {:.1} of 10{was}, where {most} is the most that is required; the most of it comes from {}.",
        exposure.value,
        names.join(", ")
    );
    let pointer = rows.first().and_then(|row| row.pointers.first()).map_or("", String::as_str);
    let places = TextPlaces::of(&profile.document.text);
    let related = rows.iter().take(ROWS).map(|row| RelatedLine {
        file: profile.file.to_owned(),
        line: row.pointers.first().map(|pointer| places.at(pointer).line as u64),
        text: format!("{}, weight {}, badness {:.1}: {}", row.id, row.weight, row.badness, row.sentence),
    });
    let finding = found.add(GateRule::ExposureHigh, pointer, "exposure", what);
    finding.related = related.collect();
    finding.is_new = before.is_none_or(|before| exposure.value > before);
}
