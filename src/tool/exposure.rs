//! `remit exposure`: a number from 0 to 10, with the rows that it comes from.

use serde_json::{Value, json};

use super::reviewed::{self, ReviewedProfile, TextLines};
use super::{Format, VerbOutput, VerbResult};
use crate::review::{Exposure, ExposureRow, TextPlaces};
use crate::visible::sgr::{BOLD, DIM, GREEN, RED};

/// The arguments of `remit exposure`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit exposure nginx --against baseline\n\n\
                        Exit codes: 0 no more exposed than what --against names, 1 more, 2 bad input.")]
pub(super) struct ExposureArguments {
    /// A file (with a slash, or ending in .json), or a name of `remit profiles`
    profile: String,
    /// The profile as it was before, to compare with
    #[arg(long, value_name = "OLD")]
    against: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// A profile with its exposure, and those that it is compared with.
struct Compared {
    reviewed: ReviewedProfile,
    own: Exposure,
    others: Vec<(String, Exposure)>,
}

pub(super) fn run(arguments: &ExposureArguments) -> VerbResult {
    let reviewed = reviewed::profile(&arguments.profile)?;
    let own = Exposure::of(&reviewed.document.profile);
    let mut others = vec![
        ("Docker's default".to_owned(), Exposure::docker()),
        ("baseline".to_owned(), Exposure::baseline()),
    ];
    let mut is_more = false;
    if let Some(old) = &arguments.against {
        let old = reviewed::profile(old)?;
        let exposure = Exposure::of(&old.document.profile);
        // A row may become worse while another becomes better.
        is_more = own.rows.iter().zip(&exposure.rows).any(|(own, old)| own.badness > old.badness);
        others.push((old.name, exposure));
    }
    let compared = Compared { reviewed, own, others };
    let code = u8::from(is_more);
    Ok(match arguments.format {
        Format::Text => VerbOutput::escaped(compared.text(), code),
        Format::Json => VerbOutput::plain(compared.json().to_string(), code),
    })
}

impl Compared {
    fn text(&self) -> String {
        let mut lines = TextLines::new();
        let value =
            format!("{}: exposure {:.1} of 10, {}", self.reviewed.name, self.own.value, self.own.band());
        lines.put_in(BOLD, value);
        for (name, other) in &self.others {
            lines.put(format!("  {name}: {:.1}, {}", other.value, other.band()));
        }
        let places = TextPlaces::of(&self.reviewed.document.text);
        let heads: Vec<String> = (1..=self.others.len()).map(|number| format!("[{number}]")).collect();
        let names: Vec<String> = self
            .others
            .iter()
            .enumerate()
            .map(|(number, (name, _))| format!("[{}] {name}", number + 1))
            .collect();
        lines.put("");
        lines.put(format!("  {:<21} weight bad   {}  of 10; {}", "row", heads.join("  "), names.join(", ")));
        for (index, row) in self.own.rows.iter().enumerate() {
            let others = self.others.iter().map(|(_, other)| format!("{:>3}", tenths(&other.rows[index])));
            let others: Vec<String> = others.collect();
            let (mark, colour) = if row.badness > 0.0 { ("-", RED) } else { ("+", GREEN) };
            let numbers =
                format!(" {:<21} {:>6} {:>3}   {}  ", row.id, row.weight, tenths(row), others.join("  "));
            let places = at(row, &self.reviewed, &places);
            lines.put_parts(&[(colour, mark), ("", &numbers), ("", row.sentence), (DIM, &places)]);
        }
        lines.put("");
        lines.put("Exposure is the sum of badness · weight over the sum of weights. It orders profiles, and is no measure of safety.");
        lines.text()
    }

    fn json(&self) -> Value {
        let others = self.others.iter().map(|(name, other)| exposure(name, other));
        json!({
            "exposure": 1,
            "profile": self.reviewed.document.profile.name,
            "file": self.reviewed.name,
            "digest": self.reviewed.document.digest,
            "own": exposure(&self.reviewed.name, &self.own),
            "compared": others.collect::<Vec<_>>(),
        })
    }
}

fn tenths(row: &ExposureRow) -> String {
    format!("{:.0}", row.badness * 10.0)
}

/// The lines that make a row bad, a few of them.
fn at(row: &ExposureRow, of: &ReviewedProfile, places: &TextPlaces) -> String {
    const SHOWN: usize = 3;
    if row.pointers.is_empty() {
        return String::new();
    }
    let shown = row.pointers.iter().take(SHOWN);
    let shown: Vec<String> = shown
        .map(|pointer| {
            let pointer = if pointer.is_empty() { "/" } else { pointer };
            format!("{pointer} {}", of.at(places.at(pointer).line))
        })
        .collect();
    let more = match row.pointers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", {more} more"),
    };
    format!(" ({}{more})", shown.join(", "))
}

fn exposure(name: &str, of: &Exposure) -> Value {
    let rows = of.rows.iter().map(|row| {
        json!({
            "id": row.id,
            "weight": row.weight,
            "badness": row.badness,
            "sentence": row.sentence,
            "pointers": row.pointers,
        })
    });
    json!({ "name": name, "value": of.value, "band": of.band(), "rows": rows.collect::<Vec<_>>() })
}
