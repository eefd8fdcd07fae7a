//! Exposure from 0 to 10, in the manner of `systemd-analyze security`: Σ badness · weight / Σ weight over
//! a fixed table of rows. It is no measure of safety: it orders profiles, and a row says what to look at.
//!
//! Every row is monotone: what is granted in addition never lowers its badness, so a profile that grants
//! more never has a lower exposure.

mod rates;
mod rows;

use super::input::ReviewInput;
use crate::profile::{Mode, Profile, embedded, read};

/// The highest badness of a row.
pub const WORST: u32 = 10;

/// A row of the table.
#[derive(Clone, Copy)]
pub(super) struct TableRow {
    /// It never changes its meaning, nor is it given to another row.
    pub id: &'static str,
    /// How much it counts.
    pub weight: u32,
    /// The sentence where the badness is 0.
    pub good: &'static str,
    /// The sentence where it is more.
    pub bad: &'static str,
    /// The badness of a container with Docker's defaults that runs as root.
    pub docker: u32,
    /// The badness of a profile.
    pub rate: fn(&ReviewInput) -> Rating,
}

/// The badness of a row, and the entries that make it so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rating {
    pub badness: u32,
    /// JSON Pointers.
    pub at: Vec<String>,
}

impl Rating {
    pub const GOOD: Rating = Rating { badness: 0, at: Vec::new() };

    /// The worse of two, with the entries of both where they are as bad.
    pub fn worse(mut self, mut other: Rating) -> Rating {
        if other.badness > self.badness {
            return other;
        }
        if other.badness == self.badness && self.badness > 0 {
            self.at.append(&mut other.at);
        }
        self
    }

    /// The worst of many.
    pub fn worst(all: impl IntoIterator<Item = Rating>) -> Rating {
        let mut worst = all.into_iter().fold(Rating::GOOD, Rating::worse);
        worst.at.dedup();
        worst
    }

    pub fn of(badness: u32, at: impl Into<String>) -> Rating {
        Rating { badness, at: vec![at.into()] }
    }
}

/// The exposure of a profile, or of Docker's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// From 0 to 10, rounded up to a tenth.
    pub value: f64,
    /// Every row, in the order of the table.
    pub rows: Vec<ExposureRow>,
}

/// A row with its badness.
#[derive(Clone, Debug, PartialEq)]
pub struct ExposureRow {
    /// The stable id.
    pub id: &'static str,
    /// How much it counts.
    pub weight: u32,
    /// From 0 to 1.
    pub badness: f64,
    /// For good or for bad, as it is.
    pub sentence: &'static str,
    /// JSON Pointers of the entries that make it bad; of a section where its absence does.
    pub pointers: Vec<String>,
}

impl Exposure {
    /// Rates a profile.
    pub fn of(profile: &Profile) -> Exposure {
        let input = ReviewInput::of(profile);
        Exposure::rate(|row| match profile.mode {
            Mode::Enforce => (row.rate)(&input),
            // no_new_privs alone is set in every mode but one.
            Mode::Audit | Mode::Learn if row.id == "no_new_privs" => Rating::GOOD,
            Mode::Audit | Mode::Learn | Mode::Off => Rating::of(WORST, "/mode"),
        })
    }

    /// A container with Docker's defaults, whose processes run as root.
    pub fn docker() -> Exposure {
        Exposure::rate(|row| Rating { badness: row.docker, at: Vec::new() })
    }

    /// The embedded profile `baseline`, as it stands: without an image, its four directories of
    /// programs.
    pub fn baseline() -> Exposure {
        let text = embedded::named("baseline").unwrap_or_default();
        // A test reads every embedded profile.
        read(text.as_bytes()).map_or_else(|_| Exposure::docker(), |document| Exposure::of(&document.profile))
    }

    fn rate(rating: impl Fn(&TableRow) -> Rating) -> Exposure {
        let (mut sum, mut weights) = (0, 0);
        let mut rows = Vec::new();
        for row in rows::ROWS {
            let Rating { badness, at } = rating(row);
            sum += u64::from(badness) * u64::from(row.weight);
            weights += u64::from(row.weight);
            rows.push(ExposureRow {
                id: row.id,
                weight: row.weight,
                badness: f64::from(badness) / f64::from(WORST),
                sentence: if badness == 0 { row.good } else { row.bad },
                pointers: at,
            });
        }
        let tenths = (sum * 10).div_ceil(weights.max(1));
        Exposure { value: tenths as f64 / 10.0, rows }
    }

    /// The word for the value, as systemd has it.
    pub fn band(&self) -> &'static str {
        match self.value {
            value if value >= 10.0 => "DANGEROUS",
            value if value >= 9.0 => "UNSAFE",
            value if value >= 7.5 => "EXPOSED",
            value if value >= 5.0 => "MEDIUM",
            value if value >= 1.0 => "OK",
            value if value > 0.0 => "SAFE",
            _ => "PERFECT",
        }
    }
}

/// The table as docs/review.md has it.
pub fn table() -> String {
    let mut text = String::from("| row | weight | good | bad |\n|---|---|---|---|\n");
    for row in rows::ROWS {
        text += &format!("| `{}` | {} | {} | {} |\n", row.id, row.weight, row.good, row.bad);
    }
    text
}

#[cfg(test)]
mod tests;
